"""The loops: ingest, watch, replay, and what they share. They print nothing."""
