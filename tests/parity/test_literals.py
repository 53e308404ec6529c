"""Defaults in every spelling that Prisma takes: one value on each backend, and no drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import octavo
from octavo.fold.scaffold import scaffold
from octavo.layout.load import layout_for
from octavo.postgres.connection import connect, transaction
from octavo.postgres.drift import check
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

DEFAULTS = (
    'Json @default("1e3")',
    'Json @default("[1e3, 1.50, 1E-2, -0]")',
    'Json @db.Json @default("{ \\"b\\" : 1e3, \\"a\\":1 }")',
    'Json[] @default(["1e3", "{}"])',
    'Json? @default("null")',
    'Decimal @default("1e3")',
    'Decimal @default("1_000.50")',
    'Decimal[] @default(["1e3", "+2"])',
    "Decimal @db.Money @default(5)",
    "Decimal @db.Decimal(10, 2) @default(1.005)",
    "Float @default(01.50)",
    "Int @default(007)",
    "BigInt @default(-05)",
    'DateTime @default("2020-01-01t00:00:00z")',
    'DateTime @db.Timestamptz @default("2020-01-01T00:00:00.123456789+02:00")',
    'DateTime @db.Time(3) @default("1970-01-01T10:20:30.123Z")',
    'DateTime[] @default(["2020-01-01t00:00:00z"])',
    'Bytes @default("aGk=")',
    'String @db.Char(5) @default("ab")',
)
SCHEMA = (
    'datasource db {\n  provider = "postgresql"\n}\nmodel Thing {\n  id Int @id\n'
    + "".join(f"  f{number} {kind}\n" for number, kind in enumerate(DEFAULTS))
    + "}\n"
)


def test_a_default_is_one_value_on_each_backend(new_database: Callable[..., str], tmp_path: Path) -> None:
    schema, datamodel = tmp_path / "schema.prisma", parse_schema(SCHEMA)
    schema.write_text(SCHEMA)
    made = {}
    for backend in ("json", "prisma", "dual"):
        url = new_database()
        with connect(url) as connection, transaction(connection):
            connection.execute(ddl(datamodel).script().encode())
            assert check(connection, datamodel).findings == ()
        scaffold(tmp_path / backend, layout_for(datamodel, None))
        with octavo.connect(backend, schema=schema, database_url=url, data_dir=tmp_path / backend) as db:
            record = db.thing.create(data={"id": 1})
            made[backend] = {kind: repr(getattr(record, f"f{n}")) for n, kind in enumerate(DEFAULTS)}
    assert made["json"] == made["prisma"] == made["dual"]
