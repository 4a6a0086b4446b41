"""`lowtide history`: recorded values come in once, whole, and go out as they came."""

from __future__ import annotations

import csv
import gzip
import io
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = "timestamp_utc,region,g_per_kwh"


def _file(folder: Path, *rows: str, name: str = "de-2026.csv", header: str = HEADER) -> Path:
    path = folder / name
    text = "\n".join((header, *rows)) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def _two_zones(folder: Path, **named: str) -> Path:
    rows = [
        f"2026-01-01T{h:02}:00Z,{zone},{base + h / 8}"
        for h in range(24)
        for zone, base in (("DE", 300), ("FR", 50))
    ]
    return _file(folder, *rows, **named)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _payloads(home: Path) -> list[Any]:
    with closing(sqlite3.connect(home / "lowtide.db")) as raw:
        return raw.execute("SELECT * FROM actual ORDER BY id").fetchall()


def test_what_is_imported_is_listed_and_once_more_is_without_effect(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(_two_zones(tmp_path, name="entsoe.csv.gz"))
    assert "no history yet" in lowtide("history").out
    first = lowtide("history", "import", path, "--factors", "lifecycle")
    assert first.code == 0, first.err
    assert "DE from entsoe: 24 new, 0 changed, 0 the same" in first.out
    again = lowtide("history", "import", path, "--factors", "lifecycle", "--json").json
    assert again == {
        "schema_version": 1,
        "source": "entsoe",
        "zones": [
            {"zone": zone, "new": 0, "changed": 0, "same": 24} for zone in ("DE", "FR")
        ],
    }  # fmt: skip
    assert len(_payloads(tmp_path / "home")) == 2
    document = lowtide("history", "list", "--json").json
    assert document["schema_version"] == 1
    assert document["history"][0] == {
        "zone": "DE", "source": "entsoe", "signal": "average",
        "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "hours": 24.0,
    }  # fmt: skip
    assert lowtide("history").out == lowtide("history", "list").out
    assert "2026-01-01 00:00" in lowtide("history").out


def test_a_revision_is_counted_and_what_was_told_before_is_kept(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    hours = [f"2026-01-01T0{h}:00Z,DE" for h in range(3)]
    old = _file(tmp_path, *(f"{at},{v}" for at, v in zip(hours, (1, 2, 3), strict=True)))
    lowtide("history", "import", str(old), "--source", "me")
    new = _file(tmp_path, *(f"{at},{v}" for at, v in zip(hours, (1, 9, 3), strict=True)))
    told = lowtide("history", "import", str(new), "--source", "me", "--json").json["zones"]
    assert told == [{"zone": "DE", "new": 0, "changed": 1, "same": 2}]
    out = _rows(lowtide("history", "export").out)
    assert [float(row["g_per_kwh"]) for row in out] == [1, 9, 3]
    every = _rows(lowtide("history", "export", "--all-vintages").out)
    assert [float(row["g_per_kwh"]) for row in every] == [1, 2, 3, 1, 9, 3]
    assert len({row["vintage_utc"] for row in every}) == 2
    assert {row["source"] for row in every} == {"me"}


def test_what_is_exported_is_imported_as_it_was(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    """Odd steps, a hole, an interval across midnight, digits that no decimal ends."""
    rows = (
        "2026-01-01T22:30:00Z,DE,0.1,2026-01-01T23:00:00Z",
        "2026-01-01T23:00:00Z,DE,333.3333333333333,2026-01-02T01:00:00Z",
        "2026-01-02T05:00:00.250000Z,DE,7,2026-01-02T05:07:00Z",
        "2026-01-02T05:00:00Z,FR,1e-7,2026-01-02T06:00:00Z",
    )
    path = _file(tmp_path, *rows, header=f"{HEADER},ends_utc")
    assert lowtide("history", "import", str(path), "--signal", "marginal").code == 0
    out = tmp_path / "out.csv"
    assert lowtide("history", "export", "--out", str(out)).out == ""
    text = out.read_text()
    assert text == lowtide("history", "export").out
    first = _rows(text)[0]
    assert (first["signal"], first["factors"], first["kind"]) == ("marginal", "", "actual")
    assert lowtide(
        "history", "import", str(out), "--source", "again", "--signal", "marginal"
    ).code == 0  # fmt: skip
    named = ("timestamp_utc", "region", "g_per_kwh", "ends_utc", "signal", "kind")
    one, two = (
        [[row[n] for n in named] for row in _rows(lowtide("history", "export", "--source", s).out)]
        for s in ("de-2026", "again")
    )
    assert one == two
    assert len(one) == 5, "the interval across midnight is one of each day"
    told = lowtide("history", "import", str(out), "--source", "de-2026", "--signal", "marginal")
    assert "DE from de-2026: 0 new, 0 changed, 4 the same" in told.out


def test_an_export_is_of_the_zones_and_times_asked_for(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    lowtide("history", "import", str(_two_zones(tmp_path)), "--zone", "FR")
    assert [row["zone"] for row in lowtide("history", "list", "--json").json["history"]] == ["FR"]
    span = ("--from", "2026-01-01T03:00+01:00", "--to", "2026-01-01T04:30Z")
    rows = _rows(lowtide("history", "export", "--zone", "FR", *span).out)
    assert [row["timestamp_utc"][11:16] for row in rows] == ["02:00", "03:00", "04:00"]
    assert rows[-1]["ends_utc"] == "2026-01-01T04:30:00Z"


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("import", "absent.csv"), 4, "absent.csv"),
        (("import", "de-2026.csv", "--zone", "DEE"), 4, "no zone DEE"),
        (("import", "torn.csv"), 4, "row 49"),
        (("import", "torn.csv.gz"), 4, "cannot be read"),
        (("import", "ends.csv"), 4, "row 2"),
        (("import", "de-2026.csv", "--source", " "), 2, "--source"),
        (("import", "de-2026.csv", "--signal", "mean"), 2, "marginal"),
        (("import",), 2, "FILE"),
        (("export", "--zone", "XX"), 2, "nothing is stored of XX"),
        (("export", "--source", "nobody"), 2, "nothing is stored"),
        (("export", "--from", "soon"), 2, "--from"),
        (("export", "--to", "2026-13-01T00:00"), 2, "is not a time"),
        (("export", "--from", "2026-01-02T00:00Z", "--to", "2026-01-01T00:00Z"), 2, "not before"),
        (("export", "--from", "2027-01-01T00:00Z"), 2, "nothing is stored"),
        (("export", "--out", "no/such/folder.csv"), 2, "cannot be written"),
        (("exprot",), 2, "exprot"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    lowtide: Callable[..., Any], tmp_path: Path, argv: tuple[str, ...], code: int, said: str
) -> None:
    path = _two_zones(tmp_path)
    assert lowtide("history", "import", str(path)).code == 0
    before = _payloads(tmp_path / "home")
    # DE could be stored; FR ends in a fault.
    lines = path.read_text().replace(",DE,", ",AT,").splitlines()
    _file(tmp_path, *lines[1:-1], "2026-01-01T23:00Z,FR,x", name="torn.csv")
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(path.read_bytes())[:-40])
    ends = "2026-01-01T00:00Z,DE,1,2026-01-01T00:00Z"
    _file(tmp_path, ends, name="ends.csv", header=f"{HEADER},ends_utc")
    result = lowtide("history", *argv)
    assert result.code == code, result
    (line,) = [line for line in result.err.splitlines() if line]
    assert said in line
    assert result.out == ""
    assert _payloads(tmp_path / "home") == before


def test_a_file_with_two_sources_is_refused_as_it_stands(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(_two_zones(tmp_path))
    for name in ("a", "b"):
        lowtide("history", "import", path, "--source", name)
    lowtide("history", "export", "--out", "both.csv")
    result = lowtide("history", "import", "both.csv", "--source", "c")
    assert result.code == 4
    assert "repeats row" in result.err


@pytest.mark.parametrize("name", ["list", "import", "export"])
def test_help_has_an_example(lowtide: Callable[..., Any], name: str) -> None:
    assert "Example: lowtide history" in lowtide("history", name, "-h").out


PORTAL = (
    "Datetime (UTC),Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Data estimated\n"
    "2021-01-01 00:00:00,Sweden,SE,2.5,30,true\n"
    "2021-01-01 01:00:00,Sweden,SE,2.6,31,false\n"
    "2021-01-01 02:00:00,Sweden,SE,,,\n"
    "2021-01-01 03:00:00,Sweden,SE,2.7,32,false\n"
)
NESO = "datetime,actual,forecast,index\n2023-09-26T00:00Z,100,98,moderate\n"
OTHER = '"Time, UTC",What,Where\n2026-01-01 00:00,100,DE\n2026-01-01 01:00,90,DE\n'


@pytest.mark.parametrize(
    ("text", "options", "zone", "values", "facts"),
    [
        (PORTAL, ("--factors", "direct"), "SE", [2.5, 2.6, 2.7], ("direct", "consumption")),
        (PORTAL, ("--factors", "lifecycle"), "SE", [30, 31, 32], ("lifecycle", "consumption")),
        (NESO, ("--kind", "actual"), "GB", [100], ("direct", "consumption")),
        (
            OTHER,
            ("--columns", 'value=What,region=Where,"time=Time, UTC"'),
            "DE",
            [100, 90],
            ("", ""),
        ),
        (
            OTHER,
            ("--columns", 'value=What,"time=Time, UTC"', "--zone", "PL"),
            "PL",
            [100, 90],
            ("", ""),
        ),
    ],
)
def test_what_people_download_goes_in_as_it_is(
    lowtide: Callable[..., Any],
    tmp_path: Path,
    text: str,
    options: tuple[str, ...],
    zone: str,
    values: list[float],
    facts: tuple[str, str],
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    result = lowtide("history", "import", str(path), *options)
    assert result.code == 0, result.err
    rows = _rows(lowtide("history", "export").out)
    assert [float(row["g_per_kwh"]) for row in rows] == values
    assert {(row["region"], row["kind"]) for row in rows} == {(zone, "actual")}
    assert {(row["factors"], row["flow"]) for row in rows} == {facts}
    if text is PORTAL:
        assert "SE: rows without a value, which are gaps: 1" in result.err
        assert "SE: 1 of 3 values are estimates" in result.err


def test_forecasts_are_stored_as_estimates(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    path = _file(tmp_path, *NESO.splitlines()[1:], header=NESO.splitlines()[0])
    assert lowtide("history", "import", str(path), "--kind", "forecast").code == 0
    (row,) = _rows(lowtide("history", "export").out)
    assert (row["kind"], float(row["g_per_kwh"])) == ("estimate", 98)


@pytest.mark.parametrize(
    ("text", "options", "code", "said"),
    [
        (PORTAL, (), 2, "--factors direct or --factors lifecycle"),
        (NESO, (), 2, "--kind actual or --kind forecast"),
        (OTHER, (), 4, "--columns time=...,value=...,region=..."),
        (OTHER, ("--columns", "What"), 2, "--columns 'What' is not understood"),
        (OTHER, ("--columns", "when=What"), 2, "name time, value, region, ends"),
        (OTHER, ("--columns", "time=,value=What"), 2, "is not understood"),
        (OTHER, ("--columns", "time=Then,value=What"), 2, "no column Then, region"),
        (f"{HEADER}\n2026-01-01T00:00Z,DE,455000\n", (), 4, "row 2: g_per_kwh '455000'"),
        (f"{HEADER}\n2026-01-01T00:00Z,DE,99999\n", (), 4, "from 0 to 2000 g/kWh"),
        (f"{HEADER}\n2026-01-01T00:00Z,DE,1e9\n", (), 4, "row 2: g_per_kwh '1e9'"),
    ],
)
def test_what_is_unclear_or_impossible_is_one_line_and_stores_nothing(
    lowtide: Callable[..., Any],
    tmp_path: Path,
    text: str,
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text, encoding="utf-8")
    result = lowtide("history", "import", str(path), *options)
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert said in line
    assert lowtide("history", "list", "--json").json["history"] == []


def test_stamps_that_jitter_are_stored_on_round_times_and_it_is_said(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    path = _file(tmp_path, *(f"2026-01-01T{h:02}:00:0{h % 3}Z,DE,{h}" for h in range(24)))
    result = lowtide("history", "import", str(path), "--json")
    (note,) = result.json["notes"]
    assert note == (
        "DE: 16 of 24 time stamps lie beside round times and are moved to them, by 2 s at most"
    )
    assert note in result.err
    (stored,) = lowtide("history", "list", "--json").json["history"]
    assert (stored["from"], stored["hours"]) == ("2026-01-01T00:00:00Z", 24)


@pytest.mark.parametrize("days", [60, 20])
def test_a_plan_learned_from_history_has_a_calibrated_band(
    lowtide: Callable[..., Any], tmp_path: Path, days: int
) -> None:
    """Four weeks of errors are needed, and the first week of a history tells none."""
    (tmp_path / "config.yaml").write_text(
        "providers: [forecaster, climatology]\nregions: {local: {zone: DE}}\n"
    )
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    noise = np.random.default_rng(1).normal(0, 20, days * 24)
    rows = [
        f"{now - timedelta(hours=days * 24 - h):%Y-%m-%dT%H:%MZ},DE,"
        f"{400 + 90 * np.cos(h / 24 * 2 * np.pi) + noise[h]:.1f}"
        for h in range(days * 24)
    ]
    done = lowtide("history", "import", str(_file(tmp_path, *rows)))
    assert done.code == 0, done.err
    asked = ("plan", "--duration", "4h", "--deadline", "24h", "--power", "1kW", "--alone")
    plan = lowtide(*asked, "--json").json["plan"]
    text = lowtide(*asked).out
    if days == 20:
        assert plan["band_percent"] is None
        assert "too few errors" in plan["null_reasons"]["band_percent"]
        assert "band not calibrated: too few errors" in text
        return
    assert plan["band_percent"] == 80
    low, value, high = (plan["g_per_kwh"][end] for end in ("low", "value", "high"))
    assert f"band {low:.0f} to {high:.0f} g/kWh, as in 80 % of such runs" in text
    # The noise of four hours evens out: half of 20 g/kWh to either side, times 1.28.
    assert 6 < value - low < 26
    assert 6 < high - value < 26
    assert plan["expected_g"]["low"] == pytest.approx(4 * low)
