"""The figures of a settlement that matter, one line each, as all texts show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import BAND_PERCENT
from scheduler.quantities import duration, significant
from scheduler.report.schema import overrun
from scheduler.report.units import energy, grams, litres, per_unit, signed, triple

if TYPE_CHECKING:
    from scheduler.models import ComponentEnergy, Contributor, HardwareUsed, Job, Settlement


def headline(job: Job, s: Settlement) -> list[str]:
    """The figures that matter, each with its bounds, or the reason why there is none."""
    nulls = s.nulls
    if s.sci_g_per_unit is not None:
        score = per_unit(s.unit, s.sci_g_per_unit)
    else:
        score = f"no score: {nulls.get('sci_g_per_unit', '')}"
    reserved = triple(s.reserved_kwh, energy, nulls.get("energy_kwh.reserved"))
    lines = [
        f"SCI          {score}",
        *(
            f"also         {per_unit(u.name, u.sci_g_per_unit)}"
            for u in s.functional_units
            if u.name != s.unit and u.sci_g_per_unit is not None
        ),
        f"operational  {triple(s.operational_g, grams, nulls.get('operational_g'))}",
        f"embodied     {triple(s.embodied_g, grams, nulls.get('embodied_g'))}",
        f"energy       {reserved} reserved, {triple(s.active_kwh, energy)} active"
        + (f", {s.measured_percent:.0f} % measured" if s.measured_percent is not None else ""),
    ]
    if s.intensity is not None:
        i = s.intensity
        kind = f"{i.signal}, {i.kind}, {i.source}"
        zone = s.place.zone if s.place else "a zone that was not recorded"
        lines.append(f"intensity    {i.g_per_kwh.value:.0f} g/kWh in {zone}, {kind}")
    lines.append(f"PUE          {triple(s.pue, significant)}: {s.pue_source}")
    if s.water is not None:
        use = f"{triple(s.water.use.l_per_kwh, significant)} l/kWh, {s.water.use.source}"
        lines.append(f"water        {triple(s.water.litres, litres)} on site: {use}")
    if s.hardware is not None:
        lines += _hardware(s.hardware)
    lines.append(f"saved        {saving(s)}")
    lines.append(f"first-come   {_first_come(s)}")
    if job.plan is not None and job.plan.window.grams is not None:
        lines.append(f"planned      {grams(job.plan.window.grams.value)} ({job.plan.basis})")
        lines.append(f"deviation    {_deviation(s)}")
        lines.append(f"band         {_band(s)}")
    if s.metrics:
        told = ", ".join(f"{name} {significant(value)}" for name, value in s.metrics.items())
        lines.append(f"metrics      {told}")
    lines += [*_deadline(job), f"uncertainty  {s.largest_uncertainty}", f"settlement   {s.status}"]
    return lines


def _hardware(used: HardwareUsed) -> list[str]:
    """TE, EL and RR/ToR, each with its source."""
    total = triple(used.total_kg.scaled(1000.0), grams)
    years = used.lifespan_h / (365 * 24)
    share = f"{significant(100 * used.reserved_share)} %"
    boards = ""
    if used.boards_kg is not None and used.boards_share is not None:
        kg = triple(used.boards_kg.scaled(1000.0), grams)
        boards = f"; {significant(100 * used.boards_share)} % of {used.gpus} GPUs, {kg}"
    return [
        f"hardware     {total} in all: {used.source}",
        f"lifespan     {significant(years)} years: {used.lifespan_source}",
        f"reserved     {share}: {used.reserved_share_source}{boards}",
    ]


def method(c: ComponentEnergy) -> str:
    """How a component's energy is known, and whether that was elsewhere."""
    return f"{c.method}, replayed" if c.replayed else c.method


def _deviation(s: Settlement) -> str:
    """Realized against planned, and what each cause added or took away."""
    d = s.planned_against_realized
    if d is None:
        return f"unknown: {s.nulls.get('planned_against_realized', 'settled before it was told')}"
    return (
        f"{signed(d.difference_g)} against {grams(d.planned_g)} planned, operational: forecast "
        f"{signed(d.forecast_error_g)}, start {signed(d.start_error_g)}, duration "
        f"{signed(d.duration_error_g)}, power {signed(d.power_error_g)}"
    )


def _band(s: Settlement) -> str:
    """Whether the run met an intensity inside the band that its plan had 80 % of all runs in."""
    found = s.planned_against_realized
    if found is None or found.band_g_per_kwh is None or s.intensity is None:
        why = "it was settled before bands were calibrated"
        return f"unknown: {s.nulls.get('planned_against_realized.band_g_per_kwh', why)}"
    band = f"the plan's {BAND_PERCENT:.0f} % band {triple(found.band_g_per_kwh, significant)} g/kWh"
    if found.inside_band is None:
        return f"{band}: {s.nulls['planned_against_realized.inside_band']}"
    where = "inside" if found.inside_band else "outside"
    return f"{s.intensity.g_per_kwh.value:.0f} g/kWh is {where} {band}"


def contribution(c: Contributor) -> str:
    """What one source of error does, and how it joins the others."""
    reach = ""
    if c.low_g is not None and c.high_g is not None:
        reach = f"-{grams(c.low_g)} to +{grams(c.high_g)}, "
    return f"{c.name}: {reach}{c.share_percent:.0f} % ({c.kind})"


def _deadline(job: Job) -> list[str]:
    lines = []
    spec = job.spec
    if spec.deadline is not None and job.ended_at is not None:
        said = f"neither met nor missed: {job.no_verdict}"
        if job.deadline_met is not None:
            spare = duration(abs((spec.deadline - job.ended_at).total_seconds()))
            said = f"met, {spare} before it" if job.deadline_met else f"missed, {spare} after it"
        lines.append(f"deadline     {said}")
    lines += [f"duration     {line}" for line in overrun(job)]
    return lines


def _first_come(s: Settlement) -> str:
    """The same against the same jobs on the same slots, served in order of release."""
    found = s.first_come
    if found is None:
        why = s.nulls.get("first_come", "settled before it was computed")
        return f"unknown against first come, first served: {why}"
    label = "estimated, " if found.estimated else ""
    percent = "" if found.saved_percent is None else f" ({found.saved_percent:.0f} %)"
    return (
        f"{label}{triple(found.saved_g, grams)}{percent} against {grams(found.baseline_g.value)} "
        f"first come, first served on the same slots, {s.basis}"
    )


def saving(s: Settlement) -> str:
    """The saving against a start at release at home, labelled where it is an estimate."""
    if s.saved_g is None or s.baseline_g is None:
        return f"unknown: {s.nulls.get('saved_g', '')}"
    label = "estimated, " if s.saving_estimated else ""
    percent = "" if s.saved_percent is None else f" ({s.saved_percent:.0f} %)"
    return (
        f"{label}{triple(s.saved_g, grams)}{percent} against {grams(s.baseline_g.value)} "
        f"started at release at home, {s.basis}"
    )
