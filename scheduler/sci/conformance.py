"""The demands of SCI (specification v1.1.0, ISO/IEC 21031:2024) and of SCI for AI (ratified
2025-11), each met, not met or not applicable.

A verdict is earned by what was seen: what is not known to be so is not met, and says why.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from scheduler.models import Rule
from scheduler.sci.energy import HOLE_S
from scheduler.sci.methodology import UNDECLARED, boundary, has_plant
from scheduler.sci.work import AI_UNITS

if TYPE_CHECKING:
    from scheduler.models import ComponentEnergy, Settlement, Site

Verdict = Literal["met", "not_met", "not_applicable"]

# The step of hourly data: real-time intensity is published by the hour or finer.
HOUR_S: Final = 3600.0
# Less than any source of electricity emits over its life: hydropower, at least 1 g/kWh (IPCC AR5
# WG III, Annex III, table A.III.2).
LEAST_LIFECYCLE_G: Final = 1.0
# Of a short run this share of it that was not read is a hole.
HOLE_SHARE: Final = 0.1
# Words of market-based measures: SCI 1.1.0, "Market-based measures", and what sellers call them.
_MARKET: Final = re.compile(
    r"\b(PPAs?|RECs?|EACs?|GOOs?|REGOs?|I-RECs?|CERs?|ERUs?|RMUs?|offsets?|carbon credits?|"
    r"certificates?|guarantees? of origin|power purchase|market[- ]based|residual mix|"
    r"(green|renewable|eco) (tariff|power|energy|electricity|contract)s?|100 ?% (renewable|green)|"
    r"carbon[- ]neutral|net[- ]zero)\b",
    re.IGNORECASE,
)
# What a declared intensity is called: the user's word, which nothing here can check.
DECLARED: Final = "constant ("


def rules(s: Settlement, site: Site) -> tuple[Rule, ...]:
    """One entry for each "shall" and "should", in the order of the specification."""
    return (*_energy(s), *_intensity(s, site), *_embodied(s, site), *_score(s), *_for_ai(s))


def _energy(s: Settlement) -> tuple[Rule, ...]:
    unread = (c.name for c in s.components if c.energy_kwh is None or not c.energy_kwh.bounded)
    missing = [*unread, *s.left_out]
    partly = [f"{c.name} was read {c.coverage_percent:.0f} % of the run" for c in _holes(s)]
    whole = s.reserved_kwh is not None and s.reserved_kwh.bounded and not missing and not partly
    names = ", ".join(c.name for c in s.components if c.energy_kwh is not None)
    lacking = "; ".join([f"not read: {', '.join(missing)}"] * bool(missing) + partly)
    pue = f"{s.pue.value:g}: {s.pue_source}"
    return (
        _rule(
            "E should count all energy of the hardware reserved, used or not",
            whole,
            f"reserved energy of {names}, idle share included"
            if whole
            else lacking or "not read: any component",
        ),
        Rule("E should account for the data centre's PUE", _pue(s), pue),
    )


def _holes(s: Settlement) -> list[ComponentEnergy]:
    """What was read for a part of the run only."""
    spans = ((a.ended_at, a.started_at) for a in s.attempts)
    run_s = sum((end - start).total_seconds() for end, start in spans if end is not None)
    least = min(HOLE_S, HOLE_SHARE * run_s)
    read = [c for c in s.components if c.energy_kwh is not None]
    return [c for c in read if (1 - c.coverage_percent / 100) * run_s > least]


def _pue(s: Settlement) -> Verdict:
    if not has_plant(s):
        return "not_applicable"
    return "not_met" if s.pue_source.startswith(UNDECLARED) else "met"


def _intensity(s: Settlement, site: Site) -> tuple[Rule, ...]:
    used, why = s.intensity, s.nulls.get("operational_g", "")
    of = "average" if used is None or used.signal == "average" else "short-run marginal"
    doubt = _not_of_the_grid(s)
    coarse = _coarse(s)
    values = None if used is None else used.values
    market = _market_words(s, site)
    return (
        _rule(
            "I shall be the location-based average or marginal intensity of the grid",
            used is not None and not doubt,
            doubt or (f"{of} intensity of {site.zone} ({used.source})" if used else why),
        ),
        Rule(
            "off the grid I shall be a factor of that system",
            "not_applicable" if site.zone else "not_met",
            f"the run counts as connected to the grid of {site.zone}"
            if site.zone
            else "no grid zone is known, and no factor of a system off the grid",
        ),
        _rule(
            "E and I should have the highest granularity at hand; annual values are the least",
            used is not None and not coarse,
            coarse
            or (
                "energy of each sample times the intensity of its moment"
                + ("" if values is None else f"; {values} value(s) over the run")
                if used
                else why
            ),
        ),
        _rule(
            "market-based measures shall not enter I or M",
            not market,
            market or "no source of I or M is named as an offset, certificate or contract",
        ),
    )


def _not_of_the_grid(s: Settlement) -> str:
    """Why an intensity is not seen to be that of the grid where it ran; empty: it is."""
    used = s.intensity
    if used is None:
        return ""
    if found := _MARKET.search(used.source):
        return f"{used.source} is market-based by its name ({found[0]})"
    if used.source.startswith(DECLARED):
        return f"{used.source} is declared: nothing shows that it is the grid's own"
    if used.factors != "direct" and used.g_per_kwh.value < LEAST_LIFECYCLE_G:
        return (
            f"{used.g_per_kwh.value:.3g} g/kWh is less than any source of electricity emits over "
            f"its life (hydropower: at least {LEAST_LIFECYCLE_G:g} g/kWh, IPCC AR5)"
        )
    return ""


def _coarse(s: Settlement) -> str:
    """Why the intensity is not that of the moment; empty: it is."""
    used = s.intensity
    if used is None:
        return ""
    if used.kind != "actual":
        return f"{used.source} is an {used.kind}: not what the grid was at the time"
    if used.step_s is None:
        return f"for how long each value of {used.source} holds is not known"
    if used.step_s > HOUR_S:
        hours = used.step_s / HOUR_S
        return f"each value of {used.source} holds for {hours:.3g} hours: finer ones are published"
    return ""


def _market_words(s: Settlement, site: Site) -> str:
    """Which sources are named as market-based measures."""
    sources = [s.intensity.source] if s.intensity is not None else []
    sources += [site.hardware.source] if site.hardware is not None else []
    found = [f"{source} ({word[0]})" for source in sources if (word := _MARKET.search(source))]
    return f"named as a market-based measure: {'; '.join(found)}" if found else ""


def _embodied(s: Settlement, site: Site) -> tuple[Rule, ...]:
    known, hardware = s.embodied_g is not None, site.hardware
    source = hardware.source if hardware is not None else ""
    why = source if known and hardware else s.nulls.get("embodied_g", "")
    exact = known and hardware is not None and hardware.total_kg.low == hardware.total_kg.high
    return (
        _rule("M shall be included for all hardware in the boundary", known, why),
        _rule(
            "M should rest on the most granular data, ideally the device's own assessment",
            exact,
            f"one figure for the machine, without bounds: {source}"
            if exact
            else f"a model or a range, not the device's own assessment: {source}"
            if known
            else why,
        ),
    )


def _score(s: Settlement) -> tuple[Rule, ...]:
    counted = s.unit_count is not None
    limits = boundary(s)
    read = [c.name for c in s.components if c.energy_kwh is not None]
    parts = sum(c.energy_kwh.value for c in s.components if c.energy_kwh is not None)
    whole = None if s.reserved_kwh is None else s.reserved_kwh.value
    sums = whole is not None and abs(parts - whole) <= 1e-9 * max(whole, parts)
    lacking = [
        name
        for name, figure in (("E", s.reserved_kwh), ("I", s.intensity), ("M", s.embodied_g))
        if figure is None
    ]
    return (
        _rule(
            "units shall be kWh for E, g/kWh for I and g for M",
            not lacking,
            "E in kWh, I in gCO2e/kWh, M in gCO2e"
            if not lacking
            else f"not known, so in no unit: {', '.join(lacking)}",
        ),
        _rule(
            "R shall be one and the same over all components",
            counted,
            f"{s.unit_count:g} {s.unit}" if counted else s.nulls.get("functional_unit.count", ""),
        ),
        Rule("conversions between units shall be disclosed", "not_applicable", "none is made"),
        _rule(
            "the SCI is the sum over all components",
            sums,
            " + ".join(read)
            if sums
            else s.nulls.get("energy_kwh.reserved", "the components do not add up"),
        ),
        _rule(
            "the boundary shall be articulated, with its infrastructure",
            bool(read) and bool(limits.outside),
            f"in it: {'; '.join(limits.inside)}. Out of it: {'; '.join(limits.outside)}"
            if read
            else "no component was read, so nothing is in it",
        ),
        _rule(
            "supporting infrastructure that contributes significantly shall be in the boundary",
            False,
            f"out of it, whatever they contribute: {'; '.join(limits.outside)}",
        ),
        _rule(
            "each component shall be quantified, by measurement or calculation",
            bool(s.components) and len(read) == len(s.components),
            ", ".join(f"{c.name} {c.method}" for c in s.components) or "no component was read",
        ),
        _rule(
            "score, boundary and methodology shall be disclosed",
            s.sci_g_per_unit is not None,
            "in this report" if s.sci_g_per_unit else s.nulls.get("sci_g_per_unit", ""),
        ),
        _rule(
            "a baseline shall be computed by the identical method",
            s.baseline_g is not None and not _unlike(s),
            (
                _unlike(s)
                or "same energy profile and accounting method, started at release in the home "
                "region"
            )
            if s.baseline_g
            else s.nulls.get("baseline_g", ""),
        ),
    )


def _unlike(s: Settlement) -> str:
    """In what the intensity of the baseline is another one than the run's; empty: in nothing."""
    kept = s.evidence
    if kept is None or kept.intensity is None or kept.home_intensity is None:
        return ""
    here, there = kept.intensity, kept.home_intensity
    if here.kind != there.kind:
        return f"the run is settled on an {here.kind} intensity, the baseline on an {there.kind}"
    unstated = here.factors is None or here.flow is None
    if unstated and {row[5] for row in here.intervals} != {row[5] for row in there.intervals}:
        return "run and baseline rest on several sources, and their accounting is not all stated"
    return ""


def _for_ai(s: Settlement) -> tuple[Rule, ...]:
    """Provider's side: training. A job that counts none of its units is no such report."""
    named = [name for name in dict.fromkeys((s.unit, *s.units)) if name in AI_UNITS]
    scored = [u for u in named if s.units.get(u, 0.0) > 0 and s.total_g is not None]
    attempts = len(s.attempts)
    unread = [c.name for c in s.components if c.energy_kwh is None]
    every = _rule(
        "SCI for AI: training shall count whole, with every attempt and early stop",
        bool(s.components) and not unread,
        f"not read: {', '.join(unread) or 'any component'}"
        if unread or not s.components
        else f"{attempts} attempt(s), failed ones included; other jobs of a sweep: "
        "`report --group`",
    )
    names = (
        "R shall be FLOP, training token or parameter",
        "the provider's boundary shall be whole",
        "R shall be stated with its rationale, gross or effective",
    )
    if not named:
        why = f"R is {s.unit}: an SCI, not an SCI for AI"
        outside = [Rule(f"SCI for AI: {name}", "not_applicable", why) for name in names]
        return (*outside, every if attempts > 1 else Rule(every.rule, "not_applicable", why))
    return (
        _rule(
            f"SCI for AI: {names[0]}",
            bool(scored),
            f"per {', '.join(scored)}: gross, as the job declared"
            if scored
            else s.nulls.get("total_g") or f"the job counted no {named[0]} above zero",
        ),
        _rule(
            f"SCI for AI: {names[1]}",
            False,
            "model training of this job; preparation, data engineering, system integration and "
            "retirement are out",
        ),
        _rule(
            f"SCI for AI: {names[2]}",
            bool(s.unit_rationale),
            f"gross: all work that was done counts. {s.unit_rationale}"
            if s.unit_rationale
            else "gross, but why this R was chosen is not stated: --unit-rationale TEXT",
        ),
        every,
    )


def _rule(rule: str, met: bool, why: str) -> Rule:
    return Rule(rule, "met" if met else "not_met", why)
