"""Rows of jobs and attempts to values, and back."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter

from providers.series import from_unix
from scheduler.models import Attempt, Job, JobSpec, JobState, Plan
from scheduler.store.rows import AttemptRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from scheduler.store.rows import JobRow


@cache
def plans() -> TypeAdapter[Plan]:
    """Plans to and from JSON."""
    return TypeAdapter(Plan)


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


@lru_cache(PLANS)
def _plan(content: str) -> Plan:
    return Plan(**vars(_decisions().validate_json(content)))


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
    plan = plans().validate_json if compared else _plan
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
