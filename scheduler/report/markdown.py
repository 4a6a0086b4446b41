"""The SCI report of a job as Markdown: score, boundary, methodology, all figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.report.terminal import headline, method
from scheduler.report.units import energy, triple
from scheduler.report.versions import changes
from scheduler.sci.conformance import BOUNDARY_IN, BOUNDARY_OUT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from scheduler.models import Job, Settlement
    from scheduler.store import Version


def report(
    job: Job,
    settlement: Settlement | None,
    *,
    zone: str | None,
    tz: tzinfo,
    versions: Sequence[Version] = (),
) -> str:
    """The report, with tables that a carbon report can cite."""
    lines = [f"# {job.spec.name} ({job.id}): {job.state}", ""]
    if settlement is None:
        return "\n".join([*lines, "It has not run: there is nothing to report."])
    s = settlement
    lines += _rows(("figure", "value"), [_split(line) for line in headline(job, s, zone)])
    lines += ["", "## Boundary", "", f"In: {BOUNDARY_IN}.", "", f"Out: {BOUNDARY_OUT}.", ""]
    lines += ["## Methodology", "", *_methodology(s), "", "## Energy", ""]
    lines += _rows(
        ("component", "method", "active", "reserved", "coverage", "source"),
        [
            (
                c.name,
                method(c),
                triple(c.active_kwh, energy),
                triple(c.energy_kwh, energy),
                f"{c.coverage_percent:.0f} %",
                c.source,
            )
            for c in s.components
        ],
    )
    lines += ["", "## Attempts", ""]
    lines += _rows(
        ("started", "ended", "exit code", "energy", "CPU seconds counted by"),
        [
            (
                f"{a.started_at.astimezone(tz):%Y-%m-%d %H:%M:%S %z}",
                f"{a.ended_at.astimezone(tz):%Y-%m-%d %H:%M:%S %z}" if a.ended_at else "running",
                "unknown" if a.exit_code is None else str(a.exit_code),
                triple(a.energy_kwh, energy),
                a.attribution,
            )
            for a in s.attempts
        ],
    )
    if len(versions) > 1:
        lines += ["", "## Settlements", "", *(f"- {line}" for line in changes(versions, tz))]
    lines += ["", "## Conformance with ISO/IEC 21031:2024", ""]
    lines += _rows(
        ("rule", "", "why"), [(r.rule, r.met.replace("_", " "), r.why) for r in s.conformance]
    )
    if s.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in s.notes)]
    return "\n".join(lines)


def _methodology(s: Settlement) -> list[str]:
    """What was really done, in sentences."""
    each = [f"{c.name} is {method(c)}" for c in s.components]
    methods = ", ".join(each) or "nothing was metered"
    text = [f"Energy: {methods}; idle energy of what the job held is included, without PUE."]
    if s.intensity is not None:
        text.append(
            f"Operational carbon: energy of each sample times the {s.intensity.signal} intensity "
            f"of its moment ({s.intensity.kind}, {s.intensity.source}), times PUE {s.pue.value:g}."
        )
    if s.embodied_g is not None:
        text.append("Embodied carbon: M = TE x (TiR / EL) x (RR / ToR).")
    text.append(f"Comparison: {s.basis} carbon of the same energy started at release at home.")
    return text


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name, value.strip()


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
