"""Why a plan is as it is, in words; and what in it is unknown, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.series import from_unix
from scheduler.models import GIVEN
from scheduler.planner.bases import SAFE_GAP
from scheduler.quantities import duration

if TYPE_CHECKING:
    from providers.series import Series
    from scheduler.engine.places import Field
    from scheduler.models import JobSpec, Power, Window
    from scheduler.planner.choice import Decision


def unknown(spec: JobSpec, field: Field) -> str:
    """Why no window has a forecast: nothing is known, or each has a hole."""
    known = field.candidates[0].known
    if known.series is None or spec.duration_s is None:
        return known.reason
    start = spec.release.timestamp()
    end = max(start, (spec.latest_start or spec.release).timestamp()) + spec.duration_s
    holes = ", ".join(f"{_shown(a)} to {_shown(b)}" for a, b in known.series.gaps(start, end)[:3])
    reach = f"{known.series.source} reaches to {_shown(float(known.series.ends[-1]))}"
    return (
        f"no window of {duration(spec.duration_s)} without a hole in {known.series.zone} "
        f"({reach}; missing {holes})"
    )


def nulls_of(
    spec: JobSpec, field: Field, power: Power, planned: bool, run_now: Window
) -> dict[str, str]:
    nulls: dict[str, str] = {}
    if power.watts is None:
        nulls |= dict.fromkeys(("power.value_w", "expected_g", "run_now_g"), power.detail)
    if not planned:
        reason = unknown(spec, field)
        for key in ("expected_g", "signal", "forecast.source", "forecast.issued_at"):
            nulls.setdefault(key, reason)
    if run_now.grams is None:
        nulls.setdefault("run_now_g", field.home.known.reason or "the forecast has a hole there")
    if "expected_g" in nulls or "run_now_g" in nulls:
        nulls["saving_percent"] = nulls.get("run_now_g") or nulls["expected_g"]
    return nulls


def not_calibrated(series: Series) -> str:
    """Why the band of a window in ``series`` is not known to hold 80 % of the actuals."""
    if series.calibration is None:
        return f"not calibrated: past errors of {series.source} are not known"
    return (
        "not calibrated: too few errors of runs like this one are known, or it reaches beyond the "
        f"forecast of {series.source}"
    )


def reason(spec: JobSpec, field: Field, decision: Decision, chosen: Window, late: bool) -> str:
    if late:
        said = "the latest safe start has passed, so it starts at once"
    elif decision.chosen is None:
        said = f"it starts at its earliest time: {unknown(spec, field)}"
    elif decision.rule == "min_saving":
        said = (
            f"no delay is worth it: the best window saves less than {spec.min_saving_percent:g} % "
            "against a start at release"
        )
    elif decision.rule == "cautious":
        said = "no delay is sure to save: the forecast's upper bound of the best window is too high"
    elif decision.rule == "forecast_error":
        said = "no delay is worth it: the best window saves less than its forecast's own error"
    elif decision.rule == "kept":
        said = "it keeps its window: moving it would save too little"
    elif decision.rule == "together":
        said = "the lowest forecast carbon beside the other jobs of the queue"
    elif chosen.start <= max(spec.release, chosen.start) and decision.at_release == decision.chosen:
        said = "no later window is lower, so it starts at its earliest time"
    else:
        said = "the lowest forecast carbon within its slack"
    if len(chosen.segments) > 1:
        said += f", in {len(chosen.segments)} segments"
    if chosen.g_per_kwh is not None:
        said += f" ({chosen.g_per_kwh.value:.0f} g/kWh in {chosen.region}"
        if decision.at_release is not None and decision.at_release != decision.chosen:
            said += f", {decision.at_release.g_per_kwh.value:.0f} at the earliest start"
        said += ")"
    if spec.duration_source != GIVEN:
        said += f"; its duration is learned from group {spec.group}"
    if spec.deadline_assumed and spec.deadline is not None:
        said += (
            "; no deadline was given, so release + duration + the default slack is taken: "
            f"{spec.deadline:%Y-%m-%dT%H:%MZ}"
        )
    notes = dict.fromkeys(n for o in field.candidates for n in o.known.notes)
    notes |= {
        f"{o.region.name}: {o.known.reason}": None
        for o in field.candidates
        if o.known.series is None and decision.chosen is not None
    }
    if field.apart:
        names = ", ".join(o.region.name for o in field.apart)
        notes[
            f"{names}: told on another basis (signal, factors or flow), listed only: gaps below "
            f"{100 * SAFE_GAP:g} % are not safe"
        ] = None
    only_compared = [o.region.name for o in field.compared if o.region.name in spec.regions]
    if only_compared:
        notes[f"{', '.join(only_compared)}: no executor, compared only"] = None
    return "; ".join([said, *notes])


def _shown(at_s: float) -> str:
    return f"{from_unix(at_s):%Y-%m-%dT%H:%MZ}"
