"""``forecast``: what is expected of a region, and how well the forecaster does."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.cli.views import local_zone
from scheduler.errors import UsageError


@click.command("forecast", epilog=example("lowtide forecast aws:eu-north-1 --hours 48"))
@click.argument("region", required=False)
@click.option("--hours", type=click.IntRange(1, 24 * 14), default=24, show_default=True)
@click.option("--backtest", metavar="FILE", help="Score the forecaster on a trace: CSV, .gz too.")
@click.option("--region", "only", multiple=True, metavar="R", help="With --backtest: only these.")
@click.option("--from", "since", metavar="DATE", help="With --backtest: the first issue, UTC.")
@click.option("--to", "until", metavar="DATE", help="With --backtest: nothing later, UTC.")
@click.option("--accuracy", is_flag=True, help="Score what sources and plans foretold here.")
@click.option(
    "--since",
    "lately",
    default="28d",
    show_default=True,
    metavar="SPAN",
    help="With --accuracy: what was issued or ended since.",
)
@options.json_option
@options.config_option
@click.pass_context
def forecast_command(
    ctx: click.Context,
    region: str | None,
    hours: int,
    backtest: str | None,
    only: tuple[str, ...],
    since: str | None,
    until: str | None,
    accuracy: bool,
    lately: str,
    as_json: bool,
) -> None:
    """Show what is expected of a region's carbon intensity: a table and a plot.

    With --backtest: replay a recorded series through the built-in forecaster, and score it. With
    --accuracy: what the sources foretold here, and the plans made on it, against what really was.
    """
    if accuracy:
        if region is not None or backtest is not None:
            raise UsageError("--accuracy is about all that is stored: give no REGION or --backtest")
        _accuracy(ctx, lately, as_json)
    elif backtest is not None:
        if region is not None:
            raise UsageError(f"--backtest scores a file: write --region {region} for a part of it")
        _backtest(Path(backtest), only, _date("--from", since), _date("--to", until), as_json)
    elif only or since is not None or until is not None:
        raise UsageError("--region, --from and --to are parts of --backtest FILE")
    elif region is None:
        raise UsageError(
            "forecast needs a REGION, --backtest FILE or --accuracy (see `lowtide forecast -h`)"
        )
    else:
        _show(ctx, region, hours, as_json)


def _show(ctx: click.Context, region: str, hours: int, as_json: bool) -> None:
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
        options.show(plot.forecast_table(series, local_zone()))
        options.show(plot.forecast_plot(series, local_zone()))
        for note in known.notes:
            options.say(note)


def _accuracy(ctx: click.Context, lately: str, as_json: bool) -> None:
    from scheduler.engine import accuracy
    from scheduler.report import accuracy as render
    from scheduler.report import schema

    now = options.utc_now()
    with opened(ctx) as context:
        since = options.since(lately, now)
        sources = accuracy.of_sources(context, since, now)
        plans = accuracy.of_plans(context, since, now)
    if as_json:
        content = {"schema_version": schema.SCHEMA_VERSION, "since": schema.iso(since)}
        print_json(content | render.as_json(sources, plans))
    else:
        options.show(render.text(sources, plans))


def _backtest(
    trace: Path, only: tuple[str, ...], from_s: float | None, to_s: float | None, as_json: bool
) -> None:
    from scheduler import backtest
    from scheduler.report import backtest as table
    from scheduler.report import schema

    def tell(region: str, done: int, every: int) -> None:
        options.say(f"{region} ({done + 1} of {every})")

    shown = {"on_region": tell} if sys.stderr.isatty() else {}
    figures = backtest.run(trace, only, from_s, to_s, **shown)
    for note in figures.get("notes", ()):
        options.say(note)
    if as_json:
        print_json({"schema_version": schema.SCHEMA_VERSION, **figures})
    else:
        options.show(table.summary(figures))


def _date(option: str, text: str | None) -> float | None:
    """A date or an ISO time as Unix seconds; without an offset it is UTC, as in the trace."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"{option} {text!r} is no date: write e.g. 2022-03-01") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
