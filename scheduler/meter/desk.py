"""Settling a metered run as the engine settles a job, with nothing kept.

The database is a scratch one that goes with the desk: the user's is neither opened nor made.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from providers import catalogue, typical
from providers.errors import NoData
from providers.series import from_unix
from scheduler import config as configuration
from scheduler import config_files, sci
from scheduler.engine import Context
from scheduler.engine.endings import NOT_STARTED_EXIT, verdict
from scheduler.engine.settling import settle_run
from scheduler.errors import ConfigError
from scheduler.meter.report import Report
from scheduler.models import Job, JobSpec, JobState
from scheduler.origin import account

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Journal, Receipt
    from providers.runner.units import Written
    from scheduler.meter.place import Place
    from scheduler.regions import Region

NO_ZONE = (
    "no place is known: name a zone (--zone DE) or a region (--region aws:eu-north-1), or set "
    "regions.{region}.zone in a config (`lowtide init` writes one); a place is never guessed"
)


@dataclass(frozen=True, slots=True)
class Metered:
    """A run as it was metered; ``receipt`` None while it goes on."""

    id: str
    name: str
    argv: tuple[str, ...]
    cwd: str
    slots: int
    gpus: int
    unit: str | None
    work: Written
    started_at: float
    receipt: Receipt | None
    journal: Journal
    unit_rationale: str | None = None


def _packaged(cwd: Path, environ: Mapping[str, str], scratch: Path) -> configuration.Config:
    """What the packaged file says; a user without a home folder keeps no answers of sources."""
    path = str(config_files.packaged())
    try:
        return configuration.load(path, environ, cwd)
    except ConfigError:
        return configuration.load(path, {**environ, "LOWTIDE_HOME": str(scratch)}, cwd)


class Desk:
    """Opened for one place, closed at the end."""

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        self._place, self._now = place, datetime.now(UTC)
        self._scratch = Path(tempfile.mkdtemp(prefix="lowtide-desk-"))
        try:
            config = place.config or _packaged(place.cwd, environ, self._scratch)
            self._context = Context.open(config, self._now, scratch=self._scratch)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def check(self) -> None:
        """The region is known, and one of its sources may know its zone; else an error."""
        region = self._region()
        zone = region.zone
        if zone is None or any(self._may_know(name, region, zone) for name in region.chain):
            return
        near = ", ".join(catalogue.nearest_names(zone.upper(), typical.zones()))
        raise NoData(
            f"no source of carbon data here knows zone {zone!r} "
            f"(asked: {', '.join(region.chain)}): {f'nearest are {near}; ' if near else ''}zones "
            "are named as Electricity Maps names them, e.g. DE, SE-SE3, US-CAL-CISO"
        )

    def settle(self, run: Metered) -> Report:
        """What the run has cost; provisional while it goes on, or a source owes actuals."""
        region, job = self._region(), self._job(run)
        self._context.outlook.begin_pass()
        code = None
        if run.receipt is not None:
            code = run.receipt.exit_code
            if run.receipt.signal is not None:
                code = 128 + run.receipt.signal
            if run.receipt.reason == "not_started":
                code = NOT_STARTED_EXIT
        record = sci.AttemptRecord(
            started_at=from_unix(run.started_at),
            ended_at=job.ended_at,
            exit_code=code,
            journal=run.journal,
        )
        settlement = settle_run(
            self._context.outlook,
            job,
            region,
            [record],
            run.work,
            self._now,
            baseline=None,
            no_zone=NO_ZONE.format(region=region.name),
        )
        return Report(job, settlement)

    def _region(self) -> Region:
        found = self._context.regions[self._place.name]
        if self._place.zone is None:
            return found
        # What sources call the zone of the config is no name of this one.
        return replace(found, zone=self._place.zone, zones={})

    def _may_know(self, name: str, region: Region, zone: str) -> bool:
        """Whether a source lists the zone; one that is asked over the network may know any."""
        source = self._context.outlook.source(name)
        own = region.zones.get(name, zone)
        zones = source.zones()
        if zones is not None:
            return own in zones
        if source.info.live:
            return True
        try:
            until = self._now + timedelta(hours=1)
            return len(source.forecast(own, self._now, until, self._now)) > 0
        except NoData:
            return False

    def _job(self, run: Metered) -> Job:
        state, reason = JobState.RUNNING, "it goes on"
        if run.receipt is not None:
            state, reason = verdict(run.receipt)
        started = from_unix(run.started_at)
        spec = JobSpec(
            argv=run.argv,
            cwd=run.cwd,
            name=run.name,
            user=account(),
            duration_s=None,
            submitted_at=started,
            release=started,
            home=self._place.name,
            gpus=run.gpus,
            slots=run.slots,
            unit=run.unit,
            unit_rationale=run.unit_rationale,
        )
        return Job(
            id=run.id,
            spec=spec,
            state=state,
            attempt=1,
            region=self._place.name,
            plan=None,
            started_at=started,
            ended_at=None if run.receipt is None else from_unix(run.receipt.ended_at),
            cancel_requested=False,
            reason=reason,
        )
