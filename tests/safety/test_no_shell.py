"""Commands are lists of words: nothing in the product goes through a shell, or runs text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(p for name in ("scheduler", "providers") for p in (ROOT / name).rglob("*.py"))
# Calls that hand text to a shell or to Python, or rebuild objects from bytes, or follow YAML tags.
FORBIDDEN = {
    "os.system", "os.popen", "os.posix_spawnp", "subprocess.getoutput",
    "subprocess.getstatusoutput", "pty.spawn", "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "asyncio.create_subprocess_shell", "tempfile.mktemp",
}  # fmt: skip
STARTERS = {"run", "Popen", "call", "check_call", "check_output"}


def faults(source: str) -> list[str]:
    """Forbidden calls in a source, by name, and words that a subprocess is not given as a list."""
    found = []
    tree = ast.parse(source)
    renamed = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        name = renamed.get(name, name)
        if name in FORBIDDEN:
            found.append(name)
        if any(k.arg == "shell" for k in node.keywords):
            found.append(f"{name}(shell=...)")
        if any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords):
            found.append(f"{name}(allow_pickle=...)")
        module, _, verb = name.rpartition(".")
        if module == "subprocess" and verb in STARTERS and node.args:
            words = node.args[0]
            if isinstance(words, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                found.append(f"{name}({ast.unparse(words)})")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_goes_through_a_shell_or_runs_text(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('ls')", "from os import popen\npopen('ls')",
        "import subprocess\nsubprocess.run(['ls'], shell=True)",
        "import subprocess\nsubprocess.run('ls')",
        "from subprocess import run as go\ngo(f'ls {x}')",
        "eval('1')", "import pickle\npickle.loads(b'')", "import yaml\nyaml.load('')",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_check_sees_it(source: str) -> None:
    assert faults(source) != []
