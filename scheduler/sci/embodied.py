"""Embodied carbon M of what a job held: ``TE x (TiR / EL) x (RR / ToR)``.

Boards and the rest of a machine are two resources: boards are shared by boards, the rest by slots,
so that all who hold parts of a machine at once hold no more than the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.models import HardwareUsed
from scheduler.quantities import significant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.base import Component, Triple
    from scheduler.models import Hardware, Site

# What a meter calls a board, before its UUID.
BOARD = "gpu:"
NO_HARDWARE = (
    "no hardware is declared for {region}, so there is no embodied carbon and this is not an "
    "SCI: set regions.{region}.hardware"
)


def boards_held(attempts: Sequence[Sequence[Component]], gpus: int) -> float:
    """How many boards the attempt with most of them held or was seen on, by what each metered.

    A MIG slice is its part of a board; of the ``gpus`` that the job asked for, one that no meter
    named is a whole one.
    """
    found = [[c.share for c in _boards(own)] for own in attempts if own]
    return max((sum(own) + max(0, gpus - len(own)) for own in found), default=float(gpus))


def most_boards(attempts: Sequence[Sequence[Component]]) -> list[str]:
    """The boards of the attempt that held or was seen on most of them, by name."""
    found = max(map(_boards, attempts), key=len, default=[])
    return [c.name.removeprefix(BOARD) for c in found]


def _boards(held: Sequence[Component]) -> list[Component]:
    return [c for c in held if c.name.startswith(BOARD)]


def embodied_g(hardware: Hardware, hours: float, slots: float, gpus: float) -> Triple:
    """M in grams for holding ``slots`` and ``gpus`` of a machine for ``hours``.

    1000 kg over 4 years, all of the machine for 1 h: 28.5 g.
    """
    share, _ = reserved_share(hardware, slots, gpus)
    rate = 1000.0 * hours / hardware.lifespan_h
    if hardware.boards_kg is None:
        return hardware.total_kg.scaled(rate * share)
    boards = hardware.boards_kg.scaled(rate * boards_share(hardware, gpus))
    return hardware.rest_kg.scaled(rate * share) + boards


def reserved_share(hardware: Hardware, slots: float, gpus: float) -> tuple[float, str]:
    """RR/ToR of the machine without boards that are counted apart, at most 1, and what it is
    counted by: the slots, or the GPUs where the boards are not counted apart and they are more.
    """
    share = slots / hardware.slots
    said = f"{significant(slots)} of {hardware.slots} slots"
    if hardware.slots_source:
        said += f" ({hardware.slots_source})"
    together = hardware.boards_kg is None
    if together and gpus and hardware.gpus and gpus / hardware.gpus > share:
        share, said = gpus / hardware.gpus, f"{significant(gpus)} of {hardware.gpus} GPUs"
    return min(1.0, share), said


def boards_share(hardware: Hardware, gpus: float) -> float:
    """RR/ToR of the boards, at most 1."""
    return min(1.0, gpus / hardware.gpus) if hardware.gpus else 0.0


def uncounted(site: Site, names: Sequence[str], gpus: float) -> str:
    """Why M of a site's machine lacks boards that a job held, naming them; empty where it does not.

    ``names`` are the boards that were metered, ``gpus`` is how many it held. Slices are parts of
    boards, so there may be more of them.
    """
    hardware, region = site.hardware, site.region
    whole = [name for name in names if not name.startswith("MIG-")]
    if hardware is None or not gpus or hardware.gpus >= max(1, len(whole)):
        return ""
    boards = ", ".join(names) or f"{significant(gpus)} GPU"
    return (
        f"the embodied carbon of {boards} is not counted: the hardware of {region} has "
        f"{hardware.gpus} GPU ({hardware.source}); set gpus, and gpu with their name, in "
        f"regions.{region}.hardware"
    )


def hardware_used(hardware: Hardware, slots: float, gpus: float) -> HardwareUsed:
    """The machine and the share of it that a job held, as its report tells them."""
    share, said = reserved_share(hardware, slots, gpus)
    apart = hardware.boards_kg is not None
    return HardwareUsed(
        source=hardware.source,
        total_kg=hardware.total_kg,
        lifespan_h=hardware.lifespan_h,
        lifespan_source=hardware.lifespan_source,
        slots=hardware.slots,
        gpus=hardware.gpus,
        reserved_share=share,
        reserved_share_source=said,
        boards_kg=hardware.boards_kg,
        boards_share=boards_share(hardware, gpus) if apart else None,
    )
