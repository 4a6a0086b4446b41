"""What a job is expected to draw: said by the user, learned, or assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Triple
from providers.meters import nvml
from providers.meters.power import full_load_w, idle_w
from scheduler.models import Power

if TYPE_CHECKING:
    from scheduler.models import JobSpec


def held(spec: JobSpec, watts: Triple | None) -> Triple | None:
    """What a job goes on drawing in a pause that only stops it; None where a pause gives back what
    it holds, or its power is not known.

    The idle draw of its slots, and never more than it draws when it runs; what boards draw then is
    not known beforehand, and left out.
    """
    if watts is None or not spec.stops:
        return None
    idle = idle_w(spec.slots)
    value = min(idle.value, watts.value)
    return Triple(min(idle.low, value), value, max(value, min(idle.high, watts.high)))


def expected(spec: JobSpec) -> Power:
    """Declared power, or declared energy over the duration, or what past runs of the group
    drew, or an assumption at full load.

    The assumption is the model's watts for the slots plus the power limits of the boards
    asked for (the largest ones here); without readable limits nothing is assumed.
    """
    if spec.power_w is not None:
        return Power(Triple.exact(spec.power_w), "declared", "--power")
    if spec.energy_kwh is not None and spec.duration_s is not None:
        watts = spec.energy_kwh * 3.6e6 / spec.duration_s
        return Power(Triple.exact(watts), "declared", "--energy over --duration")
    if spec.learned_power is not None:
        return spec.learned_power
    watts_cpu, source = full_load_w(spec.slots)
    if not spec.gpus:
        return Power(watts_cpu, "assumed", source)
    limits = sorted(nvml.gpu_limits_w().values(), reverse=True)[: spec.gpus]
    if len(limits) < spec.gpus:
        return Power(
            None,
            "unknown",
            f"{spec.gpus} GPU asked for, the power limits of {len(limits)} can be read here: "
            "give --power or --energy",
        )
    boards = Triple(0.0, sum(limits), sum(limits))
    return Power(watts_cpu + boards, "assumed", f"{source}; GPU power limits by NVML")
