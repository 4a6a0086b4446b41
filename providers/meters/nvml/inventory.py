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


def devices(driver: Driver) -> Iterator[Device]:
    """Every assignable device. A board in MIG mode is no device itself: CUDA runs on slices."""
    nvml = driver.nvml
    for index in range(nvml.nvmlDeviceGetCount()):
        board = nvml.nvmlDeviceGetHandleByIndex(index)
        mode = driver.ask("nvmlDeviceGetMigMode", board)
        if mode is not None and mode[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            yield from _slices(driver, board)
        else:
            yield Device(str(nvml.nvmlDeviceGetUUID(board)), board, board)


def _slices(driver: Driver, board: Any) -> Iterator[Device]:
    most = int(driver.ask("nvmlDeviceGetMaxMigDeviceCount", board) or 0)
    for index in range(most):
        handle = driver.ask("nvmlDeviceGetMigDeviceHandleByIndex", board, index)
        uuid = None if handle is None else driver.ask("nvmlDeviceGetUUID", handle)
        if uuid is not None:
            yield Device(str(uuid), handle, board, *_share(driver, handle, most))


def _share(driver: Driver, handle: Any, most: int) -> tuple[float | None, str]:
    """Compute slices of all that the board can be cut into."""
    told = driver.ask("nvmlDeviceGetAttributes", handle)
    count = 0 if told is None else int(told.gpuInstanceSliceCount)
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
