"""The kind of meter that the registry finds: whether it works here, and how it is opened."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from providers.base import Probe
from providers.meters.nvml.inventory import boards
from providers.meters.nvml.library import answered, library, session
from providers.meters.nvml.meter import NvmlMeter

if TYPE_CHECKING:
    from providers.base import Component, Meter, Reading, Scope, Usage


UNOPENED = (
    "NVML did not answer: whether the job computed on an NVIDIA board is not known, and what it "
    "drew there is not counted"
)


OPENER = "lowtide-nvml-opener"


class _Beside:
    """For a job that holds no board: the driver is opened beside the job, which does not wait.

    Only boards on which the job's processes are seen become components.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._usage: Usage | None = None
        self._meter: NvmlMeter | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._opener = threading.Thread(target=self._open, name=OPENER, daemon=True)
        self._opener.start()

    def _open(self) -> None:
        try:
            meter = NvmlMeter(self._scope, library())
        except OSError:
            return  # without a driver the job has no board
        with self._lock:
            if self._usage is not None:
                meter.follow(self._usage)
            self._meter = meter.start()
            if self._closed:
                meter.close()

    def components(self) -> tuple[Component, ...]:
        return self._meter.components() if self._meter else ()

    def sample(self, usage: Usage) -> tuple[Reading, ...]:
        self._usage = usage
        return self._meter.sample(usage) if self._meter else ()

    def notes(self) -> tuple[str, ...]:
        if self._meter is not None:
            return self._meter.notes()
        return (UNOPENED,) if self._closed and self._opener.is_alive() else ()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._meter is not None:
                self._meter.close()


class _Kind:
    def probe(self) -> Probe:
        """Whether there is a driver and a board, and which boards cannot be read."""
        try:
            with session() as driver:
                found = boards(driver)
        except OSError as e:
            return Probe(False, str(e))
        lost = tuple(f"board {b.index} cannot be read: {b.fault}" for b in found if b.fault)
        return Probe(len(found) > len(lost), f"{len(found)} NVIDIA board(s)", lost)

    def open(self, scope: Scope) -> Meter:
        """The boards of the scope; :class:`OSError` where NVML fails or hangs."""
        if not scope.gpus:
            return _Beside(scope)
        return answered(lambda: NvmlMeter(scope, library())).start()


KIND = _Kind()
