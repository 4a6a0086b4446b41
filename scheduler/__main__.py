"""``python -P -m scheduler`` is the same as ``lowtide``."""

from scheduler.cli import main

main()
