"""Whom the embedded PostgreSQL runs as: ourselves, or somebody else where we are root, whom it refuses."""

import os
import pwd
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from broker.config import ConfigurationError

SYSTEM_USER = "embedded_postgres"
MAKING_SECONDS = 30


@dataclass(frozen=True)
class Account:
    """A user and a group by their numbers: a restored or mounted folder's may have no name here."""

    uid: int
    gid: int

    def owns(self, path: Path) -> bool:
        """Whether `path` is this user's; that of a link is its own."""
        return path.lstat().st_uid == self.uid

    def may_pass(self, folder: Path) -> bool:
        """Whether the permissions of `folder` and all above it let this user through."""
        return not any(self.is_stopped_at(each) for each in (folder, *folder.parents))

    def is_stopped_at(self, folder: Path) -> bool:
        """Whether this user may not pass through `folder` itself."""
        status = folder.stat()
        if status.st_uid == self.uid:
            return not status.st_mode & stat.S_IXUSR
        if status.st_gid == self.gid:
            return not status.st_mode & stat.S_IXGRP
        return not status.st_mode & stat.S_IXOTH

    def give(self, path: Path) -> None:
        """Make it this user's, and nobody else's to look into."""
        if not self.owns(path):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        path.chmod(0o700)


def for_new_data(data: Path) -> Account:
    """Whom new data in the folder `data` are to belong to.

    As root: whose `data` is, so that this user can go on without root; a user of PostgreSQL's own where that
    is root, too, or nobody of this machine. Raises ConfigurationError where none can be made.
    """
    if os.geteuid() != 0:
        return ourselves()
    owner = data.stat().st_uid
    try:
        entry = pwd.getpwuid(owner) if owner else _system_user()
    except KeyError:
        entry = _system_user()
    return Account(entry.pw_uid, entry.pw_gid)


def of(cluster: Path) -> Account:
    """Whom the server of an existing cluster must run as: its owner.

    Raises ConfigurationError where that is another, and we are not root.
    """
    status = cluster.stat()
    owner = Account(status.st_uid, status.st_gid)
    if os.geteuid() not in (0, owner.uid):
        raise ConfigurationError(f"{cluster}: belongs to another user (uid {owner.uid}); run it as that one")
    return owner


def share(file: int, data: Path) -> None:
    """Give an open file of ours in `data` to whose that folder is: a start as root must not lock them out."""
    if os.geteuid() == 0:
        status = data.stat()
        os.fchown(file, status.st_uid, status.st_gid)


def ourselves() -> Account:
    return Account(os.geteuid(), os.getegid())


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run(  # noqa: S603
            ["useradd", *options, SYSTEM_USER],  # noqa: S607 - distributions differ in where it is
            check=True,
            capture_output=True,
            text=True,
            timeout=MAKING_SECONDS,
        )
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and user {SYSTEM_USER} cannot be made for it "
            f"({' '.join(said.split())}): make one of that name, or run this as another user"
        ) from error


def let_in(account: Account, folder: Path) -> None:
    """Let the account pass through to `folder`, where it is not ours: it may then pass, and list nothing.

    Says which folder it has opened. Raises ConfigurationError where one cannot be.
    """
    if account == ourselves():
        return
    for parent in reversed(folder.parents):
        if account.is_stopped_at(parent):
            mode = stat.S_IMODE(parent.stat().st_mode)
            try:
                parent.chmod(mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            except OSError as error:
                raise ConfigurationError(
                    f"PostgreSQL, which does not run as root, is not let into {parent} ({error.strerror})"
                ) from error
            print(
                f"{parent} may be passed through by all now (chmod a+x): PostgreSQL does not run as root",
                file=sys.stderr,
            )


def let_read(account: Account, folder: Path) -> None:
    """Let the account in, and read and run what is in `folder`: an installation under a strict umask."""
    let_in(account, folder)
    if account == ourselves() or folder.stat().st_mode & 0o005 == 0o005:
        return
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode) | (0o055 if mode & stat.S_IXUSR else 0o044))
