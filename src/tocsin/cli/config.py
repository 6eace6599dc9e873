"""`tocsin config`: print the settings in force, or check them with the rules and the prices."""

import click


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.pass_context
def show(ctx: click.Context) -> None:
    """Print every setting in force, as YAML; secrets are redacted."""
    import yaml

    from tocsin.config import load

    click.echo(yaml.safe_dump(load(ctx.obj).redacted(), sort_keys=False).rstrip())


@config.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Exit 0 if the settings, the rules and the prices are sound, else say what to mend."""
    from tocsin.config import load
    from tocsin.flow.detect.load_rules import load_rules
    from tocsin.run.prices import load_prices

    settings = load(ctx.obj)
    rules = load_rules(settings.rules_dir)
    load_prices(settings.prices_file)
    click.echo(f"ok: {len(rules)} rules")
