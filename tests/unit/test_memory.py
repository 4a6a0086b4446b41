"""Stored actuals, vintages and forecasts: what was told when, and what it is worth now."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from providers.series import Series
from scheduler.store import Store, migrations
from scheduler.store.days import Merged
from scheduler.store.packing import VERSION, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from providers.series import Kind

HOUR = timedelta(hours=1)
DAY = datetime(2026, 3, 1, tzinfo=UTC)
NOON = DAY.timestamp() + 12 * 3600
# A row as lowtide 0.1.0 wrote it before packed forms had versions; never written anew.
OLD = (
    b'x\x9c}Q\xd1n\xc3 \x0c\xfc\x15\xe4\xe7("\x84,\xeb\x9e\xb7\xaf\x98\xaa\x08\x11BQ)\xae\x80'
    b"\xac\xea\xa6\xfd\xfbb\xd2j\xd9\xa4\x8d\x17\xb8\xf3\xdd\xd9\x16\x1f\x90\xb2\x8a9\xc1\x13{"
    b"m\xfa^\xc8\xf6Qr^\xf3\x8a\x15$\x05\xdf\xa2\xbe\xd4\xf6\x15\x03\x13\xc6o\xcf/U\xf7\xb0E;q"
    b"\xf7\xd8\xe1l\xe2p\xbc\x1c\xc8\xd8\xf2\xa6\xee*\xc6\xeb\x96\xff<\xb2bR\xac\x06\x8f\x17\x92"
    b"\x8a]\x89\xfbWzpv\x8dmx-\xfe\xca\xedn\x83$\x9c\xa36e~\x08&!,\xdc\xfd\xd6\xde\x9dTF\x8f\xf6"
    b"\n\xa4}\xc7`\x16!<\xbfP59\x1b\x94'\xac\xdeLT\xd6\x10yta$j\xc2h\xb4J\x99\xb8I\xe9\x8c\x91Z"
    b"\x80w\x93\xd1W\xed\x8bvZw\x02\x8d!\xcd\xa7sv\x18\x88v)\xcdf\x1cT^j\x9bo\xa0M `\xbe\xcd\xaa"
    b"\x18\xbda\xff\xf9\x055Up["
)


def series(
    values: list[float],
    start: datetime = DAY,
    step_s: float = 3600.0,
    *,
    issued: datetime = DAY,
    kind: Kind = "actual",
    band: float = 0.0,
    **facts: Any,
) -> Series:
    starts = start.timestamp() + step_s * np.arange(len(values))
    g = np.array(values, dtype=np.float64)
    return Series(
        zone="DE",
        signal=facts.pop("signal", "average"),
        kind=kind,
        issued_at=issued,
        starts=starts,
        ends=starts + step_s,
        g_per_kwh=g,
        low=g - band,
        high=g + band,
        sources=np.full(len(values), "s"),
        **facts,
    )


def test_a_row_of_an_earlier_version_is_still_read() -> None:
    old, notes = unpack(OLD)
    assert notes == ("a note",)
    assert old.g_per_kwh.tolist() == [301.5, 0.1 + 0.2, 42.0]
    assert old.low.tolist() == [290.0, 0.1 + 0.2, 42.0]
    assert old.high.tolist() == [310.25, 0.1 + 0.2, 50.0]
    assert old.starts.tolist() == [1772438400.0, 1772442000.0, 1772447400.0]
    assert old.issued_at == datetime(2026, 3, 2, 8, 0, 0, 250000, tzinfo=UTC)
    assert (old.zone, old.signal, old.kind) == ("DE", "average", "forecast")
    assert (old.factors, old.flow) == ("lifecycle", "consumption")
    assert old.sources.tolist() == ["neso", "neso", "climatology"]


def test_a_packed_form_of_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        unpack(b"\x02" + pack(series([1.0]))[1:])


@pytest.mark.parametrize(
    ("one", "most_bytes"),
    [
        (series([200.0 + i % 7 for i in range(96)], step_s=1800), 120),
        (series([200.4, 201.9, 180.3] * 40, band=12.5), 200),
        (series([np.pi * i for i in range(24)]), 330),
    ],
)
def test_a_series_takes_few_bytes(one: Series, most_bytes: int) -> None:
    packed = pack(one, ("a note",))
    assert packed[:1] == VERSION
    assert len(packed) < most_bytes
    back, notes = unpack(packed)
    assert notes == ("a note",)
    for name in ("starts", "ends", "g_per_kwh", "low", "high", "sources"):
        assert getattr(back, name).tolist() == getattr(one, name).tolist(), name
    assert back.exact == one.exact


def test_what_is_told_again_moves_the_check_and_adds_no_vintage(store: Store) -> None:
    actuals, later = store.actuals, DAY + 30 * HOUR
    assert actuals.remember("a", series([1, 2, 3]), DAY + 4 * HOUR) == Merged(new=3)
    assert actuals.remember("a", series([1, 2, 3]), later) == Merged(same=3)
    start, end = DAY.timestamp(), DAY.timestamp() + 3 * 3600
    assert actuals.checked("DE", "a", start, end) == later.timestamp()
    known = actuals.known("DE", "a", start, end)
    assert known is not None
    assert known.issued_at == DAY + 4 * HOUR, "the vintage is when it was first told"
    assert len(actuals.vintages("DE", "a", start, end)) == 1


def test_a_revision_is_a_vintage_of_its_own_and_the_old_one_stays(store: Store) -> None:
    actuals = store.actuals
    start, end = DAY.timestamp(), DAY.timestamp() + 4 * 3600
    actuals.remember("a", series([1, 2, 3]), DAY + 4 * HOUR)
    revised = series([2.5, 3, 4], DAY + HOUR)
    assert actuals.remember("a", revised, DAY + 9 * HOUR) == Merged(new=1, changed=1, same=1)

    def values(as_of: datetime | None = None) -> list[float]:
        known = actuals.known("DE", "a", start, end, as_of)
        return [] if known is None else known.g_per_kwh.tolist()

    assert values() == [1, 2.5, 3, 4]
    assert values(DAY + 8 * HOUR) == [1, 2, 3]
    assert values(DAY + 3 * HOUR) == []
    told = actuals.vintages("DE", "a", start, end)
    assert [(v.g_per_kwh.tolist(), v.issued_at) for v in told] == [
        ([1, 2, 3], DAY + 4 * HOUR),
        ([2.5, 3, 4], DAY + 9 * HOUR),
    ], "what a later vintage only carries on is told by the earlier one"


def test_each_interval_is_as_sure_as_the_last_answer_that_held_it(store: Store) -> None:
    """Asking for the evening does not make the morning final."""
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("a", series([1] * 6), DAY + 6 * HOUR)
    actuals.remember("a", series([2] * 6, DAY + 6 * HOUR), DAY + 12 * HOUR)
    actuals.remember("a", series([2] * 2, DAY + 8 * HOUR), DAY + 48 * HOUR)

    def checked(first_h: float, last_h: float) -> float | None:
        at = actuals.checked("DE", "a", begin + 3600 * first_h, begin + 3600 * last_h)
        return None if at is None else (at - begin) / 3600

    assert checked(0, 6) == 6
    assert checked(6, 12) == 12
    assert checked(8, 10) == 48
    assert checked(8.25, 9.5) == 48
    assert checked(0, 12) == 6
    assert checked(0, 13) is None
    assert checked(-1, 1) is None


def test_holes_stay_holes_and_are_filled_when_they_are_told(store: Store) -> None:
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("a", series([1, 2]), DAY + 2 * HOUR)
    actuals.remember("a", series([5, 6], DAY + 4 * HOUR), DAY + 6 * HOUR)
    known = actuals.known("DE", "a", begin, begin + 6 * 3600)
    assert known is not None
    assert known.gaps(begin, begin + 6 * 3600) == [(begin + 2 * 3600, begin + 4 * 3600)]
    assert actuals.checked("DE", "a", begin, begin + 6 * 3600) is None
    actuals.remember("a", series([3, 4], DAY + 2 * HOUR), DAY + 7 * HOUR)
    assert actuals.checked("DE", "a", begin, begin + 6 * 3600) == begin + 2 * 3600


def test_the_same_values_on_other_edges_are_nothing_new(store: Store) -> None:
    """A source asked for a part of an hour tells that part."""
    actuals, at = store.actuals, DAY + 6 * HOUR
    actuals.remember("a", series([1, 2]), at)
    part = series([1, 2]).clip(DAY.timestamp() + 900, DAY.timestamp() + 5000)
    assert actuals.remember("a", part, at + HOUR) == Merged(same=2)
    assert actuals.remember("b", part, at) == Merged(new=2)
    assert actuals.remember("b", series([1, 2]), at + HOUR) == Merged(new=2)
    assert actuals.remember("b", series([1, 9]), at + HOUR) == Merged(changed=1, same=1)


def test_intervals_are_cut_at_midnight(store: Store) -> None:
    night = series([7.0], DAY + 22 * HOUR, 4 * 3600)
    assert store.actuals.remember("a", night, DAY + 50 * HOUR) == Merged(new=2)
    known = store.actuals.known("DE", "a", DAY.timestamp(), DAY.timestamp() + 2 * 86400)
    assert known is not None
    assert ((known.ends - known.starts) / 3600).tolist() == [2, 2]
    assert store.actuals.remember("a", night, DAY + 50 * HOUR) == Merged(same=2)


def test_an_estimate_that_becomes_an_actual_is_a_change(store: Store) -> None:
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("a", series([1, 2, 3], kind="estimate"), DAY + 3 * HOUR)
    assert actuals.remember("a", series([1]), DAY + 4 * HOUR) == Merged(changed=1)

    def kind(first_h: float, last_h: float) -> str:
        known = actuals.known("DE", "a", begin + 3600 * first_h, begin + 3600 * last_h)
        assert known is not None
        return known.kind

    assert kind(0, 1) == "actual"
    assert kind(0, 2) == "estimate"
    assert [(p.kind, len(p)) for p in actuals.newest("DE", "a", begin, begin + 86400)] == [
        ("actual", 1),
        ("estimate", 2),
    ]


def test_an_earlier_vintage_that_is_told_late_takes_its_place(store: Store) -> None:
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("a", series([5, 6], DAY + HOUR), DAY + 9 * HOUR)
    assert actuals.remember("a", series([1, 2]), DAY + 3 * HOUR) == Merged(new=2)
    known = actuals.known("DE", "a", begin, begin + 86400)
    assert known is not None
    assert known.g_per_kwh.tolist() == [1, 5, 6], "what came later stands, its holes are filled"
    early = actuals.known("DE", "a", begin, begin + 86400, DAY + 4 * HOUR)
    assert early is not None
    assert early.g_per_kwh.tolist() == [1, 2]
    assert actuals.checked("DE", "a", begin, begin + 3600) == begin + 3 * 3600
    assert actuals.remember("a", series([1, 2]), DAY + 3 * HOUR) == Merged(same=2)
    told = actuals.vintages("DE", "a", begin, begin + 86400)
    assert [v.g_per_kwh.tolist() for v in told] == [[1, 2], [5, 6]]


def test_values_on_another_basis_are_never_mixed(store: Store) -> None:
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("a", series([1] * 48), DAY + 48 * HOUR)
    other = series([9], DAY + 24 * HOUR, signal="marginal")
    assert actuals.remember("a", other, DAY + 50 * HOUR) == Merged(new=1)
    known = actuals.known("DE", "a", begin, begin + 2 * 86400)
    assert known is not None
    assert (known.signal, known.g_per_kwh.tolist()) == ("marginal", [9])
    before = actuals.known("DE", "a", begin, begin + 2 * 86400, DAY + 49 * HOUR)
    assert before is not None
    assert (before.signal, len(before)) == ("average", 48)


def test_many_answers_are_kept_together_or_not_at_all(store: Store) -> None:
    good, at = series([1]), DAY + HOUR
    naive = datetime(2026, 3, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="no offset"):
        store.actuals.remember_all([("a", good, at), ("a", good, naive)])
    assert store.actuals.zones() == []
    assert store.actuals.known("DE", "a", DAY.timestamp(), NOON) is None
    assert store.actuals.checked("DE", "a", DAY.timestamp(), NOON) is None
    assert store.actuals.remember("a", good.clip(0, 1), at) == Merged()


def test_what_is_stored_is_told_by_zone_and_source(store: Store) -> None:
    actuals, begin = store.actuals, DAY.timestamp()
    actuals.remember("b", series([1] * 30, flow="production"), DAY + 30 * HOUR)
    actuals.remember("a", series([1, 2]), DAY + 2 * HOUR)
    actuals.remember("a", series([1, 3, 4]), DAY + 4 * HOUR)
    assert actuals.zones() == ["DE"]
    rows = actuals.sources("DE")
    assert [(r.source, r.flow, r.hours, r.first_s, r.last_s, r.checked_s) for r in rows] == [
        ("a", None, 3, begin, begin + 3 * 3600, begin + 4 * 3600),
        ("b", "production", 30, begin, begin + 30 * 3600, begin + 30 * 3600),
    ]
    assert actuals.sources() == rows
    assert actuals.sources("FR") == []


def _forecast(values: list[float], start: datetime, issued: datetime) -> Series:
    return series(values, start, issued=issued, kind="forecast")


def test_a_settlement_without_actuals_takes_the_last_word_on_each_interval(store: Store) -> None:
    forecasts = store.forecasts
    for hours, level in ((0, 10), (1, 20), (2, 30)):
        issued = DAY + hours * HOUR + timedelta(minutes=5)
        forecasts.remember(
            "c", _forecast([level + i for i in range(3)], DAY + hours * HOUR, issued), issued
        )
    begin = DAY.timestamp()
    told = forecasts.last_told("c", "DE", begin, begin + 5 * 3600)
    assert told is not None
    assert told.g_per_kwh.tolist() == [10, 20, 30, 31, 32]
    part = forecasts.last_told("c", "DE", begin + 3600, begin + 5400)
    assert part is not None
    assert part.g_per_kwh.tolist() == [20], "an interval is one, however little of it is asked for"
    assert forecasts.last_told("c", "DE", begin - 3600, begin) is None
    # Told after the interval had ended: no forecast of it.
    late = DAY + 9 * HOUR
    forecasts.remember("late", _forecast([1, 2], DAY, late), late)
    assert forecasts.last_told("late", "DE", begin, begin + 7200) is None
    believed = forecasts.in_force("late", "DE", begin, begin + 7200)
    assert believed is not None
    assert believed.g_per_kwh.tolist() == [1, 2]


def test_issues_come_back_in_order(store: Store) -> None:
    ids = [
        store.forecasts.remember(chain, _forecast([float(n)], DAY, DAY + n * HOUR), DAY)
        for n, chain in ((3, "a"), (1, "b"), (2, "a"))
    ]
    begin = DAY.timestamp()

    def told(**of: Any) -> list[tuple[int, str, float]]:
        found = store.forecasts.issued(begin, begin + 4 * 3600, **of)
        return [(row_id, chain, float(one.g_per_kwh[0])) for row_id, chain, one in found]

    assert told() == [(ids[1], "b", 1), (ids[2], "a", 2), (ids[0], "a", 3)]
    assert told(zone="DE", chain="a") == [(ids[2], "a", 2), (ids[0], "a", 3)]
    assert told(zone="FR") == []
    [one] = store.forecasts.issued(begin + 2 * 3600, begin + 3 * 3600)
    assert one.row_id == ids[2]


def test_a_lookup_stands_on_the_index(store: Store, tmp_path: Path) -> None:
    """Rows of other times are passed over within the index."""
    raw = sqlite3.connect(tmp_path / "home" / "lowtide.db")
    plan = raw.execute(
        "EXPLAIN QUERY PLAN SELECT payload FROM forecast WHERE zone = 'DE' AND chain = 'c' "
        "AND starts < 9 AND ends > 5 AND issued_at <= 7 ORDER BY issued_at DESC, id DESC"
    ).fetchall()
    raw.close()
    assert "USING INDEX forecast_by_zone (zone=? AND chain=? AND issued_at<?)" in plan[0][3]


def test_a_database_of_the_version_before_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "lowtide.db")
    raw.execute("CREATE TABLE migration (name VARCHAR PRIMARY KEY, applied_at FLOAT)")
    for name, statements in migrations.MIGRATIONS[:3]:
        for statement in statements:
            raw.execute(statement)
        raw.execute("INSERT INTO migration VALUES (?, 0)", (name,))
    assert name == "0003-pauses-and-queue-plan"
    start, end, issued = 1772438400.0, 1772449200.0, 1772438400.25
    raw.execute(
        "INSERT INTO forecast VALUES (7, 'DE', 'c', ?, ?, ?, ?, ?)",
        (issued, issued, start, end, OLD),
    )
    raw.commit()
    raw.close()
    store = Store(tmp_path, DAY)
    newest = store.forecasts.newest("c", "DE")
    assert newest is not None
    assert (newest.row_id, newest.notes) == (7, ("a note",))
    told = newest.series.clip(start + 3600, end).told(newest.series.issued_at + HOUR, "forecast")
    assert store.forecasts.remember("c", told, DAY) == 7, "the same content is seen as the same"
    believed = store.forecasts.in_force("c", "DE", start + 3600, start + 5000)
    assert believed is not None
    assert believed.g_per_kwh.tolist() == [0.1 + 0.2]
    assert store.actuals.remember("a", series([1]), DAY + HOUR) == Merged(new=1)
    store.close()
