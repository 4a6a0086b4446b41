"""A real Docker daemon in a network of its own, which touches nothing of this machine's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from support.engines import absent

REMEDY = "apt-get install docker.io busybox-static iproute2, and run the tests as root"
IMAGE = "lowtide:test"
PATIENCE_S = 60.0
START = """ip link set lo up
exec dockerd -H unix://{0}/docker.sock --data-root {0}/data --exec-root {0}/exec -p {0}/pid \\
  --iptables=false --ip6tables=false --bridge=none --ip-masq=false
"""


@dataclass
class Docker:
    """One daemon; ``environ`` is what lets a command speak with it."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": f"unix://{self.folder}/docker.sock"}

    def answers(self) -> bool:
        info = subprocess.run(
            ["docker", "info"], env=self.environ, capture_output=True, check=False
        )
        return info.returncode == 0 and b"Server Version" in info.stdout

    def stop(self) -> None:
        """End it; it takes its containers' keepers with it, and leaves mounts to nothing."""
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_docker() -> Docker:
    """A daemon with an image of a shell; skips or fails where there can be none."""
    busybox = shutil.which("busybox")
    if busybox is None or not all(map(shutil.which, ("dockerd", "docker", "unshare", "ip"))):
        absent("docker", REMEDY)
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        absent("docker", REMEDY)
    # Sockets lie in it, and their paths have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="lowtide-docker-"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "-n", "bash", "-c", START.format(folder)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    docker = Docker(folder, process)
    patience = time.monotonic() + PATIENCE_S
    while not docker.answers():
        if process.poll() is not None or time.monotonic() > patience:
            said = (folder / "log").read_text(errors="replace")[-3000:]
            docker.stop()
            raise AssertionError(said)
        time.sleep(0.2)
    subprocess.run(
        ["docker", "import", "-", IMAGE], input=_image(Path(busybox)),
        env=docker.environ, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return docker


def _image(busybox: Path) -> bytes:
    """A root file system that holds a shell."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w") as image:
        image.add(busybox.resolve(), "bin/sh")
    return content.getvalue()
