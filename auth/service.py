"""Auth's entry points."""

from contextlib import suppress
from typing import Any

from auth import commands, domain, handlers, signing, verification
from auth.providers import Passwords, Readers, Tokens
from broker import dead_letter_methods, outbox
from broker.arguments import checked
from broker.database import Database
from broker.errors import PlatformError, ServiceUnavailable
from broker.health_file import HealthFile
from broker.history_watch import LOOK_SECONDS, HistoryWatch
from broker.idempotency import Writes
from broker.relay import OutboxRelay
from broker.rpc import rpc
from broker.schema import Schema
from broker.speakers import SpeakerProvider
from broker.timer import timer
from broker.validation import Fields, Id, Key, Plain, parse

KEYING_SECONDS = 10  # that an account of the release before has no keys


class AuthService(dead_letter_methods.DeadLetterMethods):
    """Accounts, sessions and the keys that sign access tokens, over RPC as `auth`.

    A write with an `idempotency_key` is done once for the same key and user (for the same key alone where
    there is no user yet), and its answer given again; KeyReused where the arguments are others. What a user
    asks for is Unauthenticated where the id is another account's by now.
    """

    name = "auth"

    transaction = Database("AUTH_DATABASE_URL", Schema("auth"))
    relay = OutboxRelay("AUTH_DATABASE_URL", source="auth", schema=Schema("auth"))
    passwords = Passwords()
    tokens = Tokens()
    readers = Readers()
    writes = Writes()
    health_file = HealthFile()
    speaker = SpeakerProvider()
    history = HistoryWatch("auth")

    @rpc(heavy=True, sensitive_arguments=("fields", "idempotency_key"))
    @checked
    def register(self, fields: Fields, idempotency_key: Key | None = None) -> dict[str, Any]:
        """Open an account from `{username, email, password, confirm_password}`; answers its profile.

        A repetition is answered with `{id}` alone once the account is gone.
        Raises Invalid: a field is wrong, the passwords differ, the username or the e-mail is taken.
        """
        self.history.check()
        command = parse(commands.Register, fields)
        write = self.writes.asked(idempotency_key, None, fields)
        return handlers.register(self.transaction, self.passwords, command, write)

    @rpc(heavy=True, sensitive_arguments=("fields", "idempotency_key"))
    @checked
    def login(self, fields: Fields, idempotency_key: Key | None = None) -> dict[str, Any]:
        """Start a session from `{email, password}`.

        Answers `{access_token, token_type, expires_in (seconds), user (the username)}`. A repetition gets the
        same token for as long as its session lives, and another session after that.
        Raises Invalid, and Unauthenticated for a wrong pair.
        """
        self.history.check()
        command = parse(commands.Login, fields)
        write = self.writes.asked(idempotency_key, None, fields)
        return handlers.login(self.transaction, self.passwords, self.tokens, command, write)

    @rpc
    @checked
    def logout(self, user_id: Id, session: Plain, idempotency_key: Key | None = None) -> None:
        """End one session: its tokens are refused everywhere from then on. Raises NotFound (user)."""
        handlers.check_speaker(self.transaction, user_id, self.speaker)
        write = self.writes.asked(idempotency_key, user_id, session)
        handlers.logout(self.transaction, user_id, session, write)

    @rpc
    @checked
    def profile(self, user_id: Id) -> dict[str, Any]:
        """`{id, username, email, role, joined}`, for the user alone. Raises NotFound."""
        return handlers.profile(self.transaction, user_id, self.speaker)

    @rpc
    @checked
    def public_profile(self, user_id: Id) -> dict[str, Any]:
        """`{id, username, joined}`, for everyone. Raises NotFound."""
        return handlers.public_profile(self.transaction, user_id)

    @rpc(heavy=True, sensitive_arguments=("fields", "idempotency_key"))
    @checked
    def update_profile(
        self, user_id: Id, session: Plain, fields: Fields, idempotency_key: Key | None = None
    ) -> dict[str, Any]:
        """Change any of `{username, email, password}`, with `current_password`; answers the profile.

        A new password ends every session but `session`. Raises Invalid and NotFound.
        """
        handlers.check_speaker(self.transaction, user_id, self.speaker)
        self.history.check()
        command = parse(commands.UpdateProfile, fields)
        write = self.writes.asked(idempotency_key, user_id, session, fields)
        return handlers.update_profile(self.transaction, self.passwords, user_id, session, command, write)

    @rpc(heavy=True, sensitive_arguments=("fields", "idempotency_key"))
    @checked
    def delete_account(self, user_id: Id, fields: Fields, idempotency_key: Key | None = None) -> None:
        """Close an account and end its sessions; its reviews stay, unsigned. `fields`: `{current_password}`.

        Raises Invalid and NotFound.
        """
        handlers.check_speaker(self.transaction, user_id, self.speaker)
        self.history.check()
        command = parse(commands.DeleteAccount, fields)
        write = self.writes.asked(idempotency_key, user_id)
        handlers.delete_account(self.transaction, self.passwords, user_id, command, write)

    @rpc
    @checked
    def set_role(
        self, user: commands.Account, role: domain.Role, idempotency_key: Key | None = None
    ) -> dict[str, Any]:
        """Make a user `user`, `moderator` or `admin`, at once and everywhere; answers the profile.

        `user` is a username, or an id where several accounts have the name (see `collisions`). For operators.
        Raises Invalid (role; user, where it may be several) and NotFound (user).
        """
        write = self.writes.asked(idempotency_key, None, user, role)
        return handlers.set_role(self.transaction, user, role, write)

    @rpc
    def collisions(self) -> list[dict[str, Any]]:
        """The accounts of before usernames and addresses had one form that share it with another one: 1,000.

        `{"user_id", "username", "field", "other_id", "other_username"}` each; `field` is `username_key` (the
        same name), `username_skeleton` (it looks the same) or `email_key` (the same address). The other one
        has the key; this one signs in with the very address that it registered, until it changes that. For
        operators.
        """
        return handlers.collisions(self.transaction)

    @rpc
    @checked
    def rotate_keys(self, idempotency_key: Key | None = None) -> str:
        """Sign with a fresh key from now on; answers its id. For operators.

        Tokens that the old key signed stay good until they expire.
        """
        write = self.writes.asked(idempotency_key, None)
        return signing.rotate(self.transaction, self.tokens, write)

    @rpc
    def public_keys(self) -> list[dict[str, Any]]:
        """The public keys that verify access tokens, as JSON Web Keys."""
        return verification.public_keys(self.transaction, self.tokens, self.transaction.now())

    @rpc
    def verification(self) -> dict[str, Any]:
        """All that it takes to check access tokens.

        `{"keys": [JSON Web Key], "revoked": [{"session", "expires_at" (seconds since 1970)}],
        "staff": [{"user_id", "role"}], "renamed": [{"user_id", "username", "version"}], "now" (seconds since
        1970), "history": {"number", "id", "began_at" (seconds since 1970), "before": [id]}}`: `renamed` are
        those whose tokens may bear an older name, `now` is the clock that tokens are judged by, and `history`
        the one that they name.
        """
        return verification.verification(self.transaction, self.tokens, self.transaction.now())

    @rpc
    def confirm(self, users: list[int], sessions: list[str]) -> dict[str, Any]:
        """What is true by now of users and sessions of which something was announced, 100 of either at most.

        `{"users": [{"id", "uid", "username", "role", "version"}], "sessions": [{"session", "user_id",
        "expires_at" (seconds since 1970)}], "history": as in verification}`: those users that there are, and
        those sessions that are revoked. Raises Invalid.
        """
        asked = parse(commands.Confirm, {"users": users, "sessions": sessions})
        return verification.confirm(self.transaction, asked, self.transaction.now())

    @rpc
    def status(self) -> dict[str, str]:
        """`{"status": "OK", "database": "Connected"}`, or `ERROR`, `Not connected` and `error`; and `keys`
        where SIGNING_KEY_SECRET does not open all of them.
        """
        return self.history.status(signing.status(self.transaction, self.tokens))

    @rpc
    def outbox(self) -> dict[str, Any]:
        """What waits to be announced: `{"waiting": int, "oldest_seconds": float | None}`."""
        with self.transaction() as session:
            return outbox.backlog(session, self.transaction.now())

    @timer(interval=600, eager=True)
    def settle_signing_keys(self) -> None:
        with suppress(ServiceUnavailable):
            signing.settle(self.transaction, self.tokens, self.transaction.now())

    @timer(interval=LOOK_SECONDS, eager=True)
    def look_at_history(self) -> None:
        self.history.look(self.transaction)

    @timer(interval=3600, expected_exceptions=PlatformError)
    def forget_expired_sessions(self) -> None:
        handlers.forget_expired_sessions(self.transaction, self.transaction.now())

    @timer(interval=KEYING_SECONDS, expected_exceptions=PlatformError)
    def key_accounts(self) -> None:
        handlers.key_accounts(self.transaction, self.transaction.now())

    @timer(interval=3600, expected_exceptions=PlatformError)
    def forget_old_keys(self) -> None:
        self.writes.forget_old(self.transaction)
