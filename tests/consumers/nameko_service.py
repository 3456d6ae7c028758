"""A Nameko service that listens to every event; for Nameko 2 and 3, and nothing of the platform's."""

import json

from nameko.events import event_handler


class Listener:
    name = "consumer_nameko"

    @event_handler("movies", "movie_created")
    @event_handler("movies", "movie_updated")
    @event_handler("movies", "movie_deleted")
    @event_handler("movies", "review_created")
    @event_handler("movies", "review_updated")
    @event_handler("movies", "review_deleted")
    @event_handler("auth", "user_registered")
    @event_handler("auth", "user_updated")
    @event_handler("auth", "user_deleted")
    @event_handler("auth", "session_revoked")
    def hear(self, event):
        print(json.dumps(event), flush=True)


class Listener3(Listener):
    """The same under another name, so that its queues are its own."""

    name = "consumer_nameko_3"
