"""Spans to alerts, pure: no await, socket, clock, logger or metric. In the order of the flow:

    decode      bytes of a record -> spans in columns, or a reject with its reason
    windows     spans -> counters of windows and steps of runs; event time and watermark
    baseline    the history of each series, and what a window is expected to be by it
    rules       the schema of a rule file
    detect      closed windows, open windows and runs -> findings
    policies    a rule -> how its alerts open and end
    alerts      findings and time -> alert states and events
    shard       one shard: detect, advance the alerts, update the baselines
    rule_tests  the tests inside rule files, run through `shard`

Who may import whom is stated in `pyproject.toml` and checked by `make lint`.
"""
