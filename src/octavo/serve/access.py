"""Who may speak to the server: the token, and the hosts and origins that a request may name."""

from __future__ import annotations

import os
import secrets
import stat
from hmac import compare_digest
from pathlib import Path

from octavo.errors import UsageError, disk_errors

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def token_at(path: Path) -> str:
    """The token in a file, which is made with a new one if it does not exist.

    Raises UsageError for a file that others may read, or that holds no token; DiskError.
    """
    with disk_errors("reading the token file"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return _made(path)
        with open(descriptor, encoding="ascii", errors="replace") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError(f"{path} may be read by others", hint=f"chmod 600 {path}")
            token = file.read(4096).strip()
    if len(token) < 16 or not token.isascii() or not all(c.isalnum() or c in "-_." for c in token):
        raise UsageError(
            f"{path} holds no token: at least 16 letters, digits, - _ or .",
            hint="delete it to have one made, or write one",
        )
    return token


def _made(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        try:
            os.link(beside, path)
        except FileExistsError:
            # Another server was started at the same moment.
            return token_at(path)
    finally:
        beside.unlink()
    return token


class Gate:
    """Decides which requests are answered."""

    def __init__(self, token: str) -> None:
        self._expected = b"Bearer " + token.encode()

    def knows(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request has the token."""
        return compare_digest(headers.get(b"authorization", b""), self._expected)

    @staticmethod
    def is_foreign(headers: dict[bytes, bytes]) -> bool:
        """Whether a browser sends it for another site, or by a name that leads here by DNS alone."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        origin = headers.get(b"origin")
        return name not in _LOOPBACK or (origin is not None and not _is_own(origin, host))


def _is_own(origin: bytes, host: str) -> bool:
    return origin.decode("latin-1").lower() in (f"http://{host}", f"https://{host}")
