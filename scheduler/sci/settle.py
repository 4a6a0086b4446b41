"""From energy and intensity to operational and embodied carbon, SCI and saving.

``O = sum(E_t x I_t) x PUE``, ``M = TE x (TiR / EL) x (RR / ToR)``, ``SCI = (O + M) per R``.
Bounds combine as :mod:`scheduler.sci.uncertainty` says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from providers.base import ZERO, Triple
from providers.series import from_unix
from scheduler.models import (
    Deviation,
    Evidence,
    FirstCome,
    Place,
    Settlement,
    StartUsed,
    Water,
)
from scheduler.sci import carbon, evidence, uncertainty
from scheduler.sci.attribution import held_slot_s, outer_of
from scheduler.sci.conformance import rules
from scheduler.sci.deviation import Expectation, deviation
from scheduler.sci.embodied import (
    NO_HARDWARE,
    boards_held,
    embodied_g,
    hardware_used,
    most_boards,
    uncounted,
)
from scheduler.sci.energy import COUNTED, open_above, tally
from scheduler.sci.work import done, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.base import Journal
    from providers.series import Series
    from scheduler.models import Basis, Contributor, IntensityUsed, Site
    from scheduler.sci.energy import AttemptRecord, Energy
    from scheduler.sci.work import Work

HELD_FOR_NO_TIME = "the hardware was held for no time that could be counted"
UNBOUNDED = (
    "{names}: held but not read for all of the time, and it is not known what it can draw, so "
    "there is no upper bound, no score and no saving"
)
NO_WATER = (
    "no use of water is published for {region}: set regions.{region}.wue_l_per_kwh with its source"
)
NO_PLAN = "there is no plan to compare with"
NOT_CALIBRATED = "the plan's band was not calibrated on past errors of its forecast"


@dataclass(frozen=True)
class Start:
    """When a baseline starts, with the intensity of home over it, or why that is not known.

    ``estimated``: the start rests on how long other jobs are expected to run.
    """

    at: datetime
    intensity: Series | None
    reason: str = ""
    estimated: bool = False


def settle(
    *,
    attempts: Sequence[AttemptRecord],
    site: Site,
    home: Site,
    release: datetime,
    intensity: Series | None,
    home_intensity: Series | None,
    provisional: bool,
    slots: int,
    gpus: int,
    unit: str | None,
    work: Work,
    no_intensity_reason: str = "",
    no_baseline_reason: str = "",
    expected: Expectation | str = NO_PLAN,
    first_come: Start | str = NO_PLAN,
    step_s: float | None = None,
    unit_rationale: str = "",
    notes: tuple[str, ...] = (),
    within: str | None = None,
) -> Settlement:
    """Settle a job. Series hold, per interval, actuals or else the forecast in force.

    ``expected`` is what the plan counted with, ``first_come`` when the job would have started had
    all been served in order of release on the slots of its home; or the reason why that is not
    known. ``step_s`` is for how long a value of the intensity holds, ``unit_rationale`` why this
    unit was chosen, ``within`` the job whose energy holds that of this one.
    """
    energy = tally(attempts)
    first_s = attempts[0].started_at.timestamp()
    span = evidence.reach(energy, attempts, NO_PLAN)
    whole = evidence.reach(energy, attempts, expected)
    intensity = evidence.touching(intensity, whole)
    home_intensity = evidence.touching(home_intensity, _moved(span, release, first_s))
    if isinstance(first_come, Start):
        over = _moved(span, first_come.at, first_s)
        there = evidence.touching(first_come.intensity, over)
        first_come = replace(first_come, intensity=there)
    if isinstance(expected, Expectation):
        forecast = evidence.touching(expected.forecast, whole)
        assert forecast is not None  # there was one
        expected = replace(expected, forecast=forecast)
    nulls: dict[str, str] = {}
    if energy.reserved_kwh is None:
        reason = energy.unmetered or "; ".join(energy.notes) or "no energy was read"
        nulls |= dict.fromkeys(("energy_kwh.active", "energy_kwh.reserved"), reason)
        nulls["measured_percent"] = reason
    nulls |= {
        f"components.{c.name}.{k}": f"{c.name} was held but not read: the totals leave it out"
        for c in energy.components
        if c.energy_kwh is None
        for k in ("active_kwh", "energy_kwh")
    }
    unbounded = UNBOUNDED.format(names=", ".join(energy.unbounded)) if energy.unbounded else ""
    if unbounded:
        nulls["high"] = unbounded
    operational = carbon.operational(energy.profiles, intensity, site, 0.0)
    operational = open_above(operational, energy.unbounded)
    metered = [a.journal.components for a in attempts]
    held_gpus, boards = boards_held(metered, gpus), most_boards(metered)
    if operational is None:
        said = no_intensity_reason or "the intensity is not known over the whole run"
        nulls |= dict.fromkeys(
            ("intensity", "operational_g"), nulls.get("energy_kwh.reserved") or said
        )
    hours = energy.run_s / 3600
    held_s = sum(held_slot_s(attempt, slots) for attempt in attempts)
    held = held_s / energy.run_s if energy.run_s > 0 else float(slots)
    embodied = None
    if site.hardware is None:
        nulls["embodied_g"] = site.no_hardware or NO_HARDWARE.format(region=site.region)
        nulls["hardware"] = nulls["embodied_g"]
    elif uncounted_boards := uncounted(site, boards, held_gpus):
        nulls["embodied_g"] = uncounted_boards
    else:
        embodied = embodied_g(site.hardware, hours, held, held_gpus)
        if embodied.value <= 0:
            # The standard demands an estimate above zero.
            embodied, nulls["embodied_g"] = None, HELD_FOR_NO_TIME
    total = None if operational is None or embodied is None else operational + embodied
    if total is None:
        nulls["total_g"] = nulls.get("operational_g") or nulls["embodied_g"]
    name, count = (unit_name(unit), done(work, unit)) if unit else ("job", 1.0)
    if count is None:
        said = f"the job wrote no {name}=... to $LOWTIDE_UNITS"
        nulls["functional_unit.count"] = work.unknown or said
    known = total is not None and count is not None and not unbounded
    sci = total.scaled(1.0 / count) if known and total and count else None
    if sci is None:
        why = nulls.get("total_g") or nulls.get("functional_unit.count")
        nulls["sci_g_per_unit"] = why or unbounded
        nulls["functional_units"] = unbounded
    home_embodied = None
    if home.hardware is not None and not uncounted(home, boards, held_gpus):
        home_embodied = embodied_g(home.hardware, energy.unbroken_s / 3600, held, held_gpus)
    basis: Basis = "operational" if embodied is None or home_embodied is None else "total"
    water = None
    if site.water is None:
        nulls["water"] = NO_WATER.format(region=site.region)
    elif energy.reserved_kwh is None:
        nulls["water"] = nulls["energy_kwh.reserved"]
    else:
        water = Water(energy.reserved_kwh * site.water.l_per_kwh, site.water)
    longer = None
    if basis == "total" and site.hardware is not None:
        longer_h = max(0.0, hours - energy.unbroken_s / 3600)
        longer = embodied_g(site.hardware, longer_h, held, held_gpus)

    def against(start: Start) -> tuple[Triple, Triple] | str:
        """The baseline from this start on, and what was saved against it; or why neither is."""
        shift, there = start.at.timestamp() - first_s, start.intensity
        if operational is None or intensity is None:
            return nulls["operational_g"]
        if unbounded:
            return unbounded
        baseline = carbon.operational(energy.unbroken, there, home, shift)
        if baseline is None or there is None:
            known = f"the intensity at {home.region} is not known over the baseline"
            return start.reason or known
        if there.accounting != intensity.accounting:
            return (
                f"the run is settled on intensity of another accounting method "
                f"({intensity.accounting}) than the baseline ({there.accounting}): they are never "
                "subtracted from each other"
            )
        saved = carbon.saved(energy, intensity, site, there, home, shift)
        if embodied is None or home_embodied is None:
            return baseline, saved
        if site.region != home.region:
            return baseline + home_embodied, carbon.shifted(saved, home_embodied, embodied)
        assert longer is not None  # the machine of the site is known
        return baseline + home_embodied, carbon.shifted(saved, ZERO, longer)

    at_release = against(Start(release, home_intensity, no_baseline_reason))
    if isinstance(at_release, str):
        nulls |= dict.fromkeys(("baseline_g", "saved_g", "saved_percent"), at_release)
    served = first_come if isinstance(first_come, str) else against(first_come)
    if isinstance(served, str):
        nulls["first_come"] = served
    used = carbon.used(energy.profiles, intensity) if operational is not None else None
    used = used and replace(used, step_s=step_s)
    found = _contributors(energy, intensity, site, operational, embodied)
    compared = _deviation(expected, attempts, energy, intensity, site, operational)
    if isinstance(compared, str):
        nulls["planned_against_realized"] = compared
    elif isinstance(expected, Expectation):
        compared = replace(
            compared, band_g_per_kwh=expected.band, inside_band=_inside(expected.band, used)
        )
        if compared.inside_band is None:
            why = NOT_CALIBRATED if expected.band is None else "the actual intensity is not known"
            nulls["planned_against_realized.band_g_per_kwh"] = NOT_CALIBRATED
            nulls["planned_against_realized.inside_band"] = why
    settlement = Settlement(
        status="provisional" if provisional else "final",
        active_kwh=energy.active_kwh,
        reserved_kwh=energy.reserved_kwh,
        components=energy.components,
        measured_percent=_measured_percent(energy, nulls),
        intensity=used,
        pue=site.pue,
        pue_source=site.pue_source,
        operational_g=operational,
        embodied_g=embodied,
        total_g=total,
        unit=name,
        unit_count=count,
        sci_g_per_unit=sci,
        basis=basis,
        baseline_g=None if isinstance(at_release, str) else at_release[0],
        saved_g=None if isinstance(at_release, str) else at_release[1],
        saving_estimated=_estimated(intensity, home_intensity),
        first_come=None
        if isinstance(first_come, str) or isinstance(served, str)
        else FirstCome(
            first_come.at,
            *served,
            first_come.estimated or _estimated(intensity, first_come.intensity),
        ),
        largest_uncertainty=unbounded or uncertainty.largest(found),
        conformance=(),
        attempts=energy.attempts,
        nulls=nulls,
        notes=tuple(dict.fromkeys(filter(None, (*energy.notes, *notes, work.unknown)))),
        hardware=None if site.hardware is None else hardware_used(site.hardware, held, held_gpus),
        units=work.units,
        metrics=work.metrics,
        uncertainty=found,
        planned_against_realized=compared if isinstance(compared, Deviation) else None,
        place=site.place or Place(site.region, site.zone),
        within=within,
        left_out=energy.left_out,
        water=water,
        unit_rationale=unit_rationale,
        evidence=Evidence(
            slots=slots,
            gpus=gpus,
            unit=unit,
            attempts=tuple(evidence.kept_attempt(a) for a in attempts),
            site=site,
            home=home,
            release_s=release.timestamp(),
            intensity=evidence.kept_series(intensity),
            home_intensity=evidence.kept_series(home_intensity),
            planned=evidence.kept_plan(expected),
            first_come=None
            if isinstance(first_come, str)
            else StartUsed(
                first_come.at.timestamp(),
                first_come.estimated,
                evidence.kept_series(first_come.intensity),
            ),
            step_s=step_s,
            unit_rationale=unit_rationale,
            within=within,
        ),
    )
    return replace(settlement, conformance=rules(settlement, site))


def resettle(kept: Evidence, journals: Sequence[Journal], work: Work) -> Settlement:
    """The settlement that :func:`settle` made of this evidence, made once more.

    ``journals`` are those of its attempts, in their order. Reasons and notes that came with the
    inputs are not kept, so these may read otherwise. It ran within another job where its journals
    say so, too.
    """
    pairs = zip(kept.attempts, journals, strict=True)
    return settle(
        attempts=[evidence.attempt_of(a, journal) for a, journal in pairs],
        site=kept.site,
        home=kept.home,
        release=from_unix(kept.release_s),
        intensity=evidence.series_of(kept.intensity),
        home_intensity=evidence.series_of(kept.home_intensity),
        provisional=False,
        slots=kept.slots,
        gpus=kept.gpus,
        unit=kept.unit,
        work=work,
        expected=evidence.plan_of(kept.planned),
        first_come=NO_PLAN
        if kept.first_come is None
        else Start(
            from_unix(kept.first_come.start_s),
            evidence.series_of(kept.first_come.intensity),
            estimated=kept.first_come.estimated,
        ),
        step_s=kept.step_s,
        unit_rationale=kept.unit_rationale,
        within=kept.within if kept.within == outer_of(journals) else None,
    )


def _moved(span: evidence.Span, to: datetime, first_s: float) -> evidence.Span:
    """A span of a run that starts at another time than ``first_s`` (Unix seconds)."""
    shift = to.timestamp() - first_s
    return span[0] + shift, span[1] + shift


def _estimated(*series: Series | None) -> bool:
    """Whether an intensity is no actual one."""
    return any(s is not None and s.kind != "actual" for s in series)


def _contributors(
    energy: Energy,
    series: Series | None,
    site: Site,
    operational: Triple | None,
    embodied: Triple | None,
) -> tuple[Contributor, ...]:
    """What makes the total unsure, in grams; without an intensity what makes the energy unsure."""
    if operational is None or series is None:
        parts = [
            uncertainty.Effect(f"{c.name} energy ({c.method})", c.energy_kwh, c.method == COUNTED)
            for c in energy.components
            if c.energy_kwh is not None
        ]
        return uncertainty.contributors(parts, grams=False)
    found = carbon.effects(energy.profiles, series, site)
    if embodied is not None:
        found.append(uncertainty.Effect("embodied carbon", embodied))
    return uncertainty.contributors(found, grams=True)


def _deviation(
    expected: Expectation | str,
    attempts: Sequence[AttemptRecord],
    energy: Energy,
    series: Series | None,
    site: Site,
    operational: Triple | None,
) -> Deviation | str:
    """Planned against realized, or why that cannot be told."""
    if isinstance(expected, str):
        return expected
    if any(a.ended_at is None for a in attempts):
        return "it has not ended"
    if operational is None or series is None:
        return "operational carbon is not known"
    unread = ", ".join(c.name for c in energy.components if c.energy_kwh is None)
    if unread:
        return f"{unread} was held but not read, so its power cannot be compared"
    return deviation(expected, attempts, energy.profiles, series, site.pue.value)


def _inside(band: Triple | None, used: IntensityUsed | None) -> bool | None:
    """Whether the actual intensity of the run lies inside the plan's band; None: not known."""
    if band is None or used is None or used.kind != "actual":
        return None
    return band.low <= used.g_per_kwh.value <= band.high


def _measured_percent(energy: Energy, nulls: dict[str, str]) -> float | None:
    if energy.reserved_kwh is None:
        return None
    unread = [c.name for c in energy.components if c.energy_kwh is None]
    if unread or energy.unbounded:
        said = ", ".join(dict.fromkeys((*unread, *energy.unbounded)))
        nulls["measured_percent"] = f"{said}: not read for all of the time"
        return None
    if energy.reserved_kwh.value <= 0:
        nulls["measured_percent"] = "no energy was drawn that could be counted"
        return None
    measured = sum(
        c.energy_kwh.value
        for c in energy.components
        if c.energy_kwh is not None and c.method in {"measured", "integrated"} and not c.replayed
    )
    return min(100.0, 100.0 * measured / energy.reserved_kwh.value)
