"""The jobs that ``simulate`` replays: a job log, or a cluster's accounting with what it lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scheduler.cli import options
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.simulate import LogJob, Past

T = TypeVar("T")
# As the slack that a job without a deadline gets by default.
SLACK = "24h"
# What a past needs that does not say it, and what only accounting does.
_PAST = ("slack", "power_per_slot")
_SACCT = ("tz", "power_per_gpu", "slurm_energy", "sacct_columns")
_SWF = ("jobs_start",)


def past_options(command: Any) -> Any:
    """What belongs to ``--sacct``, or to a log in the Standard Workload Format."""
    for option in reversed(
        (
            click.option(
                "--slack", metavar="SPAN",
                help=f"With --sacct or SWF: each job may end so much later than it did. [{SLACK}]",
            ),
            click.option(
                "--tz", metavar="ZONE",
                help="With --sacct: the cluster's time zone. [this machine's]",
            ),
            click.option(
                "--power-per-slot", metavar="POWER",
                help="With --sacct or SWF: of a held CPU. [a mean vCPU at full load]",
            ),
            click.option(
                "--power-per-gpu", metavar="POWER",
                help="With --sacct: of a held GPU; without it jobs with GPUs are left out.",
            ),
            click.option(
                "--slurm-energy", is_flag=True,
                help="With --sacct: ConsumedEnergyRaw where above zero (of whole nodes).",
            ),
            click.option(
                "--sacct-columns", metavar="NAMES",
                help="With --sacct: the columns of an output without a header, as for --format.",
            ),
            click.option(
                "--jobs-start", metavar="TIME",
                help="With an SWF log: when its second 0 is. [what it says, or the trace's start]",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def read_log(given: dict[str, Any], trace_start_s: float) -> tuple[list[LogJob], dict[str, Any]]:
    """The jobs, and what the JSON document tells of where they come from.

    A log without a date begins at ``trace_start_s`` (Unix seconds).
    """
    from scheduler import simulate

    log, sacct = given["log"], given["sacct"]
    if (log is None) == (sacct is None):
        raise UsageError("give either --jobs FILE (a job log) or --sacct FILE (sacct -P)")
    if sacct is not None:
        _check(given, _SWF, "a --jobs log in the Standard Workload Format")
        return _from_sacct(given, Path(sacct))
    path = Path(log)
    _check(given, _SACCT, "--sacct")
    if simulate.is_swf(path):
        return _from_swf(given, path, trace_start_s)
    _check(given, _PAST, "--sacct: a job log tells it itself")
    _check(given, _SWF, "a log in the Standard Workload Format: this one has times")
    return simulate.read_jobs(path), {}


def _check(given: dict[str, Any], names: Sequence[str], where: str) -> None:
    for name in names:
        if given[name]:
            raise UsageError(f"--{name.replace('_', '-')} belongs to {where}")


def _from_sacct(given: dict[str, Any], path: Path) -> tuple[list[LogJob], dict[str, Any]]:
    from scheduler import simulate

    zone, slack_s = _zone(given["tz"]), span("slack", given["slack"] or SLACK)
    per_slot_w, source = _per_slot_w(given["power_per_slot"])
    per_gpu_w = _power_w("power_per_gpu", given["power_per_gpu"])
    rates = simulate.Rates(per_slot_w, per_gpu_w, given["slurm_energy"])
    columns = tuple(filter(None, (given["sacct_columns"] or "").split(",")))
    past = simulate.read_sacct(path, zone, slack_s, rates, columns)
    notes = (f"times are read in {zone}", *_assumed(given, per_slot_w, source), *past.notes)
    about = {"tz": zone, "power_per_gpu_w": per_gpu_w}
    return past.jobs, {"sacct": _about(past, slack_s, per_slot_w, source, notes) | about}


def _from_swf(
    given: dict[str, Any], path: Path, trace_start_s: float
) -> tuple[list[LogJob], dict[str, Any]]:
    from scheduler import simulate
    from scheduler.simulate.log import moment_s

    start, slack_s = given["jobs_start"], span("slack", given["slack"] or SLACK)
    start_s = None if start is None else _parsed("jobs_start", start, moment_s)
    per_slot_w, source = _per_slot_w(given["power_per_slot"])
    past = simulate.read_swf(path, start_s, trace_start_s, slack_s, per_slot_w)
    notes = (*_assumed(given, per_slot_w, source), *past.notes)
    return past.jobs, {"swf": _about(past, slack_s, per_slot_w, source, notes)}


def _assumed(given: dict[str, Any], per_slot_w: float, source: str) -> tuple[str, ...]:
    from scheduler.quantities import significant

    return (
        f"a deadline is when the job ended plus {given['slack'] or SLACK}; run now is each job's "
        "submission, as if nothing had queued",
        f"power: {significant(per_slot_w)} W for each CPU ({source})",
    )


def _about(
    past: Past, slack_s: float, per_slot_w: float, source: str, notes: Sequence[str]
) -> dict[str, Any]:
    """What the JSON document tells of a past; the same is said on stderr."""
    from scheduler.simulate import sacct_fields

    for note in notes:
        options.say(note)
    for why, count in past.left_out.items():
        options.say(f"left out {count}: {sacct_fields.reason(why)}")
    return {
        "jobs": len(past.jobs),
        "left_out": dict(past.left_out),
        "slack_s": slack_s,
        "power_per_slot_w": per_slot_w,
        "power_per_slot_source": source,
        "notes": list(notes),
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
