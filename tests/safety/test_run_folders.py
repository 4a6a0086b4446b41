"""Run folders and what lies in them: whose they are, who may read them, what may stand there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.bench import PACKAGES, Bench

from providers.base import Receipt
from providers.executors.local import build
from providers.files import read_bounded
from providers.journal import read
from providers.runner import journal
from providers.runner.units import LIMIT_BYTES, TAIL_BYTES, Written, read_units
from scheduler import sci
from scheduler.engine.runs import RunFolders
from scheduler.errors import ConfigError
from scheduler.store import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another's")
LIFE = """
import os, subprocess, sys
os.umask(int(sys.argv[1], 8))
words = [sys.executable, "-m", "scheduler"]
job = ["--", "sh", "-c", "umask; echo words; echo steps=1 >> $LOWTIDE_UNITS"]
subprocess.run([*words, "run", "--now", "--name", "x", *job], check=True)
subprocess.run([*words, "submit", "--duration", "1h", "--every", "0 2 * * *", "--within", "9h",
                "--", "true"], check=True)
subprocess.run([*words, "report"], check=True)
"""


def test_what_we_write_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\nshared_runs: shared\n")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
    done = subprocess.run(
        [sys.executable, "-c", LIFE, "000"], cwd=tmp_path, capture_output=True, text=True,
        env=environ | {"LOWTIDE_HOME": str(tmp_path / "home")}, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("0000\n"), "a job keeps the umask of who started it"
    made = [p for top in ("home", "shared") for p in (tmp_path / top).rglob("*")]
    assert any(p.name == "receipt.json" for p in made)
    # The job's own file is as its own umask says; the folder keeps others out.
    ours = [p for p in made if p.name != "units"]
    for path in ours:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, (path, oct(mode))
    for top in (tmp_path / "home", *(tmp_path / "shared").iterdir()):
        assert stat.S_IMODE(top.stat().st_mode) == 0o700
    secret = next(p for p in made if p.name == "env.json")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_shared_place_where_anybody_may_replace_folders_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(ConfigError, match="sticky bit"):
        RunFolders(shared / "me").of("ab12cd34")
    shared.chmod(0o1777)
    assert RunFolders(shared / "me").of("ab12cd34").is_dir()


@pytest.mark.parametrize("what", ["link", "file", "writable"])
def test_a_place_of_run_folders_that_others_prepared_is_refused(tmp_path: Path, what: str) -> None:
    place = tmp_path / "shared" / "me"
    place.parent.mkdir()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if what == "link":
        place.symlink_to(theirs)
    elif what == "file":
        place.write_text("")
    else:
        place.mkdir()
        place.chmod(0o777)
    said = {"link": "a symbolic link", "file": "cannot be made", "writable": "others may write"}
    with pytest.raises(ConfigError, match=said[what]):
        RunFolders(place).keep_environment("ab12cd34", {"TOKEN": "secret"})
    assert list(theirs.iterdir()) == []


@as_root
def test_a_run_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    for depth in (0, 1, 2):
        place = tmp_path / str(depth)
        folders = RunFolders(place)
        theirs = (place, place / "ab12cd34", place / "ab12cd34" / "1")[depth]
        theirs.mkdir(parents=True, mode=0o700)
        os.chown(theirs, NOBODY, NOBODY)
        with pytest.raises(ConfigError, match=f"is the user {NOBODY}'s"):
            folders.attempt("ab12cd34", 1)


@as_root
def test_a_home_of_another_user_is_not_opened_even_by_root(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="set LOWTIDE_HOME to a folder of your own"):
        prepare(home)
    assert list(home.iterdir()) == []


def test_a_refused_run_folder_is_one_line_and_queues_nothing(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "runs").symlink_to(tmp_path)
    done = lowtide("submit", "--duration", "1h", "--", "true")
    assert done.code == 3
    assert len(done.err.splitlines()) == 1
    assert "a symbolic link" in done.err
    assert lowtide("status", "--json").json["jobs"] == []


# --- the units file ---------------------------------------------------------------------


def _link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("steps=5\n")
    path.symlink_to(target)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero


UNREADABLE = {
    "a link to a file": _link,
    "a link to the passwords": lambda path: path.symlink_to("/etc/passwd"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a device": _device,
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_units_are_read_from_a_file_and_from_nothing_else(tmp_path: Path, what: str) -> None:
    if what == "a device" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    path = tmp_path / "units"
    UNREADABLE[what](path)
    written = read_units(path)
    assert list(written.lines) == []
    assert written.part.startswith("$LOWTIDE_UNITS cannot be read: ")


def test_a_job_that_put_a_pipe_in_place_of_its_files_holds_nobody_up(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    script = 'mkfifo "$LOWTIDE_UNITS" "$LOWTIDE_RUN_DIR/../1/pauses.json"'
    done = lowtide("run", "--now", "--unit", "steps", "--", "sh", "-c", script)
    assert done.code == 0, done.err
    (told,) = lowtide("report", "--json").json["jobs"]
    assert told["functional_unit"]["count"] is None
    assert "no regular file" in told["null_reasons"]["functional_unit.count"]
    assert any("no regular file" in note for note in told["notes"])


def test_of_a_huge_units_file_the_metric_at_its_end_is_read_and_no_sum_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "units"
    line = b"steps=1\n"
    with path.open("wb") as file:
        for _ in range(17):
            file.write(line * ((1 << 20) // len(line)))
        file.write(b"metric.accuracy=0.5\n")
    written = read_units(path)
    work = sci.count(written.lines, written.part)
    assert work.metrics == {"accuracy": 0.5}
    assert work.units == {}
    assert "17 MiB" in work.unknown


def test_up_to_the_bound_all_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "units"
    path.write_bytes((b"steps=1".ljust(511) + b"\n") * (LIMIT_BYTES // 512))
    written = read_units(path)
    assert written.part == ""
    assert sci.count(written.lines).units == {"steps": LIMIT_BYTES / 512}
    with path.open("ab") as file:
        file.write(b"x")
    assert len(list(read_units(path).lines)) <= TAIL_BYTES / 512


def test_a_line_without_end_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "units"
    path.write_bytes(b"x" * 5000 + b"=1\nsteps=2\n")
    assert list(read_units(path).lines) == [("steps", 2.0)]
    assert read_units(tmp_path / "none") == Written()


# --- what the runner leaves ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["receipt.json", "launch.json", "started", "pauses.json"])
@pytest.mark.parametrize("what", ["pipe", "huge", "deep", "zero", "folder"])
def test_a_file_of_ours_that_a_job_replaced_is_a_damaged_one(
    tmp_path: Path, name: str, what: str
) -> None:
    path = tmp_path / name
    if what == "pipe":
        os.mkfifo(path)
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)  # a hole: it takes no room
    elif what == "deep":
        path.write_text("[" * 200_000)
    elif what == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert journal.read_json(path) is None
    assert journal.read_receipt(tmp_path) is None
    assert journal.read_pauses(tmp_path) == ()
    state = build({}, tmp_path).poll(tmp_path, "no-such-token")
    assert state.phase in {"absent", "gone"}
    assert state.started_at is None


def test_a_journal_that_is_no_file_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.jsonl")
    assert read(tmp_path / "journal.jsonl").notes == ("no energy journal: no regular file",)


RECEIPT = asdict(Receipt("j1", 1, "exited", 10.0, 20.0, 0, None, 0.5))


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": "x"}, {"started_at": None}, {"ended_at": 1e300}, {"ended_at": float("nan")},
        {"ended_at": 5.0}, {"exit_code": "0"}, {"exit_code": -1}, {"signal": [9]},
        {"cpu_s": "much"}, {"cpu_s": float("inf")}, {"reason": "because"}, {"error": 5},
        {"job_id": 7}, {"attempt": "1"}, {"pauses": [[float("-inf"), 1.0]]},
    ],
)  # fmt: skip
def test_a_receipt_that_no_runner_leaves_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    journal.write_json(tmp_path / "receipt.json", RECEIPT)
    assert journal.read_receipt(tmp_path) is not None
    journal.write_json(tmp_path / "receipt.json", RECEIPT | changes)
    assert journal.read_receipt(tmp_path) is None


def test_a_link_in_place_of_a_file_that_is_being_written_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("kept")
    (tmp_path / f".receipt.json.{os.uname().nodename}.{os.getpid()}").symlink_to(theirs)
    with pytest.raises(OSError, match="symbolic links"):
        journal.write_json(tmp_path / "receipt.json", {})
    assert theirs.read_text() == "kept"


def test_what_is_too_long_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bounded(tmp_path / "x", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_bounded(tmp_path / "x", 4)


INTRUDER = """
import os, sys
from pathlib import Path
os.setgroups([]); os.setgid(65534); os.setuid(65534)
run = Path(sys.argv[1])
tries = {
    "list": lambda: os.listdir(run),
    "read": lambda: (run / "env.json").read_text(),
    "swap": lambda: (run / "1" / "launch.json").write_text("{}"),
    "replace": lambda: os.replace("/etc/hostname", run / "1" / "launch.json"),
    "units": lambda: (run / "units").symlink_to("/etc/passwd"),
    "move": lambda: run.rename(run.with_name("gone")),
    "move all": lambda: run.parent.rename(run.parent.with_name("gone")),
    "plant": lambda: (run.parent / "ffffffff").mkdir(),
}
for name, act in tries.items():
    try:
        act()
        print(name)
    except PermissionError:
        continue
"""


@as_root
def test_another_user_of_a_shared_folder_can_do_nothing_to_what_is_ours() -> None:
    """In a folder as `shared_runs` wants it: everybody may make one in it (1777)."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        shared = Path(name)
        shared.chmod(0o1777)
        folders = RunFolders(shared / "me")
        folders.keep_environment("ab12cd34", {"TOKEN": "secret"})
        journal.write_json(folders.attempt("ab12cd34", 1) / "launch.json", {"argv": ["true"]})
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", INTRUDER, str(shared / "me" / "ab12cd34")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout == ""
        assert journal.read_json(shared / "me/ab12cd34/1/launch.json") == {"argv": ["true"]}


def test_an_attempt_whose_launch_was_swapped_after_its_start_starts_nothing_more(
    tmp_path: Path,
) -> None:
    """The attempt is claimed by its folder: whatever is written there later is too late."""
    bench = Bench(tmp_path)
    launch = bench.start("true")
    receipt = bench.wait(launch)
    evil = replace(launch, argv=("touch", str(tmp_path / "owned")))
    journal.write_json(Path(launch.run_dir) / "launch.json", asdict(evil))
    subprocess.run(
        [sys.executable, "-P", "-m", "providers.runner", launch.run_dir],
        env=os.environ | {"PYTHONPATH": str(PACKAGES)}, capture_output=True, check=True,
    )  # fmt: skip
    build({}, tmp_path).start(evil)
    assert bench.wait(launch) == receipt
    assert not (tmp_path / "owned").exists()
