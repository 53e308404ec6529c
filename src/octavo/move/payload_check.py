"""The payloads of a verification: each is what its digest says, and what its record's path leads to below the
files root."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from octavo.inspect.findings import Difference, DifferenceKind, Differences
from octavo.inspect.observers import Named
from octavo.inspect.payloads import digest_of, file_digest
from octavo.layout.layout import Layout
from octavo.layout.listing import payload_files, payload_path
from octavo.store.intake import read_payload
from octavo.store.safe_path import Outside


class PayloadCheck:
    """Holds payloads against their digests, and against ``files_root`` if it is a folder; differences go to
    ``found``."""

    def __init__(self, layout: Layout, root: Path, files_root: Path, found: Differences) -> None:
        self.layout, self.root, self.files_root, self.found = layout, root, files_root, found
        self.checked = 0
        """rows whose payload was held against its digest"""
        self.compared = 0
        """of these, held against the files root too"""
        self.notes: list[str] = []
        self._damage: dict[str, str] = {}
        """by digest, what is wrong with the payload; empty: nothing"""

    def look(self, named: Iterable[Named]) -> None:
        """Look at the payloads of these records."""
        has_root = self.files_root.is_dir()
        for record in named:
            if record.sha256 is not None:
                self.checked += 1
                if reason := self._damage_of(record.sha256):
                    self._add(record, reason, DifferenceKind.DAMAGED)
            if has_root and record.path is not None:
                self._compare(record, record.path)

    def unnamed(self) -> list[str]:
        """The payloads in the data folder that no record has named."""
        return [path for digest, path in payload_files(self.layout, self.root) if digest not in self._damage]

    def _damage_of(self, digest: str) -> str:
        if digest not in self._damage:
            try:
                there, _ = file_digest(self.root, payload_path(self.layout, digest))
                reason = "" if there == digest else "the payload kept is not what its digest says"
            except FileNotFoundError:
                reason = "the payload is missing from the data folder"
            except OSError as error:
                reason = f"the payload cannot be read: {error.strerror}"
            self._damage[digest] = reason
        return self._damage[digest]

    def _compare(self, record: Named, path: str) -> None:
        where = f"{record.place.model.name}: {path!r}"
        try:
            there, _ = digest_of(read_payload(self.files_root, path))
        except Outside as error:
            self.notes.append(f"{where} is refused: the path {error.reason}")
        except FileNotFoundError:
            self.notes.append(f"{where} is missing below the files root")
        except OSError as error:
            self.notes.append(f"{where} cannot be read: {error.strerror}")
        else:
            self.compared += 1
            if record.sha256 is None:
                self._add(record, "the payload is there but was not kept", DifferenceKind.DIFFERENT)
            elif there != record.sha256:
                self._add(record, "the payload below the files root is another", DifferenceKind.DIFFERENT)

    def _add(self, record: Named, reason: str, kind: DifferenceKind) -> None:
        model = record.place.model.name
        self.found.add(Difference(model=model, kind=kind, key=record.key, fields=("_sha256",), reason=reason))
