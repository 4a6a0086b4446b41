"""The energy journal and the receipt in a run folder: writing and reading.

``journal.jsonl``: a header (components, notes about the machine), then one line a sample with
cumulative readings, and one for each component that is found later (read back in
:mod:`providers.journal`).
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from providers.base import ZERO, Component, EndReason, Journal, Reading, Receipt, Triple
from providers.files import read_bounded
from providers.journal import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NAME = "journal.jsonl"
FSYNC_S = 20.0
# The longest is a launch: 2 MiB of words (Linux' own limit for all of them), each byte escaped.
JSON_LIMIT_BYTES = 16 << 20
# What a runner says of an attempt: a receipt takes some hundred bytes, each pause some forty more.
WORD_LIMIT_BYTES = 1 << 20
# The end of the year 2399, in Unix seconds: no attempt is of a later time.
LAST_S = 13_569_465_599.0
# More CPU seconds than the largest machines (some ten million cores) have in a year.
MOST_CPU_S = 1e15


class JournalWriter:
    """Appends samples, each handed to the system at once, synced to disk every 20 s.

    A line that cannot be written (a full disk) is a gap: :class:`OSError`, and the next one is
    tried afresh. The header and the zero sample at the start are kept until they are written.
    """

    def __init__(
        self, run_dir: Path, components: Sequence[Component], meta: dict[str, Any], start: float
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._fd = os.open(run_dir / NAME, flags, 0o600)
        self._index = {c.name: i for i, c in enumerate(components)}
        self._synced = time.monotonic()
        header = {"components": [asdict(c) for c in components], "meta": meta}
        zero = [Reading(c.name, ZERO, ZERO, 0.0) for c in components if c.method != "missing"]
        self._owed = _text(header) + _text(self._sample_line(start, 0.0, zero))
        with suppress(OSError):  # else before the first sample
            self._write("")

    def sample(
        self, at: float, cpu_s: float, readings: Sequence[Reading], share_s: float | None = None
    ) -> None:
        """One line: Unix time, CPU seconds, the components that could be read, and the run's share
        of the machine so far.
        """
        line = self._sample_line(at, cpu_s, readings)
        self._write(_text(line if share_s is None else {**line, "share_s": share_s}))
        if time.monotonic() - self._synced >= FSYNC_S:
            self.sync()

    def _sample_line(self, at: float, cpu_s: float, readings: Sequence[Reading]) -> dict[str, Any]:
        return {
            "at": at,
            "cpu_s": cpu_s,
            "read": [
                [
                    self._index[r.component],
                    *_flat(r.active_j),
                    *_flat(r.energy_j),
                    r.covered_s,
                    *([dict(r.facts)] if r.facts else []),
                ]
                for r in readings
            ],
        }

    def add(self, component: Component) -> None:
        """A component that was found after the start, where it had drawn nothing yet."""
        self._write(_text({"component": asdict(component)}))
        self._index[component.name] = len(self._index)

    def note(self, text: str) -> None:
        """A fault that the runner met, for the report."""
        self._write(_text({"note": text}))

    def tell(self, meta: dict[str, Any]) -> None:
        """What is known only later than the header; a later word replaces an earlier one."""
        self._write(_text({"meta": meta}))

    def sync(self) -> None:
        """Make sure that all lines are on disk."""
        os.fsync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Nothing more will be written."""
        os.close(self._fd)

    def _write(self, line: str) -> None:
        owed, data = len(self._owed), (self._owed + line).encode("ascii")
        written = os.write(self._fd, data)
        if written < len(data):
            # End the torn line; what was owed and is not whole on disk comes again.
            self._owed = "\n" + (self._owed.lstrip("\n") if written < owed else "")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._owed = ""


def append_note(run_dir: Path, text: str) -> None:
    """Add a note to a journal whose runner has ended; harmless where it cannot be written."""
    with suppress(OSError):
        fd = os.open(run_dir / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as f:
            f.write("\n" + _text({"note": text}))


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, separators=(",", ":")) + "\n"


def _flat(figure: Triple) -> tuple[float, float, float]:
    return figure.low, figure.value, figure.high


def read_journal(run_dir: Path) -> Journal:
    """The journal of an attempt; an absent one has no components and a note."""
    return read(run_dir / NAME)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file so that it is there whole or not at all (temporary name, fsync, rename)."""
    _beside(path, content).replace(path)
    sync_folder(path.parent)


def claim(path: Path, content: dict[str, Any]) -> bool:
    """Create a file with its content, durably, unless it is there; True if created."""
    temporary = _beside(path, content)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        # NFS may have made the link and lost its answer (open(2), on O_EXCL).
        if temporary.stat().st_nlink != 2:
            return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def _beside(path: Path, content: dict[str, Any]) -> Path:
    """A file of another name in the same folder with the content on disk."""
    # Of this process alone, also where several machines write into the folder.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        json.dump(content, f)
        f.flush()
        os.fsync(f.fileno())
    return temporary


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: Path, limit_bytes: int = JSON_LIMIT_BYTES) -> dict[str, Any] | None:
    """A JSON object; None where it is absent or damaged."""
    try:
        content = json.loads(read_bounded(path, limit_bytes))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def moment_s(content: dict[str, Any] | None, name: str = "at") -> float | None:
    """The Unix time in a marker; None where it is absent or damaged."""
    found = None if content is None else content.get(name)
    return found if isinstance(found, float) and 0 <= found <= LAST_S else None


def noted_s(path: Path, now_s: float) -> float:
    """Since when (Unix seconds) something is so: noted in ``path`` by the first who asks.

    A note of the future was made by a clock that has been set back since: it is made again, so
    that what is waited for takes its time from now and no longer.
    """
    noted = moment_s(read_json(path))
    if noted is not None and noted <= now_s:
        return noted
    write_json(path, {"at": now_s})
    return now_s


def read_receipt(run_dir: Path) -> Receipt | None:
    """The runner's last word, or None."""
    content = read_json(run_dir / "receipt.json", WORD_LIMIT_BYTES)
    if content is None:
        return None
    try:
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
        pauses = _in_order((_time(begin), _time(end)) for begin, end in content.pop("pauses", ()))
        receipt = Receipt(**content, pauses=pauses)
        return receipt if _is_sound(receipt) else None
    except (TypeError, ValueError, RecursionError):
        return None


def _is_sound(receipt: Receipt) -> bool:
    """Whether it is one of a runner: a job could have left it, with anything in it."""
    numbers = (receipt.exit_code, receipt.signal)
    known = sum(n is not None for n in numbers)
    return (
        isinstance(receipt.job_id, str)
        and isinstance(receipt.attempt, int)
        and known == (0 if receipt.reason == "not_started" else 1)
        and receipt.reason in get_args(EndReason)
        and _time(receipt.started_at) <= _time(receipt.ended_at)
        and all(n is None or (isinstance(n, int) and 0 <= n < 1 << 16) for n in numbers)
        and isinstance(receipt.cpu_s, (int, float))
        and 0 <= receipt.cpu_s <= MOST_CPU_S
        and (receipt.error is None or isinstance(receipt.error, str))
    )


def _time(value: Any) -> float:
    """Unix seconds; :class:`ValueError` where it is no time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LAST_S:
        raise ValueError(f"{value!r} is not a time")
    return float(value)


def read_pauses(run_dir: Path) -> tuple[tuple[float, float | None], ...]:
    """When the attempt's processes were stopped (Unix s); None as the end of one that still is.

    The receipt knows it best; what the runner tells while it lives is taken without one.
    """
    receipt = read_receipt(run_dir)
    if receipt is not None:
        return receipt.pauses
    try:
        pairs = (read_json(run_dir / "pauses.json", WORD_LIMIT_BYTES) or {}).get("pauses", ())
        return _in_order((_time(a), None if b is None else _time(b)) for a, b in pairs)
    except (TypeError, ValueError):
        return ()


End = TypeVar("End", float, float | None)


def _in_order(pauses: Iterable[tuple[float, End]]) -> tuple[tuple[float, End], ...]:
    """Pauses one after the other, of which only the last may last; else :class:`ValueError`."""
    found = tuple(pauses)
    after = 0.0
    for begin, end in found:
        if begin < after or (end is not None and end < begin):
            raise ValueError("pauses come one after the other")
        after = LAST_S if end is None else end
    return found
