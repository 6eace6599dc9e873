"""`tocsin check`: validate a folder of rules and run the tests they carry."""

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One result a line.")
def check(folder: Path | None, *, as_json: bool) -> None:
    """Validate the rules in FOLDER (the shipped ones without it) and run their tests.

    Exits with 1 when a test fails or a rule lacks a firing or a silent one.
    """
    from tocsin.flow.detect.load_rules import SHIPPED
    from tocsin.flow.rule_tests.series import check_rules

    results = check_rules(folder or SHIPPED)
    for result in results:
        if as_json:
            click.echo(json.dumps({"rule": result.rule, "test": result.test,
                                   "ok": result.passed, "why": result.why}))  # fmt: skip
        else:
            verdict = (
                click.style("ok  ", fg="green") if result.passed else click.style("FAIL", fg="red")
            )
            click.echo(f"{verdict} {result.rule}: {result.test} {result.why}".rstrip())
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results)} tests, {failed} failed", err=True)
    sys.exit(1 if failed else 0)
