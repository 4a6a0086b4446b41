"""Views on a terminal: reports, plans, lists. Each function returns text of a given width."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from scheduler.models import GIVEN
from scheduler.quantities import duration, significant
from scheduler.report.headline import contribution, headline, method
from scheduler.report.redaction import redact
from scheduler.report.tables import draw, table
from scheduler.report.units import (
    change,
    clock,
    energy,
    grams,
    on_clocks,
    pruned,
    triple,
    zone_name,
)
from scheduler.report.unsettled import unsettled
from scheduler.report.versions import changes
from scheduler.sci import boundary, methodology
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, tzinfo

    from scheduler.models import (
        Event,
        Job,
        JobSpec,
        Plan,
        QueuePlan,
        Recurrence,
        Settlement,
        Window,
    )
    from scheduler.store import Listing, Version

WIDTH = 110
SOURCES_WIDTH = 124


def status_table(jobs: Sequence[Job], now: datetime, tz: tzinfo) -> str:
    """One line a job."""
    if not jobs:
        return "no jobs; queue one with `lowtide submit --duration 2h -- COMMAND`"
    drawn = table(
        "id", "name", "state", "region", "start", "deadline", "saving>", "reason",
        whole=("state", "start", "deadline"), optional=("saving", "region", "deadline", "start"),
    )  # fmt: skip
    for job in jobs:
        start = job.started_at or (job.plan.window.start if job.plan else None)
        saved = job.plan.saving_percent if job.plan else None
        drawn.add_row(
            job.id,
            printable(job.spec.name),
            str(job.state),
            job.region or "-",
            clock(start, now, tz) if start else "-",
            clock(job.spec.deadline, now, tz) if job.spec.deadline else "-",
            change(saved) if saved is not None else "-",
            printable(job.reason) if job.state.ended else "",
        )
    return draw(drawn, f"times in {zone_name(tz, now)}", width=WIDTH)


def left_out(listing: Listing) -> str:
    """How many jobs are not listed, by state; empty where all are."""
    counts = ", ".join(f"{n} {state}" for state, n in sorted(listing.left_out.items()))
    return f"not listed: {counts}; -n N lists more that ended, --all every job" if counts else ""


def queue_line(queue: QueuePlan, now: datetime, tz: tzinfo) -> str:
    """How near the plans of all waiting jobs are to the best possible."""
    head = f"queue at {clock(queue.made_at, now, tz)}: {queue.jobs} job(s)"
    late = f"; {queue.late} cannot meet the deadline" if queue.late else ""
    if not queue.together and queue.lower_bound_g is None:
        return f"{head}, none in another's way{late}"
    if not queue.together:
        return f"{head}, none in another's way: each has the best plan there is{late}"
    gap = queue.gap_percent
    return f"{head} planned together{_nearness(gap)}{late}"


def _nearness(gap_percent: float | None) -> str:
    if gap_percent is None:
        return ""
    # Below what float rounding and the printed digits can tell apart, nothing is left to gain.
    if gap_percent < 0.005:
        return ", optimal"
    return f", within {gap_percent:.2f} % of the lower bound"


def series_table(series: Sequence[Recurrence], now: datetime) -> str:
    """One line a job that repeats; times on the clocks of its own zone."""
    drawn = table(
        "repeats", "name", "every", "time zone", "within>", "next",
        whole=("every", "next"), optional=("within", "time zone"),
    )  # fmt: skip
    for each in series:
        drawn.add_row(
            each.id,
            printable(each.template.name),
            each.every,
            each.tz,
            duration(each.within_s),
            clock(each.next, now, ZoneInfo(each.tz)),
        )
    return draw(drawn, width=WIDTH)


def job_view(job: Job, now: datetime, tz: tzinfo) -> str:
    """What was asked for, and where it stands."""
    spec = job.spec
    lines = [
        f"{job.id}  {spec.name}  {job.state}: {job.reason}",
        f"  command    {shlex.join(redact(spec.argv))}",
        f"  folder     {spec.cwd}",
        f"  user       {spec.user}, project {spec.project or '-'}, group {spec.group or '-'}",
        f"  holds      {spec.slots} slot(s), {spec.gpus} GPU(s), home {spec.home}",
        f"  duration   {_duration(spec)}",
        f"  release    {clock(spec.release, now, tz)}",
    ]
    if spec.deadline is not None:
        assumed = " (assumed)" if spec.deadline_assumed else ""
        lines.append(f"  deadline   {clock(spec.deadline, now, tz)}, finish by{assumed}")
    if spec.start_by is not None:
        lines.append(f"  start by   {clock(spec.start_by, now, tz)}")
    lines.append(f"  times in   {zone_name(tz, now)}")
    if job.pruned_at is not None:
        lines.append(f"  {pruned(job.pruned_at)}")
    if spec.recurrence is not None:
        lines.append(f"  series     {spec.recurrence}")
    if spec.after:
        lines.append(f"  after      {', '.join(spec.after)}")
    if job.plan is not None:
        lines += [f"  power      {power(job.plan)}", f"  why        {job.plan.reason}"]
    return "\n".join(printable(on_clocks(line, now, tz)) for line in lines)


def _duration(spec: JobSpec) -> str:
    if spec.duration_s is None:
        return "not given"
    learned = "" if spec.duration_source == GIVEN else f", {spec.duration_source}"
    return f"{duration(spec.duration_s)}{learned}"


def power(plan: Plan) -> str:
    """The power that a plan counts with, and who says so."""
    watts = plan.power.watts
    figure = "unknown" if watts is None else f"{significant(watts.value)} W"
    return f"{figure}, {plan.power.source} ({plan.power.detail})"


def story(job: Job, events: Sequence[Event], now: datetime, tz: tzinfo) -> str:
    """What happened to a job and why, in order."""
    lines = [
        f"{clock(e.at, now, tz):>16}  {e.kind:<10} {e.detail}"  # ids and times line up
        for e in events
    ]
    if job.plan is not None and not job.state.ended and not job.state.active:
        left = (job.plan.start - now).total_seconds()
        verb = "starts" if job.plan.goes_on_at is None else "goes on"
        waits = f"{verb} in {duration(left)}" if left > 0 else "is due"
        lines.append(f"{'now':>16}  {'waiting':<10} {waits}: {job.plan.reason}")
    lines.append(f"{'':>16}  (times in {zone_name(tz, now)})")
    return "\n".join(printable(on_clocks(line, now, tz)) for line in lines)


def alternatives(plan: Plan, *, limit: int, now: datetime, tz: tzinfo) -> str:
    """The best other places for the same job."""
    drawn = table(
        "elsewhere", "start", "g/kWh>", "expected>", "against run now>", "runs",
        whole=("start", "g/kWh"), optional=("runs", "expected"),
    )  # fmt: skip
    shown = plan.alternatives[:limit]
    strange = {w.region for w in shown if plan.window.told and w.told != plan.window.told}
    for window in shown:
        region, *rest = _place(window, plan, now, tz)
        name = f"{region} *" if region in strange else region
        drawn.add_row(name, *rest, "yes" if window.dispatchable else "compared only")
    said = (
        f"* not told as {plan.window.region} is ({plan.window.told}): gaps below 25 % say nothing"
    )
    return draw(drawn, *([said] if strange else []), width=WIDTH)


def trade_offs(plan: Plan, front: Sequence[Window], now: datetime, tz: tzinfo) -> str:
    """What no other plan beats in grams, finish and money at once, the earliest first."""
    priced = any(w.cost is not None for w in front)
    columns = ("done", "start", "region", "expected>", "against run now>")
    money = (f"costs {plan.currency}>",) if priced else ()
    drawn = table(*columns, "segments>", *money, whole=("start",), optional=("segments",))
    for window in front:
        saved = plan.saving_of(window)
        assert window.end is not None  # only jobs of known duration are compared
        drawn.add_row(
            clock(window.end, now, tz),
            clock(window.start, now, tz),
            window.region,
            grams(window.grams.value) if window.grams else "unknown",
            "unknown" if saved is None else change(saved),
            str(len(window.spans)),
            *(["unknown" if window.cost is None else f"{window.cost:.2f}"] if priced else []),
        )
    return draw(drawn, width=WIDTH)


def _place(window: Window, plan: Plan, now: datetime, tz: tzinfo) -> tuple[str, ...]:
    saved = plan.saving_of(window)
    return (
        window.region,
        clock(window.start, now, tz),
        f"{window.g_per_kwh.value:.0f}" if window.g_per_kwh else "-",
        grams(window.grams.value) if window.grams else "-",
        change(saved) if saved is not None else "-",
    )


def providers_table(rows: Sequence[dict[str, Any]]) -> str:
    """Sources, then meters and engines."""
    sources = table(
        "source", "access", "reached", "signal", "basis", "step>", "ahead>", "actuals",
        optional=("actuals", "step", "basis", "signal"),
    )  # fmt: skip
    for row in rows:
        if row["kind"] != "intensity":
            continue
        basis = " ".join(filter(None, (row.get("factors"), row.get("flow"))))
        ahead = row.get("horizon_h")
        sources.add_row(
            row["name"] + (" *" if row["used"] else ""),
            row.get("access") or "see below",
            _reached(row),
            row.get("signal") or "",
            basis,
            duration(row["step_s"]) if row.get("step_s") else "",
            f"{ahead:g} h" if ahead else "none" if ahead == 0 else "",
            "yes" if row.get("has_actuals") else "",
        )
    others = table("kind", "name", "works", "what")
    for row in rows:
        if row["kind"] != "intensity":
            works = "yes" if row["available"] else "no"
            others.add_row(row["kind"], row["name"], works, row["detail"])
    told = [f"  {row['name']}: {why}" for row in rows if (why := _trouble(row))]
    told += [f"  {row['name']}: {a['detail']}" for row in rows for a in row.get("answers", ())]
    return draw(sources, "* used by the config", *told, others, width=SOURCES_WIDTH)


def _trouble(row: dict[str, Any]) -> str:
    """What keeps a source from being asked, or went wrong when it was last."""
    if row["kind"] != "intensity":
        return ""
    if row.get("access") == "no key":
        return f"set {row['key_env']}: {row['needs']}; free: {row['free']}"
    return str(row.get("last_error") or ("" if row["available"] else row["detail"]))


def _reached(row: dict[str, Any]) -> str:
    if not row.get("live"):
        return ""
    reached, last = row.get("reachable"), row.get("last_success")
    if reached is None:
        return "not asked yet"
    return f"{'yes' if reached else 'no'}, last {last}" if last else "never"


def history_table(rows: Sequence[dict[str, Any]]) -> str:
    """Stored actual values, one line a zone and source; times in UTC."""
    if not rows:
        return "no history yet; bring in a file with `lowtide history import FILE`"
    drawn = table(
        "zone", "source", "signal", "from (UTC)", "to (UTC)", "hours>", optional=("hours", "signal")
    )
    for row in rows:
        times = (row[name].rstrip("Z")[:16].replace("T", " ") for name in ("from", "to"))
        drawn.add_row(row["zone"], row["source"], row["signal"], *times, f"{row['hours']:g}")
    return draw(drawn, width=WIDTH)


def report(
    job: Job,
    settlement: Settlement | None,
    *,
    tz: tzinfo,
    versions: Sequence[Version] = (),
) -> str:
    """The SCI report of one job."""
    head = printable(f"{job.id}  {job.spec.name}  {job.state}: {job.reason}")
    if settlement is None:
        return f"{head}\n  {printable(unsettled(job))}: there is nothing to report"
    s = settlement
    drawn = table("energy of", "method", "active>", "reserved>", "coverage>", "source")
    for c in s.components:
        drawn.add_row(
            c.name,
            method(c),
            triple(c.active_kwh, energy),
            triple(c.energy_kwh, energy),
            f"{c.coverage_percent:.0f} %",
            c.source,
        )
    rules = table("rule of ISO/IEC 21031:2024", "", "why")
    for rule in s.conformance:
        rules.add_row(rule.rule, rule.met.replace("_", " "), rule.why)
    limits = boundary(s)
    lines = [head, *("  " + printable(line) for line in headline(job, s))]
    tail = [f"  attempt    {_attempt(a, tz)}" for a in s.attempts]
    if s.attempts:
        tail.append(f"  times in   {zone_name(tz, s.attempts[-1].started_at)}")
    tail += [f"  attributed {how}" for how in dict.fromkeys(a.attribution for a in s.attempts)]
    tail += [f"  settled    {line}" for line in changes(versions, tz)]
    tail += [f"  unsure     {contribution(c)}" for c in s.uncertainty]
    tail += [f"  counted    {part}" for part in limits.inside]
    tail += [f"  left out   {part}" for part in limits.outside]
    tail += [f"  method     {sentence}" for sentence in methodology(s)]
    tail += [f"  note       {printable(note)}" for note in s.notes]
    return draw("\n".join(lines), drawn, "\n".join(tail), rules, width=150)


def _attempt(a: Any, tz: tzinfo) -> str:
    end = f"{a.ended_at.astimezone(tz):%H:%M:%S}" if a.ended_at else "still running"
    code = "exit unknown" if a.exit_code is None else f"exit {a.exit_code}"
    start = f"{a.started_at.astimezone(tz):%Y-%m-%d %H:%M:%S}"
    return f"{start} to {end}, {code}, {triple(a.energy_kwh, energy)}"
