"""``python -P -m providers.runner RUN_DIR``."""

import sys
from pathlib import Path

from providers.runner.runner import run

if len(sys.argv) != 2:
    sys.exit("usage: python -P -m providers.runner RUN_DIR")
run(Path(sys.argv[1]).absolute())
