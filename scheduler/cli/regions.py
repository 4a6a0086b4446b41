"""``regions``: places for a job, side by side."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from scheduler.engine import Context
    from scheduler.engine.selection import Selection, Wanted


@click.command(
    "regions", epilog=example("lowtide regions --duration 4h --within EU --near 52.4,13.1")
)
@click.option("--duration", default="1h", show_default=True, metavar="SPAN", help="Of the job.")
@click.option("--slack", default="24h", show_default=True, metavar="SPAN", help="It may wait.")
@click.option("--power", metavar="WATTS", help="Mean power; default: one slot at full load.")
@click.option("--data", metavar="SIZE", help="To be brought to any region but home: 40GB.")
@click.option("--region", "names", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option(
    "--provider", "providers", multiple=True, metavar="NAME", help="Only of aws, own, ...; repeats."
)
@click.option(
    "--within",
    multiple=True,
    metavar="AREA",
    help="Only in DE,FR or EU, EEA, EFTA.",
)
@click.option("--near", metavar="PLACE", help="From a town, region or LAT,LON; default: home.")
@click.option(
    "--within-km", type=click.FloatRange(min=0), metavar="KM", help="Only so far from there."
)
@click.option(
    "--instances",
    is_flag=False,
    flag_value="",
    metavar="TYPES",
    help="Compare instance types instead: aws/c5.large,aws/c7a.large; alone: those of the config.",
)
@click.option(
    "--speed", "speeds", multiple=True, metavar="TYPE=X", help="Work per hour; the first has 1."
)
@click.option("--speed-equal", is_flag=True, help="Take types of unknown speed as equally fast.")
@click.option("--group", metavar="NAME", help="Learn the types' speed from its runs.")
@click.option("--unit", metavar="NAME=COUNT", help="What the work does: epochs=90.")
@click.option("--boavizta", metavar="URL", help="Embodied carbon from your Boavizta server.")
@options.json_option
@options.config_option
@click.pass_context
def regions_command(
    ctx: click.Context,
    /,
    duration: str,
    slack: str,
    power: str | None,
    data: str | None,
    names: tuple[str, ...],
    providers: tuple[str, ...],
    within: tuple[str, ...],
    near: str | None,
    within_km: float | None,
    instances: str | None,
    as_json: bool,
    **hardware: Any,
) -> None:
    """Compare regions for a job of given duration, power and slack; say if to move or to wait.

    With --instances also the hardware: types of cloud instances for the same work.
    """
    from scheduler import quantities
    from scheduler.cli import instance_options
    from scheduler.engine import compare, submission
    from scheduler.engine.request import Request
    from scheduler.engine.selection import Wanted
    from scheduler.report import instances as report_instances
    from scheduler.report import places

    if instances is None and (stray := next((k for k, v in hardware.items() if v), None)):
        option = "--speed" if stray == "speeds" else f"--{stray.replace('_', '-')}"
        raise UsageError(f"{option} belongs to --instances: which types are to be compared?")
    if instances is not None and power is not None:
        raise UsageError("--power and --instances exclude each other: each type has its own power")
    now = options.utc_now()
    with opened(ctx) as context:
        spans = [
            submission.parsed(option, text, quantities.duration_s)
            for option, text in (("--duration", duration), ("--slack", slack))
        ]
        areas = tuple(part.strip() for text in within for part in text.split(",") if part.strip())
        chosen = _chosen(context, names, Wanted(providers, areas, near, within_km))
        request = Request(
            argv=("true",),
            duration=duration,
            deadline=(now + timedelta(seconds=sum(spans))).isoformat(),
            power=power,
            data=data,
            region=tuple(r.name for r in chosen.regions),
        )
        spec = options.spec_of(context, request, now)
        if instances is not None:
            source = ctx.get_parameter_source("duration")
            given_s = None if source is click.core.ParameterSource.DEFAULT else spans[0]
            asked = instance_options.read(context, instances, given_s, **hardware)
            ranked = instance_options.compare(context, spec, asked, now, slack_s=spans[1])
            if as_json:
                print_json(report_instances.instances_json(ranked, chosen.left_out))
            else:
                options.show(report_instances.instances(ranked, chosen.left_out))
            return
        found = compare.compare(context, spec, chosen.origin, now)
        left_out = {**chosen.left_out, **found.left_out}
        encoding = sys.stdout.encoding or "ascii"
        if as_json:
            print_json(places.comparison_json(found, left_out))
        else:
            options.show(places.comparison(found, left_out, encoding))


def _chosen(context: Context, names: tuple[str, ...], wanted: Wanted) -> Selection:
    from scheduler.engine import selection

    known = context.regions
    every = tuple(known[name] for name in names) or known.every
    return selection.select(every, wanted, known, known[context.config.settings.home])
