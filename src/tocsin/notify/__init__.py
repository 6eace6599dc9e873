"""Notification: the bridge reads the alerts topic and delivers to sinks."""
