"""``verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli import options
from scheduler.cli.options import example
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Journal, JournalFile
    from scheduler.report.verification import Check

# More than the reports of a million jobs take.
LIMIT_BYTES = 1 << 30
# So many figures that differ are shown for each job; --json has them all.
SHOWN = 10


@click.command("verify", epilog=example("lowtide verify report.json run/journal.jsonl"))
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@options.json_option
def verify_command(files: tuple[str, ...], as_json: bool) -> int:
    """Recompute every figure of a report's JSON from the journals of its runs.

    FILE is a report (`report --json`, `meter --out`), or a journal (journal.jsonl, or the run
    folder with it). Without journals, those are read that the report names. Exit code 1: a figure
    or a byte was changed, or a journal is missing.
    """
    from scheduler.report.verification import DAMAGED, check, check_sums

    reports, journals = _read(files)
    used: set[str] = set()

    def find(named: JournalFile) -> Journal | None:
        from providers.journal import read

        used.add(named.sha256)
        if journals:
            return journals.get(named.sha256)
        found = read(Path(named.path))
        return None if found.file is None else found

    found: list[tuple[str, list[Check]]] = []
    for name, document in reports.items():
        try:
            jobs = document.get("jobs", [document])
            checks = [check(report, find) for report in jobs]
            sums = check_sums(document, checks)
        except DAMAGED as e:
            said = f"{type(e).__name__}: {str(e).partition(chr(10))[0]}"
            raise UsageError(f"{name} is no report of `lowtide report --json`: {said}") from e
        found.append((name, checks if sums is None else [*checks, sums]))
    strange = [f for sha, journal in journals.items() if sha not in used and (f := journal.file)]
    whole = not strange and all(c.verdict == "verified" for _, checks in found for c in checks)
    if as_json:
        options.print_json(_document(found, strange, verified=whole))
    else:
        options.show("\n".join(_lines(found, strange)))
    return 0 if whole else 1


def _read(files: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Journal]]:
    """The reports by name, and the journals by the digest of their bytes."""
    from providers.files import read_bounded
    from providers.journal import read

    reports: dict[str, dict[str, Any]] = {}
    journals: dict[str, Journal] = {}
    for name in files:
        path = Path(name)
        path = path / "journal.jsonl" if path.is_dir() else path
        try:
            text = read_bounded(path, LIMIT_BYTES).decode(errors="replace")
        except OSError as e:
            raise UsageError(f"{path} cannot be read: {e.strerror or e}") from e
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and ("jobs" in content or "job_id" in content):
            reports[name] = content
        elif isinstance(content, dict) and "since" in content:
            raise UsageError(
                f"{name} is a summary, which carries no evidence: verify the reports of its jobs "
                "(lowtide report --json)"
            )
        else:
            journal = read(path)
            assert journal.file is not None  # it was read a moment ago
            journals[journal.file.sha256] = journal
    if not reports:
        raise UsageError(
            f"no report is among {', '.join(files)}: name one (lowtide report --json > FILE)"
        )
    return reports, journals


def _lines(found: Sequence[tuple[str, list[Check]]], strange: Sequence[JournalFile]) -> list[str]:
    lines = []
    for name, checks in found:
        for each in checks:
            what = f"{name}: job {each.job_id}" if each.job_id is not None else f"{name}: sums"
            lines.append(f"{what}: {each.verdict}, {each.figures} figures recomputed")
            lines += [f"  {text}" for text in (*each.faults, *each.missing)]
            lines += [
                f"  {d.path}: reported {_plain(d.reported)}, recomputed {_plain(d.recomputed)}"
                for d in each.differences[:SHOWN]
            ]
            more = len(each.differences) - SHOWN
            lines += [f"  and {more} more"] * (more > 0)
    lines += [f"{f.path}: its bytes are those of no journal that a report names" for f in strange]
    return lines


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _document(
    found: Sequence[tuple[str, list[Check]]], strange: Sequence[JournalFile], *, verified: bool
) -> dict[str, Any]:
    from dataclasses import asdict

    from scheduler.report.schema import SCHEMA_VERSION

    checks = [
        {
            "file": name,
            "job_id": each.job_id,
            "verdict": each.verdict,
            "figures": each.figures,
            "differences": [asdict(d) for d in each.differences],
            "faults": list(each.faults),
            "missing": list(each.missing),
        }
        for name, checks in found
        for each in checks
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "verified": verified,
        "checks": checks,
        "journals_of_no_report": [asdict(f) for f in strange],
    }
