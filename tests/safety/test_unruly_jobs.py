"""Jobs that fork away, close what they were given, ignore TERM and fill what they may."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.bench import Bench
from support.site import Site

from providers.executors.local import build
from providers.runner import journal, proc
from scheduler.models import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

# A daemon by the book: two forks, a session of its own, another folder, no streams, no TERM; it
# cleans its environment, so that nothing marks it as ours.
AWAY = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.chdir("/"); os.umask(0)
for fd in range(256):
    try: os.close(fd)
    except OSError: pass
if sys.argv[2] == "run":
    words = [sys.executable, "-I", "-S", "-c", sys.argv[3], sys.argv[1], "stay"]
    os.execve(words[0], words, {})
"""
STAY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
while True: time.sleep(0.05)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_job_that_forks_away_and_ignores_term_is_followed_and_ended(bench: Bench) -> None:
    mark = bench.root / "pid"
    words = (sys.executable, "-I", "-S", "-c", AWAY, str(mark), "run", STAY)
    launch = bench.start(*words, grace_s=0.3)
    run_dir = Path(launch.run_dir)
    bench.until(lambda: mark.exists() and mark.read_text() != "")
    pid = int(mark.read_text())
    assert proc.identify(pid) is not None
    executor = build({}, bench.root)
    assert executor.poll(run_dir, launch.token).phase == "running", "its child lives"
    executor.stop(run_dir, launch.token, 0.3)
    receipt = bench.wait(launch)
    assert receipt.reason == "stopped"
    bench.until(lambda: proc.identify(pid) is None)


def test_a_job_that_writes_without_end_fills_no_memory_of_ours(bench: Bench) -> None:
    """Output goes to files by the kernel; neither runner nor reader holds it."""
    code = "import os\nfor _ in range(64): os.write(1, b'x' * (1 << 20))"
    receipt, run_dir = bench.run(sys.executable, "-I", "-S", "-c", code)
    assert receipt.exit_code == 0
    assert (run_dir / "stdout.log").stat().st_size == 64 << 20
    assert (run_dir / "runner.log").stat().st_size < 10_000


def test_a_job_that_takes_its_run_folder_away_is_gone_and_holds_nobody_up(bench: Bench) -> None:
    code = "import os, shutil; shutil.rmtree(os.environ['GONE'])"
    launch = bench.launch(sys.executable, "-I", "-S", "-c", code)
    environment = f'{{"PATH": "{os.environ["PATH"]}", "GONE": "{launch.run_dir}"}}'
    Path(launch.env_file).write_text(environment)
    executor = build({}, bench.root)
    executor.start(launch)
    run_dir = Path(launch.run_dir)
    bench.until(lambda: not run_dir.exists())
    # Its runner has nowhere to leave a receipt, and does not wait for one.
    bench.until(lambda: not _runners(run_dir))
    assert executor.poll(run_dir, launch.token).phase == "absent"
    assert journal.read_journal(run_dir).components == ()


def test_a_job_that_was_seen_to_run_is_not_started_again_without_its_run_folder(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, "providers: [fake]\nhome: here\nregions:\n  here: {zone: SE-SE3}\n")
    script = 'echo started >> "$0/starts"; until [ -e "$0/go" ]; do sleep 0.05; done'
    job_id = site.submit("sh", "-c", script, str(tmp_path))
    site.until(lambda: site.job(job_id).state is JobState.RUNNING)
    attempt = site.attempt(job_id)
    shutil.rmtree(attempt.run_dir)
    (tmp_path / "go").touch()
    site.until(lambda: site.ended(job_id))
    site.until(lambda: not proc.marked(attempt.token))
    assert site.job(job_id).state is JobState.LOST
    assert "its run folder was taken away" in str(site.job(job_id).reason)
    assert (tmp_path / "starts").read_text() == "started\n"
    site.ctx.close()


def _runners(run_dir: Path) -> list[int]:
    """Processes that have the folder as their last word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        if words[-1] == os.fsencode(run_dir):
            found.append(int(path.parent.name))
    return found
