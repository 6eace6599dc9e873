"""`tocsin demo`: its body is in the package `tocsin.demo`."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option("--check", is_flag=True, help="Exit 1 unless all five kinds and nothing else fire.")
@click.option("--seed", default=7, show_default=True)
@click.option("--speed", default=90.0, show_default=True, help="Event time a second, once live.")
@click.option("--live/--no-live", default=True, help="Draw a picture where there is a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One document at the end.")
def demo(*, check: bool, seed: int, speed: float, live: bool, as_json: bool) -> None:
    r"""A fleet of agents with five incidents, through a broker, Redis and all of Tocsin.

    \b
    Examples:
      tocsin demo
      tocsin demo --check --seed 11
    """
    from tocsin.demo import main as play

    sys.exit(play(check=check, seed=seed, speed=speed, live=live, as_json=as_json))
