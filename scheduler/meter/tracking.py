"""``track()``: this process tree, from entry to exit of a block, metered by a thread of its own.

The thread reads cumulative counters, so it may come late (a long call that holds the GIL) and
loses nothing but detail over time. It ends with the process, and in a forked child it is not
there: the child's work counts in the parent, as that of any child. Whatever fails in it is a
note in the report, never an exception in the program.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from providers.base import Journal, Receipt, Scope
from providers.meters.nvml.assigned import Allocation, allocation
from providers.runner.holdings import Holdings
from providers.runner.journal import read_journal
from providers.runner.metering import Metering
from providers.runner.record import Clock, Record
from providers.runner.units import Written
from scheduler.meter.own import OwnTree
from scheduler.meter.place import check_slots, place
from scheduler.meter.whole_life import whole_life

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scheduler.meter.place import Place
    from scheduler.meter.report import Report

# A meter that hangs (a driver can) is left to itself after this long.
END_PATIENCE_S = 5.0
HANGS = f"a meter did not answer for {END_PATIENCE_S:g} s at the end: what it read last is missing"
OVERLAPS = (
    "another track() was open in this process meanwhile: each counts the whole process, so do not "
    "add them up"
)

P = ParamSpec("P")
T = TypeVar("T")

_OPEN: set[Run] = set()
os.register_at_fork(after_in_child=lambda: _OPEN.clear())


class Run:
    """What is metered between entry and exit of one block."""

    def __init__(
        self,
        where: Place,
        *,
        name: str,
        unit: str | None,
        slots: int,
        gpus: Sequence[str] | None,
        interval_s: float,
        then: Callable[[Run], object] | None = None,
    ) -> None:
        self.id, self.name, self.unit, self.slots = secrets.token_hex(4), name, unit, slots
        self.work: list[tuple[str, float]] = []
        self._where, self._pid, self._then = where, os.getpid(), then
        given = allocation(os.environ) if gpus is None else Allocation(tuple(gpus))
        self.gpus = given.boards if given is not None else ()
        self._notes = list(given.notes) if given is not None else []
        self._receipt: Receipt | None = None
        self._over = threading.Event()
        self._folder: Path | None = None
        self._journal: Journal | None = None
        self._overlap()
        metering = Metering(where.meters, Scope(slots, self.gpus))
        self._clock, self._tree = Clock(), OwnTree()
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="lowtide-track-"))
            self._forget = weakref.finalize(self, _remove, self._folder, self._pid)
        except OSError as e:
            self._journal = Journal((), (), (f"no energy journal: {e}",))
            return
        holdings = Holdings(slots, self.id)
        record = Record(self._folder, interval_s, self._clock, metering, self._tree, holdings)
        self._thread = threading.Thread(
            target=self._sample, args=(record, metering), name="lowtide-track", daemon=True
        )
        self._thread.start()

    def add(self, count: float = 1.0, unit: str | None = None) -> None:
        """Count work that was done, of the unit named at the start or of another."""
        name = unit or self.unit
        if name is None:
            raise ValueError("no unit was named: track(unit='epochs'), or add(1, 'epochs')")
        self.work.append((name, count))

    def metric(self, name: str, value: float) -> None:
        """Keep a figure of the result, such as its accuracy; the last one counts."""
        self.work.append((f"metric.{name}", value))

    def report(self) -> Report:
        """What it has cost; so far, while it goes on. Asked again, it asks the sources again.

        Raises what the sources' configuration or the disk may raise (:class:`LowtideError`); the
        record stays, and it may be asked again.
        """
        from scheduler.meter.desk import Desk, Metered

        with Desk(self._where, os.environ) as desk:
            return desk.settle(
                Metered(
                    id=self.id,
                    name=self.name,
                    argv=tuple(sys.argv),
                    cwd=str(self._where.cwd),
                    slots=self.slots,
                    gpus=len(self.gpus),
                    unit=self.unit,
                    work=Written(tuple(self.work)),
                    started_at=self._clock.wall,
                    receipt=self._receipt,
                    journal=self._read(),
                )
            )

    def stop(self, *, failed: bool = False) -> None:
        """End it; the first call counts, and none does in a process forked since.

        What waits for the run (``then``) gets it, unless it ``failed``.
        """
        if self._receipt is not None or os.getpid() != self._pid:
            return
        self._over.set()
        if self._folder is not None:
            self._thread.join(END_PATIENCE_S)
            if self._thread.is_alive():
                self._notes.append(HANGS)
            self._journal = read_journal(self._folder)
            self._forget()
        _OPEN.discard(self)
        self._receipt = Receipt(
            job_id=self.id,
            attempt=1,
            reason="exited",
            started_at=self._clock.wall,
            ended_at=self._clock.now(),
            exit_code=1 if failed else 0,
            signal=None,
            cpu_s=self._tree.usage()[0],
        )
        if self._then is not None and not failed:
            self._then(self)

    def __str__(self) -> str:
        return str(self.report())

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def _overlap(self) -> None:
        if _OPEN:
            for run in (self, *_OPEN):
                run._notes.append(OVERLAPS)
        _OPEN.add(self)

    def _read(self) -> Journal:
        found = self._journal
        if found is None:
            assert self._folder is not None  # without one there is a journal from the start
            found = read_journal(self._folder)
        notes = dict.fromkeys((*found.notes, *self._notes))
        return Journal(found.components, found.samples, tuple(notes), found.meta)

    def _sample(self, record: Record, metering: Metering) -> None:
        """The thread: samples while the block lasts, then the last one."""
        try:
            record.begin()
            while not self._over.wait(max(0.0, record.next_at - self._clock.elapsed())):
                record.sample()
            record.close()
        except Exception as e:  # noqa: BLE001 -- metering may never harm the program
            self._notes.append(f"the meter stopped: {e}")
        metering.close()


def _remove(folder: Path, pid: int) -> None:
    """Also at the end of a program that stopped nothing; not at that of a forked child."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _cwd() -> Path:
    """The current folder; the root, in which no config lies, where it has been removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


class Tracker:
    """What :func:`track` returns: a context, a decorator, or :meth:`start` and :meth:`stop`."""

    def __init__(self, make: Callable[[], Run]) -> None:
        self._make = make
        self._run: Run | None = None

    def start(self) -> Run:
        """Begin to meter; what it began before, and nobody stopped, ends."""
        self.stop()
        self._run = self._make()
        return self._run

    def stop(self, *, failed: bool = False) -> Run | None:
        """End it; the finished run, or None where none was begun."""
        if self._run is not None:
            self._run.stop(failed=failed)
        return self._run

    def __enter__(self) -> Run:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Who has enough of a generator closes it.
        self.stop(failed=kind is not None and not issubclass(kind, GeneratorExit))

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """A run at each call; of a coroutine or a generator its whole life."""
        return whole_life(function, lambda: Tracker(self._make))


def track(
    *,
    region: str | None = None,
    zone: str | None = None,
    unit: str | None = None,
    name: str | None = None,
    slots: int = 1,
    gpus: Sequence[str] | None = None,
    interval_s: float | None = None,
    config: str | None = None,
    then: Callable[[Run], object] | None = None,
) -> Tracker:
    """Meter this process and its children while the block, or the decorated function, runs.

    Of a coroutine or generator function that is the whole life of what it returns. In a notebook
    ``tracker = track(...)`` may ``start()`` in one cell, and ``stop()`` in another.

    ``region`` or ``zone`` say where, for CO2: without either the config's home region, and where
    that has no zone, energy alone. ``slots`` logical CPUs and the boards ``gpus`` (UUIDs; else
    those of ``CUDA_VISIBLE_DEVICES``) are what it holds; without either, boards on which its
    processes are seen are metered. ``interval_s`` is the time between two samples. ``then`` is
    called with the finished run, where a decorated function's report goes: once, in the process
    that began it, unless the block raised. Raises, before the block begins, :class:`UsageError`
    for an unknown region or more slots than there are, :class:`ConfigError` for a bad file,
    :class:`NoData` for an unknown zone.
    """

    def make() -> Run:
        if slots < 1:
            raise ValueError(f"slots is {slots}: at least one logical CPU is held")
        check_slots(slots, os.cpu_count() or 1)
        if interval_s is not None and not interval_s > 0:
            raise ValueError(f"interval_s is {interval_s}: it is a time above 0")
        where = place(region, zone, config=config, environ=os.environ, cwd=_cwd())
        return Run(
            where,
            name=name or Path(sys.argv[0] or "python").name,
            unit=unit,
            slots=slots,
            gpus=gpus,
            interval_s=where.interval_s if interval_s is None else interval_s,
            then=then,
        )

    return Tracker(make)
