"""The values and column schemas that travel between stages. They import nothing of ours.

Units, everywhere: `*_ns` and `*_ms` are nanoseconds and milliseconds since the Unix epoch,
`*_s` seconds, a *window* is named by the epoch second it starts at, money is integer
nano-USD. `at` is event time, `now` is the clock. The event time of a span is its END.
"""

from tocsin.types.arrays import Bools, Floats, Ints
from tocsin.types.baselines import Baseline
from tocsin.types.changes import EVERY, Change, ChangeKind
from tocsin.types.findings import SEVERITIES, Contributor, Finding, Group, Severity, Status
from tocsin.types.names import NANO, NONE, OVERFLOW, SEP, join_series, shard_of, split_series
from tocsin.types.objectives import BUDGETED, OBJECTIVES, CostBudget, Slo
from tocsin.types.quiet_hours import QuietHours
from tocsin.types.runs import (
    RING,
    RUN_HEADER,
    RUN_VERSION,
    STEP,
    STEP_COST_UNKNOWN,
    STEP_ERROR,
    STEP_HAS_ARGS,
    STEP_HAS_RESULT,
    STEP_TIMEOUT,
    ChangedRun,
    RunDelta,
)
from tocsin.types.shards import (
    ChangedSeries,
    Fence,
    MergeReply,
    Position,
    Saved,
    ShardFlush,
    Snapshot,
    WindowDelta,
    WindowFrame,
)
from tocsin.types.spans import MODEL_CALL_KINDS, SPAN_SCHEMA, Decoded, Kind, Reason, Record, Reject
from tocsin.types.units import Unit
