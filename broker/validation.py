"""Validation of what comes from outside: field types that services share, errors that name the field."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    UrlConstraints,
    ValidationError,
)

from broker import text
from broker.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)

MAX_ID = 2**63 - 1
PAGE_MAX = 1000
PAGE_DEFAULT = 100
MOST_ADDRESS_BYTES = 2000
MOST_HOST_CHARACTERS = 253
_URL = TypeAdapter(Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "https"], host_required=True)])
_KEY = re.compile(r"[!-~]{1,255}")


class Body(BaseModel):
    """A JSON object from outside: exact types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Parameters(BaseModel):
    """Query parameters: everything arrives as a string and is read as what it should be."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _date(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise ValueError("must be a date as YYYY-MM-DD")
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("must be a date that exists") from error
    return value


def _web_address(address: str) -> str:
    """An http or https URL in the form in which browsers have it, or an empty text."""
    address = address.strip(" ")
    if not address:
        return address
    if len(address) > MOST_ADDRESS_BYTES:
        raise ValueError(f"must have at most {MOST_ADDRESS_BYTES} bytes")
    # Browsers forgive some of these, each in its own way, and take others for the end of an attribute.
    if any(each in "\"'<>\\^`{|}" or each.isspace() or not each.isprintable() for each in address):
        raise ValueError(
            "must be a URL without blanks, quotes, brackets, backslashes and invisible characters"
        )
    if not re.match("https?://[^/?#]", address, re.IGNORECASE):
        raise ValueError("must be an http or https URL")
    try:
        url = _URL.validate_python(address)
    except ValidationError as error:
        raise ValueError("must be an http or https URL") from error
    host = url.host or ""
    if "@" in address.partition("://")[2].partition("/")[0] or url.username or url.password:
        raise ValueError("must be a URL without a user")
    if url.port == 0 or not all(host.removesuffix(".").split(".")) or len(host) > MOST_HOST_CHARACTERS:
        raise ValueError("must be a URL with a host, and a port that exists")
    normal = str(url)
    if len(normal) > MOST_ADDRESS_BYTES:
        raise ValueError(f"must have at most {MOST_ADDRESS_BYTES} bytes")
    return normal


# See broker.text: one line, several lines, and what is looked for.
Line = Annotated[str, AfterValidator(text.line)]
Paragraphs = Annotated[str, AfterValidator(text.paragraphs)]
Sought = Annotated[str, AfterValidator(text.sought)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Day = Annotated[date, BeforeValidator(_date)]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str, Field(max_length=1000)]


def parse(model: type[Model], data: object) -> Model:
    """`data` as a `model`. Raises Invalid with what is wrong with each field."""
    if not isinstance(data, Mapping):
        raise Invalid("The body must be a JSON object", {"body": "must be a JSON object"})
    broken = {
        name: value for name, value in data.items() if isinstance(value, str) and not is_storable(value)
    }
    if broken:
        raise Invalid(errors={str(name): "must not hold NUL or broken characters" for name in broken})
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise Invalid(errors=_reasons(error)) from error


def check_id(value: object, field: str = "id") -> int:
    """`value` as the id of a row. Raises Invalid that names `field`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ID:
        return value
    raise Invalid(errors={field: f"must be a whole number from 1 to {MAX_ID}"})


def check_key(value: object, field: str = "idempotency_key") -> str:
    """`value` as the key of a write. Raises Invalid that names `field`."""
    if isinstance(value, str) and _KEY.fullmatch(value):
        return value
    raise Invalid(errors={field: "must be 1 to 255 visible ASCII characters"})


def is_storable(text: str) -> bool:
    """Whether a database can hold `text`: PostgreSQL refuses NUL, and UTF-8 has no lone surrogates."""
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)


_WORDING = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "date_type": "must be a date as YYYY-MM-DD",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} character(s)",
    "too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be in steps of {multiple_of}",
    "literal_error": "must be {expected}",
    "url_scheme": "must be an http or https URL",
    "url_parsing": "must be a URL",
}


def _reasons(error: ValidationError) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for detail in error.errors():
        field = ".".join(str(part) for part in detail["loc"]) or "body"
        wording = _WORDING.get(detail["type"])
        if wording is None:
            reason = detail["msg"].removeprefix("Value error, ")
        else:
            reason = wording.format(**detail.get("ctx", {}))
        reasons.setdefault(field, reason)
    return reasons
