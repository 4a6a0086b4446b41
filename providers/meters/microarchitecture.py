"""Which processor this is, and what a vCPU of it draws.

Clouds hide the model name ("AMD EPYC"), but cpuid's family and model stay true: they name the
microarchitecture, and that has watts per vCPU in Cloud Carbon Footprint's table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from providers.base import Triple

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parents[1] / "data" / "ccf" / "watts_per_vcpu.csv"
CCF = "Cloud Carbon Footprint @ b0032d9 (SPECpower, whole server)"

# cpuid family -> models: from Linux arch/x86/include/asm/intel-family.h (Intel, family 6) and
# AMD's processor programming references (server parts of family 17h, 19h, 1Ah).
INTEL = {
    42: "Sandy Bridge", 45: "Sandy Bridge", 58: "Ivy Bridge", 62: "Ivy Bridge",
    60: "Haswell", 63: "Haswell", 69: "Haswell", 70: "Haswell",
    61: "Broadwell", 71: "Broadwell", 79: "Broadwell", 86: "Broadwell",
    78: "Skylake", 94: "Skylake", 85: "Skylake", 142: "Coffee Lake", 158: "Coffee Lake",
    106: "Ice Lake", 108: "Ice Lake", 143: "Sapphire Rapids", 207: "Emerald Rapids",
    173: "Granite Rapids", 174: "Granite Rapids",
}  # fmt: skip
# Model 85 is Skylake, Cascade Lake (stepping 5 to 7) or Cooper Lake (10, 11), which has the
# cores of Cascade Lake and no row of its own.
CASCADE_LAKE_STEPPINGS = {5, 6, 7, 10, 11}


@dataclass(frozen=True, slots=True)
class WattsPerVcpu:
    """Idle and full-load watts of one vCPU, with the extremes of CCF's provider tables.

    ``name`` is the processor as cpuid tells it; ``source`` adds the rows that were used.
    ``memory_gb`` is the memory (GB) of SPECpower's servers that those watts hold for as many chips
    as this machine has; 0 where they are not seen: a virtual machine has a part of some.
    """

    name: str
    idle: Triple
    full: Triple
    source: str
    memory_gb: float = 0.0


@cache
def here() -> WattsPerVcpu:
    """The processor of this machine."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return identify(text)


def identify(cpuinfo: str) -> WattsPerVcpu:
    """The processor that a ``/proc/cpuinfo`` describes.

    An unknown one gets the mean of all rows, bounded by their extremes, and its source says
    so; a Zen 5 gets the row of Zen 4, because CCF's own row for it is wrong (3.7 W idle
    against 0.7 W: a bad join).
    """
    fields: dict[str, str] = {}
    for line in cpuinfo.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    vendor = fields.get("vendor_id", "")
    family, model, stepping = (
        int(fields[k]) if fields.get(k, "").isdigit() else -1
        for k in ("cpu family", "model", "stepping")
    )
    architecture, why = _architecture(vendor, family, model, stepping)
    name = f"{vendor} family {family} model {model}" if vendor else _without_vendor(fields)
    chips = 0
    if "hypervisor" not in fields.get("flags", "").split():
        chips = len(set(re.findall(r"^physical id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)))
    if architecture is None:
        rows = [row for rows in _table().values() for row in rows]
        return _watts(name, rows, f"{name}: not in the table, the mean of all rows; {CCF}", chips)
    return _watts(name, _table()[architecture], f"{name} = {architecture}{why}; {CCF}", chips)


def of(architectures: Sequence[str]) -> WattsPerVcpu | None:
    """The processors named, taken together; None where the table lacks one of them."""
    known = _table()
    if not architectures or not known.keys() >= set(architectures):
        return None
    rows = [row for name in architectures for row in known[name]]
    name = " or ".join(architectures)
    return _watts(name, rows, f"{name}; {CCF}")


def _without_vendor(fields: dict[str, str]) -> str:
    if "CPU implementer" in fields:
        return f"Arm implementer {fields['CPU implementer']} part {fields.get('CPU part', '?')}"
    return "unknown CPU"


def _architecture(vendor: str, family: int, model: int, stepping: int) -> tuple[str | None, str]:
    if vendor == "GenuineIntel" and family == 6:
        if model == 85 and stepping in CASCADE_LAKE_STEPPINGS:
            return "Cascade Lake", ""
        return INTEL.get(model), ""
    if vendor == "AuthenticAMD":
        if family == 23:
            return ("EPYC 1st Gen" if model < 48 else "EPYC 2nd Gen"), ""
        if family == 25:
            zen4 = 16 <= model <= 31 or 96 <= model <= 127 or 160 <= model <= 175
            return ("EPYC 4th Gen" if zen4 else "EPYC 3rd Gen"), ""
        if family == 26:
            return "EPYC 4th Gen", " (stands in for Zen 5, whose row is wrong)"
    return None, ""


@cache
def _table() -> dict[str, list[tuple[float, float, float]]]:
    """Watts of a vCPU at idle and at full load, and GB of memory for each chip."""
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for line in DATA.read_text(encoding="utf-8").splitlines()[1:]:
        name, _, idle, full, memory_gb = line.split(",")
        rows.setdefault(name, []).append((float(idle), float(full), float(memory_gb)))
    return rows


def _watts(
    name: str, rows: list[tuple[float, float, float]], source: str, chips: int = 0
) -> WattsPerVcpu:
    idle, full, memory_gb = ([row[i] for row in rows] for i in (0, 1, 2))
    held = chips * _spread(memory_gb).value
    return WattsPerVcpu(name, _spread(idle), _spread(full), source, held)


def _spread(values: list[float]) -> Triple:
    low, high = min(values), max(values)
    # Rounding may put the mean of equal values a digit outside them.
    return Triple(low, min(max(low, sum(values) / len(values)), high), high)
