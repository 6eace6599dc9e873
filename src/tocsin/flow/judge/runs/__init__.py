"""Judgements of runs (traces): loops, depth, fan-out, burn, and runs that never end."""

from tocsin.flow.judge.runs.cases import run_case
from tocsin.flow.judge.runs.judge import RUNS
from tocsin.flow.judge.runs.loops import LoopLimits
from tocsin.flow.judge.runs.settings import RunRule, RunSettings, run_settings
from tocsin.flow.judge.runs.track import RunTrack

__all__ = [
    "RUNS",
    "LoopLimits",
    "RunRule",
    "RunSettings",
    "RunTrack",
    "run_case",
    "run_settings",
]
