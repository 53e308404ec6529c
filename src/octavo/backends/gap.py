"""What an export has not seen of PostgreSQL: what was written before the first dual write, and while it ran.

*Before.*  An export knows nothing of what came later.  It leaves a *seed* (``cache/seed.json``): which
transactions its snapshot may lack, and how many records there are.  The first dual write looks which rows
PostgreSQL has from such transactions (it keeps the number of the transaction that wrote it with each row),
compares them with the files, and counts.  If all are equal, and as many, then both sides are: every other row
is as the snapshot had it.  A gap is told, and does not hinder: ``octavo status --heal`` closes it, or another
export while ``dual`` goes on.

*Meanwhile.*  An export that is to replace a store copies one state of PostgreSQL, and writers go on with the
old store.  So, under the write lock, it opens that state and makes ``cache/touched.jsonl``, on which it keeps
the kernel's lock.  As long as it does, each transaction notes there which records it is about to change,
before PostgreSQL commits; and before the folders are exchanged, the export copies these once more.  A note of
a change that does not happen only costs a copy.  A key that is a secret is not noted: then the whole model is
compared.  The file goes with the export; the next transaction removes what a killed one has left.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psycopg

from octavo.backends.divergence import Keys
from octavo.errors import BusyError, ConflictError, disk_errors
from octavo.layout.keys import Key, one_or_tuple
from octavo.postgres.connection import HERE, Connection
from octavo.postgres.session import Session, window, written_since
from octavo.store import disk
from octavo.store.lock import LockFile
from octavo.store.system import FILE_MODE
from octavo.url import DatabaseUrl

if TYPE_CHECKING:
    from octavo.backends.prisma import Schema
    from octavo.backends.sql.columns import Table
    from octavo.store.changeset import Name
    from octavo.store.rules import Rules
    from octavo.store.view import View

SEED = "cache/seed.json"
_PAGE = 500
"""rows that are held against the files at once"""
_PATIENCE = 2.0
"""seconds that the look may take, as all writers wait for it"""


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """What an export knew."""

    system: str
    database: str
    first: int
    """the number of the first transaction that the snapshot may lack"""
    next: int
    """the number that the next transaction was to get"""
    counts: dict[str, int]
    """records by model"""


def seed_of(connection: Connection, counts: dict[str, int]) -> Seed | None:
    """The seed of an export from this connection's snapshot; None if the server does not tell as much."""
    found = window(connection)
    if found is None:
        return None
    system, database = connection.execute(f"SELECT {HERE}".encode()).fetchone() or ("", "")
    return Seed(system=system, database=database, first=found.first, next=found.next, counts=counts)


def leave(root: Path, seed: Seed, *, synced: bool = True) -> None:
    """Write a seed down in a data folder; see :func:`disk.write_file`.  Raises DiskError."""
    disk.write_file(root / SEED, msgspec.json.encode(seed), synced=synced)


def left(root: str) -> Seed | None:
    """The seed of the files, if there was no dual write to them yet.  Raises DiskError."""
    with (
        disk_errors("looking for what an export has left"),
        suppress(FileNotFoundError, msgspec.MsgspecError),
        open(os.path.join(root, SEED), "rb") as file,
    ):
        return msgspec.json.decode(file.read(), type=Seed)
    return None


def spend(root: str) -> None:
    """From now on the files are written to in ``dual``.  Under the write lock.  Raises DiskError."""
    with disk_errors("removing what an export has left"), suppress(FileNotFoundError):
        os.unlink(os.path.join(root, SEED))


class Unlooked(Exception):
    """It could not be looked for a gap; the message says why."""


def gaps(seed: Seed, schema: Schema, url: DatabaseUrl, view: View) -> Iterator[str]:
    """The models of which PostgreSQL has not the records that the files have, as far as it could have been
    written to since the export.  Under the write lock.

    Raises Unlooked, and what reading the files raises.
    """
    try:
        with closing(Session(url)) as session:
            yield from _Look(seed, schema, session, view).models()
    except psycopg.Error as error:
        raise Unlooked(type(error).__name__) from None


class _Look:
    def __init__(self, seed: Seed, schema: Schema, session: Session, view: View) -> None:
        self._seed, self._schema, self._session, self._view = seed, schema, session, view
        self._end = time.monotonic() + _PATIENCE

    def models(self) -> Iterator[str]:
        self._session.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if self._session.place != (self._seed.system, self._seed.database):
            raise Unlooked("the files were made from another database")
        now = window(self._session.connection)
        if now is not None and self._seed.first == self._seed.next == now.next:
            # Nothing was written.
            return
        for model in self._schema.vocabulary.datamodel.tables:
            if self._is_gap(model.name):
                yield model.name

    def _row(self, query: str) -> list[str]:
        left = self._end - time.monotonic()
        if left <= 0:
            raise Unlooked("it would take too long")
        self._session.execute(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}")
        answer = self._session.execute(query)
        return [(answer.get_value(0, column) or b"").decode() for column in range(answer.nfields)]

    def _is_gap(self, model: str) -> bool:
        # An export, which leaves a seed and looks for nothing, needs no SQL of queries.
        from octavo.backends.sql.columns import ROW

        table = self._schema.tables[model]
        later = written_since(ROW, self._seed.first)
        counts = f"SELECT count(*), count(*) FILTER (WHERE {later}) FROM {table.name} AS {ROW}"
        number, new = map(int, self._row(counts))
        if new and self._differ(table, ROW, later):
            return True
        # The files may have been written to by others than dual, too.
        return bool(number != self._seed.counts.get(model) and number != self._view.count(model))

    def _differ(self, table: Table, row: str, later: str) -> bool:
        terms = table.terms
        query = f"SELECT {table.record} FROM {table.name} AS {row} WHERE {later}"
        with self._session.connection.cursor(name="later") as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(_PAGE):
                for record in table.decode([text.encode() for (text,) in rows]):
                    key = terms.key_of(record)
                    if self._view.find(terms.name, terms.key, one_or_tuple(key)) != [record]:
                        return True
                if time.monotonic() > self._end:
                    raise Unlooked("it would take too long")
        return False


TOUCHED = "cache/touched.jsonl"
_PIECE = 1 << 20


class _Line(msgspec.Struct, omit_defaults=True):
    model: str
    key: dict[str, msgspec.Raw] | None = None


class Touching:
    """The side of those who write to the store in a folder."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, TOUCHED)

    @property
    def is_wanted(self) -> bool:
        """Whether an export is under way, or has left its file."""
        return os.path.exists(self._path)

    def note(self, rules: Rules, names: Iterable[Name]) -> None:
        """Write down what is about to be changed.  The write lock is held.  Raises DiskError."""
        doing = "noting what changes, for the export that is under way"
        with disk_errors(doing), suppress(FileNotFoundError), LockFile(self._open) as file:
            if file.lock(fcntl.LOCK_SH):
                # Its export is not alive.
                os.unlink(self._path)
            else:
                with open(file.descriptor, "ab", closefd=False) as lines:
                    lines.write(b"".join(_lines(Keys(rules), names)))

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lines(keys: Keys, names: Iterable[Name]) -> Iterator[bytes]:
    for model, key in names:
        shown = None if keys.is_secret(model) else keys.shown(model, key)
        yield msgspec.json.encode(_Line(model, shown)) + b"\n"


class Touched:
    """The side of the export; made by :meth:`of`."""

    def __init__(self, path: str, file: LockFile, rules: Rules) -> None:
        self._path, self._file, self._keys = path, file, Keys(rules)
        self._read = 0
        """bytes that were read"""

    @classmethod
    @contextmanager
    def of(cls, root: str, rules: Rules) -> Iterator[Touched]:
        """Let writers write down what they change, until the block ends.  Entered under the write lock.

        Raises BusyError if another export is under way that is to replace this store, DiskError.
        """
        path = os.path.join(root, TOUCHED)
        with disk_errors("asking writers what they change"):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = LockFile(lambda: os.open(path, flags, FILE_MODE))
        with file:
            if not file.lock(fcntl.LOCK_EX):
                raise BusyError(0, "another export that is to replace it")
            with disk_errors("asking writers what they change"):
                # That of an export that was killed.
                os.ftruncate(file.descriptor, 0)
            made = cls(path, file, rules)
            try:
                yield made
            finally:
                made.end()

    @property
    def size(self) -> int:
        """How many bytes were written down.  Under the write lock, all that they tell is decided."""
        return os.fstat(self._file.descriptor).st_size

    def until(self, end: int) -> list[tuple[str, Key | None]]:
        """What was written down before ``end``, and not read yet: models and keys; None: all of a model.

        Raises ConflictError if the file was taken away, so that it does not tell everything.
        """
        if not self._is_there():
            raise ConflictError("cache/ was emptied while the export ran; run it again")
        data = bytearray()
        while (missing := end - self._read - len(data)) > 0:
            data += os.pread(self._file.descriptor, min(missing, _PIECE), self._read + len(data))
        self._read = end
        found: dict[tuple[str, Key | None], None] = {}
        for text in bytes(data).splitlines():
            line = msgspec.json.decode(text, type=_Line)
            key = None if line.key is None else self._keys.key(line.model, line.key)
            found[line.model, key] = None
        return list(found)

    def end(self) -> None:
        """Ask no more."""
        if self._is_there():
            with suppress(OSError):
                os.unlink(self._path)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.descriptor), os.lstat(self._path))
        except OSError:
            return False
