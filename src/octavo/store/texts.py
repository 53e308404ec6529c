"""The index of texts: which records may hold a part of a text, and which have certain words.

It is an SQLite file below ``cache/`` (:mod:`octavo.store.searchfile`), with FTS5's tables.  It is never the
truth: what it names are candidates, which the caller holds against the records.  So it may name too many, and
must never lack one.

For each file of records it notes the signature of the state that it has.  A file in another state is read and
compared with what the index has, before it answers.  What a commit of this process has changed is noted in
memory alone, if the file was in the state that the index has: these records are candidates, whatever they
hold, until there are many of them or a ranked search needs them in the index.  So a commit costs nothing
more.

Texts are folded here (:func:`octavo.values.words.folded`), not by SQLite, whose Unicode is another one; of a
part of a text each three characters that follow each other must be in a candidate.  A record that changes
gets another number in the index.  What the old number has stays, and stands for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar
from unicodedata import unidata_version

from octavo.errors import OctavoError
from octavo.layout.codec import Codec
from octavo.layout.keys import Key
from octavo.layout.layout import Layout
from octavo.layout.record import Row
from octavo.store.families.base import Changes, Family, Found
from octavo.store.families.parents import ParentLogs
from octavo.store.freshness import Eventually, Stale, World
from octavo.store.searchfile import SearchFile, Unusable, is_there
from octavo.store.textfiles import NUL, Files, Reading, Texts, packed
from octavo.values.words import words_of

if TYPE_CHECKING:
    import sqlite3

    from octavo.store.changes import Change

_VERSION = 1
SHORTEST = 3
"""characters of a part of a text that the index can find"""
SMALLEST = 1 << 20
"""bytes of files from which on there is an index of them: below, looking at every record is as quick"""
_UNLOOKED = 50
"""questions after which files that were too few for an index are looked at again"""
PATIENCE = 0.25
"""seconds for which a filter lets the index be made or caught up with, before it does without it"""
_FEW_PENDING = 100
"""changed records after which the index notes what commits have changed"""
_MOST_PENDING = 10_000
"""changed records after which their files are rather read again"""
_FEW_FILES = 64
"""files that are looked at at once"""
_BATCH = 500
"""records of one transaction of the index"""
_GARBAGE = 10_000
"""numbers that stand for nothing, beside as many as stand for records, after which the index is made anew"""
_FEW = 200
"""candidates that are always worth looking up"""
_SHARE = 32
"""of how many records one may be a candidate, before looking at all is as quick"""
_MOST_GRAMS = 24
"""triples that are asked for of one text"""
_MOST_WORDS = 32
"""words that are asked for"""

T = TypeVar("T")


class _More:
    """Stands for an answer that the index cannot give yet."""


_MORE = _More()


_SCRIPT = [
    "CREATE TABLE files (id INTEGER PRIMARY KEY, name TEXT UNIQUE, family INT, state BLOB)",
    "CREATE TABLE docs (id INTEGER PRIMARY KEY AUTOINCREMENT, file INT, model INT, key BLOB, digest BLOB)",
    "CREATE INDEX docs_by_file ON docs (file)",
    "CREATE INDEX docs_by_key ON docs (model, key)",
]


_WHERE_IT_IS = """
SELECT key, (SELECT count(DISTINCT file) FROM docs AS o WHERE o.model = docs.model AND o.key = docs.key)
FROM docs WHERE id = ?
"""


def _digest(texts: Sequence[str]) -> bytes:
    return blake2b("\0".join(texts).encode(), digest_size=16).digest()


class Records(Protocol):
    """Where the records are that have the texts."""

    world: World
    layout: Layout
    codecs: Mapping[str, Codec]

    def family(self, model: str) -> Family: ...

    def record(self, model: str, key: Key) -> Row | None: ...


class TextIndex:
    """The index of one opening of a store."""

    def __init__(self, base: Records) -> None:
        self.base, self.world = base, base.world
        self._files: dict[str, Files] = {}
        """by path of the family, those that were asked for"""
        self._is_there: bool | None = None
        """whether Python's SQLite has what the index needs; None: that is not known yet"""

    @cached_property
    def texts(self) -> dict[str, Texts]:
        """The models whose texts are searched."""
        layout: Layout = self.base.layout
        searched = [place for place in layout.places if place.search]
        return {p.model.name: Texts(n, p, self.base.codecs[p.model.name]) for n, p in enumerate(searched)}

    @cached_property
    def _file(self) -> SearchFile:
        families = [family.path for family in self.base.layout.families]
        stamp = repr([_VERSION, unidata_version, families, [(t.name, t.fields) for t in self.texts.values()]])
        name = blake2b(stamp.encode(), digest_size=8).hexdigest()
        script = _SCRIPT + [statement for t in self.texts.values() for statement in t.script]
        return SearchFile(self.world.root, name, ";\n".join(script))

    # What changes.

    def suspect(self, files: set[str] | None) -> None:
        """These files may have changed; None: any may have."""
        for known in self._files.values():
            if files is None:
                known.doubtful = None
            elif known.doubtful is not None:
                known.doubtful |= set(filter(known.family.family.pattern.fullmatch, files))

    def done(self, family: Family, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        """A commit is about to be followed in memory: it has left ``files`` in the states ``found``."""
        known = self._files.get(family.family.path)
        if known is None:
            return
        for model in known.models:
            known.pending.update(((model, key), None) for key in changes.get(model, ()))
        if len(known.pending) > _MOST_PENDING:
            known.pending, known.advanced, known.doubtful = {}, {}, None
            return
        for file in files:
            before, after = packed(family.expected(file)), packed(found.get(file))
            if (ahead := known.advanced.pop(file, None)) is not None and ahead[1] == before:
                before = ahead[0]
            elif ahead is not None and known.doubtful is not None:
                known.doubtful.add(file)
            known.advanced[file] = before, after

    # Questions.

    def holding(self, model: str, parts: Sequence[str]) -> list[Key] | None:
        """The records that may hold all these folded parts of texts, in any field that is searched; None:
        the index cannot tell, or not sooner than looking at every record.

        Raises DamagedError, DiskError, Stale.
        """
        query = _grams_query(parts)
        if query is None or model not in self.texts or not self._is_usable():
            return None
        known = self._known(model)
        if known.unlooked > 0:
            known.unlooked -= 1
            return None
        # Files are read from here on.
        self.world.take_time()
        work = partial(self._holding, known, self.texts[model], query)
        end = time.monotonic() + PATIENCE
        while isinstance(found := self.world.steadily(partial(self._step, known, work, False)), _More):
            if time.monotonic() > end:
                return None
        return found

    def ranked(
        self, model: str, words: Sequence[str], fields: Sequence[str]
    ) -> list[tuple[Key, float]] | None:
        """The records that may have all these words in these fields, with their rank, best first; None: there
        is no index.

        Raises as :meth:`holding`.
        """
        texts = self.texts.get(model)
        if texts is None or not set(fields) <= set(texts.fields) or not self._is_usable():
            return None
        known = self._known(model)
        self.world.take_time()
        work = partial(self._ranked, known, texts, words, fields)
        while isinstance(found := self.world.steadily(partial(self._step, known, work, True)), _More):
            pass
        return found

    def note(self) -> None:
        """Let the index note what commits of this process have changed, and be durable."""
        for known in list(self._files.values()):
            if known.pending and known.doubtful == set():
                with suppress(Stale, OctavoError):
                    self.world.steadily(partial(self._step, known, lambda: None, True))
        if self._files:
            self._file.settle()

    def _is_usable(self) -> bool:
        if self._is_there is None:
            self.world.take_time()
            self._is_there = is_there()
        return self._is_there

    def _known(self, model: str) -> Files:
        family = self.base.family(model)
        path = family.family.path
        known = self._files.get(path)
        if known is None:
            names = (*family.codecs, *family.children)
            number = self.base.layout.families.index(family.family)
            known = Files(number, family, {name: self.texts[name] for name in names if name in self.texts})
            known = self._files.setdefault(path, known)
        return known

    def _step(self, known: Files, ask: Callable[[], T], note_all: bool) -> T | _More | None:
        """The answer to a question, or one step towards it; None: there is no index.  Under the mutex."""
        try:
            is_ready = known.doubtful == set() and known.generation == self._file.generation
            if is_ready and known.pending and (note_all or len(known.pending) > _FEW_PENDING):
                self._note(known)
            elif is_ready or self._look(known):
                return ask()
        except Unusable:
            return None
        return None if known.unlooked else _MORE

    def _holding(self, known: Files, texts: Texts, query: str) -> list[Key] | _More | None:
        with self._file.reading() as connection:
            if connection is None or not self._is_known(known, connection):
                known.doubtful = None
                return _MORE
            [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM docs").fetchall()
            most = max(_FEW, last // _SHARE)
            numbers = connection.execute(
                f"SELECT rowid FROM {texts.grams} WHERE {texts.grams} MATCH ? LIMIT ?", (query, most + 1)
            ).fetchall()
            if len(numbers) > most:
                return None
            found = []
            for each in numbers:
                for key, files in connection.execute(_WHERE_IT_IS, each):
                    if files > 1:
                        # An edit has put the record into another file, too: which one is meant?
                        return None
                    found.append(key)
        keys = dict.fromkeys(map(texts.key_of, found))
        keys |= {key: None for model, key in known.pending if model == texts.name}
        # Others change the index and the files that it was made of.
        self.world.check()
        return list(keys)

    def _ranked(
        self, known: Files, texts: Texts, words: Sequence[str], fields: Sequence[str]
    ) -> list[tuple[Key, float]] | _More:
        columns = " ".join(f"f{n}" for n, name in enumerate(texts.fields) if name in fields)
        chosen = sorted(words, key=len, reverse=True)[:_MOST_WORDS]
        query = f"{{{columns}}} : ({' AND '.join(map(_quoted, chosen))})"
        with self._file.reading() as connection:
            if connection is None or not self._is_known(known, connection):
                known.doubtful = None
                return _MORE
            found = connection.execute(
                f"SELECT docs.key, -{texts.words}.rank FROM {texts.words}"
                f" JOIN docs ON docs.id = {texts.words}.rowid"
                f" WHERE {texts.words} MATCH ? ORDER BY {texts.words}.rank, docs.key",
                (query,),
            ).fetchall()
        self.world.check()
        return [(texts.key_of(key), rank) for key, rank in found]

    # Catching up.

    def _is_known(self, known: Files, connection: sqlite3.Connection | None) -> bool:
        """Whether there is a file of the index, and it is the one that this is known of."""
        if connection is not None and known.generation == self._file.generation:
            return True
        known.generation, known.doubtful, known.reading = self._file.generation, None, None
        return False

    def _look(self, known: Files) -> bool:
        """Look at files, and index some of those that are not as the index has them; whether that was
        all."""
        world, every = self.world, known.doubtful is None
        files = known.names() if known.doubtful is None else set(sorted(known.doubtful)[:_FEW_FILES])
        if files & world.in_flight:
            # They cannot be looked at before they have been written.
            raise Stale
        noted: dict[str, bytes] = {}
        with self._file.reading() as connection:
            there = connection is not None
            if connection is not None:
                if not self._is_known(known, connection) and not every:
                    return False
                noted = self._noted(connection, known, None if every else files)
        states = {file: world.signature(file) for file in {*files, *noted}}
        if every and isinstance(world.watch, Eventually):
            world.watch.looked(len(states))
        if every and not noted and sum(state.size for state in states.values() if state) < SMALLEST:
            known.unlooked = _UNLOOKED
            return False
        if isinstance(known.family, ParentLogs) and not every and None in states.values():
            # It may be one that must be there.
            known.names()
        world.check()
        changed = {f for f, state in states.items() if not known.is_current(f, noted.get(f), packed(state))}
        if known.doubtful is None:
            known.doubtful = set(changed)
        else:
            known.doubtful -= files - changed
        if changed or not there:
            gone = [file for file in changed if states[file] is None]
            self._index(known, sorted(changed.difference(gone)), gone)
        elif every:
            self._tidy(known)
        return known.doubtful == set()

    @staticmethod
    def _noted(connection: sqlite3.Connection, known: Files, files: set[str] | None) -> dict[str, bytes]:
        """The states that the index has of files of the family; None: of all."""
        if files is None:
            return dict(connection.execute("SELECT name, state FROM files WHERE family = ?", (known.number,)))
        return {
            file: state
            for file in files
            for (state,) in connection.execute("SELECT state FROM files WHERE name = ?", (file,))
        }

    def _index(self, known: Files, changed: Sequence[str], gone: Sequence[str]) -> None:
        """Index a batch of files, or of the records in one, and forget those that are gone."""
        world, reading = self.world, known.reading
        batch: list[Reading] = []
        if reading is not None and reading.file in changed and world.signature(reading.file) == reading.found:
            batch.append(reading)
        known.reading = None
        number = 0
        for file in changed if not batch else ():
            batch.append(known.read(file))
            number += 1 + batch[-1].left
            if number >= _BATCH:
                break
        with self._file.writing() as connection:
            # An older state must not replace what a newer one came to.
            if world.commits != world.known or any(world.signature(r.file) != r.found for r in batch):
                raise Stale
            for file in gone:
                self._forget(connection, file)
            for each in batch:
                self._replace(connection, known.number, each)
        if known.generation != self._file.generation:
            # It was made just now, and has nothing else.
            known.generation, known.doubtful = self._file.generation, None
        done = {each.file for each in batch if not each.left}.union(gone)
        for file in done:
            known.advanced.pop(file, None)
        if known.doubtful is not None:
            known.doubtful -= done
        if batch and batch[-1].left:
            known.reading = batch[-1]

    @staticmethod
    def _forget(connection: sqlite3.Connection, file: str) -> None:
        for (number,) in connection.execute("SELECT id FROM files WHERE name = ?", (file,)).fetchall():
            connection.execute("DELETE FROM docs WHERE file = ?", (number,))
            connection.execute("DELETE FROM files WHERE id = ?", (number,))

    def _replace(self, connection: sqlite3.Connection, family: int, reading: Reading) -> None:
        """Let the index have a file as it was read, or as much of it as is done at once: what is as it was
        stays."""
        number = self._number(connection, family, reading.file, b"")
        had = reading.had
        if had is None:
            had = reading.had = {}
            twice = []
            for doc, model, key, digest in connection.execute(
                "SELECT id, model, key, digest FROM docs WHERE file = ?", (number,)
            ):
                if (other := had.get((model, key))) is not None:
                    # Two processes have indexed it at the same time.
                    twice.append((other[0],))
                had[model, key] = doc, digest
            connection.executemany("DELETE FROM docs WHERE id = ?", twice)
        put, at = 0, reading.at
        while at < len(reading.entries) and put < _BATCH:
            texts, key, values = reading.entries[at]
            digest, before = _digest(values), had.pop((texts.number, key), None)
            if before is None or before[1] != digest:
                self._put(connection, number, texts, key, values, digest)
                put += 1
                if before is not None:
                    connection.execute("DELETE FROM docs WHERE id = ?", (before[0],))
            at += 1
        reading.at = at
        if not reading.left:
            connection.executemany("DELETE FROM docs WHERE id = ?", [(doc,) for doc, _ in had.values()])
            self._number(connection, family, reading.file, packed(reading.found))

    @staticmethod
    def _number(connection: sqlite3.Connection, family: int, file: str, state: bytes | None) -> int:
        """The number of a file, of which a state is noted."""
        [(number,)] = connection.execute(
            "INSERT INTO files (name, family, state) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET state = excluded.state RETURNING id",
            (file, family, state),
        ).fetchall()
        return int(number)

    @staticmethod
    def _put(
        connection: sqlite3.Connection,
        file: int,
        texts: Texts,
        key: bytes,
        values: Sequence[str],
        digest: bytes,
    ) -> None:
        doc = connection.execute(
            "INSERT INTO docs (file, model, key, digest) VALUES (?, ?, ?, ?)",
            (file, texts.number, key, digest),
        ).lastrowid
        connection.execute(f"INSERT INTO {texts.grams} (rowid, t) VALUES (?, ?)", (doc, NUL.join(values)))
        words = [" ".join(words_of(value)) for value in values]
        if any(words):
            names, places = ", ".join(texts.columns), ", ".join("?" * len(words))
            connection.execute(
                f"INSERT INTO {texts.words} (rowid, {names}) VALUES (?, {places})", (doc, *words)
            )

    def _note(self, known: Files) -> None:
        """Let the index have what commits of this process have changed."""
        world = self.world
        if world.in_flight & known.advanced.keys():
            raise Stale
        rows = {(model, key): self.base.record(model, key) for model, key in known.pending}
        with self._file.writing() as connection:
            if known.doubtful is None or not self._is_known(known, connection):
                return
            proved: dict[str, int] = {}
            for file, (before, after) in known.advanced.items():
                noted = connection.execute("SELECT id, state FROM files WHERE name = ?", (file,)).fetchone()
                if before != (noted and noted[1]) or packed(world.signature(file)) != after:
                    # Another process has indexed it, or written to it meanwhile.
                    known.doubtful.add(file)
                elif after is None:
                    self._forget(connection, file)
                else:
                    proved[file] = self._number(connection, known.number, file, after)
            numbers = set(proved.values())
            for (model, key), row in rows.items():
                texts = known.models[model]
                raw = texts.key(key)
                for doc, number in connection.execute(
                    "SELECT id, file FROM docs WHERE model = ? AND key = ?", (texts.number, raw)
                ).fetchall():
                    if number in numbers:
                        connection.execute("DELETE FROM docs WHERE id = ?", (doc,))
                if row is not None and (own := proved.get(known.file_of(model, row))) is not None:
                    values = texts.of(row)
                    self._put(connection, own, texts, raw, values, _digest(values))
        known.pending, known.advanced = {}, {}

    def _tidy(self, known: Files) -> None:
        """Have the index made anew if what stands for nothing outweighs the rest."""
        with self._file.reading() as connection:
            if connection is None:
                return
            [(last, number)] = connection.execute(
                "SELECT coalesce(max(id), 0), count(*) FROM docs"
            ).fetchall()
        if last > 2 * number + _GARBAGE:
            self._file.discard()
            known.doubtful = None


def _grams_query(parts: Sequence[str]) -> str | None:
    """A question to FTS5 that every text fulfils which has all these folded parts; None: there is none."""
    grams: dict[str, None] = {}
    for part in parts:
        last = len(part) - SHORTEST
        if last < 0:
            continue
        step = max(last // _MOST_GRAMS, 1)
        for at in (*islice(range(0, last, step), _MOST_GRAMS), last):
            grams[part[at : at + SHORTEST]] = None
    return " AND ".join(map(_quoted, islice(grams, 2 * _MOST_GRAMS))) if grams else None


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
