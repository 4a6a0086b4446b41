"""Errors of deciding and recording; the tree is drawn in :mod:`providers.errors`."""

from __future__ import annotations

from pathlib import Path

from providers.errors import LowtideError


class UsageError(LowtideError):
    """An option, region, time or executable is wrong."""

    exit_code = 2


class ConfigError(LowtideError):
    """A config or job file is wrong, or the home folder cannot be written."""

    exit_code = 3


class StoreError(LowtideError):
    """The database cannot be used, or another daemon holds this home."""

    exit_code = 5


class StoreUnavailable(StoreError):
    """Home or database cannot be used now, and may be later: whoever goes on for long waits."""


class StoreUnreachable(StoreUnavailable):
    """The database's server does not answer; what was being committed may or may not be there."""


class StoreReplaced(StoreError):
    """Another home or database lies where the one that is open was."""


class DamagedRow(LowtideError):
    """A row of the database cannot be read; all others can, so it costs only what it is about.

    ``table`` and ``key`` say which one it is, ``why`` what is wrong with it.
    """

    exit_code = 5

    def __init__(self, table: str, key: object, why: str) -> None:
        self.table, self.key, self.why = table, str(key), why
        super().__init__(
            f"{table} {key} of the database cannot be read ({why}): `lowtide db check` names all "
            "such rows, `lowtide db delete` takes one away"
        )


class BusyError(LowtideError):
    """Another pass of the same home does the work just now."""

    exit_code = 0


class PendingError(LowtideError):
    """What is needed is being asked for: a later pass has it."""


class JobFailed(LowtideError):
    """A job in the foreground ended badly."""


def fault(error: Exception) -> str:
    """An exception as one line of a story; of one that nobody raised on purpose also its place."""
    if isinstance(error, (LowtideError, OSError)):
        return str(error)
    said, trace = " ".join(f"{type(error).__name__}: {error}".splitlines()), error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return said
    return f"{said} ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
