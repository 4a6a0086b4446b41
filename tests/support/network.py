"""A network of two ends: this machine's, and that of a namespace; it may be cut without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.engines import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "apt-get install iproute2, and run the tests as root"
HERE_MAC, THERE_MAC, NOBODY = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"


class Network:
    """``here`` is the address of this end; ``inside`` is put before a command to run there."""

    def __init__(self) -> None:
        number = os.getpid()
        self._name, self._near, self._far = f"lowtide-{number}", f"lt{number}a", f"lt{number}b"
        # 198.18.0.0/15 is kept for tests of networks (RFC 2544): one pair of it a process.
        pair = number % (1 << 15) * 4
        prefix = f"198.{18 + (pair >> 16)}.{pair >> 8 & 255}."
        self.here, self._there = f"{prefix}{(pair & 255) + 1}", f"{prefix}{(pair & 255) + 2}"
        self.inside = ("ip", "netns", "exec", self._name)

    def make(self) -> None:
        """:class:`OSError` where that is not allowed."""
        near, far = self._near, self._far
        _ip("netns", "add", self._name)
        _ip("link", "add", near, "address", HERE_MAC, "type", "veth",
            "peer", "name", far, "address", THERE_MAC, "netns", self._name)  # fmt: skip
        _ip("addr", "add", f"{self.here}/30", "dev", near)
        _ip("link", "set", near, "up")
        self._there_ip("addr", "add", f"{self._there}/30", "dev", far)
        for each in ("lo", far):
            self._there_ip("link", "set", each, "up")

    def cut(self) -> None:
        """Whatever either end sends from now on goes to nobody, and nobody is told."""
        self._address_frames(NOBODY, NOBODY)

    def mend(self) -> None:
        """As it was."""
        self._address_frames(HERE_MAC, THERE_MAC)

    def remove(self) -> None:
        """The namespace takes its end of the wire with it, and so the whole wire."""
        subprocess.run(["ip", "link", "del", self._near], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self._name], capture_output=True, check=False)

    def _address_frames(self, here: str, there: str) -> None:
        known = ("nud", "permanent")
        _ip("neigh", "replace", self._there, "lladdr", there, "dev", self._near, *known)
        self._there_ip("neigh", "replace", self.here, "lladdr", here, "dev", self._far, *known)

    def _there_ip(self, *words: str) -> None:
        _ip("-n", self._name, *words)


@contextmanager
def network() -> Iterator[Network]:
    """One of a test's own; skipped, or failed where it is required, where none can be made."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        absent("netns", REMEDY)
    made = Network()
    try:
        try:
            made.make()
        except OSError as e:
            absent("netns", f"{REMEDY} ({e})")
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
