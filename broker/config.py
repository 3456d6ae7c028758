"""The settings: `config.yaml`, read by Nameko's own loader, checked once, typed."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import limits
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

with warnings.catch_warnings():
    # Nameko 2.14.1 asks pkg_resources for its own version; that is why setuptools is held below 81.
    warnings.simplefilter("ignore", UserWarning)
    from nameko.cli.main import setup_yaml_parser

MEMORY_BROKER = "memory://"
_BROKERS = ("amqp", "amqps", "pyamqp", "memory")
# Where a configuration holds this, all parts of the platform are in this process: `make run` says so.
ONE_PROCESS = "ONE_PROCESS"
# What is right for it alone: how such a setting is, what a part on its own needs instead, and what comes with
# `make run`.
_POSTGRESQL = ("empty", "a PostgreSQL URL", "the embedded one comes")
_FOR_ONE_PROCESS = {
    "AMQP_URI": ("memory://", "a RabbitMQ URL", "the embedded broker comes"),
    "AUTH_DATABASE_URL": _POSTGRESQL,
    "MOVIES_DATABASE_URL": _POSTGRESQL,
}

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400 * 365)]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


def _rate(text: str) -> str:
    try:
        limits.parse(text)
    except ValueError as error:
        raise ValueError("must be a rate, such as 10 per 15 minutes") from error
    return text


Rate = Annotated[Text, AfterValidator(_rate)]


class ConfigurationError(Exception):
    """`config.yaml` or an environment variable says something that cannot be; one line for people."""


class Settings(BaseModel):
    """What `config.yaml` says. Names are as there; times are in seconds."""

    # Nameko reads more from the same file (LOGGING, HEARTBEAT), and operators may add to it.
    model_config = ConfigDict(extra="ignore", frozen=True)

    AMQP_URI: Annotated[Text, Field(min_length=1)] = MEMORY_BROKER
    AUTH_DATABASE_URL: Text = ""
    MOVIES_DATABASE_URL: Text = ""
    REDIS_URL: Text = ""
    DATA_FOLDER: Annotated[Text, Field(min_length=1)] = "var"
    GATEWAY_HOST: Text = "127.0.0.1"
    GATEWAY_PORT: Port = 8000
    GATEWAY_CONNECTIONS: Annotated[int, Field(ge=1, le=100_000)] = 1000
    GATEWAY_ADDRESS_CONNECTIONS: Annotated[int, Field(ge=1, le=100_000)] = 250
    GATEWAY_ADDRESS_REQUESTS: Annotated[int, Field(ge=1, le=100_000)] = 100
    GATEWAY_ADDRESS_CONCURRENCY: Annotated[int, Field(ge=1, le=100_000)] = 8
    GATEWAY_ORIGINS: Text = ""
    GATEWAY_HEADERS_TIMEOUT: Seconds = 10
    GATEWAY_BODY_TIMEOUT: Seconds = 10
    GATEWAY_SEND_TIMEOUT: Seconds = 30
    GATEWAY_IDLE_TIMEOUT: Seconds = 75
    GATEWAY_START_TIMEOUT: Seconds = 10
    GATEWAY_STOP_GRACE: Seconds = 2
    GATEWAY_LOG_RATE: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    TRUSTED_PROXIES: Annotated[int, Field(ge=0, le=10)] = 0
    THROTTLE_READS: Rate = "6000 per minute"
    THROTTLE_WRITES: Rate = "300 per minute"
    THROTTLE_SIGN_INS: Rate = "60 per minute"
    THROTTLE_REGISTRATIONS: Rate = "30 per 10 minutes"
    THROTTLE_GUESSES: Rate = "10 per 15 minutes"
    THROTTLE_ACCOUNT_GUESSES: Rate = "100 per hour"
    THROTTLE_HASHES: Annotated[int, Field(ge=1, le=1000)] = 4
    NOTIFIER_HOST: Text = "127.0.0.1"
    NOTIFIER_PORT: Port = 8001
    NOTIFIER_ORIGINS: Text = ""
    NOTIFIER_CONNECT_TIMEOUT: Seconds = 5
    NOTIFIER_IDLE_TIMEOUT: Seconds = 75
    NOTIFIER_CONNECTIONS: Annotated[int, Field(ge=0, le=100_000)] = 0
    NOTIFIER_USER_CONNECTIONS: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    NOTIFIER_ADDRESS_CONNECTIONS: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    NOTIFIER_PROXIES: Annotated[int, Field(ge=0, le=10)] = 0
    NOTIFIER_ROOMS: Annotated[int, Field(ge=1, le=10_000)] = 50
    NOTIFIER_MESSAGE_RATE: Annotated[float, Field(gt=0, le=10_000)] = 10
    NOTIFIER_ADDRESS_RATE: Annotated[float, Field(gt=0, le=1_000_000)] = 500
    NOTIFIER_SHARE_BYTES: Annotated[int, Field(ge=2**20, le=2**36)] = 64 * 2**20
    NOTIFIER_FRAME_BYTES: Annotated[int, Field(ge=1024, le=2**20)] = 16 * 1024
    NOTIFIER_QUEUE_PACKETS: Annotated[int, Field(ge=16, le=100_000)] = 256
    NOTIFIER_QUEUE_BYTES: Annotated[int, Field(ge=64 * 1024, le=2**30)] = 2**20
    NOTIFIER_DEFLATE: bool = False
    NOTIFIER_BALANCED: bool = False
    NOTIFIER_HISTORY_EVENTS: Annotated[int, Field(ge=1, le=100_000)] = 1000
    NOTIFIER_HISTORY_HOURS: Annotated[float, Field(gt=0, le=168)] = 24
    TOKEN_LIFETIME: Annotated[int, Field(ge=1, le=86400 * 365)] = 3600
    SIGNING_KEY_SECRET: Text = ""
    PASSWORD_COST: Annotated[int, Field(ge=1024, le=2**20)] = 32768
    RPC_TIMEOUT: Seconds = 5
    CACHE_BYTES: Annotated[int, Field(ge=2**20, le=2**36)] = 32 * 2**20
    CACHE_LIFETIME: Annotated[int, Field(ge=1, le=86400)] = 60
    REVOCATION_REFRESH: Seconds = 10
    IDEMPOTENCY_LIFETIME: Annotated[int, Field(ge=1, le=86400 * 365)] = 86400
    DATABASE_POOL_SIZE: Annotated[int, Field(ge=1, le=1000)] = 10
    MIGRATION_PATIENCE: Seconds = 600
    DRAIN_SECONDS: Annotated[float, Field(ge=0, le=3600)] = 0
    TRANSPORT_OPTIONS: dict[str, Any] = Field(default_factory=dict)

    @field_validator("AMQP_URI")
    @classmethod
    def is_a_broker_of_ours(cls, uri: str) -> str:
        """What kombu speaks besides confirms nothing, and an event that is not confirmed may be lost."""
        if any(each.partition("://")[0] not in _BROKERS for each in uri.split(";")):
            raise ValueError("must be an amqp:// or amqps:// URL, or memory://")
        return uri

    @field_validator("AUTH_DATABASE_URL", "MOVIES_DATABASE_URL")
    @classmethod
    def name_the_driver(cls, url: str) -> str:
        """`postgres://` and `postgresql://` as people write them; SQLAlchemy 2.1 would read psycopg 3."""
        for scheme in ("postgres://", "postgresql://"):
            if url.startswith(scheme):
                return "postgresql+psycopg2://" + url.removeprefix(scheme)
        if url and not url.startswith("postgresql+psycopg2://"):
            raise ValueError("must be a postgresql:// URL")
        return url

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
        return _listed(self.NOTIFIER_ORIGINS)

    @property
    def gateway_origins(self) -> list[str]:
        """The web origins whose pages may read what the gateway answers."""
        return _listed(self.GATEWAY_ORIGINS)

    @property
    def proxies(self) -> int:
        """How many proxies of ours are in front; NOTIFIER_PROXIES is the setting's old name."""
        return max(self.TRUSTED_PROXIES, self.NOTIFIER_PROXIES)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def read(path: Path) -> dict[str, Any]:
    """The settings file as Nameko reads it, environment variables put in.

    Raises ConfigurationError where the file is not there or is not a YAML mapping.
    """
    setup_yaml_parser()
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid"
        raise ConfigurationError(f"{path}{where}: not valid YAML ({problem})") from error
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path}: must be a mapping of settings")
    return config


def settings(config: Mapping[str, Any]) -> Settings:
    """The typed view of a configuration. Raises ConfigurationError that names the setting at fault."""
    try:
        return Settings.model_validate(dict(config))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        shown = "" if "URL" in name or "URI" in name or "SECRET" in name else f" (it is {first['input']!r})"
        raise ConfigurationError(f"setting {name}: {first['msg']}{shown}") from error


def of_a_part(config: Mapping[str, Any], *needed: str) -> Settings:
    """The settings of a part of the platform that needs those.

    Raises ConfigurationError where one is what only `make run` can do with, and this is another deployment.
    """
    typed = settings(config)
    for name in () if config.get(ONE_PROCESS) else needed:
        if not getattr(typed, name) or (name == "AMQP_URI" and typed.in_memory):
            like, needs, comes = _FOR_ONE_PROCESS[name]
            raise ConfigurationError(
                f"setting {name} is {like}: a part in a process of its own needs {needs} "
                f"({comes} with `make run`)"
            )
    return typed


def check_service(container: Any, *needed: str) -> None:
    """`of_a_part` for what binds to a service's container, before anything of the service starts.

    Nameko has a traceback for whatever is raised then; so the process ends here, with one line.
    """
    try:
        of_a_part(container.config, *needed)
    except ConfigurationError as error:
        raise SystemExit(f"{container.service_name}: {error}") from None


def path_from_environment() -> Path:
    """Which settings file a process without a `--config` of its own reads: `$CONFIG` or `config.yaml`."""
    return Path(os.environ.get("CONFIG", "config.yaml"))
