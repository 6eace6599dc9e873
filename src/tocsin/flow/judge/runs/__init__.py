"""Judgements of runs (traces): runaway loops."""

from tocsin.flow.judge.runs.cases import run_case
from tocsin.flow.judge.runs.judge import RunRule, judge_runs
from tocsin.flow.judge.runs.loops import LoopLimits
from tocsin.flow.judge.runs.settings import RunSettings, run_settings

__all__ = ["LoopLimits", "RunRule", "RunSettings", "judge_runs", "run_case", "run_settings"]
