"""What a window should hold, from the past it lies beside (`Graded`): the question of every rule.

Counts and their spread (`counts.py`, with `local.py` for the level of the hour), distributions
of as long a look back as it takes (`looks.py`, `strata.py`), what was there of late
(`recent.py`), and which series have found a new level (`shifts.py`).
"""
