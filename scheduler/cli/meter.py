"""``meter``: a command at once, in the foreground, with no queue.

Nothing heavy is imported before the command has ended: it starts without waiting for us, and
beside it stand the runner and little else.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from providers.errors import LowtideError
from scheduler.cli import options
from scheduler.cli.options import example, say
from scheduler.errors import UsageError

if TYPE_CHECKING:
    from scheduler.meter.place import Place
    from scheduler.meter.report import Report


# How the folders of records begin that nobody asked to keep.
PREFIX = "lowtide-meter-"
# A runner reads the environment within a second of its start, and deletes it; so long (s) even on
# a machine that swaps.
UNREAD_S = 3600.0


@click.command("meter", epilog=example("lowtide meter --zone DE -- python train.py"))
@click.argument("argv", nargs=-1, type=click.UNPROCESSED)
@click.option("--region", metavar="NAME", help="Where it runs; default: the config's home.")
@click.option("--zone", metavar="ZONE", help="The grid zone that this machine stands in: DE.")
@click.option("--name", help="A name for people; default: the executable's.")
@click.option("--slots", type=click.IntRange(1), default=1, help="Logical CPUs that it holds.")
@click.option(
    "--gpus",
    type=click.IntRange(0),
    default=0,
    help="Free GPUs to give it, by UUID, of CUDA_VISIBLE_DEVICES where set.",
)
@click.option("--unit", metavar="NAME", help="Unit of work that it counts in $LOWTIDE_UNITS.")
@click.option("--unit-rationale", metavar="TEXT", help="Why this unit (SCI for AI asks that).")
@click.option("--interval", metavar="SPAN", help="Time between two samples; default 1s.")
@click.option("--out", "--output", metavar="FILE", help="Write the report as JSON to FILE.")
@click.option("--run-dir", metavar="DIR", help="Keep the record in DIR, which is made.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout; its stdout to stderr.")
@options.config_option
@click.pass_context
def meter_command(
    ctx: click.Context,
    argv: tuple[str, ...],
    region: str | None,
    zone: str | None,
    name: str | None,
    slots: int,
    gpus: int,
    unit: str | None,
    unit_rationale: str | None,
    interval: str | None,
    out: str | None,
    run_dir: str | None,
    as_json: bool,
) -> int:
    """Run a command at once under the meter, and report what it cost.

    It keeps the terminal: input, output, Ctrl-C. The exit code is the command's; the report
    comes on stderr. Without --region, --zone or a home with a zone there is energy and no CO2.
    """
    from providers.base import Launch
    from providers.executors.foreground import exit_code, run
    from scheduler.meter.command import report
    from scheduler.meter.place import check_slots, place

    if not argv:
        raise UsageError("no command was given: put it after --, e.g. lowtide meter -- make")
    check_slots(slots, os.cpu_count() or 1)
    where = place(region, zone, config=ctx.obj, environ=os.environ, cwd=Path.cwd())
    for hint in where.config.hints if where.config is not None else ():
        say(hint)
    interval_s = _interval_s(interval, where)
    boards = _boards(gpus)
    if out is not None:
        _check_out(Path(out))
    folder = _folder(run_dir)
    launch = Launch(
        job_id=secrets.token_hex(4),
        attempt=1,
        token=secrets.token_hex(16),
        argv=argv,
        cwd=str(where.cwd),
        run_dir=str(folder),
        env_file=str(folder / "env.json"),
        units_file=str(folder / "units"),
        work_dir=str(folder / "work"),
        region=where.name,
        slots=slots,
        gpus=boards,
        meters=where.meters,
        grace_s=where.grace_s,
        interval_s=interval_s,
        foreground=True,
    )
    code = 1
    kept = run_dir is not None
    try:
        receipt = run(launch, quiet_stdout=as_json)
        code = exit_code(receipt)
        if receipt.reason == "not_started":
            say(f"lowtide: {receipt.error}")
        else:
            made = report(
                launch, receipt, where, name=name, unit=unit, unit_rationale=unit_rationale
            )
            _tell(made, out, as_json=as_json)
    except (Exception, KeyboardInterrupt) as e:  # noqa: BLE001 -- the exit code is the command's
        # Whatever became of the report: the command has run, and its record can be read again.
        kept = True
        said = str(e) if isinstance(e, LowtideError) else f"no report: {type(e).__name__}: {e}"
        with suppress(OSError):  # nothing reads what we say any more
            say(f"lowtide: {said}\nlowtide: the record of the run is kept in {folder}")
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    return code


def _tell(made: Report, out: str | None, *, as_json: bool) -> None:
    from scheduler.cli.views import local_zone

    content = made.json() if as_json or out is not None else None
    if out is not None:
        with options.written(Path(out)) as f:
            json.dump(content, f, ensure_ascii=False, indent=2, allow_nan=False)
            f.write("\n")
    if as_json:
        options.print_json(content)
    else:
        say(made.text(local_zone()))


def _interval_s(text: str | None, where: Place) -> float:
    from scheduler import quantities

    if text is None:
        return where.interval_s
    try:
        return quantities.duration_s(text)
    except ValueError as e:
        raise UsageError(f"--interval: {e}") from e


def _boards(count: int) -> tuple[str, ...]:
    """Boards on which nothing runs and that no other command of ours was given: claimed, so that
    none is given twice. A mask in the environment is never left.
    """
    from providers.executors import local
    from providers.meters.nvml.assigned import MASK, allocation
    from providers.runner import claims, proc

    me = proc.identify(os.getpid()) if count else None
    if me is None:
        return ()
    mask = allocation(os.environ)
    where = "here" if mask is None else f"among those of {MASK}={os.environ[MASK]}"
    while True:
        free = local.Local().free_gpus(frozenset())
        if mask is not None:
            free = tuple(uuid for uuid in mask.boards if uuid in free)
        if len(free) < count:
            raise UsageError(
                f"--gpus {count}: {len(free)} free GPU(s) are {where} (`lowtide doctor` lists "
                "faults of boards); wait for one, or leave the option out"
            )
        if claims.take(free[:count], me):
            return free[:count]


def _check_out(path: Path) -> None:
    """Before the run: what it cost is not to be lost to a typo."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--out {path} cannot be written: name a file in a folder that is there")


def _forget_unread() -> None:
    """Delete the environments of commands that were killed before their runner read them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone, or read long ago
            found, unread = folder.lstat(), folder / "env.json"
            # A link, or a folder that is another account's, could lead anywhere.
            mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if mine and time.time() - unread.lstat().st_mtime > UNREAD_S:
                unread.unlink()


def _folder(wanted: str | None) -> Path:
    """The run folder with the environment in it, which nobody else can read."""
    try:
        if wanted is None:
            _forget_unread()
            folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        else:
            folder = Path(wanted).absolute()
            folder.mkdir(mode=0o700)
        (folder / "work").mkdir(mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(folder / "env.json", flags, 0o600), "w") as f:
            json.dump(dict(os.environ), f)
    except OSError as e:
        where = f"--run-dir {wanted}" if wanted else "a folder for the record"
        raise UsageError(f"{where} cannot be made: {e}") from e
    return folder
