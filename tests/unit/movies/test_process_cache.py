from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from movies.providers import ENTRY_BYTES, MOST_PAGE_BYTES, NEW_SHARE, ProcessCache
from tests.unit.clock import Clock

MOST_BYTES = 4 * 2**20


@pytest.fixture
def cache(clock: Clock) -> ProcessCache:
    return ProcessCache(60, MOST_BYTES, clock)


def page(size: int) -> dict[str, Any]:
    return {"data": ["x" * size]}


def question(number: int) -> dict[str, Any]:
    return {"max_rating": 9 + number / 10_000}


def test_a_page_is_found_by_its_question_alone(cache: ProcessCache) -> None:
    key = cache.key("search", {"q": "a", "limit": 10})
    cache.put(key, {"data": [1]})
    assert cache.get(cache.key("search", {"limit": 10, "q": "a"})) == {"data": [1]}
    assert cache.get(cache.key("popular", {"q": "a", "limit": 10})) is None
    assert cache.get(cache.key("search", {"q": "b", "limit": 10})) is None
    assert cache.get(None) is None


@pytest.mark.parametrize("size", [10, 10_000, 300_000])
def test_it_never_holds_more_than_its_bound(cache: ProcessCache, size: int) -> None:
    tracemalloc.start()
    try:
        for number in range(3 * MOST_BYTES // size if size > 10 else 30_000):
            cache.put(cache.key("search", question(number)), page(size))
            assert cache.bytes <= MOST_BYTES
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.25 * MOST_BYTES


def test_what_was_used_longest_ago_goes_first(cache: ProcessCache) -> None:
    popular = cache.key("popular", {"limit": 10})
    cache.put(popular, page(10))
    for number in range(40):
        cache.put(cache.key("search", question(number)), page(300_000))
        assert cache.get(popular) == page(10)
    assert cache.get(cache.key("search", question(0))) is None
    assert cache.get(cache.key("search", question(39))) == page(300_000)


def test_pages_that_nobody_asks_for_twice_have_a_small_part_and_take_nobodys_place(
    cache: ProcessCache,
) -> None:
    popular = [cache.key("popular", {"limit": number}) for number in range(10)]
    for key in popular:
        cache.put(key, page(300_000))
        assert cache.get(key) == page(300_000)
    wanted = cache.bytes
    for number in range(1000):
        cache.put(cache.key("search", question(number)), page(100_000))
    assert cache.bytes <= wanted + MOST_BYTES // NEW_SHARE
    assert all(cache.get(key) == page(300_000) for key in popular)


def test_asked_for_again_a_page_still_ends_in_time(cache: ProcessCache, clock: Clock) -> None:
    key = cache.key("popular", {})
    cache.put(key, page(10))
    for _ in range(5):
        clock.now += 11
        assert cache.get(key) == page(10)
    clock.now += 6
    assert cache.get(key) is None


def test_an_expired_page_is_not_given_and_its_memory_comes_back(cache: ProcessCache, clock: Clock) -> None:
    key = cache.key("search", question(1))
    cache.put(key, page(100_000))
    clock.now += 59
    assert cache.get(key) is not None
    clock.now += 2
    assert cache.get(key) is None
    cache.forget_expired()
    assert cache.bytes == 0


def test_a_write_forgets_every_page_and_those_being_made(cache: ProcessCache) -> None:
    key = cache.key("search", question(1))
    cache.put(key, page(1000))
    cache.invalidate()
    assert cache.bytes == 0
    cache.put(key, page(1000))  # what was read before the write
    assert cache.bytes == 0
    assert cache.get(cache.key("search", question(1))) is None


def test_a_page_that_is_too_large_is_not_kept(cache: ProcessCache) -> None:
    key = cache.key("search", question(1))
    cache.put(key, page(MOST_PAGE_BYTES))
    assert cache.get(key) is None
    small = ProcessCache(60, ENTRY_BYTES + 100)
    small.put(small.key("search", question(1)), page(1000))
    assert small.bytes == 0
