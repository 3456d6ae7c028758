"""All settings in one typed view, and what is wrong with a mapping of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from broker.config.faults import ConfigurationError, shown
from broker.config.kinds import Must, Veiled, listed
from broker.config.sections import (
    SECTIONS,
    Connections,
    Doors,
    Gateway,
    Logs,
    Notifier,
    SignIn,
    Throttles,
    Underneath,
    Waits,
)


class Settings(Connections, Doors, SignIn, Waits, Gateway, Throttles, Notifier, Underneath, Logs):
    """What `config.yaml` and the environment say. Names are as there; times are in seconds."""

    @model_validator(mode="before")
    @classmethod
    def is_found_where_it_lies(cls, config: Any) -> Any:
        """A setting that is not at the top of the mapping."""
        found = {name: at(config, path(name)) for name in cls.model_fields if len(path(name)) > 1}
        return {**{name: value for name, value in found.items() if value is not None}, **config}

    @field_validator("*", mode="before")
    @classmethod
    def is_no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's `yes` would be 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError(f"must be {must_be(info.field_name or '')}")
        return value

    @field_validator("PASSWORD_COST")
    @classmethod
    def is_a_power_of_two(cls, cost: int) -> int:
        """As scrypt wants it."""
        if cost.bit_count() != 1:
            raise ValueError("must be a power of two")
        return cost

    @property
    def in_memory(self) -> bool:
        """Whether the broker is one inside the process."""
        return self.AMQP_URI.startswith("memory:")

    @property
    def origins(self) -> list[str]:
        """The web origins that may open a socket, beside the notifier's own."""
        return listed(self.NOTIFIER_ORIGINS)

    @property
    def gateway_origins(self) -> list[str]:
        """The web origins whose pages may read what the gateway answers."""
        return listed(self.GATEWAY_ORIGINS)

    @property
    def proxies(self) -> int:
        """How many proxies of ours are in front; NOTIFIER_PROXIES is the setting's old name."""
        return max(self.TRUSTED_PROXIES, self.NOTIFIER_PROXIES)


NAMES: tuple[str, ...] = tuple(name for section in SECTIONS for name in section.model_fields)


def variable(name: str) -> str | None:
    """The environment variable of a setting; None where it has none."""
    extra = Settings.model_fields[name].json_schema_extra
    found = extra.get("variable", name) if isinstance(extra, dict) else name
    return None if found is None else str(found)


VARIABLES: dict[str, str] = {found: name for name in NAMES if (found := variable(name))}


def path(name: str) -> tuple[str, ...]:
    """Where in `config.yaml` a setting is: its keys, from the outermost."""
    extra = Settings.model_fields[name].json_schema_extra
    found: Any = extra.get("path") if isinstance(extra, dict) else None
    return tuple(found or (name,))


def at(config: Any, keys: tuple[str, ...]) -> Any:
    """What is there in a mapping of mappings; None for nothing."""
    for key in keys:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def is_veiled(name: str) -> bool:
    """Whether a setting's value may hold a secret."""
    return any(isinstance(each, Veiled) for each in Settings.model_fields[name].metadata)


def must_be(name: str) -> str:
    """What a setting's value has to be, bounds included."""
    field = Settings.model_fields[name]
    words = [each.be for each in field.metadata if isinstance(each, Must)]
    if words:
        return words[-1]
    if field.annotation is bool:
        return "true or false"
    least, most = _bound(field, "ge"), _bound(field, "le")
    if field.annotation is int:
        return f"a whole number from {least} to {most}"
    if least is not None:
        return f"a number from {least} to {most}"
    return f"a number above {_bound(field, 'gt')}, and at most {most}"


def _bound(field: FieldInfo, name: str) -> Any:
    return next((getattr(each, name) for each in field.metadata if hasattr(each, name)), None)


def default(name: str) -> str:
    """A setting's default, as `config.yaml` has it."""
    given = Settings.model_fields[name].get_default(call_default_factory=True)
    return str(given).lower() if isinstance(given, bool) else str(given)


def settings(config: Mapping[str, Any]) -> Settings:
    """The typed view of a configuration. Raises ConfigurationError that names each setting at fault."""
    try:
        return Settings.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigurationError(*(fault.line() for fault in faults(error))) from None


@dataclass(frozen=True)
class Fault:
    """What is wrong with a setting; `given` as a line may show it, empty where it may not."""

    name: str
    said: str
    given: str

    def line(self, where: str = "", called: str = "") -> str:
        """The one line on it; `where` the value stands and what it is `called` there, if that is known."""
        says = f"{where} says {self.given}" if where else f"it is {self.given}"
        if not self.given:
            says = f"as {where} says" if where else ""
        return f"setting {called or self.name}: {self.said}" + (f" ({says})" if says else "")


def faults(error: ValidationError) -> Iterator[Fault]:
    """One for each setting at fault, in the settings' order."""
    for each in sorted(error.errors(), key=lambda each: NAMES.index(str(each["loc"][0]))):
        name = str(each["loc"][0])
        # What pydantic says is of its types; what we say is in a ValueError.
        ours = each["type"] == "value_error"
        said = str(each["ctx"]["error"]) if ours else f"must be {must_be(name)}"
        hidden = is_veiled(name) or isinstance(each["input"], Mapping)
        yield Fault(name, said, "" if hidden else shown(each["input"]))
