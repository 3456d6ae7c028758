from __future__ import annotations

import pytest
from nameko.exceptions import deserialize, serialize

from broker import errors

CROSSING = [
    errors.Invalid,
    errors.Unauthenticated,
    errors.Forbidden,
    errors.NotFound,
    errors.Conflict,
    errors.KeyReused,
    errors.ServiceUnavailable,
    errors.DeadlineExceeded,
]


@pytest.mark.parametrize("kind", CROSSING)
def test_an_error_keeps_its_type_and_its_words_across_rpc(kind: type[errors.PlatformError]) -> None:
    arrived = deserialize(serialize(kind("One sentence", {"title": "is required"})))
    assert type(arrived) is kind
    assert (arrived.message, arrived.errors) == ("One sentence", {"title": "is required"})


@pytest.mark.parametrize("kind", CROSSING)
def test_an_error_without_words_has_its_default_ones(kind: type[errors.PlatformError]) -> None:
    assert str(deserialize(serialize(kind()))) == kind.default
