"""The folder that a store was opened in: whether it still is the one at its path.

The kernel reports changes inside a folder that is watched.  It does not report that the path leads to another
folder by now: over a symbolic link, below a renamed parent, or to a file system that was mounted there.  So
the path is looked up for every answer: one system call.
"""

from __future__ import annotations

import os

from octavo.errors import DiskError, ReplacedError, disk_errors


class Place:
    """The folder that is at ``path`` now.  Raises DiskError if there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        with disk_errors("opening the data folder"):
            # An open folder keeps its inode: no other one gets that number when this one is removed.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = os.fstat(self._descriptor)
        self._inode, self._device = found.st_ino, found.st_dev

    def check(self) -> None:
        """Raise ReplacedError if the path leads to another folder, or ever did when it was checked before.

        Raises DiskError if there is no folder.
        """
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise DiskError.of(error, "looking for the data folder") from error
        if found.st_ino != self._inode or found.st_dev != self._device:
            # Memory may hold parts of both folders by now, whichever of them comes back.
            self._inode = -1
            raise ReplacedError(
                "the data folder was replaced by another one; close the store and open it again"
            )

    def close(self) -> None:
        """Let go of the folder."""
        if self._descriptor >= 0:
            # Forgotten first: closed twice, the number may be another file's by then.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
