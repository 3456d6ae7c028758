"""Time: UTC, and passed in, so that rules can be tried without a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from nameko.extensions import DependencyProvider


def iso(moment: datetime) -> str:
    """`moment` (in UTC) as ISO 8601, as REST and the events give it."""
    return moment.isoformat().replace("+00:00", "Z")


def utc_now() -> datetime:
    return datetime.now(UTC)


class Clock(DependencyProvider):
    """Injects the time: a function without arguments that answers a datetime in UTC."""

    def get_dependency(self, worker_ctx: Any) -> Callable[[], datetime]:  # noqa: ARG002
        return utc_now
