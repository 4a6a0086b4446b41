"""From energy and intensity to operational and embodied carbon, SCI and saving.

``O = sum(E_t x I_t) x PUE``, ``M = TE x (TiR / EL) x (RR / ToR)``, ``SCI = (O + M) per R``.
Bounds combine as :mod:`scheduler.sci.uncertainty` says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.base import ZERO, Triple
from scheduler.models import Deviation, Place, Settlement, Water
from scheduler.sci import carbon, uncertainty
from scheduler.sci.attribution import held_slot_s
from scheduler.sci.conformance import rules
from scheduler.sci.deviation import deviation
from scheduler.sci.embodied import NO_HARDWARE, embodied_g, hardware_used, uncounted
from scheduler.sci.energy import COUNTED, open_above, tally
from scheduler.sci.work import done, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from providers.series import Series
    from scheduler.models import Basis, Contributor, Site
    from scheduler.sci.deviation import Expectation
    from scheduler.sci.energy import AttemptRecord, Energy
    from scheduler.sci.work import Work

# What a meter calls a board, before its UUID.
BOARD = "gpu:"
HELD_FOR_NO_TIME = "the hardware was held for no time that could be counted"
UNBOUNDED = (
    "{names}: held but not read for all of the time, and it is not known what it can draw, so "
    "there is no upper bound, no score and no saving"
)
NO_WATER = (
    "no use of water is published for {region}: set regions.{region}.wue_l_per_kwh with its source"
)
NO_PLAN = "there is no plan to compare with"


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
    notes: tuple[str, ...] = (),
) -> Settlement:
    """Settle a job. Series hold, per interval, actuals or else the forecast in force.

    ``expected`` is what the plan counted with, or the reason why that is not known.
    """
    energy = tally(attempts)
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
    gpus = max(gpus, energy.boards)
    if operational is None:
        said = no_intensity_reason or "the intensity is not known over the whole run"
        nulls |= dict.fromkeys(
            ("intensity", "operational_g"), nulls.get("energy_kwh.reserved") or said
        )
    hours = energy.run_s / 3600
    held_s = sum(held_slot_s(attempt, slots) for attempt in attempts)
    held = held_s / energy.run_s if energy.run_s > 0 else float(slots)
    boards = [c.name.removeprefix(BOARD) for c in energy.components if c.name.startswith(BOARD)]
    uncounted_boards = uncounted(site.hardware, site.region, boards, gpus) if site.hardware else ""
    embodied = None
    if site.hardware is None:
        nulls["embodied_g"] = site.no_hardware or NO_HARDWARE.format(region=site.region)
        nulls["hardware"] = nulls["embodied_g"]
    elif uncounted_boards:
        nulls["embodied_g"] = uncounted_boards
    else:
        embodied = embodied_g(site.hardware, hours, held, gpus)
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
    first_s = attempts[0].started_at.timestamp()
    shift = release.timestamp() - first_s
    home_embodied = None
    if home.hardware is not None:
        home_embodied = embodied_g(home.hardware, energy.unbroken_s / 3600, held, gpus)
    basis: Basis = "operational" if embodied is None or home_embodied is None else "total"
    baseline = carbon.operational(energy.unbroken, home_intensity, home, shift)
    saved = None
    if baseline is None or operational is None or unbounded:
        baseline = None
        reason = nulls.get("operational_g") or unbounded or no_baseline_reason
        reason = reason or f"the intensity at {home.region} is not known over the baseline"
        nulls |= dict.fromkeys(("baseline_g", "saved_g", "saved_percent"), reason)
    else:
        assert intensity is not None  # operational is known
        assert home_intensity is not None  # baseline is known
        saved = carbon.saved(energy, intensity, site, home_intensity, home, shift)
        if basis == "total" and embodied is not None and home_embodied is not None:
            baseline = baseline + home_embodied
            if site.region != home.region:
                saved = carbon.shifted(saved, home_embodied, embodied)
            elif site.hardware is not None:
                longer = max(0.0, hours - energy.unbroken_s / 3600)
                saved = carbon.shifted(saved, ZERO, embodied_g(site.hardware, longer, held, gpus))
    water = None
    if site.water is None:
        nulls["water"] = NO_WATER.format(region=site.region)
    elif energy.reserved_kwh is None:
        nulls["water"] = nulls["energy_kwh.reserved"]
    else:
        water = Water(energy.reserved_kwh * site.water.l_per_kwh, site.water)
    used = carbon.used(energy.profiles, intensity) if operational is not None else None
    found = _contributors(energy, intensity, site, operational, embodied)
    compared = _deviation(expected, attempts, energy, intensity, site, operational)
    if isinstance(compared, str):
        nulls["planned_against_realized"] = compared
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
        baseline_g=baseline,
        saved_g=saved,
        saving_estimated=any(
            s is not None and s.kind != "actual" for s in (intensity, home_intensity)
        ),
        largest_uncertainty=unbounded or uncertainty.largest(found),
        conformance=(),
        attempts=energy.attempts,
        nulls=nulls,
        notes=tuple(dict.fromkeys(filter(None, (*energy.notes, *notes, work.unknown)))),
        hardware=None if site.hardware is None else hardware_used(site.hardware, held, gpus),
        units=work.units,
        metrics=work.metrics,
        uncertainty=found,
        planned_against_realized=compared if isinstance(compared, Deviation) else None,
        place=site.place or Place(site.region, site.zone),
        left_out=energy.left_out,
        water=water,
    )
    return replace(settlement, conformance=rules(settlement, site))


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
    return 100.0 * measured / energy.reserved_kwh.value
