"""The pepper that a rotation leads to: given in the environment, or made up and kept in a file of its own.

A pepper is never an argument of a command, nor printed: other users of the machine can see the one, and
terminals and logs remember the other.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from octavo.crypto import pepper_from_env
from octavo.errors import UsageError, disk_errors
from octavo.store import disk

NEW_VARIABLE: Final = "ENCRYPTION_NEW_PEPPER"
"""the environment variable that has the pepper to rotate to"""
_GENERATED = re.compile(rb"[0-9a-f]{64}\n")


class NewPepper:
    """The pepper to rotate to, and the file that a generated one is written to before it is used."""

    def __init__(self, text: str, file: Path | None = None) -> None:
        self.text, self.file = text, file

    @classmethod
    def from_env(cls) -> NewPepper:
        """The one in ``ENCRYPTION_NEW_PEPPER``.  Raises UsageError if there is none, or it is not UTF-8."""
        text = pepper_from_env(variable=NEW_VARIABLE)
        if text is None:
            raise UsageError(
                f"{NEW_VARIABLE} is not set", hint="set it, or let --generate FILE make a new pepper"
            )
        return cls(text)

    @classmethod
    def generated(cls, file: Path, data_dir: Path) -> NewPepper:
        """A pepper made up (32 random bytes, as 64 hex digits); of the file that an earlier run has made,
        the pepper that is in there.

        Raises UsageError if the file is not such a one, can be read by others, or lies in the data folder.
        """
        if file.resolve().is_relative_to(data_dir.resolve()):
            raise UsageError(f"{file}: a pepper does not belong beside what it protects")
        with disk_errors("reading the pepper"):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return cls(secrets.token_hex(32), file)
            try:
                found, mode = os.read(descriptor, 100), os.fstat(descriptor).st_mode
            finally:
                os.close(descriptor)
        if not _GENERATED.fullmatch(found):
            raise UsageError(f"{file} is there, and is no pepper that was generated")
        if mode & 0o077:
            raise UsageError(f"{file}: others than its owner can read this pepper")
        return cls(found.decode().strip(), file)

    def keep(self) -> None:
        """Write a generated pepper to its file, durably, for its owner alone, never over another."""
        if self.file is None or self.file.exists():
            return
        with disk_errors("writing the pepper"):
            disk.make_file(self.file, f"{self.text}\n".encode())
