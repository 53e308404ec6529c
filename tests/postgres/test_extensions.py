"""What is missing of an extension, and the statement that helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from command import octavo
from octavo.postgres.connection import connect
from octavo.postgres.failures import remedy
from octavo.schema.ddl import ddl
from octavo.store.decoded import load_datamodel

MISSING = [
    ('type "citext" does not exist', "run CREATE EXTENSION citext in"),
    ('type "public.hstore" does not exist', "run CREATE EXTENSION hstore in"),
    ('type "geometry" does not exist', "run CREATE EXTENSION postgis in"),
    ('type "nope" does not exist', "nope may belong to an extension"),
    ('operator class "gin_trgm_ops" does not exist for access method "gin"', "CREATE EXTENSION pg_trgm in"),
    ('operator class "vector_l2_ops" does not exist for access method "hnsw"', "CREATE EXTENSION vector in"),
    ('operator class "gist_geometry_ops_2d" does not exist for access method "gist"', "EXTENSION postgis in"),
    ('operator class "nope_ops" does not exist for access method "gin"', "nope_ops may belong"),
    ('data type integer has no default operator class for access method "gin"', "EXTENSION btree_gin in"),
    ('data type uuid has no default operator class for access method "gist"', "EXTENSION btree_gist in"),
    ("function uuid_generate_v4() does not exist", 'CREATE EXTENSION "uuid-ossp" in'),
    ("function gen_random_uuid() does not exist", "CREATE EXTENSION pgcrypto in"),
    ("function nope(text) does not exist", ""),
    ('extension "vector" is not available', "install it on the server, then run CREATE EXTENSION vector in"),
    (
        'could not open extension control file "/usr/share/extension/uuid-ossp.control": No such file',
        'install it on the server, then run CREATE EXTENSION "uuid-ossp" in',
    ),
    ('permission denied to create extension "ltree"', "a superuser has to run CREATE EXTENSION ltree in"),
    ('relation "users" does not exist', ""),
    ('role "citext" does not exist', ""),
]


@pytest.mark.parametrize(("message", "help"), MISSING)
def test_the_extension_is_named_that_has_what_is_missing(message: str, help: str) -> None:
    said = remedy(message)
    assert help in said
    assert bool(said) == bool(help)


HEAD = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n%s}\n'
NEEDING = {
    "type": (HEAD % "" + 'model A {\n  id Int @id\n  at Unsupported("vector(3)")?\n}\n', "vector"),
    "operator class": (
        HEAD % ""
        + 'model A {\n  id Int @id\n  t String\n  @@index([t(ops: raw("gin_trgm_ops"))], type: Gin)\n}\n',
        "pg_trgm",
    ),
    "default": (
        HEAD % "" + 'model A {\n  id String @id @default(dbgenerated("uuid_generate_v4()"))\n}\n',
        '"uuid-ossp"',
    ),
    "extension": (
        'generator client {\n  provider = "prisma-client-js"\n'
        '  previewFeatures = ["postgresqlExtensions"]\n}\n'
        + HEAD % "  extensions = [hstore]\n"
        + "model A {\n  id Int @id\n}\n",
        "hstore",
    ),
}


@pytest.mark.parametrize("kind", NEEDING)
def test_a_restore_names_the_extension_that_it_needs(
    kind: str, new_database: Callable[..., str], tmp_path: Path
) -> None:
    text, extension = NEEDING[kind]
    (tmp_path / "schema.prisma").write_text(text)
    place = ("--schema", tmp_path / "schema.prisma", "--data-dir", tmp_path / "data")
    assert octavo("scaffold", *place).code == 0
    done = octavo("restore", *place, DATABASE_URL=new_database())
    assert done.code == 3
    assert f"CREATE EXTENSION {extension} in this database" in done.err
    assert "\\n" not in done.err


def test_a_restore_goes_through_once_the_extension_is_there(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "schema.prisma").write_text(NEEDING["type"][0])
    place = ("--schema", tmp_path / "schema.prisma", "--data-dir", tmp_path / "data")
    source, target = new_database(), new_database()
    with connect(source) as connection:
        query = b"SELECT FROM pg_available_extensions WHERE name = 'vector'"
        if not connection.execute(query).rowcount:
            pytest.skip("this server has no extension to try it with")
        connection.execute(b"CREATE EXTENSION vector")
        connection.execute(ddl(load_datamodel(None, tmp_path / "schema.prisma")).script().encode())
        connection.execute(b"""INSERT INTO "A" VALUES (1, '[1,2,3]')""")
    assert octavo("export", *place, DATABASE_URL=source).code == 0
    refused = octavo("restore", *place, DATABASE_URL=target)
    assert "run CREATE EXTENSION vector in this database first" in refused.err
    with connect(target) as connection:
        connection.execute(b"CREATE EXTENSION vector")
    assert octavo("restore", *place, DATABASE_URL=target).code == 0
    assert octavo("verify", *place, DATABASE_URL=target).code == 0
