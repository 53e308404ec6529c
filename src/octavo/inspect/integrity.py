"""Whether the records in the files are consistent among themselves: keys, uniques, foreign keys.

Where files and database are equal this follows from the database's own constraints.  Where they are not, the
records are asked.  What the rules are about is kept of them, column by column, in a temporary file;
in memory a hash stands for each value that may not be there twice.  So a sound store is proved sound quickly,
and only records that break a rule, or seem to, are looked at one by one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import msgspec

from octavo.errors import DiskError, disk_errors
from octavo.inspect.findings import shown_key
from octavo.inspect.observers import Inspector, Observer, Rows
from octavo.layout.codec import Values
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.layout.record import Row, attribute
from octavo.schema.datamodel import Datamodel, Model, Relation, ScalarField
from octavo.store import disk
from octavo.values.registry import value_type
from octavo.values.text import string_text

_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
"""what SQLite says, in the last byte of its error code, when the disk has no room or fails"""
_PREFIX = "verify-"


@contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """A temporary SQLite database on disk, in ``folder`` if that can be written, gone at the end.

    Raises DiskError if the disk fails it, or has no room for it.
    """
    while True:
        # Locked, it tells other processes that this one is alive; before that, one may have swept it.
        with _folder(folder) as path, disk.unlocked_folder(Path(path)) as is_own:
            if is_own:
                with _opened(Path(path)) as database:
                    yield database
                return


def _folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX)
    except OSError:
        return tempfile.TemporaryDirectory(prefix=f"octavo-{_PREFIX}")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path / "rows.sqlite", isolation_level=None)) as database:
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-8000", "locking_mode=EXCLUSIVE"):
            database.execute(f"PRAGMA {setting}")
        try:
            yield database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _OF_THE_DISK:
                raise
            raise DiskError(f"comparing in a temporary file: {error}", path=str(path)) from error


def sweep(folder: Path) -> None:
    """Remove scratch space that killed processes have left."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                with disk.unlocked_folder(Path(entry.path)) as is_left:
                    if is_left:
                        shutil.rmtree(entry.path, ignore_errors=True)


_AT_ONCE = 1 << 18
"""values that are held in memory together"""
_PARTS = 16
_LAST = _PARTS - 1
_BUFFER = 1 << 18
_Value: TypeAlias = "str | tuple[str | None, ...] | None"
"""what a rule is about: the text of one field, or those of several; None binds nothing"""


class _Portion(NamedTuple):
    """Rows of a model that came together, column by column."""

    visit: int
    """that of the first file that they are of"""
    counts: list[int]
    """how many are of this file, and of each that was visited after it"""
    lines: int | list[int]
    """those that they stand in; or the first, if in each file each row has its own"""
    columns: list[list[str | None]]

    def at(self, n: int) -> tuple[int, int]:
        """The visit and the line of a row."""
        number = n
        for visit, count in enumerate(self.counts, self.visit):
            if number < count:
                return visit, self.lines + number if isinstance(self.lines, int) else self.lines[n]
            number -= count
        raise IndexError(n)

    def without(self, gone: Set[int]) -> _Portion:
        """What is left of it when some visits do not count."""
        if gone.isdisjoint(range(self.visit, self.visit + len(self.counts))):
            return self
        counts = [0 if visit in gone else n for visit, n in enumerate(self.counts, self.visit)]
        left = [n for n in range(sum(self.counts)) if self.at(n)[0] not in gone]
        columns = [[column[n] for n in left] for column in self.columns]
        return _Portion(self.visit, counts, [self.at(n)[1] for n in left], columns)


class _Row(NamedTuple):
    key: _Value
    visit: int
    line: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Portion).decode


class Rule(Enum):
    """What a record can break."""

    KEY = auto()
    UNIQUE = auto()
    REFERENCE = auto()
    ORPHAN = auto()
    """no rule: a reference to nothing, where the schema has the client keep references"""


@dataclass(frozen=True, slots=True)
class Violation:
    """A record that breaks a rule of the schema."""

    rule: Rule
    model: str
    key: dict[str, Any]
    fields: tuple[str, ...]
    reason: str
    file: str
    line: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "key": self.key,
            "fields": list(self.fields),
            "reason": self.reason,
            "file": self.file,
            "line": self.line,
        }

    def __str__(self) -> str:
        key = ", ".join(str(value) for value in self.key.values())
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.model} {key}: {self.reason}"


def violations(
    layout: Layout, root: Path, files: Iterable[File], advance: Callable[[int], None], *, keys: bool = False
) -> Iterator[Violation]:
    """Every violation among the records of files that count.  With ``keys``, also of two with one key."""
    with gathering(layout, root / "cache") as gathered:
        inspector = Inspector(layout, root)
        for file in files:
            put = gathered.visit(file.path)

            def observe(name: str, rows: Rows, put: Observer = put) -> None:
                put(name, rows)
                advance(len(rows))

            inspector.observe(file, observe)
        yield from gathered.violations(keys=keys)


@contextmanager
def gathering(layout: Layout, cache: Path, without: Collection[Relation] = ()) -> Iterator[Gathered]:
    """Gather records in a file without a name below ``cache``, or elsewhere if that cannot be written.

    ``without``: relations that are not checked.

    Raises DiskError if the disk fails it, or has no room for it.
    """
    with disk_errors("gathering records in a temporary file"), ExitStack() as stack:
        yield Gathered(layout.datamodel, lambda: stack.enter_context(_nameless(cache)), without)


def _nameless(folder: Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)
    except OSError:
        return tempfile.TemporaryFile(buffering=_BUFFER)


class Hashes:
    """Hashes of values, of which some may stand there more than once."""

    def __init__(self) -> None:
        # By their last bits: only a part of them is ever held as a set.
        self._parts = [array("q") for _ in range(_PARTS)]
        self._append = [part.append for part in self._parts]

    def add(self, values: Iterable[object]) -> None:
        append = self._append
        for found in map(hash, values):
            append[found & _LAST](found)

    def take_over(self, other: Hashes) -> None:
        for own, others in zip(self._parts, other._parts, strict=True):
            own.extend(others)

    def __reduce__(self) -> Any:
        return Hashes, (), self._parts

    def __setstate__(self, parts: list[array[int]]) -> None:
        for own, others in zip(self._parts, parts, strict=True):
            own.extend(others)

    def repeated(self) -> set[int]:
        """Those that are there more than once."""
        found: set[int] = set()
        for part in self._parts:
            if len(set(part)) < len(part):
                found |= {h for h, n in Counter(part).items() if n > 1}
        return found


class _Columns:
    """What the rules of one model are about, as columns of texts."""

    def __init__(self, datamodel: Datamodel, model: Model, relations: Collection[Relation]) -> None:
        self.model = model
        self.places = [array("q")]
        """of each temporary file, where the portions of its rows begin and how long they are, in turn"""
        self.key = model.key.field_names
        uniques = {u.field_names for u in model.uniques}
        uniques |= {r.references for r in relations if r.parent == model.name}
        self.uniques = sorted(uniques - {self.key})
        held = [r.fields for r in relations if r.child == model.name]
        fields = [f for f in model.scalars if any(f.name in group for group in (self.key, *uniques, *held))]
        self.at = {f.name: n for n, f in enumerate(fields)}
        self.positions = [model.scalars.index(f) for f in fields]
        self._texts = [_texts_of(f, datamodel) for f in fields]
        self.hashes = {group: Hashes() for group in (self.key, *self.uniques)}
        self.referred = dict.fromkeys(held, 0)
        """how many different values the foreign keys have, at most"""

    def of_rows(self, rows: Sequence[Row]) -> list[Sequence[str | None]]:
        return [texts(rows) for texts in self._texts]

    def of_values(self, rows: Iterable[Values]) -> list[Sequence[str | None]]:
        return [[None if (v := row[at]) is None else v.decode() for row in rows] for at in self.positions]

    def values(self, group: tuple[str, ...], columns: Sequence[Sequence[str | None]]) -> Sequence[_Value]:
        """The value of a group of fields in each row; None if any of them is NULL, which no rule binds."""
        if len(group) == 1:
            return columns[self.at[group[0]]]
        parts = zip(*(columns[self.at[name]] for name in group), strict=True)
        return [None if None in part else part for part in parts]

    def note(self, columns: Sequence[Sequence[str | None]]) -> None:
        """Remember the hashes of what may not be there twice, and how much is referred to."""
        for group, hashes in self.hashes.items():
            values = self.values(group, columns)
            hashes.add(values if None not in values else [v for v in values if v is not None])
        for group in self.referred:
            self.referred[group] += len(set(self.values(group, columns)))


def _texts_of(f: ScalarField, datamodel: Datamodel) -> Callable[[Sequence[Row]], Sequence[str | None]]:
    """From rows to the texts of a field."""
    get, column = attrgetter(attribute(f)), value_type(f, datamodel)
    if column.text is string_text:
        return lambda rows: list(map(get, rows))
    text, may_lack = column.text, f.nullable
    return lambda rows: [
        None if may_lack and column.is_null(value) else text(value).decode() for value in map(get, rows)
    ]


class Visits:
    """The files that were visited, in turn.  A file may be forgotten, and visited again."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.forgotten: dict[str, int] = {}
        """how many visits there were when a file was forgotten: its earlier ones do not count"""
        self._gone: set[int] | None = None

    def add(self, files: Iterable[str]) -> int:
        """Visit files; the number of the first visit is given, from which on they count up."""
        first = len(self.files)
        self.files += files
        return first

    def forget(self, file: str) -> None:
        """What a file gave does not count any more."""
        self.forgotten[file], self._gone = len(self.files), None

    @property
    def gone(self) -> set[int]:
        """The visits that do not count."""
        if self._gone is None:
            before = self.forgotten
            self._gone = {n for n, f in enumerate(self.files) if n < before.get(f, 0)} if before else set()
        return self._gone

    def take_over(self, files: Iterable[str], forgotten: Mapping[str, int]) -> int:
        """Take in the visits of another process as if they were made now; the first one's number is given."""
        first = self.add(files)
        self.forgotten |= {file: first + number for file, number in forgotten.items()}
        self._gone = None
        return first


class Kept(NamedTuple):
    """What another process has gathered, beside its file."""

    places: dict[str, array[int]]
    hashes: dict[str, dict[tuple[str, ...], Hashes]]
    referred: dict[str, dict[tuple[str, ...], int]]


class Gathered:
    """The records of files, to be asked for violations when they are all there.

    A file may be forgotten and visited again: what it gave before then no longer counts.
    """

    def __init__(
        self, datamodel: Datamodel, new_file: Callable[[], IO[bytes]], without: Collection[Relation]
    ) -> None:
        """``new_file`` makes an empty one.  ``without``: relations that are not checked."""
        self.datamodel = datamodel
        self.relations = [r for r in datamodel.foreign_keys if r not in without]
        self.new_file, self._without = new_file, without
        self._file, self._end = new_file(), 0
        self._files = [(self._file, 0)]
        """that of this process, last, and those of others; each with the number of its first visit"""
        self._models = {m.name: _Columns(datamodel, m, self.relations) for m in datamodel.tables}
        self.visits = Visits()
        self._unread: dict[str, set[_Value]] = {}
        self._unreadable: set[str] = set()

    def visit(self, file: str) -> Observer:
        """Begin to read a file; what takes in its rows is given."""
        return self.observer(self.visits.add([file]))

    def observer(self, visit: int) -> Observer:
        """What takes in the rows of a visit."""
        return partial(self._put, visit)

    def forget(self, file: str) -> None:
        """What a file gave does not count any more."""
        self.visits.forget(file)

    def unread(self, model: str, key: Sequence[bytes] | None) -> None:
        """A record that is there cannot be read: what points at it is sound.  ``key``: None if it is unknown,
        so that nothing can be said about what points at this model."""
        if key is None:
            self._unreadable.add(model)
        else:
            texts = tuple(part.decode("utf-8", "surrogateescape") for part in key)
            self._unread.setdefault(model, set()).add(texts if len(texts) > 1 else texts[0])

    @property
    def unchecked(self) -> list[Relation]:
        """The foreign keys that cannot be checked, as what they point at cannot be read."""
        return [r for r in self.relations if r.parent in self._unreadable]

    def take(
        self, visit: int, counts: Sequence[int], name: str, rows: Sequence[Row], lines: int | list[int]
    ) -> None:
        """Take in rows of the files from a visit on, of each as many as ``counts`` says.

        ``lines``: those that they stand in, or the first, if in each file each row has its own.
        """
        self._store(visit, counts, name, self._models[name].of_rows(rows), lines)

    def _put(self, visit: int, name: str, rows: Rows) -> None:
        columns = self._models[name].of_values([values for values, _ in rows])
        self._store(visit, [len(rows)], name, columns, [line for _, line in rows])

    def _store(
        self,
        visit: int,
        counts: Sequence[int],
        name: str,
        columns: list[Sequence[str | None]],
        lines: int | list[int],
    ) -> None:
        model = self._models[name]
        model.note(columns)
        text = _encode((visit, counts, lines, columns))
        model.places[-1].extend((self._end, len(text)))
        self._file.write(text)
        self._end += len(text)

    def beside(self, file: IO[bytes]) -> Gathered:
        """What gathers in a file for another process."""
        return Gathered(self.datamodel, lambda: file, self._without)

    def kept(self) -> Kept:
        """What has been gathered, to be taken over by another process together with the file."""
        self._file.flush()
        models = self._models.items()
        return Kept(
            {name: model.places[-1] for name, model in models},
            {name: model.hashes for name, model in models},
            {name: model.referred for name, model in models},
        )

    def take_over(self, file: IO[bytes], kept: Kept, first: int) -> None:
        """Take in what another process has gathered in a file, whose visits count up from ``first``."""
        self._files.insert(-1, (file, first))
        for name, model in self._models.items():
            model.places.insert(-1, kept.places[name])
            for group, hashes in model.hashes.items():
                hashes.take_over(kept.hashes[name][group])
            for group in model.referred:
                model.referred[group] += kept.referred[name][group]

    def violations(self, *, keys: bool = False) -> Iterator[Violation]:
        """Every violation.  With ``keys``, also of two records with one key."""
        if keys:
            for model in self._models.values():
                yield from self._same_keys(model)
        for model in self._models.values():
            for group in model.uniques:
                yield from self._broken_unique(model, group)
        for relation in self.relations:
            if relation.parent not in self._unreadable:
                yield from self._orphans(relation)

    def _portions(self, model: _Columns) -> Iterator[_Portion]:
        """The rows of a model, in the portions that they came in."""
        gone = self.visits.gone
        self._file.flush()
        for (file, first), places in zip(self._files, model.places, strict=True):
            for at, size in zip(places[::2], places[1::2], strict=True):
                portion = _decode(os.pread(file.fileno(), size, at))
                if first:
                    portion = portion._replace(visit=first + portion.visit)
                yield portion.without(gone) if gone else portion

    def _repeated(self, model: _Columns, group: tuple[str, ...]) -> dict[_Value, list[_Row]]:
        """The rows that have a value in common, by it."""
        found: dict[_Value, list[_Row]] = {}
        if hashes := model.hashes[group].repeated():
            for portion in self._portions(model):
                keys = model.values(model.key, portion.columns)
                for n, value in enumerate(model.values(group, portion.columns)):
                    if value is not None and hash(value) in hashes:
                        found.setdefault(value, []).append(_Row(keys[n], *portion.at(n)))
        return {value: rows for value, rows in found.items() if len(rows) > 1}

    def _same_keys(self, model: _Columns) -> Iterator[Violation]:
        for rows in self._repeated(model, model.key).values():
            yield self._violation(Rule.KEY, model, rows[-1], model.key, "another record has this key")

    def _broken_unique(self, model: _Columns, group: tuple[str, ...]) -> Iterator[Violation]:
        reason = f"another record has the same {' and '.join(group)}"
        for rows in self._repeated(model, group).values():
            # Where two records have one key, that is what is wrong with them.
            if len({row.key for row in rows}) > 1:
                for row in rows:
                    yield self._violation(Rule.UNIQUE, model, row, group, reason)

    def _orphans(self, relation: Relation) -> Iterator[Violation]:
        child, parent = self._models[relation.child], self._models[relation.parent]
        rule = Rule.REFERENCE if self.datamodel.held_keys else Rule.ORPHAN
        reason = f"its {relation.parent} ({', '.join(relation.fields)}) is not there"
        parts = 1 + child.referred[relation.fields] // _AT_ONCE
        for part in range(parts):
            lost = self._referred(child, relation.fields, part, parts)
            lost -= self._unread.get(relation.parent, set())
            for portion in self._portions(parent) if lost else ():
                lost.difference_update(parent.values(relation.references, portion.columns))
            for portion in self._portions(child) if lost else ():
                keys = child.values(child.key, portion.columns)
                for n, value in enumerate(child.values(relation.fields, portion.columns)):
                    if value in lost:
                        row = _Row(keys[n], *portion.at(n))
                        yield self._violation(rule, child, row, relation.fields, reason)

    def _referred(self, child: _Columns, group: tuple[str, ...], part: int, parts: int) -> set[_Value]:
        """What the records of a model refer to by these fields: of all parts of it, one."""
        found: set[_Value] = set()
        for portion in self._portions(child):
            values = set(child.values(group, portion.columns))
            found |= values if parts == 1 else {value for value in values if hash(value) % parts == part}
        found.discard(None)
        return found

    def _violation(
        self, rule: Rule, model: _Columns, row: _Row, fields: tuple[str, ...], reason: str
    ) -> Violation:
        parts = row.key if isinstance(row.key, tuple) else (row.key,)
        texts = (None if part is None else part.encode() for part in parts)
        key = dict(zip(model.key, texts, strict=True))
        shown = shown_key(model.model, key)
        return Violation(
            rule, model.model.name, shown, fields, reason, self.visits.files[row.visit], row.line
        )
