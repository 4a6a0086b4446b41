"""Instance types side by side: who is ranked, by what, and hardware against place and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.play_boavizta import boavizta
from support.server import Play, SourceServer

from providers.base import Triple
from providers.hardware import ccf, processors
from providers.hardware.boavizta import Boavizta
from scheduler import config
from scheduler.engine import Context, instances, submission
from scheduler.engine.request import Request
from scheduler.engine.speeds import Work
from scheduler.errors import UsageError
from scheduler.instances import InstanceComparison, InstanceRow
from scheduler.report import instances as shown
from scheduler.testing import FakeProvider

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOME = "aws:eu-central-1"
OLD, NEW = "aws/c5.xlarge", "aws/c5a.xlarge"
FLAT = [100.0] * 72
# Low from 10:00 to 12:00.
VALLEY = [100.0, 100.0, 40.0, 40.0, *[100.0] * 68]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Callable[..., InstanceComparison]]:
    """Compare types at home (zone H, hourly values) and in places of a declared constant each."""
    opened: list[Context] = []

    def run(
        home: list[float],
        types: tuple[str, ...],
        work: Work | None = None,
        *,
        local: str = "",
        asked: dict[str, Any] | None = None,
        slack_s: float = 8 * 3600.0,
        hysteresis: float = 1,
        server: str | None = None,
        known_from: datetime = NOW,
        **others: str,
    ) -> InstanceComparison:
        sources = ", ".join(
            f"{name}: {{type: constant, source: test, {text}}}" for name, text in others.items()
        )
        regions = "".join(
            f"  aws:{name}: {{zone: {name.upper()}, providers: [{name}], pue: {{value: 1, "
            "source: test}}\n"
            for name in others
        )
        (tmp_path / "config.yaml").write_text(
            f"home: {HOME}\nhysteresis: {hysteresis}%\nproviders: [fake]\nsources: {{{sources}}}\n"
            f"regions:\n  {HOME}: {{zone: H, pue: {{value: 1.2, source: test}}}}\n{regions}"
            f"  own: {{zone: H{local}}}\n"
        )
        loaded = config.load(None, {"LOWTIDE_HOME": str(tmp_path / "home")}, tmp_path)
        ctx = Context.open(loaded, NOW, sources={"fake": FakeProvider(known_from, {"H": home})})
        opened.append(ctx)
        places = (HOME, *(f"aws:{name}" for name in others), "own")
        request = Request(
            argv=("true",), duration="2h", deadline="10h", region=places, **(asked or {})
        )
        spec = submission.to_spec(request, loaded, NOW, "me", Path("/"), need_duration=True)
        return instances.compare(
            ctx,
            spec,
            types,
            work or Work(7200.0, equal=True),
            ("epochs", 4.0),
            NOW,
            slack_s=slack_s,
            boavizta=None if server is None else Boavizta(server, ctx.surroundings),
        )

    yield run
    for ctx in opened:
        ctx.close()


def _row(found: InstanceComparison, name: str, region: str = HOME) -> InstanceRow:
    return next(r for r in found.rows if (r.instance, r.region) == (name, region))


def _why(found: InstanceComparison, name: str) -> str:
    return next(o.reason for o in found.left_out if o.instance == name)


def test_a_row_can_be_reckoned_by_hand(look: Callable[..., InstanceComparison]) -> None:
    row = _row(look(VALLEY, (OLD,)), OLD)
    watts = processors.instance_type(OLD).watts
    assert watts is not None
    assert row.watts == Triple(4 * watts.idle.low, 4 * watts.full.value, 4 * watts.full.high)
    assert (row.start, row.end) == (NOW + timedelta(hours=2), NOW + timedelta(hours=4))
    kwh = 4 * watts.full.value * 2 / 1000
    assert row.energy_kwh.value == pytest.approx(kwh)
    assert row.operational_g.value == pytest.approx(kwh * 40 * 1.2)
    platform = ccf.instance("aws", "c5.xlarge")
    assert row.embodied_g is not None
    m = platform.total_kg.value * 1000 * (2 / platform.lifespan_h) * (4 / 72)
    assert row.embodied_g.value == pytest.approx(m)
    assert row.total_g == row.operational_g + row.embodied_g
    assert row.runtime.source == "--duration"


def test_a_faster_type_holds_its_hardware_for_less(look: Callable[..., InstanceComparison]) -> None:
    found = look(FLAT, (OLD, NEW), Work(7200.0, {NEW: 2.0}))
    old, new = _row(found, OLD), _row(found, NEW)
    assert new.runtime.seconds == Triple.exact(3600)
    assert "2 times as fast as aws/c5.xlarge (--speed)" in new.runtime.source
    assert new.end - new.start == timedelta(hours=1)
    same = _row(look(FLAT, (OLD, NEW), Work(7200.0, {NEW: 1.0})), NEW)
    assert same.total_g is not None
    assert new.total_g is not None
    assert new.total_g.value == pytest.approx(same.total_g.value / 2)
    assert old.runtime.seconds == Triple.exact(7200)
    # Speeds are relative: the first may have one of its own.
    again = _row(look(FLAT, (OLD, NEW), Work(7200.0, {OLD: 2.0, NEW: 4.0})), NEW)
    assert again.runtime.seconds == Triple.exact(3600)


def test_the_fewest_grams_stand_first_and_places_count_beside_hardware(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD, NEW), north="g_per_kwh: 10")
    assert found.basis == "total"
    totals = [r.total_g.value for r in found.rows if r.total_g]
    assert len(totals) == 4
    assert totals == sorted(totals)
    assert (found.rows[0].instance, found.rows[0].region) == (NEW, "aws:north")


def test_a_speed_that_nobody_knows_is_never_taken_as_equal(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD, NEW), Work(7200.0))
    assert {r.instance for r in found.rows} == {OLD}
    assert f"give --speed {NEW}=..." in _why(found, NEW)
    assert not found.speed_assumed_equal
    equal = look(FLAT, (OLD, NEW), Work(7200.0, equal=True))
    assert equal.speed_assumed_equal
    assert "speed assumed equal (--speed-equal)" in shown.instances(equal, {})
    assert "speed assumed equal" not in shown.instances(found, {})
    known = look(FLAT, (OLD, NEW), Work(7200.0, {NEW: 1.0}, equal=True))
    assert not known.speed_assumed_equal


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("aws/c7g.xlarge", "Graviton3: its row only repeats"),
        ("aws/p3.2xlarge", "accelerators"),
        ("aws/c5.xlrage", "nearest are"),
        ("gcp/n2-standard-4", "none of the regions looked at is of gcp"),
    ],
)
def test_what_cannot_be_ranked_is_listed_with_the_reason(
    name: str, said: str, look: Callable[..., InstanceComparison]
) -> None:
    found = look(FLAT, (OLD, name))
    assert {r.instance for r in found.rows} == {OLD}
    assert said in _why(found, name)
    assert f"not ranked: {name}: " in shown.instances(found, {})


def test_without_embodied_carbon_of_one_none_is_rewarded_for_it(
    look: Callable[..., InstanceComparison],
) -> None:
    bare = "aws/i4i.xlarge"
    found = look(FLAT, (OLD, bare))
    assert found.basis == "operational"
    row = _row(found, bare)
    assert (row.embodied_g, row.total_g) == (None, None)
    assert "--boavizta" in row.nulls["total_g"]
    assert f"the embodied carbon of {bare} is not known" in shown.instances(found, {})
    ranked = [r.operational_g.value for r in found.rows]
    assert ranked == sorted(ranked)


def test_a_boavizta_server_tells_its_own_bounds(
    look: Callable[..., InstanceComparison], serve: Callable[[Play], SourceServer]
) -> None:
    url = serve(boavizta).url
    found = look(FLAT, ("aws/c5.large", NEW, OLD), server=url)
    told = _row(found, "aws/c5.large").embodied_g
    assert told is not None
    assert told.value == pytest.approx(20_000 * 2 / 52560)
    assert told.low == pytest.approx(12_000 * 2 / 52560)
    assert "not found" in _row(found, OLD).nulls["embodied_g"]
    assert found.basis == "operational"


def test_a_type_too_slow_for_the_deadline_is_left_out(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD, NEW), Work(7200.0, {NEW: 0.1}))
    assert "it takes 20h 00m, longer than until the deadline" in _why(found, NEW)


def test_own_regions_run_the_type_that_they_stand_on(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD, NEW), local=", hardware: {instance: aws/c5a.xlarge}")
    assert {r.region for r in found.rows if r.instance == NEW} == {HOME, "own"}
    assert {r.region for r in found.rows if r.instance == OLD} == {HOME}


def test_another_signal_is_never_ranked_between_and_another_basis_is_marked(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(
        FLAT,
        (OLD,),
        north="g_per_kwh: 1, signal: marginal",
        south="g_per_kwh: 300, factors: direct",
    )
    assert {r.region: r.same_basis for r in found.rows} == {HOME: True, "aws:south": False}
    assert "another signal (marginal)" in _why(found, OLD)
    assert "aws:south *" in shown.instances(found, {})
    assert "* told on another basis" in shown.instances(found, {})


def test_bringing_data_counts_at_any_place_but_home(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD,), asked={"data": "450GB"}, north="g_per_kwh: 10")
    plain = look(FLAT, (OLD,), north="g_per_kwh: 10")
    more = [
        _row(one, OLD, "aws:north").operational_g.value - 0.45 * 55 * weight
        for one, weight in ((found, 1), (plain, 0))
    ]
    assert more[0] == pytest.approx(more[1])
    assert _row(found, OLD, "aws:north").start >= NOW + timedelta(hours=1)
    late = look(FLAT, (OLD,), asked={"data": "5TB"}, north="g_per_kwh: 10")
    assert "longer than the job may wait" in _why(late, OLD)


def test_a_place_of_which_nothing_is_known_is_named(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD,), north="g_per_kwh: 10, zones: [ELSEWHERE]")
    assert "ELSEWHERE" in _why(found, OLD)
    holed = look([100.0], (OLD,))
    assert "hole in every window" in _why(holed, OLD)
    assert shown.instances(holed, {"x": "y"}).startswith("no instance type can be ranked")


# --- hardware, place or time ----------------------------------------------------------------


def _levers(found: InstanceComparison) -> dict[str, float]:
    return {s.lever: s.percent for s in found.verdict.savings}


def test_each_lever_alone_is_held_against_the_first_type_at_home_now(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(VALLEY, (OLD, NEW), Work(7200.0, {NEW: 4.0}), north="g_per_kwh: 90")
    row, new = _row(found, OLD), _row(found, NEW)
    assert row.embodied_g is not None
    assert new.embodied_g is not None
    start = row.operational_g.value / 40 * 100 + row.embodied_g.value
    levers = _levers(found)
    waited = row.operational_g.value + row.embodied_g.value
    assert levers["time"] == pytest.approx(100 * (start - waited) / start)
    other = new.operational_g.value / 40 * 100 + new.embodied_g.value
    assert levers["hardware"] == pytest.approx(100 * (start - other) / start)
    away = row.operational_g.value / 40 / 1.2 * 90 + row.embodied_g.value
    assert levers["place"] == pytest.approx(100 * (start - away) / start)
    assert [s.lever for s in found.verdict.savings] == ["hardware", "time", "place"]
    said = shown.instances(found, {}).splitlines()[-1]
    assert said.startswith(f"Hardware beats time and place: {NEW} at home now saves ")
    assert shown.instances_json(found, {})["verdict"]["first"] == "hardware"


def test_savings_within_a_point_beat_nothing(look: Callable[..., InstanceComparison]) -> None:
    found = look(VALLEY, (OLD,), north="g_per_kwh: 48.1")  # as low as 40 with home's PUE
    assert found.verdict.equal
    assert "Time and place save the same: " in shown.instances(found, {})
    content = shown.instances_json(found, {})["verdict"]
    assert content["first"] is None
    assert content["null_reasons"] == {"first": "no lever saves clearly more than the others"}


def test_where_nothing_saves_it_is_said(look: Callable[..., InstanceComparison]) -> None:
    found = look(FLAT, (NEW, OLD), Work(7200.0, {OLD: 0.5}), north="g_per_kwh: 300")
    said = shown.instances(found, {}).splitlines()[-1]
    assert said.startswith("Neither hardware, place nor time saves anything: waiting at home")
    assert f"{OLD} at home now costs " in said


def test_another_basis_is_no_place_to_move_to(look: Callable[..., InstanceComparison]) -> None:
    found = look(FLAT, (OLD,), north="g_per_kwh: 10, factors: direct")
    assert set(_levers(found)) == {"time"}


def test_a_home_without_the_first_type_leaves_no_verdict(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, ("aws/c7g.xlarge", NEW))
    assert found.verdict.savings == ()
    said = shown.instances(found, {}).splitlines()[-1]
    assert said == (
        "Hardware, place or time: not known: aws/c7g.xlarge could not be ranked at home "
        "(aws:eu-central-1)"
    )
    assert shown.instances_json(found, {})["verdict"]["null_reasons"]["first"] in said


def test_a_start_now_that_is_not_foretold_leaves_no_verdict(
    look: Callable[..., InstanceComparison],
) -> None:
    found = look(FLAT, (OLD,), known_from=NOW + timedelta(hours=1))
    assert "does not tell what a start now emits" in found.verdict.reason
    free = look([0.0] * 72, ("aws/i4i.xlarge",))
    assert "would emit nothing" in free.verdict.reason


def test_a_speed_of_a_type_not_compared_is_a_slip(look: Callable[..., InstanceComparison]) -> None:
    with pytest.raises(UsageError, match=r"--speed aws/c5d\.xlarge: it is not compared"):
        look(FLAT, (OLD,), Work(7200.0, {"aws/c5d.xlarge": 2.0}))
