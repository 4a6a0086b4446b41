"""``regions``: where a job would be cleanest, and whether that beats waiting."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from scheduler.comparison import Spot
    from scheduler.engine import Context
    from scheduler.engine.selection import Selection
    from scheduler.models import JobSpec


@click.command("regions", epilog=example("lowtide regions --duration 4h --within EU --near Berlin"))
@click.option("--duration", default="1h", show_default=True, metavar="SPAN", help="Of the job.")
@click.option("--slack", default="24h", show_default=True, metavar="SPAN", help="It may wait.")
@click.option("--power", metavar="WATTS", help="Mean power; default: one slot at full load.")
@click.option("--data", metavar="SIZE", help="Bring so much there from home, e.g. 40GB.")
@click.option("--home", metavar="REGION", help="Compare with this one; default: the config's.")
@click.option("--region", "names", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--provider", "providers", multiple=True, metavar="NAME",
              help="Only of aws, azure, gcp, hetzner, ovh, scaleway, own; repeatable.")  # fmt: skip
@click.option("--within", multiple=True, metavar="WHERE",
              help="Only in these countries (DE,FR) or groups (EU, EEA, EFTA).")  # fmt: skip
@click.option("--near", metavar="PLACE", help="Tell distances: Berlin, a region, or LAT,LON.")
@click.option("--within-km", type=click.FloatRange(min=0), metavar="KM", help="With --near.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the best so many.")
@options.json_option
@options.config_option
@click.pass_context
def regions_command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    providers: tuple[str, ...],
    within: tuple[str, ...],
    near: str | None,
    within_km: float | None,
    top: int | None,
    as_json: bool,
    **job: Any,
) -> None:
    """Compare regions for a job: the best window of each, what is usual there, and distance.

    The last line says whether moving the job saves more than waiting with it at home.
    """
    from scheduler.engine import selection

    if within_km is not None and near is None:
        raise UsageError("--within-km counts from a place: give --near too, e.g. --near Berlin")
    now = options.utc_now()
    with opened(ctx) as context:
        spot = None if near is None else selection.spot(near, context.regions)
        chosen = selection.select(
            context.regions,
            names,
            providers=providers,
            within=[name for text in within for name in text.split(",") if name],
            near=spot,
            within_km=within_km,
        )
        if not chosen.regions:
            _nothing(chosen, as_json)
            return
        spec = _spec(context, [r.name for r in chosen.regions], now, **job)
        _show(context, spec, spot, chosen, now, top=top, as_json=as_json)


def _spec(
    context: Context,
    names: list[str],
    now: datetime,
    *,
    duration: str,
    slack: str,
    **fields: str | None,
) -> JobSpec:
    from scheduler import quantities
    from scheduler.engine.request import Request

    try:
        spans = [quantities.duration_s(duration), quantities.span_s(slack)]
    except ValueError as e:
        raise UsageError(str(e)) from e
    deadline = (now + timedelta(seconds=sum(spans))).isoformat()
    request = Request(
        argv=("true",), duration=duration, deadline=deadline, region=tuple(names), **fields
    )
    return options.spec_of(context, request, now)


def _show(
    context: Context,
    spec: JobSpec,
    spot: Spot | None,
    chosen: Selection,
    now: datetime,
    *,
    top: int | None,
    as_json: bool,
) -> None:
    from scheduler.engine.compare import compare
    from scheduler.report import places, schema

    found = compare(context, spec, now, spot)
    notes = [*chosen.notes, *found.notes]
    if as_json:
        print_json(
            {"schema_version": schema.SCHEMA_VERSION} | places.comparison_json(found, notes, top)
        )
        return
    if found.rows:
        encoding = sys.stdout.encoding or "ascii"
        click.echo(places.comparison_table(found, now, limit=top, encoding=encoding))
    else:
        click.echo(f"no region has a forecast: {found.plan.reason}")
    click.echo(places.verdict(found.place_or_time))
    for note in notes:
        options.say(note)


def _nothing(chosen: Selection, as_json: bool) -> None:
    """No region passed the filters: an answer, no error."""
    from scheduler.report import places, schema

    if as_json:
        print_json({"schema_version": schema.SCHEMA_VERSION} | places.nothing_json(chosen.notes))
        return
    click.echo(places.NOTHING)
    for note in chosen.notes:
        options.say(note)
