"""From energy and intensity to operational and embodied carbon, SCI and saving.

``O = sum(E_t x I_t) x PUE``, ``M = TE x (TiR / EL) x (RR / ToR)``, ``SCI = (O + M) per R``.
Bounds are interval arithmetic. A saving shares its energy with what it is compared with, so
its bounds are taken over the same energy on both sides.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from providers.base import ZERO, Triple
from scheduler.models import IntensityUsed, Settlement
from scheduler.sci.conformance import rules
from scheduler.sci.energy import tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from providers.series import Series
    from scheduler.models import Basis, Hardware, Site
    from scheduler.sci.energy import AttemptRecord, Energy, Profile

NO_HARDWARE = (
    "no hardware is declared for {region}, so there is no embodied carbon and this is not an "
    "SCI: set regions.{region}.hardware"
)

# Unix times in double precision resolve 0.2 microseconds: of a run of a second, that leaves
# this share of the energy on the wrong side of an interval's edge.
ROUNDING = 1e-6


def embodied_g(hardware: Hardware, hours: float, slots: float, gpus: int) -> Triple:
    """M in grams for holding ``slots`` and ``gpus`` of a machine for ``hours``.

    1000 kg over 4 years, all of the machine for 1 h: 28.5 g.
    """
    share = slots / hardware.slots
    if gpus and hardware.gpus:
        share = max(share, gpus / hardware.gpus)
    return hardware.total_kg.scaled(1000.0 * hours / hardware.lifespan_h * min(1.0, share))


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
    units: Mapping[str, float],
    no_intensity_reason: str = "",
    no_baseline_reason: str = "",
    notes: tuple[str, ...] = (),
) -> Settlement:
    """Settle a job. Series hold, per interval, actuals or else the forecast in force."""
    energy = tally(attempts)
    nulls: dict[str, str] = {}
    if energy.reserved_kwh is None:
        reason = "; ".join(energy.notes) or "no energy was read"
        nulls |= dict.fromkeys(("energy_kwh.active", "energy_kwh.reserved"), reason)
        nulls["measured_percent"] = reason
    nulls |= {
        f"components.{c.name}.{k}": f"{c.name} was held but not read: the totals leave it out"
        for c in energy.components
        if c.energy_kwh is None
        for k in ("active_kwh", "energy_kwh")
    }
    operational = _operational(energy.profiles, intensity, site, 0.0)
    if operational is None:
        said = no_intensity_reason or "the intensity is not known over the whole run"
        nulls |= dict.fromkeys(
            ("intensity", "operational_g"), nulls.get("energy_kwh.reserved") or said
        )
    hours = energy.run_s / 3600
    held = max(float(slots), energy.cpu_s / energy.run_s if energy.run_s > 0 else 0.0)
    embodied = None
    if site.hardware is None:
        nulls["embodied_g"] = NO_HARDWARE.format(region=site.region)
    else:
        embodied = embodied_g(site.hardware, hours, held, gpus)
    total = None if operational is None or embodied is None else operational + embodied
    if total is None:
        nulls["total_g"] = nulls.get("operational_g") or nulls["embodied_g"]
    unit_name, count = (unit, units.get(unit)) if unit else ("job", 1.0)
    if count is None or count <= 0:
        count = None
        nulls["functional_unit.count"] = f"the job wrote no {unit_name}=... to $LOWTIDE_UNITS"
    sci = None if total is None or count is None else total.scaled(1.0 / count)
    if sci is None:
        nulls["sci_g_per_unit"] = nulls.get("total_g") or nulls["functional_unit.count"]
    first_s = attempts[0].started_at.timestamp()
    shift = release.timestamp() - first_s
    home_embodied = None
    if home.hardware is not None:
        home_embodied = embodied_g(home.hardware, energy.unbroken_s / 3600, held, gpus)
    basis: Basis = "operational" if embodied is None or home_embodied is None else "total"
    baseline = _operational(energy.unbroken, home_intensity, home, shift)
    saved = None
    if baseline is None or operational is None:
        reason = nulls.get("operational_g") or no_baseline_reason
        reason = reason or f"the intensity at {home.region} is not known over the baseline"
        nulls |= dict.fromkeys(("baseline_g", "saved_g", "saved_percent"), reason)
    else:
        assert intensity is not None  # operational is known
        assert home_intensity is not None  # baseline is known
        saved = _saved(energy, intensity, site, home_intensity, home, shift)
        if basis == "total" and embodied is not None and home_embodied is not None:
            baseline = baseline + home_embodied
            if site.region != home.region:
                saved = _shifted(saved, home_embodied, embodied)
            elif site.hardware is not None:
                longer = max(0.0, hours - energy.unbroken_s / 3600)
                saved = _shifted(saved, ZERO, embodied_g(site.hardware, longer, held, gpus))
    used = _used(energy.profiles, intensity) if operational is not None else None
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
        unit=unit_name,
        unit_count=count,
        sci_g_per_unit=sci,
        basis=basis,
        baseline_g=baseline,
        saved_g=saved,
        saving_estimated=any(
            s is not None and s.kind != "actual" for s in (intensity, home_intensity)
        ),
        largest_uncertainty=_largest_uncertainty(energy, intensity, site, operational, embodied),
        conformance=(),
        attempts=energy.attempts,
        nulls=nulls,
        notes=tuple(dict.fromkeys((*energy.notes, *notes))),
    )
    return rules(settlement, site)


def _weights(profiles: Sequence[Profile], series: Series, shift: float) -> NDArray[np.float64]:
    """Energy that falls into each interval of ``series``: 3 (low, value, high) x intervals, kWh.

    The profile is moved by ``shift`` seconds; energy is spread evenly over its increment.
    """
    found = np.zeros((3, len(series)))
    for profile in profiles:
        # A profile of no length still needs an interval to lie in.
        times = profile.times + shift
        times[-1] = max(times[-1], times[0] + 1e-3)
        drawn = np.vstack((np.zeros(3), np.cumsum(profile.kwh, axis=0)))
        for bound in range(3):
            found[bound] += np.interp(series.ends, times, drawn[:, bound])
            found[bound] -= np.interp(series.starts, times, drawn[:, bound])
    return found


def _operational(
    profiles: Sequence[Profile], series: Series | None, site: Site, shift: float
) -> Triple | None:
    """O in grams; None where the intensity leaves a part of the profile open."""
    if series is None or not profiles or not len(series):
        return None
    for profile in profiles:
        low, high = float(profile.times[0]) + shift, float(profile.times[-1]) + shift
        # A second at either end may be missing: clocks and rounding, not a hole.
        if sum(b - a for a, b in series.gaps(low, high)) > 1.0:
            return None
    kwh = _weights(profiles, series, shift)
    bands = (series.low, series.g_per_kwh, series.high)
    pue = (site.pue.low, site.pue.value, site.pue.high)
    return Triple(*(float(k @ g) * p for k, g, p in zip(kwh, bands, pue, strict=True)))


def _used(profiles: Sequence[Profile], series: Series | None) -> IntensityUsed | None:
    """The intensity weighted by energy."""
    total = sum(float(p.kwh[:, 1].sum()) for p in profiles)
    if series is None or total <= 0:
        return None
    shares = _weights(profiles, series, 0.0)[1] / total
    low, value, high = (float(shares @ g) for g in (series.low, series.g_per_kwh, series.high))
    start = min(float(p.times[0]) for p in profiles)
    end = max(float(p.times[-1]) for p in profiles)
    source = series.clip(start, max(end, start + 1e-3)).source
    return IntensityUsed(series.signal, series.kind, source, _ordered(low, value, high))


def _saved(
    energy: Energy,
    here: Series,
    site: Site,
    there: Series,
    home: Site,
    shift: float,
) -> Triple:
    """Baseline minus realized with the same energy on both sides, but for what pauses cost.

    In one grid zone both sides also share the intensity of each interval, so its error counts
    only by the difference of the energies there; in one region they share the PUE.
    """
    if site.zone == home.zone:
        here = there = here.fill_from(there)
    plus, minus = _weights(energy.unbroken, there, shift), _weights(energy.profiles, here, 0.0)
    if site.region == home.region:
        pues = [(p, p) for p in (site.pue.low, site.pue.value, site.pue.high)]
    else:
        pues = list(product((home.pue.low, home.pue.high), (site.pue.low, site.pue.high)))
    corners: list[float] = []
    for e, (home_pue, site_pue) in product(range(3), pues):
        if site.zone == home.zone:
            kwh = home_pue * plus[e] - site_pue * minus[e]
            parts = [_by_step(kwh, here)]
        else:
            parts = [
                (home_pue * plus[e], there.low, there.high),
                (-site_pue * minus[e], here.low, here.high),
            ]
        ends = [(kwh * low, kwh * high) for kwh, low, high in parts]
        corners.append(sum(float(np.minimum(a, b).sum()) for a, b in ends))
        corners.append(sum(float(np.maximum(a, b).sum()) for a, b in ends))
    before = home.pue.value * float(plus[1] @ there.g_per_kwh)
    value = before - site.pue.value * float(minus[1] @ here.g_per_kwh)
    low, high = min(corners), max(corners)
    if site.zone == home.zone and max(-low, high, abs(value)) <= ROUNDING * abs(before):
        return Triple.exact(0.0)
    return _ordered(low, value, high)


def _by_step(
    kwh: NDArray[np.float64], series: Series
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Energies, low and high by step: neighbours of one source and value were cut from one."""
    facts = (series.low, series.g_per_kwh, series.high, series.sources)
    new = np.any([fact[1:] != fact[:-1] for fact in facts], axis=0)
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    return np.add.reduceat(kwh, first), series.low[first], series.high[first]


def _shifted(saved: Triple, plus: Triple, minus: Triple) -> Triple:
    """``saved + plus - minus`` with independent bounds."""
    return Triple(
        saved.low + plus.low - minus.high,
        saved.value + plus.value - minus.value,
        saved.high + plus.high - minus.low,
    )


def _ordered(low: float, value: float, high: float) -> Triple:
    """Bounds that contain the value also after float rounding."""
    return Triple(min(low, value), value, max(high, value))


def _measured_percent(energy: Energy, nulls: dict[str, str]) -> float | None:
    if energy.reserved_kwh is None:
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


def _largest_uncertainty(
    energy: Energy,
    series: Series | None,
    site: Site,
    operational: Triple | None,
    embodied: Triple | None,
) -> str:
    """The largest contributor to the width of the bounds, one varied at a time."""
    widths: dict[str, float] = {}
    used = None if series is None else _used(energy.profiles, series)
    if operational is not None and used is not None and energy.reserved_kwh is not None:
        g = used.g_per_kwh
        for c in energy.components:
            if c.energy_kwh is not None:
                width = (c.energy_kwh.high - c.energy_kwh.low) * g.value * site.pue.value
                widths[f"{c.name} energy ({c.method})"] = width
        e = energy.reserved_kwh.value
        widths[f"carbon intensity ({used.kind})"] = (g.high - g.low) * e * site.pue.value
        widths["PUE"] = (site.pue.high - site.pue.low) * e * g.value
    elif energy.reserved_kwh is not None:
        for c in energy.components:
            if c.energy_kwh is not None:
                widths[f"{c.name} energy ({c.method})"] = c.energy_kwh.high - c.energy_kwh.low
    if embodied is not None and operational is not None:
        widths["embodied carbon"] = embodied.high - embodied.low
    total = sum(widths.values())
    if total <= 0:
        return "none: every figure is exact or unknown"
    name = max(widths, key=lambda k: widths[k])
    return f"{name}: {100 * widths[name] / total:.0f} % of the width of the bounds"
