"""NVIDIA boards by NVML, the driver's own library: which are free, and what they draw."""

from providers.meters.nvml.inventory import board_count, board_name, gpu_limits_w, idle_boards
from providers.meters.nvml.kind import KIND

__all__ = ["KIND", "board_count", "board_name", "gpu_limits_w", "idle_boards"]
