"""First choice, then fallbacks: holes are filled interval by interval, and said so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import BadData, NoData, ProviderError, Unavailable
from providers.series import empty, from_unix, to_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from providers.series import IntensityProvider, Series


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What a chain knows; ``notes`` say who failed and who filled which hole."""

    series: Series
    notes: tuple[str, ...] = ()
    failures: tuple[ProviderError, ...] = ()

    def error(self) -> ProviderError | None:
        """One error for all failures, of the gravest class: wrong data before none."""
        said = "; ".join(dict.fromkeys(str(e) for e in self.failures))
        for kind in (BadData, NoData, Unavailable):
            if any(isinstance(e, kind) for e in self.failures):
                return kind(said)
        return ProviderError(said) if self.failures else None


class Chain:
    """Sources in order of preference.

    The signal of the first one that answers counts; another signal is never mixed in. A
    source with one value for all times fills only what nobody else knows anything of: as a
    patch in a shaped series it would make a step that is not there.
    """

    def __init__(self, providers: Sequence[IntensityProvider]) -> None:
        self.providers = tuple(providers)

    @property
    def has_actuals(self) -> bool:
        """Whether any source keeps actual values."""
        return any(p.info.has_actuals for p in self.providers)

    def forecast(self, zone: str, start: datetime, end: datetime, now: datetime) -> ChainResult:
        """Expected intensity over ``[start, end)`` from as few sources as cover it."""
        return self._merge(
            self.providers,
            lambda p: p.forecast(zone, start, end, now),
            empty(zone, "average", "forecast", now),
            start,
            end,
        )

    def actual(self, zone: str, start: datetime, end: datetime) -> ChainResult:
        """What really was, from the sources that keep actuals; holes stay holes."""
        return self._merge(
            [p for p in self.providers if p.info.has_actuals],
            lambda p: p.actual(zone, start, end),
            empty(zone, "average", "actual", end),
            start,
            end,
        )

    def _merge(
        self,
        providers: Sequence[IntensityProvider],
        ask: Callable[[IntensityProvider], Series],
        nothing: Series,
        start: datetime,
        end: datetime,
    ) -> ChainResult:
        low, high = to_unix(start), to_unix(end)
        known, notes, failures = nothing, list[str](), list[ProviderError]()
        for provider in providers:
            holes = known.gaps(low, high)
            if not holes:
                break
            name = provider.info.name
            if len(known) and provider.info.signal != known.signal:
                notes.append(
                    f"{name} tells {provider.info.signal} intensity, not {known.signal}: not used"
                )
                continue
            if len(known) and not provider.info.shiftable:
                notes.append(
                    f"{known.source} has a hole {_spans(holes)}: {name} has one value for all "
                    "times and does not fill it"
                )
                continue
            try:
                found = ask(provider)
            except ProviderError as e:
                failures.append(e)
                notes.append(str(e))
                continue
            if not len(found):
                continue
            if len(known):
                filler = f"{name}{_other_basis(known, found)}"
                notes.append(f"{known.source} has a hole {_spans(holes)}: filled by {filler}")
            known = known.fill_from(found) if len(known) else found
        left = known.gaps(low, high) if len(known) else []
        if left:
            notes.append(f"nothing is known of {_spans(left)}: no window lies there")
        return ChainResult(known, tuple(dict.fromkeys(notes)), tuple(failures))


def _other_basis(known: Series, found: Series) -> str:
    if (known.factors, known.flow) == (found.factors, found.flow):
        return ""
    told = [f"{s.factors or 'factors unknown'}, {s.flow or 'flow unknown'}" for s in (found, known)]
    return f" on another basis ({told[0]}; the rest: {told[1]})"


def _spans(holes: Sequence[tuple[float, float]]) -> str:
    shown = [f"{from_unix(a):%Y-%m-%dT%H:%MZ} to {from_unix(b):%Y-%m-%dT%H:%MZ}" for a, b in holes]
    return ", ".join(shown[:2]) + (f" and {len(shown) - 2} more" if len(shown) > 2 else "")
