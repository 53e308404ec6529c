"""``octavo generate``: a package that imports, opens data of its schema, and can be made again."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from command import octavo
from octavo.errors import SchemaMismatch
from octavo.generate.package import write_package
from octavo.layout.record import record_type
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema, frozen_text

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Client {
  id   Int    @id
  kind Kind
  name String
}

enum Kind {
  A
  B
}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    write_package(parse_schema(SCHEMA), SCHEMA, tmp_path / "generated_db")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("generated_db")
    del sys.modules["generated_db"]


def test_a_package_has_the_types_of_its_schema(package: ModuleType) -> None:
    datamodel = parse_schema(SCHEMA)
    assert package.ClientRecord is record_type(datamodel.model("Client"), datamodel)
    assert package.ClientCreate.__name__ == "ClientCreate"
    assert package.Kind.__args__ == ("A", "B")
    assert {"connect", "Client", "AsyncClient", "ClientRecord", "Kind"} <= set(dir(package))
    with pytest.raises(AttributeError, match=r"'generated_db' has no attribute 'ClientWhere'.*type checkers"):
        package.ClientWhere  # noqa: B018


def test_a_package_opens_a_store_of_its_schema(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "schema.prisma").write_text(SCHEMA)
    octavo("scaffold", "--data-dir", tmp_path / "data", "--schema", tmp_path / "schema.prisma")
    with package.connect("json", data_dir=tmp_path / "data") as db:
        assert isinstance(db, package.Client)
        made = db.client.create(data={"id": 1, "kind": "A", "name": "x"})
        assert isinstance(made, package.ClientRecord)


def test_a_package_refuses_a_store_of_another_schema_and_names_the_field(
    package: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "schema.prisma").write_text(SCHEMA.replace("  name String\n", "  title String?\n"))
    octavo("scaffold", "--data-dir", tmp_path / "data", "--schema", tmp_path / "schema.prisma")
    with pytest.raises(SchemaMismatch, match=r"Client\.name") as caught:
        package.connect("json", data_dir=tmp_path / "data")
    assert "octavo generate --out" in caught.value.__notes__[0]

    async def awaited() -> None:
        await package.connect_async("json", data_dir=tmp_path / "data", threads=1)

    with pytest.raises(SchemaMismatch, match=r"Client\.name"):
        asyncio.run(awaited())
    renewed = octavo("generate", "--out", tmp_path / "renewed", "--data-dir", tmp_path / "data")
    assert renewed.code == 0
    assert "title: str | None" in (tmp_path / "renewed" / "__init__.pyi").read_text("utf-8")


def test_importing_a_package_opens_and_parses_nothing(package: ModuleType, tmp_path: Path) -> None:
    code = "import sys, generated_db; print(sorted({'lark', 'psycopg', 'lmdb'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


def test_the_shipped_schema_has_its_package_too_and_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    out = tmp_path / "made" / "db"
    assert octavo("generate", "--out", out).code == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {"__init__.py", "__init__.pyi", "py.typed", "schema.prisma"}
    assert first["schema.prisma"].decode() == frozen_text()
    assert octavo("generate", "--out", out).code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert all(f"class {model.name}(" in first["__init__.pyi"].decode() for model in frozen_schema().models)


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("my-db", "'my-db' cannot be the name of a Python package"),
        ("class", "'class' cannot be the name of a Python package"),
        ("octavo", "would hide Octavo itself"),
        ("taken", "taken has files, and is no generated package"),
        ("file", "file is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_the_package_is_refused(tmp_path: Path, out: str, reason: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "__init__.py").write_text("mine = 1\n")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = octavo("generate", "--out", tmp_path / out)
    assert done.code == 2
    assert reason in done.err
    assert sorted(tmp_path.rglob("*")) == before
