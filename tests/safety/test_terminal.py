"""What a job is called, writes and counts steers no terminal; a pipe gets it as it is."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler import texts
from scheduler.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TITLE = "\x1b]0;owned\x07"
EVIL = f"{TITLE}\x1b[2J\x9b31m\u202eeno\x7f\rfake"
SGR = re.compile(r"\x1b\[[0-9;:]*m")
# All that a terminal obeys; a pty itself writes CR before LF.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SCRIPT = (
    "import os, sys; evil = sys.argv[1]; "
    "open(os.environ['LOWTIDE_UNITS'], 'w').write(f'{evil}=3\\nmetric.{evil}=1\\nsteps=2\\n'); "
    "print(f'\\x1b[31mred\\x1b[0m {evil}'); print(evil, file=sys.stderr)"
)
READERS = (
    ("status",), ("status", "--json"), ("show", "ID"), ("show", "ID", "--json"), ("why", "ID"),
    ("why", "ID", "--json"), ("report", "ID"), ("report", "ID", "--json"), ("report",),
    *(("report", "--format", form) for form in ("csv", "markdown", "openmetrics", "boamps")),
    ("report", "--since", "1d", "--group-by", "project"), ("report", "--group", EVIL),
    ("compare", "--group", EVIL), ("logs", "ID"), ("status", "--config", EVIL), ("show", EVIL),
    ("submit", "--region", EVIL, "--duration", "1h", "--", "true"),
    ("submit", "--duration", EVIL, "--", "true"), (EVIL,), ("status", f"--{EVIL}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path, str]:
    """A home with a hostile job that has run: its environment, folder and id."""
    folder = tmp_path_factory.mktemp("past")
    (folder / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    environ |= {"LOWTIDE_HOME": str(folder / "home"), "COLUMNS": "400", "PYTHONUTF8": "1"}
    labels = [f"--{field}={EVIL}" for field in ("name", "group", "project", "unit")]
    words = ["run", "--now", *labels, "--", sys.executable, "-c", SCRIPT, EVIL]
    subprocess.run(
        [sys.executable, "-m", "scheduler", *words],
        env=environ, cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-m", "scheduler", "status", "--json"],
        env=environ, cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (job,) = json.loads(told.stdout)["jobs"]
    assert job["state"] == "succeeded"
    assert job["name"] == EVIL
    return environ, folder, job["job_id"]


class Terminal:
    """Commands in this process, with a terminal as their stdout and stderr."""

    def __init__(self, past: tuple[dict[str, str], Path, str], patch: pytest.MonkeyPatch) -> None:
        environ, folder, self.job_id = past
        self._patch = patch
        for name in [n for n in os.environ if n.startswith("LOWTIDE")]:
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        patch.chdir(folder)

    def __call__(self, *words: str) -> str:
        """What it writes there; the terminal's own CR before LF taken away."""
        ours, theirs = pty.openpty()
        parts: list[bytes] = []
        reader = threading.Thread(target=_drain, args=(ours, parts))
        reader.start()
        named = [self.job_id if word == "ID" else word for word in words]
        with open(theirs, "w", encoding="utf-8") as out, self._patch.context() as patch:  # noqa: PTH123
            for name, value in (("argv", ["lowtide", *named]), ("stdout", out), ("stderr", out)):
                patch.setattr(sys, name, value)
            with pytest.raises(SystemExit):
                main()
        reader.join()
        return b"".join(parts).decode().replace("\r\n", "\n")


def _drain(terminal: int, parts: list[bytes]) -> None:
    with suppress(OSError):  # Linux tells the end of a terminal so
        while piece := os.read(terminal, 1 << 16):
            parts.append(piece)
    os.close(terminal)


@pytest.fixture
def terminal(past: tuple[dict[str, str], Path, str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(past, monkeypatch)


@pytest.mark.parametrize("words", READERS, ids=lambda words: ascii(" ".join(words))[:24])
def test_nothing_that_steers_reaches_a_terminal(terminal: Terminal, words: tuple[str, ...]) -> None:
    said = terminal(*words)
    assert said.strip()
    if words[0] == "logs":  # colours and progress bars are a job's own
        said = SGR.sub("", said).replace("\r", "")
    assert CONTROL.findall(said.replace("\r\n", "\n")) == [], said
    assert "\u202e" not in said or {"logs", "--json", "--format"} & set(words)


def test_a_zone_that_was_imported_steers_no_terminal(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    zone = "DE\x1b[2J\x9b31m"
    rows = [f"2026-01-01T0{hour}:00Z,{zone},100" for hour in range(2)]
    file.write_text("\n".join(["timestamp_utc,region,g_per_kwh", *rows, ""]))
    words = ("--signal", "average", "--factors", "lifecycle", "--flow", "consumption")
    for command in (("import", str(file), *words), ("export", "--source", "x"), ()):
        said = terminal("history", *command)
        assert r"DE\x1b[2J\x9b31m" in said
        assert CONTROL.findall(said) == []
    whole = tmp_path / "whole.csv"
    terminal("history", "export", "--source", "x", "--out", str(whole))
    assert zone in whole.read_text()


def test_logs_keep_colours_on_a_terminal_and_everything_in_a_pipe(
    terminal: Terminal, past: tuple[dict[str, str], Path, str]
) -> None:
    assert "\x1b[31mred\x1b[0m \\x1b]0;owned\\x07" in terminal("logs", "ID")
    environ, folder, job_id = past
    piped = subprocess.run(
        [sys.executable, "-m", "scheduler", "logs", job_id],
        env=environ, cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    assert piped.stdout == f"\x1b[31mred\x1b[0m {EVIL}\n".encode()
    assert piped.stderr == f"{EVIL}\n".encode()


def test_a_line_break_in_a_name_makes_no_line_of_its_own(lowtide: Callable[..., Any]) -> None:
    job_id = lowtide(
        "submit", "--duration", "1h", "--name", "x\nlowtide: all is well", "--json", "--", "true"
    ).json["job_id"]
    for words in (("status",), ("show", job_id), ("why", job_id), ("cancel", job_id)):
        done = lowtide(*words)
        lines = [line.strip() for line in done.out.splitlines()]
        assert not any(line.startswith("lowtide: all") for line in lines), words


PIECES = st.lists(
    st.binary(max_size=12) | st.sampled_from([b"\x1b", b"[3", b"1m", b"\xc2", b"\x9b"])
)


@given(PIECES)
@example([b"\x1b", b"[2J", b"\x1b[3", b"1m", b"\xc2", b"\x9b"])
def test_however_it_is_cut_it_is_the_same_and_calm(pieces: list[bytes]) -> None:
    calm, whole = texts.Calm(), texts.Calm()
    cut = b"".join(calm.feed(piece) for piece in pieces) + calm.feed(b"", last=True)
    assert cut == whole.feed(b"".join(pieces), last=True)
    assert CONTROL.findall(SGR.sub("", cut.decode()).replace("\r", "")) == []


@given(st.text())
def test_a_line_is_one_line_and_harmless_text_stays(text: str) -> None:
    shown = texts.printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@given(st.text(), st.text())
def test_json_means_the_same(key: str, value: str) -> None:
    said = texts.json_safe(json.dumps({key: value}, ensure_ascii=False))
    assert json.loads(said) == {key: value}
    assert CONTROL.findall(said) == []
