"""A store says what it is: the schema's and the layout's texts, and what they mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from octavo.errors import DamagedError, OctavoError, SchemaMismatch
from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout, parse_layout
from octavo.schema.parser import parse_files, parse_schema, parse_source
from octavo.store.identity import (
    identity_files,
    read_identity,
    read_layout_text,
    read_source,
    require_same,
    write_identity,
)
from task_schema import NEXT, PLACES, SCHEMA


def layout_of(text: str, places: str = "") -> Layout:
    datamodel = parse_schema(text, "here/tasks.prisma")
    return parse_layout(places, datamodel) if places else flat_layout(datamodel)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_identity(tmp_path, identity_files(layout_of(SCHEMA)))
    return tmp_path


def test_the_texts_are_kept_byte_for_byte(store: Path) -> None:
    assert (store / "schema/schema.prisma").read_bytes() == SCHEMA.encode()
    said = json.loads((store / "schema/store.json").read_text("utf-8"))
    assert said.pop("schema").keys() == {"name", "version", "fingerprint"}
    assert said == {"_version": 1, "format": 1, "migrations": []}
    found = read_identity(store)
    assert found is not None
    assert (found.schema.name, found.schema.version) == ("tasks.prisma", None)
    assert found.schema.fingerprint.startswith("sha256:")


def test_a_schema_folder_keeps_its_names(tmp_path: Path) -> None:
    head, tail = SCHEMA.split("model Task")
    datamodel = parse_files([("p/base.prisma", head), ("p/of/tasks.prisma", f"model Task{tail}")], root="p")
    write_identity(tmp_path, identity_files(flat_layout(datamodel)))
    assert (tmp_path / "schema/of/tasks.prisma").read_text("utf-8") == f"model Task{tail}"
    assert datamodel.source is not None
    assert read_source(tmp_path, "p").files == datamodel.source.files
    assert parse_source(read_source(tmp_path, "p")) == datamodel


def test_the_frozen_schema_has_its_version(tmp_path: Path) -> None:
    write_identity(tmp_path, identity_files(frozen_layout()))
    found = read_identity(tmp_path)
    assert found is not None
    assert found.schema.version == "0.7.0"
    require_same(tmp_path, frozen_layout())


def test_the_same_schema_passes_and_another_is_told_apart(store: Path) -> None:
    require_same(store, layout_of(SCHEMA))
    require_same(store, layout_of(f"{SCHEMA}\n// another note"))
    with pytest.raises(SchemaMismatch, match=r"octavo schema migrate") as caught:
        require_same(store, layout_of(NEXT))
    assert caught.value.differences == ("Task.estimate is not in the store's",)
    assert caught.value.exit_code == 2


def test_another_layout_is_told_apart(store: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"Task lives in task\.jsonl, not in all\.jsonl"):
        require_same(store, layout_of(SCHEMA, PLACES))


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("store.json", b"{", "is not what Octavo writes"),
        ("store.json", b"", "is not what Octavo writes"),
        ("store.json", b"[]", "is not what Octavo writes"),
        ("store.json", b'{"_version": 2, "schema": null}', "is not what Octavo writes"),
        ("layout.toml", b"\xff", "is not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_damage_by_name(store: Path, file: str, text: bytes, reason: str) -> None:
    (store / "schema" / file).write_bytes(text)
    with pytest.raises(DamagedError, match=f"schema/{file}: {reason}"):
        require_same(store, layout_of(SCHEMA, PLACES))


@pytest.mark.parametrize("key", ["_version", "format"])
def test_a_newer_one_is_refused(store: Path, key: str) -> None:
    said = json.loads((store / "schema/store.json").read_text("utf-8"))
    (store / "schema/store.json").write_text(json.dumps({**said, key: 2}), "utf-8")
    with pytest.raises(DamagedError, match="written by a newer Octavo"):
        read_identity(store)


def test_a_link_is_not_followed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "x.prisma"
    other.write_text(SCHEMA, "utf-8")
    (store / "schema/schema.prisma").unlink()
    (store / "schema/schema.prisma").symlink_to(other)
    with pytest.raises(OctavoError, match=r"schema/schema\.prisma"):
        read_source(store)


def test_a_layout_that_was_made_up_is_written_whole(store: Path) -> None:
    own = parse_layout(read_layout_text(store), parse_schema(SCHEMA))
    assert own.places == layout_of(SCHEMA).places


def test_a_store_from_before_says_nothing(tmp_path: Path) -> None:
    assert read_identity(tmp_path) is None
    require_same(tmp_path, frozen_layout())
