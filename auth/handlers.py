"""Auth's use cases, one function each; each owns its transactions."""

import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from auth import commands, domain, keying, names, signing, storage
from auth.domain import PasswordHasher, TokenSettings
from broker import history_table, outbox, text
from broker.clock import iso
from broker.database import Transaction
from broker.errors import Invalid, KeyReused, NotFound, Unauthenticated
from broker.events import SessionRevoked, UserDeleted, UserReference, UserRegistered, UserUpdated
from broker.idempotency import Earlier, Write
from broker.speakers import Speaker
from broker.validation import check_id, is_storable

_log = logging.getLogger(__name__)

MOST_COLLISIONS = 1000
WRONG_LOGIN = "Invalid email or password"
# By what is taken: the columns of `users` that have a unique index each, `users_<column>`.
TAKEN = {
    **dict.fromkeys(
        ("username", "username_key", "username_skeleton"), ("username", "Username already exists")
    ),
    **dict.fromkeys(("email", "email_key"), ("email", "Email already exists")),
}


def register(
    transaction: Transaction, passwords: PasswordHasher, command: commands.Register, write: Write
) -> dict[str, Any]:
    if command.password != text.password(command.confirm_password):
        raise Invalid("Passwords do not match", {"confirm_password": "is not the same as the password"})
    keys = names.keys(command.username, command.email)
    with transaction() as session:
        # Spares the hashing; the unique indexes below have the last word.
        if field := storage.taken(session, keys):
            # By a first one of this very request, perhaps.
            if earlier := write.earlier(session):
                return _profile_again(session, earlier)
            raise _taken(field)
    password_hash = passwords.hash(command.password)
    try:
        with transaction() as session:
            if earlier := write.claim(session):
                return _profile_again(session, earlier)
            user = storage.add_user(session, command.username, command.email, password_hash, write.now)
            event = UserRegistered(version=user.version, user=_reference(user))
            outbox.record(session, event, write.now)
            return _settled(session, user, write)
    except IntegrityError as error:
        raise _taken(_column(error)) from error


def login(
    transaction: Transaction,
    passwords: PasswordHasher,
    tokens: TokenSettings,
    command: commands.Login,
    write: Write,
) -> dict[str, Any]:
    with transaction() as session:
        user = storage.user_by_email(session, command.email.strip())
    if not passwords.matches(user.password_hash if user else None, command.password) or user is None:
        raise Unauthenticated(WRONG_LOGIN)
    with transaction() as session:
        earlier = write.claim(session)
        begun = earlier.answer if earlier else _begin_session(session, user, tokens, write)
        if begun["user_id"] != user.id:
            # The address has been given up meanwhile, and another account has taken it.
            raise KeyReused
        if earlier and not storage.is_live(session, begun["session"], write.now):
            begun = _begin_session_again(session, user, tokens, write)
        key = signing.key(session, tokens, write.now)
        now_in = history_table.current(session)
    # Not kept anywhere: a repetition gets it signed again, and EdDSA signs the same in the same way.
    issued_at = datetime.fromtimestamp(begun["issued_at"], UTC)
    subject = domain.Subject(user.id, user.uid.hex, user.username, now_in.id)
    token = domain.access_token(key, tokens, subject, begun["session"], issued_at)
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": tokens.lifetime,
        "user": user.username,
    }


def logout(transaction: Transaction, user_id: int, session_id: str, write: Write) -> None:
    with transaction() as session:
        if write.claim(session):
            return
        user = _known(storage.user_by_id(session, user_id, lock=True))
        revoked = storage.revoke_session(session, session_id, write.now)
        if revoked is not None:
            _announce_revoked(session, user, [revoked], write.now)


def profile(transaction: Transaction, user_id: int, speaker: Speaker | None) -> dict[str, Any]:
    with transaction.reading() as reader:
        user = _known(storage.user_by_id(reader, user_id))
    _check_same(user, speaker)
    return _profile(user)


def check_speaker(transaction: Transaction, user_id: int, speaker: Speaker | None) -> None:
    """Raises Unauthenticated where the account of this id is not the one that asks for something."""
    if speaker is not None:
        with transaction.reading() as reader:
            user = storage.user_by_id(reader, user_id)
        if user is not None:
            _check_same(user, speaker)


def public_profile(transaction: Transaction, user_id: int) -> dict[str, Any]:
    with transaction.reading() as reader:
        user = _known(storage.user_by_id(reader, user_id))
    return {"id": user.id, "username": user.username, "joined": iso(user.created_at)}


def update_profile(
    transaction: Transaction,
    passwords: PasswordHasher,
    user_id: int,
    session_id: str,
    command: commands.UpdateProfile,
    write: Write,
) -> dict[str, Any]:
    """Every change needs the current password, and a new one ends every other session of the user."""
    changes = {name: getattr(command, name) for name in ("username", "email") if getattr(command, name)}
    if command.password is None and not changes:
        raise Invalid("There is nothing to change", {"body": "needs a username, an email or a password"})
    if not _is_confirmed(command):
        raise Invalid("Passwords do not match", {"confirm_password": "is not the same as the password"})
    checked = _checked_password(transaction, passwords, user_id, command.current_password, write)
    if isinstance(checked, Earlier):
        with transaction() as session:
            return _profile_again(session, checked)
    keys = names.keys(command.username, command.email)
    with transaction() as session:
        if (field := storage.taken(session, keys, but=user_id)) and not write.earlier(session):
            raise _taken(field)
    if command.password is not None:
        changes["password_hash"] = passwords.hash(command.password)
    try:
        with transaction() as session:
            if earlier := write.claim(session):
                return _profile_again(session, earlier)
            before = _known(storage.user_by_id(session, user_id, lock=True))
            _check_unchanged(before, checked)
            user = storage.change_user(session, user_id, changes, write.now)
            if user.username != before.username:
                _announce_updated(session, user, write.now)
            if command.password is not None:
                revoked = storage.revoke_sessions_of(session, user_id, write.now, but=session_id)
                _announce_revoked(session, user, revoked, write.now)
            return _settled(session, user, write)
    except IntegrityError as error:
        raise _taken(_column(error)) from error


def delete_account(
    transaction: Transaction,
    passwords: PasswordHasher,
    user_id: int,
    command: commands.DeleteAccount,
    write: Write,
) -> None:
    checked = _checked_password(transaction, passwords, user_id, command.current_password, write)
    if isinstance(checked, Earlier):
        return
    with transaction() as session:
        if write.claim(session):
            return
        user = _known(storage.user_by_id(session, user_id, lock=True))
        _check_unchanged(user, checked)
        revoked = storage.revoke_sessions_of(session, user_id, write.now)
        version = _announce_revoked(session, user, revoked, write.now)
        storage.remove_user(session, user_id)
        outbox.record(session, UserDeleted(version=version + 1, user=_reference(user)), write.now)


def set_role(transaction: Transaction, user: str | int, role: domain.Role, write: Write) -> dict[str, Any]:
    with transaction() as session:
        if earlier := write.claim(session):
            return _profile_again(session, earlier)
        meant = _meant(session, user)
        changed = storage.change_user(session, meant.id, {"role": role}, write.now)
        _announce_updated(session, changed, write.now)
        return _settled(session, changed, write)


def collisions(transaction: Transaction) -> list[dict[str, Any]]:
    with transaction() as session:
        return storage.collisions(session, MOST_COLLISIONS)


def key_accounts(transaction: Transaction, now: datetime) -> None:
    """Give keys to the accounts that an older release has opened since the migration."""
    with transaction() as session:
        for collision in keying.key_some(session, now)[1]:
            _log.warning("accounts collide: %s", collision)


def forget_expired_sessions(transaction: Transaction, now: datetime) -> None:
    with transaction() as session:
        storage.forget_expired_sessions(session, now)


def _begin_session(session: Session, user: Row[Any], tokens: TokenSettings, write: Write) -> dict[str, Any]:
    """A session of `user`; `issued_at` is in seconds since 1970.

    Nothing that is kept for repetitions names the person: it would outlive the account.
    """
    # Locked, so that a password change or a deletion meanwhile cannot miss this session.
    current = storage.user_by_id(session, user.id, lock=True)
    if current is None or current.password_hash != user.password_hash:
        raise Unauthenticated(WRONG_LOGIN)
    session_id = secrets.token_urlsafe(16)
    storage.add_session(session, session_id, user.id, write.now + timedelta(seconds=tokens.lifetime))
    begun = {"session": session_id, "user_id": user.id, "issued_at": int(write.now.timestamp())}
    return write.settle(session, begun)


def _begin_session_again(
    session: Session, user: Row[Any], tokens: TokenSettings, write: Write
) -> dict[str, Any]:
    """The session that a login's key stands for, once the one that it began has ended.

    The password was right, so there is one again; and one for all repetitions, whoever comes first.
    """
    storage.user_by_id(session, user.id, lock=True)
    earlier = write.earlier(session)
    if earlier and storage.is_live(session, earlier.answer["session"], write.now):
        return dict(earlier.answer)
    return _begin_session(session, user, tokens, write)


def _is_confirmed(command: commands.UpdateProfile) -> bool:
    """Whether a new password, if there is one, was typed twice the same, if it was typed twice."""
    if command.password is None or command.confirm_password is None:
        return True
    return command.password == text.password(command.confirm_password)


def _checked_password(
    transaction: Transaction, passwords: PasswordHasher, user_id: int, current: str | None, write: Write
) -> str | Earlier:
    """The hash that the current password was checked against, or what this very write has done already: its
    account may be gone by then, or have another password.

    Raises Invalid where the password is not right, and NotFound.
    """
    try:
        if current is None:
            raise Invalid(errors={"current_password": "is required"})
        with transaction.reading() as reader:
            password_hash = str(_known(storage.user_by_id(reader, user_id)).password_hash)
        if not passwords.matches(password_hash, current):
            raise Invalid(errors={"current_password": "is not right"})
    except (Invalid, NotFound):
        with transaction() as session:
            if earlier := write.earlier(session):
                return earlier
        raise
    return password_hash


def _check_unchanged(user: Row[Any], password_hash: str) -> None:
    """Raises Invalid where the password has been changed since it was checked."""
    if user.password_hash != password_hash:
        raise Invalid(errors={"current_password": "is not right"})


def _meant(session: Session, user: str | int) -> Row[Any]:
    """The one account that an operator means by a username, an id or `id:<id>`. Raises NotFound, and Invalid
    where it may be several, or none can be."""
    if isinstance(user, str) and user.removeprefix("id:").isdecimal() and user.startswith("id:"):
        user = int(user.removeprefix("id:"))
    if isinstance(user, int):
        return _known(storage.user_by_id(session, check_id(user, "user"), lock=True))
    if not is_storable(user):
        raise Invalid(errors={"user": "must be a username or an id"})
    found = storage.users_by_username(session, user)
    if len(found) > 1:
        ids = " or ".join(f"id:{row.id}" for row in found)
        raise Invalid(
            f"Several accounts have this name: say {ids}", {"user": "is not the name of one account"}
        )
    return _known(found[0] if found else None)


def _announce_revoked(session: Session, user: Row[Any], revoked: Sequence[Row[Any]], now: datetime) -> int:
    """Each under a version of its own, or whoever keeps the highest would drop the second; the last one."""
    for version, row in enumerate(revoked, start=int(user.version) + 1):
        event = SessionRevoked(
            version=version,
            user=_reference(user),
            session=row.id,
            expires_at=int(row.expires_at.timestamp()),
        )
        outbox.record(session, event, now)
    if revoked:
        storage.count_versions(session, user.id, len(revoked))
    return int(user.version) + len(revoked)


def _announce_updated(session: Session, user: Row[Any], now: datetime) -> None:
    outbox.record(session, UserUpdated(version=user.version, user=_reference(user), role=user.role), now)


def _check_same(user: Row[Any], speaker: Speaker | None) -> None:
    if speaker is not None and speaker.uid != user.uid.hex:
        raise Unauthenticated("The account of this access token is gone")


def _known(user: Row[Any] | None) -> Row[Any]:
    if user is None:
        raise NotFound("User not found")
    return user


def _reference(user: Row[Any]) -> UserReference:
    return UserReference(id=user.id, username=user.username, uid=user.uid.hex)


def _profile(user: Row[Any]) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "joined": iso(user.created_at),
    }


def _settled(session: Session, user: Row[Any], write: Write) -> dict[str, Any]:
    """The profile as the answer of `write`, of which the id alone is kept: an account that is deleted leaves
    neither name nor address there."""
    write.settle(session, {"id": user.id})
    return _profile(user)


def _profile_again(session: Session, earlier: Earlier) -> dict[str, Any]:
    """The profile, as it is by now, of the account that a write was about; `id` alone where that is gone."""
    user_id = int(earlier.answer["id"])
    user = storage.user_by_id(session, user_id)
    return {"id": user_id} if user is None else _profile(user)


def _column(error: IntegrityError) -> str:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", "")
    return str(constraint).removeprefix("users_")


def _taken(column: str) -> Invalid:
    field, message = TAKEN[column]
    return Invalid(message, {field: "already exists"})
