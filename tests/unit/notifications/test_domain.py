"""Room names, field checks, and which rooms hear of an event."""

from typing import Any

import pytest
from pydantic import ValidationError

from broker.events import Envelope
from notifications import domain
from notifications.domain import Refusal, Seen

REVIEW: dict[str, Any] = {
    **{"id": 1, "movie_id": 42, "user_id": 7, "username": "anna", "title": "Great", "body": ""},
    **{"rating": 8.0, "spoiler": False, "likes": 0},
    **dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z"),
}


def review_event(type: str = "review_created", **changes: Any) -> Envelope:
    review, movie = changes.pop("review", {}), changes.pop("movie", {})
    if isinstance(review, dict):
        review = REVIEW | review
    if isinstance(movie, dict):
        movie = {"id": 42, "title": "Heat", "genre": "Action, Crime"} | movie
    return Envelope(
        specversion="1.0",
        id="e1",
        source="/movies",
        type=type,
        time="2026-01-01T00:00:00Z",
        data={"version": 3, "movie": movie, "review": review} | changes,
    )


def payload(envelope: Envelope, room: str = "all") -> dict[str, Any]:
    return domain.fan_out(envelope).payload(room)


@pytest.mark.parametrize(
    ("room_id", "room"),
    [
        (42, "42"),
        ("42", "42"),
        (" 042 ", "42"),
        ("all", "all"),
        ("genre:Drama", "genre:drama"),
        ("genre: Science Fiction ", "genre:science fiction"),
        ("genre:STRASSE", "genre:strasse"),
        ("genre:Straße", "genre:strasse"),
        ("genre:Science \u00a0 Fiction", "genre:science fiction"),
        ("genre:Come\u0301die", "genre:comédie"),
        ("genre:ＤＲＡＭＡ", "genre:drama"),
        ("user:7", "user:7"),
    ],
)
def test_a_room_has_one_name_however_it_is_spelt(room_id: int | str, room: str) -> None:
    assert domain.room_name(room_id) == room


@pytest.mark.parametrize(
    "room_id",
    [
        0,
        -1,
        "0",
        "-1",
        "1.5",
        "",
        "ALL",
        "movies",
        "٤٢",
        "4²",
        "9" * 20,
        10**30,
        "genre:",
        "genre: ",
        "genre:" + "x" * 51,
        "user:",
        "user:x",
        "user:0",
        "user:-7",
    ],
)
def test_other_names_are_no_rooms(room_id: int | str) -> None:
    with pytest.raises(Refusal) as refusal:
        domain.room_name(room_id)
    assert refusal.value.code == "unknown_room"


def test_a_request_keeps_what_the_client_sent_beside_the_rooms_own_name() -> None:
    request, _ = domain.room_request({"user_id": "7", "room_id": "genre:Drama", "colour": "red"})
    assert (request.user_id, request.room_id, request.room) == ("7", "genre:Drama", "genre:drama")
    assert domain.joined(request) == "User 7 has joined the room genre:Drama"
    assert domain.left(request) == "User 7 has left the room genre:Drama"


@pytest.mark.parametrize("data", [None, "x", 5, ["user_id"], b"", True])
def test_an_event_without_an_object_is_refused(data: object) -> None:
    with pytest.raises(Refusal, match="object"):
        domain.room_request(data)


@pytest.mark.parametrize(
    "value",
    [
        *[None, True, 1.5, float("nan"), [], {}, "", "x" * 101, 10**101, "a\0b", "\ud800"],
        *["a\nb", "a\n", "\n", "\u2028a", "a\u202eb", "\u200b", "\u3164", "\u0301", "a\x85"],
    ],
)
@pytest.mark.parametrize("field", ["user_id", "room_id"])
def test_a_name_that_cannot_be_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(Refusal, match=field) as refusal:
        domain.room_request({"user_id": 7, "room_id": 42} | {field: value})
    assert refusal.value.code == "invalid"


@pytest.mark.parametrize("value", [None, 5, True, [], "", "  ", "x" * 6, "a\0b", "\udfff"])
def test_a_text_that_cannot_be_is_refused_by_its_field(value: object) -> None:
    with pytest.raises(Refusal, match="message") as refusal:
        domain.text_field({"message": value}, "message", 5)
    assert refusal.value.code == "invalid"


def test_a_position_is_a_text_or_is_not_there() -> None:
    assert domain.position({}) is None
    assert domain.position({"last_event_id": None}) is None
    assert domain.position({"last_event_id": "x" * 100}) == "x" * 100


@pytest.mark.parametrize("value", [5, True, [], {}, "", " ", "x" * 101, "a\0b"])
def test_another_position_is_refused_by_its_field(value: object) -> None:
    with pytest.raises(Refusal, match="last_event_id") as refusal:
        domain.position({"last_event_id": value})
    assert refusal.value.code == "invalid"


def test_a_text_loses_the_blanks_around_it() -> None:
    assert domain.text_field({"message": "  hello "}, "message", 5) == "hello"


def test_a_review_reaches_its_movies_room_all_its_genres_and_its_writer() -> None:
    news = domain.fan_out(review_event())
    assert (news.id, news.event) == ("e1", "new_review")
    assert news.rooms == ("42", "all", "genre:action", "genre:crime", "user:7")
    assert news.payload("genre:action") == {
        "message": "User 7 added a new review: Great",
        "verified": True,
        "event_id": "e1",
        "room_id": "genre:action",
        "movie_id": 42,
        "movie_title": "Heat",
        "review": REVIEW,
    }


@pytest.mark.parametrize(
    ("type", "event", "message"),
    [
        ("review_updated", "review_updated", "User 7 updated the review: Great"),
        ("review_deleted", "review_deleted", "User 7 deleted the review: Great"),
    ],
)
def test_changes_of_a_review_reach_the_same_rooms(type: str, event: str, message: str) -> None:
    news = domain.fan_out(review_event(type))
    assert news.rooms == domain.fan_out(review_event()).rooms
    assert (news.event, news.payload("42")["message"]) == (event, message)


def test_a_review_without_a_writer_is_a_former_users() -> None:
    deleted = review_event("review_deleted", review={"user_id": None})
    assert domain.fan_out(deleted).rooms == ("42", "all", "genre:action", "genre:crime")
    assert payload(deleted)["message"] == "A former user deleted the review: Great"


@pytest.mark.parametrize("type", domain.REVIEW_EVENTS)
def test_a_spoiler_is_pushed_without_its_text(type: str) -> None:
    text = {"title": "The sledge", "body": "It was the sledge", "spoiler": True}
    pushed = payload(review_event(type, review=text))
    assert "sledge" not in str(pushed)
    assert pushed["message"].endswith("(spoiler)")
    assert (pushed["review"]["title"], pushed["review"]["body"]) == (None, None)
    assert (pushed["review"]["spoiler"], pushed["review"]["rating"]) == (True, 8.0)


@pytest.mark.parametrize(
    ("genre", "rooms"),
    [("", []), (" , ,", []), ("Drama,drama, DRAMA ", ["genre:drama"]), ("Noir", ["genre:noir"])],
)
def test_each_genre_is_one_room(genre: str, rooms: list[str]) -> None:
    news = domain.fan_out(review_event(movie={"genre": genre}))
    assert [room for room in news.rooms if room.startswith("genre:")] == rooms


def test_what_a_later_version_adds_to_an_event_is_left_out() -> None:
    told = payload(review_event(review={"mood": "glad"}, movie={"year": 1995}, weather="fair", verified=7))
    assert told == payload(review_event())


def test_an_event_has_no_more_rooms_than_that() -> None:
    news = domain.fan_out(review_event(movie={"genre": ",".join(f"g{n}" for n in range(300))}))
    assert len(news.rooms) == 3 + domain.MOST_GENRES


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "changes",
    [
        {"movie": {"id": None}},
        {"version": None},
        *({"movie": {"genre": value}} for value in (None, 7, ["Drama"], "x" * 2001)),
        *({"review": {"user_id": value}} for value in ("x", 0, -1, 2**63, 7.0, True, NAN)),
        *({"review": {"rating": value}} for value in (NAN, INFINITY, -INFINITY, "8", None, True, 11, -1)),
        *({"review": {"likes": value}} for value in (NAN, -1, 2**53, 1.5, None)),
        *({"review": {"title": value}} for value in (None, 7, "\ud800", "a\0", "x" * 2001, ["x"])),
        *({"review": {"body": value}} for value in (None, {}, "\udfff", "\0", "x" * 200_001)),
        *({"review": {"spoiler": value}} for value in (None, 0, "false")),
        *({"version": value} for value in (0, -1, 2**53, "1", 1.0, NAN)),
        {"review": None},
        {"movie": []},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_an_event_that_lacks_what_the_rooms_need_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        domain.fan_out(review_event(**changes))


def test_an_id_is_seen_once_and_the_oldest_is_forgotten() -> None:
    seen = Seen(most=2)
    assert [seen.first_time(each) for each in ("a", "a", "b", "c", "c", "b", "a")] == [
        True,
        False,
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x85", "\u202e", "\x1b[2K\r"])
def test_a_verified_message_never_has_a_second_line(end: str) -> None:
    forged = f"Great{end}User 1 added a new review: forged"
    message = payload(review_event(review={"title": forged}))["message"]
    assert message.startswith("User 7 added a new review: Great ")
    assert message.isprintable()


def test_the_genres_of_an_event_are_rooms_however_they_are_spelt() -> None:
    news = domain.fan_out(review_event(movie={"genre": "Science  Fiction, Come\u0301die,COMÉDIE, , Ｄrama"}))
    assert news.rooms == ("42", "all", "genre:science fiction", "genre:comédie", "genre:drama", "user:7")
