"""NVIDIA boards by NVML: the energy counter first, integrated power second.

Boards are known by UUID. Counters are cumulative millijoules of the whole board (Volta and
newer); where a board has none, power is integrated. Error of either: +-5 % (arXiv 2312.02741
found a gain error of about that per board). A counter that fell (driver reloaded) is a gap.

NVML can hang, so it is read in a thread of its own; the runner takes the last reading.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.base import ZERO, Component, Probe, Reading, Scope, Triple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.base import Meter, Method, Usage

GAIN_ERROR = 0.05
PERIOD_S = 1.0
# How long the first look at the driver may take before the meter goes without it.
OPEN_PATIENCE_S = 5.0


def _nvml() -> Any:
    """The library, initialised; :class:`OSError` where there is no driver."""
    import pynvml

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
    """UUIDs of boards on which no process computes; empty without a driver."""
    try:
        nvml = _nvml()
    except OSError:
        return ()
    try:
        return tuple(
            uuid
            for uuid, handle in _boards(nvml)
            if not nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        )
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def gpu_limits_w() -> dict[str, float]:
    """Enforced power limits by UUID, watts; boards that do not tell are left out."""
    try:
        nvml = _nvml()
    except OSError:
        return {}
    limits = {}
    try:
        for uuid, handle in _boards(nvml):
            try:
                limits[uuid] = nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000.0
            except nvml.NVMLError:
                continue
    finally:
        nvml.nvmlShutdown()
    return limits


@dataclass(slots=True)
class _Board:
    uuid: str
    handle: Any
    method: Method
    limit_w: float | None
    idle_w: float | None
    last_counter_j: float | None = None
    last_power_w: float | None = None
    last_s: float = 0.0
    energy_j: float = 0.0
    active_j: float = 0.0
    covered_s: float = 0.0


class NvmlMeter:
    """The boards of one job."""

    def __init__(self, scope: Scope, nvml: Any = None) -> None:
        self._nvml = nvml or _nvml()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        known = dict(_boards(self._nvml))
        missing = [uuid for uuid in scope.gpus if uuid not in known]
        if missing:
            raise OSError(f"NVML does not know board {', '.join(missing)}")
        self._all = [self._open(uuid, known[uuid]) for uuid in scope.gpus]
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _open(self, uuid: str, handle: Any) -> _Board:
        power = self._read(self._nvml.nvmlDeviceGetPowerUsage, handle)
        counter = self._read(self._nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        limit = self._read(self._nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        busy = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        if power is None and counter is None:
            raise OSError(f"board {uuid} tells neither energy nor power (a MIG slice or vGPU)")
        return _Board(
            uuid,
            handle,
            "measured" if counter is not None else "integrated",
            limit,
            # With nobody on the board, what it draws now is its idle power.
            None if busy else power,
            counter,
            power,
            time.monotonic(),
        )

    def _read(self, ask: Any, handle: Any) -> float | None:
        """A figure in joules or watts (NVML tells thousandths), or None."""
        try:
            return float(ask(handle)) / 1000.0
        except self._nvml.NVMLError:
            return None

    def _poll(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.look()

    def look(self) -> None:
        """Read every board once; the thread does so each second."""
        for board in self._all:
            counter = None
            if board.method == "measured":
                counter = self._read(self._nvml.nvmlDeviceGetTotalEnergyConsumption, board.handle)
            power = self._read(self._nvml.nvmlDeviceGetPowerUsage, board.handle)
            with self._lock:
                self._account(board, counter, power, time.monotonic())

    def _account(
        self, board: _Board, counter: float | None, power: float | None, now_s: float
    ) -> None:
        span = now_s - board.last_s
        joules: float | None = None
        if board.method == "measured":
            if counter is not None and board.last_counter_j is not None:
                joules = counter - board.last_counter_j
        elif power is not None and board.last_power_w is not None:
            joules = (power + board.last_power_w) / 2 * span
        board.last_counter_j, board.last_power_w, board.last_s = counter, power, now_s
        if joules is None or joules < 0:
            return
        board.energy_j += joules
        board.active_j += max(0.0, joules - (board.idle_w or 0.0) * span)
        board.covered_s += span

    def components(self) -> tuple[Component, ...]:
        """``gpu:<uuid>`` for each board."""
        how = {"measured": "NVML energy counter", "integrated": "NVML power, integrated at 1 Hz"}
        return tuple(
            Component(f"gpu:{b.uuid}", b.method, how[b.method], b.limit_w) for b in self._all
        )

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energy of whole boards: a job holds them alone."""
        with self._lock:
            return tuple(self._reading(board) for board in self._all)

    def _reading(self, board: _Board) -> Reading:
        if board.covered_s <= 0:
            return Reading(f"gpu:{board.uuid}", ZERO, ZERO, 0.0)
        below, above = 1 - GAIN_ERROR, 1 + GAIN_ERROR
        energy, active = board.energy_j, board.active_j
        low = active * below if board.idle_w is not None else 0.0
        return Reading(
            f"gpu:{board.uuid}",
            Triple(low, active, max(active, energy) * above),
            Triple(energy * below, energy, energy * above),
            board.covered_s,
        )

    def close(self) -> None:
        """Stop the thread; one that hangs in the driver is left behind, it is a daemon."""
        self._stop.set()
        self._thread.join(timeout=PERIOD_S)
        if not self._thread.is_alive():
            self._nvml.nvmlShutdown()


class _NoBoards:
    """For a job that holds no board: nothing to meter, and the driver is left alone."""

    def components(self) -> tuple[Component, ...]:
        return ()

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        return ()

    def close(self) -> None:
        pass


class _Kind:
    def probe(self) -> Probe:
        """Whether there is a driver and a board."""
        try:
            nvml = _nvml()
        except OSError as e:
            return Probe(False, str(e))
        count = nvml.nvmlDeviceGetCount()
        nvml.nvmlShutdown()
        return Probe(count > 0, f"{count} NVIDIA board(s)")

    def open(self, scope: Scope) -> Meter:
        """The boards of the scope; :class:`OSError` where NVML fails or hangs."""
        if not scope.gpus:
            return _NoBoards()
        opened: list[NvmlMeter | OSError] = []

        def attempt() -> None:
            try:
                opened.append(NvmlMeter(scope))
            except OSError as e:
                opened.append(e)

        worker = threading.Thread(target=attempt, daemon=True)
        worker.start()
        worker.join(OPEN_PATIENCE_S)
        if not opened:
            raise OSError(f"NVML did not answer within {OPEN_PATIENCE_S:g} s")
        if isinstance(opened[0], OSError):
            raise opened[0]
        return opened[0]


KIND = _Kind()
