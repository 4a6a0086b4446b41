"""Leases: one holder at a time, on the clock that all share."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from support.database import damage, open_store

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from scheduler.store import Store

MINUTE_S = 60.0


def test_one_holds_it_and_renews_it(store: Store, now: datetime) -> None:
    assert store.leases.holder("x", now) is None
    assert store.leases.take("x", "a", now, MINUTE_S)
    assert store.leases.take("x", "a", now, MINUTE_S)
    assert not store.leases.take("x", "b", now, MINUTE_S)
    assert store.leases.take("y", "b", now, MINUTE_S), "another lease"
    held = store.leases.holder("x", now)
    assert held is not None
    assert held.owner == "a"


def test_what_is_given_back_is_free_at_once(store: Store, now: datetime) -> None:
    assert store.leases.take("x", "a", now, MINUTE_S)
    store.leases.release("x", "b")
    assert not store.leases.take("x", "b", now, MINUTE_S), "it was not theirs to give back"
    store.leases.release("x", "a")
    assert store.leases.holder("x", now) is None
    assert store.leases.take("x", "b", now, MINUTE_S)


def test_a_lease_that_ran_out_is_free(store: Store, now: datetime) -> None:
    """By the server's clock on PostgreSQL, where time cannot be passed in: so a short one."""
    assert store.leases.take("x", "a", now, 0.2)
    time.sleep(0.3)
    later = now + timedelta(seconds=0.3)
    assert store.leases.holder("x", later) is None
    assert store.leases.take("x", "b", later, MINUTE_S)
    assert not store.leases.take("x", "a", later, MINUTE_S)


def test_a_clock_that_was_set_back_locks_nobody_out(store: Store, now: datetime) -> None:
    assert store.leases.take("x", "a", now, MINUTE_S)
    damage(store, "UPDATE lease SET until = until + 7200")
    assert store.leases.take("x", "b", now, MINUTE_S)
    held = store.leases.holder("x", now)
    assert held is not None
    assert held.owner == "b"


def test_of_many_that_ask_at_once_one_has_it(
    tmp_path: Path, database: dict[str, str], now: datetime
) -> None:
    stores = [open_store(tmp_path, database, now) for _ in range(6)]
    gate, won = threading.Barrier(len(stores)), []

    def ask(number: int) -> None:
        gate.wait()
        if stores[number].leases.take("x", f"o{number}", now, MINUTE_S):
            won.append(number)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    for store in stores:
        store.close()
