"""Closed windows against baselines: what was expected, and how improbable this is."""
