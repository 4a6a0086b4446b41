"""Rows of jobs and attempts to values, and back."""

from __future__ import annotations

import json
from dataclasses import fields, make_dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter

from providers.base import Triple
from providers.series import from_unix
from scheduler.models import Attempt, Figures, Job, JobSpec, JobState, Plan, Settlement
from scheduler.store import packed
from scheduler.store.rows import AttemptRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from scheduler.origin import Origin
    from scheduler.store.rows import JobRow


@cache
def plans() -> TypeAdapter[Plan]:
    """Plans to and from JSON."""
    return TypeAdapter(Plan)


@cache
def _settlements() -> TypeAdapter[Settlement]:
    return TypeAdapter(Settlement)


# A daemon reads the same jobs at each pass, most of them those that run: as frozen values they are
# parsed once. A spec takes about 5 kB with its text; a plan 60 kB, nearly all of it its text with
# 160 places that it was compared with, which nobody but people looks at again.
SPECS, PLANS = 2048, 1024


@cache
def _decisions() -> TypeAdapter[Any]:
    """Plans from JSON without what they were compared with, which would take most of the time."""
    types = get_type_hints(Plan)
    kept = [f for f in fields(Plan) if f.name != "alternatives"]
    return TypeAdapter(make_dataclass("Decision", [(f.name, types[f.name], f) for f in kept]))


@lru_cache(SPECS)
def _spec(content: str) -> JobSpec:
    return JobSpec.model_validate_json(content)


def origin(spec: str) -> Origin | None:
    """Where a stored job comes from; :class:`ValueError` where its text is damaged."""
    return _spec(spec).origin


@lru_cache(PLANS)
def _plan(content: str) -> Plan:
    return Plan(**vars(_decisions().validate_json(packed.unpack(content))))


def _compared_plan(content: str) -> Plan:
    return plans().validate_json(packed.unpack(content))


def decided(content: str) -> str:
    """The text of a plan as an ended job keeps it: packed, and without the alternatives that it
    was chosen from. One that cannot be read stays as it is.
    """
    try:
        plan = json.loads(packed.unpack(content))
        plan["alternatives"] = []
    except (ValueError, TypeError, RecursionError):
        return content
    return packed.pack(json.dumps(plan, ensure_ascii=False, separators=(",", ":")))


def settlement_text(made: Settlement) -> str:
    """A settlement as it is stored."""
    return packed.pack(_settlements().dump_json(made).decode())


def settlement(content: str) -> Settlement:
    """The settlement that was stored."""
    return _settlements().validate_json(packed.unpack(content))


_FIGURES = tuple(field.name for field in fields(Figures))


def figures_text(made: Settlement | Figures) -> str:
    """What sums need of a settlement, as a list in the order of :class:`Figures`."""
    found = (getattr(made, name) for name in _FIGURES)
    plain = [(f.low, f.value, f.high) if isinstance(f, Triple) else f for f in found]
    return json.dumps(plain, separators=(",", ":"))


def figures(content: str) -> Figures:
    """The same, read; :class:`ValueError` or :class:`TypeError` where the text is damaged."""
    found: list[Any] = [Triple(*f) if isinstance(f, list) else f for f in json.loads(content)]
    return Figures(*found)


def figures_of(payload: str) -> Figures:
    """The figures of a settlement as it is stored; errors as above, and :class:`KeyError`."""
    content = json.loads(packed.unpack(payload))
    found: list[Any] = [
        Triple(**f) if isinstance(f, dict) else f for f in (content[name] for name in _FIGURES)
    ]
    return Figures(*found)


def places(home: str, regions: Sequence[str]) -> str:
    """Where a job may run, as one column."""
    return f"{home}|{','.join(regions)}"


def sight(forecast_ids: Iterable[int]) -> str:
    """Forecasts by their row ids, as one column."""
    return " ".join(str(row_id) for row_id in sorted(set(forecast_ids)))


def attempt_row(made: Attempt, gpus: Sequence[str]) -> AttemptRow:
    """A start of a job as it is stored; ``gpus`` are the boards that it was given."""
    return AttemptRow(
        job_id=made.job_id,
        number=made.number,
        region=made.region,
        run_dir=made.run_dir,
        token=made.token,
        gpus=",".join(gpus),
        claimed_at=made.claimed_at.timestamp(),
        host=made.host,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else from_unix(seconds)


def job(row: JobRow, *, compared: bool = False) -> Job:
    """A job as it is stored; its plan's ``alternatives`` only where it is to be ``compared``."""
    plan = _compared_plan if compared else _plan
    return Job(
        id=row.id,
        spec=_spec(row.spec),
        state=JobState(row.state),
        attempt=row.attempt,
        region=row.region,
        plan=None if row.plan is None else plan(row.plan),
        started_at=_moment(row.started_at),
        ended_at=_moment(row.ended_at),
        cancel_requested=bool(row.cancel_requested),
        reason=row.reason,
        waited_s=row.waited_s,
        pruned_at=_moment(row.pruned_at),
    )


def attempt(row: AttemptRow) -> Attempt:
    """A start of a job as it is stored."""
    return Attempt(
        job_id=row.job_id,
        number=row.number,
        region=row.region,
        run_dir=row.run_dir,
        token=row.token,
        gpus=tuple(g for g in row.gpus.split(",") if g),
        claimed_at=from_unix(row.claimed_at),
        started_at=_moment(row.started_at),
        ended_at=_moment(row.ended_at),
        exit_code=row.exit_code,
        signal=row.signal,
        outcome=row.outcome,
        host=row.host,
    )
