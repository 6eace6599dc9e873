"""The loops that move the river: ingest, watch, bridge, replay. Each one screen."""
