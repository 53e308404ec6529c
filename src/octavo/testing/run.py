"""What the tests of one process share: schemas with empty stores in memory, and a server with a database of
each schema."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import psycopg

from octavo.backend import Settings
from octavo.backends.json import JsonBackend
from octavo.backends.prisma import open_backend
from octavo.client import Client
from octavo.layout.layout import Layout
from octavo.layout.listing import empty_file
from octavo.layout.load import layout_for
from octavo.opening import emulating
from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.native import table_name
from octavo.schema.texts import schema_texts
from octavo.store import disk
from octavo.store.decoded import NAME, load_datamodel
from octavo.store.definition import define
from octavo.store.identity import identity_files
from octavo.store.intake import FilesRoot
from octavo.store.store import Store
from octavo.store.system import FOLDER_MODE, FileSystem


class _Unsynced(FileSystem):
    """Nothing has to outlive a test."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_all(self, path: str) -> None:
        pass


class Prepared:
    """A schema and its layout, with an empty store of them in memory."""

    def __init__(self, schema: Path | None, layout: Path | None) -> None:
        self._schema, self._layout = schema, layout
        self.vocabulary = Vocabulary(load_datamodel(None, schema))

    @cached_property
    def layout(self) -> Layout:
        return layout_for(self.vocabulary.datamodel, self._layout)

    @cached_property
    def _files(self) -> dict[str, bytes]:
        empty = {family.path: empty_file(family) for family in self.layout.families}
        made = {path: content for path, content in empty.items() if content is not None}
        return made | identity_files(self.layout)

    def fill(self, folder: Path) -> None:
        """Make an empty store, as :func:`octavo.fold.scaffold.scaffold` does, without a sync."""
        for name in (".", *self.layout.folders):
            (folder / name).mkdir(FOLDER_MODE)
        for path, content in self._files.items():
            with disk.create(folder / path) as file:
                file.write(content)
        if self._schema is not None and NAME not in self._files:
            # The store keeps the parsed schema, for an application that opens it by itself.
            define(folder)
            self._files[NAME] = (folder / NAME).read_bytes()


class Database:
    """A database with the tables of a schema, and a connection that empties it."""

    def __init__(self, server: EmbeddedServer, name: str, vocabulary: Vocabulary) -> None:
        self._server, self._name, self._datamodel = server, name, vocabulary.datamodel
        self.url = server.url(name, schema="public")
        deletes = "; ".join(f"DELETE FROM {table_name(model)}" for model in self._datamodel.tables)
        counters = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
        settings = "SET session_replication_role = replica; SET lock_timeout = '1s'"
        # TRUNCATE makes new files, and a copy of the database even more of them.
        self._empty = f"{settings}; {deletes}; {counters}".encode()
        self._connection = self._made()

    def _made(self) -> Connection:
        self._server.drop_database(self._name)
        self._server.create_database(self._name)
        connection = connect(self.url)
        connection.execute(ddl(self._datamodel).script().encode())
        return connection

    def empty(self) -> None:
        """Delete every row, and let the counters begin anew."""
        try:
            self._connection.execute(self._empty)
        except psycopg.Error:
            # An earlier test left a session in a transaction, or a table missing.
            self._connection.close()
            self._connection = self._made()

    def close(self) -> None:
        self._connection.close()


class Run:
    """Everything that is made once; ``closing`` lets go of it, and folders are made in ``folder``."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self._folder, self._closing = folder, closing
        self._prepared: dict[object, Prepared] = {}
        self._databases: dict[Prepared, Database] = {}
        self._numbers = itertools.count(1)

    def prepared(self, schema: Path | None, layout: Path | None) -> Prepared:
        """What is known of a schema and a layout by the texts of their files.  Raises SchemaError."""
        schema, layout = (None if path is None else Path(path) for path in (schema, layout))
        texts = None if schema is None else tuple(schema_texts(schema))
        laid_out = layout.read_bytes() if layout is not None and layout.is_file() else b""
        key = texts, layout, laid_out
        if key not in self._prepared:
            self._prepared[key] = Prepared(schema, layout)
        return self._prepared[key]

    def new_folder(self) -> Path:
        """A folder of its own for each test, with an empty files root."""
        made = self._folder / str(next(self._numbers))
        made.mkdir()
        (made / "public").mkdir()
        return made

    def database(self, prepared: Prepared, server: EmbeddedServer) -> Database:
        """The database of a schema on the server, emptied."""
        if prepared not in self._databases:
            made = Database(server, f"octavo_{len(self._databases) + 1}", prepared.vocabulary)
            self._closing.callback(made.close)
            self._databases[prepared] = made
        database = self._databases[prepared]
        database.empty()
        return database

    @cached_property
    def server(self) -> EmbeddedServer:
        """Started when it is first needed.  Raises UsageError where it is not installed."""
        return self._closing.enter_context(embedded_server(throwaway=True))


@contextmanager
def store_client(data_dir: Path, prepared: Prepared) -> Iterator[Client]:
    """A client of a store, whose files root is beside it."""
    vocabulary, layout = prepared.vocabulary, prepared.layout
    files = FilesRoot(data_dir.with_name("public"), layout)
    store = Store.open(data_dir, layout, system=_Unsynced())
    with Client(emulating(JsonBackend(vocabulary, store, files=files), vocabulary), vocabulary) as db:
        yield db


@contextmanager
def postgres_client(url: str, folder: Path, prepared: Prepared) -> Iterator[Client]:
    """A client of a database."""
    settings = Settings(url, data_dir=folder / "data", layout=None, files_root=folder / "public")
    vocabulary = prepared.vocabulary
    with Client(emulating(open_backend(vocabulary, settings), vocabulary), vocabulary) as db:
        yield db
