"""Which configuration counts, as a user meets it: `init`, hints, `doctor`, and old reports."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from providers.hardware.detected import detect
from providers.meters.model import memory_gb
from providers.meters.nvml import board_count

if TYPE_CHECKING:
    from collections.abc import Callable

LOWTIDE = Path(sys.executable).with_name("lowtide")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Where `init` writes to."""
    return tmp_path / "xdg" / "lowtide" / "config.yaml"


# --- init -----------------------------------------------------------------------------


def test_init_writes_the_user_s_file_and_it_counts_everywhere(
    lowtide: Callable[..., Any],
    mine: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = lowtide("init", "--zone", "DE")
    assert (done.code, done.out) == (0, f"{mine}\n")
    local = yaml.safe_load(mine.read_text())["regions"]["local"]
    assert (local["zone"], local["hardware"]) == (
        "DE",
        detect(memory_gb(), board_count()).hardware,
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    checks = {c["check"]: c["detail"] for c in lowtide("doctor", "--json").json["checks"]}
    assert checks["config"] == f"{mine} (the user's)"
    assert checks["local zone"] == "DE"


def test_init_overwrites_nothing_without_force(lowtide: Callable[..., Any], mine: Path) -> None:
    mine.parent.mkdir(parents=True)
    mine.write_text("tick: 5s\n")
    done = lowtide("init", "--zone", "DE")
    assert done.code == 2
    assert "--force" in done.err
    assert mine.read_text() == "tick: 5s\n"
    assert lowtide("init", "--zone", "NO-NO1", "--no-hardware", "--force").code == 0
    assert yaml.safe_load(mine.read_text()) == {"regions": {"local": {"zone": "NO-NO1"}}}


def test_init_needs_a_zone_where_it_cannot_ask(
    lowtide: Callable[..., Any], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = lowtide("init")
    assert (done.code, done.out) == (2, "")
    assert "--zone DE" in done.err
    unknown = lowtide("init", "--zone", "Germany")
    assert unknown.code == 4
    assert "knows zone 'Germany'" in unknown.err
    assert not mine.exists()


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"Germany\nDE\nn\n")
    env = os.environ | {"XDG_CONFIG_HOME": str(tmp_path), "LOWTIDE_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [str(LOWTIDE), "init"], stdin=theirs, capture_output=True, text=True, env=env, cwd=tmp_path,
        timeout=120, check=True,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert "knows zone 'Germany'" in done.stderr
    written = tmp_path / "lowtide" / "config.yaml"
    assert done.stdout == f"{written}\n"
    assert yaml.safe_load(written.read_text()) == {"regions": {"local": {"zone": "DE"}}}


def test_init_says_what_comes_before_its_file(lowtide: Callable[..., Any], tmp_path: Path) -> None:
    assert lowtide("init", "--zone", "DE", "--out", "lowtide.yaml").err.count("\n") == 1
    done = lowtide("init", "--zone", "FR")
    assert f"{tmp_path / 'lowtide.yaml'} comes before it" in done.err


def test_a_machine_is_described_by_the_kernel_s_files(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    cpus = "".join(f"model name\t: A CPU\nphysical id\t: {n}\n\n" for n in (0, 0, 1, 1))
    write("proc/cpuinfo", cpus)
    for name, spins, removable in (("sda", 1, 0), ("nvme0n1", 0, 0), ("sr0", 1, 1)):
        write(f"sys/block/{name}/queue/rotational", f"{spins}\n")
        write(f"sys/block/{name}/removable", f"{removable}\n")
        (tmp_path / f"sys/block/{name}/device").mkdir()
    write("sys/block/loop0/queue/rotational", "0\n")
    found = detect(8.0, 0, tmp_path)
    assert (found.processor, found.sockets, found.ssds, found.hdds) == ("A CPU", 2, 1, 1)
    parts = found.hardware["ccf_server"]
    assert (parts["cpus"], parts["ssds"], parts["hdds"]) == (2, 1, 1)
    boards = detect(8.0, 2, tmp_path, board="NVIDIA L4").hardware["ccf_server"]
    assert (boards["gpus"], boards["gpu"]) == (2, "NVIDIA L4")
    assert "gpu" not in detect(8.0, 2, tmp_path).hardware["ccf_server"]
    write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
    write("sys/class/dmi/id/product_name", "c5.large\n")
    assert detect(8.0, 0, tmp_path).hardware == {"instance": "aws/c5.large"}
    write("sys/class/dmi/id/product_name", "z9.unknown\n")
    assert "ccf_server" in detect(8.0, 0, tmp_path).hardware
    assert detect(8.0, 0, tmp_path / "nothing").sockets == 1


# --- files of others --------------------------------------------------------------------


def test_a_project_s_own_config_breaks_no_command(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("model: {lr: 1}\n")
    for argv in (
        ("status",),
        ("plan", "--duration", "1h"),
        ("providers",),
        ("regions", "--duration", "1h"),
        ("db", "check"),
    ):
        done = lowtide(*argv)
        assert done.code in {0, 4}, done.err
        assert "unknown key" not in done.err
    assert lowtide("meter", "--", "true").err.count("is ignored: it has the key 'model'") == 1
    listed = lowtide("status", "--json")
    assert listed.json["jobs"] == []
    assert listed.err.count("is ignored: it has the key 'model'") == 1
    (tmp_path / "lowtide.yaml").write_text("model: {lr: 1}\n")
    wrong = lowtide("status")
    assert (wrong.code, wrong.out) == (3, "")
    assert "lowtide.yaml: unknown key 'model'" in wrong.err


def test_no_zone_is_mended_by_init(lowtide: Callable[..., Any]) -> None:
    ranked = lowtide("regions", "local", "--duration", "1h")
    plan = lowtide("plan", "--duration", "1h", "--json")
    text = ranked.out + ranked.err + plan.out + plan.err
    assert "lowtide init" in text
    assert "site-packages" not in text
    assert "data/config.yaml" not in text


# --- who else -------------------------------------------------------------------------


def test_doctor_names_those_that_go_by_another_file(
    lowtide: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lowtide.yaml").write_text("regions: {local: {zone: DE}}\n")
    monkeypatch.chdir(tmp_path / "a")
    assert lowtide("tick").code == 0

    def elsewhere() -> list[str]:
        checks = lowtide("doctor", "--json").json["checks"]
        return [c["detail"] for c in checks if c["check"] == "config elsewhere"]

    assert elsewhere() == []
    (tmp_path / "a" / "lowtide.yaml").write_text("regions: {local: {zone: FR}}\n")
    (said,) = elsewhere()
    assert "an earlier edition of this file: restart it" in said
    monkeypatch.chdir(tmp_path / "b")
    (said,) = elsewhere()
    assert f"goes by {tmp_path / 'a' / 'lowtide.yaml'}" in said


# --- old reports ----------------------------------------------------------------------

FORMS: tuple[tuple[str, ...], ...] = (
    (), ("--json",), ("--format", "csv"), ("--format", "markdown"), ("--format", "openmetrics"),
    ("--format", "boamps"),
)  # fmt: skip
FIRST = """
regions:
  local:
    zone: DE
    country: DE
    place: Potsdam
    pue: {value: 1.3, source: a room}
    hardware: {embodied_kg: 800, lifespan: 4y, slots: 8, source: a data sheet}
"""
LATER = (
    "regions: {local: {zone: FR}}\n",
    "regions: {local: {zone: DE, pue: {value: 2, source: s}}}\n",
    "regions: {local: {hardware: {instance: aws/c5.large}}}\n",
    "home: lab\nregions: {lab: {zone: SE-SE3}}\n",
    "",
)


def test_old_reports_do_not_change_with_the_config(
    lowtide: Callable[..., Any], tmp_path: Path
) -> None:
    own = tmp_path / "lowtide.yaml"
    own.write_text(FIRST)
    work = "import time; time.sleep(0.3)"
    done = lowtide(
        "submit", "--duration", "1m", "--start-by", "1m", "--json", "--",
        sys.executable, "-c", work,
    )  # fmt: skip
    job_id = done.json["job_id"]
    until = time.monotonic() + 120
    while not (jobs := lowtide("report", job_id, "--json").json["jobs"]) or not jobs[0]["status"]:
        assert time.monotonic() < until
        assert lowtide("tick").code == 0
        time.sleep(0.2)
    while lowtide("status", "--json").json["jobs"][0]["state"] != "succeeded":
        assert time.monotonic() < until
        time.sleep(0.2)
    assert lowtide("tick").code == 0
    before = {form: lowtide("report", job_id, *form).out for form in FORMS}
    assert json.loads(before["--json",])["jobs"][0]["zone"] == "DE"
    assert "in DE" in before[()]
    assert "Potsdam" in before["--format", "boamps"]
    for text in LATER:
        own.write_text(text)
        assert lowtide("tick").code == 0
        for form in FORMS:
            shown = lowtide("report", job_id, *form)
            assert shown.code == 0
            assert shown.out == before[form], (text, form)
