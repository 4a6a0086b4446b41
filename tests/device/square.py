"""A load that is on for half of each period: ``python square.py PERIOD_S SECONDS``.

Runs in a process of its own, on the board that ``CUDA_VISIBLE_DEVICES`` names; needs torch or cupy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def _work() -> Callable[[], object]:
    try:
        import torch

        a = torch.rand((4096, 4096), device="cuda")
        return lambda: (a @ a).sum().item()  # waits for the board
    except ImportError:
        import cupy

        b = cupy.random.rand(4096, 4096, dtype=cupy.float32)
        return lambda: float((b @ b).sum())


def main(period_s: float, seconds: float) -> None:
    work = _work()
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        while time.monotonic() < now + period_s / 2:
            work()
        time.sleep(max(0.0, now + period_s - time.monotonic()))


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
