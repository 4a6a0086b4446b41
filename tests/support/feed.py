"""Short jobs of many kinds, submitted one after the other as long as faults go on."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from scheduler import config, engine
from scheduler.engine import Context, dependencies, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from support.aftermath import MINUTELY, SOUND, marking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scheduler.models import JobSpec

DURATION_S = 2.0
# What may pause runs for so long, in steps that it counts: a stop must not make it shorter.
PAUSABLE_S = 4.0
STEP_S = 2
TRACE_S = 7200
# Most jobs succeed; some fail at once, some after a while, and are tried again or not.
ENDS = ("", "", "", "", "exit 3")
# Each line of its file is a step that is done: a checkpoint that cannot be half written.
COUNTED = (
    'at="$LOWTIDE_RUN_DIR/steps"; touch "$at"; '
    'while [ $(wc -l < "$at") -lt 8 ]; do sleep 0.4; echo >> "$at"; done'
)
CHECKPOINTING = f"trap 'exit 75' TERM; {COUNTED}"
# Every other minute it runs into the next occurrence, which is to be skipped.
OVERRUNS = "sleep $(($(date +%s) / 60 % 2 * 65))"
# How often each kind of job comes, by weight.
KINDS = {"plain": 10, "checkpoint": 3, "stop": 3, "after": 3, "held": 2}
# So many jobs are submitted by one process, which goes by the configuration as it found it.
BATCH = 8


def write_trace(path: Path, zone: str, seed: str) -> None:
    """Carbon intensity that falls: many jobs are best run at the last moment. Every other step of
    it is high, with noise: a job that may pause is best run on both sides of one.
    """
    rng, begin = random.Random(f"{seed}-trace"), datetime.now(UTC) - timedelta(minutes=1)
    lines = ["timestamp_utc,region,g_per_kwh"]
    for n in range(TRACE_S // STEP_S):
        at = begin + timedelta(seconds=n * STEP_S)
        g_per_kwh = 300 - n / 20 + 300 * (n % 2) + rng.uniform(-0.1, 0.1)
        lines.append(f"{at.isoformat()},{zone},{g_per_kwh:.2f}")
    path.write_text("\n".join(lines) + "\n")


class Feed:
    """Keeps ``width`` jobs waiting or running beside some series.

    ``known`` are the ids that it was given, and when. ``kinds`` counts what was queued, and what
    was refused (no room, or what it waits for has failed); ``stopped`` says when each series was.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], marks: Path, seed: str, width: int
    ) -> None:
        self.known: dict[str, float] = {}
        self._series: list[str] = []
        self.stopped: dict[str, float] = {}
        self.kinds: Counter[str] = Counter()
        self._folder, self._environ, self._marks = folder, environ, marks
        self._seed, self._rng, self._width = seed, random.Random(f"{seed}-jobs"), width
        self._over = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Submit no more; what went wrong while it submitted is raised here."""
        self._over.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def words(self, rng: random.Random) -> tuple[str, ...]:
        """A command of a user that may be killed: a job, or the wish to cancel one."""
        known = [*self.known][-6:]
        if known and rng.random() < 0.25:
            return ("cancel", rng.choice(known))
        given = ("submit", "--json", "--duration", f"{PAUSABLE_S}s", "--deadline", "30s")
        may_pause = rng.random() < 0.5
        pauses = (
            "--pausable",
            "--pause-signal",
            "stop",
            "--min-run",
            "2s",
            "--resume-overhead",
            "0s",
        )
        kind = pauses if may_pause else ()
        return (*given, *kind, "--", *marking(self._marks, COUNTED))

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                with self._opened() as ctx:
                    self._keep_series(ctx)
                    for _ in range(BATCH):
                        self._submit_next(ctx)
            with self._opened() as ctx:
                for each in self._series:
                    self._end_series(ctx, each)
        except BaseException as e:  # noqa: BLE001 -- raised where it is closed
            self.failure = e

    @contextmanager
    def _opened(self) -> Iterator[Context]:
        loaded = config.load(None, self._environ, self._folder)
        ctx = Context.open(loaded, datetime.now(UTC), environ=self._environ)
        try:
            yield ctx
        finally:
            ctx.close()

    def _submit_next(self, ctx: Context) -> None:
        """Once there is room for one more."""
        while not self._over.is_set():
            counts = ctx.store.jobs.count()
            living = sum(n for state, n in counts.items() if not state.ended)
            if living < self._width + len(self._series):
                return self._submit(ctx)
            time.sleep(0.1)
        return None

    def _submit(self, ctx: Context) -> None:
        kind = self._rng.choices([*KINDS], [*KINDS.values()])[0]
        request, now = getattr(self, f"_{kind}")(), datetime.now(UTC)
        try:
            spec = dependencies.resolve(ctx, self._spec(ctx, request, now), request.after, now)
            job_id, _ = engine.submit(ctx, request, spec, self._kept(), now)
        except UsageError:
            self.kinds[f"{kind}, refused"] += 1
            return
        self.known[job_id] = datetime.now(UTC).timestamp()
        self.kinds[kind] += 1
        if self._rng.random() < 0.05:
            self._cancel(ctx, job_id)

    def _spec(self, ctx: Context, request: Request, now: datetime) -> JobSpec:
        return submission.to_spec(
            request, ctx.config, now, "tester", self._folder, need_duration=True
        )

    def _kept(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"]}

    def _request(self, then: str, spare_s: float, **fields: Any) -> Request:
        """A job that runs ``then``, and may wait for ``spare_s`` from its earliest start on."""
        given = {"duration": f"{DURATION_S}s", "retries": self._rng.choice((0, 1, 3))} | fields
        runs_s = float(given["duration"].rstrip("s"))
        spare = {} if "every" in given else {"deadline": f"{runs_s + spare_s:.1f}s"}
        return Request(argv=marking(self._marks, then), power="20W", **(spare | given))

    def _plain(self) -> Request:
        then = f"sleep {self._rng.uniform(0.05, 1.5):.2f}; {self._rng.choice(ENDS)}"
        return self._request(then.rstrip("; "), self._rng.uniform(0.5, 12))

    def _checkpoint(self, **fields: Any) -> Request:
        return self._pausable(CHECKPOINTING, **fields)

    def _stop(self, **fields: Any) -> Request:
        return self._pausable(COUNTED, pause_signal="stop", **fields)

    def _pausable(self, then: str, **fields: Any) -> Request:
        may = {"pausable": True, "min_run": "2s", "resume_overhead": "0s", "name": SOUND}
        # Early in their time: a pause must leave room for what comes late.
        may |= {"duration": f"{PAUSABLE_S}s", "weigh": ("delay=10%",)}
        return self._request(then, self._rng.uniform(12, 24), **(may | fields))

    def _after(self) -> Request:
        before = [*self.known][-6:]
        chosen = self._rng.sample(before, min(len(before), self._rng.randint(1, 2)))
        return self._request(":", self._rng.uniform(8, 20), after=tuple(chosen), name=SOUND)

    def _held(self) -> Request:
        wait_s = self._rng.uniform(1, 6)
        spare_s = wait_s + self._rng.uniform(0.5, 6)
        return self._request(":", spare_s, earliest=f"{wait_s:.1f}s", name=SOUND)

    def _keep_series(self, ctx: Context) -> None:
        """One that may pause, one that fails now and then, one that overruns; now and then one is
        stopped, and submitted again with other words.
        """
        rng, series = self._rng, self._series
        if len(series) == 3 and rng.random() < 0.1:
            self._end_series(ctx, series.pop(0))
        while len(series) < 3:
            n, repeats = (
                self.kinds["series"],
                {"every": MINUTELY, "within": f"{rng.uniform(9, 40):.0f}s"},
            )
            repeats["env"] = (f"SERIES={self._seed}-{n}",)
            request = (
                self._checkpoint(**repeats),
                self._request("sleep 0.3; test $(($(date +%s) % 2)) = 0", 0, **repeats),
                self._request(OVERRUNS, 0, **repeats),
            )[n % 3]
            now = datetime.now(UTC)
            spec = self._spec(ctx, request, now)
            made, job_id, _ = engine.submit_series(ctx, request, spec, self._kept(), now)
            series.append(made.id)
            self.known[job_id] = datetime.now(UTC).timestamp()
            self.kinds["series"] += 1

    def _end_series(self, ctx: Context, series: str) -> None:
        """Its job that runs is cancelled as well."""
        self.stopped[series] = datetime.now(UTC).timestamp()
        _, job = engine.cancel_series(ctx, series, datetime.now(UTC))
        if job is not None and not job.state.ended:
            self._cancel(ctx, job.id)

    def _cancel(self, ctx: Context, job_id: str) -> None:
        time.sleep(self._rng.uniform(0, 2))
        try:
            engine.cancel(ctx, job_id, datetime.now(UTC))
        except UsageError as e:
            if "has ended" not in str(e):
                raise
