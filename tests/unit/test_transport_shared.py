"""What all processes of a home know of a source: its last contact, its limit, its breaker."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.asking import CALM, Clock, Serve, door
from support.clock import NOW
from support.server import Asked, Reply

from providers.errors import AccessDenied, NoData, Unavailable
from providers.transport import Contact, contact
from providers.transport.ledger import OPENS_AFTER, Ledger

# What a process of its own runs: one question, at a time that is given.
ASK = """
import json, sys
from datetime import datetime
from pathlib import Path
from providers.errors import LowtideError
from providers.surroundings import Surroundings
from providers.transport import Http, Policy
url, folder, now, policy = sys.argv[1:]
at = datetime.fromisoformat(now)
http = Http(Policy(**json.loads(policy)), Surroundings.at(Path(folder)), clock=lambda: at,
            sleep=lambda s: None)
try:
    print(http.get(url).text)
except LowtideError as e:
    print(type(e).__name__, e)
"""


def fine(asked: Asked) -> Reply:
    return Reply("42")


def broken(asked: Asked) -> Reply:
    return Reply("", 500)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def process(url: str, folder: Path, now: datetime = NOW, **policy: Any) -> subprocess.Popen[str]:
    how = {"source": "tides", "ttl_s": 1800, "calls": 1000, "per_s": 1, "timeout_s": 20, **policy}
    argv = [sys.executable, "-P", "-W", "error", "-c", ASK, url, str(folder), now.isoformat()]
    return subprocess.Popen(
        [*argv, json.dumps(how)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def said(*processes: subprocess.Popen[str]) -> list[str]:
    return [one.communicate(timeout=120)[0].strip() for one in processes]


# --- processes of one home ------------------------------------------------------------


def test_an_answer_is_kept_for_the_next_process(serve: Serve, tmp_path: Path) -> None:
    server = serve(fine)
    assert said(process(server.url, tmp_path)) == ["42"]
    assert said(process(server.url, tmp_path)) == ["42"]
    assert len(server.asked) == 1
    met = contact("tides", tmp_path / "cache")
    assert met == Contact(last_success=NOW)


def test_processes_share_one_limit(serve: Serve, tmp_path: Path) -> None:
    """Five at once, of which an hour allows two."""
    server = serve(fine)
    asking = [process(f"{server.url}/{i}", tmp_path, calls=2, per_s=3600) for i in range(5)]
    answers = sorted(said(*asking))
    assert answers[:2] == ["42", "42"]
    wanted = "Unavailable tides may be asked 2 times in 3600 s: not again before 09:20:00Z"
    assert answers[2:] == [wanted] * 3
    assert len(server.asked) == 2


def test_an_open_breaker_costs_the_next_process_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve(broken)
    for _ in range(OPENS_AFTER):
        said(process(server.url, tmp_path, tries=1))
    server.play = fine
    (answer,) = said(process(server.url, tmp_path))
    assert answer == (
        "Unavailable tides is not asked again before 08:21:00Z: "
        "tides does not answer now (500 at 127.0.0.1)"
    )
    assert len(server.asked) == OPENS_AFTER


def test_one_process_alone_tries_whether_a_source_is_back(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(broken)
    for _ in range(OPENS_AFTER):
        with pytest.raises(Unavailable):
            door(tmp_path, clock, replace(CALM, tries=1)).get(server.url)
    server.asked.clear()
    server.play = broken
    later = clock.now + timedelta(seconds=61)
    answers = said(*(process(server.url, tmp_path, later) for _ in range(3)))
    assert all(answer.startswith("Unavailable") for answer in answers)
    assert len(server.asked) == 1


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    """Each takes places of its own, though all change one file at once."""
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from providers.transport.ledger import Ledger\n"
        "ledger = Ledger('tides', Path(sys.argv[1]))\n"
        "for _ in range(50):\n"
        "    ledger.place_s(datetime(2026, 3, 2, tzinfo=UTC), 1000, 3600, 1)"
    )
    argv = [sys.executable, "-P", "-c", code, str(tmp_path)]
    running = [subprocess.Popen(argv) for _ in range(4)]
    assert [one.wait(120) for one in running] == [0] * 4
    page = json.loads((tmp_path / "contact" / "tides.json").read_text())
    assert len(page["asked"]) == 200


# --- the breaker ----------------------------------------------------------------------


def test_it_opens_after_failures_in_a_row_and_its_pause_doubles_up_to_half_an_hour(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(broken)
    http = door(tmp_path, clock, replace(CALM, tries=1))
    pauses = []
    for _ in range(9):
        with pytest.raises(Unavailable):
            http.get(server.url)
        met = contact("tides", tmp_path / "cache")
        assert met is not None
        assert met.last_failure == clock.now
        assert met.detail == "tides does not answer now (500 at 127.0.0.1)"
        pause_s = (met.open_until - clock.now).total_seconds() if met.open_until else 0.0
        pauses.append(pause_s)
        clock.pass_s(pause_s)
    assert pauses == [0, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_while_it_is_open_nothing_is_asked_but_a_young_answer_is_given(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(fine)
    http = door(tmp_path, clock)
    http.get(f"{server.url}/known")
    server.play = broken
    for _ in range(OPENS_AFTER):
        with pytest.raises(Unavailable):
            http.get(f"{server.url}/new")
    asked = len(server.asked)
    server.play = fine
    assert http.get(f"{server.url}/known").json() == 42
    with pytest.raises(Unavailable, match=r"not asked again before \d\d:\d\d:\d\dZ: tides does"):
        http.get(f"{server.url}/known", ttl_s=0)
    assert len(server.asked) == asked
    clock.pass_s(60)
    assert http.get(f"{server.url}/known", ttl_s=0).json() == 42
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert (met.last_success, met.open_until) == (clock.now, None)


def test_half_open_it_is_asked_once_without_a_second_try(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(broken)
    http = door(tmp_path, clock)
    for _ in range(OPENS_AFTER):
        with pytest.raises(Unavailable):
            http.get(server.url)
    asked = len(server.asked)
    clock.pass_s(60)
    with pytest.raises(Unavailable):
        http.get(server.url)
    assert len(server.asked) == asked + 1


@pytest.mark.parametrize(("status", "error"), [(404, NoData), (401, AccessDenied)])
def test_a_refusal_is_an_answer_and_closes_it(
    serve: Serve, tmp_path: Path, clock: Clock, status: int, error: type[Exception]
) -> None:
    server = serve(broken)
    http = door(tmp_path, clock)
    for play in [broken, lambda asked: Reply("", status), broken]:
        server.play = play
        with pytest.raises((Unavailable, error)):
            http.get(server.url)
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert met.open_until is None


def test_patience_for_an_hour_opens_it_at_once_and_a_day_is_the_most(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(lambda asked: Reply("", 429, {"Retry-After": "3600"}))
    http = door(tmp_path, clock)
    with pytest.raises(Unavailable, match="not asked again before 09:20:00Z"):
        http.get(server.url)
    clock.pass_s(3599)
    with pytest.raises(Unavailable, match="not asked again before 09:20:00Z"):
        http.get(server.url)
    assert len(server.asked) == 1
    clock.pass_s(1)
    server.play = lambda asked: Reply("", 503, {"Retry-After": "999999999"})
    with pytest.raises(Unavailable, match="not asked again before 2026-03-03 09:20:00Z"):
        http.get(server.url)


def test_each_source_has_its_own(serve: Serve, tmp_path: Path, clock: Clock) -> None:
    server = serve(broken)
    for _ in range(OPENS_AFTER):
        with pytest.raises(Unavailable):
            door(tmp_path, clock).get(server.url)
    server.play = fine
    other = replace(CALM, source="../moon/phases")
    assert door(tmp_path, clock, other).get(server.url).json() == 42
    assert contact("../moon/phases", tmp_path / "cache") == Contact(last_success=clock.now)
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {"answers", "contact"}


def test_a_source_never_asked_was_never_met(tmp_path: Path) -> None:
    assert contact("tides", tmp_path) is None
    Ledger("tides", tmp_path).place_s(NOW, 1, 1, 1)
    assert contact("tides", tmp_path) is None


# --- the limit ------------------------------------------------------------------------


def test_a_short_wait_for_a_place_is_waited_for(serve: Serve, tmp_path: Path, clock: Clock) -> None:
    server = serve(fine)
    http = door(tmp_path, clock, replace(CALM, calls=2, per_s=10, timeout_s=10))
    for i in range(5):
        assert http.get(f"{server.url}/{i}").asked_at == clock.now
    assert clock.slept_s == [10, 10]
    assert len(server.asked) == 5


def test_a_long_wait_is_none(serve: Serve, tmp_path: Path, clock: Clock) -> None:
    server = serve(fine)
    http = door(tmp_path, clock, replace(CALM, calls=1, per_s=60))
    http.get(f"{server.url}/1")
    with pytest.raises(Unavailable, match=r"asked once in 60 s: not again before 08:21:00Z"):
        http.get(f"{server.url}/2")
    assert http.get(f"{server.url}/1").json() == 42
    clock.pass_s(60)
    assert http.get(f"{server.url}/2").json() == 42
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert met.last_failure is None, "our own limit is no failure of the source"


def test_a_patient_door_of_a_source_keeps_its_place_before_an_impatient_one(
    tmp_path: Path,
) -> None:
    ledger = Ledger("tides", tmp_path)
    assert [ledger.place_s(NOW, 1, 60, 61) for _ in range(2)] == [0, 60]
    with pytest.raises(Unavailable, match="before 08:22:00Z"):
        ledger.place_s(NOW, 1, 60, 15)
    with pytest.raises(Unavailable, match="before 08:22:00Z"):
        ledger.place_s(NOW + timedelta(seconds=59), 1, 60, 15)


def test_where_the_limit_forbids_another_try_the_first_one_s_fault_is_told(
    serve: Serve, tmp_path: Path, clock: Clock
) -> None:
    server = serve(broken)
    http = door(tmp_path, clock, replace(CALM, calls=1, per_s=60))
    with pytest.raises(Unavailable) as raised:
        http.get(server.url)
    assert str(raised.value) == "tides does not answer now (500 at 127.0.0.1)"
    assert len(server.asked) == 1
    met = contact("tides", tmp_path / "cache")
    assert met is not None
    assert met.last_failure == clock.now


@given(
    calls=st.integers(1, 4),
    per_s=st.floats(0.1, 100),
    longest_s=st.floats(0, 50),
    pauses=st.lists(st.floats(0, 60), min_size=1, max_size=25),
)
def test_no_span_of_time_holds_more_than_its_calls(
    calls: int, per_s: float, longest_s: float, pauses: list[float]
) -> None:
    """Places that were taken lie far enough apart, whoever waits how long."""
    with TemporaryDirectory() as folder:
        now, taken = NOW, []
        for pause in pauses:
            now += timedelta(seconds=pause)
            try:
                wait_s = Ledger("tides", Path(folder)).place_s(now, calls, per_s, longest_s)
            except Unavailable:
                continue
            assert 0 <= wait_s <= longest_s
            taken.append(now.timestamp() + wait_s)
    taken.sort()
    spans = zip(taken, taken[calls:], strict=False)
    assert all(b - a >= per_s - 1e-3 for a, b in spans)


# --- hostile files --------------------------------------------------------------------

TIMES = st.one_of(
    st.none(),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "now", 0, 1e300]),
    st.integers(),
    st.floats().map(repr),
)
PAGES = st.fixed_dictionaries(
    {},
    optional={
        "last_success": TIMES,
        "last_failure": TIMES,
        "open_until": TIMES,
        "detail": st.none() | st.text(),
        "failures": st.integers(-1, 10**30) | st.text(max_size=3),
        "asked": st.lists(st.floats() | st.integers(), max_size=5) | st.none(),
        "more": st.integers(),
    },
).map(lambda page: json.dumps(page).encode())


@given(st.binary() | PAGES | st.text().map(str.encode))
@example(b'{"asked": [NaN, 1e999]}')
@example(b"[" * 500_000)
@example(b'{"failures": 999999999999}')
@example(b'{"open_until": "9999-12-31T23:59:59Z", "last_failure": "2026-01-01T00:00:00Z"}')
@example(b'{"last_success": "2026-01-01T00:00:00"}')
@example(b'{"last_failure": "2026-01-01T00:00:00Z", "detail": "a\\nb\\u001b[31m"}')
@example(b" " * 2_000_000 + b"{}")
def test_a_torn_or_hostile_file_is_told_as_if_it_were_honest_or_absent(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "contact" / "tides.json"
        path.parent.mkdir()
        path.write_bytes(content)
        met = contact("tides", Path(folder))
        assert met is None or (met.detail or "").isprintable()
        for moment in () if met is None else (met.last_success, met.last_failure, met.open_until):
            assert moment is None or moment.tzinfo is UTC
        ledger = Ledger("tides", Path(folder))
        told = []
        for step in (lambda: ledger.admit(NOW, 10), lambda: ledger.place_s(NOW, 2, 10, 5)):
            try:
                step()
            except Unavailable as e:
                told.append(str(e))
        told.append(ledger.failed(NOW, "no", None))
        assert all(map(str.isprintable, told))
        ledger.answered(NOW)
        met = contact("tides", Path(folder))
        assert met is not None
        assert (met.last_success, met.open_until) == (NOW, None)


def test_a_breaker_open_for_years_is_no_honest_one(tmp_path: Path) -> None:
    """A day is the most that any stays open: the clock was set back."""
    path = tmp_path / "contact" / "tides.json"
    path.parent.mkdir()
    for days, admitted in ((2, True), (0.5, False)):
        until = (NOW + timedelta(days=days)).isoformat()
        path.write_text(json.dumps({"open_until": until, "failures": 5}))
        if admitted:
            Ledger("tides", tmp_path).admit(NOW, 10)
        else:
            with pytest.raises(Unavailable):
                Ledger("tides", tmp_path).admit(NOW, 10)


def test_places_taken_in_the_far_future_are_none(tmp_path: Path) -> None:
    path = tmp_path / "contact" / "tides.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"asked": [NOW.timestamp() + 1e6] * 5}))
    assert Ledger("tides", tmp_path).place_s(NOW, 1, 60, 5) == 0


def test_where_nothing_can_be_written_a_process_knows_what_it_saw(tmp_path: Path) -> None:
    (tmp_path / "contact").write_text("in the way")
    ledger = Ledger("tides", tmp_path)
    ledger.place_s(NOW, 1, 60, 5)
    with pytest.raises(Unavailable):
        ledger.place_s(NOW, 1, 60, 5)
    for _ in range(OPENS_AFTER):
        ledger.failed(NOW, "tides does not answer", None)
    with pytest.raises(Unavailable, match="08:21:00Z"):
        ledger.admit(NOW, 10)
    assert contact("tides", tmp_path) is None
