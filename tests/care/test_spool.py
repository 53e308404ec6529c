"""A finished spool is the very tar file that Python's ``tarfile`` writes of the files that count."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from octavo.care import spool as module
from octavo.care.spool import Spool, compress

WHEN = 1_700_000_000.9
FILES = {
    "data/a": b"",
    "data/chats/b.jsonl": b"x" * 511,
    "data/chats/c.jsonl": b"y" * 512,
    "data/größe": b"z" * 513,
    f"data/{'n' * 120}": b"long",
    "data/\udcff": b"no UTF-8",
    "data/late": os.urandom(70_000),
}


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """One that has two folders."""
    with closing(Spool(tmp_path / "spool")) as made:
        made.add_folder("data", WHEN)
        made.add_folder("data/chats", WHEN)
        yield made


def by_tarfile(files: dict[str, bytes]) -> bytes:
    """The same, as the standard library writes it."""
    text = io.BytesIO()
    with tarfile.open(fileobj=text, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("data", "data/chats", *files):
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.mtime = os.getuid(), os.getgid(), int(WHEN)
            member.type = tarfile.REGTYPE if name in files else tarfile.DIRTYPE
            member.mode = 0o600 if name in files else 0o700
            member.size = len(files.get(name, b""))
            tar.addfile(member, io.BytesIO(files.get(name, b"")))
    return text.getvalue()


def test_it_is_what_tarfile_writes(spool: Spool, tmp_path: Path) -> None:
    for name, data in FILES.items():
        member = spool.add(name, data, WHEN)
        assert member.sha256 == hashlib.sha256(data).digest()
        assert spool.read(member).read() == data
    spool.finish()
    assert (tmp_path / "spool").read_bytes() == by_tarfile(FILES)


@pytest.mark.parametrize("piece", [512, 4096, 1 << 20])
def test_what_was_forgotten_leaves_no_gap(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(module, "_PIECE", piece)
    rng = random.Random(piece)
    for name, data in FILES.items():
        for wrong in rng.choices([b"", b"old" * 700, b"old"], k=rng.randrange(3)):
            old = spool.add(name, wrong, WHEN)
            spool.forget(old.start, old.end)
        kept = spool.add(name, data, WHEN)
        if rng.random() < 0.3:
            spool.forget(kept.start, kept.end)
            spool.add(name, data, WHEN)
    gone = spool.add("data/gone", b"gone", WHEN)
    spool.forget(gone.start, gone.end)
    spool.finish()
    assert (tmp_path / "spool").read_bytes() == by_tarfile(FILES)


@pytest.mark.parametrize("size", [0, 700, 5000, 9000])
def test_a_file_that_changes_its_size_while_it_is_copied_is_whole_in_it(
    spool: Spool, tmp_path: Path, size: int
) -> None:
    """It was of 5000 bytes when the copy began: what it lacks then is not there, what is more is left out."""
    (tmp_path / "file").write_bytes(os.urandom(size))
    source = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        member = spool.copy("data/a", source, 5000, WHEN)
    finally:
        os.close(source)
    spool.finish()
    content = (tmp_path / "file").read_bytes()[:5000]
    assert member.size == len(content)
    assert member.sha256 == hashlib.sha256(content).digest()
    assert (tmp_path / "spool").read_bytes() == by_tarfile({"data/a": content})


@pytest.mark.parametrize("text", [b"", b"a", b"some text " * 90_000, os.urandom(300_000)])
def test_what_is_compressed_is_one_file_of_gzip(text: bytes) -> None:
    target = io.BytesIO()
    told: list[int] = []
    compress((text[at : at + 65_536] for at in range(0, len(text), 65_536)), target, told.append)
    assert gzip.decompress(target.getvalue()) == text
    assert sum(told) == len(text)
    assert target.getvalue().count(b"\x1f\x8b\x08\0\0\0\0\0") == 1
    assert len(target.getvalue()) < len(gzip.compress(text, 6)) * 1.1 + 200
