"""Short jobs of many kinds, submitted one after the other as long as faults go on."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from scheduler import config, engine
from scheduler.engine import Context, submission
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from support.aftermath import marking

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DURATION_S = 2.0
STEP_S = 2
TRACE_S = 7200
# Most jobs succeed; some fail at once, some after a while, and are tried again or not.
ENDS = ("", "", "", "", "exit 3")


def write_trace(path: Path, zone: str, seed: str) -> None:
    """Carbon intensity that falls, with noise: many jobs are best run at the last moment."""
    rng, begin = random.Random(f"{seed}-trace"), datetime.now(UTC) - timedelta(minutes=1)
    lines = ["timestamp_utc,region,g_per_kwh"]
    for n in range(TRACE_S // STEP_S):
        at = begin + timedelta(seconds=n * STEP_S)
        lines.append(f"{at.isoformat()},{zone},{(4000 - n + rng.uniform(-2, 2)) / 4:.2f}")
    path.write_text("\n".join(lines) + "\n")


class Feed:
    """Keeps ``width`` jobs waiting or running; ``known`` are the ids it was given, and when."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], marks: Path, seed: str, width: int
    ) -> None:
        self.known: dict[str, float] = {}
        self._folder, self._environ, self._marks = folder, environ, marks
        self._rng, self._width = random.Random(f"{seed}-jobs"), width
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

    def words(self) -> tuple[str, ...]:
        """A job as words of ``lowtide submit``, for a client that may be killed."""
        return ("--duration", f"{DURATION_S}s", "--deadline", "30s", "--", *marking(self._marks))

    def _run(self) -> None:
        try:
            loaded = config.load(None, self._environ, self._folder)
            with closing(Context.open(loaded, datetime.now(UTC), environ=self._environ)) as ctx:
                while not self._over.is_set():
                    counts = ctx.store.jobs.count()
                    if sum(n for state, n in counts.items() if not state.ended) < self._width:
                        self._submit(ctx)
                    else:
                        time.sleep(0.1)
        except BaseException as e:  # noqa: BLE001 -- raised where it is closed
            self.failure = e

    def _submit(self, ctx: Context) -> None:
        rng, now = self._rng, datetime.now(UTC)
        then = f"sleep {rng.uniform(0.05, 1.5):.2f}; {rng.choice(ENDS)}"
        request = Request(
            argv=marking(self._marks, then.rstrip("; ")),
            duration=f"{DURATION_S}s",
            deadline=f"{DURATION_S + rng.uniform(0.5, 12):.1f}s",
            retries=rng.choice((0, 1, 3)),
            power="20W",
        )
        spec = submission.to_spec(
            request, ctx.config, now, "tester", self._folder, need_duration=True
        )
        kept = {"PATH": os.environ["PATH"]}
        job_id, _ = engine.submit(ctx, request, spec, kept, now)
        self.known[job_id] = datetime.now(UTC).timestamp()
        if rng.random() < 0.05:
            self._cancel(ctx, job_id)

    def _cancel(self, ctx: Context, job_id: str) -> None:
        time.sleep(self._rng.uniform(0, 2))
        try:
            engine.cancel(ctx, job_id, datetime.now(UTC))
        except UsageError as e:
            if "has ended" not in str(e):
                raise
