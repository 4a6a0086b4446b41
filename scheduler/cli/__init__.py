"""The command line: parse, one engine call, render. No logic and no SQL."""

from scheduler.cli.main import main

__all__ = ["main"]
