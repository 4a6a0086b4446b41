"""``regions``, ``forecast``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError

if TYPE_CHECKING:
    pass


@click.command("regions", epilog=example("lowtide regions --duration 4h --slack 24h"))
@click.option("--duration", default="1h", show_default=True, metavar="SPAN", help="Of the job.")
@click.option("--slack", default="24h", show_default=True, metavar="SPAN", help="It may wait.")
@click.option("--power", metavar="WATTS", help="Mean power; default: one slot at full load.")
@click.option("--region", "names", multiple=True, metavar="NAME", help="Only these; repeatable.")
@options.json_option
@options.config_option
@click.pass_context
def regions_command(
    ctx: click.Context,
    duration: str,
    slack: str,
    power: str | None,
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rank regions for a job of given duration, power and slack."""
    from scheduler import engine, quantities
    from scheduler.engine.request import Request
    from scheduler.report import schema, terminal

    now = options.utc_now()
    with opened(ctx) as context:
        try:
            spans = [quantities.duration_s(duration), quantities.duration_s(slack)]
        except ValueError as e:
            raise UsageError(str(e)) from e
        deadline = now + timedelta(seconds=sum(spans))
        request = Request(
            argv=("true",),
            duration=duration,
            deadline=deadline.isoformat(),
            power=power,
            region=names or tuple(r.name for r in context.regions.every),
        )
        spec = options.spec_of(context, request, now)
        made = engine.plan(context, spec, now, to_run=False)
        if as_json:
            print_json(
                {"schema_version": schema.SCHEMA_VERSION, "regions": schema.ranking_json(made)}
            )
        else:
            click.echo(terminal.ranking(made, now, local_zone()))


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


def since(text: str, now: datetime, option: str = "--since") -> datetime:
    """``30d`` before now, or an ISO time, as given with ``option``."""
    from scheduler import quantities

    try:
        return now - timedelta(seconds=quantities.duration_s(text))
    except ValueError:
        pass
    try:
        return quantities.moment(text, now)
    except ValueError as e:
        raise UsageError(f"{option}: {e}") from e
