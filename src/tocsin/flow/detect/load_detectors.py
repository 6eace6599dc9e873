"""Detectors that users bring: Python files beside their rules, and installed packages.

A file of `rules_dir` whose name begins with an underscore is a helper of the others and is not
read by itself. A package names its detectors under the entry point `tocsin.detectors`. Both are
code that runs in Tocsin's process: whoever may write there may run anything (SECURITY.md).
"""

import importlib.util
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tocsin.flow.detect.detector import Detector
from tocsin.flow.detect.registry import DETECTORS
from tocsin.flow.rules.spec import RuleError

ENTRY_POINT = "tocsin.detectors"


def load_detectors(folder: Path | None = None) -> Mapping[str, Detector]:
    """Name -> detector: the shipped ones, those of packages, those of a folder of rules.

    Raises:
        RuleError: one that does not load, or whose name is taken.
    """
    found = dict(DETECTORS)
    for source, detector in (*_of_packages(), *_of_folder(folder)):
        if detector.name in found:
            raise RuleError(f"{source}: a detector {detector.name!r} exists; give it another name")
        found[detector.name] = detector
    return found


def _of_packages() -> Iterator[tuple[str, Detector]]:
    for entry in entry_points(group=ENTRY_POINT):
        source = f"entry point {entry.name!r} of {ENTRY_POINT}"
        try:
            value = entry.load()
        except Exception as error:
            raise _unloadable(source, error) from error
        yield source, _checked(source, value)


def _of_folder(folder: Path | None) -> Iterator[tuple[str, Detector]]:
    files = sorted(folder.glob("[!_]*.py")) if folder is not None else ()
    for path in files:
        spec = importlib.util.spec_from_file_location(f"tocsin_rules_{path.stem}", path)
        assert spec is not None  # the path ends in .py
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise _unloadable(str(path), error) from error
        yield str(path), _checked(str(path), getattr(module, "DETECTOR", None))


def _unloadable(source: str, error: Exception) -> RuleError:
    return RuleError(f"{source}: does not load ({type(error).__name__}: {error})")


def _checked(source: str, value: Any) -> Detector:
    if not isinstance(value, Detector):
        raise RuleError(
            f"{source}: must end in DETECTOR = WindowDetector(...), RunDetector(...) or "
            "PauseDetector(...); a helper's name begins with an underscore"
        )
    return value
