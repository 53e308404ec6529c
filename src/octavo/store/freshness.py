"""The disk as one process sees it: files read at one commit, and what others have changed since.

A :class:`World` knows the commit that everything in memory belongs to, and hears of files that others
have changed: another process, or a person with an editor.  A file is only ever read while no commit is under
way, so that what is in memory fits together.

On Linux the kernel tells of changes (inotify): a change is in the queue before the call that made it has
returned, so asking costs one system call whatever the size of the store, and nothing that is over can be
missed.  Elsewhere, and on file systems that other machines write to, every file that is used is looked at.
"""

from __future__ import annotations

import os
import select
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol, TypeVar, cast

from octavo.errors import (
    DiskError,
    OctavoError,
    ReplacedError,
    UsageError,
    disk_errors,
    is_of_handler,
    is_of_system,
)
from octavo.store.shared import COUNT, SharedState
from octavo.store.system import (
    FOLDER_MODE,
    FileSystem,
    Signature,
    open_privately,
    open_to_write,
    read_whole,
    signature,
    sync,
)

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED, _UNMOUNT = 0x4000, 0x8000, 0x2000
_MASK = _MODIFY | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_GONE = _IGNORED | _UNMOUNT | _DELETE_SELF | _MOVE_SELF
_LOST = _OVERFLOW | _GONE
_ONLYDIR = 0x01000000
_EVENT = struct.Struct("iIII")
_QUEUE = 1 << 12
"""bytes of events to read at once: mostly there is one"""
_LARGEST_EVENT = _EVENT.size + 256
_REMOTE = {0x6969, 0xFF534D42, 0xFE534D42, 0x517B, 0x65735546, 0x01021997, 0x786F4256}
"""the magic numbers of file systems that others write to: NFS, CIFS, SMB2, SMB, FUSE, 9P, vboxsf"""

_WORTH_WATCHING = 32
"""answers, before which each file is looked at"""
_FILES = 8
"""files that were looked at for one answer after which it counts twice, for twice as many three times"""


class Watch(Protocol):
    """What changed since it was asked last."""

    def changed(self) -> bool:
        """Whether anything may have changed; quick."""

    def take(self) -> set[str] | None:
        """The files, relative to the root, that may have changed since; None: any may have."""

    def close(self) -> None: ...


class Always:
    """Knows nothing, so that every file is looked at whenever it is used."""

    def changed(self) -> bool:
        return True

    def take(self) -> set[str] | None:
        return None

    def close(self) -> None:
        pass


class Inotify:
    """Watches folders by inotify.  Raises OSError if the kernel refuses."""

    def __init__(self, root: str, folders: list[str]) -> None:
        """``folders`` are relative to ``root``, which is watched too; those that are not there are not."""

        import ctypes

        # Threads may ask it at the same time, and it takes a third of the time that the queue's length does.
        self._poll = select.epoll()
        self._libc, self._errno = ctypes.CDLL(None, use_errno=True), ctypes.get_errno
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(self._errno(), "inotify_init1")
        self._folders: dict[int, str] = {}
        self._blind = False
        """whether a folder that was watched is no longer where it was"""
        try:
            self._poll.register(self._descriptor, select.EPOLLIN)
            for folder in ("", *folders):
                self._add(root, folder)
        except OSError:
            self.close()
            raise

    def _add(self, root: str, folder: str) -> None:
        path = os.fsencode(os.path.join(root, folder))
        number = self._libc.inotify_add_watch(self._descriptor, path, _MASK | _ONLYDIR)
        if number < 0:
            code = self._errno()
            raise OSError(code, os.strerror(code), os.fsdecode(path))
        self._folders[number] = f"{folder}/" if folder else ""

    def changed(self) -> bool:
        return bool(self._poll.poll(0)) or self._blind

    def take(self) -> set[str] | None:
        found: set[str] = set()
        lost = False
        while True:
            try:
                data = os.read(self._descriptor, _QUEUE)
            except BlockingIOError:
                break
            at = 0
            while at < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, at)
                name = os.fsdecode(data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
                at += _EVENT.size + length
                if mask & _LOST:
                    lost = True
                    self._blind = self._blind or bool(mask & _GONE)
                elif number in self._folders:
                    found.add(self._folders[number] + name)
            if at < _QUEUE - _LARGEST_EVENT:
                # There would have been room for one more.
                break
        return None if lost or self._blind else found

    def close(self) -> None:
        if self._descriptor >= 0:
            self._poll.close()
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class Eventually:
    """Looks at every file at first, and has the kernel tell once that is worth it.

    For a process that asks a few things and ends it is not: to set up the kernel's queue and to take it down
    again takes as long as hundreds of looks.
    """

    changed: Callable[[], bool]

    def __init__(self, root: str, folders: list[str]) -> None:
        self._root, self._folders = root, folders
        self._watch: Watch = Always()
        self.changed = self._watch.changed
        self._looks = 0

    def take(self) -> set[str] | None:
        if self._looks < _WORTH_WATCHING:
            self._looks += 1
            if self._looks == _WORTH_WATCHING:
                self._watch = watch(self._root, self._folders)
                self.changed = self._watch.changed
            # What changed before the kernel was asked has to be looked at once more.
            return None
        return self._watch.take()

    def looked(self, files: int) -> None:
        """So many files were looked at, since any might have changed."""
        if self._looks < _WORTH_WATCHING:
            self._looks = min(self._looks + files // _FILES, _WORTH_WATCHING - 1)

    def close(self) -> None:
        self._watch.close()


def watch(root: str, folders: list[str]) -> Watch:
    """The quickest watch that is sound for this folder."""
    if not sys.platform.startswith("linux") or _is_remote(root):
        return Always()
    try:
        return Inotify(root, folders)
    except OSError:
        # Too many watches on this machine, or a folder is missing: slower, and as sound.
        return Always()


def _is_remote(path: str) -> bool:
    """Whether the file system may be written to by other machines, of which inotify does not tell."""

    import ctypes

    buffer = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "statfs") or libc.statfs(os.fsencode(path), buffer) != 0:
        return True
    return int.from_bytes(buffer.raw[:8], sys.byteorder) & 0xFFFFFFFF in _REMOTE


T = TypeVar("T")

TORN = "cache/torn"
"""where what a crash has left of lines is kept"""
_TORN = 1 << 20
"""bytes of a torn line to keep"""
_REMEMBERED = 1_000
"""files of which it is known how commits have left them"""


class Stale(Exception):
    """The in-memory state is stale: refresh and retry."""


def is_foreseen(error: BaseException) -> bool:
    """Whether the store's own code raises this, leaving nothing half done.

    Anything else can come out of any line: a signal handler runs between any two instructions of the main
    thread.  It may raise what the store raises, too.
    """
    if isinstance(error, OSError):
        return is_of_system(error)
    return isinstance(error, (OctavoError, Stale)) and not is_of_handler(error)


class Place:
    """The folder that a store was opened in: whether it still is the one at its path.

    The kernel reports changes inside a folder that is watched.  It does not report that the path leads to
    another folder by now: over a symbolic link, below a renamed parent, or to a file system that was mounted
    there.  So the path is looked up for every answer: one system call.
    """

    _descriptor = -1

    def __init__(self, path: str) -> None:
        """Raises DiskError if there is no folder at ``path``."""
        self.path = path
        self.replaced: Callable[[], OctavoError | None] = lambda: None
        """gives the error for another folder at the path, where that is no ReplacedError"""
        with disk_errors("opening the data folder"):
            # An open folder keeps its inode: no other one gets that number when this one is removed.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = os.fstat(self._descriptor)
        self._inode, self._device = found.st_ino, found.st_dev

    def check(self) -> None:
        """Raise the error for it if the path leads to another folder, or ever did when it was checked before.

        Raises DiskError if there is no folder.
        """
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DiskError.of(error, "looking for the data folder") from error
        if found.st_ino != self._inode or found.st_dev != self._device:
            # Memory may hold parts of both folders by now, whichever of them comes back.
            self._inode = -1
            raise self.replaced() or ReplacedError(
                "the data folder was replaced by another one; close the store and open it again"
            )

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    __del__ = close


class _Closed(Sequence[int]):
    """What a closed store has in the place of the page's numbers."""

    def __getitem__(self, at: object) -> NoReturn:
        raise UsageError("the store is closed")

    def __len__(self) -> int:
        return 0


class _Guard(AbstractContextManager[None]):
    """The block of :attr:`World.guard`."""

    __slots__ = ("_world",)

    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not is_foreseen(error):
            self._world.tear()


class _Change(_Guard):
    """The block of :attr:`World.change`."""

    __slots__ = ()

    def __enter__(self) -> None:
        self._world.epoch |= 1

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if not self._world.torn:
            self._world.epoch = (self._world.epoch | 1) + 1


class World:
    """What is known of the files in one folder."""

    def __init__(self, place: Place, system: FileSystem, state: SharedState | None, watch: Watch) -> None:
        self.place, self.root, self.system, self.watch = place, place.path, system, watch
        self.mutex = threading.RLock()
        """held while what is in memory is read from files or changed"""
        self.state: SharedState | None = None
        self.words: Sequence[int] = (0,) * (COUNT + 1)
        self.known = 0
        """the commit that what is in memory belongs to"""
        self.untold = False
        """whether the watch's changes were taken, and what is in memory has not been told of them yet"""
        if state is not None:
            self.use(state)
        self.guard: AbstractContextManager[None] = _Guard(self)
        """a block that changes what is in memory, under the mutex: an unforeseen exception tears it"""
        self.change: AbstractContextManager[None] = _Change(self)
        """such a block that makes it mean something else: a thread that is reading it reads again"""
        self.epoch = 0
        """odd while what is in memory is being changed to mean something else, another one afterwards"""
        self.torn = False
        """whether an exception came out of the midst of a change: what is in memory counts for nothing"""
        self.replaced = 0
        """how often what was in memory had to be read again"""
        self.followed: dict[str, Signature] = {}
        """the state in which a commit of this process has left a file, and in which memory has it"""
        self.in_flight: frozenset[str] = frozenset()
        """the files that this process's own commit is changing; in memory they are as before"""
        self.hurried = 0
        """the thread that holds the mutex, where it must neither wait nor read a file; 0: it may"""
        self.is_alone: Callable[[], bool] = lambda: False
        """whether no other process has the store open; False where that cannot be told"""
        self.wait_for_own_commit: Callable[[], bool] = lambda: False
        """waits, in a thread that may write, for the commit before its own; whether there was one"""

    def tear(self) -> None:
        """What is in memory may be half changed: nothing is answered from it any more."""
        self.torn = True
        self.epoch |= 1

    def use(self, state: SharedState) -> None:
        """Share this page with other processes from now on; what is in memory belongs to its commit."""
        self.state, self.words, self.known = state, state.words, state.commits

    def close(self) -> None:
        """Let go of the folder, the page and the watch; a thread that asks for the count then is told so."""
        self.place.close()
        self.watch.close()
        state, self.state, self.words = self.state, None, _Closed()
        if state is not None:
            state.close()

    def follow(self, found: Mapping[str, Signature]) -> None:
        """A commit of this process has left files in these states."""
        if len(self.followed) > _REMEMBERED:
            self.followed.clear()
        self.followed.update(found)

    def of_others(self, files: set[str]) -> set[str]:
        """Of files that were changed, those that another than this process has changed since."""
        found = set()
        for file in files:
            known = self.followed.get(file)
            if known is None or known != signature(f"{self.root}/{file}"):
                found.add(file)
        return found

    def path(self, file: str) -> str:
        return f"{self.root}/{file}"

    @property
    def commits(self) -> int:
        return self.words[COUNT]

    def read(self, file: str) -> tuple[bytes, Signature]:
        """A file's content as of the known commit.

        Raises Stale, ReplacedError, FileNotFoundError, OSError.
        """
        if self.hurried:
            self.take_time()
        found = None
        if self.commits == self.known:
            try:
                found = read_whole(self.path(file))
            except OSError:
                self.place.check()
                if self.commits == self.known:
                    raise
            self.place.check()
        if found is None or self.commits != self.known:
            raise Stale
        return found

    def take_time(self) -> None:
        """Before a file is read, or anything else that takes long: raise Stale in a thread that must not."""
        if self.hurried == threading.get_ident():
            raise Stale

    def check(self) -> None:
        """Raise Stale if what was just looked at, but not read, may have been changed by another process."""
        if self.words[COUNT] != self.known and not self.in_flight:
            raise Stale

    def steadily(self, work: Callable[[], T]) -> T:
        """What some work gives that may read files, done under :attr:`mutex`.

        If a commit of this process has to end first, it is begun again then: not waited for under the mutex,
        which that commit needs to end.  Work within such work leaves beginning again to the outer one, which
        holds the mutex still.  Raises what it raises; Stale if another process is writing.
        """
        while True:
            try:
                with self.mutex, self.guard:
                    return work()
            except Stale:
                # It may also have ended just now.
                if self._is_held() or (not self.wait_for_own_commit() and self.commits != self.known):
                    raise

    def _is_held(self) -> bool:
        """Whether this thread holds the mutex.  (Condition variables ask a lock in the same way.)"""
        held: bool = cast(Any, self.mutex)._is_owned()
        return held

    def cut(self, file: str, size: int) -> None:
        """Cut what a crash has left of a line, and keep it below ``cache/torn``.  Under the write lock only.

        Raises OSError.
        """
        descriptor = open_to_write(self.path(file))
        try:
            torn = os.pread(descriptor, _TORN, size)
            kept = os.path.join(self.root, TORN)
            os.makedirs(kept, FOLDER_MODE, exist_ok=True)
            name = f"{file.replace('/', '+')}.{size}"
            with open(os.path.join(kept, name), "wb", opener=open_privately) as copy:
                copy.write(torn)
            self.system.truncate(descriptor, size)
            sync(self.system, descriptor)
        finally:
            os.close(descriptor)

    def signature(self, file: str) -> Signature | None:
        return signature(f"{self.root}/{file}")
