"""A life of many short jobs during which lowtide is killed again and again.

The seed decides which kill follows which, how long each waits, and what the jobs are; when the
kernel lets whom run stays its own, so the same seed gives the same plan of kills and not the
same run.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from providers.runner import proc
from support import aftermath, kills, lateness
from support.feed import Feed, write_trace
from support.fleet import LOWTIDE, Fleet, until
from support.passes import NOTING, Passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scheduler.store import Store

KILLS, SEED = "LOWTIDE_FAULT_KILLS", "LOWTIDE_FAULT_SEED"
TICK_S = 1.0
ZONE = "DE"
CONFIG = f"""
tick: {TICK_S:g}s
grace: 1s
lease: 5s
refresh: 1h
meters: [model]
sample_interval: 0.2s
"""
# Added to what ends a config: a source that answers, and one where nothing listens (tcpmux).
KNOWN = "providers: [trace]\nsources: {trace: {path: trace.csv}}"
DEAD = '"http://127.0.0.1:1"'
OUTAGE = f"providers: [energy_charts]\nsources: {{energy_charts: {{base_url: {DEAD}}}}}"
OUTAGE += "\noutage: {policy: hold}"
# So long one point is waited for; then the kill comes wherever the victim is.
POINT_S = 3.0
# The same of a daemon that was killed just before: a busy machine starts it in seconds.
UP_S = 30.0
# Whoever makes no progress for so long hangs.
HANG_S = 300.0
# How often each kind of kill comes, by weight; a runner dies more cheaply than it is started.
WEIGHTS = {"runner": 36, "daemon": 3, "call": 3, "connection": 3, "client": 2, "machine": 1}
# What the journal calls a kind that was met at its point, where it has another name.
MET = {"call": "executor call", "connection": "transaction", "machine": "daemon"}
# After so many kills some passes are let come to their end: on a busy machine none would between.
CALM, PASSES = 30, 3
# In a life of so many kills some deadline comes near.
ENOUGH = 100
# In one of so many all has come about that the jobs can do, however busy the machine is.
LONG = 1000


def setting(name: str, default: int) -> int:
    """A number from the environment."""
    return int(os.environ.get(name, default))


def seed() -> str:
    """That of the environment, else a new one."""
    return os.environ.get(SEED) or secrets.token_hex(4)


class Ordeal:
    """A fleet under kills; ``regions`` ends its config, ``environ`` may name its database.

    Users edit the config while it is used, to one of ``editions``: what is submitted next goes by
    that, and so does a daemon that is started again.
    """

    def __init__(
        self,
        folder: Path,
        regions: str,
        seed: str,
        *,
        homes: int = 1,
        editions: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = environ or {}
        self.seed, self.url, self.folder = seed, environ.get("LOWTIDE_DATABASE"), folder
        self.journal = kills.Journal()
        self.submitted: set[str] = set()
        self.marks = folder / "marks"
        self.marks.mkdir()
        write_trace(folder / "trace.csv", ZONE, seed)
        self._editions = tuple(f"{CONFIG}{each}\n" for each in (f"{regions}\n{KNOWN}", *editions))
        self.fleet = Fleet(folder, self._editions[0], environ, NOTING)
        self.lateness = lateness.Lateness()
        self.tried: dict[str, int] = {}
        self._rng = random.Random(f"{seed}-kills")
        self._daemons = [self.fleet.up(home) for home in range(homes)]
        self._feeds: list[Feed] = []
        until(lambda: all(self.home(n).joinpath("daemon.lock").exists() for n in range(homes)))
        self.passes = Passes([self.home(n) for n in range(homes)])

    def home(self, n: int) -> Path:
        """The home of one of the fleet."""
        return self.folder / f"h{n}"

    def store(self) -> AbstractContextManager[Store]:
        """A look of our own at the database."""
        return aftermath.opened(self.home(0), self.url)

    def suffer(self, count: int, width: int, more: Mapping[str, Callable[[], None]]) -> None:
        """Submit jobs and kill until ``count`` kills were made; ``more`` are further kinds.

        Each kind comes first until it was met once at its point, however few kills are asked for.
        """
        for n in range(len(self._daemons)):
            environ = self.fleet.env(n)
            self._feeds.append(Feed(self.folder, environ, self.marks, f"{self.seed}-{n}", width))
        try:
            progress, calm = time.monotonic(), CALM
            kinds = WEIGHTS | dict.fromkeys(more, 3)
            if self.url is not None:
                del kinds["connection"]  # the lock that it looks for is SQLite's
            unmet = self._rng.sample([*kinds], len(kinds))
            while unmet or len(self.journal.kills) < count:
                before = len(self.journal.kills)
                if before >= calm:
                    self._wait_for_passes()
                    calm = before + CALM
                later = self._rng.choices([*kinds], [*kinds.values()])[0]
                kind = unmet[-1] if unmet else later
                (more.get(kind) or getattr(self, f"_kill_{kind}"))()
                met = MET.get(kind, kind) in self.journal.counts()
                # What is killed elsewhere meanwhile brings a kind that is not met no further.
                if met if unmet else len(self.journal.kills) > before:
                    progress = time.monotonic()
                    unmet = unmet[:-1]
                assert time.monotonic() - progress < HANG_S, f"no {kind} could be killed any more"
        finally:
            self._edit(self._editions[0])
            for feed in self._feeds:
                feed.close()
                self.submitted |= set(feed.known)

    def recover(self) -> None:
        """Let the daemons work undisturbed until every job has ended and is settled.

        They go by the first edition of the config, which knows every region that jobs may be in.
        """
        for n in range(len(self._daemons) if len(self._editions) > 1 else 0):
            self._strike(n, "daemon", self._editions[0])
        with self.store() as store:
            try:
                until(lambda: self._is_over(store), HANG_S)
            except AssertionError as e:
                settled = store.settlements.versions
                left = [
                    f"{job.id} {job.state}: {job.reason}"
                    for job in store.jobs.find()
                    if not (job.state.ended and settled(job.id))
                ]
                raise AssertionError(
                    "some never end, or are never settled:\n" + "\n".join(left)
                ) from e
        for daemon in self._daemons:
            daemon.terminate()
            assert daemon.wait(HANG_S) == 0, "a daemon did not end in peace"

    def assert_held(self) -> int:
        """Every law, after :meth:`recover`; returns how many deadlines a pass has acted on.

        Late starts are counted by cause, for :meth:`told`.
        """
        left = kills.strays(self.folder)
        assert not left, f"processes live on: {left}"
        for home in range(len(self._daemons)):
            assert "Traceback" not in self.fleet.log(home), self.fleet.log(home)
        with self.store() as store:
            known = {job_id: at for feed in self._feeds for job_id, at in feed.known.items()}
            seen = self.passes.seen()
            killed = self.journal.attempts
            self.tried = aftermath.tried(store)
            self.lateness = lateness.of(store, seen, known, killed, TICK_S)
            aftermath.assert_aftermath(store, self.marks, self.submitted)
            aftermath.assert_lost_only_if(store, killed)
            stopped = {each: at for feed in self._feeds for each, at in feed.stopped.items()}
            left = self.lateness.broken + lateness.series_left(store, seen, stopped)
            assert not left, "whole passes have passed over:\n" + "\n".join(left)
            return self.lateness.tried

    def told(self) -> str:
        """How to do it again, what was killed, what was submitted, and what was late and why."""
        lived = sum((feed.kinds for feed in self._feeds), Counter[str]())
        counts = (self.journal.counts(), dict(lived), self.tried)
        said = (f"{SEED}={self.seed}", self.journal.told(), *counts, self.lateness.summary())
        return "\n".join(map(str, said))

    def _wait_for_passes(self) -> None:
        since = time.time()
        until(lambda: sum(at > since for at, _ in self.passes.seen().whole) >= PASSES, HANG_S)

    def _is_over(self, store: Store) -> bool:
        for n, daemon in enumerate(self._daemons):
            assert daemon.poll() is None, f"daemon {n} has ended:\n{self.fleet.log(n)}"
        return aftermath.is_over(store)

    def _some_daemon(self) -> tuple[int, subprocess.Popen[str]]:
        n = self._rng.randrange(len(self._daemons))
        daemon = self._daemons[n]
        assert daemon.poll() is None, f"daemon {n} ended by itself:\n{self.fleet.log(n)}"
        return n, daemon

    def _strike(self, n: int, what: str, edition: str | None = None) -> None:
        """Kill a daemon, edit the config, and start it again at once."""
        daemon = self._daemons[n]
        home, in_pass = self.home(n), kills.in_pass(daemon.pid, self.home(n))
        self.journal.kill(what, daemon.pid, kills.state_of_daemon(daemon.pid, home))
        daemon.wait()
        self.passes.hindered(in_pass=in_pass)
        self._edit(edition or self._rng.choice(self._editions))
        self._daemons[n] = self.fleet.up(n)

    def _edit(self, edition: str) -> None:
        """Put an edition of the config in place at once, as editors do."""
        new = self.folder / "config.yaml.new"
        new.write_text(edition)
        new.replace(self.folder / "config.yaml")

    def _kill_runner(self) -> None:
        """Some runners, wherever they are."""
        kills.within(POINT_S, lambda: bool(kills.runners(self.folder)), 0.05)
        time.sleep(self._rng.uniform(0, 0.8))
        living = sorted(kills.runners(self.folder).items())
        for pid, run_dir in self._rng.sample(living, min(len(living), self._rng.randint(1, 4))):
            self.journal.kill_runner(pid, run_dir)

    def _kill_daemon(self) -> None:
        """At any time, or within a pass: most of its life it only waits."""
        n, daemon = self._some_daemon()
        if self._rng.random() < 0.7:
            kills.within(POINT_S, lambda: kills.in_pass(daemon.pid, self.home(n)))
        time.sleep(self._rng.uniform(0, 0.2))
        self._strike(n, "daemon")

    def _kill_call(self) -> None:
        """A daemon that has just started a process, and now and then that process too."""
        n, daemon = self._some_daemon()
        before, found = set(proc.children(daemon.pid)), set[int]()

        def calls() -> bool:
            found.update(set(proc.children(daemon.pid)) - before)
            return bool(found)

        kills.within(UP_S, calls)
        both = self._rng.random() < 0.5
        self._strike(n, "executor call" if found else "daemon")
        begun = kills.runners(self.folder)
        for pid in found if both else ():
            if pid in begun:
                self.journal.kill_runner(pid, begun[pid])
            else:
                self.journal.kill("process of the call", pid, "just started")

    def _kill_connection(self) -> None:
        """A daemon within a transaction that writes."""
        n, daemon = self._some_daemon()
        wrote = kills.within(UP_S, lambda: kills.writes(daemon.pid, self.home(n)))
        self._strike(n, "transaction" if wrote else "daemon")

    def _kill_client(self) -> None:
        """``lowtide submit`` or ``cancel`` at any point; what the former has said before counts as
        submitted.
        """
        home = self._rng.randrange(len(self._daemons))
        words = self._feeds[home].words(self._rng)
        with subprocess.Popen(
            [*LOWTIDE, *words],
            cwd=self.folder,
            env=self.fleet.env(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as client:
            time.sleep(self._rng.uniform(0, 1.5))
            if self.url is None and self._rng.random() < 0.5:
                kills.within(POINT_S, lambda: kills.writes(client.pid, self.home(home)))
            ended = client.poll() is not None
            assert client.stdout is not None
            client.kill()
            said = client.stdout.read()
        if not ended:
            state = "it had answered" if said else "it had not answered"
            self.journal.note("client", client.pid, f"{words[0]}: {state}")
        if said and words[0] == "submit":
            self.submitted.add(json.loads(said)["job_id"])

    def _kill_machine(self) -> None:
        """A daemon and every runner and job at once."""
        n, _ = self._some_daemon()
        own = {each.pid for each in self._daemons}
        found = [pid for pid in kills.strays(self.folder) if pid not in own]
        begun = kills.runners(self.folder)
        for pid in found:
            if pid in begun:
                self.journal.kill_runner(pid, begun[pid])
            else:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._strike(n, "daemon")


@contextmanager
def ordeal(folder: Path, regions: str, **options: Any) -> Iterator[Ordeal]:
    """An ordeal that leaves nothing running; what was killed is printed, for a test that fails."""
    try:
        made = Ordeal(folder, regions, seed(), **options)
        try:
            yield made
        finally:
            print(made.told())  # noqa: T201 -- shown by pytest where the test fails
            kills.end_strays(folder)
            made.fleet.close()
    finally:
        kills.end_strays(folder)
