"""The demands of SCI (specification v1.1.0, ISO/IEC 21031:2024), each met, not met or not
applicable, judged on what was really used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from scheduler.models import Rule

if TYPE_CHECKING:
    from scheduler.models import Settlement, Site

BOUNDARY_IN = (
    "CPU, memory and assigned GPUs of the machine for the job's slots, idle share included"
)
BOUNDARY_OUT = (
    "network, remote storage, disks and fans where no meter covers them, and lowtide itself"
)


def rules(s: Settlement, site: Site) -> Settlement:
    """The settlement with its list of rules."""
    energy, grid = s.reserved_kwh is not None, s.operational_g is not None
    missing = [c.name for c in s.components if c.energy_kwh is None]
    no_grid = s.nulls.get("operational_g", "")
    checks = (
        _rule(
            "E counts all energy of the hardware reserved, idle share included",
            energy and not missing,
            "reserved energy of " + ", ".join(c.name for c in s.components if c.energy_kwh)
            if energy and not missing
            else f"not read: {', '.join(missing) or 'any component'}",
        ),
        _rule("E accounts for the data centre's PUE", True, f"{s.pue.value:g}: {s.pue_source}"),
        _rule(
            "I is location based, and its kind is stated",
            grid,
            f"{s.intensity.signal} intensity of {site.zone} ({s.intensity.source})"
            if s.intensity
            else no_grid,
        ),
        _rule(
            "I and E at the highest granularity at hand",
            grid,
            "energy of each sample times the intensity of its moment" if grid else no_grid,
        ),
        _rule("no market-based measures enter", True, "no offsets or certificates are counted"),
        _rule(
            "M is included for all hardware in the boundary",
            s.embodied_g is not None,
            site.hardware.source if site.hardware else s.nulls.get("embodied_g", ""),
        ),
        _rule(
            "R is one functional unit over all components",
            s.unit_count is not None,
            f"{s.unit_count:g} {s.unit}"
            if s.unit_count is not None
            else s.nulls.get("functional_unit.count", ""),
        ),
        _rule("the boundary is stated", True, f"in: {BOUNDARY_IN}; out: {BOUNDARY_OUT}"),
        _rule(
            "each component says whether it is measured or calculated",
            bool(s.components),
            ", ".join(f"{c.name} {c.method}" for c in s.components) or "no component was read",
        ),
        _rule(
            "the score is reported with boundary and methodology",
            s.sci_g_per_unit is not None,
            "this report" if s.sci_g_per_unit else s.nulls.get("sci_g_per_unit", ""),
        ),
        _rule(
            "a baseline is computed by the same method",
            s.baseline_g is not None,
            "same energy profile, started at release in the home region"
            if s.baseline_g
            else s.nulls.get("baseline_g", ""),
        ),
        Rule(
            "training counts every attempt (SCI for AI)",
            "met" if len(s.attempts) > 1 else "not_applicable",
            f"{len(s.attempts)} attempts, failed ones included"
            if len(s.attempts) > 1
            else "one attempt",
        ),
    )
    return replace(s, conformance=checks)


def _rule(rule: str, met: bool, why: str) -> Rule:
    verdict: Literal["met", "not_met"] = "met" if met else "not_met"
    return Rule(rule, verdict, why)
