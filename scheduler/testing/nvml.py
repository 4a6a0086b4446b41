"""A driver of NVIDIA boards that needs no board: as much of ``pynvml`` as lowtide asks for.

:class:`FakeNvml` stands where the module stands: give it to ``NvmlMeter``, put it into
``sys.modules["pynvml"]``, or :func:`plug` it into a process that is still to start.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from scheduler.testing.boards import FakeBoard, FakeSlice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class NVMLError(Exception):
    """The library's fault, by its number in ``value``."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return _WORDS.get(self.value, f"NVML Error with code {self.value}")


NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, GPU_IS_LOST = 3, 4, 6, 15
# As the library words them (nvml.h, nvmlReturn_t; nvmlErrorString).
_WORDS = {
    NOT_SUPPORTED: "Not Supported",
    NO_PERMISSION: "Insufficient Permissions",
    NOT_FOUND: "Not Found",
    GPU_IS_LOST: "GPU is lost",
}


@dataclass
class FakeNvml:
    """The module ``pynvml`` over ``boards``, by a clock that :meth:`advance` moves.

    With ``clock_s`` given it runs by that instead. ``hangs``: every question waits until it is
    set; ``hangs_when``: once this file is there, one question waits for ``hangs_s``.
    """

    boards: list[FakeBoard]
    clock_s: Callable[[], float] | None = None
    hangs: threading.Event | None = None
    hangs_when: str | None = None
    hangs_s: float = 10.0
    now_s: float = 0.0
    inits: int = 0
    asked: int = 0
    NVMLError: type[Exception] = field(default=NVMLError)

    # As in pynvml; a test compares them.
    NVML_SUCCESS = 0
    NVML_CLOCK_SM = 1
    NVML_TOTAL_POWER_SAMPLES = 0
    NVML_VALUE_TYPE_UNSIGNED_INT = 1
    NVML_FI_DEV_POWER_AVERAGE = 185
    NVML_FI_DEV_POWER_INSTANT = 186
    NVML_DEVICE_ARCH_PASCAL = 4
    NVML_DEVICE_ARCH_VOLTA = 5
    NVML_DEVICE_ARCH_TURING = 6
    NVML_DEVICE_ARCH_AMPERE = 7
    NVML_DEVICE_ARCH_HOPPER = 9
    NVML_DEVICE_ARCH_UNKNOWN = 0xFFFFFFFF
    NVML_DEVICE_MIG_DISABLE = 0
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_GPU_VIRTUALIZATION_MODE_NONE = 0
    NVML_GPU_VIRTUALIZATION_MODE_VGPU = 2
    MAX_SLICES = 7

    def __post_init__(self) -> None:
        """A live clock starts with the boards."""
        self._begun_s = self.clock_s() if self.clock_s else 0.0

    def clock(self) -> float:
        """Seconds, as the meter is to count them."""
        return self.clock_s() - self._begun_s if self.clock_s else self.now_s

    def advance(self, span_s: float) -> None:
        """Let time pass, and the boards draw."""
        self.now_s += span_s
        for board in self.boards:
            board.draw(self.now_s)

    def suspend(self, span_s: float) -> None:
        """Let time pass with nothing drawn."""
        self.now_s += span_s
        for board in self.boards:
            board.sleep(self.now_s)

    def _ask(self, thing: FakeBoard | FakeSlice, question: str) -> FakeBoard:
        """The board asked of, drawn up to now; or what a broken one does."""
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.hangs_when is not None and Path(self.hangs_when).exists():
            self.hangs_when = None
            time.sleep(self.hangs_s)
        board = thing if isinstance(thing, FakeBoard) else self._parent(thing)
        if self.clock_s:
            board.draw(self.clock())
        if board.lost:
            raise NVMLError(GPU_IS_LOST)
        if question in board.denied:
            raise NVMLError(NO_PERMISSION)
        return board

    def _parent(self, piece: FakeSlice) -> FakeBoard:
        return next(b for b in self.boards if b.slices and piece in b.slices)

    def nvmlInit(self) -> None:  # noqa: N802
        """Count openings."""
        self.inits += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Count them back."""
        self.inits -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """How many boards."""
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeBoard:  # noqa: N802
        """A board; of one that is lost, or closed to this user, there is no handle."""
        return self._ask(self.boards[index], "nvmlDeviceGetHandleByIndex")

    def nvmlDeviceGetUUID(self, handle: FakeBoard | FakeSlice) -> str:  # noqa: N802
        """Its name."""
        return handle.uuid

    def nvmlDeviceGetPciInfo(self, handle: FakeBoard) -> SimpleNamespace:  # noqa: N802
        """Where it is on the bus."""
        board = self._ask(handle, "nvmlDeviceGetPciInfo")
        bus = self.boards.index(board) if board.bus is None else board.bus
        return SimpleNamespace(domain=0, bus=bus, device=0)

    def nvmlDeviceGetName(self, handle: FakeBoard) -> str:  # noqa: N802
        """The product's name."""
        return handle.name

    def nvmlDeviceGetArchitecture(self, device: FakeBoard) -> int:  # noqa: N802
        """Its generation."""
        return device.architecture

    def nvmlDeviceGetVirtualizationMode(self, handle: FakeBoard) -> int:  # noqa: N802
        """Whether it is a guest's."""
        return self.NVML_GPU_VIRTUALIZATION_MODE_VGPU if handle.vgpu else 0

    def nvmlDeviceGetMigMode(self, device: FakeBoard) -> list[int]:  # noqa: N802
        """Whether it is cut into slices, now and after the next reset."""
        return [int(device.slices is not None)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: FakeBoard) -> int:  # noqa: N802
        """Into how many."""
        return self.MAX_SLICES

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeBoard, index: int) -> FakeSlice:  # noqa: N802
        """A slice."""
        if not device.slices or index >= len(device.slices):
            raise NVMLError(NOT_FOUND)
        return device.slices[index]

    def nvmlDeviceGetAttributes(self, device: FakeSlice) -> SimpleNamespace:  # noqa: N802
        """How large a slice is: the GPU instance, and the compute instance in it."""
        if device.count is None:
            raise NVMLError(NOT_SUPPORTED)
        return SimpleNamespace(
            gpuInstanceSliceCount=device.count,
            computeInstanceSliceCount=device.count if device.compute is None else device.compute,
        )

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeBoard) -> int:  # noqa: N802
        """Millijoules."""
        told = self._ask(handle, "nvmlDeviceGetTotalEnergyConsumption").told_mj()
        if told is None:
            raise NVMLError(NOT_SUPPORTED)
        return round(told)

    def nvmlDeviceGetPowerUsage(self, handle: FakeBoard) -> int:  # noqa: N802
        """Milliwatts."""
        board = self._ask(handle, "nvmlDeviceGetPowerUsage")
        if "usage" not in board.tells:
            raise NVMLError(NOT_SUPPORTED)
        return round(board.told_w() * 1000)

    def nvmlDeviceGetFieldValues(  # noqa: N802
        self,
        handle: FakeBoard,
        fieldIds: Sequence[int],  # noqa: N803
    ) -> list[SimpleNamespace]:
        """Milliwatts of each field, or why not."""
        board, found = self._ask(handle, "nvmlDeviceGetFieldValues"), []
        fields = {
            self.NVML_FI_DEV_POWER_INSTANT: "instant",
            self.NVML_FI_DEV_POWER_AVERAGE: "average",
        }
        for number in fieldIds:
            known = fields.get(number) in board.tells
            watts = board.told_w(1.0 if fields.get(number) == "average" else None)
            value = SimpleNamespace(uiVal=round(watts * 1000) if known else 0)
            found.append(SimpleNamespace(nvmlReturn=0 if known else 3, value=value))
        return found

    def nvmlDeviceGetSamples(  # noqa: N802
        self,
        device: FakeBoard,
        sampling_type: int,
        timeStamp: int,  # noqa: N803
    ) -> tuple[int, list[SimpleNamespace]]:
        """Milliwatts that the driver has kept, with microseconds."""
        board = self._ask(device, "nvmlDeviceGetSamples")
        if "samples" not in board.tells:
            raise NVMLError(NOT_SUPPORTED)
        kept = [
            SimpleNamespace(timeStamp=at, sampleValue=SimpleNamespace(uiVal=round(watts * 1000)))
            for at, watts in board.samples(timeStamp)
        ]
        return self.NVML_VALUE_TYPE_UNSIGNED_INT, kept

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: FakeBoard) -> int:  # noqa: N802
        """Milliwatts."""
        limit = self._ask(handle, "nvmlDeviceGetEnforcedPowerLimit").limit_w
        if limit is None:
            raise NVMLError(NOT_SUPPORTED)
        return round(limit * 1000)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeBoard) -> SimpleNamespace:  # noqa: N802
        """Percent; not told of a board in MIG mode."""
        board = self._ask(handle, "nvmlDeviceGetUtilizationRates")
        if board.slices is not None:
            raise NVMLError(NOT_SUPPORTED)
        return SimpleNamespace(gpu=board.utilisation, memory=0)

    def nvmlDeviceGetClockInfo(self, handle: FakeBoard, type: int) -> int:  # noqa: A002, N802
        """Megahertz."""
        return self._ask(handle, "nvmlDeviceGetClockInfo").sm_clock_mhz

    def nvmlDeviceGetComputeRunningProcesses(  # noqa: N802
        self, handle: FakeBoard | FakeSlice
    ) -> list[SimpleNamespace]:
        """What computes on a board or slice."""
        board = self._ask(handle, "nvmlDeviceGetComputeRunningProcesses")
        pids = dict(handle.pids)
        if handle is board:
            pids |= board.written_pids()
            for piece in board.slices or ():
                pids |= piece.pids
        return [SimpleNamespace(pid=pid, usedGpuMemory=None) for pid in pids]

    def nvmlDeviceGetProcessUtilization(  # noqa: N802
        self,
        handle: FakeBoard,
        timeStamp: int,  # noqa: N803
    ) -> list[SimpleNamespace]:
        """SM utilisation of each process; not told of a board in MIG mode."""
        board = self._ask(handle, "nvmlDeviceGetProcessUtilization")
        if board.slices is not None or not board.tells_utilisation:
            raise NVMLError(NOT_SUPPORTED)
        at = round(self.clock() * 1e6)
        return [SimpleNamespace(pid=p, timeStamp=at, smUtil=used) for p, used in board.pids.items()]


def plug(folder: Path, setup: str) -> None:
    """Leave a module ``pynvml`` in ``folder``, for a process that has it first on its path.

    ``setup`` is Python that may use ``FakeNvml``, ``FakeBoard``, ``FakeSlice`` and ``clock`` (s),
    and binds ``nvml``: ``nvml = FakeNvml([FakeBoard("GPU-a")], clock)``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pynvml.py").write_text(
        "import sys\nfrom time import monotonic as clock\n"
        "from scheduler.testing.boards import FakeBoard, FakeSlice\n"
        f"from scheduler.testing.nvml import FakeNvml\n{setup}\nsys.modules[__name__] = nvml\n",
        encoding="utf-8",
    )
