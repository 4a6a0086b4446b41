"""One board or slice that is watched: each look at it, and what the looks have found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from providers.base import ZERO, Component, Reading, Triple
from providers.meters.nvml import inventory, power, sharing
from providers.meters.nvml.counter import EXCURSION, Counter
from providers.meters.nvml.facts import Facts
from providers.meters.nvml.ledger import NONE, WHOLE, Ledger
from providers.meters.nvml.remarks import REMARKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.base import Method
    from providers.meters.nvml.counter import Step
    from providers.meters.nvml.inventory import Device
    from providers.meters.nvml.library import Driver
    from providers.meters.nvml.sharing import Company

# Whether the job holds the device; else it counts while the job's processes are seen on it, where
# no board was named for the job (``seen``) or others were (``elsewhere``).
Role = Literal["held", "seen", "elsewhere"]
# No board on sale draws more (NVIDIA B300: 1,400 W); for one that tells no limit.
UNKNOWN_LIMIT_W = 2000.0
# A counter that took longer than this to read was read at no known time.
SLOW_S = 0.5
# Looks at which the job may be computing on a device.
PRESENT = frozenset({"own", "shared", "unverified"})


@dataclass(frozen=True, slots=True)
class First:
    """What a device told when it was first asked; ``why`` it told no energy."""

    counter_j: float | None
    sensor: power.Sensor | None
    why: str


def first(driver: Driver, device: Device, clock: Callable[[], float]) -> First:
    """Ask a device for its counter and its power."""
    counter = _counter_j(driver, device)
    why = driver.why
    return First(counter, power.find(driver, device.board, clock), why)


def _counter_j(driver: Driver, device: Device) -> float | None:
    """Joules since the driver was loaded, of the whole board."""
    return driver.thousandths("nvmlDeviceGetTotalEnergyConsumption", device.board)


class Watch:
    """Looks at one device; ``reading`` is what the looks have come to, remarks go to ``notes``.

    A reading is replaced as a whole, so that another thread may take it at any time.
    """

    def __init__(
        self,
        driver: Driver,
        device: Device,
        found: First,
        clock: Callable[[], float],
        notes: list[str],
        role: Role = "held",
        unread: str = "",
    ) -> None:
        self._driver, self._device, self._clock = driver, device, clock
        self._sensor, self.role, self.unread = found.sensor, role, unread
        self.joined = role == "held"
        self.name = f"gpu:{device.uuid}"
        counter, at = _counter_j(driver, device), clock()
        counts = None not in (found.counter_j, counter) and found.counter_j != counter
        self.method: Method = "measured" if counts or found.sensor is None else "integrated"
        self._counts = self.method == "measured"
        self._counter = Counter(at, counter if self._counts else None)
        self._facts = Facts(driver, device.board, at)
        self._integral = power.Integral()
        self.glance()
        # With nobody on the board, what it draws now is its idle power.
        self._before = inventory.processes(driver, device.handle)
        self._living = frozenset(filter(sharing.exists, self._before or ()))
        unused = inventory.processes(driver, device.board) == frozenset()
        whole = not device.part
        self._ledger = Ledger(
            found.sensor.seen if found.sensor else 1.0,
            self._watts() if unused and whole else None,
            device.share or 1.0,
            whole,
        )
        self._note_power()
        self._split = sharing.Split(driver, device.handle)
        self._companies: list[Company] = []
        self._said: set[str] = set()
        self._notes = notes
        self.reading = Reading(self.name, ZERO, ZERO, 0.0)

    @property
    def hasty(self) -> bool:
        """Whether power is what counts now, and nobody keeps it: then it must be read often."""
        polled = self._sensor is not None and not self._sensor.buffered
        return self.joined and polled and not self._counts

    def component(self) -> Component:
        """What it is, how it is read, and what it can draw."""
        if self.unread:
            return self._component("missing", self.unread)
        sensor, parts = self._sensor, []
        if self.method == "measured":
            parts.append("NVML energy counter")
        if sensor is not None:
            rate = "10" if self.method == "integrated" and not sensor.buffered else "1"
            parts.append(
                f"{sensor.title} read at {rate} Hz, integrated; the sensor sees "
                f"{100 * sensor.seen:.0f} % of the time ({sensor.source})"
            )
        if self._device.part:
            parts.append(self._device.part)
        return self._component(self.method, "; ".join(parts))

    def _component(self, method: Method, source: str) -> Component:
        # What a slice is a part of is not known where its board does not say: the whole counts.
        share = self._device.share or 1.0
        return Component(self.name, method, source, self._facts.limit_w, share=share)

    def glance(self) -> None:
        """Read power alone."""
        if self._sensor is None:
            return
        points = self._sensor.read()
        if not points and not self._sensor.buffered:
            self._integral.last = None
        self._integral.add(points, EXCURSION * self._ceiling_w())

    def look(self, job: frozenset[int] | None) -> None:
        """Read it once; ``job`` are the pids of the job's tree, None where not told yet."""
        begun = self._clock()
        counter = _counter_j(self._driver, self._device)
        why, at = self._driver.why, self._clock()
        self.glance()
        self._note_power()
        if at - begun > SLOW_S:
            self.say("slow")
            return
        company = self._company(job)
        if self.joined:
            self._facts.read_limit()
        if self.unread:
            return
        known = counter if self.method == "measured" else None
        draws = self._watts() != 0  # a board that is on draws, told or not
        step = self._counter.step(at, known, EXCURSION * self._ceiling_w(), draws)
        self._account(step, job or frozenset())
        if self.joined:
            self._remark(step, why, company)
            self._facts.look(at, company)
        energy, active = self._ledger.told()
        self.reading = Reading(
            self.name, active, energy, self._ledger.covered_s, self._facts.told(self._ledger)
        )

    def _ceiling_w(self) -> float:
        return self._facts.limit_w or UNKNOWN_LIMIT_W

    def _watts(self) -> float | None:
        return self._integral.last[1] if self._integral.last else None

    def _note_power(self) -> None:
        watts = self._watts()
        if watts is not None:
            self._ledger.drew(watts)

    def _company(self, job: frozenset[int] | None) -> Company:
        """Who is on it now. The first look at a job's board also judges who was there before."""
        if job is not None and not self._companies:
            self._companies.append(_judged(self._before, job, self._living))
        pids = inventory.processes(self._driver, self._device.handle)
        if job is None:
            return "unknown" if pids is None else "empty"
        found = _judged(pids, job)
        self._companies.append(found)
        if not self.joined and found == "unknown":
            self.say("unknown", why=self._driver.why)
        if not self.joined and found in PRESENT:
            self.joined = True
            self.say(self.role)
        return found

    def _share(self, job: frozenset[int]) -> Triple:
        """The job's part of what was drawn since energy was last counted.

        Whoever is there at either end of the span may have been there for all of it.
        """
        companies, self._companies = set(self._companies), self._companies[-1:]
        if not self.joined:
            return NONE
        used = self._split.share(job)
        others = bool(companies & {"shared", "others"})
        if self.role == "held":
            return Triple(0.0, 1.0 if used is None else used, 1.0) if others else WHOLE
        if not companies & PRESENT:
            return NONE
        value = used if others and used is not None else 1.0
        return Triple(1.0 if companies == {"own"} else 0.0, value, 1.0)

    def _account(self, step: Step, job: frozenset[int]) -> None:
        if step.event == "wait":
            return
        joules, seen_s = self._integral.take()
        share = self._share(job)
        if step.event in {"unread", "still"}:
            span_s = min(seen_s, step.span_s)
            if span_s > 0:
                self._ledger.integrated(joules, span_s, self._ceiling_w(), share)
            return
        self._ledger.counted(step.joules, step.span_s, share)
        if not step.gap_s:
            self._ledger.witness(step.joules, step.span_s, joules, seen_s)

    def _remark(self, step: Step, why: str, company: Company) -> None:
        """What a reader must know; and whether the counter tells now."""
        self._counts = step.event not in {"unread", "still"}
        if self.method == "measured" and step.event in REMARKS:
            self._facts.faults += 1
            self.say(step.event, why=why, gap_s=step.gap_s)
        if company in {"shared", "others"}:
            self.say("shared")
        if company in {"unverified", "unknown"}:
            self.say("unverified")
        if self._ledger.disagree():
            self.say("disagree")

    def say(self, key: str, **details: object) -> None:
        """A remark, the first time that it is due."""
        if key not in self._said:
            self._said.add(key)
            self._notes.append(f"{self.name}: {REMARKS[key].format(**details)}")


def _judged(
    pids: frozenset[int] | None, job: frozenset[int], living: frozenset[int] | None = None
) -> Company:
    return "unknown" if pids is None else sharing.judge(pids, job, living)
