"""kill -9 of everything, again and again, over a life of many jobs; then every law must hold.

How many kills is ``LOWTIDE_FAULT_KILLS`` (``make faults`` makes 1,000); a failure prints the seed
for ``LOWTIDE_FAULT_SEED`` and what was killed, when, and in which state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.ordeal import KILLS, ordeal, setting

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 20


def test_nothing_is_lost_whatever_is_killed_on_this_machine(tmp_path: Path) -> None:
    regions = "regions: {local: {zone: DE, slots: 1000}}"
    with ordeal(tmp_path, regions) as life:
        life.suffer(setting(KILLS, 100), WIDTH, {})
        assert life.journal.counts().keys() >= {"executor call", "transaction"}
        life.recover()
        assert life.assert_held() > 0, "no deadline was ever near: the law was not tried"
