"""The schema of a rule file and of its options; independent of the detectors."""
