"""A backend on PostgreSQL for tests, and its database emptied again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from octavo.backends.prisma import PrismaBackend, open_backend
from octavo.client import Settings
from octavo.postgres.connection import connect
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Datamodel
from octavo.schema.sql import table_name


@contextmanager
def prisma_backend(vocabulary: Vocabulary, url: str) -> Iterator[PrismaBackend]:
    """The backend on the database at this URL."""
    settings = Settings(database_url=url, data_dir=Path("nowhere"), layout=None)
    with closing(open_backend(vocabulary, settings)) as backend:
        yield backend


def emptied(url: str, datamodel: Datamodel) -> None:
    """Delete every row, and let the counters begin anew."""
    names = ", ".join(table_name(model) for model in datamodel.tables)
    with connect(url) as connection:
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE".encode())
