"""A real Slurm cluster of two nodes on loopback: two partitions, fake GPUs, no accounting."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from support.engines import absent

REMEDY = "apt-get install --no-install-recommends slurm-wlm slurmctld slurmd slurm-client munge"
NODES = ("se-n1", "de-n1")
PATIENCE_S = 60.0
CONF = """ClusterName=lowtide{port}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=2
EnforcePartLimits=ALL
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
GresTypes=gpu
NodeName=se-n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={se} CPUs=4 RealMemory=4000 Gres=gpu:4
NodeName=de-n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={de} CPUs=4 RealMemory=4000
PartitionName=eu-north-1 Nodes=se-n1 Default=YES MaxTime=INFINITE State=UP
PartitionName=eu-central-1 Nodes=de-n1 MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """One cluster; its commands need ``SLURM_CONF`` alone."""

    folder: Path
    nodes: tuple[str, ...] = NODES

    @property
    def conf(self) -> str:
        return str(self.folder / "slurm.conf")

    def run(self, *argv: str) -> str:
        environment = os.environ | {"SLURM_CONF": self.conf}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def start_controller(self, *options: str) -> None:
        self.run("slurmctld", *options)

    def start(self) -> None:
        self.start_controller("-c")
        for node in self.nodes:
            self.run("slurmd", "-N", node)
        self.wait()

    def wait(self) -> None:
        """Until all nodes may take jobs."""
        patience = time.monotonic() + PATIENCE_S
        idle = ("sinfo", "-h", "-N", "-t", "idle,mixed,allocated", "-o", "%N")
        while time.monotonic() < patience:
            try:
                if set(self.run(*idle).split()) == set(self.nodes):
                    return
            except subprocess.CalledProcessError:
                pass  # the controller is on its way
            time.sleep(0.05)
        raise AssertionError((self.folder / "slurmctld.log").read_text()[-2000:])

    def kill(self, name: str, number: int = signal.SIGTERM) -> None:
        """Signal a daemon by its pid file and wait for its end; harmless where it is gone."""
        try:
            pid = int((self.folder / f"{name}.pid").read_text())
            os.kill(pid, number)
        except (OSError, ValueError):
            return
        patience = time.monotonic() + PATIENCE_S
        while _lives(pid) and time.monotonic() < patience:
            time.sleep(0.02)

    def stop(self) -> None:
        for name in (*(f"slurmd-{node}" for node in self.nodes), "slurmctld"):
            self.kill(name)

    def clear(self) -> None:
        """Cancel what a test has left, and wait until it is gone."""
        self.run("scancel", "--user=root")
        patience = time.monotonic() + PATIENCE_S
        while left := self.run("squeue", "-h").strip():
            assert time.monotonic() < patience, f"these do not go:\n{left}"
            time.sleep(0.1)


def require_slurm() -> None:
    """Skip or fail where Slurm cannot be started; its authentication is started."""
    for command in ("slurmctld", "slurmd", "sbatch", "munged"):
        if shutil.which(command) is None:
            absent("slurm", REMEDY)
    if os.getuid() != 0:
        absent("slurm", "its daemons are started by root in these tests")
    _start_munge()


def start_cluster(folder: Path) -> Cluster:
    """A cluster with its files in ``folder``; skips or fails where Slurm is not installed."""
    require_slurm()
    host = socket.gethostname().partition(".")[0]
    port, se, de = free_ports(3)
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "slurm.conf").write_text(
        CONF.format(folder=folder, host=host, port=port, se=se, de=de)
    )
    for n in range(4):  # boards must be character devices; this one is /dev/null
        os.mknod(folder / f"gpu{n}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"NodeName=se-n1 Name=gpu File={folder}/gpu[0-3]\n")
    cluster = Cluster(folder)
    cluster.start()
    return cluster


def _lives(pid: int) -> bool:
    """A zombie whose parent is slow to bury it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _start_munge() -> None:
    if Path("/run/munge/munge.socket.2").is_socket() and _pings():
        return
    folder = Path("/run/munge")
    folder.mkdir(exist_ok=True, mode=0o755)
    shutil.chown(folder, "munge", "munge")
    as_munge = ["setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups"]
    subprocess.run([*as_munge, "munged", "--force"], check=False, capture_output=True)
    assert _pings(), "munged does not answer"


def _pings() -> bool:
    return subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses."""
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
