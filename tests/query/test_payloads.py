"""The files that records point at are in the store when the records are, and can be read on each backend."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import octavo
from crash.both_sides import Sides, begin
from octavo.backends.healing import heal
from octavo.client import Client
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.inspect.progress import Progress
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.store.store import Store
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Place:
    """A database, a store and a files root, and clients on them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.data, self.root = url, folder / "data", folder / "public"
        self.root.mkdir()
        (self.root / "cat.png").write_bytes(b"a cat")
        (self.root / "dog.png").write_bytes(b"a dog")
        scaffold(self.data, LAYOUT)
        with Sides(url, self.data).open() as (db, _):
            begin(db)

    def connect(self, backend: str, root: Path | None = None) -> Any:
        return octavo.connect(
            backend, database_url=self.url, data_dir=self.data, files_root=root or self.root
        )

    def kept(self) -> dict[str, str | None]:
        """The digest that each image has in the store."""
        with Store.open(self.data, LAYOUT) as store:
            found = store.read(
                lambda view: {row.id: view.payload("Image", row.id) for row in view.rows("Image")}
            )
            assert all(one is None or store.payloads.has(one) for one in found.values())
            return found

    def differences(self) -> list[Any]:
        report = verify(DatabaseUrl.parse(self.url), self.data, LAYOUT, VerifyOptions(self.root, jobs=1))
        return [*msgspec.to_builtins(report.differences), *(v.to_dict() for v in report.violations)]


@pytest.fixture
def place(schema_database: str, tmp_path: Path) -> Place:
    return Place(schema_database, tmp_path)


@pytest.fixture(params=["json", "dual"])
def db(place: Place, request: pytest.FixtureRequest) -> Iterator[Client]:
    with place.connect(request.param) as client:
        yield client


def image(path: str, size: int = 5, **more: Any) -> dict[str, Any]:
    return {"userId": "u", "filename": "x", "filepath": path, "mimeType": "image/png", "size": size, **more}


def test_it_is_taken_in_with_its_record(place: Place, db: Any) -> None:
    cat = db.image.create(data=image("cat.png", id="one"))
    assert db.payload(cat) == b"a cat"
    assert db.payload(db.image.find_unique(where={"id": "one"}, select={"id": True})) == b"a cat"
    db.image.create_many(data=[image("dog.png", id="two"), image("dog.png", id="three")])
    db.user.update(where={"id": "u"}, data={"images": {"create": _own(image("./cat.png", id="four"))}})
    db.image.upsert(where={"id": "five"}, create=image("dog.png", id="five"), update={"width": 1})
    db.close()
    cat_, dog = digest(b"a cat"), digest(b"a dog")
    assert place.kept() == {"one": cat_, "two": dog, "three": dog, "four": cat_, "five": dog}


def _own(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "userId"}


def test_it_follows_its_path_and_nothing_else(place: Place, db: Any) -> None:
    db.image.create(data=image("cat.png", id="one"))
    (place.root / "cat.png").unlink()
    db.image.update(where={"id": "one"}, data={"width": 7})
    db.image.create(data=image("dog.png", id="two"))
    db.image.update(where={"id": "two"}, data={"filepath": "gone.png"})
    db.close()
    assert place.kept() == {"one": digest(b"a cat"), "two": None}
    with place.connect("json") as json:
        json.image.update(where={"id": "two"}, data={"filepath": "dog.png"})
    assert place.kept()["two"] == digest(b"a dog")


def test_what_cannot_be_had_is_told_and_its_record_kept(
    place: Place, db: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (place.root / "link.png").symlink_to("cat.png")
    (place.root.parent / "secret").write_bytes(b"hush")
    paths = {"gone": "gone.png", "out": "../secret", "root": "/etc/hostname", "link": "link.png"}
    with caplog.at_level(logging.WARNING, "octavo.backends.json"):
        for name, path in paths.items():
            db.image.create(data=image(path, id=name))
        db.image.create(data=image("dog.png", 6, id="long"))
    assert [record.getMessage().partition("the payload ")[2] for record in caplog.records] == [
        "'gone.png' is missing",
        "'../secret' is refused: the path leads out of the folder by ..",
        "'/etc/hostname' is refused: the path is an absolute path",
        "'link.png' is refused: the path leads over a symbolic link",
        "'dog.png' is 5 bytes, the row says 6",
    ]
    assert db.payload(db.image.find_unique(where={"id": "out"})) is None
    db.close()
    assert place.kept() == {**dict.fromkeys(paths), "long": digest(b"a dog")}


def test_a_transaction_that_fails_names_none(place: Place, db: Any) -> None:
    def fail() -> None:
        with db.tx() as tx:
            tx.image.create(data=image("cat.png", id="one"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert db.image.count() == 0
    db.close()
    assert place.kept() == {}


def test_without_its_record_it_is_swept(place: Place, db: Any) -> None:
    for name, path in (("one", "cat.png"), ("two", "dog.png")):
        db.image.create(data=image(path, id=name))
    db.image.delete(where={"id": "one"})
    db.close()
    with Store.open(place.data, LAYOUT) as store:
        assert [r.file.rpartition("/")[2] for r in store.remove_payloads(grace=0)] == [digest(b"a cat")]
    assert place.kept() == {"two": digest(b"a dog")}


def test_both_sides_are_equal_payloads_included(place: Place) -> None:
    with place.connect("dual") as db:
        db.image.create(data=image("cat.png", id="one"))
        db.image.create(data=image("gone.png", id="two"))
        file = {"chatId": "k1", "filename": "x", "filepath": "dog.png", "mimeType": "image/png", "size": 5}
        db.chat_file.create(data={**file, "id": "three"})
    assert place.differences() == []
    with Sides(place.url, place.data).open() as (_, backend):
        assert backend.divergences.counters() == {"payloads not kept": 1}


def test_it_is_read_from_where_it_is(place: Place) -> None:
    with place.connect("dual") as db:
        one = db.image.create(data=image("cat.png", id="one"))
        (place.root / "cat.png").unlink()
        assert db.payload(one) == b"a cat"
        assert db.payload(db.user.find_first()) is None
    with place.connect("json") as db:
        assert db.payload(one) == b"a cat"
    with place.connect("prisma") as db:
        assert db.payload(one) is None
        (place.root / "cat.png").write_bytes(b"a new cat")
        assert db.payload(one) == b"a new cat"


def test_without_a_files_root_nobody_looks(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FILES_ROOT", raising=False)
    monkeypatch.chdir(place.data)
    with octavo.connect("json", data_dir=place.data) as db:
        made = db.image.create(data=image("cat.png", id="one"))  # type: ignore[arg-type]
        assert db.payload(made) is None
    assert place.kept() == {"one": None}
    monkeypatch.chdir(tmp_path)
    with octavo.connect("json", data_dir=place.data) as db:
        db.image.create(data=image("cat.png", id="two"))  # type: ignore[arg-type]
    monkeypatch.setenv("FILES_ROOT", str(place.data))
    with octavo.connect("json", data_dir=place.data) as db:
        db.image.create(data=image("cat.png", id="three"))  # type: ignore[arg-type]
    assert place.kept() == {"one": None, "two": digest(b"a cat"), "three": None}


def behind(place: Place) -> None:
    """An image that another program has made."""
    with place.connect("prisma") as db:
        db.image.create(data=image("cat.png", id="one"))


def test_healing_takes_it_in(place: Place) -> None:
    behind(place)
    with place.connect("dual") as db:
        backend = db._backend
        backend.divergences.add("answer", "Image")
        assert [h.error for h in heal(backend)] == [""]
    assert place.kept() == {"one": digest(b"a cat")}
    assert place.differences() == []


def test_so_does_an_export_that_runs_meanwhile(place: Place) -> None:
    class Meanwhile(Progress):
        def begin(self, phase: str, total: int, unit: str = "rows") -> None:
            if phase == "sync":
                with place.connect("dual") as db:
                    db.image.create(data=image("cat.png", id="one"))
                    db.image.create(data=image("gone.png", id="two"))

    options = ExportOptions(place.root, replace=True)
    report = export(DatabaseUrl.parse(place.url), place.data, LAYOUT, options, Meanwhile())
    assert [(p.key, p.reason) for p in report.payload_problems] == [("two", "is missing")]
    assert place.kept() == {"one": digest(b"a cat"), "two": None}
    assert place.differences() == []
