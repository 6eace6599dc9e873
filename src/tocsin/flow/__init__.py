"""The river: decode, extract, fold, frontier, grade, judge, lifecycle, in this (alphabetical) order.

Pure: no await, no socket, no clock, no logger, no metric. `shard` runs the later half in order.
"""
