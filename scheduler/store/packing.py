"""A series and what was said of it as few bytes, from which exactly the same digits come back.

The first byte is the version of the form. Version 1: one zlib stream (with :data:`DICTIONARY`)
of a header in JSON, a line end, and arrays. Regular steps are kept as runs. Values that are
decimal fractions are kept as whole numbers: the differences from one to the next, and how far
``low`` and ``high`` lie from them where they do; all others are kept as float64. Arrays are
little-endian, byte planes one after the other, which zlib packs better than whole numbers.

Rows of earlier versions are zlib streams of JSON: their first byte is 0x78.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from providers.arrays import np
from providers.calibration import Calibration
from providers.series import Series, from_unix
from scheduler.store import values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VERSION = b"\x01"
# Measured: on forecasts of 96 half-hours level 9 makes as many bytes as 6, and takes no longer.
LEVEL = 9
# What headers have in common; it belongs to version 1 and is never edited.
DICTIONARY = (
    b'"actual","estimate","marginal","production","direct","notes":["'
    b'"types":{"value":"f8","low":"f8","high":"f8"}"types":{"value":"i2","low":"i2","high":"i2"}'
    b'{"zone":"DE","signal":"average","kind":"forecast","factors":null,"flow":null,'
    b'"factors":"lifecycle","flow":"consumption","issued_at":17'
    b'.0,"runs":[[17],[17'
    b'.0,48]],"sources":[["UK NESO national","climatology",48]],"notes":[],'
    b'"decimals":0,"first":2,"types":{"value":"i1"}}\n'
)
# More places than any source tells; a value that needs more is kept as float64.
MOST_DECIMALS = 6
# Within so much a whole number over a power of ten is the float64 nearest to that decimal.
MOST_WHOLE = 2**31


def pack(series: Series, notes: Sequence[str] = ()) -> bytes:
    """The series with its notes, in the newest form."""
    header: dict[str, Any] = {
        "zone": series.zone,
        "signal": series.signal,
        "kind": series.kind,
        "factors": series.factors,
        "flow": series.flow,
        "issued_at": series.issued_at.timestamp(),
        "runs": _runs(series),
        "sources": _source_runs(series),
        "notes": list(notes),
    }
    arrays: dict[str, NDArray[Any]] = {}
    if header["runs"] is None:
        arrays |= {"starts": series.starts, "ends": series.ends}
    told = np.stack((series.g_per_kwh, series.low, series.high))
    decimals, whole = _whole_numbers(told)
    header["decimals"] = decimals
    if whole is not None:
        header["first"] = int(whole[0, 0]) if len(series) else 0
        arrays["value"] = np.diff(whole[0])
        gaps = {"low": whole[0] - whole[1], "high": whole[2] - whole[0]}
        arrays |= {name: gap for name, gap in gaps.items() if gap.any()}
    else:
        arrays["value"] = told[0]
        bands = {"low": told[1], "high": told[2]}
        arrays |= {name: band for name, band in bands.items() if not _same(band, told[0])}
    narrow = {name: _narrow(array) for name, array in arrays.items()}
    header["types"] = {name: array.dtype.str[1:] for name, array in narrow.items()}
    if series.calibration is not None:
        found = series.calibration
        header["calibration"] = [found.from_s, found.until_s, found.factors.tolist()]
    text = json.dumps(header, separators=(",", ":")).encode()
    planes = (a.view(np.uint8).reshape(-1, a.itemsize).T.tobytes() for a in narrow.values())
    squeeze = zlib.compressobj(LEVEL, zdict=DICTIONARY)
    return VERSION + squeeze.compress(b"\n".join((text, b"".join(planes)))) + squeeze.flush()


def unpack(payload: bytes, table: str, key: object) -> tuple[Series, tuple[str, ...]]:
    """The series and the notes that were packed, by this version or an earlier one.

    ``table`` and ``key`` name the row in the :class:`scheduler.errors.DamagedRow` that a torn
    payload is.
    """
    return values.reading(table, key, lambda: _unpacked(payload))


def _unpacked(payload: bytes) -> tuple[Series, tuple[str, ...]]:
    if payload[:1] == VERSION:
        return _from_bytes(payload[1:])
    return _from_json(json.loads(zlib.decompress(payload)))


def _from_bytes(stream: bytes) -> tuple[Series, tuple[str, ...]]:
    opened = zlib.decompressobj(zdict=DICTIONARY)
    content = opened.decompress(stream)
    if not opened.eof:
        raise ValueError("it is cut short")
    end = content.index(b"\n")
    header = json.loads(content[:end])
    count = sum(n for _, n in header["sources"])
    arrays: dict[str, NDArray[Any]] = {}
    at, whole = end + 1, header["decimals"] is not None
    for name, kind in header["types"].items():
        length = count - 1 if whole and name == "value" and count else count
        size = int(kind[1:])
        planes = np.frombuffer(content, np.uint8, length * size, at).reshape(size, length)
        arrays[name] = np.ascontiguousarray(planes.T).view(f"<{kind}").ravel()
        at += length * size
    if header["runs"] is None:
        starts, ends = arrays["starts"], arrays["ends"]
    else:
        starts, ends = _edges(header["runs"])
    value, low, high = _told(header, arrays, count)
    series = Series(
        zone=header["zone"],
        signal=header["signal"],
        kind=header["kind"],
        issued_at=from_unix(header["issued_at"]),
        starts=starts,
        ends=ends,
        g_per_kwh=value,
        low=low,
        high=high,
        sources=_named(header["sources"]),
        factors=header["factors"],
        flow=header["flow"],
        calibration=_calibration(header.get("calibration")),
    )
    return series, tuple(header["notes"])


def _calibration(kept: Sequence[Any] | None) -> Calibration | None:
    """What was known of past errors; None in rows from before it was kept."""
    return None if kept is None else Calibration(kept[0], kept[1], np.array(kept[2]))


def _told(
    header: dict[str, Any], arrays: dict[str, NDArray[Any]], count: int
) -> tuple[Floats, Floats, Floats]:
    """Value, low and high; the very same array where they are equal."""
    if header["decimals"] is None:
        value = arrays["value"]
        return value, arrays.get("low", value), arrays.get("high", value)
    whole = np.empty(count, np.int64)
    if count:
        whole[0] = header["first"]
        np.cumsum(arrays["value"], out=whole[1:])
        whole[1:] += whole[0]
    unit = 10.0 ** header["decimals"]
    value = whole / unit
    low = (whole - arrays["low"]) / unit if "low" in arrays else value
    high = (whole + arrays["high"]) / unit if "high" in arrays else value
    return value, low, high


def _whole_numbers(told: Floats) -> tuple[int | None, NDArray[np.int64] | None]:
    """How many decimals all have, and the values without the point; None where they are many."""
    if told.size and not np.abs(told).max() < MOST_WHOLE:
        return None, None
    for decimals in range(MOST_DECIMALS + 1):
        unit = 10.0**decimals
        whole = np.rint(told * unit).astype(np.int64)
        if _same(whole / unit, told):
            fits = not told.size or np.abs(whole).max() < MOST_WHOLE
            return (decimals, whole) if fits else (None, None)
    return None, None


def _same(a: Floats, b: Floats) -> bool:
    """Bit by bit: a negative zero is another float64 than zero."""
    return np.array_equal(a.view(np.int64), b.view(np.int64))


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in as few bytes as hold them all."""
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, "<f8")
    low, high = (int(array.min()), int(array.max())) if len(array) else (0, 0)
    fits = (n for n in (1, 2, 4) if -(2 ** (8 * n - 1)) <= low and high < 2 ** (8 * n - 1))
    return array.astype(f"<i{next(fits, 8)}")


def _runs(series: Series) -> list[list[float]] | None:
    """Unbroken runs of equal steps, each ``[start, end, count]``; None where they tell less."""
    if not len(series):
        return []
    steps = series.ends - series.starts
    new = (series.starts[1:] != series.ends[:-1]) | (steps[1:] != steps[:-1])
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    counts = np.diff(first, append=len(series))
    runs = [
        [float(series.starts[i]), float(series.ends[i + n - 1]), int(n)]
        for i, n in zip(first, counts, strict=True)
    ]
    starts, ends = _edges(runs)
    return runs if _same(starts, series.starts) and _same(ends, series.ends) else None


def _edges(runs: Sequence[Sequence[float]]) -> tuple[Floats, Floats]:
    """Starts and ends of all intervals of the runs."""
    edges = []
    for start, end, count in runs:
        # Not np.linspace, which takes three times as long.
        edge = start + (end - start) / count * np.arange(count + 1)
        edge[-1] = end
        edges.append(edge)
    if len(edges) == 1:
        return edges[0][:-1], edges[0][1:]
    none = np.empty(0)
    return (
        np.concatenate([none, *(e[:-1] for e in edges)]),
        np.concatenate([none, *(e[1:] for e in edges)]),
    )


def _source_runs(series: Series) -> list[tuple[str, int]]:
    """Who told it: names with how many intervals in a row each told."""
    new = series.sources[1:] != series.sources[:-1]
    first = np.flatnonzero(np.concatenate(([True], new))) if len(series) else np.empty(0, np.intp)
    counts = np.diff(first, append=len(series))
    return list(zip(series.sources[first].tolist(), counts.tolist(), strict=True))


def _named(runs: Sequence[tuple[str, int]]) -> NDArray[np.str_]:
    names = np.array([name for name, _ in runs], dtype=np.str_)
    if len(runs) == 1:
        # A view of one string: a year of names would outweigh the numbers.
        return np.broadcast_to(names[0], runs[0][1])
    return np.repeat(names, [n for _, n in runs])


def _from_json(content: dict[str, Any]) -> tuple[Series, tuple[str, ...]]:
    """A row as it was written until version 0.1."""
    series = Series(
        zone=content["zone"],
        signal=content["signal"],
        kind=content["kind"],
        issued_at=from_unix(content["issued_at"]),
        starts=np.array(content["starts"]),
        ends=np.array(content["ends"]),
        g_per_kwh=np.array(content["g_per_kwh"]),
        low=np.array(content["low"]),
        high=np.array(content["high"]),
        sources=np.array(content["sources"], dtype=np.str_),
        factors=content["factors"],
        flow=content["flow"],
    )
    return series, tuple(content["notes"])
