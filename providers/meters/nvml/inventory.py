"""What can be assigned to a job: whole boards, and the slices of boards in MIG mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.meters.nvml.library import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.meters.nvml.library import Driver


@dataclass(frozen=True, slots=True)
class Device:
    """A board, or a MIG slice of one.

    ``handle`` is what processes run on; ``board`` is what energy is told of. ``share`` is the
    slice's part of the board, None where it is not told; ``part`` says by what, and is empty for
    a whole board.
    """

    uuid: str
    handle: Any
    board: Any
    share: float | None = 1.0
    part: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A board of this machine. ``devices`` are what CUDA can run on: itself, or its slices.

    ``uuid`` and ``name`` are empty where they cannot be read. ``fault`` says why a board cannot be
    used (it is lost, or this user may not ask for it); it has no devices then.
    """

    index: int
    uuid: str = ""
    name: str = ""
    devices: tuple[Device, ...] = ()
    fault: str = ""


def boards(driver: Driver) -> list[Board]:
    """Every board in the order of the PCI bus, as CUDA counts with CUDA_DEVICE_ORDER=PCI_BUS_ID.

    NVML's own order is that of its index, which it does not promise to be the same: it stands in
    where the place of a board on the bus cannot be read. Raises the library's error where the
    boards cannot be counted.
    """
    found: list[tuple[tuple[int, ...] | None, Board]] = []
    for index in range(driver.nvml.nvmlDeviceGetCount()):
        handle = driver.ask("nvmlDeviceGetHandleByIndex", index)
        uuid = None if handle is None else driver.ask("nvmlDeviceGetUUID", handle)
        if uuid is None:
            found.append((None, Board(index, fault=driver.why)))
            continue
        name = str(driver.ask("nvmlDeviceGetName", handle) or "")
        made = Board(index, str(uuid), name, tuple(_devices(driver, handle, str(uuid))))
        pci = driver.ask("nvmlDeviceGetPciInfo", handle)
        place = None if pci is None else (int(pci.domain), int(pci.bus), int(pci.device))
        found.append((place, made))
    if all(place is not None for place, _ in found):
        found.sort(key=lambda each: each[0] or ())
    return [board for _, board in found]


def devices(driver: Driver) -> Iterator[Device]:
    """Every device of every board that can be read."""
    for board in boards(driver):
        yield from board.devices


def _devices(driver: Driver, board: Any, uuid: str) -> Iterator[Device]:
    """A board in MIG mode is no device itself: CUDA runs on slices."""
    mode = driver.ask("nvmlDeviceGetMigMode", board)
    if mode is None or mode[0] != driver.nvml.NVML_DEVICE_MIG_ENABLE:
        yield Device(uuid, board, board)
        return
    most = int(driver.ask("nvmlDeviceGetMaxMigDeviceCount", board) or 0)
    for index in range(most):
        handle = driver.ask("nvmlDeviceGetMigDeviceHandleByIndex", board, index)
        name = None if handle is None else driver.ask("nvmlDeviceGetUUID", handle)
        if name is not None:
            yield Device(str(name), handle, board, *_share(driver, handle, most))


def _share(driver: Driver, handle: Any, most: int) -> tuple[float | None, str]:
    """Compute slices of all that the board can be cut into.

    A MIG device is a compute instance, which may be a part of its GPU instance: 1c.3g has one of
    the three compute slices there.
    """
    found = driver.ask("nvmlDeviceGetAttributes", handle)
    count = 0 if found is None else int(found.computeInstanceSliceCount)
    if not 0 < count <= most:
        return None, "MIG slice of unknown size"
    return count / most, f"MIG slice, {count} of {most} compute slices"


def processes(driver: Driver, handle: Any) -> frozenset[int] | None:
    """Pids of what computes on a board or slice, as the host counts them; None unknown."""
    found = driver.ask("nvmlDeviceGetComputeRunningProcesses", handle)
    return None if found is None else frozenset(int(process.pid) for process in found)


def idle_boards() -> tuple[str, ...]:
    """UUIDs of devices on which nothing computes; empty where NVML does not answer.

    One whose processes are not told is not taken for idle. What only draws a screen counts not.
    """
    try:
        with session() as driver:
            return tuple(
                device.uuid
                for device in devices(driver)
                if processes(driver, device.handle) == frozenset()
            )
    except OSError:
        return ()


def board_count() -> int:
    """How many boards this machine has, those included that cannot be read now; 0 without NVML."""
    try:
        with session() as driver:
            return int(driver.nvml.nvmlDeviceGetCount())
    except OSError:
        return 0


def board_name() -> str:
    """What the driver calls this machine's boards; empty where they differ or it does not say."""
    try:
        with session() as driver:
            handles = [device.board for device in devices(driver)]
            names = {driver.ask("nvmlDeviceGetName", handle) for handle in handles}
    except OSError:
        return ""
    return str(names.pop() or "") if len(names) == 1 else ""


def gpu_limits_w() -> dict[str, float]:
    """Enforced power limits by UUID, watts, of a slice its share; the silent are left out."""
    limits = {}
    try:
        with session() as driver:
            for device in devices(driver):
                limit = driver.thousandths("nvmlDeviceGetEnforcedPowerLimit", device.board)
                if limit is not None and device.share is not None:
                    limits[device.uuid] = limit * device.share
    except OSError:
        return {}
    return limits
