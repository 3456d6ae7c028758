from tests.clients import Listener, sign_up
from tests.platforms import Platform


def test_a_review_is_heard_in_its_movies_room(platform: Platform) -> None:
    alice = sign_up(platform.gateways[0])
    movie = alice.api.create_movie(title="Heard", genre="Drama, Action")
    with Listener(platform.notifiers[-1]) as listener:
        listener.call("join_notification", user_id="x", room_id=str(movie))
        review = alice.api.create_review(movie, title="Loud")
        heard = listener.next("new_review")
    assert heard["message"] == f"User {alice.id} added a new review: Loud"
    assert heard["review"]["id"] == review
