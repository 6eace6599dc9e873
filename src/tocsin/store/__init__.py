"""The state of all shards: the only folder that imports redis."""
