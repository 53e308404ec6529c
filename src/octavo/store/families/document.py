"""Records in the arrays of one JSON file."""

from __future__ import annotations

from collections.abc import Mapping

from octavo.layout.layout import VERSION, Place
from octavo.layout.stored import Key, encode
from octavo.store.changes import Change, Replace
from octavo.store.content import Document
from octavo.store.families.base import (
    NOTHING,
    Changed,
    Changes,
    Family,
    Found,
    read_file,
)
from octavo.store.system import Signature


class DocumentFamily(Family):
    """Arrays of one JSON file."""

    _signature: Signature | None = None
    _document: Document

    def _freshen(self) -> None:
        file = self.family.path
        if file in self.world.in_flight and self._all is not None:
            return
        if self._all is not None and self.world.signature(file) == self._signature:
            self._suspected = False
            return
        data, found = read_file(self.world, file)
        self._document = self.contents.document(file, data)
        self._signature = found
        self._replace_all(self._document.live)

    def expected(self, file: str) -> Signature | None:
        return self._signature

    def plan(self, changes: Changes) -> list[Change]:
        parts = [b'{\n  "_version": %d' % VERSION]
        for place in self.family.places:
            texts = self._texts(place, changes.get(place.model.name, {}))
            inner = b"[\n    " + b",\n    ".join(texts) + b"\n  ]" if texts else b"[]"
            parts.append(encode(place.array) + b": " + inner)
        parts += [encode(key) + b": " + value for key, value in self._document.unknown]
        return [Replace(self.family.path, (b",\n  ".join(parts) + b"\n}\n").decode())]

    def _texts(self, place: Place, changed: Mapping[Key, Changed]) -> list[bytes]:
        name, codec = place.model.name, self.codecs[place.model.name]
        records = dict(self.records(name))
        texts = self._document.texts[name]
        for key, change in changed.items():
            if change.after is None:
                records.pop(key, None)
            else:
                records[key] = change.after
        order = self.orders[name]
        return [
            codec.encode(record) if key in changed else texts[key]
            for key, record in sorted(records.items(), key=lambda item: order(item[1]))
        ]

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        for name, texts in self._document.texts.items():
            for key, change in changes.get(name, NOTHING).items():
                if change.after is None:
                    texts.pop(key, None)
                else:
                    texts[key] = self.codecs[name].encode(change.after)
        self._take(changes)
        self._signature = found.get(self.family.path)
