"""Kafka, and a producer that keeps nothing: the only folder that imports aiokafka or Faust."""
