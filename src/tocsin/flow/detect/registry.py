"""The shipped detectors by name: one line each."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from tocsin.flow.detect.detector import Detector

#: Modules of `detectors/`; each ends in its DETECTOR.
_MODULES: Final = (
    "budget",
    "burn",
    "depth",
    "drop",
    "error_class",
    "fan_out",
    "flatline",
    "level",
    "loop",
    "newcomer",
    "orphan",
    "peak",
    "quantile",
    "rate",
    "ratio",
    "residual",
    "share",
    "slo",
    "spike",
    "stage",
    "surge",
    "tail",
    "unexpected",
)


def _declared(module: str) -> Detector:
    found: Detector = import_module(f"tocsin.flow.detect.detectors.{module}").DETECTOR
    return found


#: Name -> detector.
DETECTORS: Final[Mapping[str, Detector]] = {found.name: found for found in map(_declared, _MODULES)}
