"""Engines that take jobs: one file each, ``build(settings, base_dir)``."""
