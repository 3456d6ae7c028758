"""The exceptions that cross RPC and keep their type at the other end.

PlatformError
├── Invalid              what was asked for cannot be: the fields say why
├── Unauthenticated      who asks is not known
├── Forbidden            who asks is known and may not
├── NotFound             what was asked for is not there
├── Conflict             what was asked for is there already
├── TooManyRequests      who asks must wait a while (said at the front doors alone)
├── KeyReused            the key of this write belongs to another one
└── Unavailable          a part that the answer needs did not do its share
    ├── ServiceUnavailable   it could not be reached, or is too busy
    └── DeadlineExceeded     it was reached and did not answer in time
"""

from collections.abc import Mapping

from nameko.exceptions import deserialize_to_instance

MOST_TOLD = 1000  # characters of an error as a text


class PlatformError(Exception):
    """A failure that a caller is told of: `message` is one sentence for people.

    `errors` maps a field's name to what is wrong with it; empty where no field is at fault. As a text it is
    the message with what the fields say beyond it: all that a client which does not know the class is shown.
    """

    default = "Something went wrong"

    def __init__(self, message: str | None = None, errors: Mapping[str, str] | None = None) -> None:
        self.message = message or self.default
        self.errors = dict(errors or {})
        # Nameko rebuilds the exception from its args at the other end of an RPC.
        super().__init__(self.message, self.errors)

    def __str__(self) -> str:
        reasons = (f"{field} {reason}" for field, reason in self.errors.items())
        # "Username already exists" needs no second time.
        told = "; ".join(each for each in reasons if each.lower() != self.message.lower())
        text = f"{self.message}: {told}" if told else self.message
        return text if len(text) <= MOST_TOLD else f"{text[: MOST_TOLD - 1]}…"


@deserialize_to_instance
class Invalid(PlatformError):
    default = "Some fields are not valid"


@deserialize_to_instance
class Unauthenticated(PlatformError):
    default = "Sign in to do this"


@deserialize_to_instance
class Forbidden(PlatformError):
    default = "You may not do this"


@deserialize_to_instance
class NotFound(PlatformError):
    default = "Not found"


@deserialize_to_instance
class Conflict(PlatformError):
    default = "It exists already"


class TooManyRequests(PlatformError):
    """`retry_after`: in seconds."""

    default = "You have asked for too much in a short time; try again later"

    def __init__(
        self,
        message: str | None = None,
        errors: Mapping[str, str] | None = None,
        *,
        retry_after: int = 1,
    ) -> None:
        super().__init__(message, errors)
        self.retry_after = retry_after


@deserialize_to_instance
class KeyReused(PlatformError):
    default = "This idempotency key was used for another request"


class Unavailable(PlatformError):
    default = "A part of the platform is not available; try again soon"


@deserialize_to_instance
class ServiceUnavailable(Unavailable):
    default = "A part of the platform is not available; try again soon"


@deserialize_to_instance
class DeadlineExceeded(Unavailable):
    default = "A part of the platform did not answer in time; try again soon"
