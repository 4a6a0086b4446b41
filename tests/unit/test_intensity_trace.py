"""The trace source reads real files; faults are named with file and row."""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from providers.errors import BadData, NoData, SettingsError
from providers.intensity import trace
from providers.surroundings import Surroundings

if TYPE_CHECKING:
    from providers.series import Series

SHARED = Path(__file__).parents[2].parent / "shared" / "traces"
DAY = datetime(2026, 3, 2, tzinfo=UTC)
HEADER = "timestamp_utc,region,g_per_kwh"


def _minutes(*pairs: tuple[int, float], zone: str = "DE") -> list[str]:
    return [f"{(DAY + timedelta(minutes=m)).isoformat()},{zone},{value}" for m, value in pairs]


def _write(folder: Path, *rows: str, header: str = HEADER, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def _read(path: Path, zone: str = "DE", hours: float = 24, **settings: str) -> Series:
    source = trace.build({"path": path.name, **settings}, Surroundings.at(path.parent))
    return source.forecast(zone, DAY, DAY + timedelta(hours=hours), DAY)


def _spans(series: Series) -> list[tuple[float, float, float]]:
    """Minutes from, minutes to, value."""
    zero = DAY.timestamp()
    columns = (series.starts - zero) / 60, (series.ends - zero) / 60, series.g_per_kwh
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_a_regular_file_gives_its_steps_and_the_last_one_lasts_one_step(tmp_path: Path) -> None:
    series = _read(_write(tmp_path, *_minutes((0, 300), (30, 200), (60, 250))))
    assert _spans(series) == [(0, 30, 300), (30, 60, 200), (60, 90, 250)]
    assert series.source == "trace t.csv"
    assert series.kind == "forecast"
    assert series.issued_at == DAY


def test_a_hole_stays_a_hole(tmp_path: Path) -> None:
    rows = _minutes((0, 1), (60, 2), (120, 3), (360, 4), (420, 5))
    series = _read(_write(tmp_path, *rows))
    assert _spans(series)[2:4] == [(120, 180, 3), (360, 420, 4)]
    assert series.gaps(DAY.timestamp(), DAY.timestamp() + 8 * 3600) == [
        (DAY.timestamp() + 3 * 3600, DAY.timestamp() + 6 * 3600)
    ]


def test_a_lasting_change_of_step_is_no_hole(tmp_path: Path) -> None:
    at = [0, 15, 30, 45, 60, 75, 135, 195, 255]
    series = _read(_write(tmp_path, *_minutes(*((m, 100 + m) for m in at))))
    assert [(a, b) for a, b, _ in _spans(series)] == list(zip(at, [*at[1:], 315], strict=True))


def test_two_long_differences_are_holes_and_three_are_a_step(tmp_path: Path) -> None:
    two = _write(tmp_path, *_minutes(*((m, 1) for m in (0, 15, 30, 45, 60, 120, 180))), name="2")
    assert [b - a for a, b, _ in _spans(_read(two))] == [15] * 7
    three = [0, 15, 30, 45, 60, 120, 180, 240]
    path = _write(tmp_path, *_minutes(*((m, 1) for m in three)), name="3")
    assert [b - a for a, b, _ in _spans(_read(path))] == [15] * 4 + [60] * 4


def test_a_file_that_begins_with_a_hole_takes_the_step_that_follows(tmp_path: Path) -> None:
    series = _read(_write(tmp_path, *_minutes((0, 1), (240, 2), (300, 3), (360, 4))))
    assert _spans(series)[0] == (0, 60, 1)


def test_one_row_lasts_the_usual_step_of_the_file(tmp_path: Path) -> None:
    others = _minutes((0, 1), (30, 1), (60, 1), (120, 1), zone="FR")
    series = _read(_write(tmp_path, *others, *_minutes((0, 9))))
    assert _spans(series) == [(0, 30, 9)]


def test_one_row_alone_has_no_step_and_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, *_minutes((0, 9)), *_minutes((0, 8), zone="FR"))
    with pytest.raises(BadData, match=r"t\.csv has one row for DE: its step cannot be told"):
        _read(path)


def test_times_with_z_an_offset_or_none_mean_the_same_moment(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "2026-03-02T00:00:00Z,DE,1",
        "2026-03-02T02:00:00+01:00,DE,2",
        "2026-03-02 02:00,DE,3",
    )
    assert _spans(_read(path)) == [(0, 60, 1), (60, 120, 2), (120, 180, 3)]


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        "0,100,DE,2026-03-02T00:00Z",
        "1,200,DE,2026-03-02T01:00Z",
        header="estimated, g_per_kwh, region, timestamp_utc",
    )
    assert _spans(_read(path)) == [(0, 60, 100), (60, 120, 200)]


def test_compressed_and_marked_files_read_the_same(tmp_path: Path) -> None:
    plain = _write(tmp_path, *_minutes((0, 1), (60, 2)))
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes()))
    assert _spans(_read(packed)) == _spans(_read(plain))


def test_zones_may_be_mixed_row_by_row(tmp_path: Path) -> None:
    de, fr = _minutes((0, 1), (60, 2)), _minutes((0, 8), (60, 9), zone="FR")
    path = _write(tmp_path, de[0], fr[0], de[1], fr[1])
    assert _spans(_read(path, "FR")) == [(0, 60, 8), (60, 120, 9)]
    assert trace.build({"path": "t.csv"}, Surroundings.at(tmp_path)).zones() == frozenset(
        {"DE", "FR"}
    )


def test_actuals_are_the_same_values_told_as_actual(tmp_path: Path) -> None:
    path = _write(tmp_path, *_minutes((0, 1), (60, 2)))
    source = trace.build({"path": path.name}, Surroundings.at(tmp_path))
    actual = source.actual("DE", DAY, DAY + timedelta(hours=2))
    assert (actual.kind, _spans(actual)) == ("actual", _spans(_read(path)))


def test_settings_say_what_the_figures_are(tmp_path: Path) -> None:
    path = _write(tmp_path, *_minutes((0, 1), (60, 2)))
    series = _read(path, source="NESO 2026", signal="marginal", factors="direct", flow="production")
    assert (series.signal, series.factors, series.flow) == ("marginal", "direct", "production")
    assert series.source == "NESO 2026"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = _write(tmp_path, *_minutes((0, 1), (60, 2)))
    source = trace.build({"path": path.name}, Surroundings.at(tmp_path))
    hour = (DAY, DAY + timedelta(hours=1))
    assert source.actual("DE", *hour).g_per_kwh.tolist() == [1]
    _write(tmp_path, *_minutes((0, 5), (60, 2)))
    os.utime(path, ns=(1, 1))
    assert source.actual("DE", *hour).g_per_kwh.tolist() == [5]


T0, T1 = "2026-03-02T00:00Z,DE,1", "2026-03-02T01:00Z,DE,2"


def test_rows_out_of_order_are_sorted_and_said(tmp_path: Path) -> None:
    """As portals write them: the newest first, or one day after another mixed up."""
    rows = [f"2026-03-02T{hour:02}:00Z,{zone},{hour}" for hour in range(6) for zone in ("DE", "FR")]
    path = _write(tmp_path, *rows)
    straight = trace.build({"path": path.name}, Surroundings.at(tmp_path))
    for mixed in (rows[::-1], rows[4:] + rows[:4], sorted(rows, key=lambda r: (int(r[-1]) % 2, r))):
        _write(tmp_path, *mixed, name="mixed.csv")
        source = trace.build({"path": "mixed.csv"}, Surroundings.at(tmp_path))
        for zone in ("DE", "FR"):
            whole, before = source.whole(zone), straight.whole(zone)
            assert whole.starts.tolist() == before.starts.tolist()
            assert whole.ends.tolist() == before.ends.tolist()
            assert whole.g_per_kwh.tolist() == before.g_per_kwh.tolist()
            (said,) = source.notes(zone)
            assert "rows were not in order of time: the rows are sorted by it" in said
            assert not straight.notes(zone)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([T0, "2026-03-02T01:00Z,DE,many"], "row 3: g_per_kwh 'many'"),
        ([T0, "2026-03-02T01:00Z,DE,"], "row 3: g_per_kwh ''"),
        ([T0, "2026-03-02T01:00Z,DE,nan"], "row 3: g_per_kwh 'nan'"),
        ([T0, "2026-03-02T01:00Z,DE,inf"], "row 3: g_per_kwh 'inf'"),
        ([T0, "2026-03-02T01:00Z,DE,-1"], "row 3: g_per_kwh '-1'"),
        ([T0, "2026-03-02T01:00Z,DE,455000"], r"row 3: .*'455000'.*0 to 2000 g/kWh.*like g/MWh"),
        ([T0, "2026-03-02T01:00Z,DE,99999"], "row 3: .*'99999'.*0 to 2000.*divided by 1000"),
        ([T0, "2026-03-02T01:00Z,DE,1e9"], r"row 3: .*'1e9'.*\(from 0 to 2000 g/kWh\)$"),
        ([T0, "1970-01-02T01:00Z,DE,1"], "row 3: '1970-01-02T01:00Z' is outside 1973 to 2286"),
        ([T0, "yesterday,DE,1"], "row 3: 'yesterday' is no ISO 8601 time"),
        ([T0, T1, T1], "row 4: .* repeats row 3"),
        ([T1, "2026-03-02T00:30Z,FR,1", T0, T1], "row 5: .* repeats row 2"),
        ([T0, "2026-03-02T01:00Z,DE"], "row 3: 2 columns, too few"),
        ([], "a header and no rows"),
    ],
    ids=[
        "no number",
        "empty number",
        "not a number",
        "infinite",
        "negative",
        "grams a megawatt hour",
        "too many",
        "far too many",
        "before there were data",
        "no time",
        "twice",
        "twice and unsorted",
        "short row",
        "no rows",
    ],
)
def test_a_fault_is_one_line_with_file_and_row(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(BadData, match=rf"trace t\.csv.*{said}") as raised:
        _read(_write(tmp_path, *rows))
    assert "\n" not in str(raised.value)


def test_an_empty_line_is_passed_over(tmp_path: Path) -> None:
    assert len(_read(_write(tmp_path, T0, "", T1))) == 2


def test_an_empty_file_a_missing_column_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "none.csv").touch()
    with pytest.raises(BadData, match=r"none\.csv is empty \(0 bytes\)"):
        _read(tmp_path / "none.csv")
    with pytest.raises(BadData, match="has no column region, g_per_kwh: its header is 'timestamp"):
        _read(_write(tmp_path, "x", header="timestamp_utc"))
    with pytest.raises(BadData, match=r"absent\.csv cannot be read"):
        _read(tmp_path / "absent.csv")


@pytest.mark.parametrize("cut", [5, 20, -4])
def test_a_damaged_archive_is_bad_data(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress("\n".join((HEADER, T0, T1)).encode())[:cut])
    with pytest.raises(BadData, match="cannot be read"):
        _read(path)


def test_scrambled_bytes_in_an_archive_and_in_text_are_bad_data(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress("\n".join((HEADER, T0, T1)).encode()))
    raw[12:20] = b"\xff" * 8
    (tmp_path / "a.csv").write_bytes(raw)
    (tmp_path / "b.csv").write_bytes(HEADER.encode() + b"\n\xff\xfe,DE,1\n")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(BadData, match="cannot be read"):
            _read(tmp_path / name)


def test_a_fault_in_one_zone_leaves_the_others_usable(tmp_path: Path) -> None:
    path = _write(tmp_path, T0, T1, "2026-03-02T00:00Z,FR,x")
    assert len(_read(path)) == 2


def test_an_unknown_zone_is_answered_with_the_nearest_ones(tmp_path: Path) -> None:
    zones = ["SE-SE1", "SE-SE2", "SE-SE3", "SE-SE4", "FR", "GB"]
    rows = [row for zone in zones for row in _minutes((0, 1), (60, 2), zone=zone)]
    path = _write(tmp_path, *rows)
    with pytest.raises(NoData, match=r"has no zone SE-SE: it has SE-SE\d.* and 1 more"):
        _read(path, "SE-SE")


def test_a_time_outside_the_file_is_no_data_and_names_what_it_covers(tmp_path: Path) -> None:
    source = trace.build({"path": _write(tmp_path, T0, T1).name}, Surroundings.at(tmp_path))
    late = DAY + timedelta(days=1)
    with pytest.raises(NoData, match="from 2026-03-02T00:00Z to 2026-03-02T02:00Z, and has noth"):
        source.forecast("DE", late, late + timedelta(hours=1), late)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "path"),
        ({"path": "x", "pth": "y"}, "did you mean 'path'"),
        ({"path": "x", "signal": "mean"}, "signal"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        trace.build(settings, Surroundings.at(Path()))
    assert raised.value.exit_code == 3


def test_a_year_of_sixty_zones_reads_as_the_file_says() -> None:
    path = SHARED / "em-2022.csv.gz"
    if not path.exists():
        pytest.skip("no em-2022.csv.gz in the shared folder beside the repository")
    source = trace.build({"path": path.name}, Surroundings.at(SHARED))
    start, end = datetime(2022, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    expected: dict[str, list[float]] = defaultdict(list)
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            if row["region"] in {"DE", "US-CAL-CISO"}:
                expected[row["region"]].append(float(row["g_per_kwh"]))
    for zone, values in expected.items():
        series = source.actual(zone, start, end)
        assert series.gaps(start.timestamp(), end.timestamp()) == []
        assert np.array_equal(series.g_per_kwh, values)


def test_a_file_may_say_when_its_periods_end(tmp_path: Path) -> None:
    rows = [
        f"{start},{end}"
        for start, end in zip(
            _minutes((0, 1), (30, 2), (60, 3)),
            ((DAY + timedelta(minutes=m)).isoformat() for m in (20, 60, 67)),
            strict=True,
        )
    ]
    series = _read(_write(tmp_path, *rows, header=f"{HEADER},ends_utc"))
    assert _spans(series) == [(0, 20, 1), (30, 60, 2), (60, 67, 3)]
    one = _read(_write(tmp_path, rows[0], header=f"{HEADER},ends_utc", name="one.csv"))
    assert _spans(one) == [(0, 20, 1)], "a single row is enough"


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (("00:00", "02:00"), "row 2: ends_utc"),
        (("01:30", "02:00"), "row 2: ends_utc"),
        (("01:00", "00:30"), "row 3: ends_utc"),
        (("01:00", "later"), "row 3: '2026-03-02Tlater' is no ISO 8601 time"),
    ],
)
def test_a_wrong_end_is_named_with_its_row(
    tmp_path: Path, ends: tuple[str, str], said: str
) -> None:
    told = zip(_minutes((0, 1), (60, 2)), ends, strict=True)
    path = _write(tmp_path, *(f"{r},2026-03-02T{e}" for r, e in told), header=f"{HEADER},ends_utc")
    with pytest.raises(BadData, match=said):
        _read(path)


def _stating(folder: Path, *facts: str) -> Path:
    rows = [f"2026-01-01T{h:02}:00Z,DE,{h},{fact}" for h, fact in enumerate(facts)]
    path = folder / "stating.csv"
    path.write_text("\n".join(("timestamp_utc,region,g_per_kwh,signal,factors", *rows)))
    return path


def test_a_file_may_say_what_its_figures_are(tmp_path: Path) -> None:
    path = _stating(tmp_path, "marginal,direct", "marginal,direct")
    series = trace.build({"path": path.name}, Surroundings.at(tmp_path)).whole("DE")
    assert (series.signal, series.factors, series.flow) == ("marginal", "direct", None)


@pytest.mark.parametrize(
    ("facts", "settings", "said"),
    [
        (("marginal,", "marginal,"), {"signal": "average"}, "its signal is marginal, not average"),
        (("marginal,", "average,"), {}, "more than one signal, average and marginal"),
        (("average,direct", "average,"), {}, "more than one factors, direct and none"),
        (("avreage,", "avreage,"), {}, "signal 'avreage' is none of average, marginal"),
    ],
)
def test_a_file_that_says_otherwise_is_refused(
    tmp_path: Path, facts: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    path = _stating(tmp_path, *facts)
    with pytest.raises(BadData, match=said):
        trace.build({"path": path.name, **settings}, Surroundings.at(tmp_path)).whole("DE")
