"""Measurements on a real NVIDIA board: ``python -m pytest -m device tests/device -s``."""
