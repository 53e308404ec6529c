"""The bytes of a file as records, tombstones, unknown keys and damage, in the order that they stand there.

This is the only place that knows how a file of the store is read.  What cannot be read is handed over as a
DamagedError that names file and line, and the scan goes on after it: the caller decides whether that ends the
matter.  A log is given line by line as it stands, superseded lines and tombstones included
(:mod:`octavo.layout.reader` leaves them out).

A log is taken in pieces of whole lines.  The quick way decodes a piece in one go and compares it with what
Octavo would have written, which shows that no line has a key twice or one that the schema does not know.
What that refuses goes line by line, and the refused lines through the careful decoder.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec

from octavo.errors import DamagedError
from octavo.layout.codec import Codec, Decoded, Namer, version
from octavo.layout.found import Entry, Found, Many, UnknownKey
from octavo.layout.keys import DELETED, Key, is_tombstone
from octavo.layout.layout import FileFamily, Kind
from octavo.layout.record import Row, plain
from octavo.text import pattern
from octavo.values.tokens import (
    Members,
    NotJson,
    before_damage,
    elements,
    is_beginning,
    line_of,
    why_no_json,
)

if TYPE_CHECKING:
    pass

_PIECE = 1 << 16
"""bytes of a log that are decoded in one go"""
_TAIL = 1 << 14
"""bytes to look at first for the last line of a log"""
_NEWLINE = ord("\n")
_BLOCK = 256
"""bytes: no disk writes fewer at once"""
_NULS = pattern(rb"\0+")
_encode_lines = msgspec.json.Encoder().encode_lines


class _Removed(msgspec.Struct, frozen=True):
    """A line that removes the record with this key."""

    codec: Codec
    key: Key


Rows: TypeAlias = dict[str, dict[Key, Row]]
"""By model and key."""


class _Mixed(list[Any]):
    """What stands in lines, where that is not rows alone: these, :class:`Decoded` and :class:`_Removed`."""


class Log(msgspec.Struct):
    """A log as far as it counts: of each key the last line, if it is no tombstone."""

    live: Rows
    embedded: Rows
    """the rows that are embedded in these"""
    lines: int = 0
    size: int = 0
    """bytes up to the end of the last whole line"""
    torn: bytes = b""
    """what a crash has left of a line that was being appended; it does not count"""
    ended: bool = True
    """whether the last line has its end: an editor may have left it without"""


class Document(msgspec.Struct):
    """A document: its rows, embedded ones too, and the members that the schema does not know."""

    live: Rows
    texts: dict[str, dict[Key, bytes]]
    """of each record the text that stands there"""
    unknown: list[tuple[str, bytes]]


class Line(msgspec.Struct, frozen=True):
    """One line of a log: a row, or None where it removes the one with this key."""

    key: Key
    row: Row | None
    at: int
    length: int


class Piece(msgspec.Struct, frozen=True):
    """Many lines of a log, column by column as in :class:`Line`."""

    keys: list[Key]
    rows: list[Row | None]
    at: list[int]
    lengths: list[int]
    lines: int
    """how many there are, empty ones too"""

    def each(self) -> Iterator[Line]:
        return map(Line, self.keys, self.rows, self.at, self.lengths)


def torn_at(data: bytes, offset: int = 0) -> int:
    """Where what a crash has torn begins at the end of a log; the length of the data if nothing is torn.

    ``offset`` is where in its file the data begins.
    """
    end = data.rfind(b"\n") + 1
    last = data.rfind(b"\n", 0, max(end - 1, 0)) + 1
    if _has_hole(data, last, end, offset):
        return last
    tail = data[end:]
    there = tail.rstrip(b"\0")
    if len(there) < len(tail):
        # Of the line's end at least zeros are there; of the line itself it may be all.
        torn = not there or is_beginning(there) or _has_hole(data, end, end + len(there), offset)
        return end if torn else end + len(there)
    return end if tail and (_has_hole(data, end, len(data), offset) or is_beginning(tail)) else len(data)


def _has_hole(data: bytes, start: int, end: int, offset: int) -> bool:
    """Whether blocks of a line did not reach the disk.  Octavo never writes a NUL; any other was made."""
    return data.find(b"\0", start, end) >= 0 and any(
        (hole.start() == start or (hole.start() + offset) % _BLOCK == 0)
        and (hole.end() + offset) % _BLOCK == 0
        for hole in _NULS.finditer(data, start, end)
    )


def end_of_log(descriptor: int, size: int) -> tuple[int, int, bool]:
    """Where the last lines of a log begin, where the last whole one ends, and whether it has its line break.

    Raises OSError.
    """
    length = _TAIL
    while True:
        start = max(size - length, 0)
        data = os.pread(descriptor, size - start, start)
        # From the end of the line before the last one, which may be cut itself.
        first = data.rfind(b"\n", 0, max(data.rfind(b"\n"), 0)) + 1
        if first or not start:
            break
        length *= 8
    data = data[first:]
    end = torn_at(data, start + first)
    return start + first, start + first + end, not end or data[end - 1] == _NEWLINE


class Scanner:
    """Reads the files of one family."""

    def __init__(self, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        self.family = family
        self.codecs = {p.model.name: codecs[p.model.name] for p in family.places}
        first = next(iter(self.codecs.values()))
        self.namer = Namer(first)
        """names the file of a record, where there is one for each or for each parent"""
        self._only = first if len(self.codecs) == 1 else None
        self._plain = self._only if first.is_plain else None
        self._by_type = {codec.type: codec for codec in self.codecs.values()}
        union: Any = None
        for kind in self._by_type:
            union = kind if union is None else union | kind
        self._decode_lines = msgspec.json.Decoder(union).decode_lines if family.kind.is_log else None

    def scan(self, path: str, content: BinaryIO) -> Iterator[Found | Many]:
        """What stands in a file; where it can be, many records at once.  Raises OSError."""
        if self.family.kind.is_log:
            return self._log(path, content)
        text = content.read()
        if self.family.kind is Kind.FILE:
            return iter([self._record_file(path, text)])
        return self._document(path, text)

    # Logs

    def _log(self, path: str, content: BinaryIO) -> Iterator[Found | Many]:
        line, at = 1, 0
        for piece in pieces(content):
            items = self._quickly(path, piece)
            if items is None:
                yield from self._line_by_line(path, piece, line, at)
                line += piece.count(b"\n")
            elif self._only is not None and type(items) is list:
                yield Many(self._only, items, piece, line, at)
                line += len(items)
            else:
                end = at
                for number, (item, text) in enumerate(zip(items, piece.split(b"\n"), strict=False), line):
                    start, end = end, end + len(text) + 1
                    yield self._entry(item, number, (start, end))
                line += len(items)
            at += len(piece)

    def _entry(self, item: Any, line: int, span: tuple[int, int]) -> Entry:
        return Entry(*self._told(item), line, span)

    def _told(self, item: Any) -> tuple[Codec, Decoded | None, Key]:
        """What a line says: the record of this key, or None if it removes it."""
        kind = type(item)
        if kind is _Removed:
            return item.codec, None, item.key
        if kind is Decoded:
            codec = self._only or self.codecs[type(plain(item.row)).__name__]
        else:
            codec, item = self._by_type[kind], Decoded(item)
        return codec, item, codec.key_of(item.row)

    def _quickly(self, path: str, piece: bytes) -> list[Any] | None:
        """What stands in whole lines, if each is as Octavo writes it: rows, where that is all that a record
        is; :class:`Decoded`; :class:`_Removed`."""
        try:
            try:
                items = self._decoded(piece)
            except msgspec.ValidationError:
                # Mostly a tombstone, which lacks all but the key.
                items = self._with_tombstones(piece)
            items, rows = self._checked(items, piece)
            return items if self._belong(path, rows) else None
        except (msgspec.MsgspecError, ValueError, RecursionError, DamagedError):
            return None

    def together(self, logs: Sequence[tuple[str, bytes]]) -> Many | None:
        """All records of several logs, by path and text, if each of their lines counts and is one as Octavo
        writes it.  Line and place are those in all of the texts."""
        piece = b"".join([text for _, text in logs])
        if self._only is None or not all(text.endswith(b"\n") for _, text in logs if text):
            return None
        try:
            items, rows = self._checked(self._decoded(piece), piece)
            end = 0
            for path, text in logs:
                start, end = end, end + text.count(b"\n")
                if not self._belong(path, rows[start:end]):
                    return None
        except (msgspec.MsgspecError, ValueError, RecursionError, DamagedError):
            return None
        found = Many(self._only, items, piece, 1, 0)
        return found if len(set(found.keys)) == len(rows) else None

    def _decoded(self, piece: bytes) -> list[Any]:
        if self._decode_lines is None:
            raise AssertionError(f"{self.family.path} is no log")
        records = self._decode_lines(piece)
        if _encode_lines(records) != (piece if piece.endswith(b"\n") or not piece else piece + b"\n"):
            raise ValueError("is not as written")
        return records

    def _with_tombstones(self, piece: bytes) -> list[Any]:
        lines = piece.removesuffix(b"\n").split(b"\n")
        written = [line for line in lines if not line.endswith(DELETED)]
        if len(written) == len(lines):
            raise ValueError("is not as written")
        records = iter(self._decoded(b"\n".join([*written, b""])) if written else ())
        return _Mixed(self._line(line) if line.endswith(DELETED) else next(records) for line in lines)

    def _checked(self, items: list[Any], piece: bytes) -> tuple[list[Any], list[Row]]:
        """Rows that are sound, split from what is embedded in them; and these alone.  Raises DamagedError or
        ValueError."""
        if self._plain is not None and type(items) is list:
            self._plain.checks.run(items, piece)
            return items, items
        if self._only is not None and type(items) is list:
            records = self._only.split_all(items)
            self._only.check(records, piece)
            return records, [record.row for record in records]
        items = _Mixed(items)
        found: dict[Codec, list[Decoded]] = {codec: [] for codec in self.codecs.values()}
        for n, item in enumerate(items):
            if type(item) is _Removed:
                continue
            codec = self._by_type[type(item)]
            record = codec.split(item)
            if not codec.is_plain:
                items[n] = record
            found[codec].append(record)
        for codec, records in found.items():
            if records:
                codec.check(records, piece)
        return items, [record.row for records in found.values() for record in records]

    def _belong(self, path: str, rows: Iterable[Row]) -> bool:
        """Whether these rows are of the parent whose log this is."""
        if self.family.kind is not Kind.LOG_PER_PARENT:
            return True
        return all(self.namer.file(values) == path for values in set(map(self.namer.values_of, rows)))

    def _line_by_line(self, path: str, piece: bytes, line: int, at: int) -> Iterator[Entry | DamagedError]:
        for number, text in enumerate(piece.split(b"\n"), line):
            span = at, at + len(text) + 1
            at = span[1]
            if not text.strip():
                continue
            quick = self._quickly(path, text)
            try:
                item = self._line(text.rstrip(b"\r")) if quick is None else quick[0]
                entry = self._entry(item, number, span)
                self._check_belongs(path, entry)
                yield entry
            except DamagedError as error:
                yield error.at(path, number, span=span)

    def _line(self, text: bytes) -> Decoded | _Removed:
        """What one line of a log says.  Raises DamagedError, without its place."""
        try:
            found = Members(text)
            name = msgspec.json.decode(found.get("_model") or b'""', type=str)
        except (NotJson, msgspec.MsgspecError, UnicodeError) as error:
            raise self._broken(text, why_no_json(text, error)) from error
        codec = self.codecs.get(name)
        if codec is None:
            raise DamagedError(f"_model is {name!r}, which does not live here" if name else "has no _model")
        return _Removed(codec, codec.removed(found)) if is_tombstone(found) else codec.of_members(found)

    def _broken(self, text: bytes, reason: str) -> DamagedError:
        """The error for a line that is no JSON, with the model and key that stand in front of the damage."""
        found = before_damage(text)
        name = found.get("_model", b'""')[1:-1].decode("utf-8", "replace")
        if name not in self.codecs:
            return DamagedError(reason)
        error = DamagedError(reason, model=name)
        error.key_values = self.codecs[name].key_in(found)
        error.host = None if error.key_values is None else (name, error.key_values)
        return error

    def line(self, text: bytes) -> tuple[Key, Decoded | None]:
        """What one line of a log says: a key, and its record, None if that is removed.

        Raises DamagedError, without its place.
        """
        entry = self._entry(self._line(text), 0, (0, len(text)))
        return entry.stored_key, entry.found

    def _check_belongs(self, path: str, entry: Entry) -> None:
        """Raise DamagedError for a record in the file of another one, or of another parent."""
        if not self.family.varies or entry.found is None:
            return
        if self.namer.file(self.namer.values_of(entry.found.row)) != path:
            error = DamagedError("a record that belongs in another file", model=entry.codec.name)
            error.key_values = tuple(v for v in entry.key if v is not None)
            error.host = entry.codec.name, error.key_values
            raise error

    # Record files and documents

    def _record_file(self, path: str, text: bytes) -> Entry | DamagedError:
        (codec,) = self.codecs.values()
        span = 0, len(text)
        try:
            found = codec.decode(text)
        except DamagedError as error:
            reason = error.reason if error.field else why_no_json(text, error)
            return error.at(path, max(error.line, 1), reason, span)
        entry = Entry(codec, found, codec.key_of(found.row), 0, span)
        try:
            self._check_belongs(path, entry)
        except DamagedError as error:
            return error.at(path, 0, span=span)
        return entry

    def _document(self, path: str, text: bytes) -> Iterator[Found]:
        try:
            found = Members(text)
        except NotJson as error:
            yield DamagedError(why_no_json(text, error), file=path, line=line_of(text, error.position))
            return
        try:
            version(found.get("_version"))
        except ValueError as error:
            yield DamagedError(str(error), file=path, line=1, field="_version")
            return
        found.take_span("_version")
        for place in self.family.places:
            span = found.take_span(place.array)
            if span is None:
                yield DamagedError("is missing", file=path, model=place.model.name, field=place.array)
            else:
                yield from self._array(path, text, span, self.codecs[place.model.name])
        for key, value in found.left_members():
            yield UnknownKey(path, key, value)

    def _array(self, path: str, text: bytes, array: tuple[int, int], codec: Codec) -> Iterator[Found]:
        line, counted = 1, 0
        try:
            for span in elements(text, *array):
                line, counted = line + text.count(b"\n", counted, span[0]), span[0]
                try:
                    found = codec.decode(text[slice(*span)])
                except DamagedError as error:
                    yield error.at(path, line + max(error.line, 1) - 1, span=span)
                    continue
                yield Entry(codec, found, codec.key_of(found.row), line, span)
        except NotJson as error:
            line = line_of(text, error.position)
            yield DamagedError(error.reason, file=path, line=line, model=codec.name, field=codec.place.array)

    def hashes(self, path: str, content: BinaryIO) -> array[int]:
        """Of each line of a log that can be read, the hash of its record's model and key.  Raises OSError."""
        found = array("q")
        for piece in pieces(content):
            if self._only is not None:
                with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                    keys = map(self._only.key_of, self._decoded(piece))
                    found.extend(map(hash, zip(repeat(self._only.name), keys, strict=False)))
                    continue
            items = self._quickly(path, piece)
            if items is None:
                entries = self._line_by_line(path, piece, 0, 0)
                found.extend(hash(entry.identity) for entry in entries if isinstance(entry, Entry))
            else:
                found.extend(hash((codec.name, key)) for codec, _, key in map(self._told, items))
        return found

    # Whole files, for the store

    def log(self, path: str, data: bytes, offset: int = 0) -> Log:
        """Understand a log, or what begins at ``offset`` of it.  Raises DamagedError."""
        body = data[: torn_at(data, offset)]
        found: dict[str, dict[Key, Any]] = {name: {} for name in self.codecs}
        line = 1
        for piece in _pieces_of(body):
            items = self._quickly(path, piece)
            if items is None:
                for entry in self._line_by_line(path, piece, line, 0):
                    if isinstance(entry, DamagedError):
                        raise entry
                    self._count(found, entry.codec, entry.found, entry.stored_key)
                line += piece.count(b"\n") + (not piece.endswith(b"\n"))
                continue
            line += len(items)
            if self._plain is not None and type(items) is list:
                found[self._plain.name].update(zip(map(self._plain.key_of, items), items, strict=True))
            elif self._only is not None and type(items) is list:
                rows = [record.row for record in items]
                records = items if self._only.children else rows
                found[self._only.name].update(zip(map(self._only.key_of, rows), records, strict=True))
            else:
                for codec, record, key in map(self._told, items):
                    self._count(found, codec, record, key)
        ended = not body or body.endswith(b"\n")
        live, embedded = self._split(path, found)
        return Log(live, embedded, line - 1, len(body), data[len(body) :], ended)

    def lines(self, path: str, descriptor: int, start: int, end: int, line: int = 1) -> Iterator[Piece]:
        """The whole lines of a part of a log without embedded rows, some at a time.

        ``line`` is the number of the first.  Raises DamagedError, OSError.
        """
        at = start
        while at < end:
            piece = whole_lines(descriptor, at, end, _PIECE)
            items = self._quickly(path, piece)
            number = piece.count(b"\n") + (not piece.endswith(b"\n"))
            lengths = list(map(len, piece.removesuffix(b"\n").split(b"\n")))
            starts = list(accumulate((n + 1 for n in lengths[:-1]), initial=at))
            if self._plain is not None and type(items) is list:
                yield Piece(list(map(self._plain.key_of, items)), items, starts, lengths, number)
            else:
                entries: Iterable[Entry | DamagedError]
                if items is None:
                    entries = self._line_by_line(path, piece, line, at)
                else:
                    spans = ((first, first + n + 1) for first, n in zip(starts, lengths, strict=True))
                    entries = map(self._entry, items, repeat(0), spans)
                found = list(map(_line_of, entries))
                yield Piece(
                    [one.key for one in found],
                    [one.row for one in found],
                    [one.at for one in found],
                    [one.length for one in found],
                    number,
                )
            at += len(piece)
            line += number

    def rows(self, texts: list[bytes]) -> list[Row]:
        """The rows of lines that are sound, and no tombstones.  Raises DamagedError."""
        if self._plain is not None and self._decode_lines is not None:
            with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                return self._decode_lines(b"\n".join(texts))
        return [found.row for text in texts if (found := self.line(text.rstrip(b"\r"))[1]) is not None]

    @staticmethod
    def _count(found: dict[str, dict[Key, Any]], codec: Codec, record: Decoded | None, key: Key) -> None:
        """Let a line count: it takes the place of an earlier one with its key."""
        live = found[codec.name]
        live.pop(key, None)
        if record is not None:
            live[key] = record if codec.children else record.row

    def _split(self, path: str, found: dict[str, dict[Key, Any]]) -> tuple[Rows, Rows]:
        """The rows of what has been found, and those that are embedded in them.  Raises DamagedError."""
        live: Rows = {}
        embedded: Rows = {}
        for name, codec in self.codecs.items():
            if codec.children:
                live[name] = {key: record.row for key, record in found[name].items()}
                embedded |= codec.by_key(found[name].values(), path)
            else:
                live[name] = found[name]
        return live, embedded

    def document(self, path: str, data: bytes) -> Document:
        """Understand a document.  Raises DamagedError."""
        found: dict[str, dict[Key, Any]] = {name: {} for name in self.codecs}
        texts: dict[str, dict[Key, bytes]] = {name: {} for name in self.codecs}
        unknown: list[tuple[str, bytes]] = []
        for item in self._document(path, data):
            if isinstance(item, DamagedError):
                raise item
            if isinstance(item, UnknownKey):
                unknown.append((item.key, item.value))
                continue
            name = item.codec.name
            if item.stored_key in found[name]:
                raise DamagedError("its key stands twice", file=path, line=item.line, model=name)
            self._count(found, item.codec, item.found, item.stored_key)
            texts[name][item.stored_key] = data[slice(*item.span)]
        live, embedded = self._split(path, found)
        return Document(live | embedded, texts, unknown)

    def record_file(self, path: str, data: bytes) -> tuple[Key, Decoded]:
        """Understand a record file, which must have the name of its record.  Raises DamagedError."""
        found = self._record_file(path, data)
        if isinstance(found, DamagedError):
            raise found
        if found.found is None:
            raise AssertionError(path)
        return found.stored_key, found.found


def _line_of(entry: Entry | DamagedError) -> Line:
    if isinstance(entry, DamagedError):
        raise entry
    first, after = entry.span
    return Line(entry.stored_key, None if entry.found is None else entry.found.row, first, after - first - 1)


def whole_lines(descriptor: int, start: int, end: int, size: int) -> bytes:
    """The lines at ``start`` of a log, which ends at ``end``: as many as ``size`` bytes hold, at least one.

    Raises OSError, DamagedError.
    """
    while True:
        piece = os.pread(descriptor, min(size, end - start), start)
        if start + len(piece) >= end:
            return piece
        if cut := piece.rfind(b"\n") + 1:
            return piece[:cut]
        if len(piece) < size:
            raise DamagedError("has become shorter while it was read")
        size *= 8


def pieces(content: BinaryIO) -> Iterator[bytes]:
    """The lines of a log, many at once."""
    begun: list[bytes] = []
    while piece := content.read(_PIECE):
        cut = piece.rfind(b"\n") + 1
        if not cut:
            begun.append(piece)
            continue
        yield b"".join([*begun, piece[:cut]]) if begun else piece[:cut]
        begun = [piece[cut:]] if cut < len(piece) else []
    if begun:
        yield b"".join(begun)


def _pieces_of(text: bytes) -> Iterator[bytes]:
    """The same of a log that was read."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + _PIECE) + 1 or len(text)
        yield text[start:end]
        start = end
