"""``forecast``."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError


@click.command("forecast", epilog=example("lowtide forecast aws:eu-north-1 --hours 48"))
@click.argument("region")
@click.option("--hours", type=click.IntRange(1, 24 * 14), default=24, show_default=True)
@options.json_option
@options.config_option
@click.pass_context
def forecast_command(ctx: click.Context, region: str, hours: int, as_json: bool) -> None:
    """Show what is expected of a region's carbon intensity: a table and a plot."""
    from scheduler.report import plot, schema

    now = options.utc_now()
    with opened(ctx) as context:
        place = context.regions[region]
        end = now + timedelta(hours=hours)
        known = context.outlook.refresh(place, now, end, now)
        if known.series is None:
            raise known.error or UsageError(known.reason)
        series = known.series.clip(now.timestamp(), end.timestamp())
        if as_json:
            print_json(
                {
                    "schema_version": schema.SCHEMA_VERSION,
                    "region": place.name,
                    **schema.series_json(series),
                    "notes": list(known.notes),
                }
            )
            return
        click.echo(plot.forecast_table(series, local_zone()))
        click.echo(plot.forecast_plot(series, local_zone()))
        for note in known.notes:
            options.say(note)


def since(text: str, now: datetime) -> datetime:
    """``30d`` or an ISO time as the start of a span that ends now."""
    from scheduler import quantities

    try:
        return now - timedelta(seconds=quantities.duration_s(text))
    except ValueError:
        pass
    try:
        return quantities.moment(text, now)
    except ValueError as e:
        raise UsageError(f"--since: {e}") from e
