"""``simulate``: what a policy would have saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from providers.errors import NoData
from scheduler.cli import options
from scheduler.cli.options import example, print_json
from scheduler.cli.past import past_options, read_log, span
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.simulate import Knowledge, LogJob


@click.command(
    "simulate",
    epilog=example("lowtide simulate --jobs log.csv --trace de-2022.csv --capacity 500 --json"),
)
@click.option("--jobs", "log", metavar="FILE", help="Job log: CSV or SWF, .gz too.")
@click.option("--sacct", metavar="FILE", help="Or a cluster's past: output of `sacct -P`, .gz too.")
@past_options
@click.option("--trace", metavar="FILE", required=True, help="Actual intensity: CSV, .gz too.")
@click.option(
    "--factors",
    type=click.Choice(["direct", "lifecycle"]),
    help="Which values of a trace that has both.",
)
@click.option("--forecast", metavar="FILE", help="Forecasts by issue; else all is known before.")
@click.option("--region", "regions", multiple=True, metavar="R", help="Zones; the first is home.")
@click.option("--capacity", type=click.IntRange(1), metavar="N", help="Slots of each region.")
@click.option(
    "--policy",
    type=click.Choice(("run-now", "window", "segments", "fleet", "oracle")),
    default="fleet",
    show_default=True,
    help="How jobs are placed.",
)
@click.option("--refresh", default="1h", show_default=True, metavar="SPAN", help="Plan anew.")
@click.option(
    "--resume-overhead", default="0s", show_default=True, metavar="SPAN", help="Of a resume."
)
@click.option("--min-run", default="0s", show_default=True, metavar="SPAN", help="Least segment.")
@click.option("--max-segments", type=click.IntRange(1), metavar="K", help="Segments of a job.")
@click.option("--out", metavar="FILE", help="Write the schedule as CSV.")
@options.json_option
def simulate_command(trace: str, as_json: bool, out: str | None, **given: Any) -> None:
    """Replay a job log, or what Slurm's accounting tells of a cluster's past, against recorded
    intensities, through the planner that runs live.
    """
    from scheduler import simulate

    rules = _rules(given)
    forecast = given["forecast"]
    knowledge = simulate.read(
        Path(trace), forecast and Path(forecast), given["regions"], given["factors"]
    )
    jobs, past = read_log(given, knowledge.start_s)
    _compare_spans(jobs, knowledge)
    with click.progressbar(length=1000, label=f"{len(jobs)} jobs", file=sys.stderr) as bar:
        outcome = simulate.simulate(
            jobs,
            knowledge,
            rules,
            lambda done, every: bar.update(1000 * done // max(every, 1) - bar.pos),
        )
    if not outcome.jobs:
        said = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in outcome.refused.items())
        if rules.capacity is not None:
            least = min(job.slots for job in jobs)
            said += f" (--capacity {rules.capacity}; the smallest job holds {least} slots)"
        raise NoData(f"of {len(jobs)} jobs none can be simulated: {said}")
    if out is not None:
        with options.written(Path(out)) as file:
            outcome.write(file)
        options.say(f"wrote {len(outcome.schedule)} rows to {out}")
    figures = outcome.as_dict() | past
    if as_json:
        print_json(figures)
        return
    from scheduler.report import simulation

    options.show(simulation.summary(figures))


def _compare_spans(jobs: Sequence[LogJob], knowledge: Knowledge) -> None:
    """Say how many jobs lie outside the trace; :class:`NoData` where all of them do."""
    from scheduler.planner.task import INSTANT_S

    start_s, end_s = knowledge.start_s - INSTANT_S, knowledge.end_s + INSTANT_S
    outside = sum(
        1 for job in jobs if job.submitted_s < start_s or job.submitted_s + job.duration_s > end_s
    )
    where = f"outside the trace ({_day(knowledge.start_s)} to {_day(knowledge.end_s)})"
    if outside == len(jobs):
        first, last = (pick(job.submitted_s for job in jobs) for pick in (min, max))
        raise NoData(
            f"all {len(jobs)} jobs lie {where}: nothing to simulate; they were submitted from "
            f"{_day(first)} to {_day(last)}"
        )
    if outside:
        options.say(f"{outside} of {len(jobs)} jobs lie {where} and are left out")


def _day(time_s: float) -> str:
    from providers.series import from_unix

    return f"{from_unix(time_s):%Y-%m-%d}"


def _rules(given: dict[str, Any]) -> Any:
    from scheduler import simulate
    from scheduler.models import MOST
    from scheduler.planner.segments import Pausing

    spans = {name: span(name, given[name]) for name in ("refresh", "resume_overhead", "min_run")}
    if spans["refresh"] <= 0:
        raise UsageError("--refresh 0s: plans need some time between them, e.g. 1h")
    if given["capacity"] is not None and given["capacity"] > MOST:
        raise UsageError(f"--capacity must be at most {MOST}, not {given['capacity']}")
    return simulate.Rules(
        policy=given["policy"],
        capacity=given["capacity"],
        refresh_s=spans["refresh"],
        pausing=Pausing(spans["resume_overhead"], spans["min_run"], given["max_segments"]),
    )
