"""`tocsin schemas`: write the contracts to files, or say which files are stale."""

import sys
from pathlib import Path

import click


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if any is stale.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Default: schemas/")
def schemas(folder: Path | None, *, only_check: bool) -> None:
    """Write the JSON Schemas of span, change, alert and rule."""
    from tocsin import schemas as contracts

    folder = folder or contracts.FOLDER
    if only_check:
        stale = contracts.check(folder)
        for name in stale:
            click.echo(f"{name} is stale; run `tocsin schemas`", err=True)
        sys.exit(1 if stale else 0)
    for path in contracts.write(folder):
        click.echo(path)
