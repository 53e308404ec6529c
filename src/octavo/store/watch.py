"""Notices what others change below a folder: another process, or a person with an editor.

On Linux the kernel tells (inotify): a change is in the queue before the call that made it has returned, so
asking costs one system call whatever the size of the store, and nothing that is over can be missed.
Elsewhere, and on file systems that other machines write to, every file that is used has to be looked at.
"""

from __future__ import annotations

import os
import select
import struct
import sys
from collections.abc import Callable
from typing import Protocol

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
