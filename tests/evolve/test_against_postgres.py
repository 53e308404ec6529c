"""Migrated files are, byte for byte, what PostgreSQL's ALTERs and an export give."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from evolving import Alters, evolved, layout, rows, world
from octavo.errors import DifferenceError
from octavo.evolve.matching import Renames
from octavo.evolve.migrate import MigrateOptions, migrate, migrate_back
from octavo.fold.export import ExportOptions, export
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema, parse_source
from octavo.store.identity import LAYOUT, read_identity, read_layout_text, read_source
from octavo.url import DatabaseUrl


def records(root: Path) -> dict[str, bytes]:
    """The files of records below a data folder."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ("cache", "schema")
    }


def layout_of(root: Path) -> Layout:
    """The layout that a store has, with its schema."""
    return parse_layout(read_layout_text(root), parse_source(read_source(root)), source=LAYOUT)


def exported(url: str, root: Path, of: Layout) -> Path:
    export(DatabaseUrl.parse(url), root, of, ExportOptions(root.parent / "no-files", jobs=1))
    return root


def altered(url: str, alters: Alters) -> None:
    with connect(url) as connection:
        for statement in alters.statements():
            connection.execute(statement.encode())


def migrated_as_altered(seed: int, url: str, root: Path) -> str:
    """Take one pair of schemas both ways; what became of it."""
    rng = random.Random(seed)
    before = world(rng)
    step = evolved(rng, before)
    old, new = parse_schema(before.text()), parse_schema(step.world.text())
    first = parse_layout(layout(rng, before), old)
    with connect(url) as connection:
        connection.execute(ddl(old).script().encode())
        for statement in rows(rng, before, old, 9):
            connection.execute(statement.encode())
    data = exported(url, root / "data", first)
    was = records(data)
    renames = Renames(step.models, step.members)
    planned = migrate(data, first, new, MigrateOptions(renames=renames, dry_run=True))
    assert records(data) == was
    if planned.refused:
        with pytest.raises(DifferenceError) as refused:
            migrate(data, first, new, MigrateOptions(renames=renames))
        assert list(refused.value.findings) == planned.refused
        assert records(data) == was
        # PostgreSQL refuses it too, or cuts what does not fit.
        if not any("fit" in said or "digits" in said for said in planned.refused):
            with pytest.raises(psycopg.Error):
                altered(url, Alters(old, new, step, "2025-01-01"))
        return "refused"
    report = migrate(data, first, new, MigrateOptions(renames=renames))
    identity = read_identity(data)
    assert identity is not None
    if not identity.migrations:
        return "the same"
    altered(url, Alters(old, new, step, identity.migrations[-1]["at"]))
    now = layout_of(data)
    assert records(data) == records(exported(url, root / "again", now))
    if migrate_back(data, now, MigrateOptions(dry_run=True)).refused:
        with pytest.raises(DifferenceError):
            migrate_back(data, now, MigrateOptions())
        assert report.lost
        return "one way"
    assert not report.lost
    migrate_back(data, now, MigrateOptions())
    assert records(data) == was
    return "both ways"


@pytest.mark.parametrize("seed", range(12))
def test_a_few_pairs(seed: int, new_database: Callable[..., str], tmp_path: Path) -> None:
    migrated_as_altered(seed, new_database(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_pairs(seed: int, new_database: Callable[..., str], tmp_path: Path) -> None:
    migrated_as_altered(seed, new_database(), tmp_path)
