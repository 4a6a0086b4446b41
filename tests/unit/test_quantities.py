"""What people write becomes numbers in stated units, or one clear line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import quantities

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2h", 7200), ("1d12h", 129600), ("1.5h", 5400), ("4y", 4 * 365 * 86400)],
)
def test_spans_are_read_in_seconds(text: str, seconds: float) -> None:
    assert quantities.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2hours", "h", "-2h", "0s", "2h junk", "101y", "1e9h"])
def test_a_wrong_span_says_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match=r"2h|above zero"):
        quantities.duration_s(text)


def test_a_moment_is_iso_with_offset_or_a_span_from_now() -> None:
    assert quantities.moment("18h", NOW) == NOW + timedelta(hours=18)
    assert quantities.moment("2026-03-02T10:00+02:00", NOW) == NOW
    assert quantities.moment("2026-03-02T08:00:00Z", NOW) == NOW


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        quantities.moment("2026-03-02T10:00", NOW)


@pytest.mark.parametrize("text", ["tomorrow", "", "25:00"])
def test_a_wrong_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        quantities.moment(text, NOW)


def test_power_and_energy_need_their_units() -> None:
    assert quantities.power_w("350W") == 350
    assert quantities.power_w("1.2kW") == pytest.approx(1200)
    assert quantities.energy_kwh("800Wh") == pytest.approx(0.8)
    for wrong in ("350", "350 kg", "0W", "-5W", "W"):
        with pytest.raises(ValueError, match="350W"):
            quantities.power_w(wrong)


@pytest.mark.parametrize("text", ["-1%", "101%", "five", "nan"])
def test_a_share_lies_between_0_and_100(text: str) -> None:
    with pytest.raises(ValueError, match="0% and 100%"):
        quantities.percent(text)


@given(st.integers(0, 300), st.integers(0, 50), st.integers(0, 3000))
def test_parts_of_a_span_add_up(days: int, hours: int, seconds: int) -> None:
    if days + hours + seconds:
        total = quantities.duration_s(f"{days}d{hours}h{seconds}s")
        assert total == days * 86400 + hours * 3600 + seconds


PARSERS = (
    quantities.duration_s,
    quantities.percent,
    quantities.power_w,
    quantities.energy_kwh,
    lambda t: quantities.moment(t, NOW),
)


@given(st.text(max_size=12), st.sampled_from(PARSERS))
def test_no_text_breaks_a_parser(text: str, parse: Callable[[str], object]) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert found is not None


def test_a_duration_for_people() -> None:
    assert quantities.duration(42) == "42 s"
    assert quantities.duration(7500) == "2h 05m"
    assert quantities.duration(95000 * 2) == "2d 05h"
