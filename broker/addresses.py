"""The one form of e-mail addresses: what is kept, and by what an account is found and counted."""

from typing import Final

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from broker.text import folded, is_unseen

MOST_EMAIL: Final = 254
# As they come, before they are in form: a letter can be some characters then.
MOST_EMAIL_SENT: Final = 4 * MOST_EMAIL


def email(text: str) -> str:
    """A new e-mail address, as it is kept: in NFC, with the domain in its own letters. Raises ValueError."""
    address = str(_address(text).normalized)
    if len(address) > MOST_EMAIL or any(map(is_unseen, address)):
        raise ValueError("must be an e-mail address")
    return address


def email_key(text: str) -> str | None:
    """By what an address is found: the same for every form of it; None for what is no address.

    The local part is folded, the domain is as the DNS has it (IDNA 2008), which tells ß from ss.
    """
    try:
        address = _address(text)
    except ValueError:
        return None
    return f"{folded(address.local_part)}@{address.ascii_domain}"


def _address(text: str) -> ValidatedEmail:
    if len(text) > MOST_EMAIL_SENT:
        raise ValueError(f"must have at most {MOST_EMAIL} characters")
    try:
        # Accounts of test installations may lie under .test; nothing is looked up in the DNS.
        return validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError("must be an e-mail address") from error
