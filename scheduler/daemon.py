"""APScheduler as the clock: calls :func:`scheduler.engine.tick`, and nothing else."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler

from scheduler import engine
from scheduler.errors import BusyError, StoreError, StoreReplaced, StoreUnavailable
from scheduler.outage import Outage, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from scheduler.engine import Context


# One pass may wait for a slow source while another one does what is due meanwhile. A third would
# find nothing left to do: APScheduler leaves it out, and need not say so each time.
AT_ONCE = 2
# What became due while another pass was at the engines waits for that one, not for the next tick.
AGAIN = timedelta(seconds=1)
logging.getLogger("apscheduler").setLevel(logging.ERROR)


def run(opening: Callable[[], AbstractContextManager[Context]]) -> None:
    """Serve the home that ``opening`` opens, until TERM or INT.

    A database that does not answer yet is waited for, and a home or database that was put in
    place of the one that is open is changed over to.
    """
    outage, goes_on = Outage(), True
    while goes_on:
        try:
            with opening() as context:
                outage.is_over(datetime.now(UTC))
                goes_on = serve(context)
        except StoreUnavailable as e:
            outage.goes_on(e, datetime.now(UTC))
            time.sleep(AGAIN.total_seconds())


def serve(context: Context) -> bool:
    """Tick until TERM or INT: False; True where home or database have been replaced meanwhile.

    Running jobs have runners of their own and go on without us. Raises
    :class:`scheduler.errors.StoreError` where another daemon holds this home, or the database is
    damaged; one that only does not answer for a while is waited for.
    """
    state = context.store.check()
    if state != "ok":
        raise StoreError(
            f"database {context.store.shown} is damaged ({state}): see `lowtide db check`, and "
            "restore a backup"
        )
    home = context.config.home
    period = timedelta(seconds=context.config.settings.tick)
    clock = BlockingScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(AT_ONCE)})

    outage, replaced = Outage(), threading.Event()

    def look() -> None:
        now = datetime.now(UTC)
        try:
            due = engine.tick(context, now, now + period)
        except BusyError as e:
            outage.goes_on(e, now)
            due = now + AGAIN
        except StoreReplaced as e:
            if not replaced.is_set():
                replaced.set()
                log(f"{e}; changing over to that one")
                clock.shutdown(wait=False)
            return
        except Exception as e:  # noqa: BLE001 -- the last resort: the clock goes on
            outage.goes_on(e, now)
            due = None
            with suppress(Exception):
                due = engine.next_moment(context, now)
        else:
            outage.is_over(now)
        if due is not None and due < now + period:
            # However late: a busy machine must not make it wait for the next period.
            clock.add_job(
                look,
                "date",
                run_date=due,
                id="due",
                replace_existing=True,
                max_instances=AT_ONCE,
                misfire_grace_time=None,
            )

    def end(*_: object) -> None:
        if not clock.running:
            raise SystemExit(0)
        clock.shutdown(wait=False)

    with engine.sole_daemon(home):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        clock.add_job(
            look,
            "interval",
            id="look",
            seconds=period.total_seconds(),
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=AT_ONCE,
            misfire_grace_time=None,
        )
        with _steps_noticed(clock, period.total_seconds()):
            clock.start()
        if not replaced.is_set():
            _step_down(context)
    return replaced.is_set()


def _step_down(context: Context) -> None:
    try:
        engine.step_down(context)
    except (StoreError, BusyError, OSError) as e:
        log(f"{e}; another lowtide plans once this one's lease has run out")


@contextmanager
def _steps_noticed(clock: BlockingScheduler, period_s: float) -> Iterator[None]:
    """Look at once where the machine's clock was set: one set back by an hour would else make an
    hour without a pass, as APScheduler goes by the time of day.
    """
    over = threading.Event()

    def watch() -> None:
        ahead = time.time() - time.monotonic()
        while not over.wait(period_s):
            seen = time.time() - time.monotonic()
            if abs(seen - ahead) > period_s:
                log(f"the clock was set by {seen - ahead:+.0f} s; looking at the queue now")
                ahead = seen
                clock.modify_job("look", next_run_time=datetime.now(UTC))

    thread = threading.Thread(target=watch, name="clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
