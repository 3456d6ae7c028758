"""Healthy listeners beside stalled, flooding and malformed ones."""

from __future__ import annotations

from tests.bench.hostile import short
from tests.platforms import FullDeployment

# Closed too, by the clock alone and so after this test: by NOTIFIER_CONNECT_TIMEOUT, or for want of pongs.
CLOSED_LATER = {"no CONNECT", "event before CONNECT", "half a request", "fragments of nothing", "stalled"}


def test_the_healthy_miss_nothing_beside_the_hostile(full_deployment: FullDeployment) -> None:
    result = short.run(full_deployment.gateways[0], full_deployment.notifiers[0])
    assert len(result.posted) == 20
    for heard in result.heard:
        assert heard == dict.fromkeys(result.posted, 1)
    malformed = {
        kind: outcome
        for kind, outcome in result.hostile.items()
        if kind not in CLOSED_LATER and not kind.startswith("flood")
    }
    assert len(malformed) >= 19
    for kind, outcome in malformed.items():
        assert outcome.closed, kind
        assert not outcome.outlasted, kind
