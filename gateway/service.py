"""The gateway's entry points: the routes, and the events it follows."""

from broker.consumer import event_handler
from broker.events import Envelope, SessionRevoked, UserUpdated, read
from gateway.routes import accounts, movies, reviews, status, users


class GatewayService(accounts.Accounts, movies.Movies, reviews.Reviews, users.Users, status.Status):
    """The REST API; any number of instances side by side."""

    name = "gateway"

    # Each instance has a queue of its own that ends with it; what happens while it is away it reads from
    # auth when it starts. What is announced is a hint: auth is asked before anything of it takes effect.
    @event_handler("auth", "session_revoked", each_instance=True)
    def handle_session_revoked(self, event: Envelope) -> None:
        self.identities.heard_of_session(read(event, SessionRevoked).session)

    @event_handler("auth", "user_updated", each_instance=True)
    def handle_user_updated(self, event: Envelope) -> None:
        self.identities.heard_of_user(read(event, UserUpdated).user.id)
