"""Containers of a job's own docker commands, as a daemon on a Unix socket tells of them."""

from __future__ import annotations

import json
import os
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

from providers.runner import group, proc
from providers.runner.containers import Containers
from providers.runner.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLIENT = {50: proc.Stat("S", 5, 0.0, 0, 1, 1, name="docker")}


class Daemon:
    """Docker's answers about containers, and the control groups that they are in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.listed = folder, dict[str, dict[str, Any]]()
        self.path, self.rubbish = folder / "docker.sock", False
        monkeypatch.setattr(proc, "PROC", folder / "proc")
        monkeypatch.setattr(group.counted, "__defaults__", (folder / "cgroup",))
        monkeypatch.setattr(proc, "argv", lambda pid: ["docker", "run", "--rm", "lt:base", "x"])
        daemon = self

        class Answer(BaseHTTPRequestHandler):
            def address_string(self) -> str:
                return "local"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                name = self.path.split("/")[2]
                found: object = [7] if daemon.rubbish else list(daemon.listed.values())
                if name != "json":
                    found = {"State": {"Pid": 900 + len(name)}}
                content = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = socketserver.ThreadingUnixStreamServer(str(self.path), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def run(self, name: str, image: str, cpu_s: float, made_s: float | None = None) -> None:
        made_s = time.time() if made_s is None else made_s
        self.listed[name] = {"Id": name, "Image": image, "Names": [], "Created": made_s}
        folder = self.folder / "proc" / str(900 + len(name))
        folder.mkdir(parents=True)
        (folder / "cgroup").write_text(f"0::/docker/{name}\n")
        self.use(name, cpu_s)

    def use(self, name: str, cpu_s: float) -> None:
        folder = self.folder / "cgroup/docker" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.stat").write_text(f"usage_usec {cpu_s * 1e6:.0f}\n")
        (folder / "memory.stat").write_text("anon 5000\nfile_mapped 700\n")

    def end(self, name: str) -> None:
        del self.listed[name]
        (self.folder / "cgroup/docker" / name / "cpu.stat").unlink()


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    made = Daemon(tmp_path, monkeypatch)
    yield made
    made.server.shutdown()
    made.server.server_close()


def _containers(daemon: Daemon, *argv: str) -> Containers:
    return Containers(argv, {"DOCKER_HOST": f"unix://{daemon.path}"})


def test_a_container_of_the_jobs_own_command_counts_with_it(daemon: Daemon) -> None:
    daemon.run("strange", "other:image", 50.0)
    daemon.run("earlier1", "lt:base", 70.0, made_s=1.0)
    found = _containers(daemon)
    found.look(CLIENT)
    assert (found.cpu_s, found.all_found) == (0.0, False)
    daemon.run("mine", "lt:base", 1.5)
    found.look(CLIENT)
    assert (found.cpu_s, found.all_found, found.hurried) == (1.5, True, True)
    assert found.resident_bytes == 5700
    daemon.use("mine", 4.0)
    found.look(CLIENT)
    daemon.end("mine")
    found.look({})
    assert (found.cpu_s, found.hurried) == (4.0, False)
    assert 0 < found.unseen_s < 100 * (os.cpu_count() or 1)


def test_a_command_that_is_over_at_once_is_known_by_its_words(daemon: Daemon) -> None:
    found = _containers(daemon, "sh", "-c", "docker run -d lt:base; sleep 9")
    daemon.run("mine", "lt:base", 2.0)
    found.look({})
    assert (found.cpu_s, found.all_found) == (2.0, True)


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://elsewhere:2375", ""])
def test_a_daemon_that_cannot_be_asked_leaves_them_out(daemon: Daemon, host: str) -> None:
    daemon.run("mine", "lt:base", 2.0)
    daemon.rubbish = True
    found = Containers((), {"DOCKER_HOST": host or f"unix://{daemon.path}"})
    found.look(CLIENT)
    assert (found.cpu_s, found.all_found) == (0.0, False)


def test_the_tree_counts_them_and_says_that_they_are_reached(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _containers(daemon)
    tree = Tree(os.getpid(), containers=found)
    monkeypatch.setattr(proc, "below", lambda pid: CLIENT)
    assert not tree.reaches("docker")
    daemon.run("mine", "lt:base", 2.0)
    assert tree.usage()[0] == 2.0
    assert tree.reaches("docker")
    assert not tree.reaches("ssh")
    assert tree.beside == {"steps": 0.0, "containers": 2.0}
