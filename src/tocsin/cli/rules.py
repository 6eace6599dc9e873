"""`tocsin rules`: which rules there are, when each rings, and by which numbers."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:  # the command line starts without what rules need
    from tocsin.flow.detect.detector import Detector, Rule

#: A key of a declaration with one value, and the comment on its line.
_KEY = re.compile(r'"(\w+)": [^#\n]*?,?\}?,?  # (.+)')
#: What a rule judges by, as its file names it.
_SECTIONS = ("effect", "evidence", "volume", "options")


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "form", flag_value="json", help="One rule a line.")
@click.option("--markdown", "form", flag_value="markdown", help="A page, as docs/rules.md.")
@click.option("--table", "form", flag_value="table", help="A Markdown table, as in the README.")
def rules(folder: Path | None, form: Literal["json", "markdown", "table"] | None) -> None:
    """List the shipped rules, with those of FOLDER on top of them.

    \b
    Examples:
      tocsin rules
      tocsin rules my-rules/ --json | jq 'select(.severity == "critical") | .id'
    """
    from tocsin.flow.detect.load_detectors import load_detectors
    from tocsin.flow.detect.load_rules import load_rules

    found = load_rules(folder)
    if form == "json":
        lines = [json.dumps(rule.model_dump(mode="json", exclude={"tests"})) for rule in found]
    elif form == "table":
        lines = list(table(found))
    elif form == "markdown":
        lines = list(page(found, load_detectors(folder)))
    else:
        width = max(len(rule.id) for rule in found)
        lines = [
            f"{rule.id:<{width}}  {rule.kpi:<8}  {rule.severity:<8}  {rule.title}" for rule in found
        ]
    click.echo("\n".join(lines))


def table(found: Sequence[Rule]) -> Iterator[str]:
    """Markdown lines: a row a KPI, with its rules and their titles."""
    yield "| KPI | rules |"
    yield "|---|---|"
    for kpi, mine in by_kpi(found).items():
        yield f"| {kpi} | {'; '.join(f'`{rule.id}` {_cell(rule.title)}' for rule in mine)} |"


def page(found: Sequence[Rule], detectors: Mapping[str, Detector]) -> Iterator[str]:
    """Markdown lines: every rule with its numbers and runbook, and every detector's keys."""
    yield "# Rules"
    yield ""
    yield "Made from the rule files by `make docs`; edit those. A file of the same name in"
    yield "`rules_dir` replaces a rule. What the numbers mean is said at the detector, below."
    for kpi, mine in by_kpi(found).items():
        yield from ("", f"## {kpi}")
        for rule in mine:
            yield from ("", f"### {rule.id}", "", f"**{rule.title}.** {rule.about}", "")
            yield from _facts(rule)
            yield from ("", "What to do:", "")
            yield from (f"{i}. {step}" for i, step in enumerate(rule.runbook, 1))
    yield from ("", "# Detectors", "")
    yield "What each judges, and the keys a rule may set, with their defaults."
    for name, detector in sorted(detectors.items()):
        yield from ("", f"## {name}", "", _about(detector), "")
        meanings = _meanings(detector)
        for section in _SECTIONS:
            for key, value in getattr(detector, section).items():
                meaning = meanings.get(key, "")
                yield f"- {section}.{key} {_value(value)}{': ' if meaning else ''}{meaning}"


def by_kpi(found: Sequence[Rule]) -> dict[str, list[Rule]]:
    """KPI -> its rules by id, in the order that the schema names the KPIs."""
    from typing import get_args

    from tocsin.flow.rules.spec import Kpi

    return {
        kpi: mine for kpi in get_args(Kpi) if (mine := [rule for rule in found if rule.kpi == kpi])
    }


def _facts(rule: Rule) -> Iterator[str]:
    yield f"- detector: [{rule.detector}](#{rule.detector}) on `{rule.signal}`"
    if rule.views:
        yield f"- views: {', '.join(f'`{view}`' for view in rule.views)}"
    for section in _SECTIONS:
        given = {k: v for k, v in getattr(rule, section).items() if v not in ({}, [], ())}
        if given:
            yield f"- {section}: {_keys(given)}"
    yield f"- breached in {rule.persistence.m} of {rule.persistence.n} evaluations"
    yield f"- clear for {rule.clear.windows} evaluations"
    yield f"- severity: {rule.severity}; one alert by {', '.join(rule.group_by)}"
    if rule.inhibited_by:
        yield f"- explained by: {', '.join(f'`{other}`' for other in rule.inhibited_by)}"


def _module(detector: Detector) -> Mapping[str, Any]:
    """The names of the module that declares it."""
    judge: Callable[..., object] = getattr(detector, "judge")  # noqa: B009 - each kind has its own
    return judge.__globals__


def _about(detector: Detector) -> str:
    """The docstring of its module."""
    return inspect.cleandoc(_module(detector).get("__doc__") or "")


def _meanings(detector: Detector) -> dict[str, str]:
    """Key -> the comment beside it in the declaration."""
    source = Path(_module(detector)["__file__"]).read_text(encoding="utf-8")
    return dict(_KEY.findall(source.partition("\nDETECTOR = ")[2]))


def _keys(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in keys.items())


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()
