"""Which files and rows a part of a verification compares: ``octavo verify --part 2/5``.

Where each record or parent has a file of its own, the part is told by what names the file, on both sides: the
SHA-256 of the key's text.  (It is the name itself where the text would make no name of a file.)  Any other
file is one part's as a whole.  Every file belongs to exactly one part, and every row to the part of the file
that it should be in; a row whose parent does not exist belongs to all parts, so that none passes it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from octavo.fold.parts import Part
from octavo.fold.source import Source
from octavo.layout.layout import FileFamily, Kind, Layout, Place
from octavo.layout.listing import File, Files
from octavo.postgres.failures import database_errors
from octavo.schema.datamodel import Model, ScalarField
from octavo.schema.native import quote, table_name
from octavo.values.registry import value_type

_DIGITS = 8
"""of the digest, in hexadecimal, that tell the part"""


class Share:
    """The share of one part; without a part, it is everything."""

    def __init__(self, layout: Layout, part: Part | None = None) -> None:
        self.layout, self.part = layout, part

    @property
    def is_first(self) -> bool:
        """Whether it is the part that looks at what belongs to no file of the layout."""
        return self.part is None or self.part.number == 1

    def has(self, family: FileFamily) -> bool:
        """Whether any file of a family can be in it."""
        return (
            self.part is None
            or family.path not in self._whole
            or self._whole[family.path] == self.part.number
        )

    def has_model(self, name: str) -> bool:
        """Whether records of a model can be in it."""
        return self.has(self._family(name))

    def divides(self, place: Place) -> bool:
        """Whether the files of a place are divided among the parts."""
        return self.part is not None and place.path not in self._whole

    def holds(self, file: File) -> bool:
        """Whether a file is in it."""
        if self.part is None or file.family.path in self._whole:
            return self.has(file.family)
        return self.names(file)

    def names(self, file: File) -> bool:
        """Whether what names a file is in it: the file too, unless its family is one part's as a whole."""
        if self.part is None:
            return True
        stem = file.family.stem(file.path)
        digest = stem[1:] if stem.startswith("~") else _digest([unquote_to_bytes(p) for p in stem.split(".")])
        return int(digest[:_DIGITS], 16) % self.part.of + 1 == self.part.number

    def of(self, files: Files) -> Files:
        """Those of some files that are in it."""
        if self.part is None:
            return files
        return files.chosen(number for number, file in enumerate(files) if self.holds(file))

    def condition(self, model: Model, alias: str = "t") -> str:
        """The SQL condition for a row of a model that belongs in it; empty where all of them do."""
        family = self._family(model.name)
        if self.part is None or family.path in self._whole:
            return ""
        place = self.layout.place(model.name)
        relation = place.relation
        if place.kind is Kind.FILE or relation is None:
            return f"{self._number(alias, model, model.key.field_names)} = {self.part.number}"
        parent = self.layout.datamodel.model(relation.parent)
        same = " AND ".join(
            f"p.{quote(parent.scalar(theirs).column)} = {alias}.{quote(model.scalar(own).column)}"
            for own, theirs in zip(relation.fields, relation.references, strict=True)
        )
        other = f"{self._number('p', parent, relation.references)} <> {self.part.number}"
        return f"NOT EXISTS (SELECT FROM {table_name(parent)} AS p WHERE {same} AND {other})"

    def counts(self, source: Source) -> dict[str, int]:
        """The number of rows that are in it, by model.  Raises DatabaseError."""
        datamodel = self.layout.datamodel
        if self.part is None:
            return source.counts(datamodel)
        models = [m for m in datamodel.tables if self.has_model(m.name)]
        each = ", ".join(f"(SELECT count(*) FROM {table_name(m)} AS t{self.where(m)})" for m in models)
        if not models:
            return {}
        with database_errors(source.snapshot.url, "counting rows"):
            row = source.snapshot.connection.execute(f"SELECT ARRAY[{each}]".encode()).fetchone()
        return dict(zip((m.name for m in models), row[0] if row else (), strict=True))

    def where(self, model: Model) -> str:
        """The condition as a clause."""
        condition = self.condition(model)
        return f" WHERE {condition}" if condition else ""

    def _number(self, alias: str, model: Model, names: Sequence[str]) -> str:
        assert self.part is not None
        texts = [f"convert_to({alias}.{quote(model.scalar(n).column)}::text, 'UTF8')" for n in names]
        joined = " || decode('00', 'hex') || ".join(texts)
        digest = f"encode(sha256({joined}), 'hex')"
        return f"(('x' || left({digest}, {_DIGITS}))::bit({4 * _DIGITS})::bigint % {self.part.of} + 1)"

    def _family(self, name: str) -> FileFamily:
        family = self.layout.family(self.layout.host(name).path)
        assert family is not None
        return family

    @cached_property
    def _whole(self) -> dict[str, int]:
        """The families that are one part's as a whole, with its number: all that have payloads are the same
        part's, which then knows each payload that is in use."""
        assert self.part is not None
        whole = [f for f in self.layout.families if not self._is_divided(f)]
        whole.sort(key=lambda f: not any(place.payload for place in f.places))
        paying = sum(any(place.payload for place in f.places) for f in whole)
        return {f.path: max(0, n - max(0, paying - 1)) % self.part.of + 1 for n, f in enumerate(whole)}

    def _is_divided(self, family: FileFamily) -> bool:
        place = family.places[0]
        if not family.varies or (
            place.kind is Kind.LOG_PER_PARENT and self.layout.embedded(place.model.name)
        ):
            return False
        return not any(value_type(f, self.layout.datamodel).identity for f in self._naming(place))

    def _naming(self, place: Place) -> Iterator[ScalarField]:
        """The fields by whose texts a file is named, those of the parent too: they must be told by them."""
        yield from (place.model.scalar(name) for name in place.name_fields)
        if place.kind is Kind.LOG_PER_PARENT and place.relation is not None:
            parent = self.layout.datamodel.model(place.relation.parent)
            yield from (parent.scalar(name) for name in place.relation.references)


def _digest(parts: Sequence[bytes]) -> str:
    return sha256(b"\0".join(parts)).hexdigest()
