"""Sources of carbon intensity: one file each, ``build(settings, here)``."""
