"""Sources of third parties, each of whose questions ends: their code may never return."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from providers.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from providers.series import IntensityProvider, Series, SourceInfo

T = TypeVar("T")


class Patient:
    """A source as it is asked: :class:`Unavailable` where it has no answer after ``limit_s``.

    A thread cannot be ended from outside. One that outlives its question is left behind, and its
    source is not asked again in this process before it ends: there is at most one of each source.
    """

    # As long as live sources are asked in one pass.
    limit_s = 60.0

    def __init__(self, source: IntensityProvider) -> None:
        self._source = source
        self._left: Thread | None = None

    @property
    def info(self) -> SourceInfo:
        """That of the source."""
        return self._source.info

    def zones(self) -> frozenset[str] | None:
        """Those of the source."""
        return self._in_time(self._source.zones)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        """What the source answers."""
        return self._in_time(self._source.forecast, zone, start, end, now)

    def actual(self, zone: str, start: datetime, end: datetime) -> Series:
        """What the source answers."""
        return self._in_time(self._source.actual, zone, start, end)

    def _in_time(self, ask: Callable[..., T], *question: Any) -> T:
        if self._left is not None and self._left.is_alive():
            raise Unavailable(f"{self.info.name} is still at an earlier question: it is not asked")
        answer: Future[T] = Future()

        def answering() -> None:
            try:
                answer.set_result(ask(*question))
            except BaseException as e:  # noqa: BLE001 -- raised again where the answer is waited for
                answer.set_exception(e)

        thread = Thread(target=answering, name=f"source {self.info.name}", daemon=True)
        thread.start()
        thread.join(self.limit_s)
        if answer.done():
            return answer.result()
        self._left = thread
        raise Unavailable(f"{self.info.name} did not answer within {self.limit_s:g} s")
