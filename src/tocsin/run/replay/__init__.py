"""The alerts that recorded spans raise: the live code, with the watermark as its clock."""

from tocsin.run.replay.engine import Replay, Tally, replay
from tocsin.run.replay.report import Report

__all__ = ["Replay", "Report", "Tally", "replay"]
