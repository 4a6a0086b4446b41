"""The group, its lazily loaded commands, and errors as one line with an exit code by class."""

from __future__ import annotations

import difflib
import gc
import os
import sys
from importlib import import_module

import click

from providers.errors import LowtideError
from scheduler.errors import UsageError
from scheduler.texts import printable_lines

# name -> (module, one line of help): `lowtide -h` imports no command.
COMMANDS = {
    "init": ("init", "Write a configuration: this machine's grid zone and hardware."),
    "submit": ("jobs", "Queue a job and print its plan."),
    "plan": ("jobs", "Show the plan a job would get; submit nothing."),
    "run": ("foreground", "Submit, wait for the window, run in the foreground."),
    "meter": ("meter", "Run a command at once under the meter, with no queue."),
    "wait": ("foreground", "Sleep until the greenest window; needs no daemon."),
    "status": ("look", "List jobs."),
    "show": ("look", "Show a job, its plan and its forecast."),
    "why": ("look", "Tell the story of a job: planned, moved, why not now."),
    "logs": ("look", "Print what a job wrote."),
    "cancel": ("look", "Cancel a waiting job, or stop a running one."),
    "report": ("reports", "Report realized energy, carbon and SCI."),
    "compare": ("comparing", "Compare runs: what each reached for its energy and carbon."),
    "verify": ("verify", "Recompute the figures of a report from its evidence."),
    "regions": ("regions", "Compare regions for a job."),
    "forecast": ("forecasting", "Show a region's carbon intensity, or how well it is foretold."),
    "history": ("history", "Show, import and export actual carbon intensity."),
    "providers": ("providers", "List sources of carbon data, meters and engines."),
    "simulate": ("simulation", "Replay a job log: what would have been saved."),
    "prune": ("prune", "Delete what ended jobs have left, as old as you say."),
    "up": ("daemon", "Run the daemon, or install it."),
    "tick": ("daemon", "Do one pass: for cron, or by hand."),
    "db": ("database", "Upgrade, check, mend or back up the database."),
    "doctor": ("doctor", "Check the installation."),
    "completion": ("doctor", "Print a shell completion script."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"scheduler.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "`lowtide -h` lists them"
            raise UsageError(f"no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "LOWTIDE"},
    epilog="Example: lowtide submit --duration 2h --deadline 18h -- python train.py",
)
@click.option(
    "--config",
    metavar="FILE",
    help="Configuration; else LOWTIDE_CONFIG, lowtide.yaml here or above, yours.",
)
@click.version_option(package_name="lowtide", message="lowtide %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: str | None) -> None:
    """Run deferrable jobs at the low tide of grid carbon, and report what they really cost."""
    ctx.obj = config


def main() -> None:
    """Entry point: exit codes 0 ok, 1 job failed, 2 usage, 3 config, 4 carbon data, 5 store."""
    # Most commands have made 130,000 objects when they begin, hardly any of them garbage: without a
    # collection before that they start a tenth faster (30 to 100 ms).
    gc.set_threshold(200_000)
    try:
        code = cli.main(prog_name="lowtide", standalone_mode=False)
    except click.ClickException as e:
        where = getattr(e, "ctx", None)
        command = where.command_path if where else "lowtide"
        _say(f"{_unknown_option(e) or e.format_message()} (see `{command} -h`)")
        code = e.exit_code
    except LowtideError as e:
        _say(str(e))
        code = e.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except BrokenPipeError:
        # The reader went away (`| head`): leave quietly, also when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _unknown_option(error: click.ClickException) -> str | None:
    """What to do about an option that the command does not have; it may be one of the job's."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return None
    command, name = error.ctx.command, error.option_name
    known = [option for param in command.params for option in param.opts if option[:2] == "--"]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    said = f"{name} is not an option of {command.name}"
    said += f": did you mean {near[0]}?" if near else ""
    if any(param.name == "argv" for param in command.params):
        said += " I" if near else ": i"
        said += "f it belongs to the job, put `--` before the job's command"
    return said


def _say(message: str) -> None:
    click.echo(f"lowtide: {printable_lines(message)}", err=True)
