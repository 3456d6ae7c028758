"""What auth says of accounts by now: it is asked, whoever else announces what."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import eventlet
from eventlet.event import Event
from eventlet.semaphore import Semaphore
from nameko.exceptions import MethodNotFound
from nameko.extensions import DependencyProvider

from broker import config
from broker.errors import NotFound, ServiceUnavailable
from broker.hints import MOST_ASKED
from broker.history import History
from broker.rpc import RpcClient
from broker.tally import Tally
from broker.tokens import Account, Confirmation

_log = logging.getLogger(__name__)

ASKING_SECONDS = 1.5
AWAY_SECONDS = 1.0  # after auth did not answer, in which nobody waits for it


class Accounts:
    """Asks auth, once for all who ask at the time. `ask` answers its `confirm()`, or raises PlatformError.

    `most_waiting`: of the workers that wait for auth; the others are for those who need it not.
    """

    def __init__(self, ask: Callable[[list[int]], object], most_waiting: int) -> None:
        self._ask = ask
        self._most_waiting = min(most_waiting, MOST_ASKED)
        self._waiting = 0
        self._away_until = 0.0
        self._lane = Semaphore(1)
        self._gathering: tuple[set[int], Event] | None = None
        self._silence = Tally(_log, "auth does not say %s", again_seconds=60)

    def now(self, user_id: int) -> Account | None:
        """The account as it is after this call began; None where there is none.

        Raises ServiceUnavailable where auth does not say.
        """
        if time.monotonic() < self._away_until or self._waiting >= self._most_waiting:
            raise ServiceUnavailable
        self._waiting += 1
        try:
            if self._gathering is None:
                self._gathering = set(), Event()
                eventlet.spawn(self._answer)
            users, answer = self._gathering
            users.add(user_id)
            found: dict[int, Account] | None = answer.wait()
        finally:
            self._waiting -= 1
        if found is None:
            raise ServiceUnavailable
        return found.get(user_id)

    def several(self, user_ids: Sequence[int]) -> dict[int, Account]:
        """Those of the accounts, MOST_ASKED at most, that there are. Raises ServiceUnavailable."""
        return {each.id: each for each in self._said(user_ids).users}

    def ask_for_history(self) -> History | None:
        """The one that auth's database is in; None where it is of a release before. Raises
        ServiceUnavailable.
        """
        return self._said(()).history

    def _said(self, user_ids: Sequence[int]) -> Confirmation:
        try:
            return Confirmation.of(self._ask(list(user_ids)))
        except Exception as error:  # whatever it is: an auth of the release before does not know this
            raise ServiceUnavailable from error

    def _answer(self) -> None:
        """Ask about those that have gathered until the question before is answered."""
        with self._lane:
            assert self._gathering is not None  # noqa: S101
            (users, answer), self._gathering = self._gathering, None
            found = None
            try:
                found = {each.id: each for each in Confirmation.of(self._ask(list(users))).users}
            except Exception as error:  # whatever it is, those who wait are told
                self._silence.note("who is who", type(error).__name__)
                self._away_until = time.monotonic() + AWAY_SECONDS
            finally:
                answer.send(found)


class RemoteAuth:
    """Auth over RPC: `call(method, args, kwargs)`."""

    def __init__(self, call: Callable[[str, list[Any], dict[str, Any]], Any]) -> None:
        self._call = call
        self._of_before = Tally(_log, "auth %s", again_seconds=3600)

    def confirm(self, users: list[int]) -> object:
        """What auth's `confirm()` answers of those users."""
        try:
            return self._call("auth.confirm", [users, []], {})
        except MethodNotFound:
            self._of_before.note("is of the release before", "its accounts are asked for one by one")
            return {"users": list(self._one_by_one(users)), "sessions": []}

    def _one_by_one(self, users: list[int]) -> Iterator[dict[str, Any]]:
        """The same of auth of the release before, which tells no versions: the lowest stands for them."""
        staff = {each["user_id"]: each["role"] for each in self._call("auth.verification", [], {})["staff"]}
        for user in users:
            try:
                profile = self._call("auth.public_profile", [user], {})
            except NotFound:
                continue
            role = staff.get(user, "user")
            yield {"id": user, "username": profile["username"], "role": role, "version": 1}


class AccountProvider(DependencyProvider):
    """Injects Accounts, which all workers share."""

    client = RpcClient()

    def setup(self) -> None:
        seconds = min(ASKING_SECONDS, config.settings(self.container.config).RPC_TIMEOUT / 2)
        auth = RemoteAuth(partial(self.client.call, seconds=seconds))
        self.accounts = Accounts(auth.confirm, max(self.container.max_workers // 2, 1))

    def get_dependency(self, worker_ctx: Any) -> Accounts:  # noqa: ARG002
        return self.accounts
