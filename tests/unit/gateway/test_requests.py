from __future__ import annotations

import pytest
from werkzeug.test import EnvironBuilder

from broker.errors import Invalid
from gateway.requests import Request


def request(**headers: str) -> Request:
    return Request.of(EnvironBuilder(headers=headers).get_environ())


def test_the_clients_idempotency_key_is_taken_as_it_is() -> None:
    assert request(**{"Idempotency-Key": '"8e03978e-40d5"'}).idempotency_key == '"8e03978e-40d5"'


def test_without_one_each_request_has_a_fresh_key_of_its_own() -> None:
    one, other = request(), request()
    assert one.idempotency_key == one.idempotency_key
    assert one.idempotency_key != other.idempotency_key


@pytest.mark.parametrize("sent", ["", "two words", "x" * 256, "café"])
def test_a_key_that_is_none_is_refused_by_the_headers_name(sent: str) -> None:
    with pytest.raises(Invalid) as raised:
        _ = request(**{"Idempotency-Key": sent}).idempotency_key
    assert set(raised.value.errors) == {"Idempotency-Key"}
