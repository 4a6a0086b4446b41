"""Places side by side: selection, what is known of each, and place against time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.intensity import climatology
from scheduler import config
from scheduler.engine import Context, compare, selection, submission
from scheduler.engine.request import Request
from scheduler.engine.selection import EU, GROUPS, Wanted
from scheduler.errors import UsageError
from scheduler.report import places
from scheduler.testing import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scheduler.comparison import Comparison, Row

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FLAT = [100.0] * 72
# Low from 10:00 to 12:00.
VALLEY = [100.0, 100.0, 40.0, 40.0, *[100.0] * 68]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Callable[..., Comparison]]:
    """Compare home (zone H, hourly values) with places of a declared constant each."""
    opened: list[Context] = []

    def run(home: list[float], asked: dict[str, Any] | None = None, **others: str) -> Comparison:
        sources = "".join(
            f"  {name}: {{type: constant, source: test, {text}}}\n" for name, text in others.items()
        )
        pue = "pue: {value: 1, source: test}"
        regions = "".join(
            f"  {name}: {{zone: {name.upper()}, providers: [{name}], {pue}}}\n" for name in others
        )
        (tmp_path / "config.yaml").write_text(
            f"providers: [fake]\nsources:\n{sources}regions:\n  local: {{zone: H}}\n{regions}"
        )
        loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
        ctx = Context.open(loaded, NOW, sources={"fake": FakeProvider(NOW, {"H": home})})
        opened.append(ctx)
        fields = {"duration": "2h", "deadline": "10h", "power": "100W"} | (asked or {})
        request = Request(argv=("true",), region=("local", *others), **fields)
        spec = submission.to_spec(request, loaded, NOW, "me", Path("/"), need_duration=True)
        return compare.compare(ctx, spec, None, NOW)

    yield run
    for ctx in opened:
        ctx.close()


def _row(found: Comparison, name: str) -> Row:
    return next(row for row in found.rows if row.window.region == name)


def test_place_beats_time_where_moving_saves_more(look: Callable[..., Comparison]) -> None:
    it = look(VALLEY, north="g_per_kwh: 10").place_or_time
    assert (it.verdict, it.best_region, it.reason) == ("place", "north", "")
    assert it.move_saves_percent == pytest.approx(90)
    assert it.wait_saves_percent == pytest.approx(60)


def test_time_beats_place_where_waiting_saves_more(look: Callable[..., Comparison]) -> None:
    it = look(VALLEY, north="g_per_kwh: 80", south="g_per_kwh: 95").place_or_time
    assert (it.verdict, it.best_region) == ("time", "north")
    assert it.move_saves_percent == pytest.approx(20)


@pytest.mark.parametrize(("elsewhere", "saves"), [(40.1, 59.9), (39.9, 60.1)])
def test_savings_within_a_point_are_equal(
    look: Callable[..., Comparison], elsewhere: float, saves: float
) -> None:
    it = look(VALLEY, north=f"g_per_kwh: {elsewhere}").place_or_time
    assert it.verdict == "equal"
    assert it.move_saves_percent == pytest.approx(saves)


def test_a_dirtier_place_costs_and_is_said_so(look: Callable[..., Comparison]) -> None:
    found = look(VALLEY, south="g_per_kwh: 150")
    assert found.place_or_time.verdict == "time"
    assert found.place_or_time.move_saves_percent == pytest.approx(-50)
    said = places.comparison(found, {}, "utf-8").splitlines()[-1]
    assert said == (
        "Time beats place: waiting at home up to 8h saves 60 %, moving to south costs 50 % more"
    )


def test_where_neither_saves_both_are_equal(look: Callable[..., Comparison]) -> None:
    found = look(FLAT, south="g_per_kwh: 150")
    assert found.place_or_time.verdict == "equal"
    assert "Place and time save the same" in places.comparison(found, {}, "utf-8")


def test_a_home_without_a_zone_leaves_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("providers: [climatology]\n")
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    ctx = Context.open(loaded, NOW)
    request = Request(
        argv=("true",), duration="1h", deadline="9h", power="100W", region=("aws:eu-north-1",)
    )
    spec = submission.to_spec(request, loaded, NOW, "me", Path("/"), need_duration=True)
    found = compare.compare(ctx, spec, None, NOW)
    ctx.close()
    it = places.comparison_json(found, {})["place_or_time"]
    assert it["verdict"] is None
    assert "has no grid zone" in it["reason"]
    nulls = {"wait_saves_percent", "move_saves_percent", "best_region", "verdict"}
    assert set(it["null_reasons"]) == nulls


# --- what is told on another basis ----------------------------------------------------------


def test_another_basis_gives_no_verdict_on_a_gap_below_a_quarter(
    look: Callable[..., Comparison],
) -> None:
    found = look(FLAT, north="g_per_kwh: 76, factors: direct")
    it = found.place_or_time
    assert it.verdict is None
    assert "another basis" in it.reason
    assert "25 %" in it.reason
    shown = places.comparison(found, {}, "utf-8")
    assert "north *" in shown
    assert "* told on another basis (direct unknown)" in shown
    assert shown.splitlines()[-1].startswith("Place or time: not known: north is told on another")


def test_another_basis_counts_where_it_is_lower_than_all_by_more(
    look: Callable[..., Comparison],
) -> None:
    it = look(FLAT, north="g_per_kwh: 70, factors: direct").place_or_time
    assert (it.verdict, it.best_region) == ("place", "north")
    # Waiting at home is below it by more than the gap allows.
    assert look(VALLEY, north="g_per_kwh: 35, factors: direct").place_or_time.verdict is None


def test_of_two_the_one_on_the_basis_of_home_is_weighed(look: Callable[..., Comparison]) -> None:
    both = {"north": "g_per_kwh: 60", "south": "g_per_kwh: 50, flow: production"}
    it = look(FLAT, **both).place_or_time
    assert (it.verdict, it.best_region) == ("place", "north")


def test_another_signal_is_never_weighed_nor_ranked_between(
    look: Callable[..., Comparison],
) -> None:
    found = look(FLAT, north="g_per_kwh: 1, signal: marginal", south="g_per_kwh: 300")
    assert found.place_or_time.best_region == "south"
    assert [row.window.region for row in found.rows] == ["local", "south", "north"]
    shown = places.comparison(found, {}, "utf-8")
    assert shown.index("another signal") < shown.index("north *")
    alone = look(FLAT, north="g_per_kwh: 1, signal: marginal").place_or_time
    assert alone.verdict is None
    assert "no other region on the signal" in alone.reason


# --- what is known of a place ---------------------------------------------------------------


def test_bringing_data_counts_in_hours_energy_and_grams(look: Callable[..., Comparison]) -> None:
    found = look(FLAT, {"data": "450GB"}, north="g_per_kwh: 10")
    north, home = _row(found, "north").bringing, _row(found, "local").bringing
    assert north is not None
    assert home is not None
    assert north.hours == pytest.approx(1.0)  # 8 s a gigabyte
    assert north.kwh == pytest.approx(0.45)  # 0.001 kWh a gigabyte
    assert north.grams == pytest.approx(0.45 * 55)  # half of the line at each end
    assert (home.hours, home.kwh, home.grams) == (0, 0, 0)
    # 0.2 kWh at 100 g/kWh at home, and at 10 g/kWh there with the line.
    saves = 100 * (20 - 2 - 0.45 * 55) / 20
    assert found.place_or_time.move_saves_percent == pytest.approx(saves)
    assert "1h 00m" in places.comparison(found, {}, "utf-8")


def test_data_that_comes_too_late_leaves_a_place_out(look: Callable[..., Comparison]) -> None:
    found = look(FLAT, {"data": "5TB"}, north="g_per_kwh: 10")
    assert found.left_out == {
        "north": "bringing the data takes 11.1 h: longer than the job may wait"
    }
    assert found.place_or_time.verdict is None


def test_a_place_of_which_nothing_is_known_is_named(look: Callable[..., Comparison]) -> None:
    found = look(FLAT, north="g_per_kwh: 10, zones: [ELSEWHERE]")
    assert "ELSEWHERE" in found.left_out["north"]
    shown = places.comparison(found, found.left_out, "utf-8")
    assert "left out: north: " in shown


def test_the_next_day_is_the_mean_of_the_forecast_or_a_reason(
    look: Callable[..., Comparison],
) -> None:
    whole = _row(look(VALLEY, north="g_per_kwh: 10"), "local")
    assert whole.next_24h is not None
    assert whole.next_24h.value == pytest.approx((22 * 100 + 2 * 40) / 24)
    short = _row(look(VALLEY[:12], north="g_per_kwh: 10"), "local")
    assert short.next_24h is None
    assert "next 24 hours" in short.nulls["next_24h_g_per_kwh"]


def test_the_typical_year_is_the_mean_of_the_embedded_table() -> None:
    found, table = compare.typical("DE"), climatology.months("DE")
    assert found is not None
    assert table is not None
    assert table.shape == (12, 24)
    assert found.g_per_kwh == pytest.approx(table.mean())
    assert found.seasons is not None
    assert found.seasons["JJA"] == pytest.approx(table[5:8].mean())
    assert sum(found.seasons.values()) / 4 == pytest.approx(found.g_per_kwh)


def test_without_hours_the_yearly_mean_counts_then_the_country_and_without_one_nothing() -> None:
    mean = compare.typical("CA-AB")
    assert mean is not None
    assert mean.source == "climatology (Electricity Maps, mean of 2025)"
    assert mean.seasons is None
    floor = compare.typical("CN-GD")
    assert floor is not None
    assert floor.source.startswith("country mean (Ember 20")
    assert floor.seasons is None
    assert compare.typical("XX") is None


def test_an_encoding_without_blocks_gets_bars_of_ascii(look: Callable[..., Comparison]) -> None:
    found = look(FLAT, north="g_per_kwh: 50")
    assert "########" in places.comparison(found, {}, "ascii")
    assert "████████" in places.comparison(found, {}, "utf-8")


# --- which are looked at --------------------------------------------------------------------


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    (tmp_path / "config.yaml").write_text(
        "regions: {local: {zone: DE, country: DE, lat: 52.4, lon: 13.1}, lab: {zone: FR}}\n"
    )
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    opened = Context.open(loaded, NOW)
    yield opened
    opened.close()


def _names(ctx: Context, **wanted: Any) -> list[str]:
    known = ctx.regions
    found = selection.select(known.every, Wanted(**wanted), known, known["local"])
    return [region.name for region in found.regions]


def test_groups_are_those_of_their_treaties() -> None:
    assert len(EU) == 27
    assert GROUPS["EEA"] - EU == {"IS", "LI", "NO"}
    assert GROUPS["EFTA"] - GROUPS["EEA"] == {"CH"}
    assert "GB" not in GROUPS["EEA"] | GROUPS["EFTA"]


def test_filters_narrow_each_other(ctx: Context) -> None:
    assert _names(ctx, providers=("aws",), within=("FR", "se")) == [
        "aws:eu-north-1",
        "aws:eu-west-3",
    ]
    assert _names(ctx, providers=("own",)) == ["local", "lab"]
    assert "azure:norwayeast" in _names(ctx, within=("EEA",))
    assert "azure:norwayeast" not in _names(ctx, within=("EU",))


def test_a_site_without_a_country_is_left_out_and_said(ctx: Context) -> None:
    known = ctx.regions
    found = selection.select(known.every, Wanted(within=("EU",)), known, known["local"])
    assert found.left_out == {"lab": "its country is not known: set regions.lab.country"}
    assert found.regions[0].name == "local"


@pytest.mark.parametrize(
    ("start", "end", "km"),
    [
        # London to Paris, centre to centre; half way around; across the date line.
        ((51.5074, -0.1278), (48.8566, 2.3522), 343.6),
        ((0.0, 0.0), (0.0, 180.0), 20015.1),
        ((0.0, 179.5), (0.0, -179.5), 111.2),
        ((10.0, 10.0), (10.0, 10.0), 0.0),
    ],
)
def test_distances_follow_the_great_circle(
    start: tuple[float, float], end: tuple[float, float], km: float
) -> None:
    assert selection.distance_km(start, end) == pytest.approx(km, abs=0.1)
    assert selection.distance_km(None, end) is None


def test_near_is_a_region_or_two_numbers_and_home_where_nothing_is_said(ctx: Context) -> None:
    near = _names(ctx, near="gcp:us-west1", within_km=250)
    assert near == ["aws:us-west-2", "azure:westus2", "gcp:us-west1", "ovh:hil", "hetzner:hil"]
    assert _names(ctx, near="45.6,-121.2", within_km=250) == near
    assert "local" in _names(ctx, within_km=1)


@pytest.mark.parametrize("text", ["Zurich", "zürich", " ZÜRICH", "aws:eu-central-2", "47.4,8.5"])
def test_near_may_be_a_town_of_the_table(ctx: Context, text: str) -> None:
    assert selection.spot(text, ctx.regions) == (47.4, 8.5)
    assert selection.spot("ashburn", ctx.regions) == (39.0, -77.5), "a town before its comma"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"providers": ("asw",)}, "did you mean 'aws'"),
        ({"providers": ("qqq",)}, "known are aws, azure"),
        ({"within": ("ZZ",)}, "no region lies there"),
        ({"providers": ("hetzner",), "within": ("FR",)}, "none is of hetzner and in FR"),
        ({"near": "lab", "within_km": 5.0}, "where it lies is not known"),
        ({"near": "91,0"}, "no place on Earth"),
        ({"near": "nan,0"}, "no place on Earth"),
        ({"near": "1,2,3"}, "no region and no place"),
        ({"near": "Berln"}, "nearest are berlin"),
    ],
)
def test_what_finds_nothing_is_one_clear_line(
    ctx: Context, wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        _names(ctx, **wanted)


def test_a_distance_needs_a_start(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}\n")
    loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
    ctx = Context.open(loaded, NOW + timedelta(hours=1))
    with pytest.raises(UsageError, match="add --near"):
        _names(ctx, within_km=5.0)
    ctx.close()
