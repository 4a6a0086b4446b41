"""From the run folder of a command in the foreground to its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from providers.runner.journal import read_journal
from providers.runner.units import read_units

if TYPE_CHECKING:
    from providers.base import Launch, Receipt
    from scheduler.meter.place import Place
    from scheduler.meter.report import Report


def report(
    launch: Launch,
    receipt: Receipt,
    where: Place,
    *,
    name: str | None,
    unit: str | None,
    unit_rationale: str | None = None,
) -> Report:
    """What the command cost. Raises what configuration, sources or disk may raise."""
    from scheduler.meter.desk import Desk, Metered

    with Desk(where, os.environ) as desk:
        return desk.settle(
            Metered(
                id=launch.job_id,
                name=name or Path(launch.argv[0]).name,
                argv=launch.argv,
                cwd=launch.cwd,
                slots=launch.slots,
                gpus=len(launch.gpus),
                unit=unit,
                unit_rationale=unit_rationale,
                work=read_units(Path(launch.units_file)),
                started_at=receipt.started_at,
                receipt=receipt,
                journal=read_journal(Path(launch.run_dir)),
            )
        )
