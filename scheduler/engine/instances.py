"""Instance types side by side for the same work: energy, grams and share of the hardware.

A type is compared in every region of its provider that is looked at, and in the regions whose
hardware it is. The whole instance is held for the run: its vCPUs at full load, bounded by the
idle watts of its processors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.base import Triple
from providers.errors import ProviderError, SettingsError
from providers.hardware import ccf, processors
from providers.series import from_unix
from scheduler import sci
from scheduler.engine import hardware_verdict, places, speeds
from scheduler.engine.field import Sight, field_of
from scheduler.instances import InstanceComparison, InstanceRow, LeftOut
from scheduler.models import Hardware
from scheduler.planner import bases, window
from scheduler.quantities import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from providers.hardware.boavizta import Boavizta
    from providers.hardware.ccf import EmbodiedServer
    from providers.hardware.processors import InstanceType
    from providers.meters.microarchitecture import WattsPerVcpu
    from scheduler.engine.context import Context
    from scheduler.engine.places import Field, Option
    from scheduler.engine.speeds import Work
    from scheduler.instances import Runtime
    from scheduler.models import Basis, JobSpec
    from scheduler.planner.choice import Choice, Place, Request

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Contender:
    """An instance type that can be ranked; ``machine`` None: nobody knows its embodied carbon."""

    type: InstanceType
    runtime: Runtime
    machine: EmbodiedServer | None
    no_machine: str

    @property
    def watts(self) -> WattsPerVcpu:
        """What a vCPU of it draws."""
        found = self.type.watts
        assert found is not None  # others cannot be ranked
        return found

    @property
    def watts_held(self) -> Triple:
        """What the instance draws at full load (W), at the least its processor's idle."""
        per_vcpu = Triple(self.watts.idle.low, self.watts.full.value, self.watts.full.high)
        return per_vcpu.scaled(self.type.vcpus)

    @property
    def m_g_per_h(self) -> Triple | None:
        """M of holding the instance for an hour."""
        m = self.machine
        if m is None:
            return None
        slots = m.slots or self.type.vcpus
        machine = Hardware(m.total_kg, m.lifespan_h, slots, 0, m.source)
        return sci.embodied_g(machine, 1.0, self.type.vcpus, 0)


@dataclass(frozen=True, slots=True)
class Meeting:
    """A contender in a region: what is asked of the planner, and its best window there.

    ``now`` is a start as soon as the data is there; None where it is not all foretold.
    """

    contender: Contender
    option: Option
    best: Choice
    now: Choice | None
    once_g: float

    def grams(self, choice: Choice, basis: Basis) -> float:
        """Grams of a window on middle values."""
        held, hours = self.contender.watts_held, self.contender.runtime.seconds.value / HOUR_S
        energy = held.value * hours / 1000
        found = energy * choice.g_per_kwh.value * self.option.region.pue.value + self.once_g
        m = self.contender.m_g_per_h
        return found + (m.value * hours if basis == "total" and m is not None else 0.0)


def compare(
    ctx: Context,
    spec: JobSpec,
    types: Sequence[str],
    work: Work,
    unit: tuple[str, float],
    now: datetime,
    *,
    slack_s: float,
    boavizta: Boavizta | None = None,
) -> InstanceComparison:
    """Rank ``types`` in the regions of ``spec``; the first is what the others are held against.

    All may end ``slack_s`` after the first would, started now. ``unit`` is a name and how many of
    it the work does. Where M of any contender is not known, only operational carbon is ranked.
    """
    found, unknown = speeds.runtimes(ctx, types, work, spec.user)
    contenders, left_out = [], []
    for name in types:
        kind = _known(name)
        if isinstance(kind, str) or name in unknown:
            left_out.append(LeftOut(name, None, kind if isinstance(kind, str) else unknown[name]))
        else:
            contenders.append(Contender(kind, found[name], *_machine(kind, boavizta)))
    deadline = now + timedelta(seconds=found[types[0]].seconds.value + slack_s)
    meetings = []
    if contenders:
        sight = Sight(ctx, now, deadline, now)
        field = field_of(ctx, spec, now, to_run=False, sight=sight)
        for contender in contenders:
            met, out = _meetings(ctx, spec, field, contender, now, deadline)
            meetings += met
            left_out += out
    meetings, out = _on_one_signal(meetings)
    left_out += out
    known = all(m.contender.machine is not None for m in meetings)
    basis: Basis = "total" if meetings and known else "operational"
    rows = sorted((_row(m) for m in meetings), key=lambda r: (r.grams(basis).value, r.start))
    return InstanceComparison(
        rows=_marked(rows, meetings),
        left_out=tuple(left_out),
        basis=basis,
        unit=unit[0],
        unit_count=unit[1],
        verdict=hardware_verdict.verdict(
            meetings, types[0], spec.home, basis, ctx.config.settings.hysteresis
        ),
        slack_s=slack_s,
        speed_assumed_equal=work.equal and any("--speed-equal" in r.runtime.source for r in rows),
    )


def _known(name: str) -> InstanceType | str:
    """The type, or why what it draws is not known."""
    try:
        kind = processors.instance_type(name)
    except SettingsError as e:
        return str(e)
    if kind.accelerated:
        return "it comes with accelerators, and what they draw is not known"
    return kind if kind.watts is not None else kind.no_watts


def _machine(kind: InstanceType, boavizta: Boavizta | None) -> tuple[EmbodiedServer | None, str]:
    if boavizta is not None:
        try:
            return boavizta.instance(kind.provider, kind.kind), ""
        except ProviderError as e:
            return None, str(e)
    if ccf.has(kind.provider, kind.kind):
        return ccf.instance(kind.provider, kind.kind), ""
    why = "its embodied carbon is not in Cloud Carbon Footprint's table: ask a --boavizta server"
    return None, why


def _meetings(
    ctx: Context,
    spec: JobSpec,
    field: Field,
    contender: Contender,
    now: datetime,
    deadline: datetime,
) -> tuple[list[Meeting], list[LeftOut]]:
    name, seconds = contender.type.name, contender.runtime.seconds.value
    latest_s = deadline.timestamp() - seconds
    if latest_s < now.timestamp():
        why = f"it takes {duration(seconds)}, longer than until the deadline of all"
        return [], [LeftOut(name, None, why)]
    asked = spec.model_copy(update={"duration_s": seconds})
    request = places.request(asked, now.timestamp(), latest_s, contender.watts_held)
    own = [o for o in field.candidates if _runs_in(ctx, contender.type, o)]
    if not own:
        why = f"none of the regions looked at is of {contender.type.provider}"
        return [], [LeftOut(name, None, why)]
    found, left_out = [], []
    for option in own:
        place = places.place(asked, option, field, "operational")
        met = _meeting(contender, option, place, request)
        if isinstance(met, str):
            left_out.append(LeftOut(name, option.region.name, met))
        else:
            found.append(met)
    return found, left_out


def _runs_in(ctx: Context, kind: InstanceType, option: Option) -> bool:
    region = option.region
    own = speeds.instance_of(ctx.config, region.name)
    return kind.name == own or kind.provider == region.provider


def _meeting(contender: Contender, option: Option, place: Place, request: Request) -> Meeting | str:
    """The best window there, or why there is none."""
    if option.known.series is None:
        return option.known.reason
    soonest_s = request.earliest_s + place.ready_s
    if soonest_s > request.latest_s:
        hours = place.ready_s / HOUR_S
        return f"bringing the data takes {hours:.1f} h: longer than the job may wait"
    best = window.decide([place], request, "operational").chosen
    if best is None:
        return "its forecast has a hole in every window of the job"
    now = window.at(place, soonest_s, request, "operational")
    return Meeting(contender, option, best, now, place.once_g)


def _on_one_signal(meetings: list[Meeting]) -> tuple[list[Meeting], list[LeftOut]]:
    """Average and marginal intensities answer different questions: those of the first count."""
    signals = [m.option.known.series.signal for m in meetings if m.option.known.series is not None]
    kept = [m for m, s in zip(meetings, signals, strict=True) if s == signals[0]]
    out = [
        LeftOut(
            m.contender.type.name,
            m.option.region.name,
            f"its intensity is told by another signal ({s}), which answers another question",
        )
        for m, s in zip(meetings, signals, strict=True)
        if s != signals[0]
    ]
    return kept, out


def _row(met: Meeting) -> InstanceRow:
    contender, region, best = met.contender, met.option.region, met.best
    hours = contender.runtime.seconds.scaled(1 / HOUR_S)
    energy = (contender.watts_held * hours).scaled(1e-3)
    operational = energy * best.g_per_kwh * region.pue + Triple.exact(met.once_g)
    rate = contender.m_g_per_h
    series = met.option.known.series
    assert series is not None  # it was met there
    no_m = contender.no_machine
    return InstanceRow(
        instance=contender.type.name,
        region=region.name,
        vcpus=contender.type.vcpus,
        architectures=contender.type.architectures,
        watts=contender.watts_held,
        watts_source=f"{contender.type.vcpus} vCPU at full load: {contender.watts.source}",
        runtime=contender.runtime,
        start=from_unix(best.start_s),
        end=from_unix(best.end_s),
        g_per_kwh=best.g_per_kwh,
        intensity_source=series.clip(best.start_s, best.end_s).source,
        pue=region.pue,
        pue_source=region.pue_source,
        energy_kwh=energy,
        operational_g=operational,
        embodied_g=None if rate is None else rate * hours,
        embodied_source=None if contender.machine is None else contender.machine.source,
        same_basis=True,
        nulls=dict.fromkeys(("embodied_g", "embodied_source", "total_g"), no_m) if no_m else {},
    )


def _marked(rows: Sequence[InstanceRow], meetings: Sequence[Meeting]) -> tuple[InstanceRow, ...]:
    """Rows with those marked whose intensity is told on another basis than the first one's."""
    told: Mapping[str, object] = {
        m.option.region.name: bases.told(m.option.known.series)
        for m in meetings
        if m.option.known.series is not None
    }
    return tuple(replace(row, same_basis=told[row.region] == told[rows[0].region]) for row in rows)
