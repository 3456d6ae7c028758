"""Validation of what comes from outside: field types that services share, errors that name the field."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Annotated, Any, TypeVar

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
    field_validator,
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
MOST_FIELDS = 64
MOST_REASONS = 20
MOST_NAME = 64  # characters of a field's name that are repeated
MOST_SUGGESTIONS = 5  # unknown names for which one that is known is looked for
_KEY = re.compile(r"[!-~]{1,255}")
NO_KEY = "must be 1 to 255 visible ASCII characters"
NOT_STORABLE = "must not hold NUL or broken characters"


class Body(BaseModel):
    """A JSON object from outside: exact types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Parameters(BaseModel):
    """Query parameters: everything arrives as a string and is read as what it should be."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: object) -> object:
        """What comes over RPC is typed, and Python takes true for 1."""
        if isinstance(value, bool):
            raise ValueError("must not be true or false")
        return value


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


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError(NOT_STORABLE)
    return text


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError(NO_KEY)
    return text


# See broker.text: one line, several lines, and what is looked for.
Line = Annotated[str, AfterValidator(text.line)]
Paragraphs = Annotated[str, AfterValidator(text.paragraphs)]
Sought = Annotated[str, AfterValidator(text.sought)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Day = Annotated[date, BeforeValidator(_date)]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str, Field(max_length=1000)]
Fields = dict[str, Any]  # an object, whose fields a model knows
# A name or an id as it was given out once: no rules but the database's.
Plain = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_storable)]
Key = Annotated[str, AfterValidator(_key)]


def parse(model: type[Model], data: object) -> Model:
    """`data` as a `model`. Raises Invalid with what is wrong with each field, MOST_REASONS of them at most.

    What that costs does not grow with what is sent: more than MOST_FIELDS fields are not looked at.
    """
    if not isinstance(data, Mapping):
        raise Invalid("The body must be a JSON object", {"body": "must be a JSON object"})
    if len(data) > MOST_FIELDS:
        where = "query" if issubclass(model, Parameters) else "body"
        raise Invalid(f"There are more than {MOST_FIELDS} fields", {where: f"may have {MOST_FIELDS} fields"})
    broken = [name for name, value in data.items() if isinstance(value, str) and not is_storable(value)]
    if broken:
        raise _invalid((_shown(name), NOT_STORABLE) for name in broken)
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise _invalid(_reasons(error, model)) from error


def check_id(value: object, field: str = "id") -> int:
    """`value` as the id of a row. Raises Invalid that names `field`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_ID:
        return value
    raise Invalid(errors={field: f"must be a whole number from 1 to {MAX_ID}"})


def check_key(value: object, field: str = "idempotency_key") -> str:
    """`value` as the key of a write. Raises Invalid that names `field`."""
    if isinstance(value, str) and _KEY.fullmatch(value):
        return value
    raise Invalid(errors={field: NO_KEY})


def is_storable(text: str) -> bool:
    """Whether a database can hold `text`: PostgreSQL refuses NUL, and UTF-8 has no lone surrogates."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_WORDING = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_unicode": NOT_STORABLE,
    "dict_type": "must be an object",
    "model_type": "must be an object",
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


def _reasons(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    known, suggestions = list(model.model_fields), 0
    for detail in error.errors(include_url=False, include_input=False):
        field = _shown(".".join(str(part) for part in detail["loc"])) or "body"
        wording = _WORDING.get(detail["type"])
        if wording is None:
            reason = detail["msg"].removeprefix("Value error, ")
        else:
            reason = wording.format(**detail.get("ctx", {}))
        is_unknown = detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1
        if is_unknown and suggestions < MOST_SUGGESTIONS:
            suggestions += 1
            if alike := difflib.get_close_matches(field.lower(), known, 1):
                reason += f"; did you mean {alike[0]}?"
        yield field, reason


def _invalid(reasons: Iterable[tuple[str, str]]) -> Invalid:
    named: dict[str, str] = {}
    for field, reason in reasons:
        named.setdefault(field, reason)
    more = len(named) - MOST_REASONS
    if more <= 0:
        return Invalid(errors=named)
    return Invalid(f"{Invalid.default}, and {more} more", dict(islice(named.items(), MOST_REASONS)))


def _shown(name: object) -> str:
    """A name from outside as an error may repeat it."""
    text = str(name).encode("utf-8", "replace").decode()
    return text if len(text) <= MOST_NAME else f"{text[:MOST_NAME]}…"
