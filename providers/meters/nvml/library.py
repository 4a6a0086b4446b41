"""The one door to NVML: sessions with the library, and questions that may go unanswered."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
# How long the first look at the driver may take before a job starts without it.
OPEN_PATIENCE_S = 5.0


def library() -> Any:
    """``pynvml``, initialised; :class:`OSError` where there is no library or no driver."""
    try:
        import pynvml
    except ImportError as e:
        raise OSError("nvidia-ml-py is not installed") from e
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as e:
        raise OSError(f"NVML does not answer: {e}") from e
    return pynvml


@contextmanager
def session() -> Iterator[Driver]:
    """The library between init and shutdown; every fault of it is an :class:`OSError`."""
    nvml = library()
    try:
        yield Driver(nvml)
    except nvml.NVMLError as e:
        raise OSError(f"NVML: {e}") from e
    finally:
        nvml.nvmlShutdown()


def answered(ask: Callable[[], T]) -> T:
    """What a question gives; :class:`OSError` where it fails, or the driver hangs over it."""
    found: list[T] = []
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            found.append(ask())
        except Exception as e:  # noqa: BLE001 -- told by the caller's thread
            failed.append(e)

    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(OPEN_PATIENCE_S)
    if found:
        return found[0]
    if failed:
        raise OSError(str(failed[0])) from failed[0]
    raise OSError(f"NVML did not answer within {OPEN_PATIENCE_S:g} s")


class Driver:
    """Asks the library by name; ``why`` is the reason of the last answer that did not come."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.why = ""

    def ask(self, name: str, *args: Any) -> Any | None:
        """The answer; None where board, driver, library or permission do not give it."""
        question = getattr(self.nvml, name, None)
        if question is None:
            self.why = f"this nvidia-ml-py has no {name}"
            return None
        try:
            return question(*args)
        except self.nvml.NVMLError as e:
            self.why = str(e)
            return None

    def thousandths(self, name: str, *args: Any) -> float | None:
        """A figure in joules or watts: NVML tells thousandths."""
        found = self.ask(name, *args)
        return None if found is None else float(found) / 1000.0
