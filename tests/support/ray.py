"""A real Ray cluster of two nodes: two regions, played GPUs, in namespaces of its own.

Ray binds all interfaces and finds processes by name: so it gets a network and a process
namespace, in which nothing but itself is to be seen. A relay over a Unix socket, which a file
system has whatever the network, brings its dashboard out to loopback.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from support.engines import absent

REMEDY = "pip install -e '.[ci-ray]' (Ray, about 400 MB)"
# A cold start on two busy cores.
PATIENCE_S = 180.0
CPUS = 4
REGIONS = ("eu-north-1", "eu-central-1")
DASHBOARD = 8265
START = """set -e
ip link set lo up
common="--node-ip-address=127.0.0.1 --num-cpus={cpus} --object-store-memory=100000000
  --disable-usage-stats --log-style=record"
"{ray}" start --head $common --port=6380 --dashboard-host=127.0.0.1 --dashboard-port={dashboard} \\
  --resources='{{"region:eu-north-1": 1}}' --temp-dir="{folder}/r" \\
  --min-worker-port=20000 --max-worker-port=20500
"{ray}" start --address=127.0.0.1:6380 $common --num-gpus=4 \\
  --resources='{{"region:eu-central-1": 1}}' --min-worker-port=20501 --max-worker-port=20999 \\
  --dashboard-agent-listen-port=52366 --dashboard-agent-grpc-port=52367
"{python}" "{relay}" unix:"{folder}/dashboard" tcp:{dashboard} &
touch "{folder}/ready"
sleep infinity & wait $!
"""


@dataclass
class RayCluster:
    """One cluster, whose dashboard answers at ``address``."""

    folder: Path
    address: str
    inside: subprocess.Popen[bytes]
    outside: subprocess.Popen[bytes]

    def silence(self, silent: bool) -> None:
        """Stop the way to the dashboard, or let it go on; what runs there runs on."""
        os.kill(self.outside.pid, signal.SIGSTOP if silent else signal.SIGCONT)

    def stop(self) -> None:
        """The first process of a process namespace takes all others with it."""
        for each in (self.outside, self.inside):
            each.kill()
            each.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_ray() -> RayCluster:
    """A cluster; skips or fails where Ray is not installed or namespaces are not allowed."""
    ray = Path(sys.executable).with_name("ray")
    if importlib.util.find_spec("ray") is None or not ray.exists():
        absent("ray", REMEDY)
    spaces = ["unshare", "--kill-child", "-n", "-p", "-f", "--mount-proc"]
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        absent("ray", "apt-get install util-linux iproute2")
    if subprocess.run([*spaces, "true"], capture_output=True, check=False).returncode:
        absent("ray", "its tests need root, for a network namespace of its own")
    # Sockets lie in it, and their paths have at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="lowtide-ray-"))
    relay = Path(__file__).with_name("relay.py")
    text = START.format(
        ray=ray, cpus=CPUS, dashboard=DASHBOARD, folder=folder, python=sys.executable, relay=relay
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "CLUSTERS_OWN_SECRET": "no job sees the environment of Ray's daemons",
    }
    with (folder / "log").open("wb") as log:
        inside = subprocess.Popen(
            [*spaces, "bash", "-c", text], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            env=environment, start_new_session=True,
        )  # fmt: skip
    outside = subprocess.Popen(
        [sys.executable, relay, "tcp:0", f"unix:{folder}/dashboard"], stdout=subprocess.PIPE
    )
    assert outside.stdout is not None
    cluster = RayCluster(folder, "", inside, outside)
    patience = time.monotonic() + PATIENCE_S
    while not (folder / "ready").exists():
        if inside.poll() is not None or time.monotonic() > patience:
            said = (folder / "log").read_text()[-3000:]
            cluster.stop()
            raise AssertionError(said)
        time.sleep(0.2)
    cluster.address = f"http://127.0.0.1:{int(outside.stdout.readline())}"
    while not _takes_jobs(cluster.address):
        assert time.monotonic() < patience, (folder / "log").read_text()[-3000:]
        time.sleep(0.2)
    return cluster


def _takes_jobs(address: str) -> bool:
    """Whether the dashboard, which comes up after the nodes, tells both and has run a job."""
    job = json.dumps({"entrypoint": "true", "submission_id": "first"}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(f"{address}/api/v0/nodes", timeout=10) as answer:
            nodes = json.load(answer)["data"]["result"]["result"]
        if len([node for node in nodes if node["state"] == "ALIVE"]) < len(REGIONS):
            return False
        try:
            with urllib.request.urlopen(f"{address}/api/jobs/first", timeout=10) as answer:
                return bool(json.load(answer)["status"] == "SUCCEEDED")
        except urllib.error.HTTPError:
            urllib.request.urlopen(
                urllib.request.Request(f"{address}/api/jobs/", job, headers), timeout=10
            ).close()
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        pass
    return False
