"""Rule files to rules: each with its detector's defaults filled in, or one sentence why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from tocsin.flow.rules.keys import DETECTORS
from tocsin.flow.rules.spec import RuleError, RuleSpec

SHIPPED = Path(__file__).with_name("rules")
_ID = re.compile(r"[a-z][a-z0-9_]{1,63}")


def parse_rule(text: str, name: str, source: str) -> RuleSpec:
    """The rule in a file's text, defaults filled in. Raises RuleError with `source`."""
    if not _ID.fullmatch(name):
        message = f"{source}: the file name must be like spike_runs.yaml; it is the rule's id"
        raise RuleError(message)
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}:" if where else ""
        message = f"{source}:{line} not YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        raise RuleError(message) from None
    if not isinstance(raw, dict):
        message = f"{source}: a rule is a mapping of keys (title, detector, ...)"
        raise RuleError(message)
    if "id" in raw:
        message = f"{source}: unknown key 'id'; the id is the file name"
        raise RuleError(message)
    keys = DETECTORS.get(str(raw.get("detector")))
    if keys is not None:
        for section in ("effect", "evidence", "volume", "options"):
            given = raw.get(section) or {}
            if isinstance(given, dict):
                raw[section] = {**getattr(keys, section), **given}
    try:
        return RuleSpec.model_validate({**raw, "id": name})
    except ValidationError as error:
        raise RuleError(f"{source}: {_sentence(error)}") from None


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


def read_rules(folder: Path) -> dict[str, RuleSpec]:
    """The rules of one folder by id; `*.yaml` and `*.yml`, sub-folders ignored."""
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return {
        file.stem: parse_rule(file.read_text(encoding="utf-8"), file.stem, str(file))
        for file in files
    }


@cache
def _shipped() -> Mapping[str, RuleSpec]:
    return read_rules(SHIPPED)


def load_rules(extra: Path | None = None) -> tuple[RuleSpec, ...]:
    """The shipped rules in order of id; a file of the same name in `extra` replaces one.

    Reads files: call it once, at the start. Raises RuleError for the user to mend.
    """
    rules = dict(_shipped())
    if extra is not None:
        if not extra.is_dir():
            message = f"{extra}: no such folder of rules"
            raise RuleError(message)
        rules |= read_rules(extra)
    for rule in rules.values():
        for other in rule.inhibited_by:
            if other not in rules:
                message = f"rule {rule.id}: inhibited_by names {other!r}, which does not exist"
                raise RuleError(message)
    return tuple(rules[name] for name in sorted(rules))
