"""The kind of meter that the registry finds: whether it works here, and how it is opened."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from providers.base import Probe
from providers.meters.nvml.library import library, session
from providers.meters.nvml.meter import NvmlMeter

if TYPE_CHECKING:
    from providers.base import Component, Meter, Reading, Scope, Usage

# How long the first look at the driver may take before the meter goes without it.
OPEN_PATIENCE_S = 5.0


class _NoBoards:
    """For a job that holds no board: nothing to meter, and the driver is left alone."""

    def components(self) -> tuple[Component, ...]:
        return ()

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        return ()

    def notes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


class _Kind:
    def probe(self) -> Probe:
        """Whether there is a driver and a board."""
        try:
            with session() as driver:
                count = driver.nvml.nvmlDeviceGetCount()
        except OSError as e:
            return Probe(False, str(e))
        return Probe(count > 0, f"{count} NVIDIA board(s)")

    def open(self, scope: Scope) -> Meter:
        """The boards of the scope; :class:`OSError` where NVML fails or hangs."""
        if not scope.gpus:
            return _NoBoards()
        opened: list[NvmlMeter | Exception] = []

        def attempt() -> None:
            try:
                opened.append(NvmlMeter(scope, library()))
            except Exception as e:  # noqa: BLE001 -- told by the caller's thread
                opened.append(e)

        worker = threading.Thread(target=attempt, daemon=True)
        worker.start()
        worker.join(OPEN_PATIENCE_S)
        if not opened:
            raise OSError(f"NVML did not answer within {OPEN_PATIENCE_S:g} s")
        if isinstance(opened[0], Exception):
            raise OSError(str(opened[0])) from opened[0]
        return opened[0].start()


KIND = _Kind()
