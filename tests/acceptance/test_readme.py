"""README and docs cannot lie: their sessions are run, and what they show is what comes out."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


def _session(page: str) -> list[tuple[str, str]]:
    """Commands (``$``, and ``>`` where they go on) and outputs of all sessions of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    steps = [s for block in blocks for s in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    found = []
    for step in steps:
        first, *rest = step.splitlines()
        more = list(itertools.takewhile(lambda line: line.startswith("> "), rest))
        command = "\n".join([first, *(line[2:] for line in more)])
        found.append((command, "\n".join(rest[len(more) :])))
    return found


def _shape(text: str) -> str:
    """What stays the same from run to run: words and layout, not figures, ids and times."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"[▁▂▃▄▅▆▇█]+", "SHAPE", text)
    text = re.sub(r"\((UTC|[A-Z]\w+/\w+)\)", "(ZONE)", text)
    text = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ", "", text)
    text = re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "N", text)
    text = re.sub(r"\b[kmµ]?(g|Wh)\b", r"\1", text)
    text = re.sub(
        r"(PUE|embodied carbon|\w+ energy \(\w+\)|carbon intensity \(\w+\)): N", "X: N", text
    )
    # Whether the best window is now, and whether the run met a new hour, is the clock's affair.
    reasons = ("the lowest forecast carbon", "no later window is lower", "no delay is worth it")
    reason = rf"({'|'.join(reasons)}).*"
    text = re.sub(reason, "REASON", text)
    text = re.sub(r" \(N (g|Wh) to N (g|Wh)\)", "", text)
    text = re.sub(r"\bN( \w+)? to N \w+", "BOUNDS", text)
    return re.sub(r"─+|[ \t]+", " ", text).strip()


@pytest.mark.parametrize(
    ("page", "hour"),
    [("README.md", "UTC"), ("README.md", "Asia/Tokyo"), ("docs/exports.md", "UTC")],
)
def test_the_session_of_a_page_is_real(tmp_path: Path, page: str, hour: str) -> None:
    steps = _session(page)
    assert len(steps) >= 5
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    bin_dir = Path(sys.executable).parent
    env = kept | {
        "LOWTIDE_HOME": str(tmp_path / "home"),
        "TZ": hour,
        "PATH": f"{bin_dir}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }
    for command, shown in steps:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        assert _shape(done.stdout) == _shape(shown), command


def test_every_command_is_in_the_readme_and_has_help_with_an_example() -> None:
    from click.testing import CliRunner

    from scheduler.cli.main import COMMANDS, cli

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, found, after = text.partition("| command | does |\n")
    assert found
    rows = itertools.takewhile(lambda line: line.startswith("|"), after.splitlines())
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(COMMANDS)
    for name in COMMANDS:
        for flag in ("-h", "--help"):
            shown = CliRunner().invoke(cli, [name, flag])
            assert shown.exit_code == 0, name
            assert "Example" in shown.output, name


def _options(command: click.Command) -> Iterator[click.Option]:
    """Those of a command and of all below it."""
    yield from (p for p in command.params if isinstance(p, click.Option))
    if isinstance(command, click.Group):
        within = click.Context(command)
        for name in command.list_commands(within):
            below = command.get_command(within, name)
            assert below is not None
            yield from _options(below)


def test_every_option_is_named_in_the_readme_or_on_a_page() -> None:
    from scheduler.cli.main import cli

    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    code = " ".join(re.findall(r"^ *```.*?^ *```|`[^`]+`", text, re.DOTALL | re.MULTILINE))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code))
    options = [o.opts for o in _options(cli) if not o.hidden and o.name != "version"]
    assert len(options) > 100
    assert not [names for names in options if not named & {*names}]


def test_the_job_file_of_the_page_is_taken(tmp_path: Path, lowtide: Callable[..., Any]) -> None:
    page = (ROOT / "docs" / "submit.md").read_text(encoding="utf-8")
    (content,) = re.findall(r"```yaml\n# job.yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "job.yaml").write_text(content)
    assert lowtide("submit", "-f", "job.yaml", "--deadline", "12h", "--dry-run").code == 0
    job_id = lowtide("submit", "-f", "job.yaml", "--json").json["job_id"]
    assert lowtide("show", job_id, "--json").json["job"]["name"] == "thesis"
