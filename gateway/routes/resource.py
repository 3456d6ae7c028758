"""What every resource of the API has at hand."""

from typing import Any

from broker import speakers
from broker.errors import Forbidden
from broker.rpc import ServiceRpc
from broker.tokens import Identity
from gateway.providers import IdentityProvider
from gateway.requests import Request


class Resource:
    """The services behind the gateway, and who is asking."""

    auth = ServiceRpc("auth")
    movies = ServiceRpc("movies")
    identities = IdentityProvider()

    def signed_in(self, request: Request) -> Identity:
        """Who asks. Raises Unauthenticated."""
        if request.identity is None:
            request.identity = self.identities.identify(request.bearer_token)
        self.auth.speaks_for = self.movies.speaks_for = speakers.headers(request.identity)
        return request.identity

    def actor(self, request: Request) -> dict[str, Any]:
        """Who asks, as the movies service wants it told. Raises Unauthenticated."""
        identity = self.signed_in(request)
        return {"id": identity.user_id, "username": identity.username, "role": identity.role}

    def admin(self, request: Request) -> Identity:
        """The admin who asks. Raises Unauthenticated, and Forbidden for anyone else."""
        identity = self.signed_in(request)
        if identity.role != "admin":
            raise Forbidden("Only an admin may do this")
        return identity
