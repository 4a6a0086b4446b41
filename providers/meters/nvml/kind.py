"""The kind of meter that the registry finds: whether it works here, and how it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Probe
from providers.meters.nvml.library import answered, library, session
from providers.meters.nvml.meter import NvmlMeter

if TYPE_CHECKING:
    from providers.base import Component, Meter, Reading, Scope, Usage


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
        return answered(lambda: NvmlMeter(scope, library())).start()


KIND = _Kind()
