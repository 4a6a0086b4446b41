"""What the figures of a report were computed from, as JSON, and a seal on the report."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from scheduler.models import Evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

# What of a site says nothing about a figure: it stands elsewhere in the report, or is a reason.
_ELSEWHERE = ("place", "no_hardware")


@cache
def _adapter() -> TypeAdapter[Evidence]:
    return TypeAdapter(Evidence)


def evidence_json(kept: Evidence) -> dict[str, Any]:
    """The ``evidence`` of a report, but for its seal."""
    content: dict[str, Any] = _adapter().dump_python(kept, mode="json")
    for site in (content["site"], content["home"]):
        for name in _ELSEWHERE:
            del site[name]
    return content


def evidence_of(content: Mapping[str, Any]) -> Evidence:
    """The same, read back; :class:`ValueError` where it is damaged."""
    return _adapter().validate_python(content)


def seal(report: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a job's report without its seal: sorted names, no spaces, ASCII.

    It shows that something was changed, not by whom: who changes a report can make another one.
    What the figures are worth is for the recomputation to show.
    """
    evidence = {k: v for k, v in report["evidence"].items() if k != "report_sha256"}
    content = {**report, "evidence": evidence}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("ascii")).hexdigest()


def sealed(report: dict[str, Any]) -> dict[str, Any]:
    """The report with its seal."""
    report["evidence"]["report_sha256"] = seal(report)
    return report
