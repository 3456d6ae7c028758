"""A backup's file: whole or refused, whatever happened to it, and never half of one under its name."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from broker.backup import archive, output
from broker.backup.archive import Writer, pieces, verify
from broker.backup.failures import BackupFailed, BadFile
from broker.backup.manifest import FORMAT, Database, Manifest, Table
from broker.release import VERSION
from tests.processes import ROOT

ROWS = {"users": b"1\talice\n2\tbob\n", "sessions": b"", "signing_keys": bytes(range(256)) * 100}


def no_progress(_count: int) -> None:
    pass


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of ROWS, in pieces of 1000 bytes."""
    monkeypatch.setattr(archive, "PIECE_BYTES", 1000)
    path = tmp_path / "backup.tar.gz"
    with output.whole_file(path, replace=False) as out:
        writer = Writer(out.put, no_progress)
        for table, content in ROWS.items():
            rows = writer.rows("auth", table)
            for start in range(0, len(content), 300):
                rows.write(content[start : start + 300])
            rows.close()
        tables = tuple(Table(name=table, columns=("id",), rows=0) for table in ROWS)
        auth = Database(
            revision="0001", history=None, server="18.6", tables=tables, sequences={"users_id_seq": 2}
        )
        writer.close(
            Manifest(
                format=FORMAT,
                release=VERSION,
                taken_at=datetime(2030, 1, 2, tzinfo=UTC),
                databases={"auth": auth},
                pieces=tuple(writer.pieces),
            )
        )
    return path


def refusal(file: Path) -> str:
    with pytest.raises(BadFile) as refused:
        verify(file, no_progress)
    return str(refused.value)


def rewritten(file: Path, change: dict[str, bytes | None], more: dict[str, bytes] | None = None) -> Path:
    """The same with other members in the place of some, None for none, and more of them at the end."""
    other = file.with_name("other.tar.gz")
    with tarfile.open(file) as old, tarfile.open(other, "w:gz", format=tarfile.USTAR_FORMAT) as new:
        members = {member.name: old.extractfile(member).read() for member in old}  # type: ignore[union-attr]
        for name, content in {**members, **change, **(more or {})}.items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
    return other


def test_what_was_written_is_read(file: Path) -> None:
    manifest = verify(file, no_progress)
    assert manifest.databases["auth"].sequences == {"users_id_seq": 2}
    with pieces(file, manifest, no_progress) as found:
        for table, content in ROWS.items():
            rows = found.rows("auth", table)
            read = b"".join(iter(lambda rows=rows: rows.read(77), b""))  # type: ignore[misc]
            assert read == content


def test_a_table_that_nobody_wants_is_passed_over(file: Path) -> None:
    manifest = verify(file, no_progress)
    with pieces(file, manifest, no_progress) as found:
        found.skip("auth", "users")
        found.skip("auth", "sessions")
        assert found.rows("auth", "signing_keys").read(10) == ROWS["signing_keys"][:10]


def test_cut_off_anywhere_it_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in (*range(0, 40), *random.Random(1).sample(range(len(whole)), 100), len(whole) - 1):
        file.write_bytes(whole[:length])
        refusal(file)


def test_with_any_bit_changed_it_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    unzipped, rng, refused = gzip.decompress(whole), random.Random(2), 0
    for place in rng.sample(range(len(whole)), 300):
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        try:
            verify(file, no_progress)
        except BadFile:
            refused += 1
        else:  # gzip has bits that say nothing
            assert gzip.decompress(changed) == unzipped
    assert refused > 250


@pytest.mark.parametrize("rest", [b"more", gzip.compress(b"more"), gzip.compress(b"\0" * 512 + b"x")])
def test_with_something_behind_it_is_refused(file: Path, rest: bytes) -> None:
    file.write_bytes(file.read_bytes() + rest)
    refusal(file)


def test_a_member_more_less_or_other_is_refused(file: Path) -> None:
    assert "cut off" in refusal(rewritten(file, {"manifest.sha256": None}))
    assert "cut off" in refusal(rewritten(file, {"manifest.json": None}))
    assert "manifest" in refusal(rewritten(file, {}, {"auth/users.000001": b"3\tmallory\n"}))
    assert "auth/users.000000" in refusal(rewritten(file, {"auth/users.000000": b"1\tmallory\n2\tbob\n"}))
    assert "auth/users.000000" in refusal(rewritten(file, {"auth/users.000000": None}))
    assert "manifest" in refusal(rewritten(file, {"manifest.json": b"{}"}))


def test_what_is_no_backup_is_told_at_once(file: Path, tmp_path: Path) -> None:
    newer = {"kind": archive.KIND, "format": FORMAT + 1, "release": "9.9"}
    assert refusal(rewritten(file, {"format.json": orjson.dumps(newer)})) == (
        f"it is of a newer release (9.9), and this is {VERSION}"
    )
    assert "not a backup" in refusal(rewritten(file, {"format.json": b"{}"}))
    assert "not a backup" in refusal(rewritten(file, {"format.json": None}))
    assert refusal(tmp_path) == "there is no such file"
    empty = tmp_path / "empty"
    empty.touch()
    refusal(empty)
    empty.write_text("words")
    refusal(empty)


def test_what_changes_after_it_was_verified_is_noticed(file: Path) -> None:
    manifest = verify(file, no_progress)
    other = rewritten(file, {"auth/users.000000": b"1\tmallory\n2\tbob\n"})
    with pieces(other, manifest, no_progress) as found, pytest.raises(BadFile):
        found.rows("auth", "users").read(10)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), output.whole_file(tmp_path / "a", replace=False) as out:
        out.put(bytes(1 // out.size))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_one_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    left = tmp_path / f".old.1234{output.UNFINISHED}"
    left.write_bytes(b"half")
    with output.whole_file(tmp_path / "a", replace=False), output.whole_file(tmp_path / "b", replace=False):
        assert not left.exists()
        assert len(list(tmp_path.iterdir())) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_that_has_come_to_be_there_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(BackupFailed), output.whole_file(path, replace=False):
        path.write_bytes(b"another's")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"another's"]


def test_the_release_is_that_of_the_project() -> None:
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text()
