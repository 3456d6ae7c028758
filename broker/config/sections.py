"""Every setting there is, in the sections that `config.yaml` and the README have them in.

A field's name is the key in `config.yaml`; its environment variable has the same name, unless `variable` says
another; one with `variable` None is for the file alone. `path` is where in the file it is, where that is not
at the top. Times are in seconds. `make format` puts all of it where else it is said.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from broker.config.kinds import (
    MEMORY_BROKER,
    Broker,
    CacheUrl,
    DatabaseUrl,
    Filled,
    Host,
    Level,
    Must,
    Origins,
    Port,
    Rate,
    Seconds,
    Secret,
    Text,
)
from broker.config.logs import logging_section
from broker.config.transport import Transport

DAY = 86400
_MIB = 2**20


class Section(BaseModel):
    """Settings that belong together; the first line of the docstring is their heading."""

    # Whoever starts the platform puts more into the same mapping.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Connections(Section):
    """the four connections"""

    AMQP_URI: Broker = Field(
        MEMORY_BROKER,
        description="the broker, `amqp://…` or `amqps://…`; `memory://` is one inside the process, for "
        "`make run` alone",
    )
    AUTH_DATABASE_URL: DatabaseUrl = Field(
        "", description="PostgreSQL of auth, `postgresql://…`; empty: the embedded one (`make run`)"
    )
    MOVIES_DATABASE_URL: DatabaseUrl = Field(
        "", description="PostgreSQL of movies, `postgresql://…`; empty: the embedded one (`make run`)"
    )
    REDIS_URL: CacheUrl = Field("", description="the cache, `redis://…`; empty: one inside each process")
    DATA_FOLDER: Filled = Field("var", description="where `make run` keeps its data")
    HEALTH_FILE: Text = Field(
        "", description="a file that auth and movies touch every 5 seconds while they are well; empty: none"
    )


class Doors(Section):
    """where the two front doors listen"""

    GATEWAY_HOST: Host = Field(
        "127.0.0.1",
        description="the address that the gateway listens on, of IPv4 or IPv6, or a name of this machine;"
        " `0.0.0.0`: all of IPv4, `::`: all there are",
    )
    GATEWAY_PORT: Port = Field(8000, description="the gateway's port")
    NOTIFIER_HOST: Host = Field(
        "127.0.0.1", description="the address that the notifier listens on; as GATEWAY_HOST"
    )
    NOTIFIER_PORT: Port = Field(8001, description="the notifier's port")
    NOTIFIER_ORIGINS: Origins = Field(
        "",
        description="web origins that may open a socket, comma-separated; `*`: any; empty: its own",
    )
    GATEWAY_ORIGINS: Origins = Field(
        "", description="web origins whose pages may read what the gateway answers; `*`: any; empty: its own"
    )
    TRUSTED_PROXIES: int = Field(
        0,
        ge=0,
        le=10,
        description="proxies of yours in front of both, whose `X-Forwarded-For` tells a client's address",
    )


class SignIn(Section):
    """sign-in"""

    TOKEN_LIFETIME: int = Field(
        3600, ge=1, le=DAY * 365, description="seconds that an access token is good for"
    )
    SIGNING_KEY_SECRET: Secret = Field(
        "",
        description="encrypts the signing keys in the database; empty: they lie there in the clear; "
        "change it by `make change-secret`",
    )
    PASSWORD_COST: Annotated[int, Must("a power of two, from 1024 to 1048576")] = Field(
        32768,
        ge=1024,
        le=2**20,
        description="scrypt's n, a power of two, and the KiB of memory that a sign-in takes; old hashes "
        "keep theirs",
    )


class Waits(Section):
    """limits and waits"""

    RPC_TIMEOUT: Seconds = Field(
        5, description="seconds that all calls of a request to other services have together (504)"
    )
    CACHE_BYTES: int = Field(
        32 * _MIB,
        ge=_MIB,
        le=2**36,
        description="bytes of pages that a process keeps in memory where `REDIS_URL` is empty",
    )
    CACHE_LIFETIME: int = Field(60, ge=1, le=DAY, description="seconds that a cached page lives at most")
    REVOCATION_REFRESH: Seconds = Field(
        10, description="seconds between two full readings of the revoked sessions"
    )
    IDEMPOTENCY_LIFETIME: int = Field(
        DAY, ge=1, le=DAY * 365, description="seconds that a write's key is remembered at least"
    )
    DATABASE_POOL_SIZE: int = Field(
        10, ge=1, le=1000, description="connections that a process keeps to its database"
    )
    MIGRATION_PATIENCE: Seconds = Field(
        600, description="seconds that `make migrate` waits, in all, for those who hold its tables"
    )
    DRAIN_SECONDS: float = Field(
        0,
        ge=0,
        le=3600,
        description="seconds after SIGTERM in which both doors serve as before and `/health/ready` says 503",
    )
    max_workers: int = Field(
        20,
        ge=1,
        le=1000,
        description="requests that a process of auth or movies works on at once",
        json_schema_extra={"variable": "MAX_WORKERS"},
    )


class Gateway(Section):
    """what the gateway puts up with"""

    GATEWAY_CONNECTIONS: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="open connections that a gateway has at most; one more ends the longest idle, or is "
        "answered 503",
    )
    GATEWAY_ADDRESS_CONNECTIONS: int = Field(
        250,
        ge=1,
        le=100_000,
        description="open connections of a gateway from one address; one more ends its longest idle, or "
        "is answered 503",
    )
    GATEWAY_ADDRESS_REQUESTS: int = Field(
        100, ge=1, le=100_000, description="requests of one address at a time; one more is answered 429"
    )
    GATEWAY_ADDRESS_CONCURRENCY: int = Field(
        8,
        ge=1,
        le=100_000,
        description="requests of one address that a gateway has worked on at a time; its others wait for "
        "them, so that nobody else does",
    )
    GATEWAY_HEADERS_TIMEOUT: Seconds = Field(
        10, description="seconds for all headers of a request to arrive (408)"
    )
    GATEWAY_BODY_TIMEOUT: Seconds = Field(10, description="seconds for a whole body to arrive (408)")
    GATEWAY_SEND_TIMEOUT: Seconds = Field(30, description="seconds for a client to take a whole answer")
    GATEWAY_IDLE_TIMEOUT: Seconds = Field(
        75, description="seconds that a connection stays open between two requests"
    )
    GATEWAY_START_TIMEOUT: Seconds = Field(
        10,
        description="seconds that a start waits for what it cannot serve without, before it listens all "
        "the same",
    )
    GATEWAY_STOP_GRACE: Seconds = Field(
        2,
        description="seconds after the port is closed in which requests are still taken on open connections",
    )
    GATEWAY_LOG_RATE: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="requests of one address that have a line in the log each second; of more only the "
        "number is told",
    )


class Throttles(Section):
    """how often a client may ask (429), counted in Redis or, without one, in each gateway"""

    THROTTLE_READS: Rate = Field(
        "6000 per minute",
        description="requests of one address that change nothing; each gateway counts for itself",
    )
    THROTTLE_WRITES: Rate = Field(
        "300 per minute",
        description="writes of one user; a repetition with the same `Idempotency-Key` is none",
    )
    THROTTLE_SIGN_INS: Rate = Field(
        "60 per minute", description="attempts to sign in from one address, right or wrong"
    )
    THROTTLE_REGISTRATIONS: Rate = Field("30 per 10 minutes", description="registrations from one address")
    THROTTLE_GUESSES: Rate = Field(
        "10 per 15 minutes",
        description="wrong passwords for one account from one address, or by one user as `current_password`",
    )
    THROTTLE_ACCOUNT_GUESSES: Rate = Field(
        "100 per hour",
        description="wrong passwords for one account from everywhere, before addresses that are new to it"
        " have a third of theirs",
    )
    THROTTLE_HASHES: int = Field(
        4,
        ge=1,
        le=1000,
        description="sign-ins, registrations and new passwords of one address that a gateway has there at"
        " once; it works on one at a time",
    )


class Notifier(Section):
    """what the notifier puts up with, and remembers"""

    NOTIFIER_CONNECT_TIMEOUT: Seconds = Field(
        5, description="seconds for a request to arrive, then for a CONNECT"
    )
    NOTIFIER_USER_CONNECTIONS: int = Field(
        100, ge=1, le=1_000_000, description="sockets of one user at a time, at one notifier"
    )
    NOTIFIER_ADDRESS_CONNECTIONS: int = Field(
        1000, ge=1, le=1_000_000, description="sockets from one address at a time, at one notifier"
    )
    NOTIFIER_PROXIES: int = Field(0, ge=0, le=10, description="the old name of `TRUSTED_PROXIES`")
    NOTIFIER_CONNECTIONS: int = Field(
        0,
        ge=0,
        le=100_000,
        description="open connections that a notifier has at most; `0`: as many as there may be open files",
    )
    NOTIFIER_IDLE_TIMEOUT: Seconds = Field(
        75, description="seconds that a connection stays open between two requests"
    )
    NOTIFIER_ROOMS: int = Field(50, ge=1, le=10_000, description="rooms that a socket may be in")
    NOTIFIER_MESSAGE_RATE: float = Field(
        10,
        gt=0,
        le=10_000,
        description="messages a second that a user may send on all sockets, and each socket without a "
        "token; more wait their turn",
    )
    NOTIFIER_ADDRESS_RATE: float = Field(
        500,
        gt=0,
        le=1_000_000,
        description="messages a second of all sockets without a token that come from one address",
    )
    NOTIFIER_SHARE_BYTES: int = Field(
        64 * _MIB,
        ge=_MIB,
        le=2**36,
        description="bytes that may wait for all slow sockets of one user, or of one address without a token",
    )
    NOTIFIER_FRAME_BYTES: int = Field(
        16 * 1024,
        ge=1024,
        le=_MIB,
        description="the longest message of a client, in bytes; a longer one closes its socket",
    )
    NOTIFIER_QUEUE_PACKETS: int = Field(
        256,
        ge=16,
        le=100_000,
        description="packets that may wait for a slow client; with more it is closed",
    )
    NOTIFIER_QUEUE_BYTES: int = Field(
        _MIB,
        ge=64 * 1024,
        le=2**30,
        description="bytes that may wait for a slow client; with more it is closed",
    )
    NOTIFIER_DEFLATE: bool = Field(
        False, description="compress for clients that offer it; costs memory and time for each socket"
    )
    NOTIFIER_BALANCED: bool = Field(
        False,
        description="several notifiers behind a balancer that does not keep a client at one: long-polling"
        " is refused",
    )
    NOTIFIER_HISTORY_EVENTS: int = Field(
        1000, ge=1, le=100_000, description="events of a room that are kept to be replayed"
    )
    NOTIFIER_HISTORY_HOURS: float = Field(
        24, gt=0, le=168, description="hours that events of a room are kept to be replayed"
    )


class Underneath(Section):
    """what Nameko and the broker's client read"""

    HEARTBEAT: int = Field(
        10,
        ge=1,
        le=3600,
        description="seconds between heartbeats to the broker",
        json_schema_extra={"variable": "AMQP_HEARTBEAT"},
    )
    parent_calls_tracked: int = Field(
        10,
        ge=1,
        le=1000,
        description="calls before it that a call carries the ids of",
        json_schema_extra={"variable": "PARENT_CALLS_TRACKED"},
    )
    DECLARE_EVENT_EXCHANGES: bool = Field(
        False,
        description="whether Nameko's own event handlers declare the exchanges; an integrator's account "
        "may not",
        json_schema_extra={"variable": None},
    )
    TRANSPORT_OPTIONS: Annotated[
        dict[str, Any], BeforeValidator(Transport.checked), Must("a mapping of kombu's transport options")
    ] = Field(
        default_factory=dict,
        description="of the broker's client: `connect_timeout`, `read_timeout` and `write_timeout` in "
        "seconds, …",
        json_schema_extra={"variable": None},
    )


class Logs(Section):
    """the log"""

    LOG_LEVEL: Level = Field(
        "INFO", description="how much is logged", json_schema_extra={"path": ["LOGGING", "root", "level"]}
    )
    LOGGING: Annotated[
        dict[str, Any], BeforeValidator(logging_section), Must("a mapping as logging.config has it")
    ] = Field(
        default_factory=dict,
        description="all else of it, as Python's `logging.config.dictConfig` has it",
        json_schema_extra={"variable": None},
    )


SECTIONS: tuple[type[Section], ...] = (
    Connections,
    Doors,
    SignIn,
    Waits,
    Gateway,
    Throttles,
    Notifier,
    Underneath,
    Logs,
)
