"""Alerts to people: the bridge from the alerts topic to its sinks."""
