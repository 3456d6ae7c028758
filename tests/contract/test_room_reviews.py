"""Reviews as their rooms hear of them: pushed, verified, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.clients import Account, Api, Listener
from tests.contract.expect import get, unique
from tests.contract.listeners import TRANSPORTS, join, listen
from tests.platforms import Platform


@pytest.fixture
def genre() -> str:
    """A genre that no other movie has."""
    return unique("g")


@pytest.fixture
def film(alice: Account, genre: str) -> int:
    """A movie with two genres, one of them `genre`."""
    return alice.api.create_movie(title="Heat", genre=f"Crime, {genre}")


@pytest.fixture
def in_room(platform: Platform, film: int) -> Iterator[Listener]:
    """A listener in the movie's room."""
    with listen(platform.notifiers[0], str(film)) as listener:
        yield listener


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["movie", "genre", "user"])
def test_a_review_reaches_its_room_with_all_its_fields(
    platform: Platform, anyone: Api, bob: Account, film: int, genre: str, kind: str, transport: str
) -> None:
    room = {"movie": str(film), "genre": f"genre:{genre}", "user": f"user:{bob.id}"}[kind]
    with listen(platform.notifiers[0], room, transport=transport) as listener:
        review = bob.api.create_review(film, title="A classic", rating=9.5)
        heard = listener.next("new_review")
    assert isinstance(heard["event_id"], str)
    assert heard["event_id"]
    assert {name: heard[name] for name in heard if name != "event_id"} == {
        "message": f"User {bob.id} added a new review: A classic",
        "verified": True,
        "room_id": room,
        "movie_id": film,
        "movie_title": "Heat",
        "review": get(anyone, f"/api/reviews/{review}"),
    }


def test_the_room_all_hears_every_review(
    platform: Platform, bob: Account, carol: Account, alice: Account
) -> None:
    movies = [alice.api.create_movie() for _ in range(2)]
    with listen(platform.notifiers[0], "all") as listener:
        reviews = [bob.api.create_review(movies[0]), carol.api.create_review(movies[1])]
        heard = [listener.next("new_review") for _ in reviews]
    assert [(push["review"]["id"], push["room_id"], push["verified"]) for push in heard] == [
        (review, "all", True) for review in reviews
    ]


def test_a_review_is_heard_once(in_room: Listener, bob: Account, carol: Account, film: int) -> None:
    bob.api.create_review(film, title="First")
    carol.api.create_review(film, title="Second")
    assert in_room.next("new_review")["message"] == f"User {bob.id} added a new review: First"
    assert in_room.heard_nothing_before("new_review", f"User {carol.id} added a new review: Second")


def test_a_room_joined_twice_hears_a_review_once(
    in_room: Listener, bob: Account, carol: Account, film: int
) -> None:
    in_room.call("join_notification", user_id="visitor", room_id=film)
    bob.api.create_review(film, title="First")
    carol.api.create_review(film, title="Second")
    assert in_room.next("new_review")["review"]["title"] == "First"
    assert in_room.next("new_review")["review"]["title"] == "Second"


def test_a_changed_review_is_told(in_room: Listener, anyone: Api, bob: Account, film: int) -> None:
    review = bob.api.create_review(film)
    bob.api.put(f"/api/reviews/{review}", {"title": "On reflection", "rating": 3})
    created, updated = in_room.next("new_review"), in_room.next("review_updated")
    assert isinstance(updated["message"], str)
    assert updated["event_id"] != created["event_id"]
    assert {name: updated[name] for name in ("verified", "room_id", "movie_id", "movie_title", "review")} == {
        **{"verified": True, "room_id": str(film), "movie_id": film, "movie_title": "Heat"},
        "review": get(anyone, f"/api/reviews/{review}"),
    }


def test_a_deleted_review_is_told(in_room: Listener, anyone: Api, bob: Account, film: int) -> None:
    review = bob.api.create_review(film)
    before = get(anyone, f"/api/reviews/{review}")
    bob.api.delete(f"/api/reviews/{review}")
    deleted = in_room.next("review_deleted")
    assert isinstance(deleted["message"], str)
    assert deleted["event_id"] != in_room.next("new_review")["event_id"]
    assert {name: deleted[name] for name in ("verified", "room_id", "movie_id", "movie_title", "review")} == {
        **{"verified": True, "room_id": str(film), "movie_id": film, "movie_title": "Heat"},
        "review": before,
    }


@pytest.mark.parametrize("kind", ["all", "genre", "user"])
def test_changes_and_deletions_reach_every_kind_of_room(
    platform: Platform, bob: Account, film: int, genre: str, kind: str
) -> None:
    room = {"all": "all", "genre": f"genre:{genre}", "user": f"user:{bob.id}"}[kind]
    with listen(platform.notifiers[0], room) as listener:
        review = bob.api.create_review(film)
        bob.api.put(f"/api/reviews/{review}", {"rating": 3})
        bob.api.delete(f"/api/reviews/{review}")
        for event in ("new_review", "review_updated", "review_deleted"):
            heard = listener.next(event)
            assert (heard["review"]["id"], heard["room_id"]) == (review, room)


def test_a_change_is_told_once(in_room: Listener, bob: Account, film: int) -> None:
    review = bob.api.create_review(film)
    for title in ("Second thoughts", "Third thoughts"):
        bob.api.put(f"/api/reviews/{review}", {"title": title})
    titles = [in_room.next("review_updated")["review"]["title"] for _ in range(2)]
    assert titles == ["Second thoughts", "Third thoughts"]


def test_a_moderators_deletion_is_told(
    in_room: Listener, moderator: Account, bob: Account, film: int
) -> None:
    review = bob.api.create_review(film)
    moderator.api.delete(f"/api/reviews/{review}")
    assert in_room.next("review_deleted")["review"]["id"] == review


def test_a_listener_in_several_rooms_hears_one_event_in_each(
    platform: Platform, bob: Account, carol: Account, film: int, genre: str
) -> None:
    rooms = {str(film), f"genre:{genre}", "genre:crime", "all", f"user:{bob.id}"}
    with listen(platform.notifiers[0], *rooms) as listener:
        bob.api.create_review(film, title="First")
        heard = [listener.next("new_review") for _ in rooms]
        assert {push["room_id"] for push in heard} == rooms
        assert len({push["event_id"] for push in heard}) == 1
        carol.api.create_review(film, title="Second")
        assert listener.next("new_review")["review"]["title"] == "Second"


def test_other_rooms_hear_nothing_of_a_review(
    platform: Platform, alice: Account, bob: Account, carol: Account, film: int, genre: str
) -> None:
    other_genre = f"{genre}x"
    other = alice.api.create_movie(genre=other_genre)
    with listen(platform.notifiers[0], str(other), f"genre:{other_genre}", f"user:{carol.id}") as listener:
        bob.api.create_review(film, title="Elsewhere")
        carol.api.create_review(other, title="Here")
        heard = [listener.next("new_review")["review"]["title"] for _ in range(3)]
    assert heard == ["Here"] * 3


@pytest.mark.parametrize(
    "spell", [str.upper, str.title, lambda name: f" {name} "], ids=["upper", "title", "blanks"]
)
def test_a_genres_room_is_the_same_whatever_its_case(
    platform: Platform, bob: Account, film: int, genre: str, spell: Any
) -> None:
    with Listener(platform.notifiers[0]) as listener:
        listener.call("join_notification", user_id="visitor", room_id=f"genre:{spell(genre)}")
        review = bob.api.create_review(film)
        assert listener.next("new_review")["review"]["id"] == review


def test_who_left_the_room_hears_of_no_review(
    in_room: Listener, bob: Account, carol: Account, film: int
) -> None:
    in_room.call("leave_notification", user_id="visitor", room_id=str(film))
    bob.api.create_review(film, title="Missed")
    in_room.call("join_notification", user_id="visitor", room_id=f"user:{carol.id}")
    carol.api.create_review(film, title="Heard")
    assert in_room.heard_nothing_before("new_review", f"User {carol.id} added a new review: Heard")


def test_every_notifier_and_every_gateway_tell_each_review_once(
    platform: Platform, people: list[Account], film: int
) -> None:
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listen(notifier, str(film)))
            for notifier in platform.notifiers
            for _ in range(2)
        ]
        reviews = [
            Api(platform.gateways[number % len(platform.gateways)], person.token).create_review(film)
            for number, person in enumerate(people)
        ]
        for listener in listeners:
            assert [listener.next("new_review")["review"]["id"] for _ in reviews] == reviews
            assert listener.heard["new_review"].empty()


def test_all_rooms_hear_of_one_review_by_one_event(
    platform: Platform, bob: Account, film: int, genre: str
) -> None:
    rooms = [str(film), "all", f"genre:{genre}", f"user:{bob.id}"]
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listen(platform.notifiers[number % len(platform.notifiers)], room))
            for number, room in enumerate(rooms)
        ]
        bob.api.create_review(film)
        assert len({listener.next("new_review")["event_id"] for listener in listeners}) == 1


def test_a_signed_in_listener_hears_its_own_review(platform: Platform, bob: Account, film: int) -> None:
    with Listener(platform.notifiers[0], bob.token) as listener:
        listener.call("join_notification", user_id=bob.id, room_id=film)
        review = bob.api.create_review(film)
        heard = listener.next("new_review")
    assert (heard["review"]["id"], heard["verified"]) == (review, True)


def test_a_refused_review_is_not_told(in_room: Listener, bob: Account, carol: Account, film: int) -> None:
    bob.api.create_review(film, title="First")
    assert bob.api.post(f"/api/movies/{film}/reviews", {"title": "Again", "rating": 8}).status_code == 409
    assert bob.api.post(f"/api/movies/{film}/reviews", {"title": "Bad", "rating": 80}).status_code == 400
    carol.api.create_review(film, title="Second")
    assert in_room.next("new_review")["review"]["title"] == "First"
    assert in_room.heard_nothing_before("new_review", f"User {carol.id} added a new review: Second")


# --- what was missed


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_joins_again_hears_what_was_missed_as_it_was_told(
    platform: Platform, in_room: Listener, bob: Account, carol: Account, film: int, transport: str
) -> None:
    with TRANSPORTS[transport](platform.notifiers[0]) as listener:
        first = join(listener, "visitor", film)
    review = bob.api.create_review(film)
    bob.api.put(f"/api/reviews/{review}", {"title": "On reflection", "rating": 3})
    bob.api.delete(f"/api/reviews/{review}")
    names = ("new_review", "review_updated", "review_deleted")
    live = [in_room.next(name) for name in names]
    with TRANSPORTS[transport](platform.notifiers[-1]) as listener:
        answer = join(listener, "visitor", film, first["last_event_id"])
        assert (answer["recovered"], answer["last_event_id"]) == (True, live[-1]["event_id"])
        assert [listener.next(name) for name in names] == live
        carol.api.create_review(film, title="Live again")
        assert listener.next("new_review")["review"]["title"] == "Live again"


def test_who_missed_nothing_is_told_so(in_room: Listener, bob: Account, film: int) -> None:
    bob.api.create_review(film)
    heard = in_room.next("new_review")
    again = join(in_room, "visitor", film, heard["event_id"])
    assert (again["recovered"], again["last_event_id"]) == (True, heard["event_id"])
    assert in_room.heard["new_review"].empty()


def test_with_a_position_that_nobody_knows_nothing_is_recovered(
    in_room: Listener, bob: Account, film: int
) -> None:
    bob.api.create_review(film)
    heard = in_room.next("new_review")
    again = join(in_room, "visitor", film, unique())
    assert (again["recovered"], again["last_event_id"]) == (False, heard["event_id"])
    assert in_room.heard["new_review"].empty()


# --- spoilers


def test_a_spoiler_is_told_without_its_text(in_room: Listener, anyone: Api, bob: Account, film: int) -> None:
    text = {"title": "The sledge", "body": "Rosebud is the sledge", "spoiler": True}
    review = bob.api.create_review(film, **text)
    bob.api.put(f"/api/reviews/{review}", {"rating": 3})
    shown = get(anyone, f"/api/reviews/{review}")
    bob.api.delete(f"/api/reviews/{review}")
    in_room.next("new_review")
    updated, deleted = in_room.next("review_updated"), in_room.next("review_deleted")
    for told in (updated, deleted):
        assert told["review"] == {**shown, "title": None, "body": None}
        assert "sledge" not in str(told)
    assert (shown["title"], shown["spoiler"]) == ("The sledge", True)


def test_a_spoiler_is_replayed_without_its_text(in_room: Listener, bob: Account, film: int) -> None:
    first = join(in_room, "visitor", film)
    bob.api.create_review(film, title="The sledge", spoiler=True)
    live = in_room.next("new_review")
    assert "sledge" not in str(live)
    join(in_room, "visitor", film, first["last_event_id"])
    assert in_room.next("new_review") == live
