"""Regions side by side: whether place beats time, and what may not be told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.series import Series
from scheduler import config
from scheduler.comparison import Comparison, Spot
from scheduler.engine import Context, submission
from scheduler.engine.compare import compare
from scheduler.engine.request import Request
from scheduler.report import places
from scheduler.testing import FakeProvider

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
# DE falls to half in its fourth hour.
DE = [100.0, 100, 100, 50, *[100.0] * 44]
SETTINGS = """
providers: [fake]
currency: CHF
regions:
  local: {zone: DE}
  lab: {zone: FR, price: {per_slot_hour: 2}}
  far: {zone: SE, lat: 59.3, lon: 18.1, country: SE, place: Stockholm}
"""
LIFECYCLE = {"factors": "lifecycle", "flow": "consumption"}
DIRECT = {"factors": "direct", "flow": "production"}


@dataclass
class Footed(FakeProvider):
    """Values on a basis of each zone's own."""

    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def _series(self, zone: str, start: datetime, end: datetime, now: datetime) -> Series:
        found = super()._series(zone, start, end, now)
        return replace(found, **(LIFECYCLE | self.told.get(zone, {})))


Compare = Callable[..., Comparison]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Compare]:
    """Compare regions of given intensities for a job of 1 h and 1 kW that may wait for 8 h."""
    opened: list[Context] = []

    def compare_them(
        *names: str,
        fr: list[float] | None = None,
        se: list[float] | None = None,
        told: dict[str, dict[str, Any]] | None = None,
        settings: str = SETTINGS,
        near: Spot | None = None,
        **fields: Any,
    ) -> Comparison:
        (tmp_path / "config.yaml").write_text(settings)
        loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
        hourly = {"DE": DE, "FR": fr or [20.0] * 48, "SE": se or [90.0] * 48}
        fake = Footed(NOW, hourly, told=told or {})
        ctx = Context.open(loaded, NOW, sources={"fake": fake})
        opened.append(ctx)
        given = {"duration": "1h", "deadline": "9h", "power": "1kW", "region": names} | fields
        request = Request(argv=("true",), **given)
        spec = submission.to_spec(request, loaded, NOW, "me", Path("/"), need_duration=True)
        return compare(ctx, spec, NOW, near)

    yield compare_them
    for ctx in opened:
        ctx.close()


def test_place_beats_time_where_the_move_saves_more(look: Compare) -> None:
    found = look("local", "lab", "far")
    assert [row.name for row in found.rows] == ["lab", "local", "far"]
    told = found.place_or_time
    assert (told.verdict, told.best_region, told.home) == ("place", "lab", "local")
    # Both places have a PUE: the lab's is not declared and taken as 1.34, home's is 1.
    assert told.move_percent == pytest.approx(100 - 20 * 1.34)
    assert told.wait_percent == pytest.approx(50)
    assert told.both_percent == pytest.approx(told.move_percent)
    said = places.verdict(told)
    assert said.startswith("Place beats time: moving to lab saves 73 %, waiting in local up to 8h")


def test_time_beats_place_and_both_together_may_beat_either(look: Compare) -> None:
    told = look("local", "far", se=[60.0, 60, 30, *[60.0] * 45]).place_or_time
    assert told.verdict == "time"
    assert told.move_percent == pytest.approx(100 - 60 * 1.34)
    assert told.both_percent == pytest.approx(100 - 30 * 1.34)
    assert places.verdict(told).startswith("Time beats place: waiting in local")


def test_a_worse_place_is_said_to_be_worse(look: Compare) -> None:
    told = look("far", se=[200.0] * 48).place_or_time
    assert told.verdict == "time"
    assert "moving to far emits 168 % more, both 50 %" in places.verdict(told)


def test_less_than_a_percent_is_no_difference(look: Compare) -> None:
    told = look("lab", fr=[50 / 1.34] * 48).place_or_time
    assert told.verdict == "equal"
    assert places.verdict(told).startswith("Place and time save the same")


def test_home_is_compared_with_whether_or_not_it_is_listed(look: Compare) -> None:
    found = look("lab")
    assert [row.name for row in found.rows] == ["lab"]
    assert found.place_or_time.verdict == "place"
    alone = look("local").place_or_time
    assert (alone.verdict, alone.move_percent) == (None, None)
    assert alone.wait_percent == pytest.approx(50)
    assert "no other region in the list" in places.verdict(alone)
    moved = look("local", "lab", home="lab").place_or_time
    assert (moved.home, moved.best_region) == ("lab", "local")


def test_a_home_without_a_zone_has_no_verdict_but_a_reason(look: Compare) -> None:
    found = look("local", "lab", settings=SETTINGS.replace("local: {zone: DE}", "local: {}"))
    assert [row.name for row in found.rows] == ["lab"]
    assert found.place_or_time.verdict is None
    assert "regions.local.zone" in places.verdict(found.place_or_time)
    assert any(note.startswith("local is not ranked") for note in found.notes)
    assert found.rows[0].saving_percent is None


def test_a_small_gap_between_bases_decides_nothing(look: Compare) -> None:
    near = [60.0] * 48
    same = look("local", "lab", fr=near)
    assert (same.place_or_time.verdict, same.notes) == ("time", ())
    # 80.4 against 100 at once: 20 % apart.
    apart = look("local", "lab", fr=near, told={"FR": DIRECT})
    assert apart.place_or_time.verdict is None
    assert apart.place_or_time.move_percent == pytest.approx(100 - 60 * 1.34)
    assert "told on different bases and 20 % apart" in apart.place_or_time.reason
    assert places.verdict(apart.place_or_time).startswith("Place or time: not decided, as lab (")


def test_a_large_gap_between_bases_decides(look: Compare) -> None:
    found = look("local", "lab", told={"FR": DIRECT})
    assert found.place_or_time.verdict == "place"
    assert found.notes == ()
    assert {row.footing.factors for row in found.rows} == {"lifecycle", "direct"}


def test_an_order_that_is_not_safe_is_listed_and_said(look: Compare) -> None:
    found = look("lab", "far", fr=[50.0] * 48, se=[55.0] * 48, told={"SE": DIRECT})
    assert [row.name for row in found.rows] == ["lab", "far"]
    assert len(found.notes) == 1
    assert "the order of the first two is not safe: lab (average, lifecycle" in found.notes[0]
    assert "9 % apart" in found.notes[0]


def test_marginal_intensity_is_listed_after_average_and_never_against_it(look: Compare) -> None:
    found = look("local", "lab", "far", told={"FR": {"signal": "marginal"}})
    assert [row.name for row in found.rows] == ["local", "far", "lab"]
    last = found.rows[-1]
    assert last.saving_percent is None
    assert last.nulls["saving_percent"] == "marginal and average intensity are not compared"
    assert found.place_or_time.best_region == "far"
    assert "average and marginal intensity are not ranked" in found.notes[0]
    only = look("lab", told={"FR": {"signal": "marginal"}}).place_or_time
    assert (only.verdict, only.best_region) == (None, None)


def test_data_takes_time_energy_and_grams_but_not_at_home(look: Compare) -> None:
    found = look("local", "lab", data="450GB")
    rows = {row.name: row.hauling for row in found.rows}
    away, home = rows["lab"], rows["local"]
    assert away is not None
    assert home is not None
    # 8 s and 1 Wh a gigabyte; the line stands between 100 and 20 g/kWh.
    assert (away.hours, away.kwh) == (pytest.approx(1.0), pytest.approx(0.45))
    assert away.g == pytest.approx(0.45 * 60, rel=0.05)
    assert (home.hours, home.kwh, home.g) == (0, 0, 0)
    lab = next(row for row in found.rows if row.name == "lab")
    assert (lab.window.start - NOW).total_seconds() >= 3600
    assert look("lab").rows[0].hauling is None


def test_data_that_arrives_too_late_leaves_nothing_to_move_to(look: Compare) -> None:
    found = look("local", "lab", data="5TB")
    assert found.place_or_time.move_percent is None
    assert [row.name for row in found.rows] == ["local"]


def test_without_power_regions_are_compared_by_intensity(look: Compare) -> None:
    found = look("local", "lab", power=None, gpus=1)
    assert found.plan.power.watts is None
    assert [row.name for row in found.rows] == ["lab", "local"]
    assert found.place_or_time.move_percent == pytest.approx(100 - 20 * 1.34)


def test_a_forecast_that_ends_too_soon_has_no_mean_of_the_next_day(look: Compare) -> None:
    found = look("local", "lab", fr=[20.0] * 12)
    rows = {row.name: row for row in found.rows}
    assert rows["lab"].next_day is None
    assert "2026-03-02T20:00Z" in rows["lab"].nulls["next_hours"]
    assert rows["local"].next_day is not None
    assert rows["local"].next_day.value == pytest.approx((23 * 100 + 50) / 24)


def test_json_has_every_field_and_a_reason_for_each_null(look: Compare) -> None:
    found = look("local", "lab", "far", near=Spot("here", 59.3, 18.1))
    told = places.comparison_json(found, ["a note"])
    assert told["near"] == {"name": "here", "lat": 59.3, "lon": 18.1}
    assert told["notes"] == ["a note"]
    rows = {row["region"]: row for row in told["regions"]}
    assert rows["far"]["distance_km"] == 0
    assert rows["lab"]["distance_km"] is None
    assert "regions.lab.lat" in rows["lab"]["null_reasons"]["distance_km"]
    assert rows["lab"]["price"] == {"value": 2.0, "currency": "CHF"}
    assert rows["far"]["price"] is None
    assert "price" in rows["far"]["null_reasons"]["price"]
    assert (rows["far"]["country"], rows["lab"]["country"]) == ("SE", None)
    assert rows["lab"]["basis"] == {"signal": "average", **LIFECYCLE}
    # SE is no zone of the month x hour table: one value for the year.
    assert rows["far"]["seasonal_g_per_kwh"] is None
    assert "one value for the year" in rows["far"]["null_reasons"]["seasonal_g_per_kwh"]
    for row in told["regions"]:
        nulls = {k for k, v in row.items() if v is None}
        assert nulls <= set(row["null_reasons"]), row["region"]
        assert all(why and why != "not known" for why in row["null_reasons"].values())


def test_the_table_marks_what_runs_and_shows_only_columns_that_say_something(
    look: Compare,
) -> None:
    found = look("local", "lab", "far", near=Spot("here", 59.3, 18.1), told={"FR": DIRECT})
    shown = places.comparison_table(found, NOW, encoding="ascii")
    head, *_ = shown.splitlines()
    assert head.split() == [
        "region", "start", "UTC", "g/kWh", "24", "h", "MAM", "year", "expected", "change", "km",
        "CHF", "basis",
    ]  # fmt: skip
    assert "local *" in shown
    assert "########" in shown
    assert "km: from here" in shown
    assert "average, direct, production" in shown
    few = places.comparison_table(found, NOW, limit=1)
    assert "the best 1 of 3 regions" in few
    assert "█" in few
    assert "basis" not in few.splitlines()[0]
