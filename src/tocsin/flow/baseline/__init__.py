"""History of each series, the value expected of it now, and statistics of the difference."""
