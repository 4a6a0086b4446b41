"""What commands share: the options of a job, the opened context, and output."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from scheduler.errors import UsageError
from scheduler.texts import document, json_safe, printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import TextIO

    from scheduler.config import Config
    from scheduler.engine import Context
    from scheduler.engine.request import Request
    from scheduler.models import JobSpec

Command = Any


def utc_now() -> datetime:
    """The clock; read here, at the edge, and passed in everywhere else."""
    return datetime.now(UTC)


def json_option(command: Command) -> Command:
    """``--json`` on every reader."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(command)


def config_option(command: Command) -> Command:
    """``--config`` after the command as well as before it."""

    def keep(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.obj = value

    return click.option("--config", metavar="FILE", expose_value=False, callback=keep, hidden=True)(
        command
    )


def example(text: str) -> str:
    """An epilog with one worked example."""
    return f"Example: {text}"


def loaded(ctx: click.Context) -> Config:
    """The configuration; which other files were passed over is said on stderr."""
    from scheduler import config as configuration

    found = configuration.load(ctx.obj, os.environ, Path.cwd())
    for hint in found.hints:
        say(hint)
    return found


@contextmanager
def opened(ctx: click.Context, *, asks: bool = True) -> Iterator[Context]:
    """Configuration and store, closed at the end; without ``asks`` no source is ever asked."""
    from scheduler.engine import Context

    context = Context.open(loaded(ctx), utc_now(), asks=asks)
    try:
        yield context
    finally:
        context.close()


_JOB_OPTIONS = (
    click.argument("argv", nargs=-1, type=click.UNPROCESSED),
    click.option("-f", "--file", "job_file", metavar="FILE", help="Read these fields from YAML."),
    click.option("--name", help="A name for people; default: the executable's."),
    click.option("--group", help="Jobs of the same kind; what is not given is learned from them."),
    click.option("--project", help="Whom to account it to."),
    click.option("--duration", metavar="SPAN", help="How long it runs: 90s, 2h, 1d12h."),
    click.option(
        "--duration-from",
        type=click.Choice(["history", "given"]),
        help="Learn it from the group, also where it is given; default: where it is not.",
    ),
    click.option("--deadline", metavar="TIME", help="Finish by: ISO 8601 with offset, or a span."),
    click.option("--start-by", metavar="TIME", help="Start by."),
    click.option("--earliest", metavar="TIME", help="Do not start before."),
    click.option("--min-saving", metavar="SHARE", help="A delay must save this much: 5%."),
    click.option("--region", multiple=True, metavar="NAME", help="Allowed region; repeatable."),
    click.option("--home", metavar="NAME", help="Where it would have run without lowtide."),
    click.option("--power", metavar="WATTS", help="Mean power: 350W."),
    click.option("--energy", metavar="ENERGY", help="Energy of the whole run: 1.2kWh."),
    click.option("--gpus", type=int, metavar="N", help="Whole GPUs that it holds."),
    click.option("--slots", type=int, metavar="N", help="Logical CPUs that it holds; default 1."),
    click.option("--unit", metavar="NAME", help="Unit of work that it counts in $LOWTIDE_UNITS."),
    click.option("--unit-rationale", metavar="TEXT", help="Why this unit (SCI for AI asks that)."),
    click.option("--pausable", is_flag=True, default=None, help="It may be paused and resumed."),
    click.option("--resume-overhead", metavar="SPAN", help="What each resume repeats or reloads."),
    click.option("--min-run", metavar="SPAN", help="The least that a segment runs."),
    click.option("--max-segments", type=click.IntRange(1), metavar="K", help="At most K segments."),
    click.option(
        "--pause-signal",
        type=click.Choice(["checkpoint", "stop"]),
        help="TERM to a job that then exits 75 (default), or SIGSTOP.",
    ),
    click.option("--data", metavar="SIZE", help="To be brought to any region but home: 40GB."),
    click.option("--priority", type=int, metavar="N", help="Higher goes first; default 0."),
    click.option("--weigh", multiple=True, metavar="WHAT=SHARE", help="money=0.05, delay=0.1."),
    click.option("--max-cost", metavar="AMOUNT", help="Only regions where the run costs no more."),
    click.option("--max-delay", metavar="SPAN", help="Start no later than this after release."),
    click.option(
        "--risk",
        type=click.Choice(["expected", "cautious"]),
        help="cautious: a delay must pay even on the forecast's upper bound.",
    ),
    click.option("--time-limit", metavar="SPAN", help="Stop it after this long."),
    click.option("--retries", type=int, metavar="N", help="Start again after a failure."),
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Add a variable."),
    click.option("--no-env", is_flag=True, default=None, help="Do not pass on the environment."),
    click.option("--cwd", metavar="DIR", help="Run there; default: here."),
)


_SUBMIT_OPTIONS = (
    click.option("--every", metavar="CRON", help='Repeat it: "0 2 * * *" is 02:00; or @daily.'),
    click.option("--within", metavar="SPAN", help="With --every: end so long after each time."),
    click.option("--tz", metavar="ZONE", help="With --every: whose clocks, e.g. Europe/Berlin."),
    click.option("--after", multiple=True, metavar="ID", help="Wait for a job; repeatable."),
)


def submit_options(command: Callable[..., Any]) -> Command:
    """Options of a job that only a queue can follow: when it repeats, and what it waits for."""
    for option in reversed(_SUBMIT_OPTIONS):
        command = option(command)
    return command


def job_options(command: Callable[..., Any]) -> Command:
    """Every option that describes a job."""
    for option in reversed(_JOB_OPTIONS):
        command = option(command)
    return command


def request_of(fields: dict[str, Any], *, to_submit: bool = False) -> Request:
    """Options over the fields of ``-f FILE``; what was not given stays out."""
    from scheduler.engine import submission

    job_file = fields.pop("job_file")
    content = submission.from_file(Path(job_file)) if job_file else {}
    given = {name: value for name, value in fields.items() if value not in (None, (), [])}
    request = submission.request_of(content | given)
    if not to_submit and (request.every is not None or request.after):
        raise UsageError(
            f"{job_file} repeats a job or lets it wait for others: only `lowtide submit` can"
        )
    return request


def spec_of(
    context: Context, request: Request, now: datetime, *, need_duration: bool = True
) -> JobSpec:
    """The job as this user, in this folder, at this moment means it."""
    from scheduler import zones
    from scheduler.engine import learning, submission

    user = context.here.origin.account
    zone = zones.local(context.config.settings.timezone, os.environ)
    spec = submission.to_spec(
        request,
        context.config,
        now,
        user,
        Path.cwd(),
        need_duration=need_duration,
        past=learning.past_runs(context, user, request.group),
        zone=zone,
    )
    for line in submission.readings(request, spec, zone):
        say(line)
    return spec


def json_text(content: Any) -> str:
    """JSON as all commands write it, with the end of its last line."""
    return json_safe(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)) + "\n"


def print_json(content: Any) -> None:
    """JSON on stdout, for programs."""
    click.echo(json_text(content), nl=False)


@contextmanager
def written(path: Path, *, mode: int = 0o666) -> Iterator[TextIO]:
    """``--out``: the whole file or none of it; what is no file (a pipe) is written to as it is.

    A new file has ``mode``, less the rights that the umask takes away.
    """
    whole = path.resolve()
    part = whole.with_name(f".{path.name}.part") if whole.is_file() or not path.exists() else whole
    try:
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as f:
                yield f
            if part != whole:
                part.replace(whole)
        finally:
            if part != whole:
                part.unlink(missing_ok=True)
    except OSError as e:
        raise UsageError(f"--out {path} cannot be written: {e.strerror or e}") from e


def say(text: str) -> None:
    """Talk on stderr, for people."""
    click.echo(printable_lines(text), err=True)


def show(text: str, *, nl: bool = True) -> None:
    """What was asked for on stdout, for people."""
    click.echo(printable_lines(text), nl=nl)


def publish(text: str) -> None:
    """A whole document on stdout: as it is for programs, calmed on a terminal."""
    if sys.stdout.isatty():
        text = document(text)
    # Without it click would take what looks like a colour out of the data in a pipe.
    click.echo(text, nl=False, color=True)


class _Published(io.TextIOBase):
    """stdout for a document that comes in pieces."""

    def write(self, text: str, /) -> int:
        publish(text)
        return len(text)


def published() -> AbstractContextManager[TextIO]:
    """The same for one that is written piece by piece."""
    return nullcontext(cast("TextIO", _Published()))


def since(text: str, now: datetime, option: str = "--since") -> datetime:
    """``30d`` before now, or a time that has passed, as given with ``option``."""
    from scheduler import wall_clock, zones

    try:
        return wall_clock.moment(text, now, zones.local(None, os.environ), past=True)
    except ValueError as e:
        raise UsageError(f"{option}: {e}") from e
