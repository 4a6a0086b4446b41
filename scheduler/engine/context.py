"""What every use case needs: configuration, store, regions, sources, engines, run folders."""

from __future__ import annotations

import os
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from providers import registry
from providers.surroundings import Surroundings
from scheduler import config as configuration
from scheduler.engine.outlook import Outlook
from scheduler.engine.runs import RunFolders
from scheduler.errors import ConfigError, PendingError, StoreError, UsageError, fault
from scheduler.origin import here as this_process
from scheduler.regions import Regions
from scheduler.store import Store, StoredHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from providers.base import Executor
    from providers.series import IntensityProvider
    from scheduler.config import Config
    from scheduler.models import Attempt, Job, JobSpec
    from scheduler.origin import Here
    from scheduler.regions import Region


@dataclass
class Context:
    """Wiring; opened once a command, closed at its end."""

    config: Config
    store: Store
    regions: Regions
    outlook: Outlook
    runs: RunFolders
    here: Here
    surroundings: Surroundings
    _executors: Mapping[str, Executor] = field(default_factory=dict)
    _by_region: dict[str, Executor] = field(default_factory=dict)
    _under: dict[str, Context] = field(default_factory=dict)
    _counted: dict[str, Executor] | None = None

    @classmethod
    def open(
        cls,
        config: Config,
        now: datetime,
        *,
        sources: Mapping[str, IntensityProvider] | None = None,
        executors: Mapping[str, Executor] | None = None,
        clock: Callable[[], datetime] | None = None,
        scratch: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        asks: bool = True,
    ) -> Context:
        """Open the home of ``config``; the database is made or brought up where needed.

        ``sources`` and ``executors`` stand in for those of the registry with the same name,
        ``clock`` for that of the machine, by which answers of sources grow old. With ``scratch``
        nothing is remembered: the database lies there, and goes with that folder; only what
        spares live sources (their limits and recent answers) stays in the home. Without ``asks``
        nobody is asked over the network: for readers, who are not to be kept waiting.
        """
        where = None if scratch else config.database
        store = Store(scratch or config.home, now, where, environ)
        history = StoredHistory(store.actuals, config.settings.providers)
        here = Surroundings(config.base_dir, config.home / "cache", environ, history, asks=asks)
        marks = this_process(config.home, config.shared_runs, environ)
        here = here if clock is None else replace(here, clock=clock)
        regions = Regions(config, here)
        outlook = Outlook(config, store, regions, here, sources)
        return cls(
            config=config,
            store=store,
            regions=regions,
            outlook=outlook if asks else outlook.remembering(),
            runs=RunFolders(Path(marks.origin.runs)),
            here=marks,
            surroundings=here,
            _executors=dict(executors or {}),
        )

    def with_outlook(self, outlook: Outlook) -> Context:
        """The same wiring with another outlook: one that asks, or that only remembers."""
        made = copy(self)
        made.outlook = outlook
        return made

    def counting_once(self) -> Context:
        """The same wiring, which asks an engine once for its slots and boards: what was asked
        before a transaction is not asked within it.
        """
        made = copy(self)
        made._counted = {}
        return made

    def executor(self, region: str) -> Executor:
        """The engine that runs jobs in ``region``; :class:`UsageError` where there is none."""
        if self._counted is None:
            return self._executor(region)
        if region not in self._counted:
            self._counted[region] = cast("Executor", _Counted(self._executor(region)))
        return self._counted[region]

    def _executor(self, region: str) -> Executor:
        if region in self._by_region:
            return self._by_region[region]
        name = self.regions[region].executor
        if name is None:
            raise UsageError(
                f"nothing can run jobs in {region}: give it an executor {self.config.edit}, "
                "or plan for it with `lowtide plan`"
            )
        if name in self._executors:
            return self._executors[name]
        if name not in registry.targets("executors"):
            known = ", ".join(registry.targets("executors"))
            raise ConfigError(
                f"{self.config.path}: regions.{region}.executor {name!r} is unknown: "
                f"known are {known}"
            )
        settings = {**self.config.settings.executors.get(name, {}), **self.regions[region].engine}
        found = registry.load("executors", name)(settings, self.config.base_dir)
        self._by_region[region] = found
        return self._by_region[region]

    def keep_config(self) -> None:
        """Store what the configuration file held, for jobs that are submitted under it."""
        self.store.configs.keep(self.config.digest, self.config.path, self.config.text)

    def settling(self, job: Job, region: str) -> Context:
        """This one, or one under the configuration that the job was submitted under.

        That one counts wherever it knows the grid zone of ``region``, where the job ran: a pass
        may go by another file, or by a later edition of the same.
        """
        own = self._as_submitted(job.spec.config)
        for each in (own, self):
            known = region in each.regions and job.spec.home in each.regions
            if known and each.regions[region].zone is not None:
                return each
        return own

    def _as_submitted(self, digest: str | None) -> Context:
        if digest in {None, self.config.digest}:
            return self
        assert digest is not None
        if digest not in self._under:
            kept = self.store.configs.get(digest)
            if kept is None:
                return self
            self._under[digest] = self._with(
                configuration.parse(kept[1], kept[0], self.config.home)
            )
        found = self._under[digest]
        found.outlook.join(self.outlook)
        return found

    def _with(self, config: Config) -> Context:
        """The same store, sources that stand in, and pass, under another configuration."""
        history = StoredHistory(self.store.actuals, config.settings.providers)
        here = replace(self.surroundings, base_dir=config.base_dir, history=history)
        regions = Regions(config, here)
        return replace(
            self,
            config=config,
            surroundings=here,
            regions=regions,
            outlook=self.outlook.under(config, regions, here),
            _by_region={},
        )

    def capacity(self, region: str, now: datetime) -> int:
        """Slots that jobs may hold in ``region`` at once, at the hour of ``now``."""
        return self.capacity_by_hour(region)[now.astimezone(UTC).hour]

    def capacity_by_hour(self, region: str) -> tuple[int, ...]:
        """The same for each hour of the day in UTC (24)."""
        return self.regions[region].slots or (self.executor(region).slots(),) * 24

    def host_of(self, spec: JobSpec, region: Region) -> str:
        """The host on which a job runs in ``region``."""
        return (spec.origin or self.here.origin).place_of(region.host)

    def may_start(self, job: Job) -> bool:
        """Whether it is this process's to start where it is planned to run."""
        if job.plan is None or not self.here.has_folders(job.spec.origin):
            return False
        return self.host_of(job.spec, self.regions[job.plan.window.region]) == (
            self.here.origin.host
        )

    def follows(self, job: Job, attempt: Attempt) -> bool:
        """Whether the processes of a start are on this host, and its folder is ours."""
        on_this_host = attempt.host in {"", self.here.origin.host}
        return on_this_host and self.here.has_folders(job.spec.origin)

    def close(self) -> None:
        """Close the store."""
        self.store.close()


class _Counted:
    """An engine that is asked once for what it has."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self.slots = cache(engine.slots)
        self.free_gpus = cache(engine.free_gpus)
        self.assignable_gpus = cache(engine.assignable_gpus)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@contextmanager
def alone(ctx: Context, job_id: str, now: datetime) -> Iterator[None]:
    """Keep one job's (or series') trouble from stopping all others, whatever it is: its region left
    the config, say, its run folder cannot be written, or it meets a fault of a plugin or of ours.
    """
    try:
        yield
    except StoreError:
        raise
    except PendingError:
        return  # nothing is wrong: a later pass sees to it
    except Exception as e:  # noqa: BLE001 -- whatever it is, it is this job's
        ctx.store.jobs.trouble(job_id, now, fault(e))
