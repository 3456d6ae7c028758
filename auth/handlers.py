"""Auth's use cases, one function each; each owns its transactions."""

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from auth import commands, domain, storage
from auth.domain import PasswordHasher, TokenSettings
from broker import outbox
from broker.clock import iso
from broker.database import Transaction
from broker.errors import Invalid, NotFound, Unauthenticated
from broker.events import SessionRevoked, UserDeleted, UserReference, UserRegistered, UserUpdated

WRONG_LOGIN = "Invalid email or password"
TAKEN = {
    "users_username": ("username", "Username already exists"),
    "users_email": ("email", "Email already exists"),
}


def register(
    transaction: Transaction, passwords: PasswordHasher, command: commands.Register, now: datetime
) -> dict[str, Any]:
    if command.password != command.confirm_password:
        raise Invalid("Passwords do not match", {"confirm_password": "is not the same as the password"})
    with transaction() as session:
        # Spares the hashing; the unique indexes below have the last word.
        if storage.user_by_username(session, command.username):
            raise _taken("users_username")
        if storage.user_by_email(session, command.email):
            raise _taken("users_email")
    password_hash = passwords.hash(command.password)
    try:
        with transaction() as session:
            user = storage.add_user(session, command.username, command.email, password_hash, now)
            outbox.record(session, UserRegistered(version=user.version, user=_reference(user)), now)
    except IntegrityError as error:
        raise _taken(_constraint(error)) from error
    return _profile(user)


def login(
    transaction: Transaction,
    passwords: PasswordHasher,
    tokens: TokenSettings,
    command: commands.Login,
    now: datetime,
) -> dict[str, Any]:
    with transaction() as session:
        user = storage.user_by_email(session, command.email.strip())
    if not passwords.matches(user.password_hash if user else None, command.password) or user is None:
        raise Unauthenticated(WRONG_LOGIN)
    session_id = secrets.token_urlsafe(16)
    with transaction() as session:
        key = _signing_key(session, tokens, now)
        # Locked, so that a password change or a deletion meanwhile cannot miss this session.
        current = storage.user_by_id(session, user.id, lock=True)
        if current is None or current.password_hash != user.password_hash:
            raise Unauthenticated(WRONG_LOGIN)
        storage.add_session(session, session_id, user.id, now + timedelta(seconds=tokens.lifetime))
    token = domain.access_token(key, tokens, user.id, current.username, session_id, now)
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": tokens.lifetime,
        "user": current.username,
    }


def logout(transaction: Transaction, user_id: int, session_id: str, now: datetime) -> None:
    with transaction() as session:
        user = _known(storage.user_by_id(session, user_id, lock=True))
        revoked = storage.revoke_session(session, session_id, now)
        if revoked is not None:
            _announce_revoked(session, user, [revoked], now)


def profile(transaction: Transaction, user_id: int) -> dict[str, Any]:
    with transaction() as session:
        return _profile(_known(storage.user_by_id(session, user_id)))


def public_profile(transaction: Transaction, user_id: int) -> dict[str, Any]:
    with transaction() as session:
        user = _known(storage.user_by_id(session, user_id))
    return {"id": user.id, "username": user.username, "joined": iso(user.created_at)}


def update_profile(
    transaction: Transaction,
    passwords: PasswordHasher,
    user_id: int,
    session_id: str,
    command: commands.UpdateProfile,
    now: datetime,
) -> dict[str, Any]:
    """A new password ends every other session of the user."""
    changes = {name: getattr(command, name) for name in ("username", "email") if getattr(command, name)}
    if command.password is None and not changes:
        raise Invalid("There is nothing to change", {"body": "needs a username, an email or a password"})
    old_hash = None
    if command.password is not None:
        old_hash = _checked_password(transaction, passwords, user_id, command)
        changes["password_hash"] = passwords.hash(command.password)
    try:
        with transaction() as session:
            before = _known(storage.user_by_id(session, user_id, lock=True))
            if old_hash is not None and before.password_hash != old_hash:
                raise Invalid(errors={"current_password": "is not right"})
            user = storage.change_user(session, user_id, changes, now)
            if command.password is not None:
                revoked = storage.revoke_sessions_of(session, user_id, now, but=session_id)
                _announce_revoked(session, user, revoked, now)
            if user.username != before.username:
                _announce_updated(session, user, now)
    except IntegrityError as error:
        raise _taken(_constraint(error)) from error
    return _profile(user)


def delete_account(transaction: Transaction, user_id: int, now: datetime) -> None:
    with transaction() as session:
        user = _known(storage.user_by_id(session, user_id, lock=True))
        _announce_revoked(session, user, storage.revoke_sessions_of(session, user_id, now), now)
        storage.remove_user(session, user_id)
        outbox.record(session, UserDeleted(version=user.version + 1, user=_reference(user)), now)


def set_role(transaction: Transaction, username: str, role: str, now: datetime) -> dict[str, Any]:
    if role not in domain.ROLES:
        raise Invalid(errors={"role": f"must be one of {', '.join(domain.ROLES)}"})
    with transaction() as session:
        user = storage.user_by_username(session, username, lock=True)
        if user is None:
            raise NotFound("User not found")
        user = storage.change_user(session, user.id, {"role": role}, now)
        _announce_updated(session, user, now)
    return _profile(user)


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


def rotate_keys(transaction: Transaction, tokens: TokenSettings, now: datetime) -> str:
    with transaction() as session:
        storage.lock_keys(session)
        storage.retire_keys(session, now)
        key = domain.new_signing_key(tokens.secret)
        storage.add_key(session, key, now)
    return key.kid


def forget_expired_sessions(transaction: Transaction, now: datetime) -> None:
    with transaction() as session:
        storage.forget_expired_sessions(session, now)


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


def _constraint(error: IntegrityError) -> str:
    return str(getattr(getattr(error.orig, "diag", None), "constraint_name", ""))


def _taken(constraint: str) -> Invalid:
    field, message = TAKEN[constraint]
    return Invalid(message, {field: "already exists"})
