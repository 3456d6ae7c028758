"""The database of a service: what Nameko injects, and what a failure of it means to a caller."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from nameko.extensions import DependencyProvider
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.orm import Session

from broker import config
from broker.errors import ServiceUnavailable

POOL_WAIT_SECONDS = 3
CONNECT_SECONDS = 3
STATEMENT_MILLISECONDS = 4000  # below the RPC deadline, so that the caller learns of it from us

Transaction = Callable[[], AbstractContextManager[Session]]


def engine(url: str, pool_size: int) -> Engine:
    """An engine whose every wait is bounded. `url` is SQLAlchemy's, `pool_size` in connections."""
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": f"-c statement_timeout={STATEMENT_MILLISECONDS} -c timezone=UTC",
        },
    )


def transactions(bind: Engine) -> Transaction:
    """`with transaction() as session:` commits at the end of the block, or rolls back where it raises.

    A database that cannot be reached or is too busy is ServiceUnavailable.
    """

    @contextmanager
    def transaction() -> Iterator[Session]:
        try:
            with Session(bind, expire_on_commit=False) as session, session.begin():
                yield session
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise ServiceUnavailable from error

    return transaction


def status(transaction: Transaction) -> dict[str, str]:
    """Whether the database answers: `{"status", "database"}` and `error` where it does not."""
    try:
        with transaction() as session:
            session.execute(text("SELECT 1"))
    except ServiceUnavailable:
        return {"status": "ERROR", "database": "Not connected", "error": "The database cannot be reached"}
    return {"status": "OK", "database": "Connected"}


class Database(DependencyProvider):
    """Injects `transaction` (see `transactions`) for the database that the setting `url_setting` names."""

    def __init__(self, url_setting: str) -> None:
        self.url_setting = url_setting
        self.engine: Engine | None = None
        self.transaction: Transaction | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy's URL. Raises ConfigurationError where the setting is empty."""
        url = str(getattr(config.settings(self.container.config), self.url_setting))
        if not url:
            raise config.ConfigurationError(
                f"setting {self.url_setting} is empty: a service in a process of its own needs a PostgreSQL "
                "URL (the embedded one comes with `make run`)"
            )
        return url

    def setup(self) -> None:
        self.engine = engine(self.url, config.settings(self.container.config).DATABASE_POOL_SIZE)
        self.transaction = transactions(self.engine)

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.dispose()

    def get_dependency(self, worker_ctx: Any) -> Transaction | None:  # noqa: ARG002
        return self.transaction
