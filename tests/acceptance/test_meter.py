"""``lowtide meter`` with real commands, in real pipes and in a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Launch
from providers.errors import ExecutorError
from providers.executors import foreground
from providers.runner import proc

if TYPE_CHECKING:
    from collections.abc import Callable

LOWTIDE = str(Path(sys.executable).with_name("lowtide"))
PATIENCE_S = 180.0
BURN = "import os,time\nwhile time.process_time() < {s}: pass\nos._exit(0)"
# Says when it can be interrupted, and what became of it.
HEEDS = "import signal, time; print('ready', flush=True); time.sleep(60)"


class Meter:
    """The command as a process of its own, in a folder without any config."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE")}
        self.env = kept | {"LOWTIDE_HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
        (root / "tmp").mkdir()

    def run(self, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LOWTIDE, "meter", *argv],
            cwd=self.root,
            env=self.env,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **({"capture_output": True} | more),
        )

    def start(self, *argv: str, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [LOWTIDE, "meter", *argv], cwd=self.root, env=self.env, text=True, **more
        )

    @property
    def left(self) -> list[str]:
        return [path.name for path in (self.root / "tmp").iterdir()]


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(tmp_path)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


class Terminal:
    """``lowtide meter`` as the foreground job of a terminal of its own."""

    def __init__(self, meter: Meter, *argv: str) -> None:
        self.seen = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(meter.root)
            os.execve(LOWTIDE, [LOWTIDE, "meter", *argv], meter.env)

    def until(self, text: str) -> None:
        until(lambda: self._read() and text in self.seen)

    def send(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def _read(self) -> bool:
        if select.select([self._fd], [], [], 0.05)[0]:
            try:
                self.seen += os.read(self._fd, 1 << 16).decode(errors="replace")
            except OSError:  # the last process of the terminal has gone
                time.sleep(0.05)
        return True

    def end(self) -> int:
        """The exit code, once it has ended; what it still writes is read meanwhile."""
        status: list[int] = []

        def ended() -> bool:
            self._read()
            pid, found = os.waitpid(self.pid, os.WNOHANG)
            status.extend([found] * bool(pid))
            return bool(pid)

        until(ended)
        self._read()
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status[0])


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_the_exit_code_is_that_of_the_command(meter: Meter, script: str, code: int) -> None:
    done = meter.run("--", "sh", "-c", script)
    assert done.returncode == code
    assert ("succeeded" if code == 0 else "failed") in done.stderr
    assert meter.left == []


def test_a_command_that_is_not_found_is_127_and_no_report(meter: Meter) -> None:
    done = meter.run("--", "no-such-thing")
    assert done.returncode == 127
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "lowtide: cannot start 'no-such-thing': no such executable on the job's PATH"
    ]


def test_streams_are_passed_through_byte_by_byte(meter: Meter) -> None:
    data = bytes(range(256)) * 512
    script = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d)"
    done = subprocess.run(
        [LOWTIDE, "meter", "--", sys.executable, "-c", script],
        cwd=meter.root,
        env=meter.env,
        input=data,
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout == data
    assert b"energy" in done.stderr


def test_a_closed_stdin_is_the_null_device(meter: Meter) -> None:
    line = f"{LOWTIDE} meter -- cat <&-"
    done = subprocess.run(
        ["sh", "-c", line], cwd=meter.root, env=meter.env, capture_output=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_command_gets_its_environment_and_units_and_nothing_of_ours(meter: Meter) -> None:
    meter.env["KEPT"] = "yes"
    script = 'env; echo epochs=2 >> "$LOWTIDE_UNITS"; echo epochs=3 >> "$LOWTIDE_UNITS"'
    done = meter.run("--unit", "epochs", "--out", "made.json", "--", "sh", "-c", script)
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert variables["KEPT"] == "yes"
    assert "PYTHONPATH" not in variables
    made = json.loads((meter.root / "made.json").read_text())
    assert made["functional_unit"] == {"name": "epochs", "count": 5.0}
    assert not Path(variables["LOWTIDE_UNITS"]).exists()
    # Neither a home nor a database is made for a run that is not kept.
    assert not (meter.root / "home").exists()


def test_json_is_alone_on_stdout_and_has_the_fields_of_report(meter: Meter) -> None:
    done = meter.run("--zone", "DE", "--json", "--name", "x", "--", "sh", "-c", "echo data")
    assert "data" in done.stderr
    made = json.loads(done.stdout)
    (meter.root / "config.yaml").write_text("regions: {local: {zone: DE}}\n")
    subprocess.run(
        [LOWTIDE, "run", "--", "true"], cwd=meter.root, env=meter.env, check=True, timeout=60
    )
    told = subprocess.run(
        [LOWTIDE, "report", "--json"],
        cwd=meter.root,
        env=meter.env,
        check=True,
        capture_output=True,
        timeout=60,
    )
    job = json.loads(told.stdout)["jobs"][0]
    assert list(made) == ["schema_version", *job]
    for name, value in job.items():
        compared = name in {"planned_g", "baseline_g", "saved_g", "null_reasons"}
        if isinstance(value, dict) and not compared:
            assert list(made[name]) == list(value), name
    assert [c["name"] for c in made["components"]] == [c["name"] for c in job["components"]]
    assert made["name"] == "x"
    nulls = re.findall(r"null", re.sub(r'"null_reasons"', "", json.dumps(made)))
    assert len(nulls) == len(made["null_reasons"])


def test_a_zone_gives_carbon_and_says_where_it_comes_from(meter: Meter) -> None:
    made = json.loads(meter.run("--zone", "SE-SE3", "--json", "--", "sleep", "0.3").stdout)
    grams, energy = made["operational_g"], made["energy_kwh"]["reserved"]
    assert made["zone"] == "SE-SE3"
    assert made["intensity"]["source"] == (
        "climatology (Electricity Maps, shape of 2022, level of 2025)"
    )
    assert 0 < grams["low"] < grams["value"] < grams["high"]
    per_kwh = made["intensity"]["g_per_kwh"]
    assert grams["value"] == pytest.approx(energy["value"] * per_kwh, rel=1e-4)
    assert made["baseline_g"] is None
    assert "not planned" in made["null_reasons"]["baseline_g"]


def test_a_region_brings_its_zone_and_its_pue(meter: Meter) -> None:
    done = meter.run("--region", "aws:eu-north-1", "--json", "--", "true")
    made = json.loads(done.stdout)
    assert (made["region"], made["zone"]) == ("aws:eu-north-1", "SE-SE3")
    assert made["pue"]["value"] > 1
    assert made["operational_g"] is not None


def test_without_a_place_there_is_energy_and_the_reason_for_no_carbon(meter: Meter) -> None:
    done = meter.run("--json", "--", "true")
    assert done.returncode == 0
    made = json.loads(done.stdout)
    assert made["energy_kwh"]["reserved"]["value"] > 0
    assert made["operational_g"] is None
    assert "--zone DE" in made["null_reasons"]["operational_g"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--zone", "DEE"], 4, "nearest are"),
        (["--zone", "XYZ"], 4, "'XYZ'"),
        (["--region", "aws:eu-nort-1"], 2, "aws:eu-north-1"),
        (["--region", "aws:eu-north-1", "--zone", "DE"], 2, "both"),
        (["--interval", "soon"], 2, "--interval"),
        (["--slots", "0"], 2, "--slots"),
        (["--gpus", "99"], 2, "free GPU"),
        (["--out", "no/such/folder.json"], 2, "--out"),
        (["--run-dir", "."], 2, "--run-dir"),
        (["--config", "absent.yaml"], 3, "absent.yaml"),
    ],
)
def test_a_typo_is_told_before_anything_runs(
    meter: Meter, options: list[str], code: int, said: str
) -> None:
    done = meter.run(*options, "--", "touch", "ran")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (meter.root / "ran").exists()
    assert meter.left == []


def test_no_command_is_a_usage_error(meter: Meter) -> None:
    done = meter.run("--zone", "DE")
    assert (done.returncode, "after --" in done.stderr) == (2, True)


def test_a_config_is_heeded_and_a_broken_one_is_told_first(meter: Meter) -> None:
    config = meter.root / "config.yaml"
    config.write_text("regions: {lab: {zone: FR}}\nhome: lab\nmeters: [model]\n")
    made = json.loads(meter.run("--json", "--", "true").stdout)
    assert (made["region"], made["zone"]) == ("lab", "FR")
    assert not any("rapl" in note for note in made["notes"])
    config.write_text("regions: {lab: {zon: FR}}\n")
    done = meter.run("--", "touch", "ran")
    assert (done.returncode, (meter.root / "ran").exists()) == (3, False)
    assert "zon" in done.stderr


def test_a_zone_that_only_a_source_of_the_config_knows_is_taken(meter: Meter) -> None:
    (meter.root / "config.yaml").write_text(
        "providers: [mine]\nsources: {mine: {type: constant, g_per_kwh: 42, source: bill}}\n"
    )
    made = json.loads(meter.run("--zone", "MINE", "--json", "--", "true").stdout)
    assert made["intensity"]["g_per_kwh"] == pytest.approx(42)


def test_fifty_short_children_count_as_one_long_one(meter: Meter) -> None:
    burn = f"{sys.executable} -I -S -c '{BURN.format(s=0.05)}'"
    loop = f"i=0; while [ $i -lt 50 ]; do {burn}; i=$((i+1)); done"
    (meter.root / "config.yaml").write_text("meters: [model]\n")
    record = meter.root / "record"
    meter.run("--run-dir", str(record), "--", "sh", "-c", loop)
    receipt = json.loads((record / "receipt.json").read_text())
    assert receipt["cpu_s"] >= 50 * 0.05


def test_a_kept_record_holds_no_environment(meter: Meter) -> None:
    meter.env["SECRET"] = "hidden-in-there"
    meter.run("--run-dir", "record", "--", "true")
    record = meter.root / "record"
    assert {"journal.jsonl", "receipt.json", "launch.json"} <= {p.name for p in record.iterdir()}
    assert record.stat().st_mode & 0o777 == 0o700
    texts = [p.read_bytes() for p in record.rglob("*") if p.is_file()]
    assert not any(b"hidden-in-there" in text for text in texts)


def test_it_ends_with_its_command_and_leaves_what_that_left_behind(meter: Meter) -> None:
    script = "sleep 3600 > /dev/null 2>&1 & echo $!"  # longer than the patience with the meter
    done = meter.run("--", "sh", "-c", script)
    left = int(done.stdout)
    assert proc.stat(left) is not None
    assert "1 process(es) outlived the command" in done.stderr
    os.kill(left, signal.SIGKILL)


def test_term_to_the_meter_ends_the_command(meter: Meter) -> None:
    running = meter.start(
        "--", sys.executable, "-c", HEEDS, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.terminate()
    _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 143
    assert "stopped" in err


def test_what_the_caller_ignores_the_command_ignores(meter: Meter) -> None:
    done = subprocess.run(
        ["sh", "-c", f"trap '' HUP INT; {LOWTIDE} meter -- grep SigIgn /proc/self/status"],
        cwd=meter.root,
        env=meter.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    ignored = int(done.stdout.split()[1], 16)
    assert ignored & 0b11 == 0b11  # HUP is 1, INT is 2
    plain = meter.run("--", "grep", "SigIgn", "/proc/self/status").stdout
    libc_own = 0b11 << 31
    assert int(plain.split()[1], 16) & ~libc_own == 0


def test_a_killed_meter_leaves_the_command_alone(meter: Meter) -> None:
    script = "import time, os; print(os.getpid(), flush=True); time.sleep(1.5); open('end', 'w')"
    running = meter.start("--", sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    running.kill()
    running.wait()
    until(lambda: (meter.root / "end").exists())
    running.stdout.close()


def test_a_killed_runner_leaves_the_command_and_a_partial_report(meter: Meter) -> None:
    script = (
        "import os, signal, time; time.sleep(0.5); os.kill(os.getppid(), signal.SIGKILL);"
        "time.sleep(0.5); print('unharmed'); raise SystemExit(9)"
    )
    done = meter.run(
        "--zone", "DE", "--interval", "0.2s", "--out", "o.json", "--", sys.executable, "-c", script
    )
    assert (done.returncode, done.stdout) == (9, "unharmed\n")
    made = json.loads((meter.root / "o.json").read_text())
    assert made["state"] == "failed"
    assert 0 < made["components"][0]["coverage_percent"] < 90


def test_in_a_terminal_the_command_has_the_terminal(meter: Meter) -> None:
    script = (
        "import os, sys; print([f.isatty() for f in (sys.stdin, sys.stdout, sys.stderr)]);"
        "print(os.getpgrp() == os.tcgetpgrp(0), open('/dev/tty').isatty());"
        "print('hello', input('who? '))"
    )
    terminal = Terminal(meter, "--", sys.executable, "-c", script)
    terminal.until("who? ")
    assert "[True, True, True]" in terminal.seen
    assert "True True" in terminal.seen
    terminal.send("me\n")
    assert terminal.end() == 0
    assert "hello me" in terminal.seen
    assert "energy" in terminal.seen


def test_control_c_goes_to_the_command_and_is_130(meter: Meter) -> None:
    terminal = Terminal(meter, "--", sys.executable, "-c", HEEDS)
    terminal.until("ready")
    terminal.send("\x03")
    assert terminal.end() == 130
    assert "KeyboardInterrupt" in terminal.seen
    assert "killed by signal 2" in terminal.seen


def test_a_command_that_takes_control_c_goes_on(meter: Meter) -> None:
    script = "trap 'echo caught' INT; echo ready; read x; echo \"went on $x\""
    terminal = Terminal(meter, "--", "bash", "-c", script)
    terminal.until("ready")
    terminal.send("\x03")
    terminal.until("caught")
    terminal.send("now\n")
    assert terminal.end() == 0


def test_a_report_that_cannot_be_written_costs_neither_exit_code_nor_record(meter: Meter) -> None:
    (meter.root / "gone").mkdir()
    done = meter.run("--out", "gone/x.json", "--", "sh", "-c", "rmdir gone; exit 5")
    assert done.returncode == 5
    complaint, where = done.stderr.splitlines()
    assert "--out gone/x.json" in complaint
    record = Path(where.partition("kept in ")[2])
    assert (record / "receipt.json").is_file()


def test_a_runner_that_never_began_is_told(tmp_path: Path) -> None:
    launch = Launch("j", 1, "t", ("true",), "/", str(tmp_path), "e", "u", "w", "local", 1)
    with pytest.raises(ExecutorError, match="exit code 1"):
        foreground._adopted(launch, tmp_path, 1 << 8)
    (tmp_path / "started").write_text('{"at": 1.0}')
    (tmp_path / "process.json").write_text(json.dumps({"pid": os.getppid()}))
    with pytest.raises(ExecutorError, match="signal 9"):
        foreground._adopted(launch, tmp_path, 9)


def test_boards_of_running_commands_are_not_free() -> None:
    variables = {"LOWTIDE_RUN": "some-token", "CUDA_VISIBLE_DEVICES": "GPU-held-1,GPU-held-2"}
    held = subprocess.Popen(["sleep", "60"], env=variables)
    other = subprocess.Popen(["sleep", "60"], env={"CUDA_VISIBLE_DEVICES": "GPU-of-another"})
    until(lambda: "GPU-held-1" in proc.held_boards())
    found = proc.held_boards()
    for child in (held, other):
        child.kill()
        child.wait()
    assert {"GPU-held-1", "GPU-held-2"} <= found
    assert "GPU-of-another" not in found
    assert "GPU-held-1" not in proc.held_boards()


def test_a_shared_database_is_not_even_asked(meter: Meter) -> None:
    meter.env["LOWTIDE_DATABASE"] = "postgresql://nobody@127.0.0.1:1/none"
    done = meter.run("--zone", "DE", "--", "true")
    assert done.returncode == 0, done.stderr
    assert "g/kWh in DE" in done.stderr
