"""Whether the two front doors run, and whether they can serve."""

from __future__ import annotations

import pytest
import requests

from tests.clients import Api
from tests.contract.expect import get


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_gateway_that_serves_is_well(anyone: Api, path: str) -> None:
    assert get(anyone, path) == {"status": "OK"}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_notifier_that_serves_is_well(notifier: str, path: str) -> None:
    response = requests.get(notifier + path, timeout=10)
    assert (response.status_code, response.json()) == (200, {"status": "OK"})
