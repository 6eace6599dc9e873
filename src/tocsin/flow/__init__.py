"""The river, in alphabetical order: decode, event_time, extract, fold, frontier, grade, judge ...

Pure: no await, no socket, no clock, no logger, no metric. `shard` runs the later half in order.
"""
