"""The SCI report of a job as Markdown: score, boundary, methodology, all figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scheduler.report.headline import headline, method
from scheduler.report.units import energy, grams, triple
from scheduler.report.unsettled import unsettled
from scheduler.report.versions import changes
from scheduler.sci import boundary, methodology
from scheduler.texts import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from scheduler.models import Job, Settlement
    from scheduler.store import Version


# What Markdown (CommonMark, and GitHub's tables) could take as markup.
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~&$]")


def report(
    job: Job,
    settlement: Settlement | None,
    *,
    tz: tzinfo,
    versions: Sequence[Version] = (),
) -> str:
    """The report, with tables that a carbon report can cite."""
    lines = [f"# {plain(job.spec.name)} ({job.id}): {job.state}", ""]
    if settlement is None:
        return "\n".join([*lines, f"{plain(unsettled(job, 'It'))}: there is nothing to report."])
    s = settlement
    lines += _rows(("figure", "value"), [_split(line) for line in headline(job, s)])
    limits = boundary(s)
    lines += ["", "## Boundary", "", "In:", "", *(f"- {plain(part)}" for part in limits.inside)]
    lines += ["", "Out:", "", *(f"- {plain(part)}" for part in limits.outside)]
    lines += ["", "## Methodology", "", *(f"- {plain(line)}" for line in methodology(s))]
    lines += ["", "## Energy", ""]
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
    if s.uncertainty:
        lines += ["", "## Uncertainty", ""]
        lines += _rows(
            ("source of error", "kind", "lower by", "higher by", "share"),
            [
                (
                    c.name,
                    c.kind,
                    "unknown" if c.low_g is None else grams(c.low_g),
                    "unknown" if c.high_g is None else grams(c.high_g),
                    f"{c.share_percent:.0f} %",
                )
                for c in s.uncertainty
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
        lines += ["", "## Settlements", "", *(f"- {plain(line)}" for line in changes(versions, tz))]
    lines += ["", "## Conformance with ISO/IEC 21031:2024", ""]
    lines += _rows(
        ("rule", "", "why"), [(r.rule, r.met.replace("_", " "), r.why) for r in s.conformance]
    )
    if s.notes:
        lines += ["", "## Notes", "", *(f"- {plain(note)}" for note in s.notes)]
    return "\n".join(lines)


def plain(text: str) -> str:
    """A text of the user's that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\g<0>", printable(text))


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(" ")
    return name, value.strip()


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(plain(c) for c in cells) + " |"

    return [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
