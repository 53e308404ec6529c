"""Payloads in the store: once per content, durable, gone only when somebody says so."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from folders import write_long_ago
from octavo.errors import BusyError, DamagedError, DiskError, UsageError
from octavo.inspect.payloads import file_digest
from octavo.layout.load import frozen_layout
from octavo.store.engine import left_overs
from octavo.store.store import Store
from octavo.store.system import FileSystem

LAYOUT = frozen_layout()
TEXT = b"a picture, say"
NAME = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store.open(data, LAYOUT) as opened:
        yield opened


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
def test_whatever_it_comes_from_it_is_kept_under_its_digest(
    store: Store, data: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "source").write_bytes(TEXT)
    source = {"bytes": TEXT, "path": tmp_path / "source", "file": io.BytesIO(TEXT)}[kind]
    assert store.put_payload(source) == NAME  # type: ignore[arg-type]
    kept = data / "binaries" / NAME[:2] / NAME
    assert kept.read_bytes() == TEXT
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    with store.open_payload(NAME) as opened:
        assert opened.read() == TEXT


def test_storing_it_again_heals_it_and_leaves_nothing_beside(store: Store, data: Path) -> None:
    store.put_payload(TEXT)
    kept = data / "binaries" / NAME[:2] / NAME
    kept.write_bytes(b"something else")
    assert store.put_payload(TEXT) == NAME
    assert kept.read_bytes() == TEXT
    assert not [name for name in os.listdir(data / "binaries") if name.startswith(".")]


def test_it_is_stored_while_somebody_holds_the_write_lock(store: Store, data: Path) -> None:
    with store.transaction() as tx:
        store.put_payload(TEXT)
        image = next(tx.rows("Image"))
        tx.set_payload("Image", image.id, NAME)
    assert store.read(lambda view: view.payload("Image", image.id)) == NAME


def test_a_record_never_names_one_that_is_not_there(store: Store, data: Path) -> None:
    image = store.read(lambda view: next(view.rows("Image")))
    before = store.read(lambda view: view.payload("Image", image.id))
    with pytest.raises(UsageError, match="not in the store"), store.transaction() as tx:
        tx.set_payload("Image", image.id, NAME)
    assert store.read(lambda view: view.payload("Image", image.id)) == before


def test_nothing_but_a_digest_names_one(store: Store, data: Path) -> None:
    for name in ("../../etc/passwd", NAME.upper(), NAME[:-1], ""):
        with pytest.raises(UsageError):
            store.open_payload(name)
    with pytest.raises(DamagedError, match="not there"):
        store.open_payload(NAME)


def test_a_link_in_place_of_a_shelf_is_not_followed(store: Store, data: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (data / "binaries" / NAME[:2]).symlink_to(tmp_path / "outside")
    with pytest.raises(DamagedError, match="no folder"):
        store.put_payload(TEXT)
    assert os.listdir(tmp_path / "outside") == []
    (tmp_path / "outside" / NAME).write_bytes(TEXT)
    with pytest.raises(DamagedError, match="is not there"):
        store.open_payload(NAME)
    assert not store.payloads.has(NAME)
    with pytest.raises(OSError, match="symbolic link"):
        file_digest(data, store.payloads.file(NAME))


class _Full(FileSystem):
    """A disk that is full at the nth change."""

    def __init__(self) -> None:
        self.left = -1

    def _step(self) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.left -= 1

    def write(self, descriptor: int, data: bytes | memoryview, at: int) -> int:
        self._step()
        return super().write(descriptor, data, at)

    def sync(self, descriptor: int) -> None:
        self._step()
        super().sync(descriptor)

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)

    def make_folder(self, path: str) -> None:
        self._step()
        super().make_folder(path)


def test_if_the_disk_refuses_nothing_is_left_of_it(data: Path) -> None:
    system = _Full()
    with Store.open(data, LAYOUT, system=system) as store:
        for steps in range(4):
            system.left = steps
            with pytest.raises(DiskError, match="storing a payload"):
                store.put_payload(TEXT)
            system.left = -1
            assert not store.payloads.has(NAME)
            assert left_overs(str(data), LAYOUT) == []
            assert not [name for name in os.listdir(data / "binaries") if name.startswith(".")]
        assert store.put_payload(TEXT) == NAME


def test_what_a_crash_left_goes_and_what_is_on_its_way_stays(store: Store, data: Path) -> None:
    left = data / "binaries" / ".0123456789abcdef.incoming"
    write_long_ago(left, b"half a pict")

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert left_overs(str(data), LAYOUT) == ["binaries/.0123456789abcdef.incoming"]
            return super().read(size)

    assert store.put_payload(Slow(TEXT)) == NAME


def test_only_what_no_record_names_and_is_old_is_removed(store: Store, data: Path) -> None:
    named = {path.name for path in data.glob("binaries/??/*")}
    young, old = store.put_payload(b"young"), store.put_payload(TEXT)
    for name in (*named, old):
        age(data / "binaries" / name[:2] / name, 7200)
    assert [(r.file, r.size) for r in store.remove_payloads()] == [
        (f"binaries/{old[:2]}/{old}", len(TEXT)),
    ]
    assert {path.name for path in data.glob("binaries/??/*")} == {*named, young}


def test_nothing_is_removed_while_a_backup_needs_it_or_a_record_cannot_be_read(
    store: Store, data: Path
) -> None:
    store.put_payload(TEXT)
    with store.payloads.kept(), pytest.raises(BusyError, match="a backup"):
        store.remove_payloads(grace=-1)
    with open(data / "binaries" / "index.jsonl", "ab") as log:
        log.write(b'{"_model":"Image","id":7}\n')
    with pytest.raises(DamagedError):
        store.remove_payloads(grace=-1)
    assert store.payloads.has(NAME)
