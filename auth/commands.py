"""What may be asked of auth, validated."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from auth import names
from broker import addresses, text
from broker.hints import MOST_ASKED
from broker.validation import MAX_ID, Body, Id, is_storable

MOST_ACCOUNT = 200  # characters of what an operator calls an account


def _account(account: object) -> object:
    if isinstance(account, bool) or not isinstance(account, str | int):
        raise ValueError("must be a username or an id")
    if isinstance(account, str) and not 1 <= len(account) <= MOST_ACCOUNT:
        raise ValueError(f"must have 1 to {MOST_ACCOUNT} characters")
    if isinstance(account, int) and not 1 <= account <= MAX_ID:
        raise ValueError(f"must be a whole number from 1 to {MAX_ID}")
    return account


Account = Annotated[str | int, BeforeValidator(_account)]
Username = Annotated[str, AfterValidator(names.username)]
Email = Annotated[str, AfterValidator(addresses.email)]
# As NIST SP 800-63B asks: a least length and no rules of composition; the upper bound spares the hash.
Password = Annotated[str, Field(max_length=256), AfterValidator(text.password), Field(min_length=8)]
GivenPassword = Annotated[str, Field(max_length=256)]


class Register(Body):
    username: Username
    email: Email
    password: Password
    confirm_password: GivenPassword


class Login(Body):
    """What is no e-mail address is nobody's: that is found out, and told, as for one that nobody has."""

    email: Annotated[str, Field(max_length=addresses.MOST_EMAIL_SENT)]
    password: GivenPassword


class UpdateProfile(Body):
    """Any of the first three; each of them needs the current password."""

    username: Username | None = None
    email: Email | None = None
    password: Password | None = None
    confirm_password: GivenPassword | None = None
    current_password: GivenPassword | None = None


class DeleteAccount(Body):
    current_password: GivenPassword


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("must not hold NUL or broken characters")
    return text


SessionId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]


class Confirm(Body):
    users: Annotated[list[Id], Field(max_length=MOST_ASKED)]
    sessions: Annotated[list[SessionId], Field(max_length=MOST_ASKED)]
