"""NVIDIA boards by NVML: the energy counter first, integrated power second.

Boards are known by UUID. Counters are cumulative millijoules of the whole board (Volta and
newer); where a board has none, or one that stands still, power is integrated. Error of either:
+-5 % (arXiv 2312.02741 found a gain error of about that per board). Where counter and
integrated power drift more than 10 % apart, the bounds span both. A counter that fell (driver
reloaded), stood still or leapt is a gap.

NVML can hang, so it is read in a thread of its own; the runner never waits long for it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.base import ZERO, Component, Probe, Reading, Scope, Triple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.base import Meter, Method, Usage

GAIN_ERROR = 0.05
WITNESS_GAP = 0.10
# Steps of power between two looks need this long to average out before witnesses are compared.
WITNESS_FROM_S = 10.0
PERIOD_S = 1.0
# How long the first look at the driver may take before the meter goes without it.
OPEN_PATIENCE_S = 5.0
# How long a sample waits for fresh figures.
FRESH_PATIENCE_S = 0.5
# Counters are renewed every 20 to 100 ms: one that stands still for longer is none.
COUNTER_TEST_S = 0.3
STALE_S = 2.0


@contextmanager
def _session() -> Iterator[Any]:
    """The library between init and shutdown; every fault of it is an :class:`OSError`."""
    nvml = _library()
    try:
        yield nvml
    except nvml.NVMLError as e:
        raise OSError(f"NVML: {e}") from e
    finally:
        nvml.nvmlShutdown()


def _library() -> Any:
    try:
        import pynvml
    except ImportError as e:
        raise OSError("nvidia-ml-py is not installed") from e
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as e:
        raise OSError(f"NVML does not answer: {e}") from e
    return pynvml


def _boards(nvml: Any) -> Iterator[tuple[str, Any]]:
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        yield str(nvml.nvmlDeviceGetUUID(handle)), handle


def idle_boards() -> tuple[str, ...]:
    """UUIDs of boards on which no process computes; empty where NVML does not answer."""
    try:
        with _session() as nvml:
            return tuple(
                uuid
                for uuid, handle in _boards(nvml)
                if not nvml.nvmlDeviceGetComputeRunningProcesses(handle)
            )
    except OSError:
        return ()


def gpu_limits_w() -> dict[str, float]:
    """Enforced power limits by UUID, watts; boards that do not tell are left out."""
    limits = {}
    try:
        with _session() as nvml:
            for uuid, handle in _boards(nvml):
                limit = _thousandths(nvml, nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
                if limit is not None:
                    limits[uuid] = limit
    except OSError:
        return {}
    return limits


def _thousandths(nvml: Any, ask: Any, handle: Any) -> float | None:
    """A figure in joules or watts (NVML tells thousandths); None where the board has none."""
    try:
        return float(ask(handle)) / 1000.0
    except nvml.NVMLError:
        return None


@dataclass(slots=True)
class _Look:
    """One look at a board: counter (J) and power (W), each None where it could not be read."""

    at_s: float
    counter_j: float | None
    power_w: float | None


@dataclass(slots=True)
class _Board:
    uuid: str
    handle: Any
    method: Method
    limit_w: float | None
    idle_w: float | None
    last: _Look
    energy: Triple = ZERO
    active: Triple = ZERO
    witness_j: float = 0.0
    covered_s: float = 0.0

    def account(self, look: _Look) -> None:
        """Add what was drawn since the last look; nothing over a gap."""
        last, span = self.last, look.at_s - self.last.at_s
        integrated = counted = None
        if look.power_w is not None and last.power_w is not None:
            integrated = (look.power_w + last.power_w) / 2 * span
        if look.counter_j is not None and last.counter_j is not None:
            counted = look.counter_j - last.counter_j
        if self.method == "measured" and counted == 0 and look.power_w and span < STALE_S:
            return  # not renewed yet: the next look has it
        self.last = look
        joules = integrated if self.method == "integrated" else counted
        if joules is not None and self._plausible(joules, span, look.power_w):
            self._add(joules, joules if integrated is None else integrated, span)

    def _plausible(self, joules: float, span: float, power_w: float | None) -> bool:
        stands_still = joules == 0 and bool(power_w)
        # Twice the limit, and a second for renewal at either end: more is a torn read.
        leapt = self.limit_w is not None and joules > 2 * self.limit_w * (span + 1.0)
        return joules >= 0 and not stands_still and not leapt

    def _add(self, joules: float, witness_j: float, span: float) -> None:
        self.witness_j += witness_j
        drift_j = abs(self.witness_j - self.energy.value - joules)
        drifted = drift_j > WITNESS_GAP * self.witness_j and self.covered_s >= WITNESS_FROM_S
        other = witness_j if drifted else joules
        energy = Triple(
            min(joules, other) * (1 - GAIN_ERROR), joules, max(joules, other) * (1 + GAIN_ERROR)
        )
        self.energy += energy
        if self.idle_w is None:
            self.active += Triple(0.0, energy.value, energy.high)
        else:
            ends = (energy.low, energy.value, energy.high)
            self.active += Triple(*(max(0.0, end - self.idle_w * span) for end in ends))
        self.covered_s += span


class NvmlMeter:
    """The boards of one job that can be read; :class:`OSError` where none can.

    ``start`` reads them once a second; ``sample`` asks for a fresh look, but never waits long.
    """

    def __init__(
        self,
        scope: Scope,
        nvml: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._nvml, self._clock = nvml, clock
        self._lock = threading.Lock()
        self._stopped, self._wake, self._looked = (threading.Event() for _ in range(3))
        self._looked.set()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        known = dict(_boards(nvml))
        first = {uuid: self._look(known[uuid]) for uuid in scope.gpus if uuid in known}
        sleep(COUNTER_TEST_S)
        opened = (self._open(uuid, known[uuid], look) for uuid, look in first.items())
        self._all = [board for board in opened if board is not None]
        if not self._all:
            raise OSError(
                f"no energy or power of {', '.join(scope.gpus)} by NVML: not a whole board "
                "(a MIG slice or vGPU), or not of this machine"
            )

    def start(self) -> NvmlMeter:
        """Read all boards each second from now on."""
        self._thread.start()
        return self

    def _open(self, uuid: str, handle: Any, first: _Look) -> _Board | None:
        look = self._look(handle)
        if look.power_w is None and look.counter_j is None:
            return None
        counts = first.counter_j is not None and look.counter_j != first.counter_j
        method: Method = "measured" if counts or look.power_w is None else "integrated"
        # With nobody on the board, what it draws now is its idle power.
        idle_w = look.power_w if self._unused(handle) else None
        limit = _thousandths(self._nvml, self._nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        return _Board(uuid, handle, method, limit, idle_w, look)

    def _unused(self, handle: Any) -> bool:
        try:
            return not self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except self._nvml.NVMLError:
            return False

    def _look(self, handle: Any) -> _Look:
        counter = _thousandths(self._nvml, self._nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        power = _thousandths(self._nvml, self._nvml.nvmlDeviceGetPowerUsage, handle)
        return _Look(self._clock(), counter, power)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(PERIOD_S)
            self._wake.clear()
            self.look()
            self._looked.set()

    def look(self) -> None:
        """Read every board once."""
        for board in self._all:
            look = self._look(board.handle)
            with self._lock:
                board.account(look)

    def components(self) -> tuple[Component, ...]:
        """``gpu:<uuid>`` for each board."""
        how = {"measured": "NVML energy counter", "integrated": "NVML power, integrated at 1 Hz"}
        return tuple(
            Component(f"gpu:{b.uuid}", b.method, how[b.method], b.limit_w) for b in self._all
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energy of whole boards, which a job holds alone, as of the last look."""
        # A look that has not come back by now hangs: it is not waited for twice.
        if self._thread.is_alive() and self._looked.is_set():
            self._looked.clear()
            self._wake.set()
            self._looked.wait(FRESH_PATIENCE_S)
        with self._lock:
            return tuple(
                Reading(f"gpu:{b.uuid}", b.active, b.energy, b.covered_s) for b in self._all
            )

    def notes(self) -> tuple[str, ...]:
        """Gaps show as coverage."""
        return ()

    def close(self) -> None:
        """Stop the thread; one that hangs in the driver is left behind, it is a daemon."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(FRESH_PATIENCE_S)
        if not self._thread.is_alive():
            self._nvml.nvmlShutdown()


class _NoBoards:
    """For a job that holds no board: nothing to meter, and the driver is left alone."""

    def components(self) -> tuple[Component, ...]:
        return ()

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        return ()

    def notes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


class _Kind:
    def probe(self) -> Probe:
        """Whether there is a driver and a board."""
        try:
            with _session() as nvml:
                count = nvml.nvmlDeviceGetCount()
        except OSError as e:
            return Probe(False, str(e))
        return Probe(count > 0, f"{count} NVIDIA board(s)")

    def open(self, scope: Scope) -> Meter:
        """The boards of the scope; :class:`OSError` where NVML fails or hangs."""
        if not scope.gpus:
            return _NoBoards()
        opened: list[NvmlMeter | Exception] = []

        def attempt() -> None:
            try:
                opened.append(NvmlMeter(scope, _library()))
            except Exception as e:  # noqa: BLE001 -- told by the caller's thread
                opened.append(e)

        worker = threading.Thread(target=attempt, daemon=True)
        worker.start()
        worker.join(OPEN_PATIENCE_S)
        if not opened:
            raise OSError(f"NVML did not answer within {OPEN_PATIENCE_S:g} s")
        if isinstance(opened[0], Exception):
            raise OSError(str(opened[0])) from opened[0]
        return opened[0].start()


KIND = _Kind()
