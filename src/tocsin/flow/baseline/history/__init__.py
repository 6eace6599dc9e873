"""The stored history of a shard: windows, quarter-hours, weeks by the hour, level shifts.

`History` (history.py) owns counts, sketches, weeks, ages and level shifts of all series. Run
statistics, cost ledger, seen names and residual scores are beside it, one file each.
"""
