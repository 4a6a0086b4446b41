"""Two real Slurm clusters under one accounting database, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.engines import absent
from support.slurm import CONF, Cluster, free_ports, require_slurm

if TYPE_CHECKING:
    from collections.abc import Callable

REMEDY = "apt-get install --no-install-recommends slurmdbd mariadb-server"
CLUSTERS = ("stockholm", "frankfurt")
PATIENCE_S = 180.0
# What ended is forgotten by the controller after so long, and known to accounting alone.
MIN_JOB_AGE_S = 3
# Lines of the one cluster's configuration that are other ones here.
OWN = ("NodeName", "PartitionName", "GresTypes", "JobComp", "ClusterName", "MinJobAge")
DBD = """AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""
GRANTS = (
    "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm'; "
    "grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
)
ACCOUNTING = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoreFlags=job_comment
"""


@dataclass
class Grid:
    """The clusters by name; commands find both through the first one's configuration."""

    folder: Path
    clusters: dict[str, Cluster] = field(default_factory=dict)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def conf(self) -> str:
        return self.clusters[CLUSTERS[0]].conf

    def run(self, *argv: str) -> str:
        return self.clusters[CLUSTERS[0]].run(*argv)

    def stop(self) -> None:
        for cluster in self.clusters.values():
            cluster.stop()
        for server in reversed(self.servers):
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_S)

    def clear(self) -> None:
        for cluster in self.clusters.values():
            cluster.clear()


def start_grid(folder: Path) -> Grid:
    """Both clusters, their database and its daemon; skips or fails where one is not installed."""
    require_slurm()
    for command in ("slurmdbd", "mariadbd", "mariadb-install-db"):
        if shutil.which(command) is None:
            absent("slurm", REMEDY)
    grid, (database, port) = Grid(folder), free_ports(2)
    _start_database(grid, database)
    (folder / "slurmdbd.conf").write_text(DBD.format(folder=folder, port=port, database=database))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "slurm.conf").touch()
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    grid.servers.append(
        subprocess.Popen(["slurmdbd", "-D"], env=environment, stderr=subprocess.DEVNULL)
    )
    _until(lambda: _listens(port), folder / "slurmdbd.log")
    for name in CLUSTERS:
        grid.clusters[name] = _cluster(folder / name, name, port)
    for name in CLUSTERS:
        grid.clusters[name].start()
    _until(lambda: set(CLUSTERS) <= set(_registered(grid)), folder / "slurmdbd.log")
    return grid


def _registered(grid: Grid) -> list[str]:
    """Clusters whose controllers the database can name to commands."""
    rows = grid.run("sacctmgr", "-n", "-P", "show", "cluster", "format=Cluster,ControlPort")
    return [name for name, _, port in (row.partition("|") for row in rows.split()) if port != "0"]


def _start_database(grid: Grid, port: int) -> None:
    place = grid.folder / "mariadb"
    place.mkdir()
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={place}/data",
         "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True,
    )  # fmt: skip
    with (grid.folder / "mariadb.log").open("wb") as log:
        grid.servers.append(
            subprocess.Popen(
                ["mariadbd", "--no-defaults", "--user=root", f"--datadir={place}/data",
                 f"--socket={place}/s.sock", f"--port={port}", "--bind-address=127.0.0.1",
                 f"--pid-file={place}/m.pid", "--innodb-lock-wait-timeout=900",
                 "--innodb-buffer-pool-size=128M", "--innodb-flush-log-at-trx-commit=0"],
                stderr=log,
            )
        )  # fmt: skip
    _until(lambda: (place / "s.sock").exists(), grid.folder / "mariadb.log")
    subprocess.run(
        ["mariadb", "--no-defaults", "-uroot", "-S", f"{place}/s.sock", "-e", GRANTS], check=True
    )


def _cluster(folder: Path, name: str, port: int) -> Cluster:
    for part in ("state", "spool"):
        (folder / part).mkdir(parents=True)
    controller, node = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    lines = [
        line
        for line in CONF.format(folder=folder, host=host, port=controller, se=node, de=0)
        .replace("lowtide", name).splitlines()
        if not line.startswith(OWN)
    ]  # fmt: skip
    lines += [
        f"ClusterName={name}",
        f"MinJobAge={MIN_JOB_AGE_S}",
        f"NodeName={name}-n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs=4 "
        "RealMemory=4000",
        f"PartitionName=main Nodes={name}-n1 Default=YES MaxTime=INFINITE State=UP",
        ACCOUNTING.format(port=port),
    ]
    (folder / "slurm.conf").write_text("\n".join(lines))
    return Cluster(folder, (f"{name}-n1",))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(done: Callable[[], bool], log: Path) -> None:
    patience = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > patience:
            pytest.fail(log.read_text(errors="replace")[-2000:])
        time.sleep(0.05)
