"""A server for tests: ``octavo serve`` in a process of its own, and requests without a client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from octavo.schema.texts import frozen_text

VIEW = "/6.19.3/hash"


class Served:
    """A server that is running."""

    def __init__(self, store: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        self.store = store
        self.log = store.with_name(f"{store.name}.log")
        environment = {**os.environ, "DATA_BACKEND": "json", "DATA_DIR": str(store), **(env or {})}
        if not any(option.startswith(("--port", "--socket")) for option in options):
            options = (*options, "--port", "0")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "octavo", "serve", "--json", *options],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        self.told = self._told()
        self.token = self.told.get("token") or self.told["DATABASE_URL"].rpartition("=")[2]

    def _told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = b""
        while line := self.process.stdout.readline():
            text += line
            if line == b"}\n":
                found: dict[str, Any] = json.loads(text)
                if "ready" in found:
                    return found
                break
        self.process.stdout.close()
        self.process.wait(10)
        raise AssertionError(f"the server did not start: {text.decode()} {self.log.read_text()}")

    @property
    def url(self) -> str:
        return str(self.told["DATABASE_URL"])

    def connection(self) -> http.client.HTTPConnection:
        if "url" in self.told:
            return http.client.HTTPConnection(urlsplit(self.told["url"]).netloc, timeout=30)
        made = http.client.HTTPConnection("localhost", timeout=30)
        made.sock = socket.socket(socket.AF_UNIX)
        made.sock.connect(self.told["socket"])
        return made

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        connection = self.connection()
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        try:
            connection.request(method, path, data, {k: v for k, v in given.items() if v})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def upload(self, schema: str | None = None) -> tuple[int, Any]:
        return self.request("PUT", f"{VIEW}/schema", b64encode((schema or frozen_text()).encode()))

    def query(
        self,
        model: str,
        action: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        path: str = VIEW,
        **more: Any,
    ) -> Any:
        """What a query gives, or its error."""
        body = query(model, action, arguments, **more)
        _, answer = self.request("POST", f"{path}/graphql", body)
        if "errors" in answer:
            return answer["errors"][0]["user_facing_error"]
        return next(iter(answer["data"].values()))

    def stop(self, number: int = signal.SIGTERM) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        elif self.process.stdout is not None:
            self.process.stdout.close()


def query(
    model: str,
    action: str,
    arguments: Mapping[str, Any] | None = None,
    selection: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A query as the client sends it."""
    shown = {"$composites": True, "$scalars": True} if selection is None else selection
    return {"modelName": model, "action": action, "query": {"arguments": arguments or {}, "selection": shown}}
