"""Meters of energy: one file each, ``KIND`` with ``probe`` and ``open``."""
