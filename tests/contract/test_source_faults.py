"""What every live source makes of every fault of its server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.clock import NOW
from support.faults import FAULTS
from support.plays import KEYS, PLAYS
from support.server import Play, SourceServer

from providers import registry
from providers.errors import ProviderError
from providers.surroundings import Surroundings
from providers.transport import Http, Policy

if TYPE_CHECKING:
    from providers.series import IntensityProvider


@pytest.fixture
def ask(
    tmp_path: Path, serve: Callable[[Play], SourceServer], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., object]:
    """Build a source, with ``timeout_s`` in place of its own patience, and ask it."""
    calm = Http.__init__

    def asked(name: str, play: Play, timeout_s: float) -> object:
        def hasty(self: Http, policy: Policy, here: Surroundings, **how: Any) -> None:
            calm(self, replace(policy, timeout_s=timeout_s, tries=1, calls=1000), here, **how)

        monkeypatch.setattr(Http, "__init__", hasty)
        settings = {**PLAYS[name][0], "base_url": serve(play).url}
        here = Surroundings(tmp_path, tmp_path / "cache", KEYS)
        source: IntensityProvider = registry.load("intensity", name)(settings, here)
        zone = PLAYS[name][1]
        if source.info.horizon_h == 0:
            return source.actual(zone, NOW - timedelta(days=2), NOW - timedelta(days=1))
        return source.forecast(zone, NOW, NOW + timedelta(hours=2), NOW)

    return asked


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", PLAYS)
def test_a_fault_is_told_in_one_line_by_its_error(
    name: str, fault: str, ask: Callable[..., object], tmp_path: Path
) -> None:
    with pytest.raises(ProviderError) as raised:
        ask(name, FAULTS[fault](PLAYS[name][2]), 0.5 if FAULTS[fault].slow else 20)
    said = str(raised.value)
    assert isinstance(raised.value, FAULTS[fault].error), said
    assert said.isprintable()
    assert "<" not in said
    kept = [p.read_text() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(key in text for key in KEYS.values() for text in (said, *kept))


@pytest.mark.parametrize("name", PLAYS)
def test_without_a_fault_it_answers(name: str, ask: Callable[..., object]) -> None:
    """So that the faults above are what made it fail."""
    ask(name, PLAYS[name][2], 20)


def test_every_live_source_has_a_play() -> None:
    """What imports the transport asks over the network."""
    live = {
        name
        for name, target in registry.BUILTINS["intensity"].items()
        if "providers.transport" in _source_of(target)
    }
    assert live <= set(PLAYS)


def _source_of(target: str) -> str:
    module = target.partition(":")[0].replace(".", "/")
    return (Path(registry.__file__).parents[1] / f"{module}.py").read_text(encoding="utf-8")
