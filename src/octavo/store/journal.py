"""The journal: changes of several files that are to happen wholly or not at all.

An entry is one line of ``journal/changes.jsonl``: a digest, and the changes as JSON.  Once it is synced its
changes *have* happened, whatever becomes of the machine: they are then made to the files without syncing
them, and if that is interrupted the next open makes them again.  The journal goes when all the files that it
names have been synced.  Until then a file that it names is changed by way of the journal only, so that
replaying it from the beginning can never bring back something older.

An entry may be *prepared*: its changes count if an entry that keeps it follows, and not if one that drops it
does.  If neither does, only who wrote it can tell; its ``note`` says what to ask.

After the entries lie zeros, the room for those to come: writing into a file whose size and blocks stay as
they are is what a disk syncs quickest.  A torn entry at the end is one whose commit never returned, and is
cut: a part of its line, with zeros for what is missing.  Anything else that cannot be read is damage, and no
store opens over it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

import msgspec

from octavo.errors import DamagedError
from octavo.layout.holes import Hollow
from octavo.layout.layout import RESERVED_FOLDERS
from octavo.store.changes import Append, Change, Remove, Replace, write_beside
from octavo.store.freshness import is_foreseen
from octavo.store.system import (
    FileSystem,
    SyncError,
    open_to_read,
    open_to_write,
    read_whole,
    signature,
    sync,
    sync_folder,
    write_all,
)

FOLDER = "journal"
NAME = f"{FOLDER}/changes.jsonl"
_DIGEST = 16
"""bytes, of BLAKE2b"""
_ROOM = 1 << 16
"""bytes by which the journal grows, once there is more than one entry"""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One commit, one that is prepared (``note``), or the fate of a prepared one (``kept``)."""

    number: int
    changes: tuple[Change, ...] = ()
    note: dict[str, str] | None = None
    """what to ask about a prepared entry; None: its changes count"""
    kept: bool | None = None
    """of the prepared entry with this number: whether its changes count"""


_decode = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode


def encode_entry(entry: Entry) -> bytes:
    """An entry as its line."""
    text = _encode(entry)
    return b"%s %s\n" % (digest(text).encode(), text)


def digest(data: bytes) -> str:
    """BLAKE2b of 16 bytes, in hexadecimal."""
    from hashlib import blake2b

    return blake2b(data, digest_size=_DIGEST).hexdigest()


def read_entries(data: bytes, before: int = 0) -> tuple[list[Entry], int]:
    """The whole entries of a journal, after ``before`` others, and how many bytes they take.

    What follows them was torn by a crash.  Raises DamagedError if a crash cannot have left it.
    """
    entries, at = [], 0
    for line in _lines(data):
        entry = _entry(line)
        if entry is None:
            break
        entries.append(entry)
        at += len(line)
    # A crash leaves a part of the last line, and zeros for what is missing.
    if any(line.endswith(b"\n") and b"\0" not in line for line in _lines(data[at:])):
        raise DamagedError("an entry is broken", file=NAME, line=before + len(entries) + 1)
    return entries, at


def _lines(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        yield data[at:end]
        at = end


def _entry(line: bytes) -> Entry | None:
    found, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or found != digest(text).encode():
        return None
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DamagedError("an entry of another format", file=NAME) from error


def outcome(entries: list[Entry]) -> tuple[list[Change], list[Entry]]:
    """The changes that count, in order, and the prepared entries whose outcome was not written down."""
    fates = {e.number: e.kept for e in entries if e.kept is not None}
    changes: list[Change] = []
    open_entries = []
    for entry in entries:
        if entry.kept is not None:
            continue
        if entry.note is not None and entry.number not in fates:
            open_entries.append(entry)
        elif entry.note is None or fates[entry.number]:
            changes += entry.changes
    return changes, open_entries


class Journal:
    """The journal of the store at ``root``.  Used under the write lock only."""

    def __init__(self, root: str, system: FileSystem) -> None:
        self.root, self.system = root, system
        self.path = os.path.join(root, NAME)
        self.entries: list[Entry] = []
        self.end = 0
        """bytes of whole entries"""
        self.pending: set[str] = set()
        """the files that the journal names"""
        self._inode = 0
        self._descriptor = -1
        self._room = 0
        """the size of the file, where there is nothing but zeros after the entries"""
        self.torn = 0
        """bytes of a torn entry that were found after the whole ones"""

    def catch_up(self, end: int | None) -> None:
        """Read what other processes have added.  ``end`` is where whole entries end, None if that is unknown.

        Raises DamagedError for an entry that Octavo cannot have written, OSError.
        """
        found = signature(self.path)
        if found is None:
            self.forget()
            return
        if end is None or end < self.end or found.inode != self._inode:
            self.forget()
        try:
            data, found = read_whole(self.path, self.end)
        except IsADirectoryError as error:
            raise DamagedError("is no regular file", file=NAME) from error
        except Hollow as error:
            raise DamagedError(str(error.strerror), file=NAME) from error
        added, length = read_entries(data if end is None else data[: end - self.end], len(self.entries))
        _refuse_others(self.root, {change.file for entry in added for change in entry.changes})
        self.entries += added
        self.end += length
        if end is not None and self.end != end:
            raise DamagedError("an entry is broken", file=NAME, line=len(self.entries) + 1)
        self.pending.update(change.file for entry in added for change in entry.changes)
        self._inode = found.inode
        self.torn = len(data[length:].rstrip(b"\0"))
        self._room = self.end if self.torn else found.size

    def forget(self) -> None:
        """There is another journal than the one that was known, or none."""
        self.close()
        self.entries, self.end, self.pending, self._inode, self._room = [], 0, set(), 0, 0

    @property
    def is_absent(self) -> bool:
        """Whether there is no journal, so that all that was committed is in the files.  Raises OSError."""
        return signature(self.path) is None

    @property
    def next_number(self) -> int:
        return self.entries[-1].number + 1 if self.entries else 1

    def add(self, entry: Entry, *, durable: bool = True) -> None:
        """Write an entry, and make it durable unless told otherwise.

        If the system refuses, the journal is as before, and OSError is raised;
        SyncError if that is not sure.
        """
        line = encode_entry(entry)
        made = self._descriptor if self._descriptor >= 0 else self._opened()
        try:
            # What a crash has left after the whole entries goes, and never mixes with what follows.
            if os.fstat(made).st_size > self._room:
                self._cut(made)
            written, end = line, self.end + len(line)
            # The first entry may be the only one; further ones get room after them.
            if self.end and end > self._room:
                written = line.ljust(-(-end // _ROOM) * _ROOM - self.end, b"\0")
            write_all(self.system, made, written, self.end)
            self._room = max(self._room, self.end + len(written))
            if durable:
                sync(self.system, made)
            if self.end == 0:
                # The process that made the file may have died before its name was durable.
                sync_folder(self.system, os.path.dirname(self.path))
        except OSError as error:
            if is_foreseen(error):
                try:
                    self._cut(made)
                except OSError as again:
                    raise SyncError(again.errno, again.strerror, self.path) from error
            raise
        self.entries.append(entry)
        self.end = end
        for change in entry.changes:
            self.pending.add(change.file)

    def _opened(self) -> int:
        """The journal's descriptor, which is kept as long as there is this journal."""
        if self._descriptor < 0:
            try:
                self._descriptor = open_to_write(self.path)
            except FileNotFoundError:
                self._descriptor = self.system.create(self.path)
            self._inode = os.fstat(self._descriptor).st_ino
        return self._descriptor

    def close(self) -> None:
        """Let go of the file; it is opened again when there is something to write."""
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _cut(self, descriptor: int) -> None:
        """Leave the whole entries only, durably."""
        self.system.truncate(descriptor, self.end)
        sync(self.system, descriptor)
        self._room = self.end

    def take_back(self) -> None:
        """Undo the last :meth:`add`: its changes did not happen.  Raises OSError."""
        entry = self.entries.pop()
        self.end -= len(encode_entry(entry))
        if not self.entries:
            self.begin_anew()
            return
        self._cut(self._opened())

    def sync_files(self) -> None:
        """Make every file durable that the journal names.  Raises OSError.

        There must be no prepared entry whose fate is open.
        """
        folders = set()
        for file in sorted(self.pending):
            folders.add(os.path.dirname(file))
            path = os.path.join(self.root, file)
            if signature(path) is None:
                continue
            descriptor = open_to_read(path)
            try:
                sync(self.system, descriptor)
            finally:
                os.close(descriptor)
        for folder in sorted(folders):
            sync_folder(self.system, os.path.join(self.root, folder))

    def begin_anew(self) -> None:
        """Remove the journal, durably; the files that it names are durable by now.  Raises OSError."""
        if self._inode:
            self.system.remove(self.path)
            sync_folder(self.system, os.path.join(self.root, FOLDER))
            self.forget()

    def checkpoint(self) -> None:
        """Make durable what the journal names, and remove it.  Raises OSError.

        The count of commits is odd, so that the store is recovered after a death in between.
        """
        self.sync_files()
        self.begin_anew()

    def replay(self, resolve: Callable[[dict[str, str]], bool] | None) -> list[str]:
        """Make the changes of all entries again, whatever of them has been made, and sync them.

        ``resolve`` tells whether a prepared entry's changes count, from its note.  Gives the files changed.
        Raises DamagedError if a file is not as the journal can have left it, or if that is unknown; OSError.
        """
        changes, doubtful = outcome(self.entries)
        for entry in doubtful:
            if resolve is None:
                raise DamagedError("a change is in doubt, and its outcome cannot be told here", file=NAME)
            kept = resolve(entry.note or {})
            self.add(Entry(entry.number, kept=kept))
        if doubtful:
            changes, _ = outcome(self.entries)
        for file, planned in _by_file(changes).items():
            self._keep_edited(file, changes)
            self._redo(file, planned)
        return sorted({change.file for change in changes})

    def _redo(self, file: str, changes: list[Change]) -> None:
        path = os.path.join(self.root, file)
        first = changes[0]
        if isinstance(first, Remove):
            if signature(path) is not None:
                self.system.remove(path)
            return
        if isinstance(first, Replace):
            content = first.content + "".join(c.lines for c in changes[1:] if isinstance(c, Append))
            self.system.rename(write_beside(self.system, path, content.encode(), durable=False), path)
            return
        try:
            descriptor = open_to_write(path)
        except FileNotFoundError as error:
            raise DamagedError("is missing, and the journal has lines for it", file=file) from error
        try:
            for change in changes:
                if isinstance(change, Append):
                    self._append_again(descriptor, change)
        finally:
            os.close(descriptor)

    def _keep_edited(self, file: str, changes: list[Change]) -> None:
        """Keep beside itself a file that was edited since the journal has had changes for it."""
        own = [change for change in changes if change.file == file]
        path = os.path.join(self.root, file)
        if all(isinstance(change, Append) for change in own) or signature(path) is None:
            return
        there, _ = read_whole(path)
        if not _is_of_journal(there, own):
            kept, number = f"{path}.edited", 1
            while signature(kept) is not None:
                if read_whole(kept)[0] == there:
                    # A recovery that was interrupted has kept it.
                    return
                number += 1
                kept = f"{path}.edited-{number}"
            self.system.rename(write_beside(self.system, kept, there, durable=True), kept)

    def _append_again(self, descriptor: int, change: Append) -> None:
        data = change.lines.encode()
        if os.fstat(descriptor).st_size < change.at:
            raise DamagedError("is shorter than the journal found it", file=change.file)
        if not _may_be_left(os.pread(descriptor, len(data), change.at), data):
            raise DamagedError(
                "was changed by another program while the journal had lines for it", file=change.file
            )
        # Written even where they stand already: after an error of a sync only that makes them stay.
        write_all(self.system, descriptor, data, change.at)


def _refuse_others(root: str, files: Iterable[str]) -> None:
    """Raise DamagedError for a file that no commit changes: outside the data folder, or one of Octavo's own
    beside the records.  Another program has written that."""
    from octavo.store.position import NAME as POSITION
    from octavo.store.safe_path import Outside, require_beneath

    for file in files:
        try:
            require_beneath(root, file)
            if file.partition("/")[0] in RESERVED_FOLDERS and file != POSITION:
                raise Outside(f"leads into {file.partition('/')[0]}/")
        except Outside as error:
            raise DamagedError(f"has a change of a file whose path {error.reason}", file=NAME) from error


def _is_of_journal(there: bytes, changes: list[Change]) -> bool:
    """Whether a file's content is what one of these changes found, or may be left of what they made."""
    first = changes[0]
    # Lines may have been appended to what the journal does not know: is it what the file begins with?
    made: bytes | None = there[: first.at] if isinstance(first, Append) else None
    is_known = False
    for change in changes:
        if isinstance(change, Append):
            made = None if made is None else made + change.lines.encode()
        else:
            if digest(there) == change.before:
                return True
            if (
                not is_known
                and made is not None
                and digest(made) == change.before
                and _may_be_left(there, made)
            ):
                return True
            made, is_known = change.content.encode() if isinstance(change, Replace) else b"", True
        if is_known and made is not None and _may_be_left(there, made):
            return True
    return False


def _may_be_left(there: bytes, written: bytes) -> bool:
    """Whether a crash can have left this of what was written: any part of it, and zeros for the rest."""
    return len(there) <= len(written) and all(
        a in (b, 0) for a, b in zip(there, written[: len(there)], strict=True)
    )


def _by_file(changes: list[Change]) -> dict[str, list[Change]]:
    """For each file what its changes come to: nothing before the last time it was replaced or removed."""
    found: dict[str, list[Change]] = {}
    for change in changes:
        if isinstance(change, Append):
            found.setdefault(change.file, []).append(change)
        else:
            found[change.file] = [change]
    return found
