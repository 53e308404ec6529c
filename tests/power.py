"""What a loss of power may leave of a data folder: every state that a legal file system could be found in.

A :class:`Recorder` notes the calls of a process; a :class:`Disk` takes them over one by one, and tells at any
point what could be there after a loss of power.  The model is harsher than the file systems that there are:

- a file's contents and size are durable from its sync on.  What was written since may be lost, there in part
  (up to any write, up to the middle of one, in some of its blocks and zeros for the others), or there without
  what was written before it;
- a folder's entries are durable from its sync on.  Each create, rename and remove since may be lost or there,
  whatever became of the others and of what the files hold.  A rename happens wholly or not at all.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from faults import Fault, Faulty
from octavo.store.shared import Openers, SharedState
from octavo.store.system import Signature

Event: TypeAlias = tuple[Any, ...]
Loss: TypeAlias = dict[str, bytes]
"""the files that are there, by path, with their contents"""

_BLOCK = 512
"""bytes that reach the disk together: a sector, the least there is"""
_MOST_SUBSETS = 5


class Recorder(Faulty):
    """The calls that took effect, told one by one."""

    def __init__(
        self, root: Path, tell: Callable[[Event], None], at: int = 0, fault: Fault | None = None
    ) -> None:
        super().__init__(at, fault)
        self._root, self._tell = root, tell

    def make(self, name: str, args: tuple[Any, ...]) -> Any:
        result = super().make(name, args)
        if name in ("rename", "remove"):
            self._tell((name, *(os.path.relpath(path, self._root) for path in args)))
        elif name == "create":
            self._tell((name, os.path.relpath(args[0], self._root), os.fstat(result).st_ino))
        elif name == "write":
            descriptor, data, at = args
            self._tell((name, os.fstat(descriptor).st_ino, at, bytes(data[:result])))
        elif name == "sync_all":
            self._tell((name,))
        else:
            self._tell((name, os.fstat(args[0]).st_ino, *args[1:]))
        return result


@dataclass(eq=False)
class _File:
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """writes (position, data) and truncations (size, None) since the last sync"""

    def sync(self) -> None:
        self.durable, self.pending = _applied(self.durable, self.pending), []

    def variants(self) -> list[bytes]:
        """What may be found in it."""
        found = [self.durable]
        for count, (at, data) in enumerate(self.pending, 1):
            before = _applied(self.durable, self.pending[: count - 1])
            whole = _applied(before, [(at, data)])
            found.append(whole)
            if data is not None:
                found += _partly(before, at, data)
            without = [*self.pending[: count - 1], *self.pending[count:]]
            found.append(_applied(self.durable, without))
        return list(dict.fromkeys(found))


def _applied(content: bytes, changes: Iterable[tuple[int, bytes | None]]) -> bytes:
    for at, data in changes:
        content = content.ljust(at, b"\0")
        content = content[:at] if data is None else content[:at] + data + content[at + len(data) :]
    return content


def _partly(before: bytes, at: int, data: bytes) -> Iterator[bytes]:
    """A write of which the size is there and not the data, a part, or only some blocks."""
    sized = before.ljust(at + len(data), b"\0")
    yield sized
    for cut in {1, len(data) // 2, len(data) - 1}:
        yield _applied(before, [(at, data[:cut])])
        yield _applied(sized, [(at, data[:cut])])
    blocks = range(at // _BLOCK, (at + len(data) - 1) // _BLOCK + 1)
    if len(blocks) > 1:
        for block in {blocks[0], blocks[len(blocks) // 2], blocks[-1]}:
            start, end = max(block * _BLOCK, at), min((block + 1) * _BLOCK, at + len(data))
            yield _applied(sized, [(start, data[start - at : end - at])])
            missing = data[: start - at] + bytes(end - start) + data[end - at :]
            yield _applied(before, [(at, missing)])


@dataclass(eq=False)
class _Folder:
    durable: dict[str, _File] = field(default_factory=dict)
    pending: list[tuple[str, str, _File | None]] = field(default_factory=list)
    """names that go and come together since the last sync (either may be empty), and what file comes"""

    @property
    def current(self) -> dict[str, _File]:
        return self._with(self.pending)

    def _with(self, changes: Iterable[tuple[str, str, _File | None]]) -> dict[str, _File]:
        names = dict(self.durable)
        for gone, come, file in changes:
            names.pop(gone, None)
            if file is not None:
                names[come] = file
        return names

    def sync(self) -> None:
        self.durable, self.pending = self.current, []

    def variants(self) -> list[dict[str, _File]]:
        """Which entries may be found."""
        count = len(self.pending)
        if count <= _MOST_SUBSETS:
            chosen = [c for n in range(count + 1) for c in itertools.combinations(range(count), n)]
        else:
            every = range(count)
            chosen = [tuple(every[:n]) for n in range(count + 1)]
            chosen += [tuple(m for m in every if m != n) for n in every] + [(n,) for n in every]
        found: list[dict[str, _File]] = []
        for numbers in chosen:
            names = self._with(self.pending[n] for n in numbers)
            if names not in found:
                found.append(names)
        return found


class Disk:
    """A data folder as the disk has it, and what of it is not durable yet."""

    def __init__(self, root: Path) -> None:
        """What is there at first is durable."""
        self._folders: dict[str, _Folder] = {}
        self._folder_names: dict[int, str] = {}
        self._files: dict[int, _File] = {}
        for folder, _, names in os.walk(root):
            relative = os.path.relpath(folder, root)
            self._folder_names[os.stat(folder).st_ino] = relative
            made = self._folders[relative] = _Folder()
            for name in names if relative.partition("/")[0] != "cache" else ():
                path = os.path.join(folder, name)
                inode = os.lstat(path).st_ino
                made.durable[name] = self._files[inode] = _File(Path(path).read_bytes())

    def apply(self, event: Event) -> None:
        """Take over what a process has done."""
        match event:
            case ("create", path, inode):
                file = self._files[inode] = _File()
                self._change("", path, file)
            case ("write", inode, at, data):
                self._files[inode].pending.append((at, data))
            case ("truncate", inode, size):
                self._files[inode].pending.append((size, None))
            case ("sync", inode):
                name = self._folder_names.get(inode)
                (self._files[inode] if name is None else self._folders[name]).sync()
            case ("rename", source, target):
                self._change(
                    source,
                    target,
                    self._folders[os.path.dirname(source) or "."].current[os.path.basename(source)],
                )
            case ("remove", path):
                self._change(path, path, None)
            case ("sync_all", *_):
                for file in self._files.values():
                    file.sync()
                for folder in self._folders.values():
                    folder.sync()
            case _:
                raise AssertionError(event)

    def _change(self, gone: str, come: str, file: _File | None) -> None:
        folder = os.path.dirname(come)
        assert not gone or os.path.dirname(gone) == folder
        self._folders[folder or "."].pending.append((os.path.basename(gone), os.path.basename(come), file))

    def folders(self) -> list[str]:
        return [name for name in self._folders if name != "."]

    def losses(self, most: int, random: random.Random) -> Iterator[Loss]:
        """What may be found after a loss of power now: all, or so many of them, chosen at random.

        Those in which nothing, everything, or all but one thing was lost or kept are always among them.
        """
        folders = {name: folder.variants() for name, folder in self._folders.items()}
        names = list(folders)
        possible = prod(map(len, folders.values())) * prod(len(f.variants()) for f in self._dirty())
        if possible <= most:
            choices: Iterable[tuple[dict[str, _File], ...]] = itertools.product(*folders.values())
            for choice in choices:
                yield from self._contents(dict(zip(names, choice, strict=True)))
            return
        for _ in range(most):
            entries = {name: random.choice(found) for name, found in folders.items()}
            yield self._some_contents(entries, random)

    def _dirty(self) -> list[_File]:
        return [file for file in self._files.values() if file.pending]

    def _contents(self, entries: dict[str, dict[str, _File]]) -> Iterator[Loss]:
        paths = _paths(entries)
        files = list({id(file): file for file in paths.values()}.values())
        for contents in itertools.product(*(file.variants() for file in files)):
            found = {id(file): content for file, content in zip(files, contents, strict=True)}
            yield {path: found[id(file)] for path, file in paths.items()}

    def _some_contents(self, entries: dict[str, dict[str, _File]], random: random.Random) -> Loss:
        paths = _paths(entries)
        how = random.choice(["lost", "kept", "any", "any", "any"])
        found: dict[int, bytes] = {}
        for file in paths.values():
            if id(file) not in found:
                variants = {"lost": [file.durable], "kept": [_applied(file.durable, file.pending)]}
                found[id(file)] = random.choice(variants.get(how) or file.variants())
        return {path: found[id(file)] for path, file in paths.items()}


def _paths(entries: dict[str, dict[str, _File]]) -> dict[str, _File]:
    return {
        os.path.normpath(os.path.join(folder, name)): file
        for folder, names in entries.items()
        for name, file in names.items()
    }


def leave_page(root: Path, journal_end: int) -> None:
    """Put into ``cache/`` the page of state as a disk may bring it back on the same boot: one of this folder,
    as it was when no commit was under way, the journal had so many bytes, and there was a whole index."""
    (root / "cache").mkdir(exist_ok=True)
    Openers(str(root)).close()
    with closing(SharedState(str(root), create=True)) as page:
        page.clear()
        page.note_journal(0)
        page.note_journal(journal_end)
        page.note_index()
        page.note_whole(Signature(1, 1, 1, 1))
        page.start()


def materialise(folders: Iterable[str], loss: Loss, root: Path) -> None:
    """Make a data folder of what was left, with an empty ``cache/``."""
    for folder in folders:
        if not folder.startswith("cache/"):
            (root / folder).mkdir(parents=True, exist_ok=True)
    for path, content in loss.items():
        (root / path).write_bytes(content)
