"""The same with two dispatchers on one PostgreSQL, whose sessions are ended under their feet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.ordeal import ENOUGH, KILLS, ordeal, setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.ordeal import Ordeal
    from support.postgres import Databases

REGIONS = """
shared_runs: runs
regions: {local: {zone: DE, slots: 1000}}
"""
# One tenth of what the machine's own database sees.
SHARE = 10
WIDTH = 8
# Of the lowtides, not of the test itself: each names its process to the server.
END = (
    "SELECT pid, state, left(query, 60), pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name LIKE 'lowtide %' AND datname = current_database() "
    "AND application_name NOT LIKE 'lowtide {pid} on %' ORDER BY random() LIMIT 1"
)


def _ends_sessions(life: Ordeal, databases: Databases, url: str) -> Callable[[], None]:
    def end() -> None:
        for pid, state, query, ended in databases.execute(url, END.format(pid=os.getpid())):
            if ended:
                life.passes.hindered(in_pass=True)
                life.journal.note("session", pid, f"{state}: {query}")

    return end


def test_nothing_is_lost_with_two_dispatchers_on_postgres(
    tmp_path: Path, postgres_databases: Databases
) -> None:
    url = postgres_databases.fresh()
    environ = {"LOWTIDE_DATABASE": url}
    with ordeal(tmp_path, REGIONS, homes=2, environ=environ) as life:
        ends = _ends_sessions(life, postgres_databases, url)
        count = max(SHARE, setting(KILLS, 100) // SHARE)
        life.suffer(count, WIDTH, {"session": ends})
        assert life.journal.counts().keys() >= {"executor call", "session"}
        life.recover()
        near = life.assert_held()
        assert near > 0 or count < ENOUGH, "no deadline was ever near: the law was not tried"
