"""The boards of one job, read in a thread of their own: NVML can hang, and the runner must not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from providers.base import Component
from providers.meters.nvml import inventory
from providers.meters.nvml.library import Driver
from providers.meters.nvml.watch import Watch, first

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from providers.base import Reading, Scope, Usage
    from providers.meters.nvml.inventory import Board, Device
    from providers.meters.nvml.watch import First, Role

PERIOD_S = 1.0
# Power that nobody keeps is read as often as a sensor tells anew: arXiv 2312.02741.
HASTY_S = 0.1
# How long a sample waits for fresh figures.
FRESH_PATIENCE_S = 0.5
# Counters are renewed every 20 to 100 ms: one that stands still for longer is none.
COUNTER_TEST_S = 0.3
LOST = "NVIDIA board {index} cannot be read ({why}): what the job may draw there is not counted"
HANGS = (
    f"NVML did not answer within {FRESH_PATIENCE_S:g} s: boards were read late or not at all, and "
    "what they drew meanwhile is a gap unless a counter told it later"
)


class NvmlMeter:
    """Devices by UUID; one that tells no energy is ``missing``, with the reason.

    Beside those of the scope, every other device of the machine becomes a component once
    processes of the job are seen on it.

    ``start`` reads them once a second; ``sample`` asks for a fresh look, but never waits long.
    Raises :class:`OSError` where the boards cannot be listed.
    """

    def __init__(
        self,
        scope: Scope,
        nvml: Any,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._driver, self._clock = Driver(nvml), clock
        self._stopped, self._wake, self._looked = (threading.Event() for _ in range(3))
        self._looked.set()
        self._pids: frozenset[int] = frozenset()
        self._job: frozenset[int] | None = None
        self._notes: list[str] = []
        self._thread = threading.Thread(target=self._poll, daemon=True)
        try:
            boards = inventory.boards(self._driver)
        except nvml.NVMLError as e:
            raise OSError(f"NVML: {e}") from e
        known = {d.uuid: d for board in boards for d in board.devices}
        found = {uuid: first(self._driver, device, clock) for uuid, device in known.items()}
        sleep(COUNTER_TEST_S)
        lost = [board for board in boards if board.fault]
        self._missing = [
            Component(f"gpu:{uuid}", "missing", _absent(uuid, lost))
            for uuid in scope.gpus
            if uuid not in known
        ]
        held = [uuid for uuid in scope.gpus if uuid in known]
        self._held = [self._watch(known[uuid], found[uuid], "held") for uuid in held]
        role: Role = "elsewhere" if scope.gpus else "seen"
        others = [uuid for uuid in known if uuid not in held]
        self._others = [self._watch(known[uuid], found[uuid], role) for uuid in others]
        self._late: list[Watch] = []
        if not scope.gpus:
            self._notes += [LOST.format(index=b.index, why=b.fault) for b in lost]

    @property
    def _watches(self) -> tuple[Watch, ...]:
        return (*self._held, *self._others)

    def _watch(self, device: Device, found: First, role: Role) -> Watch:
        reason = ""
        if found.counter_j is None and found.sensor is None:
            reason = self._reason(device.board, found.why)
        return Watch(self._driver, device, found, self._clock, self._notes, role, reason)

    def _reason(self, board: Any, why: str) -> str:
        virtual = self._driver.nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU
        if self._driver.ask("nvmlDeviceGetVirtualizationMode", board) == virtual:
            return "a vGPU: the power of its board is told to the host alone"
        return f"NVML tells neither energy nor power: {why}"

    def start(self) -> NvmlMeter:
        """Read all boards each second from now on."""
        self._thread.start()
        return self

    def _poll(self) -> None:
        due = self._clock() + PERIOD_S
        while True:
            asked = self._wake.wait(HASTY_S if any(w.hasty for w in self._watches) else PERIOD_S)
            if self._stopped.is_set():
                return
            # Before the job is known, nothing can be said of whose work is on a board.
            if (asked or self._clock() >= due) and self._job is not None:
                self._wake.clear()
                due = self._clock() + PERIOD_S
                self._attempt(self.look)
                self._looked.set()
            else:
                self._attempt(self.glance)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as e:  # noqa: BLE001 -- a thread that dies would end the record unseen
            self._say(f"NVML answered what cannot be understood: {e!r}; boards were read in part")

    def look(self) -> None:
        """Read every board once."""
        for watch in self._watches:
            watch.look(self._job)
        self._late += [w for w in self._others if w.joined and w not in self._late]

    def glance(self) -> None:
        """Read the power of those boards that need it oftener."""
        for watch in self._watches:
            if watch.hasty:
                watch.glance()

    def components(self) -> tuple[Component, ...]:
        """``gpu:<uuid>`` for each board; those that join later stand at the end."""
        held, late = ([w.component() for w in each] for each in (self._held, self._late))
        return (*held, *self._missing, *late)

    def follow(self, usage: Usage) -> None:
        """Take note of the job's processes."""
        # One that has just ended may still be told of.
        self._job, self._pids = self._pids | usage.pids, usage.pids

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        """Energy of the boards as of the last look."""
        self.follow(usage)
        # A look that has not come back by now hangs: it is not waited for twice.
        if self._thread.is_alive():
            if self._looked.is_set():
                self._looked.clear()
                self._wake.set()
                self._looked.wait(FRESH_PATIENCE_S)
            if not self._looked.is_set():
                self._say(HANGS)
        return tuple(w.reading for w in (*self._held, *self._late) if not w.unread)

    def _say(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def notes(self) -> tuple[str, ...]:
        """Faults, strangers on a board, witnesses that differ; each once, as found."""
        return tuple(self._notes)

    def close(self) -> None:
        """Stop the thread; one that hangs in the driver is left behind, it is a daemon."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(FRESH_PATIENCE_S)
        if not self._thread.is_alive():
            self._driver.nvml.nvmlShutdown()


def _absent(uuid: str, lost: Sequence[Board]) -> str:
    reason = "assigned, but NVML knows no such board or slice here"
    faults = "; ".join(f"board {board.index}: {board.fault}" for board in lost)
    return f"{reason} ({faults})" if faults else reason
