"""``history``: what really was, as it is stored: listed, brought in from files, written out."""

from __future__ import annotations

import csv
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from providers.errors import SettingsError
from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.series import Kind, Series

COLUMNS = (
    "timestamp_utc", "region", "g_per_kwh", "ends_utc", "source", "signal", "factors", "flow",
    "kind", "vintage_utc",
)  # fmt: skip


@click.group(
    "history",
    invoke_without_command=True,
    epilog=example("lowtide history import de-2022.csv.gz --source entsoe --factors lifecycle"),
)
@options.config_option
@click.pass_context
def history_command(ctx: click.Context) -> None:
    """Show, import and export actual carbon intensity.

    It is what plans and the forecaster learn from. Alone it lists what is stored.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@history_command.command("list", epilog=example("lowtide history list --json"))
@options.json_option
@options.config_option
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """List what is stored, by zone and source; times in UTC."""
    from providers.series import from_unix
    from scheduler.report import schema, terminal

    with opened(ctx) as context:
        found = context.store.actuals.stored()
    rows = [
        {
            "zone": s.zone,
            "source": s.source,
            "signal": s.signal,
            "from": schema.iso(from_unix(s.first_s)),
            "to": schema.iso(from_unix(s.last_s)),
            "hours": s.hours,
        }
        for s in found
    ]
    if as_json:
        print_json({"schema_version": schema.SCHEMA_VERSION, "history": rows})
    else:
        options.show(terminal.history_table(rows))


@history_command.command("import", epilog=example("lowtide history import de-2022.csv.gz"))
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--source", metavar="NAME", help="Who told it; default: the file's name.")
@click.option(
    "--signal",
    type=click.Choice(["average", "marginal"]),
    help="What the figures are; default: what the file says, else average.",
)
@click.option("--factors", type=click.Choice(["direct", "lifecycle"]), help="Emission factors.")
@click.option("--flow", type=click.Choice(["consumption", "production"]), help="Of the zone's.")
@click.option(
    "--kind",
    type=click.Choice(["actual", "forecast"]),
    help="Which values to take; forecasts are stored as estimates.",
)
@click.option(
    "--columns",
    metavar="NAMES",
    help="A file of another form: time=...,value=...,region=...,ends=...",
)
@click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="ZONE",
    help="Only these; repeatable. Without a column of zones: whose values they are.",
)
@options.json_option
@options.config_option
@click.pass_context
def import_command(
    ctx: click.Context,
    path: Path,
    source: str | None,
    signal: str | None,
    factors: str | None,
    flow: str | None,
    kind: str | None,
    columns: str | None,
    zones: tuple[str, ...],
    as_json: bool,
) -> None:
    """Bring in a file of actual values.

    CSV, .gz too: timestamp_utc, region, g_per_kwh, and where it has them ends_utc, signal, factors
    and flow; else the options say what the figures are. Exports of Electricity Maps' portal (with
    --factors) and of NESO's (with --kind) go in as they are, any other file with --columns. All of
    it or nothing; once more is without effect. A value that differs from before counts from now
    on, and what it was before is kept.
    """
    from scheduler.report import schema

    name = path.name.removesuffix(".gz").removesuffix(".csv") if source is None else source
    if not name.strip():
        raise UsageError("--source: a name is needed, e.g. --source entsoe")
    with opened(ctx) as context:
        facts = {"source": name, "signal": signal, "factors": factors, "flow": flow, "kind": kind}
        every, notes = _read(path, facts | {"columns": _columns(columns)}, zones)
        counts = context.store.actuals.remember_all(name, every, options.utc_now())
    for note in notes:
        options.say(note)
    if as_json:
        told = [{"zone": s.zone, **asdict(c)} for s, c in zip(every, counts, strict=True)]
        content = {"schema_version": schema.SCHEMA_VERSION, "source": name, "zones": told}
        print_json(content | ({"notes": list(notes)} if notes else {}))
        return
    for one, count in zip(every, counts, strict=True):
        options.show(
            f"{one.zone} from {name}: {count.new} new, {count.changed} changed, "
            f"{count.same} the same"
        )


def _columns(text: str | None) -> dict[str, str]:
    """``time=a,value=b`` as a mapping; a name with a comma in it stands in quotes, as in CSV."""
    parts = next(csv.reader([text]), []) if text else []
    named = {what.strip(): name.strip() for what, _, name in (p.partition("=") for p in parts)}
    known = ("time", "value", "region", "ends")
    if any(what not in known or not name for what, name in named.items()):
        raise UsageError(
            f"--columns {text!r} is not understood: name {', '.join(known)}, e.g. "
            "--columns time=Date,value=Intensity,region=Zone"
        )
    return named


def _read(
    path: Path, settings: dict[str, Any], zones: tuple[str, ...]
) -> tuple[list[Series], tuple[str, ...]]:
    """The file's zones, or those asked for, and what was done to its rows.

    Forecasts are no measurement: they are estimates of what was.
    """
    from providers import registry
    from providers.surroundings import Surroundings

    whole = path.absolute()
    build = registry.load("intensity", "trace")
    if len(zones) == 1:
        settings = settings | {"zone": zones[0]}
    try:
        trace = build({"path": str(whole)} | settings, Surroundings.at(whole.parent))
        names = dict.fromkeys(zones) or trace.in_order()
    except SettingsError as e:
        raise UsageError(str(e)) from e
    kind: Kind = "estimate" if settings["kind"] == "forecast" else "actual"
    notes = tuple(note for name in names for note in trace.notes(name))
    return [replace(trace.whole(name), kind=kind) for name in names], notes


@history_command.command(
    "export", epilog=example("lowtide history export --zone DE --from 2026-01-01T00:00Z > de.csv")
)
@click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Only these; repeatable.")
@click.option("--source", metavar="NAME", help="Only what this source told.")
@click.option("--from", "start", metavar="TIME", help="ISO 8601 with offset, or 30d ago.")
@click.option("--to", "end", metavar="TIME", help="ISO 8601 with offset, or 1d ago.")
@click.option("--all-vintages", is_flag=True, help="Also what was told before a revision.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Else stdout.")
@options.config_option
@click.pass_context
def export_command(
    ctx: click.Context,
    zones: tuple[str, ...],
    source: str | None,
    start: str | None,
    end: str | None,
    all_vintages: bool,
    out: Path | None,
) -> None:
    """Write what is stored as CSV.

    `lowtide history import` reads it again, one source and one vintage at a time.
    """
    low, high = _moment(start, "--from"), _moment(end, "--to")
    if low is not None and high is not None and low >= high:
        raise UsageError(f"--from {start} is not before --to {end}")
    with opened(ctx) as context:
        actuals = context.store.actuals
        found = [
            s
            for s in actuals.stored()
            if (not zones or s.zone in zones)
            and (source is None or s.source == source)
            and (high is None or s.first_s < high)
            and (low is None or s.last_s > low)
        ]
        missing = sorted({*zones} - {s.zone for s in found})
        if missing or not found:
            what = f" of {', '.join(missing)}" if missing else ""
            raise UsageError(f"nothing is stored{what} that this asks for: see `lowtide history`")
        with options.published() if out is None else options.written(out) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for stored in found:
                blocks = actuals.vintages(
                    stored.zone,
                    stored.source,
                    stored.first_s if low is None else low,
                    stored.last_s if high is None else high,
                    newest=not all_vintages,
                )
                for fetched_s, block in blocks:
                    rows.writerows(_rows(stored.source, block, fetched_s))


def _moment(text: str | None, option: str) -> float | None:

    return None if text is None else options.since(text, options.utc_now(), option).timestamp()


def _rows(source: str, block: Series, fetched_s: float) -> Iterator[tuple[str | float, ...]]:
    """One row an interval, its figures as exact as they are stored."""
    facts = block.signal, block.factors or "", block.flow or "", block.kind, _iso(fetched_s)
    columns = (c.tolist() for c in (block.starts, block.ends, block.g_per_kwh))
    for start, end, value in zip(*columns, strict=True):
        yield _iso(start), block.zone, value, _iso(end), source, *facts


def _iso(seconds: float) -> str:
    from providers.series import from_unix

    return from_unix(seconds).isoformat().replace("+00:00", "Z")
