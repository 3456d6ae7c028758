"""The file: a tar under gzip, read and written from its beginning to its end, and all of it vouched for.

format.json          what this is, and of which release; read first
auth/users.000000    rows of a table, as PostgreSQL's COPY gives them, cut into pieces
...
manifest.json        what is in it, with the size and the SHA-256 of every piece
manifest.sha256      the SHA-256 of that
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from pydantic import ValidationError

from broker.backup.failures import BadFile
from broker.backup.manifest import FORMAT, Manifest, Piece
from broker.release import VERSION

KIND = "movie-review-platform backup"
FIRST, LAST, SEAL = "format.json", "manifest.json", "manifest.sha256"
PIECE_BYTES = 8 * 2**20
MOST_PIECE_BYTES = 2 * PIECE_BYTES
MOST_MANIFEST_BYTES = 64 * 2**20
GZIP_LEVEL = 6
AS_GZIP = 16  # what zlib adds to its window's size to say so
ENCODING = "utf-8"

# Called with how many bytes went by, as they do.
Progress = Callable[[int], None]


class Writer:
    """Writes one to `put`; `close` ends it, and without it the file is no backup."""

    def __init__(self, put: Callable[[bytes], None], progress: Progress) -> None:
        self._put, self._progress = put, progress
        self._gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS + AS_GZIP)
        self.pieces: list[Piece] = []
        head = {"kind": KIND, "format": FORMAT, "release": VERSION}
        self._add(FIRST, orjson.dumps(head))

    def rows(self, database: str, table: str) -> "RowsWriter":
        """A file that takes a table's rows; `close` it before the next."""
        return RowsWriter(self, f"{database}/{table}")

    def add_piece(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.pieces.append(Piece(name=name, size=len(content), sha256=digest))
        self._add(name, content)

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        padding = bytes(-len(content) % tarfile.BLOCKSIZE)
        for part in (member.tobuf(tarfile.USTAR_FORMAT, ENCODING), content, padding):
            self._put(self._gzip.compress(part))
        self._progress(len(content))

    def close(self, manifest: Manifest) -> None:
        content = manifest.model_dump_json().encode()
        self._add(LAST, content)
        self._add(SEAL, hashlib.sha256(content).hexdigest().encode())
        self._put(self._gzip.compress(bytes(2 * tarfile.BLOCKSIZE)) + self._gzip.flush())


class RowsWriter:
    """What psycopg2's copy_expert writes to: gathers, and writes pieces."""

    def __init__(self, archive: Writer, prefix: str) -> None:
        self._archive, self._prefix = archive, prefix
        self._buffer = bytearray()
        self._number = 0

    def write(self, content: bytes) -> int:
        self._buffer += content
        while len(self._buffer) >= PIECE_BYTES:
            self._flush(PIECE_BYTES)
        return len(content)

    def _flush(self, size: int) -> None:
        name = piece_name(self._prefix, self._number)
        self._archive.add_piece(name, bytes(self._buffer[:size]))
        del self._buffer[:size]
        self._number += 1

    def close(self) -> None:
        if self._buffer:
            self._flush(len(self._buffer))


def piece_name(prefix: str, number: int) -> str:
    return f"{prefix}.{number:06d}"


def verify(path: Path, progress: Progress) -> Manifest:
    """Read a whole file and compare everything. Raises BadFile, and OSError where it cannot be read."""
    found: list[Piece] = []
    with _members(path) as members:
        _check_first(*_next(members))
        while (member := _next(members))[0] != LAST:
            name, content = member
            found.append(Piece(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
            progress(len(content))
        content = member[1]
        sealed = hashlib.sha256(content).hexdigest().encode()
        if _next(members) != (SEAL, sealed) or next(members, None) is not None:
            raise BadFile("its manifest is not what it was")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BadFile(f"its manifest cannot be read ({error.error_count()} mistakes)") from error
    _compare(manifest.pieces, found)
    return manifest


def _compare(promised: tuple[Piece, ...], found: list[Piece]) -> None:
    for should, is_ in zip(promised, found, strict=False):
        if should != is_:
            raise BadFile(f"{should.name} is not what was written")
    if len(promised) != len(found):
        raise BadFile(f"it has {len(found)} pieces, and {len(promised)} were written")


@contextmanager
def pieces(path: Path, manifest: Manifest, progress: Progress) -> Iterator["PieceReader"]:
    """Read the pieces of a verified file, each compared once more."""
    with _members(path) as members:
        _next(members)
        yield PieceReader(members, manifest.pieces, progress)


class PieceReader:
    """Hands out the rows of one table after the other, in the order of the file."""

    def __init__(
        self, members: Iterator[tuple[str, bytes]], promised: tuple[Piece, ...], progress: Progress
    ) -> None:
        self._members, self._promised, self._progress = members, list(reversed(promised)), progress

    def rows(self, database: str, table: str) -> "RowsReader":
        """A file to read a table's rows from."""
        return RowsReader(self._of(f"{database}/{table}"))

    def skip(self, database: str, table: str) -> None:
        for _ in self._of(f"{database}/{table}"):
            pass

    def _of(self, prefix: str) -> Iterator[bytes]:
        number = 0
        while self._promised and self._promised[-1].name == piece_name(prefix, number):
            should = self._promised.pop()
            name, content = _next(self._members)
            if name != should.name or hashlib.sha256(content).hexdigest() != should.sha256:
                raise BadFile(f"{should.name} has changed since it was verified")
            self._progress(len(content))
            number += 1
            yield content


class RowsReader:
    """What psycopg2's copy_expert reads from."""

    def __init__(self, contents: Iterator[bytes]) -> None:
        self._contents = contents
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._contents, b""))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)


def _check_first(name: str, content: bytes) -> None:
    try:
        head = orjson.loads(content) if name == FIRST else None
    except orjson.JSONDecodeError:
        head = None
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise BadFile("it is not a backup of this platform")
    if not isinstance(head.get("format"), int) or head["format"] > FORMAT:
        raise BadFile(f"it is of a newer release ({head.get('release')}), and this is {VERSION}")


def _next(members: Iterator[tuple[str, bytes]]) -> tuple[str, bytes]:
    try:
        return next(members)
    except StopIteration:
        raise BadFile("it is cut off") from None


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, bytes]]]:
    """All members with their content. What is wrong with the file is BadFile, also at its end."""
    if not path.is_file():
        raise BadFile("there is no such file")
    with path.open("rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
        yield _read(unzipped)


def _read(unzipped: gzip.GzipFile) -> Iterator[tuple[str, bytes]]:
    """By hand, so that not a byte is passed over: tarfile reads on behind the end."""
    try:
        while any(block := _exactly(unzipped, tarfile.BLOCKSIZE)):
            member = tarfile.TarInfo.frombuf(block, ENCODING, "strict")
            most = MOST_MANIFEST_BYTES if member.name == LAST else MOST_PIECE_BYTES
            if not member.isreg() or not 0 <= member.size <= most:
                raise BadFile(f"{member.name!r} is nothing that a backup holds")
            content = _exactly(unzipped, member.size)
            if any(_exactly(unzipped, -member.size % tarfile.BLOCKSIZE)):
                raise BadFile("something was added to it")
            yield member.name, content
        while rest := unzipped.read(PIECE_BYTES):  # to its end, where gzip's own checksum is
            if any(rest):
                raise BadFile("something was added to it")
    except EOFError as error:
        raise BadFile("it is cut off") from error
    except (gzip.BadGzipFile, tarfile.TarError, zlib.error, ValueError) as error:
        raise BadFile(f"it is damaged, or no backup at all ({error})") from error


def _exactly(unzipped: gzip.GzipFile, size: int) -> bytes:
    content = unzipped.read(size)
    if len(content) < size:
        raise EOFError
    return content
