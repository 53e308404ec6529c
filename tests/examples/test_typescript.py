"""The API in TypeScript answers the same on PostgreSQL and, by its URL alone, on the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from serve.conftest import empty_store
from serve.prisma import needs, run
from serve.serving import Served

SCHEMA = Path(__file__).parents[2] / "examples" / "typescript" / "prisma" / "schema.prisma"


@needs("prisma-6")
@pytest.mark.parametrize(
    "kind",
    ["json", pytest.param("prisma", marks=pytest.mark.slow), pytest.param("dual", marks=pytest.mark.slow)],
)
def test_the_example_answers_the_same_on_both(
    kind: str, new_database: Callable[..., str], tmp_path: Path
) -> None:
    sql = tmp_path / "schema.sql"
    sql.write_text(ddl(parse_schema(SCHEMA.read_text())).script())
    reference, served = new_database(), new_database()
    env = {"REFERENCE_URL": reference.partition("&schema")[0], "SCHEMA_SQL": str(sql)}
    expected = run("notes.mjs", env=env)
    with connect(served) as connection:
        connection.execute(sql.read_bytes())
    store = empty_store(tmp_path / "data", SCHEMA)
    place = {"DATA_BACKEND": kind, "DATABASE_URL": served}
    with Served(store, "--schema", str(SCHEMA), env=place) as server:
        assert run("notes.mjs", served=server, env={"REFERENCE_URL": ""}) == expected
    assert "On looms" in expected
