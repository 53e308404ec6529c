"""A check refuses an archive that ``octavo backup`` cannot have written, at a bounded cost."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.care.archive import read
from octavo.care.backup import back_up, check, schema_of
from octavo.errors import DamagedError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout

MEMORY, PROCESSOR = 1 << 29, 30
"""bytes of address space and seconds of processor time that a check may take, whatever it is given"""
TAGS = "data/tags/tags.json"


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: str | bytes, data: bytes = b"", kind: bytes = b"0", **fields: Any) -> bytes:
    """A member of a tar file, whatever its name, kind and size are."""
    raw = name if isinstance(name, bytes) else name.encode()
    size = fields.get("size", len(data))
    link = fields.get("link", b"")
    head = b"".join(
        (
            raw[:100].ljust(100, b"\0"),
            b"%07o\0" % fields.get("mode", 0o600),
            b"0000000\0" * 2,
            size if isinstance(size, bytes) else b"%011o\0" % size,
            b"%011o\0" % 0,
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            fields.get("magic", b"ustar\x0000"),
            bytes(64 + 16),
            fields.get("prefix", b"").ljust(155, b"\0"),
        )
    ).ljust(512, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:] + padded(data)


def extended(**records: bytes) -> bytes:
    """An extended header with these records."""
    text = b""
    for key, value in records.items():
        body = b" %s=%s\n" % (key.replace("_", ".").encode(), value)
        length = next(n for n in range(len(body), len(body) + 9) if n == len(body) + len(str(n)))
        text += str(length).encode() + body
    return member("././@PaxHeader", text, b"x")


def folder(name: str) -> bytes:
    return member(f"{name}/", kind=b"5", mode=0o700)


def manifest(*files: tuple[str, bytes], **changes: Any) -> bytes:
    """The manifest of an archive with these files."""
    listed = [
        {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files
    ]
    said = {
        **{"format": 1, "octavo": "1", "layoutVersion": 1, "schema": {}, "madeAt": "", "counts": {}},
        "files": listed,
        **changes,
    }
    return member("manifest.json", json.dumps(said).encode())


END = bytes(1024)
HEAD = folder("data") + folder("data/tags")
ONE = member(TAGS, b"{}")
GOOD = HEAD + ONE + manifest((TAGS, b"{}")) + END


def checked(tmp_path: Path, archive: bytes) -> list[str]:
    (tmp_path / "there.tar").write_bytes(archive)
    return check(tmp_path / "there.tar").damaged


def test_one_as_octavo_writes_it_is_sound(tmp_path: Path) -> None:
    assert checked(tmp_path, GOOD) == []
    assert checked(tmp_path, gzip.compress(GOOD)) == []
    assert checked(tmp_path, GOOD + bytes(10240 - len(GOOD) % 10240)) == []


def more(*members: bytes) -> bytes:
    """The sound archive with more members before its manifest."""
    return HEAD + ONE + b"".join(members) + manifest((TAGS, b"{}")) + END


def named(name: str, data: bytes = b"x") -> bytes:
    """One whose manifest names this file, too."""
    return HEAD + ONE + member(name, data) + manifest((TAGS, b"{}"), (name, data)) + END


HOSTILE: dict[str, bytes] = {
    "a name that leads up": named("data/../evil"),
    "a name that leads up to the store": named("data/tags/../evil"),
    "an absolute name": named("/data/evil"),
    "a name outside": named("evil"),
    "a name like the store's": named("data2/evil"),
    "a dot": named("data/./evil"),
    "another spelling of a file": more(member("data/./tags/tags.json", b"evil")),
    "a name with two slashes": named("data//evil"),
    "a file whose name ends with a slash": named("data/evil/"),
    "a file in no folder": named("data/nowhere/evil"),
    "a file below a file": named(f"{TAGS}/evil"),
    "a file for a folder": HEAD + member("data/tags", b"x") + ONE + manifest((TAGS, b"{}")) + END,
    "a file for the store": member("data", b"x") + manifest(("data", b"x")) + END,
    "a file twice": more(ONE),
    "a folder twice": more(folder("data/tags")),
    "a folder for a file": more(folder(TAGS)),
    "no name": more(member("", b"x")),
    "a folder outside": more(folder("evil")),
    "a folder above": more(folder("..")),
    "a folder that leads up": more(folder("data/../evil")),
    "an absolute folder": more(folder("/evil")),
    "the folder itself": more(folder("data/.")),
    "a folder for the manifest": more(folder("manifest.json")),
    "a folder with content": more(member("data/evil/", b"x", b"5")),
    "a name in two parts": more(member("evil", b"x", prefix=b"data")),
    "a file that is another's by its mode": more(member("data/evil", b"x", mode=0o4755)),
    "a second manifest first": manifest() + GOOD,
    "a second manifest last": GOOD[: -len(END)] + manifest() + END,
    "a file behind the manifest": GOOD[: -len(END)] + member("data/evil", b"x") + END,
    "a folder behind the manifest": GOOD[: -len(END)] + folder("data/evil") + END,
    "another archive behind it": GOOD + GOOD,
    "something behind it": GOOD + b"evil",
    "zeros without end behind it": GOOD + bytes(1 << 20),
    "an archive of its own behind it": gzip.compress(GOOD) + gzip.compress(GOOD),
    "something behind its compression": gzip.compress(GOOD) + b"evil",
    "no end": GOOD[: -len(END)],
    "half an end": GOOD[:-512],
    "no manifest": HEAD + ONE + END,
    "a manifest that is a link": HEAD + ONE + member("manifest.json", b"", b"2", link=b"/etc/passwd") + END,
    "a name given twice": more(
        member("x", b"15 path=data/a\n15 path=data/b\n", b"x"), member("data/c", b"x")
    ),
    "a name that an extended header leads up": more(extended(path=b"data/../evil"), member("data/a", b"x")),
    "a size that is no number": more(extended(size=b"-1"), member("data/a", b"x")),
    "a size without end": more(extended(size=b"9" * 100), member("data/a", b"x")),
    "an extended header that is none": more(member("x", b"12 evil\n", b"x"), member("data/a", b"x")),
    "an extended header of length 0": more(member("x", b"0 path=data/b\n", b"x"), member("data/a", b"x")),
    "an extended header that is too long": more(
        member("x", b"99 path=data/b\n", b"x"), member("data/a", b"x")
    ),
    "one after the other": more(extended(path=b"data/b"), extended(path=b"data/c"), member("data/a", b"x")),
    "a link by an extended header": more(extended(linkpath=b"/etc"), member("data/a", b"x")),
    "a sparse file by an extended header": more(extended(GNU_sparse_map=b"0,1"), member("data/a", b"x")),
    "a size in base 256": more(member("data/a", b"x", size=b"\x80" + bytes(10) + b"\x01")),
    "a negative size": more(member("data/a", b"x", size=b"-0000000001\0")),
    "GNU's form": more(member("data/a", b"x", magic=b"ustar  \0")),
    "a checksum that is wrong": GOOD[:148] + b"000000\0 " + GOOD[156:],
    "something in the padding": GOOD.replace(padded(b"{}"), b"{}".ljust(512, b"x"), 1),
    **{
        f"a member of kind {kind!r}": more(member("data/evil", b"", bytes([kind]), link=b"/etc/passwd"))
        for kind in b"1234677KLSgxVMDNA\0"
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_octavo_does_not_write_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedError):
        checked(tmp_path, HOSTILE[name])
    assert os.listdir(tmp_path) == ["there.tar"]


LYING: dict[str, bytes] = {
    "a file that the manifest does not name": more(member("data/evil", b"x")),
    "one that it names twice": HEAD + ONE + manifest((TAGS, b"{}"), (TAGS, b"{}")) + END,
    "one that is missing": HEAD + manifest((TAGS, b"{}")) + END,
    "another size": HEAD + ONE + manifest((TAGS, b"{ }")) + END,
    "another spelling": HEAD + ONE + manifest(("data/tags/./tags.json", b"{}")) + END,
}


@pytest.mark.parametrize("name", LYING)
def test_what_the_manifest_does_not_say_is_told(tmp_path: Path, name: str) -> None:
    assert checked(tmp_path, LYING[name])


MANIFESTS: dict[str, dict[str, Any]] = {
    "another format": {"format": 2},
    "a size below 0": {"files": [{"path": TAGS, "size": -1, "sha256": ""}]},
    "a size that nothing has": {"files": [{"path": TAGS, "size": 10**4000, "sha256": ""}]},
    "a count that nothing has": {"counts": {"User": 10**4000}},
    "no files": {"files": None},
    "a text for files": {"files": "data"},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DamagedError):
        checked(tmp_path, HEAD + ONE + manifest(**MANIFESTS[name]) + END)


@pytest.mark.parametrize("text", [b"[" * 500_000, b'{"x":' * 100_000, b"", b"null", b"\xff", b"1" * 900_000])
def test_a_manifest_of_any_text_is_refused(tmp_path: Path, text: bytes) -> None:
    for written in (text, b'{"evil":' + text):
        with pytest.raises(DamagedError):
            checked(tmp_path, HEAD + ONE + member("manifest.json", written) + END)


def zeros(size: int) -> Iterator[bytes]:
    yield from (bytes(1 << 20) for _ in range(size >> 20))


def numbered(make: Callable[[int], bytes], number: int) -> Iterator[bytes]:
    yield HEAD
    for n in range(number):
        yield make(n)


LARGE = 600 << 20
HUGE: dict[str, Callable[[], Iterator[bytes]]] = {
    "an extended header": lambda: iter([HEAD, member("x", kind=b"x", size=LARGE), *zeros(LARGE)]),
    "a long name of GNU's": lambda: iter([HEAD, member("x", kind=b"L", size=LARGE), *zeros(LARGE)]),
    "a manifest": lambda: iter([HEAD, member("manifest.json", size=LARGE), *zeros(LARGE), END]),
    "a sparse file": lambda: iter([HEAD, member("data/a", kind=b"S", size=LARGE), *zeros(LARGE), END]),
    "a size that is not there": lambda: iter([HEAD, member("data/a", size=8**11 - 1)]),
    "a file": lambda: iter([HEAD, member("data/a", size=LARGE), *zeros(LARGE), manifest(), END]),
    "many files": lambda: numbered(lambda n: member(f"data/{n:06}"), 60_000),
    "many folders": lambda: numbered(lambda n: folder(f"data/{n:06}"), 60_000),
    "many extended headers": lambda: numbered(lambda n: extended(path=b"data/" + b"x" * 200), 60_000),
    "many long names": lambda: numbered(
        lambda n: extended(path=b"data/%06d" % n + b"x" * 4000) + member("x"), 10_000
    ),
}


SLOW = [(name, "tar") for name in HUGE] + [("a sparse file", "tar.gz"), ("many folders", "tar.gz")]


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        pytest.param(name, ending, marks=[pytest.mark.slow] if (name, ending) in SLOW else [])
        for name in HUGE
        for ending in ("tar.gz", "tar")
    ],
)
def test_what_a_check_costs_is_bounded(tmp_path: Path, name: str, ending: str) -> None:
    archive = tmp_path / f"there.{ending}"
    with gzip.open(archive, "wb", 1) if ending == "tar.gz" else open(archive, "wb") as file:
        for piece in HUGE[name]():
            file.write(piece)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))

    done = subprocess.run(
        [sys.executable, "-m", "octavo", "backup", "--check", archive],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 1, done.stderr
    assert "not enough memory" not in done.stderr
    assert "defect" not in done.stderr


@given(
    at=st.integers(0, len(GOOD) - 1),
    what=st.sampled_from(["change", "cut", "remove", "insert"]),
    by=st.binary(min_size=1, max_size=8),
)
def test_whatever_is_done_to_one_it_is_read_or_refused(at: int, what: str, by: bytes) -> None:
    changed = {
        "change": GOOD[:at] + by + GOOD[at + len(by) :],
        "cut": GOOD[:at],
        "remove": GOOD[:at] + GOOD[at + len(by) :],
        "insert": GOOD[:at] + by + GOOD[at:],
    }[what]
    for data in (changed, gzip.compress(changed, 1)):
        try:
            content = read(io.BytesIO(data), lambda size: None)
        except DamagedError:
            continue
        assert all(name.startswith("data/") for name in content.files)


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
def test_names_of_all_kinds_are_kept_and_found_again(tmp_path: Path, ending: str) -> None:
    """Those of files that are not Octavo's: what a backup takes along."""
    data = tmp_path / "data"
    scaffold(data, frozen_layout())
    for name in (b"\xff", b"x" * 200, "größe".encode(), b"a\nb", b"a b", b"\\xff", b"manifest.json", b"data"):
        (Path(os.fsdecode(os.fsencode(data) + b"/" + name))).write_bytes(name)
    (data / "notes").mkdir()
    (data / "notes" / "deep").write_text("deep")
    archive = back_up(data, frozen_layout(), tmp_path / f"there.{ending}", schema_of(None)).target
    assert check(archive).damaged == []
