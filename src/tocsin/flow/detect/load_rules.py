"""Rule files to rules: each with its detector and its defaults, or one sentence why not."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from tocsin.flow.detect.detector import Detector, Rule, WindowDetector
from tocsin.flow.detect.load_detectors import load_detectors
from tocsin.flow.detect.registry import DETECTORS
from tocsin.flow.rules.spec import DIMS, RuleError, RuleSpec

SHIPPED: Final = Path(__file__).with_name("rules")
_ID: Final = re.compile(r"[a-z][a-z0-9_]{1,63}")
#: What a detector states the keys and defaults of.
_SECTIONS: Final = ("effect", "evidence", "volume", "options")


def parse_rule(
    text: str, name: str, source: str, detectors: Mapping[str, Detector] = DETECTORS
) -> Rule:
    """The rule in a file's text, defaults filled in. Raises RuleError with `source`."""
    raw = _mapping(text, name, source)
    detector = detectors.get(str(raw.get("detector")))
    if detector is None and "detector" in raw:
        known = ", ".join(sorted(detectors))
        raise RuleError(f"{source}: detector {raw['detector']!r} is unknown; known: {known}")
    try:
        if detector is None:  # the schema says that it is missing
            return Rule.model_validate({**raw, "id": name})
        rule = Rule.model_validate({**_filled(raw, detector), "id": name, "judged_by": detector})
        _check(rule, detector)
    except ValidationError as error:
        raise RuleError(f"{source}: {_sentence(error)}") from None
    except ValueError as error:
        raise RuleError(f"{source}: {error}") from None
    return rule


def _mapping(text: str, name: str, source: str) -> dict[str, Any]:
    if not _ID.fullmatch(name):
        raise RuleError(
            f"{source}: the file name must be like spike_runs.yaml; it is the rule's id"
        )
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise RuleError(f"{source}:{line} not YAML: {problem}") from None
    if not isinstance(raw, dict):
        raise RuleError(f"{source}: a rule is a mapping of keys (title, detector, ...)")
    for key, why in (("id", "the id is the file name"), ("judged_by", "name a detector instead")):
        if key in raw:
            raise RuleError(f"{source}: unknown key {key!r}; {why}")
    return raw


def _filled(raw: Mapping[str, Any], detector: Detector) -> dict[str, Any]:
    """What the file says, on top of what its detector ships with."""
    filled = dict(raw)
    for section in _SECTIONS:
        given = raw.get(section) or {}
        if isinstance(given, dict):
            filled[section] = {**getattr(detector, section), **given}
    return filled


def _check(rule: RuleSpec, detector: Detector) -> None:
    """Raises ValueError for what the detector does not read, or cannot."""
    for section in _SECTIONS:
        known: Mapping[str, object] = getattr(detector, section)
        for key in getattr(rule, section):
            if key not in known:
                raise ValueError(
                    f"{section}.{key} is not read by detector {rule.detector!r}; "
                    f"known: {', '.join(known)}"
                )
    detector.check(rule)
    if isinstance(detector, WindowDetector) and not rule.views:
        raise ValueError(f"views is empty; known: {', '.join(DIMS)}")


def _sentence(error: ValidationError) -> str:
    """The first complaint of pydantic as `key: what is wrong`."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    if first["type"] == "missing":
        return f"missing key {key!r}"
    text = first["msg"].removeprefix("Value error, ")
    return f"{key}: {text}" if key else text


def read_rules(folder: Path, detectors: Mapping[str, Detector] | None = None) -> dict[str, Rule]:
    """The rules of one folder by id; `*.yaml` and `*.yml`, sub-folders ignored.

    `detectors` are those that rules may name; None = all there are, the folder's own included.
    Raises RuleError for the user to mend.
    """
    known = load_detectors(folder) if detectors is None else detectors
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return {
        file.stem: parse_rule(file.read_text(encoding="utf-8"), file.stem, str(file), known)
        for file in files
    }


@cache
def _shipped() -> Mapping[str, Rule]:
    return read_rules(SHIPPED, DETECTORS)


def load_rules(extra: Path | None = None) -> tuple[Rule, ...]:
    """The shipped rules in order of id; a file of the same name in `extra` replaces one.

    Reads files, and runs the detectors in `extra`: call it once, at the start. Raises RuleError
    for the user to mend.
    """
    rules = dict(_shipped())
    if extra is not None:
        if not extra.is_dir():
            raise RuleError(f"{extra}: no such folder of rules")
        rules |= read_rules(extra)
    for rule in rules.values():
        for other in rule.inhibited_by:
            if other not in rules:
                raise RuleError(
                    f"rule {rule.id}: inhibited_by names {other!r}, which does not exist"
                )
    return tuple(rules[name] for name in sorted(rules))
