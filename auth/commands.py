"""What may be asked of auth, validated."""

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

from broker.validation import Body, Line


def _email(text: str) -> str:
    try:
        # Accounts of test installations may lie under .test; nothing is looked up in the DNS.
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError("must be an e-mail address") from error


Username = Annotated[
    str, Field(min_length=2, max_length=50, pattern=r"^[\w.-]+$", description="letters, digits, . _ -")
]
Email = Annotated[Line, Field(max_length=254), AfterValidator(_email)]
# As NIST SP 800-63B asks: a least length and no rules of composition; the upper bound spares the hash.
Password = Annotated[str, Field(min_length=8, max_length=256)]
GivenPassword = Annotated[str, Field(max_length=256)]


class Register(Body):
    username: Username
    email: Email
    password: Password
    confirm_password: GivenPassword


class Login(Body):
    email: Annotated[str, Field(max_length=254)]
    password: GivenPassword


class UpdateProfile(Body):
    """Any of them; a new password needs the current one."""

    username: Username | None = None
    email: Email | None = None
    password: Password | None = None
    confirm_password: GivenPassword | None = None
    current_password: GivenPassword | None = None
