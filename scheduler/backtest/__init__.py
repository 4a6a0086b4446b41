"""Replays a recorded series through the forecaster as it would have run, and scores it."""

from scheduler.backtest.replay import Replay, replay
from scheduler.backtest.run import run
from scheduler.backtest.scoring import CELLS, savings, share

__all__ = ["CELLS", "Replay", "replay", "run", "savings", "share"]
