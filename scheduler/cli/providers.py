"""``providers``: who tells carbon intensity, what meters and engines work here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json

if TYPE_CHECKING:
    from datetime import datetime

    from providers.series import SourceInfo
    from scheduler.engine import Context
    from scheduler.regions import Region


@click.command("providers", epilog=example("lowtide providers --check"))
@click.option("--check", is_flag=True, help="Ask each live source that a region uses, now.")
@options.json_option
@options.config_option
@click.pass_context
def providers_command(ctx: click.Context, check: bool, as_json: bool) -> None:
    """List sources of carbon data, meters and engines, and whether they work here.

    Whether a source was reached, and when last, is what lowtide remembers of its own questions.
    """
    from scheduler.report import schema, terminal

    with opened(ctx) as context:
        if check:
            _check(context, options.utc_now())
        rows = [*_sources(context), *_meters(), *_engines(context)]
    if as_json:
        print_json({"schema_version": schema.SCHEMA_VERSION, "providers": rows})
    else:
        options.show(terminal.providers_table(rows))


def _check(context: Context, now: datetime) -> None:
    """One question to each live source, for the first region that uses it."""
    asked: set[str] = set()
    for region in context.regions.configured:
        for name in region.chain:
            if name not in asked and region.zone and context.outlook.source(name).info.live:
                asked.add(name)
                found = context.outlook.check(region, name, now)
                options.say(f"{name}, asked for {region.zone}: {found}")
    if not asked:
        options.say("no configured region with a zone uses a live source: nothing to ask")


def _sources(context: Context) -> list[dict[str, Any]]:
    from providers import registry
    from providers.errors import LowtideError

    settings = context.config.settings
    used = {*settings.providers, *(p for r in context.regions.configured for p in r.chain)}
    names = dict.fromkeys(
        (*settings.providers, *sorted(used), *settings.sources, *registry.targets("intensity"))
    )
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"name": name, "kind": "intensity", "used": name in used}
        try:
            info = context.outlook.source(name).info
        except LowtideError as e:
            rows.append(row | {"available": False, "detail": str(e)})
            continue
        rows.append(row | _facts(info) | _contact(context, name, info) | _answers(context, name))
    return rows


def _facts(info: SourceInfo) -> dict[str, Any]:
    return {
        "detail": info.title,
        "signal": info.signal,
        "factors": info.factors,
        "flow": info.flow,
        "step_s": info.step_s,
        "horizon_h": info.horizon_h,
        "has_actuals": info.has_actuals,
        "history_h": info.history_h,
        "final_after_s": info.final_after_s,
        "shiftable": info.shiftable,
        "licence": info.licence,
        "needs": info.needs,
        "free": info.free,
        "live": info.live,
    }


def _answers(context: Context, name: str) -> dict[str, Any]:
    """How far the source's last forecast of each zone reaches, or why there was none."""
    from scheduler.report.schema import iso

    return {
        "answers": [
            {
                "zone": answer.zone,
                "asked_at": iso(answer.checked_at),
                "reaches_to": iso(answer.until),
                "detail": str(answer),
            }
            for answer in context.outlook.last_answers(name)
        ]
    }


def _contact(context: Context, name: str, info: SourceInfo) -> dict[str, Any]:
    """Whether the source can be asked, and what came of it last; None: not known yet."""
    from scheduler.report.schema import iso

    known: dict[str, Any] = {"available": True, "access": "open", "reachable": None}
    if not info.live:
        return known | {"access": "no network", "last_success": None, "last_error": None}
    if info.key_env is not None:
        found = bool(os.environ.get(info.key_env))
        known |= {
            "available": found,
            "access": "key set" if found else "no key",
            "key_env": info.key_env,
        }
    contact = context.outlook.contact(name)
    if contact is None:
        return known | {"last_success": None, "last_error": None}
    # What failed before the last success is over.
    success, failure = contact.last_success, contact.last_failure
    over = success is not None and (failure is None or success > failure)
    return known | {
        "reachable": contact.reached,
        "last_success": iso(success),
        "last_error": None if over else contact.detail,
    }


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
    from providers.errors import LowtideError

    rows = []
    for name in registry.targets("executors"):
        users: list[Region] = [r for r in context.regions.configured if r.executor == name]
        row: dict[str, Any] = {"name": name, "kind": "executor"}
        try:
            slots = [context.executor(r.name).slots() for r in users]
            if not users:
                settings = context.config.settings.executors.get(name, {})
                slots = [
                    registry.load("executors", name)(settings, context.config.base_dir).slots()
                ]
        except LowtideError as e:
            rows.append(row | {"available": False, "detail": str(e)})
            continue
        used_by = ", ".join(r.name for r in users) or "no region"
        detail = f"{'+'.join(map(str, slots))} slots; used by {used_by}"
        rows.append(row | {"available": True, "detail": detail})
    return rows
