"""Judgements of runs (traces): loops, depth, fan-out, burn, and runs that never end."""
