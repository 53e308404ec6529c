"""A value type is one definition and one line: nothing else in Octavo names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from msgspec.structs import replace

import octavo
from backends import on_files, prisma_backend
from octavo.client import Client
from octavo.errors import ValidationError
from octavo.fold.export import ExportOptions, export
from octavo.fold.restore import restore
from octavo.layout.jsonschema import file_schemas
from octavo.layout.load import flat_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.postgres.drift import check
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.native import NATIVE_TYPES, NativeRule
from octavo.schema.parser import parse_schema
from octavo.url import DatabaseUrl
from octavo.values.base import TYPES, matching
from octavo.values.registry import value_type
from octavo.values.text import string

ROOT = Path(octavo.__file__).parent
DATASOURCE = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
DEVICES = f"""{DATASOURCE}
model Device {{
  address String   @id @db.MacAddr
  other   String?  @db.MacAddr
  seen    String[] @db.MacAddr
}}
"""
ADDRESS = "(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"


def write_address(value: Any) -> str:
    digits = re.sub("[:.-]", "", string(value).lower())
    if not re.fullmatch("[0-9a-f]{12}", digits):
        raise ValueError("is no MAC address")
    return ":".join(digits[n : n + 2] for n in range(0, 12, 2))


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> Vocabulary:
    """A vocabulary with a type that Prisma does not have, and PostgreSQL does."""
    address = replace(TYPES["Uuid"], write=write_address, schema=matching(ADDRESS))  # type: ignore[type-var]
    monkeypatch.setitem(TYPES, "MacAddr", address)
    monkeypatch.setitem(NATIVE_TYPES, "MacAddr", NativeRule("String", "MACADDR", "macaddr"))
    return Vocabulary(parse_schema(DEVICES))


@pytest.fixture
def url(vocabulary: Vocabulary, database: str) -> str:
    with connect(database) as connection:
        connection.execute(ddl(vocabulary.datamodel).script().encode())
    return database


def use(client: Client) -> list[dict[str, Any]]:
    """Write and ask for addresses in every way; gives what is there in the end."""
    devices = client.device
    devices.create(data={"address": "0A-00-00-00-00-01", "other": "0a00.0000.0002", "seen": ["0a0000000003"]})
    devices.create_many(data=[{"address": f"0b:00:00:00:00:0{n}"} for n in range(3)])
    with pytest.raises(ValidationError, match="is no MAC address"):
        devices.create(data={"address": "0a"})
    found = devices.find_unique(where={"address": "0A0000000001"})
    assert found is not None
    assert found.other == "0a:00:00:00:00:02"
    assert devices.count(where={"address": {"gt": "0b0000000000"}}) == 2
    assert devices.count(where={"other": {"in": ["0A-00-00-00-00-02"]}}) == 1
    assert devices.count(where={"seen": {"has": "0A0000000003"}}) == 1
    devices.update(where={"address": "0b0000000002"}, data={"seen": {"push": "0C0000000001"}})
    devices.delete(where={"address": "0b0000000001"})
    return [device.to_dict() for device in devices.find_many(order_by={"address": "desc"})]


def test_a_new_type_is_queried_alike_on_each_backend(
    vocabulary: Vocabulary, url: str, tmp_path: Path
) -> None:
    with on_files(vocabulary, tmp_path / "data") as client:
        found = use(client)
    with prisma_backend(vocabulary, url) as backend:
        assert use(Client(backend, vocabulary)) == found
    assert [device["address"][-1] for device in found] == ["2", "0", "1"]


def test_a_new_type_goes_to_files_and_back(
    vocabulary: Vocabulary, url: str, new_database: Any, tmp_path: Path
) -> None:
    with prisma_backend(vocabulary, url) as backend:
        found = use(Client(backend, vocabulary))
    datamodel = vocabulary.datamodel
    layout, other, nothing = flat_layout(datamodel), new_database(), tmp_path / "none"
    with connect(url) as connection:
        assert check(connection, datamodel).findings == ()
    export(DatabaseUrl.parse(url), tmp_path / "data", layout, ExportOptions(nothing, jobs=1))
    assert verify(DatabaseUrl.parse(url), tmp_path / "data", layout, VerifyOptions(nothing, None)).equal
    restore(DatabaseUrl.parse(other), tmp_path / "data", layout, tmp_path / "public")
    with prisma_backend(vocabulary, other) as backend:
        devices = Client(backend, vocabulary).device.find_many(order_by={"address": "desc"})
    assert [device.to_dict() for device in devices] == found
    [schema] = file_schemas(datamodel, layout).values()
    line: dict[str, Any] = {"_model": "Device", "address": "0a:00:00:00:00:01", "other": None, "seen": []}
    assert Draft202012Validator(schema).is_valid(line)
    assert not Draft202012Validator(schema).is_valid(line | {"address": "0a"})


def names_of(module: Path) -> Iterator[str]:
    """The strings in a module that are its code, not its documentation."""
    tree = ast.parse(module.read_bytes())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_only_a_types_module_and_its_line_name_it() -> None:
    """Operator classes have names like types (``VarBitOps``): :func:`octavo.schema.ddl.operator_class`.
    What becomes of a value under another type names both: :mod:`octavo.evolve.conversion`."""
    scalars = {rule.scalar for rule in NATIVE_TYPES.values()}
    naming: dict[str, set[str]] = {native: set() for native in NATIVE_TYPES.keys() - scalars}
    for module in set(ROOT.rglob("*.py")) - {ROOT / "schema" / "ddl.py", ROOT / "evolve" / "conversion.py"}:
        for native in naming.keys() & set(names_of(module)):
            naming[native].add(str(module.relative_to(ROOT)))
    families = {native: found - {"schema/native.py"} for native, found in naming.items()}
    assert {len(found) for found in naming.values()} == {2}
    assert {m.partition("/")[0] for found in families.values() for m in found} == {"values"}
    assert TYPES.keys() == NATIVE_TYPES.keys()


def test_a_type_is_worked_out_once() -> None:
    datamodel = parse_schema(
        f"{DATASOURCE}model A {{ \n id Int @id\n a DateTime @db.Date\n"
        " b DateTime[] @db.Date\n c DateTime? @db.Date\n}"
    )
    a, b, c = (value_type(datamodel.model("A").scalar(name), datamodel) for name in "abc")
    assert a is c is b.element
