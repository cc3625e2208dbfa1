"""How long ingest waits before it asks a venue again."""

import pytest

from pipelines.ingest.backoff import CALM_S, Repeats


def test_what_is_asked_for_again_and_again_waits_longer_and_after_a_calm_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    repeats, waits = Repeats(), []
    for _ in range(12):
        waits.append(repeats.wait_s("BTC-USD"))
        now += waits[-1]
    assert waits[0] == 0.0
    for n, wait in enumerate(waits[1:], start=1):
        most = min(30.0, 0.5 * 2**n)
        assert most / 2 <= wait <= most
    assert repeats.wait_s("ETH-USD") == 0.0
    now += CALM_S + 30
    assert repeats.wait_s("BTC-USD") == 0.0
