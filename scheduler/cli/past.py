"""The jobs that ``simulate`` replays: a job log, or a cluster's accounting with what it lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scheduler.cli import options
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.simulate import LogJob

T = TypeVar("T")
# As the slack that a job without a deadline gets by default.
SLACK = "24h"
_PAST = ("slack", "tz", "power_per_slot", "power_per_gpu")


def past_options(command: Any) -> Any:
    """What belongs to ``--sacct``."""
    for option in reversed(
        (
            click.option(
                "--slack", metavar="SPAN",
                help=f"With --sacct: each job may end so much later than it did. [{SLACK}]",
            ),
            click.option(
                "--tz", metavar="ZONE",
                help="With --sacct: the cluster's time zone. [this machine's]",
            ),
            click.option(
                "--power-per-slot", metavar="POWER",
                help="With --sacct: of a held CPU. [a mean vCPU at full load]",
            ),
            click.option(
                "--power-per-gpu", metavar="POWER",
                help="With --sacct: of a held GPU; without it jobs with GPUs are left out.",
            ),
            click.option(
                "--slurm-energy", is_flag=True,
                help="With --sacct: ConsumedEnergyRaw where above zero (of whole nodes).",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def read_log(given: dict[str, Any]) -> tuple[list[LogJob], dict[str, Any]]:
    """The jobs, and what the JSON document tells of where they come from."""
    from scheduler import simulate

    log, sacct = given["log"], given["sacct"]
    if (log is None) == (sacct is None):
        raise UsageError("give either --jobs FILE (a job log) or --sacct FILE (sacct -P)")
    if log is not None:
        named = [name for name in _PAST if given[name] is not None]
        named += ["slurm_energy"] if given["slurm_energy"] else []
        if named:
            raise UsageError(
                f"--{named[0].replace('_', '-')} belongs to --sacct: a job log tells it itself"
            )
        return simulate.read_jobs(Path(log)), {}
    from scheduler.quantities import significant

    zone, slack_s = _zone(given["tz"]), span("slack", given["slack"] or SLACK)
    per_slot_w, source = _per_slot_w(given["power_per_slot"])
    per_gpu_w = _power_w("power_per_gpu", given["power_per_gpu"])
    rates = simulate.Rates(per_slot_w, per_gpu_w, given["slurm_energy"])
    past = simulate.read_sacct(Path(sacct), zone, slack_s, rates)
    notes = (
        f"times are read in {zone}",
        f"a deadline is when the job ended plus {given['slack'] or SLACK}; run now is each job's "
        "submission, as if nothing had queued",
        f"power: {significant(per_slot_w)} W for each CPU ({source})",
        *past.notes,
    )
    for note in notes:
        options.say(note)
    for why, count in past.left_out.items():
        options.say(f"left out {count}: {_REASONS.get(why, why.replace('_', ' '))}")
    about = {
        "jobs": len(past.jobs),
        "left_out": dict(past.left_out),
        "tz": zone,
        "slack_s": slack_s,
        "power_per_slot_w": per_slot_w,
        "power_per_slot_source": source,
        "power_per_gpu_w": per_gpu_w,
        "notes": list(notes),
    }
    return past.jobs, {"sacct": about}


_REASONS = {
    "steps_of_jobs": "steps, which are part of their jobs",
    "never_ran": "never ran",
    "power_of_gpus_not_given": "jobs with GPUs: give --power-per-gpu",
    "told_twice": "told twice",
}


def span(name: str, text: str) -> float:
    """A span of time of an option, in seconds."""
    from scheduler import quantities

    return _parsed(name, text, quantities.span_s)


def _zone(name: str | None) -> str:
    from scheduler import zones

    return zones.of_system(os.environ) if name is None else _parsed("tz", name, zones.checked)


def _per_slot_w(text: str | None) -> tuple[float, str]:
    """Watts of a held CPU with their source; the cluster's processor is not told, nor this one."""
    given = _power_w("power_per_slot", text)
    if given is not None:
        return given, "--power-per-slot"
    from providers.meters import microarchitecture

    mean = microarchitecture.identify("")
    return mean.full.value, f"at full load, {mean.source}"


def _power_w(name: str, text: str | None) -> float | None:
    from scheduler import quantities

    return None if text is None else _parsed(name, text, quantities.power_w)


def _parsed(name: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as e:
        raise UsageError(f"--{name.replace('_', '-')}: {e}") from e
