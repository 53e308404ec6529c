"""Calls of Prisma Client give what Prisma's own engine gives on PostgreSQL, values and errors alike.

The answers of Prisma's engine are recorded (``tests/serve/record.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from octavo.postgres.connection import connect
from serve.conftest import empty_store
from serve.prisma import NODE, SCHEMA, SETS, by_engine, needs, run
from serve.serving import Served


def served(path: Path, name: str, *options: str, env: Mapping[str, str] | None = None) -> Served:
    schema = SCHEMA.get(name)
    named = () if schema is None else ("--schema", str(schema))
    return Served(empty_store(path / "data", schema), *options, *named, env=env)


@needs("prisma-6")
@pytest.mark.parametrize("name", SETS)
def test_calls_by_the_url_alone_give_what_prisma_gives(name: str, tmp_path: Path) -> None:
    with served(tmp_path, name) as server:
        run("run.mjs", name, served=server)
        assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "version",
    [pytest.param(version, marks=needs(version)) for version in ("prisma-6", "prisma-7")],
)
@pytest.mark.parametrize("name", SETS)
def test_calls_by_the_exchanged_engine_give_what_prisma_gives(
    name: str, version: str, tmp_path: Path
) -> None:
    with served(tmp_path, name, "--socket", str(tmp_path / "s")) as server:
        run("run.mjs", name, env=by_engine(server, version))


@pytest.mark.slow
@needs("prisma-6")
@pytest.mark.parametrize("kind", ["prisma", "dual"])
@pytest.mark.parametrize("name", SETS)
def test_calls_give_the_same_on_the_other_backends(
    name: str, kind: str, database: str, tmp_path: Path
) -> None:
    schema = "types" if name in SCHEMA else "chat"
    with connect(database) as connection:
        connection.execute((NODE / "schemas" / f"{schema}.sql").read_bytes())
    place = {"DATA_BACKEND": kind, "DATABASE_URL": database}
    with served(tmp_path, name, env=place) as server:
        run("run.mjs", name, served=server)
