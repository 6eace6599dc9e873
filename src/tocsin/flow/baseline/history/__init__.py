"""What is remembered of every series: windows, quarter-hours, weeks by the hour, level shifts.

`history.py` is the door; the rest are the parts it is made of. Of the rooms of `grade` it is
the lowest: it knows frames, sketches and the catalog, and nothing of what is made of a past.
"""
