"""``forecast``, ``providers``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from scheduler.engine import Context
    from scheduler.regions import Region


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


@click.command("providers", epilog=example("lowtide providers --json"))
@options.json_option
@options.config_option
@click.pass_context
def providers_command(ctx: click.Context, as_json: bool) -> None:
    """List sources of carbon data, meters and engines, and whether they work here."""
    from scheduler.report import schema, terminal

    with opened(ctx) as context:
        rows = [*_sources(context), *_meters(), *_engines(context)]
    if as_json:
        print_json({"schema_version": schema.SCHEMA_VERSION, "providers": rows})
    else:
        click.echo(terminal.providers_table(rows))


def _sources(context: Context) -> list[dict[str, Any]]:
    from providers import registry
    from providers.errors import LowtideError

    settings = context.config.settings
    names = dict.fromkeys(
        (
            *settings.providers,
            *(p for r in settings.regions.values() for p in r.providers or ()),
            *settings.sources,
            *registry.targets("intensity"),
        )
    )
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {
            "name": name,
            "kind": "intensity",
            "used": name in settings.providers,
        }
        try:
            info = context.outlook.source(name).info
        except LowtideError as e:
            rows.append(row | {"available": False, "detail": str(e)})
            continue
        rows.append(
            row
            | {
                "available": True,
                "detail": info.title,
                "signal": info.signal,
                "factors": info.factors,
                "flow": info.flow,
                "step_s": info.step_s,
                "horizon_h": info.horizon_h,
                "has_actuals": info.has_actuals,
                "shiftable": info.shiftable,
                "licence": info.licence,
                "needs": info.needs,
            }
        )
    return rows


def _meters() -> list[dict[str, Any]]:
    from providers import registry

    rows = []
    for name in registry.targets("meters"):
        probe = registry.load("meters", name).probe()
        rows.append(
            {"name": name, "kind": "meter", "available": probe.available, "detail": probe.detail}
        )
    return rows


def _engines(context: Context) -> list[dict[str, Any]]:
    from providers import registry

    rows = []
    for name in registry.targets("executors"):
        users: list[Region] = [r for r in context.regions.configured if r.executor == name]
        engine = registry.load("executors", name)({}, context.config.base_dir)
        used_by = ", ".join(r.name for r in users) or "no region"
        rows.append(
            {
                "name": name,
                "kind": "executor",
                "available": True,
                "detail": f"{engine.slots()} slots; used by {used_by}",
            }
        )
    return rows


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
