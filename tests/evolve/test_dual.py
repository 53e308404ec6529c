"""PostgreSQL is migrated first, then the files; what is written in between."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backends import dual_backend
from evolve.test_migrate import PLACES, TASKS
from octavo.backends.divergence import Divergences
from octavo.backends.healing import heal
from octavo.client import Client
from octavo.errors import SchemaMismatch
from octavo.evolve.migrate import MigrateOptions, migrate
from octavo.fold.export import ExportOptions, export
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.store.identity import read_layout_text
from octavo.url import DatabaseUrl

ADDED = ("  note   String?\n", "  note   String?\n  rank   Int @default(3)\n  at DateTime @default(now())\n")
ALTER = (
    'ALTER TABLE "Task" ADD COLUMN rank INT NOT NULL DEFAULT 3,'
    " ADD COLUMN at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP"
)


class Both:
    """A database and a store that was exported from it."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root / "data"
        old, self.target = parse_schema(TASKS), parse_schema(TASKS.replace(*ADDED))
        self.layout = parse_layout(PLACES, old)
        self.alter(ddl(old).script())
        export(DatabaseUrl.parse(url), self.root, self.layout, ExportOptions(root / "no-files", jobs=1))

    def alter(self, sql: str) -> None:
        with connect(self.url) as connection:
            connection.execute(sql.encode())

    def titles(self) -> list[str]:
        with connect(self.url) as connection:
            return [row[0] for row in connection.execute('SELECT title FROM "Task" ORDER BY id')]

    def migrate(self) -> Layout:
        migrate(self.root, self.layout, self.target, MigrateOptions())
        return parse_layout(read_layout_text(self.root), self.target)

    def require_equal(self, layout: Layout) -> None:
        report = verify(DatabaseUrl.parse(self.url), self.root, layout, VerifyOptions(self.root / "none"))
        assert report.differences == []
        assert report.equal


@pytest.fixture
def both(new_database: Callable[..., str], tmp_path: Path) -> Both:
    return Both(new_database(), tmp_path)


def test_a_write_between_the_two_migrations_is_refused(both: Both) -> None:
    vocabulary = Vocabulary(both.layout.datamodel)
    with dual_backend(vocabulary, both.url, both.root, layout=both.layout, apart=True) as backend:
        db = Client(backend, vocabulary)
        db.user.create(data={"id": "ann", "name": "Ann", "tasks": {"create": [{"title": "wash"}]}})
        both.alter(ALTER)
        for _ in range(2):
            with pytest.raises(SchemaMismatch, match="octavo schema migrate"):
                db.task.create(data={"title": "iron", "userId": "ann"})
        assert [task.title for task in db.task.find_many()] == ["wash"] == both.titles()
        with pytest.raises(SchemaMismatch, match=r"Task\.rank is in PostgreSQL alone"):
            db.task.update(where={"id": 1}, data={"title": "rinse"})
    layout = both.migrate()
    vocabulary = Vocabulary(layout.datamodel)
    with dual_backend(vocabulary, both.url, both.root, layout=layout, apart=True) as backend:
        # When PostgreSQL's now() was, only PostgreSQL knows.
        assert [d.model for d in Divergences(str(both.root)).open()] == ["Task"]
        assert [(h.copied, h.error) for h in heal(backend)] == [(1, "")]
        Client(backend, vocabulary).task.create(data={"title": "iron", "userId": "ann", "rank": 5})
    both.require_equal(layout)


def test_a_statement_that_fails_for_it_says_so(both: Both) -> None:
    vocabulary = Vocabulary(both.layout.datamodel)
    with dual_backend(vocabulary, both.url, both.root, layout=both.layout, apart=True) as backend:
        db = Client(backend, vocabulary)
        both.alter('ALTER TABLE "User" RENAME COLUMN name TO label')
        with pytest.raises(SchemaMismatch, match=r"User\.name is not in PostgreSQL"):
            db.user.create(data={"id": "ann", "name": "Ann"})


def test_a_change_of_the_catalog_that_is_none_of_columns_hinders_nothing(both: Both) -> None:
    vocabulary = Vocabulary(both.layout.datamodel)
    with dual_backend(vocabulary, both.url, both.root, layout=both.layout) as backend:
        db = Client(backend, vocabulary)
        db.user.create(data={"id": "ann", "name": "Ann"})
        both.alter('ALTER TABLE "User" ALTER COLUMN name SET STATISTICS 200')
        db.user.create(data={"id": "bob", "name": "Bob"})
    both.require_equal(both.layout)


def test_a_column_that_the_export_was_allowed_to_leave_hinders_nothing(both: Both, tmp_path: Path) -> None:
    both.alter('ALTER TABLE "User" ADD COLUMN beside TEXT')
    shutil.rmtree(both.root)
    options = ExportOptions(tmp_path / "no-files", jobs=1, allow_drift=("extra-column",))
    export(DatabaseUrl.parse(both.url), both.root, both.layout, options)
    vocabulary = Vocabulary(both.layout.datamodel)
    with dual_backend(vocabulary, both.url, both.root, layout=both.layout) as backend:
        Client(backend, vocabulary).user.create(data={"id": "ann", "name": "Ann"})
