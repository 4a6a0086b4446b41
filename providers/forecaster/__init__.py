"""Carbon intensity of a zone some days ahead, from its own hourly history: numpy, no network."""

from providers.forecaster.fitting import fit
from providers.forecaster.history import LATEST_H, NEEDED_H
from providers.forecaster.model import Method, Model, Outlook

__all__ = ["LATEST_H", "NEEDED_H", "Method", "Model", "Outlook", "fit"]
