"""``regions``."""

from __future__ import annotations

from datetime import timedelta
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
