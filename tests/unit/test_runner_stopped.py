"""What became of a job that was stopped as a whole group, before its runner could stop it."""

from __future__ import annotations

import os
import signal

import pytest

from providers.runner.runner import _died_of_a_signal


@pytest.mark.parametrize(
    ("script", "stopped"),
    [
        ("kill -TERM $$", True),
        ("sleep 60 & kill -TERM $!; wait $!", True),
        ("exit 3", False),
        ("exit 0", False),
    ],
)
def test_a_shell_whose_last_command_died_of_it_was_stopped_too(script: str, stopped: bool) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ, setsigdef=[signal.SIGTERM])
    assert _died_of_a_signal(os.waitpid(pid, 0)[1]) is stopped


def test_nothing_is_said_of_one_that_has_not_ended() -> None:
    assert not _died_of_a_signal(None)
