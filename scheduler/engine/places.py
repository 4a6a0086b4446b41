"""Regions as the planner weighs them: intensity, embodied carbon, transfer, money."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scheduler import sci
from scheduler.engine import power
from scheduler.errors import UsageError
from scheduler.planner.choice import Place, Request
from scheduler.planner.segments import Pausing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Triple
    from scheduler.config import Transfer
    from scheduler.engine.outlook import Known
    from scheduler.models import Basis, JobSpec, Window
    from scheduler.regions import Region


@dataclass(frozen=True, slots=True)
class Option:
    """A region with what is known of it."""

    region: Region
    known: Known


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part in a plan: who may be chosen, who is only compared, and the home.

    ``apart`` are those that could be chosen, but are told on another basis. ``able`` are all
    regions of the config where jobs can run, whichever of them the job names.
    """

    candidates: tuple[Option, ...]
    compared: tuple[Option, ...]
    home: Option
    transfer: Transfer
    apart: tuple[Option, ...] = ()
    able: tuple[Region, ...] = ()

    @property
    def basis(self) -> Basis:
        """``total`` where embodied carbon is known at home, wherever jobs can run and wherever this
        one may be placed, else ``operational``: so it is the same for a job that names regions, is
        compared with others, or has paused, as for one that does not.
        """
        regions = (
            self.home.region,
            *self.able,
            *(o.region for o in (*self.candidates, *self.apart)),
        )
        return "total" if all(r.hardware is not None for r in regions) else "operational"


def request(
    spec: JobSpec,
    earliest_s: float,
    latest_s: float,
    watts: Triple | None,
    *,
    stopped: bool = False,
) -> Request:
    """What the planner is asked, before money and delay are weighed; ``stopped``: the job has
    begun and stands, holding what it runs on.
    """
    assert spec.duration_s is not None
    pausing = None
    if spec.pausable is not None:
        p = spec.pausable
        pausing = Pausing(p.resume_s, p.min_run_s, p.max_segments)
    return Request(
        duration_s=spec.duration_s,
        earliest_s=earliest_s,
        latest_s=latest_s,
        power_w=watts,
        min_saving_percent=spec.min_saving_percent,
        pausing=pausing,
        carbon_share=1.0 - spec.objective.money - spec.objective.delay,
        cautious=spec.objective.cautious,
        held_w=power.held(spec, watts),
        stopped=stopped,
    )


def place(spec: JobSpec, option: Option, field: Field, basis: Basis, toll: float = 0.0) -> Place:
    """A region as the planner sees it; data is brought to any region but home."""
    region, embodied = option.region, None
    if basis == "total" and region.hardware is not None:
        embodied = sci.embodied_g(region.hardware, 1 / 3600, spec.slots, spec.gpus)
    away = spec.data_gb > 0 and region.name != field.home.region.name
    gb = spec.data_gb if away else 0.0
    return Place(
        region.name,
        option.known.series,
        region.pue,
        embodied,
        ready_s=gb * field.transfer.seconds_per_gb,
        once_g=gb * field.transfer.kwh_per_gb * _line_g_per_kwh(option, field.home) if away else 0,
        toll_g_per_s=toll,
    )


def _line_g_per_kwh(*ends: Option) -> float:
    """Mean intensity over both ends of a line, as far as known, over all that is told of them."""
    means = [
        float(series.integral(series.ends[-1:])[0] / series.covered(series.ends[-1:])[0])
        for end in ends
        if (series := end.known.series) is not None and len(series)
    ]
    return sum(means) / len(means) if means else 0.0


def cost(spec: JobSpec, region: Region, run_s: float, watts: Triple | None) -> float | None:
    """What a run costs there; None where no price, or no power for a price per kWh, is known."""
    price = region.price
    if price is None or (price.per_kwh and watts is None):
        return None
    hours = run_s / 3600.0
    kwh = 0.0 if watts is None else watts.value * region.pue.value * hours / 1000.0
    held = spec.slots * price.per_slot_hour + spec.gpus * price.per_gpu_hour
    return hours * held + kwh * price.per_kwh


def affordable(
    spec: JobSpec, options: Sequence[Option], watts: Triple | None, currency: str
) -> tuple[Option, ...]:
    """The regions whose price is known and within ``--max-cost``; all where money is no matter."""
    wish = spec.objective
    if not wish.needs_prices or spec.duration_s is None:
        return tuple(options)
    costs = [(o, cost(spec, o.region, spec.duration_s, watts)) for o in options]
    known = [(o, c) for o, c in costs if c is not None]
    if not known:
        names = ", ".join(o.region.name for o in options)
        raise UsageError(
            f"money is weighed, but no price is known for {names}: set regions.<name>.price "
            "(and --power, for a price per kWh)"
        )
    limit = float("inf") if wish.max_cost is None else wish.max_cost
    fit = tuple(o for o, c in known if c <= limit)
    if not fit:
        cheapest, least = min(known, key=lambda pair: pair[1])
        raise UsageError(
            f"--max-cost {limit:g} {currency}: the cheapest region, {cheapest.region.name}, "
            f"costs {least:.2f} {currency} for this run"
        )
    return fit


def weigh(
    spec: JobSpec, asked: Request, options: Sequence[Option], run_now: Window, *, outage: bool
) -> tuple[Request, dict[str, float]]:
    """The request and each region's toll with money and delay weighed against grams.

    Shares become grams by what a start at release in the home region emits and costs: the
    score is ``(1 - m - w) g/g0 + m cost/cost0 + w delay/slack``, times ``g0``. During an
    ``outage`` of the sources of home only grams count, until the job is planned again.
    """
    wish = spec.objective
    if not (wish.money or wish.delay):
        return asked, {}
    if run_now.grams is None:
        if outage and asked.power_w is not None:
            return asked, {}
        raise UsageError("--weigh needs the power of the job (--power) and a forecast at home")
    g0, slack = run_now.grams.value, asked.latest_s - asked.earliest_s
    if wish.delay and slack > 0:
        asked = replace(asked, delay_g_per_s=wish.delay * g0 / slack)
    if not wish.money:
        return asked, {}
    costs = {
        o.region.name: c
        for o in options
        if (c := cost(spec, o.region, asked.duration_s, asked.power_w)) is not None
    }
    unit = run_now.cost or min(costs.values())
    if unit <= 0:
        return asked, {}
    return asked, {name: wish.money * g0 / unit * c / asked.duration_s for name, c in costs.items()}
