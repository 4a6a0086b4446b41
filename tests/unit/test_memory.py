"""What was told, when, and what was told before: actuals, forecasts and settlements."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.database import damage

from providers.series import Series
from scheduler.store import Store, StoredHistory
from scheduler.store.actuals import Counts

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def _told(
    start: datetime, values: Sequence[float], step_s: float = 3600.0, **fields: Any
) -> Series:
    starts = start.timestamp() + step_s * np.arange(len(values))
    g = np.array(values, dtype=np.float64)
    base: dict[str, Any] = {
        "zone": "DE",
        "signal": "average",
        "kind": "actual",
        "issued_at": start,
        "starts": starts,
        "ends": starts + step_s,
        "g_per_kwh": g,
        "low": g,
        "high": g,
        "sources": np.array(["s"] * len(g), dtype=np.str_),
    }
    return Series(**(base | fields))


def _values(found: Series | None) -> list[float]:
    assert found is not None
    return [float(v) for v in found.g_per_kwh]


def _span(start: datetime, hours: float) -> tuple[float, float]:
    return start.timestamp(), start.timestamp() + 3600 * hours


@pytest.fixture
def midnight(now: datetime) -> datetime:
    return now.replace(hour=0)


def test_values_are_new_changed_or_the_same(store: Store, midnight: datetime) -> None:
    actuals = store.actuals
    assert actuals.remember("s", _told(midnight, [1, 2, 3]), midnight + DAY) == Counts(new=3)
    assert actuals.remember("s", _told(midnight, [1, 2, 3]), midnight + DAY) == Counts(same=3)
    again = actuals.remember("s", _told(midnight, [1, 5, 3, 4]), midnight + 2 * DAY)
    assert again == Counts(new=1, changed=1, same=2)
    assert actuals.remember("s", _told(midnight, []), midnight + DAY) == Counts()


def test_a_revision_is_a_vintage_and_the_old_word_stays(store: Store, midnight: datetime) -> None:
    first, later = midnight + DAY, midnight + 2 * DAY
    span = _span(midnight, 24)
    store.actuals.remember("s", _told(midnight, [1, 2]), first)
    store.actuals.remember("s", _told(midnight, [1, 2]), first + HOUR)
    store.actuals.remember("s", _told(midnight, [1, 9]), later)
    assert _values(store.actuals.known("DE", "s", *span)) == [1, 9]
    assert _values(store.actuals.known("DE", "s", *span, as_of=later - HOUR)) == [1, 2]
    assert store.actuals.known("DE", "s", *span, as_of=first - HOUR) is None
    told = [(at, _values(s)) for at, s in store.actuals.vintages("DE", "s", *span)]
    assert told == [(first.timestamp(), [1, 2]), (later.timestamp(), [1, 9])]
    newest = store.actuals.vintages("DE", "s", *span, newest=True)
    assert [_values(s) for _, s in newest] == [[1, 9]]


def test_part_of_a_day_keeps_the_rest_and_its_older_check(store: Store, midnight: datetime) -> None:
    span = _span(midnight, 24)
    store.actuals.remember("s", _told(midnight, [1] * 24), midnight + DAY)
    store.actuals.remember("s", _told(midnight + 5 * HOUR, [7, 8]), midnight + 2 * DAY)
    known = _values(store.actuals.known("DE", "s", *span))
    assert known == [1] * 5 + [7, 8] + [1] * 17
    checked = store.actuals.checked("DE", "s", *span)
    assert checked == (midnight + DAY).timestamp(), "of most of it the last word is the first one"
    store.actuals.remember("s", _told(midnight, known), midnight + 3 * DAY)
    assert store.actuals.checked("DE", "s", *span) == (midnight + 3 * DAY).timestamp()
    assert len(list(store.actuals.vintages("DE", "s", *span))) == 2


def test_an_interval_across_midnight_is_of_both_days(store: Store, midnight: datetime) -> None:
    late = midnight - HOUR
    series = _told(late, [3, 4], step_s=7200)
    store.actuals.remember("s", series, midnight + DAY)
    found = store.actuals.known("DE", "s", late.timestamp(), late.timestamp() + 14400)
    assert found is not None
    assert found.integral(found.ends[-1:]) == series.integral(series.ends[-1:])
    assert not found.gaps(*_span(late, 4))
    store.actuals.remember("s", _told(late, [5, 4], step_s=7200), midnight + 2 * DAY)
    assert _values(store.actuals.known("DE", "s", *_span(late, 4))) == [5, 5, 4]
    first_only = _values(store.actuals.known("DE", "s", *_span(late, 1)))
    assert first_only == [5]


def test_days_have_no_overlap_and_ends_are_open(store: Store, midnight: datetime) -> None:
    store.actuals.remember("s", _told(midnight, [1] * 24 + [2] * 24), midnight + 3 * DAY)
    assert store.actuals.known("DE", "s", *_span(midnight + 2 * DAY, 1)) is None
    assert store.actuals.known("DE", "s", *_span(midnight - HOUR, 1)) is None
    assert _values(store.actuals.known("DE", "s", *_span(midnight + 23 * HOUR, 2))) == [1, 2]
    assert store.actuals.checked("DE", "s", *_span(midnight, 48)) is not None
    assert store.actuals.checked("DE", "s", *_span(midnight, 49)) is None, "a day lacks"


def test_a_day_on_another_basis_is_not_mixed_in(store: Store, midnight: datetime) -> None:
    direct = _told(midnight, [1] * 48, factors="direct")
    whole = _told(midnight + DAY, [5] * 24, factors="lifecycle")
    store.actuals.remember("s", direct, midnight + 3 * DAY)
    counts = store.actuals.remember("s", whole, midnight + 4 * DAY)
    assert counts == Counts(new=24), "another figure, not a revision"
    found = store.actuals.known("DE", "s", *_span(midnight, 48))
    assert found is not None
    assert (found.factors, _values(found)) == ("lifecycle", [5] * 24)
    before = store.actuals.known("DE", "s", *_span(midnight, 24))
    assert before is not None
    assert before.factors == "direct"
    part = _told(midnight + DAY, [9], factors="direct")
    store.actuals.remember("s", part, midnight + 5 * DAY)
    assert _values(store.actuals.known("DE", "s", *_span(midnight + DAY, 24))) == [9]


def test_estimates_make_the_whole_an_estimate(store: Store, midnight: datetime) -> None:
    store.actuals.remember("s", _told(midnight, [1], kind="estimate"), midnight + DAY)
    store.actuals.remember("s", _told(midnight + DAY, [1]), midnight + 2 * DAY)
    found = store.actuals.known("DE", "s", *_span(midnight, 48))
    assert found is not None
    assert found.kind == "estimate"


def test_an_estimate_stays_one_until_it_is_told_anew(store: Store, midnight: datetime) -> None:
    guess, sure = _told(midnight, [1, 2], kind="estimate"), _told(midnight, [1])
    store.actuals.remember("s", guess, midnight + DAY)
    store.actuals.remember("s", sure, midnight + 2 * DAY)
    known = store.actuals.known("DE", "s", *_span(midnight, 2))
    assert known is not None
    assert known.kind == "estimate", "nobody told the second hour as an actual"
    store.actuals.remember("s", _told(midnight, [1, 2]), midnight + 3 * DAY)
    known = store.actuals.known("DE", "s", *_span(midnight, 2))
    assert known is not None
    assert known.kind == "actual"


def test_what_is_stored_is_counted_once(store: Store, midnight: datetime) -> None:
    store.actuals.remember("s", _told(midnight, [1] * 30), midnight + 2 * DAY)
    store.actuals.remember("s", _told(midnight, [2] * 30), midnight + 3 * DAY)
    store.actuals.remember("b", _told(midnight, [1], zone="FR", signal="marginal"), midnight + DAY)
    first, second = store.actuals.stored()
    assert first == ("DE", "s", "average", *_span(midnight, 30), 30)
    assert second[:3] == ("FR", "b", "marginal")
    assert store.actuals.stored("FR") == [second]
    assert store.actuals.stored("XX") == []


def test_several_zones_are_kept_together_or_not_at_all(store: Store, midnight: datetime) -> None:
    good = [_told(midnight, [1, 2], zone=zone) for zone in ("DE", "FR")]
    assert store.actuals.remember_all("s", good, midnight + DAY) == [Counts(new=2)] * 2
    damage(store, "UPDATE actual SET payload = :torn WHERE zone = 'FR'", torn=b"\x01")
    changed = [_told(midnight, [3, 2], zone=zone) for zone in ("DE", "FR")]
    # What cannot be read is as if it had not been told, and is told again.
    assert store.actuals.known("FR", "s", *_span(midnight, 2)) is None
    told = store.actuals.remember_all("s", changed, midnight + 2 * DAY)
    assert told == [Counts(changed=1, same=1), Counts(new=2)]
    for zone in ("DE", "FR"):
        assert _values(store.actuals.known(zone, "s", *_span(midnight, 2))) == [3, 2]
    broken = _told(midnight, [4, 2], zone="FR")
    object.__setattr__(broken, "sources", None)
    with pytest.raises(TypeError):
        store.actuals.remember_all("s", [_told(midnight, [9, 9]), broken], midnight + 3 * DAY)
    assert _values(store.actuals.known("DE", "s", *_span(midnight, 2))) == [3, 2]


def test_stored_history_tells_sources_in_order_then_the_longest(
    store: Store, midnight: datetime
) -> None:
    for name, hours in (("a", 2), ("b", 5), ("c", 9), ("d", 1)):
        names = np.array([name] * hours)
        store.actuals.remember(name, _told(midnight, [1] * hours, sources=names), midnight + DAY)
    history = StoredHistory(store.actuals, ("d", "a", "nobody"))
    found = history.actuals("DE", midnight, midnight + DAY)
    assert [s.source for s in found] == ["d", "a", "c", "b"]
    later = history.actuals("DE", midnight + 2 * HOUR, midnight + DAY)
    assert [s.source for s in later] == ["c", "b"]
    assert history.actuals("XX", midnight, midnight + DAY) == []


def _forecast(issued: datetime, start: datetime, values: Sequence[float], **fields: Any) -> Series:
    return _told(start, values, kind="forecast", issued_at=issued, **fields)


def test_last_told_is_the_newest_by_the_end_and_older_ones_fill_it(
    store: Store, now: datetime
) -> None:
    remember = store.forecasts.remember
    remember("c", _forecast(now - 5 * HOUR, now - 5 * HOUR, [1] * 9), now - 5 * HOUR)
    remember("c", _forecast(now, now, [2, 2]), now)
    remember("c", _forecast(now + HOUR, now + HOUR, [3]), now + HOUR)
    # It says to be early, and was received when all was over.
    remember("c", _forecast(now, now, [9] * 9), now + 9 * HOUR)
    told = store.forecasts.last_told("c", "DE", *_span(now - HOUR, 4))
    assert _values(told) == [1, 2, 3, 1]
    assert store.forecasts.last_told("c", "DE", *_span(now - 9 * HOUR, 1)) is None
    assert store.forecasts.last_told("other", "DE", *_span(now, 1)) is None


def test_in_force_is_what_was_believed_at_the_start(store: Store, now: datetime) -> None:
    remember = store.forecasts.remember
    remember("c", _forecast(now - 2 * HOUR, now - 2 * HOUR, [1] * 9), now - 2 * HOUR)
    remember("c", _forecast(now - HOUR, now - HOUR, [2, 2]), now - HOUR)
    remember("c", _forecast(now - HOUR, now + HOUR, [3]), now + HOUR)
    remember("c", _forecast(now - HOUR, now + HOUR, [4, 4]), now + 2 * HOUR)
    told = store.forecasts.in_force("c", "DE", *_span(now, 4))
    assert _values(told) == [2, 3, 4, 1], "then later ones in order, then older ones"


def test_a_hole_within_a_forecast_is_no_answer(store: Store, now: datetime) -> None:
    starts = now.timestamp() + np.array([0, 7200.0])
    holed = replace(_forecast(now, now, [1, 2]), starts=starts, ends=starts + 3600)
    store.forecasts.remember("c", holed, now)
    assert store.forecasts.in_force("c", "DE", *_span(now + HOUR, 1)) is None
    assert store.forecasts.last_told("c", "DE", *_span(now + HOUR, 1)) is None


def test_a_forecast_of_another_signal_is_not_mixed_in(store: Store, now: datetime) -> None:
    store.forecasts.remember("c", _forecast(now - HOUR, now, [1] * 4, signal="marginal"), now)
    store.forecasts.remember("c", _forecast(now, now, [2, 2]), now)
    told = store.forecasts.last_told("c", "DE", *_span(now, 4))
    assert told is not None
    assert (told.signal, _values(told)) == ("average", [2, 2])


def test_received_rows_come_by_prefix_and_span_in_order(store: Store, now: datetime) -> None:
    chains = ("source:b", "source:a", "Source:c", "chain", "source:a_x")
    for hours, chain in enumerate(chains):
        at = now + hours * HOUR
        store.forecasts.remember(chain, _forecast(now - 9 * HOUR, now, [hours]), at)
    store.forecasts.remember_failure("source:d", "DE", "nothing", now)
    rows = list(store.forecasts.received(*_span(now, 5), chains="source:"))
    assert [(r.chain, _values(r.series)) for r in rows] == [
        ("source:b", [0]), ("source:a", [1]), ("source:a_x", [4]),
    ]  # fmt: skip
    assert [r.row_id for r in rows] == sorted(r.row_id for r in rows)
    assert [r.known_at for r in rows] == [now, now + HOUR, now + 4 * HOUR]
    assert len(list(store.forecasts.received(*_span(now, 5)))) == 5
    assert [r.chain for r in store.forecasts.received(*_span(now + HOUR, 1))] == ["source:a"]


def test_the_last_answer_of_each_source_says_how_far_it_reaches_or_why_there_is_none(
    store: Store, now: datetime
) -> None:
    forecasts = store.forecasts
    forecasts.remember("source:a", _forecast(now, now, [1, 2]), now)
    for hours in (1, 2):
        forecasts.remember_failure("source:a", "DE", f"down {hours}", now + hours * HOUR)
    forecasts.remember_failure("source:b", "DE", "down", now)
    forecasts.remember("source:b", _forecast(now, now, [3, 3, 3]), now + HOUR)
    forecasts.remember("chain", _forecast(now, now, [9]), now)
    a, b = forecasts.answers("source:")
    assert a == ("source:a", "DE", now + 2 * HOUR, None, "down 2")
    assert b == ("source:b", "DE", now + HOUR, now + 3 * HOUR, "")
    # A failure is no forecast, and hides none.
    assert _values(forecasts.last_told("source:a", "DE", *_span(now, 2))) == [1, 2]
    newest = forecasts.newest("source:a", "DE")
    assert newest is not None
    assert _values(newest.series) == [1, 2]
    forecasts.remember("source:a", newest.series, now + 3 * HOUR)
    assert forecasts.answers("source:a")[0].until == now + 2 * HOUR


def test_a_torn_forecast_is_named_and_the_one_before_it_counts(store: Store, now: datetime) -> None:
    store.forecasts.remember("c", _forecast(now, now, [1]), now)
    row_id = store.forecasts.remember("c", _forecast(now, now, [2]), now + HOUR)
    damage(store, "UPDATE forecast SET payload = substr(payload, 1, 30) WHERE id = :id", id=row_id)
    newest = store.forecasts.newest("c", "DE")
    assert newest is not None
    assert _values(newest.series) == [1]
    assert list(store.damaged) == [("forecast", str(row_id))]
