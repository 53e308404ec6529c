"""A PostgreSQL server that goes down and comes up again while others use it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from octavo.postgres.embedded import EmbeddedServer, start_server


class Restartable:
    """A durable server at an address that stays."""

    def __init__(self, folder: Path, settings: Sequence[tuple[str, str]] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._folder = folder
        self._settings = (("listen_addresses", "127.0.0.1"), ("port", str(port)), *settings)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/app?schema=public"
        self.server = self._start()
        self.server.create_database("app")

    def _start(self) -> EmbeddedServer:
        return start_server(self._folder, settings=self._settings)

    def crash(self) -> None:
        """End the server as a crash does: it has to recover when it starts again."""
        self.server._process.send_signal(signal.SIGQUIT)
        self.server._process.wait()
        self.server.stop()

    def restart(self) -> None:
        self.server = self._start()


def open_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that the server may enter, whoever it runs as."""
    folder = Path(factory.mktemp("pg", numbered=True))
    for part in (folder, *folder.parents):
        if part.owner() == folder.owner() and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o011)
    return folder
