"""The Datamodel and the layout in the cache: taken if they fit, ignored if not, and never in the way."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.load import default_layout, frozen_layout, layout_for
from octavo.schema import texts
from octavo.schema.datamodel import Datamodel
from octavo.store import decoded
from octavo.store.decoded import NAME, load_datamodel

OPENING = """
import sys
import octavo

data, schema, layout = sys.argv[1], *(path or None for path in sys.argv[2:])
with octavo.connect("json", data_dir=data, schema=schema, layout=layout) as db:
    print(len(db.character.find_many()) if schema is None else len(db.entry.find_many()))
print("lark" in sys.modules, "tomllib" in sys.modules)
"""
SMALL = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Book {
  id      Int     @id
  entries Entry[]
}
model Entry {
  id   Int  @id
  book Book @relation(fields: [bookId], references: [id])
  bookId Int
}
"""
PLACES = """
version = 1
[documents]
"books.json" = { books = "Book" }
[logs_per_parent]
"entries/{bookId}.jsonl" = "Entry"
"""


def opened(data: Path, schema: Path | str = "", layout: Path | str = "") -> list[str]:
    """What a process of its own finds when it opens the store, and whether it parsed."""
    command = [sys.executable, "-c", OPENING, str(data), str(schema), str(layout)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def decode(data: Path, schema: Path | None = None, layout: Path | None = None) -> tuple[Datamodel, Layout]:
    """What is read from the texts or the cache."""
    datamodel = load_datamodel(data, schema, layout)
    return datamodel, layout_for(datamodel, layout)


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "data", ignore=shutil.ignore_patterns("cache")))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A store of a schema of its own, the schema and its layout."""
    schema, layout = tmp_path / "small.prisma", tmp_path / "small.toml"
    schema.write_text(SMALL, "utf-8")
    layout.write_text(PLACES, "utf-8")
    scaffold(tmp_path / "small", layout_for(load_datamodel(None, schema), layout))
    return tmp_path / "small", schema, layout


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frozen schema as a process finds it that has not read it yet, without the package's file."""
    monkeypatch.setattr(texts, "_datamodels", {})
    monkeypatch.setattr(decoded, "SHIPPED", os.devnull)


def test_the_shipped_file_is_what_is_parsed() -> None:
    assert Path(decoded.SHIPPED).read_bytes() == decoded.shipped_content(), "make stub"


def test_no_process_parses_the_frozen_schema(data: Path) -> None:
    found, *parsed = opened(data)
    assert found != "0"
    assert parsed == ["False", "False"]


def test_opening_a_store_loads_nothing_heavy(data: Path) -> None:
    opened(data)
    heavy = ("lark", "tomllib", "psycopg", "cryptography", "ctypes", "dataclasses", "hashlib", "logging")
    code = (
        "import sys, msgspec; before = set(sys.modules); import octavo\n"
        f"with octavo.connect('json', data_dir={str(data)!r}) as db: db.chat.find_many()\n"
        f"print(*(m for m in {heavy!r} if m in sys.modules and m not in before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_second_process_parses_nothing_of_a_schema_and_a_layout_of_its_own(
    small: tuple[Path, Path, Path],
) -> None:
    assert opened(*small) == ["0", "True", "True"]
    assert opened(*small) == ["0", "False", "False"]


def test_what_is_decoded_is_what_was_parsed(small: tuple[Path, Path, Path]) -> None:
    data, _, layout = small
    parsed = decode(*small)
    assert (data / NAME).exists()
    again = decode(*small)
    assert again == parsed
    assert again[0] is not parsed[0]
    assert again[1].datamodel is again[0]
    assert all(place.model is again[0].model(place.model.name) for place in again[1].places)
    assert all(place.relation in (None, *again[0].foreign_keys) for place in again[1].places)
    assert again[1].source == str(layout)
    assert layout_for(again[0], None) == default_layout(again[0])


@pytest.mark.usefixtures("unknown")
def test_the_frozen_schema_is_one_object_in_a_process(data: Path) -> None:
    datamodel, layout = decode(data)
    assert texts.frozen_schema() is datamodel
    assert frozen_layout() is layout
    assert load_datamodel(data) is datamodel


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("at", ["start", "end", "cut", "empty"])
def test_a_damaged_file_is_ignored_and_made_anew(
    data: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = decode(data)
    whole = (data / NAME).read_bytes()
    damaged = {
        "start": b"x" + whole[1:],
        "end": whole[:-2] + b"]}",
        "cut": whole[: len(whole) // 2],
        "empty": b"",
    }[at]
    (data / NAME).write_bytes(damaged)
    monkeypatch.setattr(texts, "_datamodels", {})
    assert decode(data) == parsed
    assert (data / NAME).read_bytes() == whole


@pytest.mark.usefixtures("unknown")
def test_every_flipped_bit_is_noticed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_datamodel(data)
    whole = (data / NAME).read_bytes()
    parsed = texts.frozen_schema()
    monkeypatch.setattr(decoded, "frozen_schema", lambda: parsed)
    for at in range(0, len(whole), len(whole) // 200):
        (data / NAME).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        monkeypatch.setattr(texts, "_datamodels", {})
        assert load_datamodel(data) is parsed
        (data / NAME).write_bytes(whole)


def test_other_texts_and_another_version_make_another_file(
    small: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, schema, layout = small
    made = [decode(*small), (data / NAME).read_bytes()]
    schema.write_text(SMALL.replace("bookId Int\n", "bookId Int\n  note String?\n"), "utf-8")
    datamodel, _ = decode(*small)
    assert [f.name for f in datamodel.model("Entry").scalars] == ["id", "bookId", "note"]
    assert (data / NAME).read_bytes() != made[1]
    layout.write_text(PLACES.replace("books.json", "shelf.json"), "utf-8")
    assert decode(*small)[1].place("Book").path == "shelf.json"
    before = (data / NAME).read_bytes()
    monkeypatch.setattr(decoded, "__version__", "next")
    decode(*small)
    assert (data / NAME).read_bytes() != before


@pytest.mark.usefixtures("unknown")
def test_nothing_is_written_where_there_is_no_such_store(
    tmp_path: Path, small: tuple[Path, Path, Path]
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty", small[0]):
        load_datamodel(folder)
        assert not (folder / "cache" / "schema.json").exists()
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("unknown")
def test_it_is_for_its_owner_alone_and_leaves_nothing_beside(data: Path) -> None:
    load_datamodel(data)
    assert [path.name for path in (data / "cache").iterdir()] == ["schema.json"]
    assert stat.S_IMODE((data / NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "cache").stat().st_mode) == 0o700


@pytest.mark.usefixtures("unknown")
def test_where_it_cannot_be_written_the_schema_is_parsed(data: Path) -> None:
    (data / NAME).mkdir(parents=True)
    datamodel, layout = decode(data)
    assert len(datamodel.models) == len(layout.places) == 23
    assert [path.name for path in (data / "cache").iterdir()] == ["schema.json"]
