"""Reports in the formats of others: each file turns entries into one text."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from scheduler.report import group as sweep
from scheduler.report import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.models import Job, Settlement
    from scheduler.store import Version


@dataclass(frozen=True, slots=True)
class Entry:
    """A job and what it cost, with every settlement of it."""

    job: Job
    settlement: Settlement | None
    versions: Sequence[Version] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry as an object of ``report --json``: what all other formats are made from."""
        return schema.report_json(self.job, self.settlement, versions=self.versions)


def document(entries: Sequence[Entry], group: str | None = None) -> dict[str, Any]:
    """The whole of ``report --json``, with the object of a ``group`` that they are all of.

    ``schemas/report.json`` is its schema.
    """
    pairs = [(entry.job, entry.settlement) for entry in entries]
    content = {
        "schema_version": schema.SCHEMA_VERSION,
        "jobs": [entry.as_json() for entry in entries],
        "totals": schema.totals(pairs),
    }
    return content if group is None else content | {"group": sweep.group_json(group, pairs)}


def published(name: str) -> str:
    """The JSON Schema (draft 2020-12) of ``report`` or ``compare`` as text."""
    return (files("scheduler.report") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
