"""kill -9 of everything, again and again, over a life of many jobs; then every law must hold.

How many kills is ``LOWTIDE_FAULT_KILLS`` (``make faults`` makes 1,000); a failure prints the seed
for ``LOWTIDE_FAULT_SEED`` and what was killed, when, and in which state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.ordeal import KILLS, KNOWN, LONG, OUTAGE, ordeal, setting

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 20
LOCAL = "regions: {local: {zone: DE, slots: 1000}}"
SPARE = "spare: {zone: DE, executor: local, slots: 1000}"
REGIONS = f"regions: {{local: {{zone: DE, slots: 1000}}, {SPARE}}}"
# Too few slots for all; then jobs go to the second region, which is gone later; then no forecast.
EDITIONS = (
    f"regions: {{local: {{zone: DE, slots: 8}}}}\n{KNOWN}",
    f"regions: {{local: {{zone: DE, slots: 2}}, {SPARE}}}\n{KNOWN}",
    f"{LOCAL}\n{KNOWN}",
    f"{LOCAL}\n{OUTAGE}",
)


def test_nothing_is_lost_whatever_is_killed_on_this_machine(tmp_path: Path) -> None:
    with ordeal(tmp_path, REGIONS, editions=EDITIONS) as life:
        count = setting(KILLS, 100)
        life.suffer(count, WIDTH, {})
        assert life.journal.counts().keys() >= {"executor call", "transaction"}
        life.recover()
        assert life.assert_held() > 0, "no deadline was ever near: the law was not tried"
        assert count < LONG or all(life.tried.values()), f"not tried: {life.tried}"
