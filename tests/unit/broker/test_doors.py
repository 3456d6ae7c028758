from __future__ import annotations

import logging

import pytest

from broker.doors.clients import client_address
from broker.doors.files import RESERVE, connections_that_fit
from broker.doors.origins import Origins
from broker.doors.shares import Shares
from broker.log_lines import OneLineFormatter


class Crowd:
    """Four connections at most, three of one address, two requests at work."""

    def __init__(self) -> None:
        self.retired: list[str] = []
        self.shares = Shares(4, 3, 2, self.retired.append)

    def comes(self, name: str, address: str) -> bool:
        admitted = self.shares.admits(address)
        if admitted:
            self.shares.enter(name, address)
        return admitted


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def test_an_address_beyond_its_share_loses_its_longest_idle(crowd: Crowd) -> None:
    for name in "abcd":
        assert crowd.comes(name, "1")
    assert (crowd.retired, len(crowd.shares)) == (["a"], 3)


def test_one_that_works_is_not_idle_and_the_longest_idle_counts_from_its_last_answer(crowd: Crowd) -> None:
    for name in "abc":
        crowd.comes(name, "1")
    crowd.shares.work("a")
    crowd.shares.work("b")
    crowd.shares.rest("a")
    assert crowd.comes("d", "1")
    assert crowd.comes("e", "1")
    assert crowd.retired == ["c", "a"]


def test_where_all_of_an_address_work_it_gets_no_more_and_another_does(crowd: Crowd) -> None:
    for name in "abc":
        crowd.comes(name, "1")
        crowd.shares.work(name)
    assert not crowd.comes("d", "1")
    assert crowd.comes("e", "2")
    assert crowd.retired == []


def test_when_it_is_full_the_address_that_holds_most_pays(crowd: Crowd) -> None:
    crowd.comes("old", "2")
    for name in "abc":
        crowd.comes(name, "1")
    assert crowd.comes("new", "3")
    assert crowd.retired == ["a"]


def test_when_it_is_full_of_work_nobody_comes_in(crowd: Crowd) -> None:
    for name, address in zip("abcd", "1122", strict=True):
        crowd.comes(name, address)
        crowd.shares.work(name)
    assert not crowd.comes("e", "3")
    crowd.shares.leave("a")
    assert crowd.comes("e", "3")


def test_requests_at_work_have_a_share_of_their_own(crowd: Crowd) -> None:
    shares = crowd.shares
    assert [shares.begins("1") for _ in range(3)] == [True, True, False]
    assert shares.begins("2")
    shares.ends("1")
    assert shares.begins("1")


def test_nothing_is_kept_of_whoever_has_left(crowd: Crowd) -> None:
    crowd.comes("a", "1")
    crowd.shares.begins("1")
    crowd.shares.ends("1")
    for _ in range(2):
        crowd.shares.leave("a")
    crowd.shares.rest("a")
    assert not any((crowd.shares._held, crowd.shares._idle, crowd.shares._addresses, crowd.shares._at_work))


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "client"),
    [
        ("10.0.0.1", "", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6", 0, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", 1, "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", 2, "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4", 2, "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, ", 1, "10.0.0.1"),
        ("2001:db8:1:2:3::4", "", 0, "2001:db8:1:2::/64"),
        ("::ffff:1.2.3.4", "", 0, "1.2.3.4"),
        ("10.0.0.1", "[2001:db8:1:2::9]", 1, "2001:db8:1:2::/64"),
        ("10.0.0.1", "no:address", 1, "no:address"),
    ],
)
def test_a_client_is_who_our_own_proxies_say(peer: str, forwarded: str, proxies: int, client: str) -> None:
    assert client_address(peer, forwarded, proxies) == client


@pytest.mark.parametrize(
    ("files", "doors", "asked", "fit"),
    [
        (1024, 1, 1000, 1024 - RESERVE),
        (1024, 2, 1000, (1024 - RESERVE) // 2),
        (20_000, 1, 1000, 1000),
        (64, 1, 9, 1),
    ],
)
def test_connections_leave_a_reserve_of_files(files: int, doors: int, asked: int, fit: int) -> None:
    assert connections_that_fit(files, doors, asked) == fit


def test_any_origin_is_told_so_without_naming_it() -> None:
    assert dict(Origins(["*"]).headers("https://a.example"))["Access-Control-Allow-Origin"] == "*"
    assert dict(Origins(["*"]).headers(None))["Access-Control-Allow-Origin"] == "*"
    assert Origins([]).headers("https://a.example") == ()


def test_a_log_line_is_one_line_and_a_trace_keeps_its_own() -> None:
    formatter = OneLineFormatter("%(levelname)s %(message)s")
    record = logging.LogRecord(
        "x", logging.INFO, "x", 0, "a %s", ("\x1b[31m\r\nERROR forged\x9b\u2028\u202e",), None
    )
    assert formatter.format(record) == "INFO a \\x1b[31m\\x0d\\x0aERROR forged\\x9b\\u2028\\u202e"
    try:
        raise ValueError("\x1b[31m")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.INFO, "x", 0, "a", (), (type(error), error, error.__traceback__)
        )
    shown = formatter.format(record)
    assert "\x1b" not in shown
    assert shown.count("\n") >= 3
