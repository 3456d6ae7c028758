"""Auth's use cases, one function each; each owns its transactions."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from auth import commands, domain, storage
from auth.domain import PasswordHasher, TokenSettings
from broker import outbox
from broker.clock import iso
from broker.database import Transaction
from broker.errors import Invalid, KeyReused, NotFound, Unauthenticated
from broker.events import SessionRevoked, UserDeleted, UserReference, UserRegistered, UserUpdated
from broker.idempotency import Write

WRONG_LOGIN = "Invalid email or password"
TAKEN = {
    "users_username": ("username", "Username already exists"),
    "users_email": ("email", "Email already exists"),
}


def register(
    transaction: Transaction, passwords: PasswordHasher, command: commands.Register, write: Write
) -> dict[str, Any]:
    if command.password != command.confirm_password:
        raise Invalid("Passwords do not match", {"confirm_password": "is not the same as the password"})
    with transaction() as session:
        # Spares the hashing; the unique indexes below have the last word.
        if taken := _taken_already(session, command):
            # By a first one of this very request, perhaps.
            if earlier := write.earlier(session):
                return dict(earlier.answer)
            raise taken
    password_hash = passwords.hash(command.password)
    try:
        with transaction() as session:
            if earlier := write.claim(session):
                return dict(earlier.answer)
            user = storage.add_user(session, command.username, command.email, password_hash, write.now)
            event = UserRegistered(version=user.version, user=_reference(user))
            outbox.record(session, event, write.now)
            return write.settle(session, _profile(user))
    except IntegrityError as error:
        raise _taken(_constraint(error)) from error


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
        key = _signing_key(session, tokens, write.now)
    # Not kept anywhere: a repetition gets it signed again, and EdDSA signs the same in the same way.
    token = domain.access_token(
        key,
        tokens,
        begun["user_id"],
        begun["username"],
        begun["session"],
        datetime.fromtimestamp(begun["issued_at"], UTC),
    )
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": tokens.lifetime,
        "user": begun["username"],
    }


def logout(transaction: Transaction, user_id: int, session_id: str, write: Write) -> None:
    with transaction() as session:
        if write.claim(session):
            return
        user = _known(storage.user_by_id(session, user_id, lock=True))
        revoked = storage.revoke_session(session, session_id, write.now)
        if revoked is not None:
            _announce_revoked(session, user, [revoked], write.now)


def profile(transaction: Transaction, user_id: int) -> dict[str, Any]:
    with transaction.reading() as reader:
        return _profile(_known(storage.user_by_id(reader, user_id)))


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
    """A new password ends every other session of the user."""
    changes = {name: getattr(command, name) for name in ("username", "email") if getattr(command, name)}
    if command.password is None and not changes:
        raise Invalid("There is nothing to change", {"body": "needs a username, an email or a password"})
    old_hash = None
    if command.password is not None:
        try:
            old_hash = _checked_password(transaction, passwords, user_id, command)
        except (Invalid, NotFound):
            # The password that this very request has changed is not the current one any more.
            with transaction() as session:
                if earlier := write.earlier(session):
                    return dict(earlier.answer)
            raise
        changes["password_hash"] = passwords.hash(command.password)
    try:
        with transaction() as session:
            if earlier := write.claim(session):
                return dict(earlier.answer)
            before = _known(storage.user_by_id(session, user_id, lock=True))
            if old_hash is not None and before.password_hash != old_hash:
                raise Invalid(errors={"current_password": "is not right"})
            user = storage.change_user(session, user_id, changes, write.now)
            if command.password is not None:
                revoked = storage.revoke_sessions_of(session, user_id, write.now, but=session_id)
                _announce_revoked(session, user, revoked, write.now)
            if user.username != before.username:
                _announce_updated(session, user, write.now)
            return write.settle(session, _profile(user))
    except IntegrityError as error:
        raise _taken(_constraint(error)) from error


def delete_account(transaction: Transaction, user_id: int, write: Write) -> None:
    with transaction() as session:
        if write.claim(session):
            return
        user = _known(storage.user_by_id(session, user_id, lock=True))
        revoked = storage.revoke_sessions_of(session, user_id, write.now)
        _announce_revoked(session, user, revoked, write.now)
        storage.remove_user(session, user_id)
        outbox.record(session, UserDeleted(version=user.version + 1, user=_reference(user)), write.now)


def set_role(transaction: Transaction, username: str, role: str, write: Write) -> dict[str, Any]:
    if role not in domain.ROLES:
        raise Invalid(errors={"role": f"must be one of {', '.join(domain.ROLES)}"})
    with transaction() as session:
        if earlier := write.claim(session):
            return dict(earlier.answer)
        user = storage.user_by_username(session, username, lock=True)
        if user is None:
            raise NotFound("User not found")
        user = storage.change_user(session, user.id, {"role": role}, write.now)
        _announce_updated(session, user, write.now)
        return write.settle(session, _profile(user))


def verification(transaction: Transaction, tokens: TokenSettings, now: datetime) -> dict[str, Any]:
    with transaction() as session:
        _signing_key(session, tokens, now)
        keys = storage.published_keys(session, _retirement_limit(tokens, now))
        revoked = storage.revoked_sessions(session, now)
        staff = storage.staff(session)
    return {
        "keys": [domain.public_jwk(key, tokens.secret) for key in keys],
        "revoked": [{"session": row.id, "expires_at": int(row.expires_at.timestamp())} for row in revoked],
        "staff": [{"user_id": row.id, "role": row.role} for row in staff],
    }


def public_keys(transaction: Transaction, tokens: TokenSettings, now: datetime) -> list[dict[str, Any]]:
    with transaction() as session:
        _signing_key(session, tokens, now)
        keys = storage.published_keys(session, _retirement_limit(tokens, now))
    return [domain.public_jwk(key, tokens.secret) for key in keys]


def rotate_keys(transaction: Transaction, tokens: TokenSettings, write: Write) -> str:
    with transaction() as session:
        if earlier := write.claim(session):
            return str(earlier.answer)
        storage.lock_keys(session)
        storage.retire_keys(session, write.now)
        key = domain.new_signing_key(tokens.secret)
        storage.add_key(session, key, write.now)
        return write.settle(session, key.kid)


def forget_expired_sessions(transaction: Transaction, now: datetime) -> None:
    with transaction() as session:
        storage.forget_expired_sessions(session, now)


def _begin_session(session: Session, user: Row[Any], tokens: TokenSettings, write: Write) -> dict[str, Any]:
    """A session of `user`, and all that its token says; `issued_at` is in seconds since 1970."""
    # Locked, so that a password change or a deletion meanwhile cannot miss this session.
    current = storage.user_by_id(session, user.id, lock=True)
    if current is None or current.password_hash != user.password_hash:
        raise Unauthenticated(WRONG_LOGIN)
    session_id = secrets.token_urlsafe(16)
    storage.add_session(session, session_id, user.id, write.now + timedelta(seconds=tokens.lifetime))
    begun = {
        "session": session_id,
        "user_id": user.id,
        "username": current.username,
        "issued_at": int(write.now.timestamp()),
    }
    return write.settle(session, begun)


def _signing_key(session: Session, tokens: TokenSettings, now: datetime) -> domain.SigningKey:
    """The key that signs; the first one is made here, by whoever needs it first."""
    if key := storage.current_key(session):
        return key
    storage.lock_keys(session)
    if key := storage.current_key(session):
        return key
    key = domain.new_signing_key(tokens.secret)
    storage.add_key(session, key, now)
    return key


def _retirement_limit(tokens: TokenSettings, now: datetime) -> datetime:
    return now - timedelta(seconds=tokens.lifetime) - domain.RETIREMENT_MARGIN


def _checked_password(
    transaction: Transaction, passwords: PasswordHasher, user_id: int, command: commands.UpdateProfile
) -> str:
    """The hash that the current password was checked against. Raises Invalid where it is not right."""
    if command.current_password is None:
        raise Invalid(errors={"current_password": "is required to change the password"})
    if command.confirm_password not in (None, command.password):
        raise Invalid("Passwords do not match", {"confirm_password": "is not the same as the password"})
    with transaction() as session:
        password_hash = str(_known(storage.user_by_id(session, user_id)).password_hash)
    if not passwords.matches(password_hash, command.current_password):
        raise Invalid(errors={"current_password": "is not right"})
    return password_hash


def _announce_revoked(session: Session, user: Row[Any], revoked: Any, now: datetime) -> None:
    for row in revoked:
        event = SessionRevoked(
            version=user.version,
            user=_reference(user),
            session=row.id,
            expires_at=int(row.expires_at.timestamp()),
        )
        outbox.record(session, event, now)


def _announce_updated(session: Session, user: Row[Any], now: datetime) -> None:
    outbox.record(session, UserUpdated(version=user.version, user=_reference(user), role=user.role), now)


def _known(user: Row[Any] | None) -> Row[Any]:
    if user is None:
        raise NotFound("User not found")
    return user


def _reference(user: Row[Any]) -> UserReference:
    return UserReference(id=user.id, username=user.username)


def _profile(user: Row[Any]) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "role": user.role,
        "joined": iso(user.created_at),
    }


def _taken_already(session: Session, command: commands.Register) -> Invalid | None:
    """Why the account cannot be opened, if it cannot."""
    if storage.user_by_username(session, command.username):
        return _taken("users_username")
    if storage.user_by_email(session, command.email):
        return _taken("users_email")
    return None


def _constraint(error: IntegrityError) -> str:
    return str(getattr(getattr(error.orig, "diag", None), "constraint_name", ""))


def _taken(constraint: str) -> Invalid:
    field, message = TAKEN[constraint]
    return Invalid(message, {field: "already exists"})
