"""What each series did before, what is expected of it now, and how improbable its value is."""
