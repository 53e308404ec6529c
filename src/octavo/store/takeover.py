"""A store from before stores said what they are: whether its records fit a schema and a layout, and taking
it over.

``schema/`` is made below ``cache/`` and gets its name by one rename, under the write lock: after a crash it
is there as a whole, or not at all.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from enum import Enum
from pathlib import Path

from octavo.backend import PathName
from octavo.errors import BusyError, DamagedError, DiskError, disk_errors
from octavo.layout.found import Entry, Found
from octavo.layout.layout import RESERVED_FOLDERS, Layout
from octavo.layout.listing import contents
from octavo.layout.reader import Reader
from octavo.store import disk
from octavo.store.identity import FOLDER, identity_files, read_identity, write_identity
from octavo.store.lock import NAME as LOCK
from octavo.store.offline import write_lock
from octavo.store.shared import READ_ONLY
from octavo.store.system import FOLDER_MODE, SYSTEM, open_to_read, sync_folder

BEGINNINGS = (b'{\n  "_version": ', b'{"_model":')
"""how a document or record file begins, and a log"""


class Verdict(Enum):
    """What a look at every record says."""

    FITS = "every record fits"
    DAMAGED = "some records cannot be read, and others of their models fit"
    OTHER = "of some model no record fits"


class Fit:
    """A look at every record of a folder: what it came to, and why it is another schema's, if it is."""

    def __init__(self, root: PathName, layout: Layout) -> None:
        """Raises DiskError if the folder cannot be looked into."""
        self._root, self._layout = Path(root), layout
        self._read: Counter[str] = Counter()
        self._unknown: Counter[tuple[str, str]] = Counter()
        self._broken: dict[str, str] = {}
        self._damaged = False
        with disk_errors("looking for the records"):
            self.reasons = [*self._strangers(), *self._look()]

    @property
    def verdict(self) -> Verdict:
        if self.reasons:
            return Verdict.OTHER
        return Verdict.DAMAGED if self._damaged else Verdict.FITS

    def _strangers(self) -> Iterator[str]:
        """The files with records that belong to no model."""
        for folder in ("", *self._layout.folders):
            if folder.partition("/")[0] in RESERVED_FOLDERS or not (self._root / folder).is_dir():
                continue
            for name in sorted(os.listdir(self._root / folder)):
                path = f"{folder}/{name}" if folder else name
                if path.endswith((".json", ".jsonl")) and self._is_strange(path):
                    yield f"{path} is of no model"

    def _is_strange(self, path: str) -> bool:
        if self._layout.family(path) is not None or self._layout.misnames(path):
            return False
        try:
            descriptor = open_to_read(str(self._root / path))
        except OSError:
            return False
        try:
            return os.pread(descriptor, max(map(len, BEGINNINGS)), 0).startswith(BEGINNINGS)
        finally:
            os.close(descriptor)

    def _look(self) -> Iterator[str]:
        folders = (folder for folder in self._layout.folders if folder not in RESERVED_FOLDERS)
        found, reader = contents(self._layout, self._root), Reader(self._layout, self._root)
        self._damaged = bool(found.missing) or not all((self._root / folder).is_dir() for folder in folders)
        for file in found.files:
            for item in reader.read(file):
                self._note(item)
        for model, reason in self._broken.items():
            if not self._read[model]:
                yield reason
        for (model, key), count in self._unknown.items():
            # In a single record it may be a note of the user's.
            if count == self._read[model] > 1:
                yield f"every {model} has a key {key!r}"

    def _note(self, item: Found) -> None:
        if isinstance(item, DamagedError):
            self._damaged = True
            if item.model:
                self._broken.setdefault(item.model, str(item))
        elif type(item) is Entry and item.found is not None:
            self._read[item.codec.name] += 1
            for child in item.codec.children:
                self._read[child.place.model.name] += len(item.found.embedded.get(child.name, ()))
            for place, key in set(item.unknown):
                self._unknown[place.model.name, key] += 1


_MAKING = "cache/schema.new"


def take_over(root: PathName, layout: Layout) -> list[str]:
    """Let a store say that it has this schema and layout, where it says nothing yet.  Gives the files made.

    Where that cannot be written now, or another process is writing to the store, the next that opens it does
    it.  Raises DiskError.
    """
    files = identity_files(layout)
    if not files:
        return []
    try:
        with suppress(BusyError), disk_errors("taking the store over"):
            (Path(root) / "cache").mkdir(FOLDER_MODE, exist_ok=True)
            # A folder that nothing was ever written to has no lock, and gets none for this.
            is_new = not os.path.lexists(os.path.join(root, LOCK))
            with nullcontext() if is_new else write_lock(Path(root), 0):
                if read_identity(root) is None:
                    put_identity(Path(root), files)
                    return list(files)
    except DiskError as error:
        if error.errno not in READ_ONLY:
            raise
    return []


def put_identity(root: Path, files: Mapping[str, bytes]) -> None:
    """Put what :func:`identity_files` gave into a folder that has none, durably.  Raises OSError."""
    making = root / _MAKING
    shutil.rmtree(making, ignore_errors=True)
    for file, content in files.items():
        disk.write_file(making / file.removeprefix(f"{FOLDER}/"), content)
    try:
        # Over an empty folder, too.
        os.rename(making, root / FOLDER)
        sync_folder(SYSTEM, root)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Files of the user's are there: what says that it is whole comes last.
        write_identity(root, files)
        shutil.rmtree(making, ignore_errors=True)
