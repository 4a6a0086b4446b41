"""What this machine looks like from within: processors, memory, boards, disks, its cloud type.

Facts of the kernel's files alone; what is made of them is a proposal that people confirm.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from providers.hardware import ccf

if TYPE_CHECKING:
    from typing import Any

# Nitro instances say their type as the product's name (docs.aws.amazon.com, "Determine whether
# your instance is a Nitro-based instance"); other clouds' firmware does not.
AWS = "Amazon EC2"


@dataclass(frozen=True, slots=True)
class Detected:
    """This machine; ``memory_gb`` in GB (10^9 bytes), ``instance`` a type like ``aws/c5.large``;
    ``board`` is the name of its boards, empty where they differ.
    """

    processor: str
    sockets: int
    threads: int
    memory_gb: float
    gpus: int
    board: str
    ssds: int
    hdds: int
    instance: str | None

    def __str__(self) -> str:
        parts = [f"{self.sockets} x {self.processor}", f"{self.threads} logical CPUs"]
        parts.append(f"{self.memory_gb:.0f} GB of memory")
        counts = ((self.gpus, "GPU"), (self.ssds, "SSD"), (self.hdds, "hard disk"))
        parts += [f"{n} {name}{'s' * (n > 1)}" for n, name in counts if n]
        parts += [f"GPU: {self.board}"] if self.board else []
        return ", ".join(([self.instance] if self.instance else []) + parts)

    @property
    def hardware(self) -> dict[str, Any]:
        """What to set as ``regions.local.hardware``."""
        if self.instance is not None:
            return {"instance": self.instance}
        parts = {"cpus": self.sockets, "gpus": self.gpus, "ssds": self.ssds, "hdds": self.hdds}
        known: dict[str, Any] = {name: n for name, n in parts.items() if n}
        if self.gpus and self.board:
            known["gpu"] = self.board
        return {"ccf_server": {"memory_gb": max(1, round(self.memory_gb))} | known}


def detect(memory_gb: float, gpus: int, root: Path = Path("/"), *, board: str = "") -> Detected:
    """Look at the kernel's files below ``root``; what cannot be read is left out.

    Memory and boards are counted by the meters; ``board`` is the name of the boards.
    """
    lines = _read(root / "proc/cpuinfo").splitlines()
    pairs = [(key.strip(), value.strip()) for key, _, value in (li.partition(":") for li in lines)]
    names = [value for key, value in pairs if key == "model name"]
    sockets = {value for key, value in pairs if key == "physical id"}
    disks = [_kind(disk) for disk in sorted((root / "sys/block").glob("*"))]
    return Detected(
        processor=names[0] if names else "processor of unknown name",
        sockets=max(1, len(sockets)),
        threads=os.cpu_count() or 1,
        memory_gb=memory_gb,
        gpus=gpus,
        board=board,
        ssds=disks.count("ssd"),
        hdds=disks.count("hdd"),
        instance=_instance(root / "sys/class/dmi/id"),
    )


def _instance(dmi: Path) -> str | None:
    kind = _read(dmi / "product_name")
    known = _read(dmi / "sys_vendor") == AWS and ccf.has("aws", kind)
    return f"aws/{kind}" if known else None


def _kind(disk: Path) -> str:
    """``ssd`` or ``hdd``; empty for a loop device, a RAM disk or a removable medium."""
    if not (disk / "device").exists() or _read(disk / "removable") == "1":
        return ""
    return {"0": "ssd", "1": "hdd"}.get(_read(disk / "queue/rotational"), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
