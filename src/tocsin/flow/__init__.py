"""The river: pure functions from bytes to alert events. Alphabetical order is flow order."""
