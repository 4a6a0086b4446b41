"""What people write becomes numbers in stated units, or one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import quantities

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2h", 7200),
        ("1d12h", 129600),
        ("1.5h", 5400),
        ("4y", 4 * 365 * 86400),
        ("90min", 5400),
        ("2hours", 7200),
        ("2 Hours 30 minutes", 9000),
        ("02:00:00", 7200),
        ("2:00:00", 7200),
        ("1-12:00:00", 129600),
        ("1 day, 6 hrs", 108000),
    ],
)
def test_spans_are_read_in_seconds(text: str, seconds: float) -> None:
    assert quantities.duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "h", "-2h", "0s", "2h junk", "101y", "1e9h", "2 parsecs", "2h30", "2h-1m", "-5", "1:2:3"],
)
def test_a_wrong_span_says_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match=r"2h|above zero"):
        quantities.duration_s(text)


@pytest.mark.parametrize(
    ("text", "readings"),
    [("90", ("90s", "90m")), ("1.5", ("1.5s", "1.5m")), ("2:00", ("2:00:00", "2m00s"))],
)
def test_a_span_with_two_readings_is_refused_with_both(
    text: str, readings: tuple[str, str]
) -> None:
    with pytest.raises(ValueError, match=f"{readings[0]} or {readings[1]}"):
        quantities.duration_s(text)
    for reading in readings:
        assert quantities.duration_s(reading) > 0


def test_power_may_lack_its_unit_and_energy_may_not() -> None:
    assert quantities.power_w("350W") == quantities.power_w("350") == 350
    assert quantities.power_w("1.2kW") == pytest.approx(1200)
    assert quantities.energy_kwh("800Wh") == pytest.approx(0.8)
    for wrong in ("350 kg", "0W", "-5W", "W", "-5", "1e306kW"):
        with pytest.raises(ValueError, match="350W"):
            quantities.power_w(wrong)
    with pytest.raises(ValueError, match="kWh"):
        quantities.energy_kwh("800")


def test_milli_is_not_mega() -> None:
    assert quantities.power_w("350mW") == pytest.approx(0.35)
    assert quantities.power_w("1MW") == pytest.approx(1e6)
    assert quantities.energy_kwh("5mWh") == pytest.approx(5e-6)
    with pytest.raises(ValueError, match="MW"):
        quantities.power_w("1mw")


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 5), ("0.05", 5), ("0.1", 10), ("0.07", 7), ("7 %", 7), ("0", 0), ("100%", 100)],
)
def test_a_share_is_percent_or_a_part_of_one(text: str, share: float) -> None:
    assert quantities.percent(text) == share


@pytest.mark.parametrize(("text", "readings"), [("5", ("5%", "500%")), ("1", ("1%", "100%"))])
def test_a_share_with_two_readings_is_refused_with_both(
    text: str, readings: tuple[str, str]
) -> None:
    with pytest.raises(ValueError, match=f"{readings[0]} or {readings[1]}"):
        quantities.percent(text)


@pytest.mark.parametrize("text", ["-1%", "101%", "five", "nan", "-0.1", "", "%", "1e400%"])
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
    quantities.span_s,
    quantities.data_gb,
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
