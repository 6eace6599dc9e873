"""`tocsin demo`: its body is in the package `tocsin.demo`."""

import sys
import time

import click


@click.command()
@click.option("--check", is_flag=True, help="Exit 1 unless all five kinds and nothing else fire.")
@click.option("--seed", default=7, show_default=True)
@click.option("--speed", default=90.0, show_default=True, help="Event time a second, once live.")
@click.option("--live/--no-live", default=True, help="Draw a picture where there is a terminal.")
@click.option("--json", "as_json", is_flag=True, help="One document at the end.")
def demo(*, check: bool, seed: int, speed: float, live: bool, as_json: bool) -> None:
    """A fleet of agents with five incidents, through a broker, Redis and all of Tocsin.

    \b
    Examples:
      tocsin demo
      tocsin demo --check --seed 11
    """
    started = time.monotonic()  # the imports below are part of what the user waits for
    click.echo(
        "a broker, Redis and Tocsin start, learn five hours of a fleet, and meet five incidents: "
        "one to two minutes", err=True,
    )  # fmt: skip
    from tocsin.demo.command import run

    sys.exit(run(check=check, seed=seed, speed=speed, live=live, as_json=as_json, started=started))
