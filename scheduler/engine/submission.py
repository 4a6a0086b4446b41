"""What a user asked for, as text, to a :class:`JobSpec` with every default filled in."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from providers.meters.nvml.assigned import MASK, ORDER
from scheduler import faults, quantities, wall_clock
from scheduler.checked import read_yaml, validate
from scheduler.engine import learning, wishes
from scheduler.engine.request import Request
from scheduler.errors import UsageError
from scheduler.models import GIVEN, JobSpec
from scheduler.texts import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scheduler.config import Config
    from scheduler.planner.history import PastRun

GREENWICH = ZoneInfo("UTC")


def from_file(path: Path) -> dict[str, Any]:
    """The fields of a job file; dashes and underscores are the same in its keys."""
    written = read_yaml(path, words=True)
    # An option whose value is left empty is one that was not given.
    content = {str(k).replace("-", "_"): v for k, v in written.items() if v is not None}
    return validate(Request, content, path).model_dump(exclude_unset=True)


def request_of(fields: Mapping[str, Any]) -> Request:
    """What was asked for; :class:`UsageError` for what no text, number or choice can be."""
    try:
        return Request(**fields)
    except ValidationError as e:
        raise _refused(e) from e


def to_spec(
    request: Request,
    config: Config,
    now: datetime,
    user: str,
    cwd: Path,
    *,
    need_duration: bool,
    past: Sequence[PastRun] = (),
    zone: ZoneInfo = GREENWICH,
) -> JobSpec:
    """Fill in defaults and make every time absolute; :class:`UsageError` for what cannot be.

    ``past`` are runs of the request's group, to learn from what was not given; ``zone`` is the
    time zone of times without an offset.
    """
    settings = config.settings
    if request.every is None and (request.within or request.tz):
        raise UsageError("--within and --tz belong to --every: give it too, or leave them out")
    given = parsed("--duration", request.duration, quantities.duration_s)
    quantile = settings.history.quantile
    duration, source = learning.duration(request, given, past, quantile, need=need_duration)
    if duration is None and need_duration:
        raise UsageError(_no_duration(request.group, past))
    earliest, start_by, deadline = (
        _moment(request, name, now, zone) for name in ("earliest", "start_by", "deadline")
    )
    release = max(now, earliest) if earliest else now
    assumed = deadline is None and start_by is None and duration is not None
    if assumed and duration is not None:
        deadline = release + timedelta(seconds=duration + settings.defaults.slack)
    _check_times(now, release, duration, deadline, start_by, source)
    delay = parsed("--max-delay", request.max_delay, quantities.span_s)
    if delay is not None:
        latest = release + timedelta(seconds=delay)
        start_by = latest if start_by is None else min(start_by, latest)
    where = (cwd / Path(request.cwd or ".").expanduser()).resolve()
    parsed("--cwd", str(where), lambda text: storable("the folder", text))
    min_saving = parsed("--min-saving", request.min_saving, quantities.percent)
    try:
        spec = JobSpec(
            argv=request.argv,
            cwd=str(where),
            name=request.name or (Path(request.argv[0]).name if request.argv else "job"),
            group=request.group,
            project=request.project,
            user=user,
            duration_s=duration,
            duration_source=source,
            submitted_at=now,
            release=release,
            deadline=deadline,
            start_by=start_by,
            deadline_assumed=assumed,
            min_saving_percent=settings.defaults.min_saving if min_saving is None else min_saving,
            regions=tuple(dict.fromkeys(request.region)),
            home=request.home or settings.home,
            power_w=parsed("--power", request.power, quantities.power_w),
            energy_kwh=parsed("--energy", request.energy, quantities.energy_kwh),
            gpus=request.gpus or 0,
            slots=1 if request.slots is None else request.slots,
            unit=request.unit,
            unit_rationale=request.unit_rationale,
            time_limit_s=parsed("--time-limit", request.time_limit, quantities.duration_s),
            retries=settings.defaults.retries if request.retries is None else request.retries,
            pausable=wishes.pausable(request, config),
            objective=wishes.objective(request),
            data_gb=parsed("--data", request.data, quantities.data_gb) or 0.0,
            priority=request.priority,
        )
    except ValidationError as e:
        raise _refused(e) from e
    if spec.power_w is not None or spec.energy_kwh is not None:
        return spec
    return spec.model_copy(update={"learned_power": learning.power(spec, past)})


# Fields of a spec say their unit, options do not.
_UNIT = re.compile(r"_(s|w|kwh|gb|percent)$")


def _refused(error: ValidationError) -> UsageError:
    """The first fault, by the option that it was given with."""
    fault = error.errors(include_url=False)[0]
    reason = faults.in_words(fault)
    if not fault["loc"]:
        return UsageError(reason)
    option = _UNIT.sub("", str(fault["loc"][0])).replace("_", "-")
    return UsageError(f"--{option}{':' if fault['type'] == 'value_error' else ''} {reason}")


def _no_duration(group: str | None, past: Sequence[PastRun]) -> str:
    learn = "or --group NAME to learn it from past runs of that group"
    if past:
        learn = f"or --duration-from history to learn it from {group}"
    elif group is not None:
        learn = f"as no successful run of group {group} is there to learn it from"
    return (
        "no --duration was given: a plan needs to know how long the job runs, e.g. "
        f"--duration 2h, {learn} (`lowtide run` starts at once without one)"
    )


def parsed(option: str, text: str | None, parse: Any) -> Any:
    """``parse(text)``, None for no text; its :class:`ValueError` names the option."""
    try:
        return None if text is None else parse(text)
    except ValueError as e:
        raise UsageError(f"{option}: {e}") from e


# A day alone as a bound is the end of that day, as a release its start.
_EDGES: dict[str, wall_clock.Edge] = {"earliest": "start", "start_by": "end", "deadline": "end"}


def _moment(request: Request, name: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    text: str | None = getattr(request, name)
    read = partial(wall_clock.moment, now=now, zone=zone, edge=_EDGES[name])
    found: datetime | None = parsed(f"--{name.replace('_', '-')}", text, read)
    return found


def readings(request: Request, spec: JobSpec, zone: ZoneInfo) -> list[str]:
    """How texts were read that leave something to say: local times, and power without a unit."""
    said = []
    for name in _EDGES:
        moment = _moment(request, name, spec.submitted_at, zone)
        if moment is not None and wall_clock.is_local(text := getattr(request, name)):
            shown = wall_clock.shown(moment, zone)
            said.append(f"--{name.replace('_', '-')} {text} is {shown}")
    power = request.power
    if power is not None and not power.strip()[-1:].isalpha():
        said.append(f"--power {power} is taken as {spec.power_w:g} W")
    return said


def _check_times(
    now: datetime,
    release: datetime,
    duration_s: float | None,
    deadline: datetime | None,
    start_by: datetime | None,
    source: str,
) -> None:
    for option, bound in (("--deadline", deadline), ("--start-by", start_by)):
        if bound is not None and bound <= now:
            raise UsageError(f"{option} {iso(bound)} has passed: it is {iso(now)} now")
    if start_by is not None and start_by < release:
        raise UsageError(f"--start-by {iso(start_by)} is before the earliest start {iso(release)}")
    if deadline is not None and duration_s is not None:
        finish = release + timedelta(seconds=duration_s)
        if deadline < finish:
            learned = "" if source == GIVEN else f" ({source}; or give --duration)"
            raise UsageError(
                f"--deadline {iso(deadline)} cannot be met: starting at {iso(release)}, the "
                f"job ends at {iso(finish)} at the earliest{learned}; move the deadline or "
                "--earliest"
            )


def iso(moment: datetime) -> str:
    """A moment as messages write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def check_command(spec: JobSpec, environ: Mapping[str, str]) -> None:
    """The job's folder and executable exist now; else :class:`UsageError`."""
    if not spec.argv:
        raise UsageError("no command was given: put it after --, e.g. lowtide submit ... -- make")
    if not Path(spec.cwd).is_dir():
        raise UsageError(f"--cwd {spec.cwd} is not a folder: name one that exists")
    command = spec.argv[0]
    path = command if os.sep not in command else str(Path(spec.cwd) / command)
    if shutil.which(path, path=environ.get("PATH", os.defpath)) is None:
        if len(spec.argv) == 1 and len(words := _words(command)) > 1:
            raise UsageError(
                f"the command is one word, {command!r}: write it as {len(words)} words, "
                f"{shlex.join(words)} (in a job file as a list: [{', '.join(words)}]), or as "
                f"sh -c {shlex.quote(command)}"
            )
        raise UsageError(
            f"executable {command!r} was not found on PATH or is not executable in {spec.cwd}: "
            "give its full path"
        )


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed
        return command.split()


# What a program needs to find itself; everything else is the submitter's.
ESSENTIAL = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")

# What the runner sets for each attempt: never that of a job which submits another.
OURS = (
    "LOWTIDE_JOB_ID",
    "LOWTIDE_ATTEMPT",
    "LOWTIDE_REGION",
    "LOWTIDE_UNITS",
    "LOWTIDE_RUN",
    "LOWTIDE_RUN_DIR",
)


def job_environment(request: Request, environ: Mapping[str, str], config: Config) -> dict[str, str]:
    """The submitter's environment for the job, without the provider keys named in config.

    ``--no-env`` keeps only :data:`ESSENTIAL`; ``--env NAME`` adds one of the submitter's
    variables, ``--env NAME=VALUE`` sets one.
    """
    kept = dict(environ)
    if request.no_env:
        kept = {name: environ[name] for name in ESSENTIAL if name in environ}
    for item in request.env:
        name, given, value = item.partition("=")
        if not given and name not in environ:
            raise UsageError(f"--env {name}: there is no such variable here; write NAME=VALUE")
        if not name:
            raise UsageError(f"--env {item!r}: write NAME or NAME=VALUE")
        kept[name] = value if given else environ[name]
    hidden = {*config.key_variables, *OURS}
    if "LOWTIDE_RUN" in environ:
        # The boards of the job that submits are its own, and may be held until the other ends.
        hidden |= {MASK, ORDER} - {item.partition("=")[0] for item in request.env}
    return {name: value for name, value in kept.items() if name not in hidden}
