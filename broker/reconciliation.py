"""Movies' accounts made those of auth, after one of the two databases went back to an older state.

Whom auth does not know, or knows as somebody else, is gone: what they wrote stays, unsigned, as when an
account is deleted. The others have the name that auth says.
"""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.types import BigInteger, Text

BATCH: Final = 1000  # accounts

# Where movies refers to accounts; each has an index that begins with the column.
REFERENCES: Final = {
    "reviewers": "user_id",
    "reviews": "user_id",
    "review_likes": "user_id",
    "movies": "created_by",
}
_IDS = bindparam("ids", type_=ARRAY(BigInteger))
_KNOWN_TO = "(SELECT DISTINCT {1} AS user_id FROM {0} WHERE {1} > :last ORDER BY 1 LIMIT :most)"
_KNOWN = text(
    " UNION ".join(_KNOWN_TO.format(*reference) for reference in REFERENCES.items())
    + " ORDER BY 1 LIMIT :most"
)
_REVIEWERS = text("SELECT user_id, uid FROM reviewers WHERE user_id = ANY(:ids)").bindparams(_IDS)
_ACCOUNTS = text("SELECT id, uid, username, version FROM users WHERE id = ANY(:ids)").bindparams(_IDS)
_UNSIGN = tuple(
    text(statement).bindparams(_IDS)
    for statement in (
        "DELETE FROM reviewers WHERE user_id = ANY(:ids)",
        "UPDATE reviews SET user_id = NULL WHERE user_id = ANY(:ids)",
        "UPDATE movies SET created_by = NULL WHERE created_by = ANY(:ids)",
        """
        WITH gone AS (DELETE FROM review_likes WHERE user_id = ANY(:ids) RETURNING review_id)
        UPDATE reviews SET likes = likes - of.gone
        FROM (SELECT review_id, count(*) AS gone FROM gone GROUP BY review_id) AS of WHERE id = of.review_id
        """,
    )
)
_NAME = text(
    """
    UPDATE reviewers SET uid = said.uid, username = said.username, version = said.version
    FROM unnest(:ids, :uids, :usernames, :versions) AS said (user_id, uid, username, version)
    WHERE reviewers.user_id = said.user_id
    """
).bindparams(
    _IDS,
    bindparam("uids", type_=ARRAY(UUID(as_uuid=True))),
    bindparam("usernames", type_=ARRAY(Text)),
    bindparam("versions", type_=ARRAY(BigInteger)),
)


def reconcile(auth: Connection, movies: Connection) -> None:
    """Bring what movies knows of accounts in line with auth's, so many at a time."""
    last = 0
    while ids := list(movies.scalars(_KNOWN, {"last": last, "most": BATCH})):
        accounts = {row.id: row for row in auth.execute(_ACCOUNTS, {"ids": ids})}
        uids = {row.user_id: row.uid for row in movies.execute(_REVIEWERS, {"ids": ids})}
        gone = [each for each in ids if _is_gone(accounts.get(each), uids.get(each))]
        if gone:
            unsign(movies, gone)
        _name(movies, [account for each, account in accounts.items() if each not in gone and each in uids])
        last = ids[-1]


def unsign(movies: Connection, user_ids: Collection[int]) -> None:
    """What these accounts wrote belongs to nobody from now on, and their likes are taken back."""
    for statement in _UNSIGN:
        movies.execute(statement, {"ids": list(user_ids)})


def _is_gone(account: Row[Any] | None, uid: object) -> bool:
    return account is None or (uid is not None and uid != account.uid)


def _name(movies: Connection, accounts: Collection[Row[Any]]) -> None:
    if accounts:
        said = {
            "ids": [account.id for account in accounts],
            "uids": [account.uid for account in accounts],
            "usernames": [account.username for account in accounts],
            "versions": [account.version for account in accounts],
        }
        movies.execute(_NAME, said)
