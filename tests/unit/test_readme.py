"""The README's table of rules names every shipped rule, and no other."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from tocsin.flow.alerts.self_alert import POLICY
from tocsin.flow.detect.load_rules import load_rules

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TABLE = README.split("| KPI | rules |", 1)[1].split("\n\n", 1)[0]
NAMED = {
    name
    for row in TABLE.splitlines()[2:]
    for name in re.findall(r"`([a-z_*]+)`", row.split("|")[2])
}
SHIPPED = {rule.id for rule in load_rules()} | {POLICY.rule}


def test_every_shipped_rule_is_named() -> None:
    assert {r for r in SHIPPED if not any(fnmatchcase(r, name) for name in NAMED)} == set()


def test_every_name_is_a_shipped_rule() -> None:
    assert {name for name in NAMED if not any(fnmatchcase(r, name) for r in SHIPPED)} == set()
