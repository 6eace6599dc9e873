"""`tocsin explain`: why an alert was raised. Its body is in `explain_alert.py`."""

import click

from tocsin.cli.running import load_config


@click.command()
@click.argument("alert", metavar="ALERT_ID")
@click.option("--json", "as_json", is_flag=True, help="The alert's events, one a line.")
@click.pass_context
def explain(ctx: click.Context, alert: str, *, as_json: bool) -> None:
    """Say all that is known of an alert: why it rang, what drove it, what to do.

    ALERT_ID is an alert id, an event id or a fingerprint (then its newest alert), or the
    first six characters or more of one. Read from the alerts topic.

    \b
    Examples:
      tocsin explain c67ebf64e97e
      tocsin explain --json c67ebf64e97e | jq .why
    """
    from tocsin.cli.explain_alert import print_explanation
    from tocsin.run.backends import open_bus

    config = load_config(ctx)
    print_explanation(alert, config, open_bus(config), as_json=as_json)
