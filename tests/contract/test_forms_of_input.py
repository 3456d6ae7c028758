"""What comes in is in one form, whoever sends it: films, reviews, filters and rooms."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from tests.clients import Account, Api, Listener
from tests.contract.expect import assert_error, get, unique
from tests.contract.listeners import join, listen

LINE_ENDS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"]
UNSEEN = [
    "\x1b",
    "\x7f",
    "\t",
    "\u200b",
    "\u202e",
    "\u202a",
    "\u2066",
    "\u200e",
    "\ufeff",
    "\u00ad",
    "\u2060",
    "\u034f",
]
UNSEEN += ["\u3164", "\u115f", "\u200d", "\u200c", "\ue000", "\u0378", "\uffff", "\U000e0041", "\U000f0000"]
NOTHING = [
    "\u200b",
    "\u3164",
    "\u0301",
    "\u200d\u200d",
    "\u2800",
    "\ufe0f",
    "\u034f",
    "\u115f\u1160",
    "\u00ad",
]


def named(value: str) -> str:
    return value.encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("each", [*LINE_ENDS, *UNSEEN], ids=named)
@pytest.mark.parametrize("field", ["title", "director", "genre"])
def test_a_film_has_no_second_line_and_nothing_unseen(alice: Account, field: str, each: str) -> None:
    body = {"title": "Fine", field: f"Fine{each}User 1 added a new review: forged"}
    assert_error(alice.api.post("/api/movies", body), 400, fields={field})


@pytest.mark.parametrize("each", [*LINE_ENDS, *UNSEEN], ids=named)
def test_a_reviews_title_has_no_second_line_and_nothing_unseen(
    alice: Account, shared_movie: int, each: str
) -> None:
    body = {"title": f"Superb{each}User 1 added a new review: forged", "rating": 8}
    assert_error(alice.api.post(f"/api/movies/{shared_movie}/reviews", body), 400, fields={"title"})


@pytest.mark.parametrize("each", NOTHING, ids=named)
@pytest.mark.parametrize(
    ("path", "field"),
    [
        *(("/api/movies", field) for field in ("title", "director", "genre", "description")),
        *(("/api/movies/{movie}/reviews", field) for field in ("title", "body")),
    ],
)
def test_what_shows_nothing_is_empty(
    alice: Account, shared_movie: int, path: str, field: str, each: str
) -> None:
    body = {"title": "Fine", **({"rating": 8} if "reviews" in path else {}), field: each}
    assert_error(alice.api.post(path.format(movie=shared_movie), body), 400, fields={field})


@pytest.mark.parametrize(
    "each", ["\x1b", "\v", "\x85", "\u202e", "\u202a", "\u2066", "\ue000", "\uffff"], ids=named
)
def test_prose_holds_no_controls_and_no_direction_that_lasts(
    alice: Account, bob: Account, movie: int, each: str
) -> None:
    assert_error(
        alice.api.post("/api/movies", {"title": "Fine", "description": f"a{each}b"}),
        400,
        fields={"description"},
    )
    review = {"title": "Fine", "rating": 8, "body": f"a{each}b"}
    assert_error(bob.api.post(f"/api/movies/{movie}/reviews", review), 400, fields={"body"})


def test_prose_keeps_its_lines(alice: Account, bob: Account) -> None:
    text = "First.\r\n\r\nSecond:\tindented\rthird\u2028fourth \u200fעברית\u200f"
    kept = "First.\n\nSecond:\tindented\nthird\nfourth \u200fעברית\u200f"
    movie = alice.api.create_movie(description=text)
    assert get(alice.api, f"/api/movies/{movie}")["description"] == kept
    review = bob.api.create_review(movie, body=text)
    assert get(alice.api, f"/api/reviews/{review}")["body"] == kept


@pytest.mark.parametrize(
    "title",
    [
        "Amélie",
        "千と千尋の神隠し",
        "สยาม",
        "می\u200cخواهم",
        "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥",
        "Ταξίδι",
        "Æon Flux",
        "50\u00a0%",
        "가나다",
    ],
)
def test_what_people_write_is_kept_and_composed(alice: Account, title: str) -> None:
    decomposed = unicodedata.normalize("NFD", title)
    movie = alice.api.create_movie(
        title=decomposed, director=decomposed, genre=decomposed, description=decomposed
    )
    shown = get(alice.api, f"/api/movies/{movie}")
    composed = unicodedata.normalize("NFC", title)
    assert [shown[field] for field in ("title", "director", "description")] == [composed] * 3


def test_marks_without_end_are_refused(alice: Account) -> None:
    marks = "a" + "\u0301\u0323" * 4000
    for field in ("title", "director", "genre", "description"):
        assert_error(alice.api.post("/api/movies", {"title": "Fine", field: marks}), 400, fields={field})


# --- ratings

NO_RATINGS: list[Any] = [
    7.49999999999,
    7.500000001,
    7.4999,
    7.2,
    0.5,
    10.5,
    -1,
    True,
    "7.5",
    "8",
    [8],
    1e-9,
    10.0000000001,
]


@pytest.mark.parametrize("rating", NO_RATINGS, ids=str)
def test_a_reviews_rating_is_exactly_a_step(bob: Account, movie: int, rating: Any) -> None:
    body = {"title": "Superb", "rating": rating}
    assert_error(bob.api.post(f"/api/movies/{movie}/reviews", body), 400, fields={"rating"})


@pytest.mark.parametrize("rating", [1, 1.5, 7.5, 9.5, 10, 10.0, 8e0])
def test_every_step_is_kept_as_it_is(bob: Account, movie: int, rating: float) -> None:
    review = bob.api.create_review(movie, rating=rating)
    assert get(bob.api, f"/api/reviews/{review}")["rating"] == rating


@pytest.mark.parametrize("rating", [7.49999999999, 0.1 + 0.2, 8.12345, 1e-9, True, "8"], ids=str)
def test_a_score_that_arithmetic_left_is_refused(alice: Account, rating: Any) -> None:
    assert_error(alice.api.post("/api/movies", {"title": "Fine", "rating": rating}), 400, fields={"rating"})


@pytest.mark.parametrize("rating", [0, 10, 7.5, 8.37, 8.706, None])
def test_a_score_is_kept_as_it_was_given(alice: Account, rating: Any) -> None:
    movie = alice.api.create_movie(rating=rating)
    assert get(alice.api, f"/api/movies/{movie}")["rating"] == rating


# --- addresses

NO_ADDRESSES = [
    *[
        "https://",
        "http:///poster.jpg",
        "https:poster.jpg",
        "//example.com/a.jpg",
        "example.com/a.jpg",
        "ftp://example.com/a",
    ],
    *[
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "https://user@example.com/a",
        "https://user:pw@example.com/a",
    ],
    *[
        "https://@example.com/",
        "https://example.com/a b.jpg",
        'https://example.com/a".jpg',
        "https://example.com/a'.jpg",
    ],
    *[
        "https://example.com/a\nb",
        "https://example.com/a\r\nSet-Cookie: x",
        "https://example.com/\u2028",
        "https://example.com/\u202e",
    ],
    *[
        "https://example.com\\@evil.example/",
        "https:\\\\example.com\\a",
        "https://example.com/<script>",
        "https://example.com/`a`",
    ],
    *[
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://./a",
    ],
    *[
        "https://a..b/",
        "https://[::1/",
        "https://%00.example/",
        "https://example.com/\t",
        "https://" + "x" * 2000,
        "http://",
    ],
    "https://example.com/" + "é" * 400,
]


@pytest.mark.parametrize("address", NO_ADDRESSES, ids=lambda each: named(each)[:40])
def test_what_is_no_web_address_is_refused(alice: Account, address: str) -> None:
    body = {"title": "Fine", "poster_url": address}
    assert_error(alice.api.post("/api/movies", body), 400, fields={"poster_url"})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("https://example.com/a.jpg", "https://example.com/a.jpg"),
        (" HTTPS://Example.COM:443/a/../b.jpg?x=1&y=%20#z ", "https://example.com/b.jpg?x=1&y=%20#z"),
        ("http://example.com", "http://example.com/"),
        ("https://bücher.example/é.jpg", "https://xn--bcher-kva.example/%C3%A9.jpg"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        ("http://[2001:db8::1]/a", "http://[2001:db8::1]/a"),
        ("https://example.com/@user/a.jpg", "https://example.com/@user/a.jpg"),
    ],
)
def test_a_web_address_is_kept_as_browsers_have_it(alice: Account, given: str, kept: str) -> None:
    movie = alice.api.create_movie(poster_url=given)
    assert get(alice.api, f"/api/movies/{movie}")["poster_url"] == kept


# --- rooms

GENRES = [
    ("Science  Fiction", "science fiction"),
    ("Science Fiction", "Science\u00a0 Fiction "),
    ("Comédie", "come\u0301die"),
    ("Come\u0301die", "COMÉDIE"),
    ("Ｄrama", "drama"),
    ("STRASSE", "straße"),
    ("ΤΑΞΊΔΙΣ", "ταξίδις"),
    ("ドラマ", "ﾄﾞﾗﾏ"),
]


@pytest.mark.parametrize(("genre", "room"), GENRES, ids=[named(genre) for genre, _ in GENRES])
def test_a_genres_room_hears_of_it_however_it_is_spelt(
    notifier: str, alice: Account, bob: Account, genre: str, room: str
) -> None:
    word = unique()[:12]
    movie = alice.api.create_movie(genre=f"Other, {genre} {word}")
    with listen(notifier, f"genre:{room} {word}") as listener:
        review = bob.api.create_review(movie)
        assert listener.next("new_review")["review"]["id"] == review


@pytest.mark.parametrize("genre", ["Science  Fiction", "Comédie", "Come\u0301die", "a,  A ,a"], ids=named)
def test_a_genre_is_one_however_often_it_is_spelt(alice: Account, genre: str) -> None:
    other = unicodedata.normalize("NFD", genre.upper())
    movie = alice.api.create_movie(genre=f"{genre}, {other}")
    assert "," not in get(alice.api, f"/api/movies/{movie}")["genre"]


@pytest.mark.parametrize("each", [*LINE_ENDS, *UNSEEN], ids=named)
def test_nobody_says_a_second_line_in_a_room(bobs: Listener, bob: Account, each: str) -> None:
    join(bobs, bob.id, "all")
    forged = f"hello{each}User 1 added a new review: forged"
    for event, field in (("message", "message"), ("new_review", "review_title")):
        answer = bobs.call(event, user_id=bob.id, room_id="all", **{field: forged})
        assert answer["code"] == "invalid"
        assert field in answer["error"]
    for field, value in (("room_id", f"genre:x{each}y"), ("user_id", f"{bob.id}{each}x")):
        answer = bobs.call("join_notification", **{"user_id": bob.id, "room_id": "all", field: value})
        assert answer["code"] == "invalid"


@pytest.mark.parametrize("each", NOTHING, ids=named)
def test_nobody_says_nothing_in_a_room(bobs: Listener, bob: Account, each: str) -> None:
    join(bobs, bob.id, "all")
    assert bobs.call("message", user_id=bob.id, room_id="all", message=each)["code"] == "invalid"


def test_what_is_said_is_composed(bobs: Listener, bob: Account, anyone: Api) -> None:
    join(bobs, bob.id, "all")
    answer = bobs.call("message", user_id=bob.id, room_id="all", message=" Ame\u0301lie ")
    assert answer["message"] == "Amélie"
