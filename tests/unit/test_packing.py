"""Series as bytes: the same digits come back, old rows stay readable, torn ones are named."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from providers.series import Series, empty
from scheduler.errors import DamagedRow
from scheduler.store.forecasts import same
from scheduler.store.packing import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT = datetime(2026, 3, 2, 8, 0, 0, 123457, tzinfo=UTC)
ZERO = AT.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()

# The same three hours as rows of each form, frozen: neither is ever written anew.
JSON_ROW = (
    b'x\x9c}Q\xd1n\xc3 \x0c\xfc\x15\xe4\xe7("\x84,\xeb\x9e\xb7\xaf\x98\xaa\x08'
    b"\x11BQ)\xae\x80\xac\xea\xa6\xfd\xfbb\xd2j\xd9\xa4\x8d\x17\xb8\xf3\xdd\xd9\x16\x1f"
    b"\x90\xb2\x8a9\xc1\x13{m\xfa^\xc8\xf6Qr^\xf3\x8a\x15$\x05\xdf\xa2\xbe\xd4"
    b"\xf6\x15\x03\x13\xc6o\xcf/U\xf7\xb0E;q\xf7\xd8\xe1l\xe2p\xbc\x1c\xc8\xd8"
    b"\xf2\xa6\xee*\xc6\xeb\x96\xff<\xb2bR\xac\x06\x8f\x17\x92\x8a]\x89\xfbWzp"
    b"v\x8dmx-\xfe\xca\xedn\x83$\x9c\xa36e~\x08&!,\xdc\xfd\xd6\xde"
    b"\x9dTF\x8f\xf6\n\xa4}\xc7`\x16!<\xbfP59\x1b\x94'\xac\xdeLT"
    b"\xd6\x10yta$j\xc2h\xb4J\x99\xb8I\xe9\x8c\x91Z\x80w\x93\xd1W\xed"
    b"\x8bvZw\x02\x8d!\xcd\xa7sv\x18\x88v)\xcdf\x1cT^j\x9bo\xa0"
    b"M `\xbe\xcd\xaa\x18\xbda\xff\xf9\x055Up["
)
ROW_1 = (
    b"\x01x\xf9=r\x86h\xa3$0H\xf4\xb1\xb9\x91\x89\xb1\x85\x89\x81\x81\x9e\x91)"
    b"\xb2\xd7\xe1\xc2\x06:`\x8e\x89\xa9\x19\x98c\x04\x0e\x13\x90\x809\xb2\xac\xa5\x11\x84"
    b"\x83\x1eNy\xa9\xc5\xf9J`M\xa8\xe1c\x88\x1c<J\x89\n \xa6\x12J0"
    b"A\xe2\x91\x94\xe4V\xcb\xc5`\xc2\xc0`\x8c@7\x8c\x19\x8a.\xbb:\xd8;\xa0"
    b"\x89+\xe0\x10O1f(\xbe\xec\t\x14\x07\x00W\xb3h\x14"
)


def _series(starts: list[float], ends: list[float], values: list[float], **fields: Any) -> Series:
    g = np.array(values, dtype=np.float64)
    base: dict[str, Any] = {
        "zone": "DE",
        "signal": "average",
        "kind": "forecast",
        "issued_at": AT,
        "starts": np.array(starts, dtype=np.float64),
        "ends": np.array(ends, dtype=np.float64),
        "g_per_kwh": g,
        "low": g,
        "high": g,
        "sources": np.array(["one"] * len(values), dtype=np.str_),
    }
    return Series(**(base | fields))


def _hours(values: list[float], **fields: Any) -> Series:
    starts = [ZERO + 3600.0 * n for n in range(len(values))]
    return _series(starts, [s + 3600 for s in starts], values, **fields)


def _comes_back(series: Series, notes: tuple[str, ...] = ()) -> bytes:
    packed = pack(series, notes)
    found, said = unpack(packed, "forecast", 7)
    assert same(found, series)
    assert (found.zone, found.issued_at, said) == (series.zone, series.issued_at, notes)
    return packed


def test_whole_numbers_and_a_band_come_back() -> None:
    value = np.array([100.0, 103.0, 90.0, 400.0])
    _comes_back(
        _hours(
            value.tolist(),
            low=value - 0.5,
            high=value + 12.125,
            sources=np.array(["one", "one", "two", "one"]),
            factors="lifecycle",
            flow="consumption",
            signal="marginal",
        ),
        ("climatology stands in", "ein Hinweis: µ–✓"),
    )


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0],
        [1e308, 5e-324, 0.1 + 0.2],
        [float(2**30), 1.0],
        [2.0**30 - 1, 0.0, 2.0**30 - 1],
        [-5.5, 5.5],
        [0.001, 0.0005],
        [127.0, 0.0, 128.0, 1e5],
    ],
)
def test_values_of_any_size_come_back(values: list[float]) -> None:
    _comes_back(_hours(values))


def test_an_infinite_bound_comes_back() -> None:
    _comes_back(_hours([1.0, 2.0], high=np.array([np.inf, 2.0])))


def test_times_of_any_kind_come_back() -> None:
    """Gaps, odd steps, ends that are no sum of start and step, and times before 1970."""
    _comes_back(
        _series([ZERO, ZERO + 7, ZERO + 3600], [ZERO + 7, ZERO + 100, ZERO + 7201], [1, 2, 3])
    )
    _comes_back(_series([0.1, 0.7], [0.3, 1e9 + 1 / 3], [1, 2]))
    _comes_back(_series([-7200.3, -3600.1, 0], [-3600.1, -0.7, 5], [1, 2, 3]))


def test_an_empty_series_comes_back() -> None:
    _comes_back(empty("FR", "average", "actual", AT), ("nothing",))


def test_a_regular_forecast_is_small() -> None:
    """Two days of half hours in whole numbers: less than two bytes a value, all told."""
    rng = np.random.default_rng(3)
    starts = ZERO + 1800.0 * np.arange(96)
    values = np.round(200 + np.cumsum(rng.normal(0, 8, 96)))
    series = _series(starts.tolist(), (starts + 1800).tolist(), values.tolist())
    assert len(_comes_back(series)) < 200


def _old(series: Series, notes: tuple[str, ...]) -> bytes:
    """A row as version 0.1 wrote it."""

    def plain(values: NDArray[Any]) -> list[Any]:
        return list(values.tolist())

    content = {
        "zone": series.zone,
        "signal": series.signal,
        "kind": series.kind,
        "factors": series.factors,
        "flow": series.flow,
        "issued_at": series.issued_at.timestamp(),
        "starts": plain(series.starts),
        "ends": plain(series.ends),
        "g_per_kwh": plain(series.g_per_kwh),
        "low": plain(series.low),
        "high": plain(series.high),
        "sources": plain(series.sources),
        "notes": list(notes),
    }
    return zlib.compress(json.dumps(content).encode())


def test_rows_of_version_0_1_stay_readable() -> None:
    value = np.array([100.25, 1 / 3])
    series = _hours(value.tolist(), low=value - 1, high=value + 1, factors="direct")
    found, notes = unpack(_old(series, ("a note",)), "forecast", 7)
    assert same(found, series)
    assert (found.zone, found.issued_at, notes) == ("DE", AT, ("a note",))


@pytest.mark.parametrize("row", [JSON_ROW, ROW_1], ids=["json", "1"])
def test_a_frozen_row_is_read_to_the_digit(row: bytes) -> None:
    found, notes = unpack(row, "forecast", 7)
    assert notes == ("a note",)
    assert found.starts.tolist() == [1772438400.0, 1772442000.0, 1772447400.0]
    assert found.ends.tolist() == [1772442000.0, 1772445600.0, 1772449200.0]
    assert found.g_per_kwh.tolist() == [301.5, 0.1 + 0.2, 42.0]
    assert found.low.tolist() == [290.0, 0.1 + 0.2, 42.0]
    assert found.high.tolist() == [310.25, 0.1 + 0.2, 50.0]
    assert found.sources.tolist() == ["neso", "neso", "climatology"]
    assert found.issued_at == datetime(2026, 3, 2, 8, 0, 0, 250000, tzinfo=UTC)
    assert (found.zone, found.signal, found.kind) == ("DE", "average", "forecast")
    assert (found.factors, found.flow) == ("lifecycle", "consumption")


def test_a_torn_row_is_an_error_that_names_it() -> None:
    series = replace(_hours([1.0, 2.0, 4.0]), issued_at=AT + timedelta(hours=1))
    whole = pack(series)
    old = _old(series, ())
    head = whole[:1]
    torn = [
        b"",
        head,
        whole[:-5],
        whole[: len(whole) // 2],
        old[:-5],
        b"\x07" + whole[1:],
        whole[:20] + bytes([whole[20] ^ 0xFF]) + whole[21:],
        head + zlib.compress(b""),
        head + zlib.compress(b"\x02\x00\x00\x00{}"),
        head + zlib.compress(b"\xff\x00\x00\x00{}"),
        zlib.compress(b"[]"),
        zlib.compress(b"{}"),
        zlib.compress(json.dumps(json.loads(zlib.decompress(old)) | {"low": [9, 9, 9]}).encode()),
        zlib.compress(json.dumps(json.loads(zlib.decompress(old)) | {"issued_at": 1e30}).encode()),
    ]
    for payload in torn:
        with pytest.raises(DamagedRow, match="forecast 7 of the database") as caught:
            unpack(payload, "forecast", 7)
        assert caught.value.exit_code == 5
        assert "\n" not in str(caught.value)
