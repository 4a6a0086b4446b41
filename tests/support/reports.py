"""Jobs and settlements made by hand, for tests of how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from providers.base import Triple
from scheduler.models import (
    AttemptEnergy,
    ComponentEnergy,
    IntensityUsed,
    Job,
    JobSpec,
    JobState,
    Settlement,
)
from scheduler.report.exports import Entry

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def job(job_id: str = "0a1b2c3d", *, state: JobState = JobState.SUCCEEDED, **spec: Any) -> Job:
    """A job that ran for an hour."""
    asked: dict[str, Any] = {
        "argv": ("true",), "cwd": "/", "name": "job", "user": "me", "duration_s": None,
        "submitted_at": START, "release": START, "home": "local",
    }  # fmt: skip
    return Job(
        id=job_id, spec=JobSpec(**asked | spec), state=state, attempt=1, region="local", plan=None,
        started_at=START, ended_at=START + HOUR, cancel_requested=False, reason="exit code 0",
    )  # fmt: skip


def component(name: str, kwh: float | None, method: str = "modelled") -> ComponentEnergy:
    """A component with bounds of a tenth to either side; None: held, but not read."""
    energy = None if kwh is None else Triple(0.9 * kwh, kwh, 1.1 * kwh)
    return ComponentEnergy(name, method, "a meter", 100.0, energy, energy)  # type: ignore[arg-type]


def settlement(
    *parts: ComponentEnergy, grams: float | None = 3.0, embodied: float | None = 1.0, **more: Any
) -> Settlement:
    """Of ``parts`` (default: CPU and memory, 2 Wh together), with O and M in grams."""
    parts = parts or (component("cpu", 0.0015), component("dram", 0.0005))
    known = [p.energy_kwh for p in parts if p.energy_kwh is not None]
    reserved = Triple(
        sum(t.low for t in known), sum(t.value for t in known), sum(t.high for t in known)
    )
    total = None if grams is None or embodied is None else Triple.exact(grams + embodied)
    used = IntensityUsed("average", "actual", "a source", Triple(90.0, 100.0, 110.0))
    operational = None if grams is None else Triple.exact(grams)
    fields: dict[str, Any] = {
        "status": "final",
        "active_kwh": reserved,
        "reserved_kwh": reserved if known else None,
        "components": parts,
        "measured_percent": 0.0,
        "intensity": used if grams is not None else None,
        "pue": Triple.exact(1.0),
        "pue_source": "none",
        "operational_g": operational,
        "embodied_g": None if embodied is None else Triple.exact(embodied),
        "total_g": total,
        "unit": "job",
        "unit_count": 1.0,
        "sci_g_per_unit": total,
        "basis": "operational",
        "baseline_g": operational,
        "saved_g": None if grams is None else Triple(-1.0, -0.5, 0.0),
        "saving_estimated": False,
        "largest_uncertainty": "cpu energy (modelled): 60 % of the width of the bounds",
        "conformance": (),
        "attempts": (AttemptEnergy(START, START + HOUR, 0, reserved),),
    }
    return Settlement(**fields | more)


def entry(name: str = "job", **fields: Any) -> Entry:
    """A settled job of that name, of no recorded place."""
    return Entry(job(name=name, **fields), settlement())
