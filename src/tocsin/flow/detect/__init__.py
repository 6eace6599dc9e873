"""Graded windows and runs to findings: detectors by rule, one declaration each."""
