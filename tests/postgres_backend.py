"""A backend on PostgreSQL for tests, and its database emptied again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from octavo.backends.prisma import PrismaBackend, open_backend
from octavo.client import Settings
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.sql import table_name


@contextmanager
def prisma_backend(vocabulary: Vocabulary, url: str) -> Iterator[PrismaBackend]:
    """The backend on the database at this URL."""
    settings = Settings(database_url=url, data_dir=Path("nowhere"), layout=None)
    with closing(open_backend(vocabulary, settings)) as backend:
        yield backend


def emptied(backend: PrismaBackend) -> None:
    """Delete every row, and let the counters begin anew."""
    datamodel = backend.schema.vocabulary.datamodel
    deletes = "; ".join(f"DELETE FROM {table_name(model)}" for model in datamodel.tables)
    counters = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
    with connect(backend.pool.url) as connection:
        # TRUNCATE makes new files.
        connection.execute(f"SET session_replication_role = replica; {deletes}; {counters}".encode())
