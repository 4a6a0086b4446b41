"""Boards as an engine names them, by the UUIDs that meters know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.meters.nvml.inventory import devices
from providers.meters.nvml.library import answered, session

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Slurm says where it assigned none, or has no device files.
NO_BOARDS = frozenset({"", "-1", "NoDevFiles"})


def assigned(told: str) -> tuple[str, ...]:
    """UUIDs for a list as in ``CUDA_VISIBLE_DEVICES`` that counts in the order of the PCI bus.

    What NVML here does not know stands for itself: no meter reads it.
    """
    if told.strip() in NO_BOARDS:
        return ()
    entries = [entry.strip() for entry in told.split(",") if entry.strip()]
    try:
        here = answered(_here)
    except OSError:
        return tuple(entries)
    found = (board(entry, here, by_bus=True) for entry in entries)
    return tuple(uuid or entry for uuid, entry in zip(found, entries, strict=True))


def _here() -> list[str]:
    """UUIDs by the number of their board; empty where that is cut into slices of other names."""
    with session() as driver:
        nvml, known = driver.nvml, {device.uuid for device in devices(driver)}
        handles = (nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount()))
        whole = [str(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    return [uuid if uuid in known else "" for uuid in whole]


def board(entry: str, here: Sequence[str], *, by_bus: bool) -> str:
    """The UUID that an entry means: CUDA takes a number, or the beginning of a UUID."""
    if entry.isdecimal():
        return here[int(entry)] if by_bus and int(entry) < len(here) else entry
    return next((uuid for uuid in here if uuid.startswith(entry)), entry)
