"""``doctor`` and ``completion``."""

from __future__ import annotations

import os
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from scheduler.cli import options
from scheduler.cli.options import example, opened, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scheduler.engine import Context

Finding = tuple[str, bool, str]
# The newest troubles are shown, so many.
TROUBLES = 10


@click.command("doctor", epilog=example("lowtide doctor --json"))
@options.json_option
@options.config_option
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> int:
    """Check packages, config, database, meters and whether somebody looks after the queue."""
    from scheduler.report import schema

    findings = [*_packages()]
    with opened(ctx) as context:
        from scheduler import engine

        findings += _configs(context)
        findings.append(("home", True, str(context.config.home)))
        state = context.store.check()
        findings.append(("database", state == "ok", f"{state}: {context.store.shown}"))
        leader = engine.leader(context, options.utc_now())
        findings.append(("leader", True, leader.owner if leader else "nobody plans just now"))
        zone = context.regions["local"].zone
        findings.append(
            (
                "local zone",
                zone is not None,
                zone or "not set (see `lowtide init`): nothing is shifted for local",
            )
        )
        findings += _sources(context)
        watched = engine.watcher_seen(context, options.utc_now())
        findings.append(
            ("watcher", watched, "seen" if watched else "no daemon or tick for 2 minutes")
        )
        findings += _slots(context, os.cpu_count() or 1)
        findings += _meters(context.config.meters)
        findings += _tables(options.utc_now().year)
        findings += _troubles(context)
    if as_json:
        rows = [{"check": n, "ok": ok, "detail": d} for n, ok, d in findings]
        print_json({"schema_version": schema.SCHEMA_VERSION, "checks": rows})
    else:
        for name, ok, detail in findings:
            options.show(f"{'ok  ' if ok else 'look'}  {name}: {detail}")
    broken = [d for name, ok, d in findings if not ok and name in {"packages", "database"}]
    return 5 if broken else 0


def _packages() -> Iterator[Finding]:
    """Both import names must come from one place and have one owner: they are generic."""
    import providers
    import scheduler

    places = {Path(str(m.__file__)).parent.parent for m in (scheduler, providers)}
    owners = {
        name: [d for d in packages_distributions().get(name, []) if d != "lowtide"]
        for name in ("scheduler", "providers")
    }
    others = sorted({d for found in owners.values() for d in found})
    if len(places) > 1 or others:
        found = f"also installed by {', '.join(others)}" if others else f"found in {places}"
        yield "packages", False, f"{found}: install lowtide in an environment of its own"
    else:
        yield "packages", True, f"lowtide {version('lowtide')} in {places.pop()}"
    yield "python", sys.version_info >= (3, 11), sys.version.split()[0]


def _configs(context: Context) -> Iterator[Finding]:
    """Which file this command goes by and why, which were passed over, and who uses another."""
    from scheduler import engine

    config = context.config
    yield "config", True, f"{config.path} ({config.why})"
    for hint in config.hints:
        yield "config", False, hint
    for said in engine.otherwise_configured(context, options.utc_now()):
        yield "config elsewhere", False, said


def _sources(context: Context) -> Iterator[Finding]:
    """Sources that a region uses: can each be asked, and did it answer when it last was?"""
    from providers import registry
    from providers.errors import LowtideError

    known = {*context.config.settings.sources, *registry.targets("intensity")}
    for region in context.regions.configured:
        strange = sorted(set(region.zones) - known)
        if strange:
            yield f"zones of {region.name}", False, f"no source is called {', '.join(strange)}"
    for name in dict.fromkeys(n for r in context.regions.configured for n in r.chain):
        try:
            info = context.outlook.source(name).info
        except LowtideError as e:
            yield f"source {name}", False, str(e)
            continue
        contact = context.outlook.contact(name) if info.live else None
        if info.key_env is not None and not os.environ.get(info.key_env):
            yield f"source {name}", False, f"no key: set {info.key_env} ({info.needs})"
        elif contact is not None and not contact.reached:
            yield f"source {name}", False, contact.detail or "it did not answer when last asked"
        else:
            answers = context.outlook.last_answers(name)
            fine = all(answer.until is not None for answer in answers)
            yield f"source {name}", fine, "; ".join([info.title, *map(str, answers)])


def _troubles(context: Context) -> Iterator[Finding]:
    """What went wrong in the last day with single jobs, sources and steps of a pass, which went on
    without them.
    """
    from scheduler.store import OWN

    for event in context.store.jobs.troubled(options.utc_now(), TROUBLES):
        what = f"pass: {event.kind}" if event.job_id == OWN else f"job {event.job_id}"
        yield what, False, f"{event.at:%Y-%m-%dT%H:%M:%SZ}: {event.detail}"


def _slots(context: Context, cpus: int) -> Iterator[Finding]:
    """Whether regions that run jobs on this machine lend more of it than there is."""
    here = [r for r in context.regions.configured if r.executor == "local" and r.slots]
    lent = sum(max(region.slots or ()) for region in here)
    if lent > cpus:
        names = ", ".join(f"regions.{region.name}.slots" for region in here)
        yield (
            "slots",
            False,
            f"{names}: {lent} slots are lent of {cpus} logical CPUs, so jobs slow each other down; "
            f"each is charged its part of {cpus}: declare at most {cpus}",
        )


def _meters(names: Sequence[str]) -> Iterator[Finding]:
    """Those that the config names."""
    from providers import registry
    from providers.errors import LowtideError

    for name in names:
        try:
            probe = registry.meter(name).probe()
        except LowtideError as e:
            yield f"meter {name}", False, str(e)
        else:
            yield f"meter {name}", probe.available, probe.detail
            for trouble in probe.troubles:
                yield f"meter {name}", False, trouble


def _tables(this_year: int) -> Iterator[Finding]:
    """How old the embedded tables are; the level of intensity serves for a number of years."""
    from providers import catalogue, typical
    from providers.hardware import ccf
    from providers.intensity import country_mean

    free = [share.year for share in catalogue.carbon_free().values()]
    level = max(year for means in typical.yearly().values() for year in means)
    spans = {
        "intensity, yearly level": (level, level),
        "intensity, shape of the day and year": (typical.SHAPE_YEAR, typical.SHAPE_YEAR),
        "country means": country_mean.years(),
        "PUE by region": catalogue.years("pue"),
        "water use by region": catalogue.years("wue_l_per_kwh"),
        "carbon-free energy by region": (min(free), max(free)),
        "embodied carbon and watts per vCPU": (ccf.YEAR, ccf.YEAR),
    }
    for name, (first, last) in spans.items():
        years = str(last) if first == last else f"{first} to {last}"
        age = max(0, this_year - last)
        detail = f"{years}: {age} year{'s' * (age != 1)} old"
        outdated = name.endswith("level") and age > typical.YEARS_AHEAD
        if outdated:
            detail += f", and its band holds for {typical.YEARS_AHEAD}: get a newer lowtide"
        yield f"table of {name}", not outdated, detail


@click.command("completion", epilog=example('eval "$(lowtide completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell; put it into the shell's start-up file."""
    from scheduler.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None  # the three shells click ships
    click.echo(found(cli, {}, "lowtide", "_LOWTIDE_COMPLETE").source())
