"""The values expected of a window (`Graded`), from its history.

Counts and their dispersion (`counts.py`, with `local_level.py`), distributions over a look-back
(`lookback.py`, `strata.py`), raw counts of late (`recent.py`), level shifts (`new_level.py`).
"""
