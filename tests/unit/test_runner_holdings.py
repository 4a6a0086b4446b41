"""The ledger of the host: what all runs hold of one machine, and for how long."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.runner import holdings, proc
from providers.runner.holdings import Entry, Held, Holdings, parse, shared_out
from providers.runner.shares import part

CPUS = 8


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(os, "cpu_count", lambda: CPUS)
    return Clock()


def _other(begin_s: float, end_s: float | None, slots: int, *, number: int = 0) -> Entry:
    """A run of the process that started us, which stands beside this one in these tests."""
    parent = proc.identify(os.getppid())
    assert parent is not None
    return Entry(parent.pid, parent.start_ticks, number, slots, begin_s, end_s, "other")


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run of these tests lies within another one."""
    monkeypatch.setattr(Holdings, "_outer", lambda self: None)


def test_an_entry_is_what_its_name_says() -> None:
    entry = _other(12.5, None, 3)
    assert parse(entry.name) == entry
    ended = _other(12.5, 99.25, 3)
    assert parse(ended.name) == ended
    assert parse("rubbish") is None


@pytest.mark.usefixtures("apart")
def test_runs_share_the_machine_for_as_long_as_they_overlap(tmp_path: Path, clock: Clock) -> None:
    mine = Holdings(8, "mine", tmp_path, clock)
    clock.now_s += 2
    other = Holdings(8, "other", tmp_path, clock)
    clock.now_s += 1
    other.close()  # begun and ended between two looks of the first
    clock.now_s += 1
    assert mine.look() == Held(4.0, pytest.approx(2 + 1 / 2 + 1), 0.0)
    mine.close()
    mine.close()
    assert all(parse(path.name).end_s for path in tmp_path.iterdir())  # type: ignore[union-attr]


@pytest.mark.usefixtures("apart")
def test_a_run_that_was_killed_counts_up_to_the_next_look(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Holdings(4, "mine", tmp_path, clock)
    living = _other(clock(), None, 12)
    (tmp_path / living.name).touch()
    clock.now_s += 1
    assert mine.look() == Held(1.0, 4 / 16, 0.0)
    monkeypatch.setattr(proc, "lives", lambda *_: False)
    clock.now_s += 1
    assert mine.look().own_s == pytest.approx(4 / 16)
    clock.now_s += 1
    assert mine.look() == Held(1.0, 1 / 2, 1 / 2)


@pytest.mark.usefixtures("apart")
def test_what_is_over_for_long_is_taken_away(tmp_path: Path, clock: Clock) -> None:
    late, old = _other(990.0, 995.0, 1), _other(1.0, 2.0, 1, number=1)
    dead = Entry(os.getppid(), 1, 2, 1, 990.0, None, "dead")
    for entry in (late, old, dead):
        (tmp_path / entry.name).touch()
    (tmp_path / "rubbish").touch()
    Holdings(1, "mine", tmp_path, clock).close()
    left = {path.name for path in tmp_path.iterdir()}
    assert {late.name, "rubbish"} <= left
    assert not {old.name, dead.name} & left


def test_a_run_within_another_one_holds_what_that_one_holds(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / _other(clock(), None, 4).name).touch()
    inner = Holdings(2, "inner", tmp_path, clock)
    assert inner.within == "other"
    assert len(list(tmp_path.iterdir())) == 1
    clock.now_s += 1
    assert inner.look() == Held(1.0, 2 / 8, 4 / 8)
    inner.close()


@pytest.mark.usefixtures("apart")
def test_runs_of_other_users_count(tmp_path: Path, clock: Clock) -> None:
    place = tmp_path / f"{holdings.PREFIX}{os.geteuid()}"
    strange = tmp_path / f"{holdings.PREFIX}{os.geteuid() + 1}"  # its name says another owner
    linked = tmp_path / f"{holdings.PREFIX}{os.geteuid()}-link"
    other = tmp_path / f"{holdings.PREFIX}{os.geteuid()}-other"
    for folder, number in ((strange, 1), (other, 2)):
        folder.mkdir()
        (folder / _other(clock(), None, 8, number=number).name).touch()
    linked.symlink_to(other)
    mine = Holdings(8, "mine", place, clock)
    clock.now_s += 1
    assert mine.look().own_s == pytest.approx(1 / 2)


@pytest.mark.usefixtures("apart")
def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "held"
    place.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    mine = Holdings(2, "mine", place, clock)
    clock.now_s += 1
    assert mine.look() == Held(1.0, 2 / 8, 6 / 8)
    assert list(place.iterdir()) == []
    assert holdings.folder().name.endswith(str(place.stat().st_uid + 1))


@pytest.mark.usefixtures("apart")
def test_without_a_folder_a_run_knows_only_its_own(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "held").touch()
    one = Holdings(4, "one", tmp_path / "held", clock)
    clock.now_s += 1
    assert one.look().own_s == pytest.approx(1 / 2)
    one.close()


runs = st.lists(
    st.tuples(
        st.integers(1, 2 * CPUS),
        st.integers(0, 50),
        st.integers(1, 50),
        st.lists(st.integers(1, 99), max_size=4),  # at which hundredths of its time it looks
    ),
    min_size=1,
    max_size=6,
)


@given(runs)
def test_shares_of_overlapping_runs_are_the_machine(
    runs: list[tuple[int, int, int, list[int]]],
) -> None:
    """Whenever each of them looks: all of it where as much is held, else what is held."""
    entries = [
        Entry(n, 1, 0, slots, begin / 4, (begin + length) / 4, str(n))
        for n, (slots, begin, length, _) in enumerate(runs)
    ]
    charged_s = 0.0
    for entry, (_, _, length, looks) in zip(entries, runs, strict=True):
        others = [other for other in entries if other is not entry]
        at = [entry.begin_s + length / 4 * look / 100 for look in sorted({0, 100, *looks})]
        for a, b in pairwise(at):
            held = shared_out(entry.slots, others, a, b, cpus=CPUS, within=False)
            charged_s += held.own_s
            assert 0 <= held.own_s + held.free_s <= held.span_s * (1 + 1e-9)
    edges = sorted({t for e in entries for t in (e.begin_s, e.end_s or 0.0)})
    there_s = 0.0
    for a, b in pairwise(edges):
        slots = sum(e.slots for e in entries if e.begin_s <= a and b <= (e.end_s or 0.0))
        there_s += (b - a) * min(1.0, slots / CPUS)
    assert charged_s == pytest.approx(there_s)


@given(st.lists(st.tuples(st.integers(1, 2 * CPUS), st.floats(0, CPUS)), min_size=1, max_size=6))
def test_parts_are_parts_of_one(jobs: list[tuple[int, float]]) -> None:
    """With what they use beyond what they hold, of what no run holds."""
    held = sum(slots for slots, _ in jobs)
    busy = sum(used for _, used in jobs)
    parts = [
        part(
            Held(1.0, slots / max(CPUS, held), max(0, CPUS - held) / CPUS),
            uses=used / CPUS,
            others=(busy - used) / CPUS,
        )
        for slots, used in jobs
    ]
    assert all(found >= 0 for found in parts)
    assert sum(parts) <= 1 + 1e-9
    if held >= CPUS:
        assert sum(parts) == pytest.approx(1)


@pytest.mark.parametrize(
    ("slots", "used", "busy", "held", "share"),
    [
        (2, 1.0, 8.0, 2, 2 / 8),  # what it holds, however busy the rest is
        (2, 1.0, 1.0, 16, 2 / 16),  # more is held than there is
        (1, 8.0, 8.0, 1, 1.0),  # alone, it uses all that no run holds
        (1, 8.0, 8.0, 8, 1 / 8),  # others hold all of that
        (1, 3.0, 7.0, 1, 1 / 8 + 7 / 8 * 2 / 7),  # shared with strangers, by use
    ],
)
def test_the_rule_of_parts(slots: int, used: float, busy: float, held: int, share: float) -> None:
    of = Held(2.0, 2 * slots / max(CPUS, held), 2 * max(0, CPUS - held) / CPUS)
    found = part(of, uses=used / CPUS, others=(busy - used) / CPUS)
    assert found == pytest.approx(share)
