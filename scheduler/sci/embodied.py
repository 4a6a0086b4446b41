"""Embodied carbon M of what a job held: ``TE x (TiR / EL) x (RR / ToR)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.models import HardwareUsed
from scheduler.quantities import significant

if TYPE_CHECKING:
    from providers.base import Triple
    from scheduler.models import Hardware

NO_HARDWARE = (
    "no hardware is declared for {region}, so there is no embodied carbon and this is not an "
    "SCI: set regions.{region}.hardware"
)


def embodied_g(hardware: Hardware, hours: float, slots: float, gpus: int) -> Triple:
    """M in grams for holding ``slots`` and ``gpus`` of a machine for ``hours``.

    1000 kg over 4 years, all of the machine for 1 h: 28.5 g.
    """
    share, _ = reserved_share(hardware, slots, gpus)
    return hardware.total_kg.scaled(1000.0 * hours / hardware.lifespan_h * share)


def reserved_share(hardware: Hardware, slots: float, gpus: int) -> tuple[float, str]:
    """RR/ToR, at most 1, and what it is counted by: the slots, or the GPUs where they are more."""
    share = slots / hardware.slots
    said = f"{significant(slots)} of {hardware.slots} slots"
    if hardware.slots_source:
        said += f" ({hardware.slots_source})"
    if gpus and hardware.gpus and gpus / hardware.gpus > share:
        share, said = gpus / hardware.gpus, f"{gpus} of {hardware.gpus} GPUs"
    return min(1.0, share), said


def hardware_used(hardware: Hardware, slots: float, gpus: int) -> HardwareUsed:
    """The machine and the share of it that a job held, as its report tells them."""
    share, said = reserved_share(hardware, slots, gpus)
    return HardwareUsed(
        source=hardware.source,
        total_kg=hardware.total_kg,
        lifespan_h=hardware.lifespan_h,
        lifespan_source=hardware.lifespan_source,
        slots=hardware.slots,
        gpus=hardware.gpus,
        reserved_share=share,
        reserved_share_source=said,
    )
