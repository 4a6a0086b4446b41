"""The boards that a process was given, as UUIDs, which are what meters know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.meters.nvml.inventory import Board, boards
from providers.meters.nvml.library import answered, session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MASK, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"


@dataclass(frozen=True, slots=True)
class Allocation:
    """Boards by UUID; an entry that no board can be found for stands for itself, so that it is
    reported as missing. ``notes`` say what is not known of them.
    """

    boards: tuple[str, ...]
    notes: tuple[str, ...] = ()


def allocation(environ: Mapping[str, str]) -> Allocation | None:
    """The boards that the environment leaves to a process; None where it names none.

    Never raises; waits for the driver no longer than it may take to answer.
    """
    mask = environ.get(MASK)
    return None if mask is None else masked(mask, by_bus=environ.get(ORDER) == BY_BUS)


def entries(mask: str) -> tuple[str, ...]:
    """What CUDA reads of a mask: numbers or UUIDs, up to the first word that is neither.

    So ``0,-1,1`` is board 0 alone (CUDA C++ Programming Guide, CUDA Environment Variables).
    """
    found: list[str] = []
    for entry in map(str.strip, mask.split(",")):
        if not (entry.isdecimal() or entry.startswith(("GPU-", "MIG-"))):
            break
        found.append(entry)
    return tuple(dict.fromkeys(found))


def masked(mask: str, *, by_bus: bool) -> Allocation:
    """The boards of a mask as in ``CUDA_VISIBLE_DEVICES``; its numbers count ``by_bus`` or not.

    CUDA's own order is from fast to slow, by a rule that is not published: numbers mean boards
    only where all boards are of one kind, or all of them are named.
    """
    named = entries(mask)
    if not named:
        return Allocation(())
    try:
        here = answered(_here)
    except OSError as e:
        return Allocation(named, (f"{MASK}={mask}: its boards cannot be read: {e}",))
    numbers = {int(entry) for entry in named if entry.isdecimal()}
    alike = len({board.name for board in here}) == 1 or numbers >= set(range(len(here)))
    if numbers and not by_bus and not alike:
        return Allocation(
            named,
            (
                f"{MASK}={mask} counts boards of several kinds in CUDA's own order, which is not "
                f"known here: set {ORDER}={BY_BUS}, or name the boards by UUID",
            ),
        )
    found: list[str] = []
    for entry in named:
        if entry.isdecimal() and int(entry) >= len(here):
            break  # as CUDA does at a number that no board has
        found.append(_uuid(entry, here))
    return Allocation(tuple(dict.fromkeys(found)))


def _here() -> list[Board]:
    with session() as driver:
        return boards(driver)


def _uuid(entry: str, here: Sequence[Board]) -> str:
    """The device that an entry means: by its number on the bus, or by the beginning of its UUID.

    Of a board in MIG mode CUDA takes the first slice (NVIDIA MIG User Guide, CUDA Device
    Enumeration).
    """
    if entry.isdecimal():
        found = [here[int(entry)]]
    else:
        slices = [d.uuid for b in here for d in b.devices if d.part and d.uuid.startswith(entry)]
        if len(slices) == 1:
            return slices[0]
        found = [board for board in here if board.uuid.startswith(entry)]
    if len(found) != 1 or not found[0].devices:
        return entry
    return found[0].devices[0].uuid
