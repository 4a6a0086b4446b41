"""What is recorded of a board beside energy: utilisation, clock, power limit, company."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.meters.nvml.ledger import Ledger
    from providers.meters.nvml.library import Driver
    from providers.meters.nvml.sharing import Company


class _Mean:
    """A mean over time: each figure stands for the time since the one before it."""

    def __init__(self) -> None:
        self._sum = self._seconds = 0.0

    def add(self, figure: float | None, seconds: float) -> None:
        if figure is not None:
            self._sum += figure * seconds
            self._seconds += seconds

    def told(self) -> float | None:
        return self._sum / self._seconds if self._seconds else None


class Facts:
    """Means over the looks at one board; what it does not tell is left out."""

    def __init__(self, driver: Driver, board: Any, at_s: float) -> None:
        self._driver, self._board, self._last_s = driver, board, at_s
        self._utilisation, self._clock = _Mean(), _Mean()
        self._looks = self._shared = 0
        self.limit_w: float | None = None
        self.faults = 0
        self.read_limit()

    def read_limit(self) -> None:
        """The enforced power limit (W); the last one known where it is not told now."""
        found = self._driver.thousandths("nvmlDeviceGetEnforcedPowerLimit", self._board)
        self.limit_w = found or self.limit_w

    def look(self, at_s: float, company: Company) -> None:
        """One look more."""
        driver, span = self._driver, at_s - self._last_s
        self._last_s = at_s
        rates = driver.ask("nvmlDeviceGetUtilizationRates", self._board)
        self._utilisation.add(None if rates is None else float(rates.gpu), span)
        mhz = driver.ask("nvmlDeviceGetClockInfo", self._board, driver.nvml.NVML_CLOCK_SM)
        self._clock.add(None if mhz is None else float(mhz), span)
        self._looks += 1
        self._shared += company in {"shared", "others"}

    def told(self, ledger: Ledger) -> dict[str, float]:
        """By name, with the unit in it."""
        difference = ledger.difference()
        found = {
            "mean_utilisation_percent": self._utilisation.told(),
            "mean_sm_clock_mhz": self._clock.told(),
            "power_limit_w": self.limit_w,
            "shared_samples_percent": 100 * self._shared / self._looks if self._looks else None,
            "witness_difference_percent": None if difference is None else 100 * difference,
            "integrated_s": ledger.integrated_s or None,
            "counter_faults": float(self.faults) or None,
        }
        return {name: value for name, value in found.items() if value is not None}
