"""Boundary and methodology in sentences, from what was really used and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scheduler.sci.uncertainty import RULE
from scheduler.sci.work import AI_UNITS, DECLARED

if TYPE_CHECKING:
    from scheduler.models import Settlement


# How the source of a PUE begins that is not known: a range stands in.
UNDECLARED = "not declared"


class Boundary(NamedTuple):
    """What is counted, and what is not."""

    inside: tuple[str, ...]
    outside: tuple[str, ...]


def boundary(s: Settlement) -> Boundary:
    """What the figures of this settlement hold, and what they leave out."""
    read = [c.name for c in s.components if c.energy_kwh is not None]
    unread = [c.name for c in s.components if c.energy_kwh is None]
    inside, outside = [], []
    if read:
        inside.append(f"energy of {', '.join(read)}, idle share of what the job held included")
    if s.operational_g is not None and has_plant(s):
        inside.append(f"cooling and power distribution, as PUE {s.pue.value:g} times that energy")
    elif s.operational_g is not None:
        outside.append(f"cooling and power distribution, as PUE 1: {s.pue_source}")
    if s.embodied_g is not None:
        inside.append("embodied carbon of the machine, for the time and share that the job held")
    else:
        outside.append("embodied carbon of the machine")
    attempts = len(s.attempts)
    inside.append(
        f"all {attempts} attempts, failed and interrupted ones included"
        if attempts > 1
        else "the one attempt that was made"
    )
    outside += [f"{name}, which was held but not read" for name in unread]
    outside += s.left_out
    outside += [
        "network and remote storage",
        "disks, fans and power supplies, but for what a meter or model of CPU and memory covers",
        "lowtide itself, its monitor and its queue",
    ]
    return Boundary(tuple(inside), tuple(outside))


def has_plant(s: Settlement) -> bool:
    """Whether the PUE is that of a data centre."""
    return s.pue.high > 1.0


def methodology(s: Settlement) -> tuple[str, ...]:
    """What was really done, one sentence a step."""
    by_method: dict[str, list[str]] = {}
    for c in s.components:
        by_method.setdefault(c.method, []).append(f"{c.name} ({c.source})")
    told = "; ".join(f"{method}: {', '.join(names)}" for method, names in by_method.items())
    text = [
        f"Energy: {told or 'nothing was metered'}.",
        "What counts is reserved energy: what the job drew, and the idle draw of what it held.",
    ]
    if s.intensity is not None:
        met = s.intensity.values
        over = "" if met is None else f", {met} value{'s' if met != 1 else ''} over the run"
        text.append(
            f"Operational carbon: energy of each sample times the {s.intensity.signal} intensity "
            f"of its moment ({s.intensity.kind}, {s.intensity.source}{over}), times PUE "
            f"{s.pue.value:g} ({s.pue_source})."
        )
    if s.embodied_g is not None:
        machine = f" ({s.hardware.source})" if s.hardware is not None else ""
        text.append(
            f"Embodied carbon: M = TE x (TiR / EL) x (RR / ToR) of the machine{machine}, with the "
            "time that it was held, and the part that fell to the job: what it held, and what it "
            "used of what no run held"
            + ("" if s.hardware is None or s.hardware.boards_kg is None else "; boards by boards")
            + "."
        )
    if s.sci_g_per_unit is not None and s.unit_count is not None:
        text.append(f"SCI = (O + M) per R, with R = {s.unit_count:g} {s.unit}.")
    elif s.embodied_g is None:
        text.append("No embodied carbon is known, so there is no score: this is not an SCI.")
    else:
        text.append(f"There is no score: {s.nulls.get('sci_g_per_unit', 'R is not known')}.")
    if any(name in AI_UNITS for name in (s.unit, *s.units)):
        text.append(
            "Units of SCI for AI are what the job itself declared in $LOWTIDE_UNITS, gross, summed "
            f"over all attempts; {DECLARED} are a size, of which the largest declared counts."
        )
    if s.baseline_g is not None:
        text.append(
            f"Baseline: {s.basis} carbon of the same energy by the same rules, drawn in one "
            "unbroken run from release on in the home region."
        )
    return (*text, f"Uncertainty: {RULE}")
