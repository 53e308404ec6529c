"""Records in the arrays of one JSON file."""

from __future__ import annotations

from collections.abc import Mapping

from octavo.layout.codec import NONE
from octavo.layout.keys import Key
from octavo.layout.layout import VERSION
from octavo.layout.record import encode
from octavo.layout.scan import Document
from octavo.store.changes import Change, Replace
from octavo.store.families.base import (
    NOTHING,
    Changed,
    Changes,
    Family,
    Found,
    Whole,
    read_file,
)
from octavo.store.system import Signature


class DocumentFamily(Family):
    """Arrays of one JSON file."""

    _signature: Signature | None = None
    _document: Document
    _texts: dict[str, dict[Key, bytes]]
    """of each record the text that stands in the planned document"""

    def _freshen(self) -> None:
        file = self.family.path
        if file in self.world.in_flight and self._all is not None:
            return
        if self._all is not None and self.world.signature(file) == self._signature:
            self._suspected = False
            return
        data, found = read_file(self.world, file)
        self._document = self.scanner.document(file, data)
        self._signature = found
        self._replace_all(self._document.live)

    def expected(self, file: str) -> Signature | None:
        return self._signature

    def plan(self, changes: Changes) -> list[Change]:
        self._texts = {}
        parts = [b'{\n  "_version": %d' % VERSION]
        whole, embedded = self.whole(changes)
        for place in self.family.places:
            name = place.model.name
            texts = self._texts[name] = self._planned(name, whole.get(name, NOTHING), embedded)
            inner = b"[\n    " + b",\n    ".join(texts.values()) + b"\n  ]" if texts else b"[]"
            parts.append(encode(place.array) + b": " + inner)
        parts += [encode(key) + b": " + value for key, value in self._document.unknown]
        return [Replace(self.family.path, (b",\n  ".join(parts) + b"\n}\n").decode())]

    def _planned(self, name: str, changed: Mapping[Key, Changed], embedded: Whole) -> dict[Key, bytes]:
        """The text of each record of a model after these changes, in their order."""
        codec, rows = self.codecs[name], dict(self.rows(name))
        texts = self._document.texts[name]
        for key, change in changed.items():
            if change.after is None:
                rows.pop(key, None)
            else:
                rows[key] = change.after
        return {
            key: codec.encode(row, embedded.get((name, key), NONE)) if key in changed else texts[key]
            for key, row in sorted(rows.items(), key=lambda item: codec.order(item[1]))
        }

    def done(self, changes: Changes, files: Mapping[str, Change], found: Found) -> None:
        self._document.texts = self._texts
        self._take(changes)
        self._signature = found.get(self.family.path)
