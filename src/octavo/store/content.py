"""What stands in a file, as records: the whole of it understood, or an error that names the line.

The quick way decodes a log in one go, and holds its length against what Octavo would have written, which
shows that no line has a key twice or one that the schema does not know.  What that refuses goes line by line
through the careful decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from octavo.errors import DamagedError
from octavo.layout.keys import DELETED, is_tombstone
from octavo.layout.layout import FileFamily, Kind, Place
from octavo.layout.record import attribute
from octavo.layout.stored import Key, Stored, array_attribute, key_getter, version
from octavo.layout.storedcodec import Codec
from octavo.schema.datamodel import Model, ScalarField
from octavo.values.base import ValueType
from octavo.values.registry import value_type
from octavo.values.tokens import Members, NotJson, elements, is_beginning, line_of, why_no_json

_BLOCK = 256
"""bytes: no disk writes fewer at once"""
_NULS = re.compile(rb"\0+")
_ESCAPED = re.compile(rb"\\u").search
_encode_lines = msgspec.json.Encoder().encode_lines


class Log(msgspec.Struct):
    """A log as far as it counts: of each key the last line, if it is no tombstone."""

    live: dict[str, dict[Key, Stored]]
    """by model"""
    lines: int = 0
    size: int = 0
    """bytes up to the end of the last whole line"""
    torn: bytes = b""
    """what a crash has left of a line that was being appended; it does not count"""
    ended: bool = True
    """whether the last line has its end: somebody may have written one without"""


class Document(msgspec.Struct):
    """A document: its arrays by model, and the members that the schema does not know."""

    live: dict[str, dict[Key, Stored]]
    texts: dict[str, dict[Key, bytes]]
    """of each record the text that stands there"""
    unknown: tuple[tuple[str, bytes], ...] = ()


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
    return any(
        (hole.start() == start or (hole.start() + offset) % _BLOCK == 0)
        and (hole.end() + offset) % _BLOCK == 0
        for hole in _NULS.finditer(data, start, end)
    )


class Namer:
    """The file that a record lives in, from the stored values that name it."""

    def __init__(self, codec: Codec) -> None:
        place = codec.place
        self._place = place
        datamodel = codec.layout.datamodel
        fields = [place.model.scalar(name) for name in place.name_fields]
        self._texts = [value_type(f, datamodel).text for f in fields]
        self.values_of: Callable[[Stored], Any] = codec.key_of
        """from a stored record to the values that name its file"""
        if place.kind is Kind.LOG_PER_PARENT:
            self.values_of = key_getter(fields)
        self._files: dict[Key, str] = {}

    def file(self, values: Any) -> str:
        """``values``: one, or the tuple of more.  They are those of the key, or of the parent's."""
        found = self._files.get(values)
        if found is None:
            parts = (values,) if len(self._texts) == 1 else values
            texts = [text(part).decode() for text, part in zip(self._texts, parts, strict=True)]
            found = self._place.file_for(texts)
            if len(self._files) >= 4096:
                self._files.clear()
            self._files[values] = found
        return found


class Contents:
    """Understands the files of one family."""

    def __init__(self, family: FileFamily, codecs: Mapping[str, Codec]) -> None:
        self.family = family
        self.codecs = {p.model.name: codecs[p.model.name] for p in family.places}
        self.namer = Namer(next(iter(self.codecs.values())))
        """names the file of a record, where there is one for each or for each parent"""
        self._checks = {name: Checks.of(codec) for name, codec in self.codecs.items()}
        self._by_type = {codec.shape.type: name for name, codec in self.codecs.items()}
        union: Any = None
        for kind in self._by_type:
            union = kind if union is None else union | kind
        self._decode_lines = msgspec.json.Decoder(union).decode_lines if family.kind.is_log else None

    def log(self, path: str, data: bytes, offset: int = 0) -> Log:
        """Understand a log, or what begins at ``offset`` of it.  Raises DamagedError."""
        log = Log({name: {} for name in self.codecs})
        torn = torn_at(data, offset)
        if torn < len(data):
            data, log.torn = data[:torn], data[torn:]
        end = data.rfind(b"\n") + 1
        tail = data[end:]
        body = data[:end] if tail else data
        log.size, log.ended = end, not tail
        if not self._quickly(log, body):
            self._carefully(log, path, body)
        if tail:
            log.size += len(tail)
            self._take_line(log, path, log.lines + 1, tail)
            log.lines += 1
        return log

    def _quickly(self, log: Log, body: bytes) -> bool:
        """Take every line, if each is as Octavo writes it; whether that is so."""
        try:
            try:
                self._at_once(log, self._decode(body))
            except msgspec.ValidationError:
                # Mostly a tombstone, which lacks all but the key.
                self._in_order(log, body.split(b"\n")[:-1])
            for name, live in log.live.items():
                self._checks[name].run(live.values(), body)
        except (msgspec.MsgspecError, DamagedError, ValueError, RecursionError):
            log.live = {name: {} for name in self.codecs}
            return False
        return True

    def _at_once(self, log: Log, records: list[Stored]) -> None:
        for name, codec in self.codecs.items():
            kind = codec.shape.type
            own = records if len(self.codecs) == 1 else [r for r in records if type(r) is kind]
            log.live[name] = dict(zip(map(codec.key_of, own), own, strict=True))
        log.lines = len(records)

    def _in_order(self, log: Log, lines: list[bytes]) -> None:
        written = [line for line in lines if not line.endswith(DELETED)]
        records = iter(self._decode(b"\n".join([*written, b""])) if written else [])
        for line in lines:
            if line.endswith(DELETED):
                name, key = self._tombstone(line)
                log.live[name].pop(key, None)
            else:
                record = next(records)
                name = self._by_type[type(record)]
                log.live[name][self.codecs[name].key_of(record)] = record
        log.lines = len(lines)

    def _decode(self, body: bytes) -> list[Stored]:
        if self._decode_lines is None:
            raise AssertionError(f"{self.family.path} is no log")
        records = self._decode_lines(body)
        if len(_encode_lines(records)) != len(body):
            raise ValueError("is not as written")
        return records

    def _carefully(self, log: Log, path: str, body: bytes) -> None:
        lines = body.split(b"\n")[:-1]
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._take_line(log, path, number, line.rstrip(b"\r"))
        log.lines = len(lines)

    def _take_line(self, log: Log, path: str, number: int, line: bytes) -> None:
        try:
            name, key, stored = self.line(line)
        except DamagedError as error:
            raise error.at(path, number) from error
        live = log.live[name]
        live.pop(key, None)
        if stored is not None:
            live[key] = stored

    def line(self, line: bytes) -> tuple[str, Key, Stored | None]:
        """What one line of a log says: model, key, and the record, None if it is removed.

        Raises DamagedError, without its place.
        """
        try:
            found = Members(line)
            name = msgspec.json.decode(found.get("_model") or b'""', type=str)
        except (NotJson, msgspec.MsgspecError, UnicodeError) as error:
            raise DamagedError(why_no_json(line, error)) from error
        if name not in self.codecs:
            raise DamagedError(f"_model is {name!r}, which does not live here" if name else "has no _model")
        if is_tombstone(found):
            return *self._tombstone(line), None
        stored = self.codecs[name].carefully(line)
        return name, self.codecs[name].key_of(stored), stored

    def _tombstone(self, line: bytes) -> tuple[str, Key]:
        name = msgspec.json.decode(Members(line).get("_model") or b'""', type=str)
        if name not in self.codecs:
            raise DamagedError(f"_model is {name!r}, which does not live here")
        return name, self.codecs[name].tombstone(line)

    def parent_log(self, path: str, data: bytes) -> Log:
        """Understand the log of one parent, which must hold its records alone.  Raises DamagedError."""
        log = self.log(path, data)
        (live,) = log.live.values()
        if any(self.namer.file(values) != path for values in set(map(self.namer.values_of, live.values()))):
            for number, line in enumerate(data.split(b"\n"), 1):
                stored = self.line(line)[2] if line.strip() else None
                if stored is not None:
                    self._check_belongs(path, stored, number)
        return log

    def _check_belongs(self, path: str, stored: Stored, line: int = 0) -> None:
        if self.namer.file(self.namer.values_of(stored)) != path:
            (model,) = self.codecs
            raise DamagedError("a record that belongs in another file", file=path, line=line, model=model)

    def records(self, path: str, data: bytes) -> dict[str, dict[Key, Stored]]:
        """The records of a file that count, of whichever kind it is, by model.  Raises DamagedError."""
        match self.family.kind:
            case Kind.DOCUMENT:
                return self.document(path, data).live
            case Kind.FILE:
                stored = self.own_file(path, data)
                return {name: {codec.key_of(stored): stored} for name, codec in self.codecs.items()}
            case Kind.LOG_PER_PARENT:
                return self.parent_log(path, data).live
        return self.log(path, data).live

    def own_file(self, path: str, data: bytes) -> Stored:
        """Understand a record file, which must have the name of its record.  Raises DamagedError."""
        stored = self.record_file(path, data)
        self._check_belongs(path, stored)
        return stored

    def record_file(self, path: str, data: bytes) -> Stored:
        """Understand a record file.  Raises DamagedError."""
        (codec,) = self.codecs.values()
        try:
            stored = codec.decode(data)
            self._checks[codec.place.model.name].run([stored], data)
        except DamagedError as error:
            raise error.at(
                path, error.line or 1, why_no_json(data, error) if not error.field else ""
            ) from error
        return stored

    def document(self, path: str, data: bytes) -> Document:
        """Understand a document.  Raises DamagedError."""
        try:
            found = Members(data)
        except NotJson as error:
            raise DamagedError(
                why_no_json(data, error), file=path, line=line_of(data, error.position)
            ) from error
        try:
            version(found.get("_version"))
        except ValueError as error:
            raise DamagedError(str(error), file=path, line=1, field="_version") from error
        found.take_span("_version")
        document = Document({}, {})
        for place in self.family.places:
            span = found.take_span(place.array)
            if span is None:
                raise DamagedError("is missing", file=path, model=place.model.name, field=place.array)
            self._array(document, path, place, data, span)
        document.unknown = found.left_members()
        return document

    def _array(self, document: Document, path: str, place: Place, data: bytes, span: tuple[int, int]) -> None:
        name, codec = place.model.name, self.codecs[place.model.name]
        live: dict[Key, Stored] = {}
        texts: dict[Key, bytes] = {}
        try:
            for start, end in elements(data, *span):
                text = data[start:end]
                try:
                    stored = codec.decode(text)
                    self._checks[name].run([stored], text)
                except DamagedError as error:
                    raise error.at(path, line_of(data, start) + max(error.line, 1) - 1) from error
                key = codec.key_of(stored)
                if key in live:
                    line = line_of(data, start)
                    raise DamagedError("its key stands twice", file=path, line=line, model=name)
                live[key], texts[key] = stored, text
        except NotJson as error:
            line = line_of(data, error.position)
            raise DamagedError(error.reason, file=path, line=line, model=name, field=place.array) from error
        document.live[name], document.texts[name] = live, texts


_MARKS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."))
"""what stands where in a time, but for its end"""


def _is_time(text: str, size: int) -> bool:
    """Whether a text is a time as long as this.  False of some that are, too."""
    if len(text) != size or text[4:8:3] != "--" or text[10:17:3] != "T::" or text[11:13] == "24":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text[-1] == "Z" and text[19] in ".Z"


class Checks:
    """What the types of a decoder do not show about values: that a text is a time, a number in its range."""

    def __init__(self, model: Model, columns: Iterable[tuple[ScalarField, ValueType]]) -> None:
        self.model = model
        self._times: list[tuple[str, int]] = []
        self._others: list[tuple[ScalarField, ValueType]] = []
        self._all: list[tuple[ScalarField, ValueType]] = []
        self._children: list[tuple[str, Checks]] = []
        for f, column in columns:
            self._all.append((f, column))
            if column.width:
                self._times.append((attribute(f), column.width))
            elif column.strict:
                self._others.append((f, column))

    @classmethod
    def of(cls, codec: Codec) -> Checks:
        """The checks of a stored record, with those of what is embedded in it."""
        made = cls(codec.place.model, codec.shape.columns)
        made._children = [(array_attribute(c.place), cls.of(c)) for c in codec.children]
        return made

    def run(self, records: Collection[Stored], text: bytes) -> None:
        """Check records that stand in ``text``.  Raises DamagedError for the first that is wrong."""
        if b"\\" in text and _ESCAPED(text):
            # An escaped character may be one that PostgreSQL cannot hold.
            self._values(records, self._all)
        else:
            for name, size in self._times:
                self._all_times(records, name, size)
            self._values(records, self._others)
        for name, child in self._children:
            if inner := [item for record in records for item in getattr(record, name)]:
                child.run(inner, text)

    def _all_times(self, records: Collection[Stored], name: str, size: int) -> None:
        times = [t for r in records if (t := getattr(r, name)) is not None]
        if len(times) == 1 and _is_time(times[0], size):
            return
        joined = "".join(times)
        with suppress(ValueError):
            # Of the spellings that Python takes for a time, ours is told by its length and punctuation.
            if (
                size
                and len(joined) == size * len(times)
                and all(joined[at::size] == mark * len(times) for at, mark in _MARKS if at < size - 1)
                and joined[size - 1 :: size] == "Z" * len(times)
                and "T24" not in joined
                and all(map(datetime.fromisoformat, times))
            ):
                return
        self._values(records, [(f, c) for f, c in self._all if attribute(f) == name])

    def _values(self, records: Iterable[Stored], columns: list[tuple[ScalarField, ValueType]]) -> None:
        checked = [(f, attribute(f), column) for f, column in columns]
        for record in records:
            for f, held, column in checked:
                value = getattr(record, held)
                if f.nullable and column.is_null(value):
                    continue
                try:
                    column.text(value)
                except ValueError as error:
                    raise DamagedError(str(error), model=self.model.name, field=f.name) from error
