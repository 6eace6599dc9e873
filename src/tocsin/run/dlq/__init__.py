"""DLQ records (dead letters): written by ingest and the change feed, listed, and sent again."""
