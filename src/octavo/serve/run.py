"""Runs the server: its sockets, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from octavo.aio import AsyncClient
from octavo.client import Client
from octavo.errors import DiskError, UsageError
from octavo.serve.app import App

HOST = "127.0.0.1"
_KEEP_ALIVE = 600
"""seconds that an idle connection stays open, which costs no thread"""
_DRAINED = 30
"""seconds that transactions, and then requests, may take after the end was asked for"""
_MOMENT = 0.02
"""seconds after which it is looked again whether they have"""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for all servers of the process together."""
        yield


class Listener:
    """A listening socket, and the certificate that it presents."""

    def __init__(
        self,
        bound: socket.socket,
        *,
        path: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self.socket, self.path, self.cert, self.key = bound, path, cert, key

    @property
    def port(self) -> int:
        """The number of the port."""
        return int(self.socket.getsockname()[1])


def listen_on_port(port: int, cert: Path | None = None, key: Path | None = None) -> Listener:
    """Listen at a port of this machine alone; 0: at one that is free.  Raises UsageError."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise UsageError(f"port {port}: {error.strerror}", hint="--port names another one") from error
    return Listener(bound, cert=cert, key=key)


def listen_at_path(path: Path) -> Listener:
    """Listen at a socket that its owner alone may use.  Raises UsageError, DiskError."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            if _is_in_use(path):
                raise UsageError(f"{path}: another server listens there", hint="--socket names another one")
            path.unlink()
        before = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        bound.close()
        raise DiskError.of(error, f"listening at {path}") from error
    except BaseException:
        bound.close()
        raise
    return Listener(bound, path=path)


def _is_in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def serve(
    client: Client, token: str, listeners: list[Listener], backend: str, ready: Callable[[], Any]
) -> None:
    """Serve until SIGTERM or SIGINT.  ``ready`` is called once every socket listens."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="octavo serve: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=_loop()) as runner:
        runner.run(_serve(client, token, listeners, backend, ready))


def _loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


async def _serve(
    client: Client, token: str, listeners: list[Listener], backend: str, ready: Callable[[], Any]
) -> None:
    own = AsyncClient(client.as_prisma())
    app = App(own, client._schema.vocabulary, token, backend)
    servers = [_Server(_config(app, listener)) for listener in listeners]
    tasks = [
        asyncio.ensure_future(server.serve([listener.socket]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    while not all(server.started for server in servers) and not any(task.done() for task in tasks):
        await asyncio.sleep(0.005)
    if not any(task.done() for task in tasks):
        ready()
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    await _drain(app, servers, tasks, stopping)
    await own.close()
    for listener in listeners:
        if listener.path is not None:
            listener.path.unlink(missing_ok=True)


async def _drain(
    app: App, servers: list[_Server], tasks: list[asyncio.Task[None]], stopping: asyncio.Event
) -> None:
    """Let the transactions and requests that are open come to their ends, or until told again to stop."""
    app.is_draining = True
    stopping.clear()
    last = time.monotonic() + _DRAINED
    while len(app.transactions) and not stopping.is_set() and time.monotonic() < last:
        await asyncio.sleep(_MOMENT)
    # Requests may wait for those that are left.
    await app.transactions.close()
    for server in servers:
        server.should_exit = True
    while not all(task.done() for task in tasks):
        await asyncio.sleep(_MOMENT)
        for server in servers:
            server.force_exit = stopping.is_set()
    await asyncio.gather(*tasks, return_exceptions=True)


def _config(app: App, listener: Listener) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="auto",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAINED,
        backlog=512,
        ssl_certfile=listener.cert,
        ssl_keyfile=listener.key,
    )
