"""The demands of SCI (specification v1.1.0, ISO/IEC 21031:2024) and of SCI for AI, each met, not
met or not applicable, judged on what was really used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scheduler.models import Rule
from scheduler.sci.methodology import boundary, has_plant
from scheduler.sci.work import AI_UNITS

if TYPE_CHECKING:
    from scheduler.models import Settlement, Site

Verdict = Literal["met", "not_met", "not_applicable"]


def rules(s: Settlement, site: Site) -> tuple[Rule, ...]:
    """One entry for each "shall" and "should", in the order of the specification."""
    return (*_energy(s), *_intensity(s, site), *_embodied(s, site), *_score(s), *_for_ai(s))


def _energy(s: Settlement) -> tuple[Rule, ...]:
    unread = (c.name for c in s.components if c.energy_kwh is None or not c.energy_kwh.bounded)
    missing = [*unread, *s.left_out]
    whole = s.reserved_kwh is not None and s.reserved_kwh.bounded and not missing
    names = ", ".join(c.name for c in s.components if c.energy_kwh is not None)
    plant: Verdict = "met" if has_plant(s) else "not_applicable"
    return (
        _rule(
            "E should count all energy of the hardware reserved, used or not",
            whole,
            f"reserved energy of {names}, idle share included"
            if whole
            else f"not read: {', '.join(missing) or 'any component'}",
        ),
        Rule(
            "E should account for the data centre's PUE", plant, f"{s.pue.value:g}: {s.pue_source}"
        ),
    )


def _intensity(s: Settlement, site: Site) -> tuple[Rule, ...]:
    used, why = s.intensity, s.nulls.get("operational_g", "")
    of = "average" if used is None or used.signal == "average" else "short-run marginal"
    met = None if used is None else used.values
    return (
        _rule(
            "I shall be the location-based average or marginal intensity of the grid",
            used is not None,
            f"{of} intensity of {site.zone} ({used.source})" if used else why,
        ),
        Rule(
            "off the grid I shall be a factor of that system",
            "not_applicable",
            f"the run counts as connected to the grid of {site.zone}"
            if site.zone
            else "no grid zone is known",
        ),
        _rule(
            "E and I should have the highest granularity at hand; annual values are the least",
            used is not None,
            "energy of each sample times the intensity of its moment"
            + ("" if met is None else f"; {met} value(s) over the run")
            if used
            else why,
        ),
        _rule(
            "market-based measures shall not enter I or M",
            True,
            "no offsets, certificates or contracts are counted",
        ),
    )


def _embodied(s: Settlement, site: Site) -> tuple[Rule, ...]:
    known = s.embodied_g is not None
    why = site.hardware.source if known and site.hardware else s.nulls.get("embodied_g", "")
    return (_rule("M shall be included for all hardware in the boundary", known, why),)


def _score(s: Settlement) -> tuple[Rule, ...]:
    counted = s.unit_count is not None
    limits = boundary(s)
    parts = sum(c.energy_kwh.value for c in s.components if c.energy_kwh is not None)
    whole = None if s.reserved_kwh is None else s.reserved_kwh.value
    sums = whole is not None and abs(parts - whole) <= 1e-9 * max(whole, parts)
    return (
        _rule(
            "R shall be one and the same over all components",
            counted,
            f"{s.unit_count:g} {s.unit}" if counted else s.nulls.get("functional_unit.count", ""),
        ),
        Rule("conversions between units shall be disclosed", "not_applicable", "none is made"),
        _rule(
            "the SCI is the sum over all components",
            sums,
            " + ".join(c.name for c in s.components if c.energy_kwh is not None)
            if sums
            else s.nulls.get("energy_kwh.reserved", "the components do not add up"),
        ),
        _rule(
            "supporting infrastructure that contributes significantly shall be in the boundary",
            False,
            f"out of it, whatever they contribute: {'; '.join(limits.outside)}",
        ),
        _rule(
            "each component shall be quantified, by measurement or calculation",
            bool(s.components) and all(c.energy_kwh is not None for c in s.components),
            ", ".join(f"{c.name} {c.method}" for c in s.components) or "no component was read",
        ),
        _rule(
            "score, boundary and methodology shall be disclosed",
            s.sci_g_per_unit is not None,
            "in this report" if s.sci_g_per_unit else s.nulls.get("sci_g_per_unit", ""),
        ),
        _rule(
            "a baseline shall be computed by the identical method",
            s.baseline_g is not None,
            "same energy profile, started at release in the home region"
            if s.baseline_g
            else s.nulls.get("baseline_g", ""),
        ),
    )


def _for_ai(s: Settlement) -> tuple[Rule, ...]:
    """Provider's side: training. A job that counts none of its units is no such report."""
    named = [name for name in dict.fromkeys((s.unit, *s.units)) if name in AI_UNITS]
    scored = [u for u in named if s.units.get(u, 0.0) > 0 and s.total_g is not None]
    attempts = len(s.attempts)
    every = Rule(
        "SCI for AI: training shall count whole, with every attempt and early stop",
        "met" if attempts > 1 or named else "not_applicable",
        f"{attempts} attempts, failed ones included; other jobs of a sweep: `report --group`"
        if attempts > 1
        else "one attempt; other jobs of a sweep: `report --group`",
    )
    if not named:
        why = f"R is {s.unit}: an SCI, not an SCI for AI"
        return (
            Rule("SCI for AI: R shall be FLOP, training token or parameter", "not_applicable", why),
            Rule("SCI for AI: the provider's boundary shall be whole", "not_applicable", why),
            every,
        )
    return (
        _rule(
            "SCI for AI: R shall be FLOP, training token or parameter",
            bool(scored),
            f"per {', '.join(scored)}: gross, as the job declared"
            if scored
            else s.nulls.get("total_g") or f"the job counted no {named[0]} above zero",
        ),
        _rule(
            "SCI for AI: the provider's boundary shall be whole",
            False,
            "model training of this job; data engineering, system integration and end of life are "
            "out",
        ),
        every,
    )


def _rule(rule: str, met: bool, why: str) -> Rule:
    return Rule(rule, "met" if met else "not_met", why)
