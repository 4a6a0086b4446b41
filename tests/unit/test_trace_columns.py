"""Recorded values from portals and with columns of any name."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.errors import BadData, SettingsError
from providers.intensity import trace
from providers.series import from_unix
from providers.surroundings import Surroundings

# Electricity Maps' portal in 2025, and in 2022 and 2023 with other capitals and "LCA".
PORTAL = """\
Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),Carbon intensity \
gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%),Data source,Data estimated
2021-01-01 00:00:00,Sweden,Sweden,SE,2.54,30.02,99.42,svk.se,true
2021-01-01 01:00:00,Sweden,Sweden,SE,2.6,30.32,99.4,svk.se,false
2021-01-01 02:00:00,Sweden,Sweden,SE,,,,,
2021-01-01 03:00:00,Sweden,Sweden,SE,2.7,30.5,99.4,svk.se,false
"""
OLDER = """\
Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity \
gCO₂eq/kWh (LCA),Low Carbon Percentage
2021-01-01 00:00:00,Sweden,Sweden,SE,2.54,30.02,99.42
2021-01-01 01:00:00,Sweden,Sweden,SE,2.6,30.32,99.4
"""
NESO = """\
datetime,actual,forecast,index
2023-09-26T00:00Z,100,98,moderate
2023-09-26T00:30Z,110,97,moderate
2023-09-26T01:00Z,,96,moderate
"""
OTHER = """\
Date;Zone;CO2 g/kWh;Note
2023-09-26 00:00;X;100;a
2023-09-26 01:00;X;;b
2023-09-26 02:00;X;120;c
"""


def _trace(folder: Path, text: str, **settings: Any) -> trace.Trace:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return trace.build({"path": "t.csv", **settings}, Surroundings.at(folder))


@pytest.mark.parametrize(
    ("text", "factors", "values"),
    [
        (PORTAL, "direct", [2.54, 2.6, 2.7]),
        (PORTAL, "lifecycle", [30.02, 30.32, 30.5]),
        (OLDER, "direct", [2.54, 2.6]),
        (OLDER, "lifecycle", [30.02, 30.32]),
    ],
)
def test_the_portal_of_electricity_maps(
    tmp_path: Path, text: str, factors: str, values: list[float]
) -> None:
    source = _trace(tmp_path, text, factors=factors)
    series = source.whole("SE")
    assert series.g_per_kwh.tolist() == values
    assert (series.factors, series.flow, series.signal) == (factors, "consumption", "average")
    assert from_unix(series.starts[0]) == datetime(2021, 1, 1, tzinfo=UTC)
    if text is PORTAL:
        assert source.notes("SE") == (
            "SE: rows without a value, which are gaps: 1",
            "SE: 1 of 3 values are estimates, says the file",
        )
        gaps = series.gaps(series.starts[0], series.ends[-1])
        assert [(b - a) / 3600 for a, b in gaps] == [1.0]


@pytest.mark.parametrize(
    ("kind", "values"), [("actual", [100.0, 110.0]), ("forecast", [98.0, 97.0, 96.0])]
)
def test_the_portal_of_neso(tmp_path: Path, kind: str, values: list[float]) -> None:
    series = _trace(tmp_path, NESO, kind=kind).whole("GB")
    assert series.g_per_kwh.tolist() == values
    assert (series.factors, series.flow) == ("direct", "consumption")


def test_a_single_half_hour_of_neso_lasts_one(tmp_path: Path) -> None:
    series = _trace(tmp_path, "\n".join(NESO.splitlines()[:2]), kind="actual").whole("GB")
    assert (series.ends - series.starts).tolist() == [1800.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PORTAL, "has direct and lifecycle values: say which with factors .*--factors direct or"),
        (NESO, "has actual and forecast values: say which with kind .*--kind actual or --kind"),
    ],
)
def test_where_there_are_two_the_user_chooses(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        _trace(tmp_path, text).zones()
    assert "\n" not in str(raised.value)


def test_where_there_is_one_it_is_taken(tmp_path: Path) -> None:
    text = NESO.replace("actual,forecast", "actual,prediction")
    assert len(_trace(tmp_path, text).whole("GB")) == 2
    with pytest.raises(SettingsError, match="has no forecast values: it has actual"):
        _trace(tmp_path, text, kind="forecast").zones()


def test_factors_that_the_portal_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="its factors is direct, not lifecycle"):
        _trace(tmp_path, NESO, kind="actual", factors="lifecycle").zones()


def test_any_other_file_by_the_names_of_its_columns(tmp_path: Path) -> None:
    """Separated by semicolons, with a blank for what is unknown."""
    columns = {"time": "Date", "value": "CO2 g/kWh", "region": "Zone"}
    source = _trace(tmp_path, OTHER, columns=columns)
    assert source.in_order() == ("X",)
    assert source.whole("X").g_per_kwh.tolist() == [100, 120]
    assert "X: times without an offset are read as UTC" in source.notes("X")
    named = _trace(tmp_path, OTHER, columns={k: columns[k] for k in ("time", "value")}, zone="DE")
    assert named.whole("DE").g_per_kwh.tolist() == [100, 120]


def test_only_what_is_called_otherwise_needs_a_name(tmp_path: Path) -> None:
    text = "timestamp_utc,region,g_per_kwh,direct\n2026-01-01T00:00Z,DE,1,5\n"
    text += "2026-01-01T01:00Z,DE,2,6\n"
    series = _trace(tmp_path, text, columns={"value": "direct"}).whole("DE")
    assert series.g_per_kwh.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "has no column timestamp_utc, region, g_per_kwh: .*--columns time=.*"),
        ({"columns": {"time": "When", "value": "CO2 g/kWh", "region": "Zone"}}, "no column When"),
        ({"columns": {"time": "Date", "value": "CO2 g/kWh"}}, "or name the zone of all rows"),
        ({"columns": {"day": "Date"}}, "Input should be 'time', 'value', 'region' or 'ends'"),
    ],
)
def test_a_name_that_is_missing_is_said(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((BadData, SettingsError), match=said):
        _trace(tmp_path, OTHER, **settings).zones()
