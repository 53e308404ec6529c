"""The payloads of a data folder, put back below a files root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from octavo.errors import DamagedError, DifferenceError, disk_errors
from octavo.inspect.payloads import CONFLICT, file_digest, payload_conflict, put_back
from octavo.layout.layout import Place
from octavo.layout.listing import Contents, payload_path
from octavo.layout.scan import Reader, live_records


class PutBack:
    """The payloads that go back below the files root."""

    def __init__(self, reader: Reader, there: Contents, files_root: Path) -> None:
        self.reader, self.there, self.files_root = reader, there, files_root
        self.layout = reader.layout
        self.notes: list[str] = []

    def _rows(self) -> Iterator[tuple[Place, str, str | None]]:
        """Each row with a payload: its place, its path, its digest."""
        places = [p for p in self.layout.places if p.payload]
        for path in dict.fromkeys(p.path for p in places):
            for file in self.there.files:
                if file.family.path == path:
                    for record in live_records(self.reader, file):
                        if record.place.payload:
                            names = [f.name for f in record.place.model.scalars]
                            value = record.values[names.index(record.place.payload)]
                            yield record.place, (value or b"").decode(), record.sha256

    def refuse_conflicts(self) -> None:
        """Raise before anything is written if a payload is not there, or would replace another file."""
        conflicts: list[str] = []
        sound: set[str] = set()
        for place, path, digest in self._rows():
            if digest is None:
                self.notes.append(f"{place.model.name}: {path!r} has no payload in the data folder")
                continue
            if digest not in sound:
                self._check(digest)
                sound.add(digest)
            with disk_errors("looking at the files root"):
                if reason := payload_conflict(self.files_root, path, digest):
                    conflicts.append(f"{path}: {reason}")
        if conflicts:
            shown = "; ".join(conflicts[:5]) + (
                f"; and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
            )
            raise DifferenceError(
                f"payloads would replace other files below {self.files_root}: {shown}",
                hint="restore with another --files-root",
            )

    def _check(self, digest: str) -> None:
        path = payload_path(self.layout, digest)
        try:
            found, _ = file_digest(self.reader.root, path)
        except FileNotFoundError as error:
            raise DamagedError("the payload is missing", file=path) from error
        except OSError as error:
            raise DamagedError(f"the payload cannot be read: {error.strerror}", file=path) from error
        if found != digest:
            raise DamagedError("the payload is not what its digest says", file=path)

    def write(self) -> int:
        """Write each payload to where its row says.  Gives the number of rows that have theirs now."""
        written = 0
        for place, path, digest in self._rows():
            if digest is None:
                continue
            self.files_root.mkdir(parents=True, exist_ok=True)
            reason = put_back(self.reader.root, self.layout, digest, self.files_root, path)
            if reason is None:
                written += 1
            elif reason == CONFLICT:
                raise DifferenceError(f"{path} below {self.files_root}: {reason}")
            else:
                self.notes.append(f"{place.model.name}: {path!r} was not written: {reason}")
        return written
