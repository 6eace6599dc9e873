"""Kafka, and what stands in for it: the only folder that imports aiokafka or Faust."""
