"""Series as bytes: small enough to keep every forecast of a year, and the same digits come back.

Sources tell regular steps and round numbers. Times are kept as runs of equal steps, values as
differences of whole numbers where they are multiples of a power of ten, a band only where there
is one. A first byte of 1 marks this form; older rows are JSON in zlib, whose first byte is 0x78.
"""

from __future__ import annotations

import json
import struct
import zlib
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from providers.series import Series, from_unix
from scheduler.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FORM = b"\x01"
HEAD = struct.Struct("<I")
# Sources tell at most thousandths of a gram.
DECIMALS = range(4)
INTS = (np.int8, np.int16, np.int32)


def pack(series: Series, notes: tuple[str, ...] = ()) -> bytes:
    """The series and what was said of it."""
    value, parts = series.g_per_kwh, list[bytes]()
    bands = [None if np.array_equal(band, value) else band for band in (series.low, series.high)]
    head: dict[str, Any] = {
        "facts": [series.zone, series.signal, series.kind, series.factors, series.flow],
        "issued_at": series.issued_at.timestamp(),
        "sources": [[name, len(list(run))] for name, run in groupby(series.sources.tolist())],
        "steps": list(_steps(series)),
        "arrays": [None if a is None else _array(a, parts) for a in (value, *bands)],
        "notes": list(notes),
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    return FORM + zlib.compress(b"".join((HEAD.pack(len(text)), text, *parts)))


def unpack(payload: bytes, row: str) -> tuple[Series, tuple[str, ...]]:
    """The series and the notes of a row, in whatever form it was written.

    ``row`` names it in the :class:`StoreError` that a torn payload is.
    """
    try:
        if payload[:1] != FORM:
            return _from_json(json.loads(zlib.decompress(payload)))
        return _from_bytes(payload)
    except (zlib.error, struct.error, ValueError, TypeError, LookupError, OverflowError) as e:
        raise StoreError(
            f"{row} of the database cannot be read ({e}): restore lowtide.db from a backup, or "
            "delete that row"
        ) from e


def _from_bytes(payload: bytes) -> tuple[Series, tuple[str, ...]]:
    body = zlib.decompress(payload[1:])
    (length,) = HEAD.unpack_from(body)
    head = json.loads(body[HEAD.size : HEAD.size + length])
    rest = memoryview(body)[HEAD.size + length :]
    arrays: list[NDArray[np.float64]] = []
    for form in head["arrays"]:
        if form is None:
            arrays.append(arrays[0])
            continue
        found, size = _values(form, rest)
        arrays.append(found)
        rest = rest[size:]
    starts, ends = _times(head["steps"])
    zone, signal, kind, factors, flow = head["facts"]
    names = [name for name, _ in head["sources"]]
    series = Series(
        zone=zone,
        signal=signal,
        kind=kind,
        issued_at=from_unix(head["issued_at"]),
        starts=starts,
        ends=ends,
        g_per_kwh=arrays[0],
        low=arrays[1],
        high=arrays[2],
        sources=np.repeat(np.array(names, np.str_), [count for _, count in head["sources"]]),
        factors=factors,
        flow=flow,
    )
    return series, tuple(head["notes"])


def _steps(series: Series) -> Iterator[tuple[float, float, int]]:
    """Runs of intervals of one length without a gap: first start, step, number.

    With 0 for the number it is one interval, and the step its end.
    """
    starts, ends = series.starts.tolist(), series.ends.tolist()
    begun = 0
    for i in range(1, len(starts) + 1):
        first, step = starts[begun], ends[begun] - starts[begun]
        n = i - begun
        goes_on = (
            i < len(starts)
            and ends[begun] == first + step
            and starts[i] == first + n * step
            and ends[i] == first + (n + 1) * step
        )
        if not goes_on:
            # An interval whose end is no sum of start and step keeps its end; 0 marks that.
            yield (first, step, n) if first + step == ends[begun] else (first, ends[begun], 0)
            begun = i


def _times(runs: list[tuple[float, float, int]]) -> tuple[NDArray[np.float64], ...]:
    starts: list[NDArray[np.float64]] = [np.empty(0)]
    ends: list[NDArray[np.float64]] = [np.empty(0)]
    for first, step, count in runs:
        n = np.arange(max(count, 1), dtype=np.float64)
        starts.append(first + n * step if count else np.array([first]))
        ends.append(first + (n + 1) * step if count else np.array([step]))
    return np.concatenate(starts), np.concatenate(ends)


def _array(values: NDArray[np.float64], parts: list[bytes]) -> list[Any]:
    """Append the values to ``parts``; how to read them: decimals, first, type, count."""
    for decimals in DECIMALS:
        scale = 10.0**decimals
        if np.any(np.abs(values) >= 2**30 / scale):
            break
        whole = np.rint(values * scale)
        if not np.array_equal(whole / scale, values):
            continue
        told = np.diff(whole.astype(np.int64), prepend=np.int64(0))
        first, told = int(told[0]) if len(told) else 0, told[1:]
        most = int(np.abs(told).max(initial=0))
        kind = next(t for t in INTS if most <= np.iinfo(t).max)
        parts.append(told.astype(kind).tobytes())
        return [decimals, first, np.dtype(kind).str, len(values)]
    # The bytes of one place in all numbers side by side: the high ones are much alike.
    parts.append(values.astype("<f8").view(np.uint8).reshape(-1, 8).T.tobytes())
    return [None, 0, "<f8", len(values)]


def _values(form: list[Any], rest: memoryview) -> tuple[NDArray[np.float64], int]:
    """The array at the head of ``rest``, and how many bytes it took."""
    decimals, first, kind, count = form
    if decimals is None:
        raw = np.frombuffer(rest, np.uint8, 8 * count).reshape(8, count)
        return np.ascontiguousarray(raw.T).view("<f8").reshape(-1).astype(np.float64), 8 * count
    if not count:
        return np.empty(0), 0
    told = np.frombuffer(rest, kind, count - 1).astype(np.int64)
    whole = np.concatenate(([first], first + np.cumsum(told)))
    return whole / 10.0**decimals, np.dtype(kind).itemsize * (count - 1)


def _from_json(content: dict[str, Any]) -> tuple[Series, tuple[str, ...]]:
    """A row as it was written until version 0.1."""
    arrays = {k: np.array(content[k]) for k in ("starts", "ends", "g_per_kwh", "low", "high")}
    series = Series(
        zone=content["zone"],
        signal=content["signal"],
        kind=content["kind"],
        issued_at=from_unix(content["issued_at"]),
        sources=np.array(content["sources"], dtype=np.str_),
        factors=content["factors"],
        flow=content["flow"],
        **arrays,
    )
    return series, tuple(content["notes"])
