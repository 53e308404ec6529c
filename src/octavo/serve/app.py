"""The endpoints: an ASGI application.

``PUT /<version>/<hash>/schema`` takes a client's schema, ``POST …/graphql`` a query or a batch, and
``POST …/transaction/start`` begins an interactive transaction, with ``…/itx/<id>/graphql``, ``/commit`` and
``/rollback``.  ``GET /health`` tells whether the server is ready; a caller with the token gets its counters.
"""

from __future__ import annotations

import logging
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.responses import Response, StreamingResponse

from octavo.errors import OctavoError, TransactionFailed
from octavo.schema.parser import parse_schema
from octavo.serve.access import Gate
from octavo.serve.calls import Calls
from octavo.serve.execution import Execution, decoded
from octavo.serve.failures import failure
from octavo.serve.refusals import Refused
from octavo.serve.results import encode
from octavo.serve.transactions import Transactions, options
from octavo.serve.view import View

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from octavo.aio import AsyncClient
    from octavo.query.vocabulary import Vocabulary

log = logging.getLogger("octavo.serve")

_VIEWS = 32
"""clients' schemas that are kept"""
_JSON = {"content-type": "application/json"}

Headers: TypeAlias = dict[bytes, bytes]


class App:
    """The server's answers to HTTP."""

    def __init__(self, client: AsyncClient, vocabulary: Vocabulary, token: str, backend: str) -> None:
        self._vocabulary, self._gate, self._backend = vocabulary, Gate(token), backend
        self.transactions = Transactions(client)
        self._execution = Execution(client, vocabulary, self.transactions)
        self.is_draining = False
        self._views: dict[str, Calls] = {}
        self._began = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        # A socket of the file system has no name that could lead here from elsewhere.
        is_local = not scope["server"] or scope["server"][1] is None
        if not is_local and self._gate.is_foreign(headers):
            response = _answer("the request names a foreign host or origin", 403)
        elif scope["path"] == "/health":
            response = self._health(self._gate.knows(headers))
        elif not self._gate.knows(headers):
            response = _answer("the token is not the server's", 401)
        elif (body := await _body(receive)) is None:
            return
        else:
            response = await self._route(scope, body, headers)
        await response(scope, receive, send)

    async def _route(self, scope: Scope, body: bytes, headers: Headers) -> Response:
        path, method = scope["path"].split("/")[1:], scope["method"]
        if len(path) == 3 and path[2] == "schema" and method == "PUT":
            return self._take_schema(path[1], body)
        calls = self._views.get(path[1]) if len(path) > 2 and method == "POST" else None
        match path[2:]:
            case _ if method != "POST":
                pass
            case ["graphql"] if calls is not None:
                return _response(await self._execution.run(calls, body, None))
            case ["itx", key, "graphql"] if calls is not None:
                return await self._query_within(calls, body, key)
            case ["itx", key, ("commit" | "rollback") as end]:
                return await self._end(key, end)
            case ["transaction", "start"] if calls is not None:
                host = headers.get(b"host", b"localhost").decode("latin-1")
                return await self._begin(f"{scope['scheme']}://{host}/{path[0]}/{path[1]}", body)
            case ["graphql"] | ["transaction", "start"] | ["itx", _, "graphql"]:
                return _answer({"EngineNotStarted": {"reason": "SchemaMissing"}}, 400)
        return _answer("nothing is at this path", 404)

    def _health(self, known: bool) -> Response:
        told: dict[str, Any] = {"status": "draining" if self.is_draining else "ok"}
        if known:
            told["backend"] = self._backend
            told["uptime"] = round(time.monotonic() - self._began, 3)
            told |= self._execution.counters
            told["transactions"] = self.transactions.count
            told["open_transactions"] = len(self.transactions)
        return _answer(told, 503 if self.is_draining else 200)

    def _take_schema(self, view: str, body: bytes) -> Response:
        try:
            text = b64decode(body, validate=True).decode()
            calls = Calls(View(parse_schema(text), self._vocabulary))
        except (OctavoError, ValueError) as error:
            reason = error.message if isinstance(error, OctavoError) else "the schema is not text in base64"
            log.warning("a client's schema is refused: %s", reason)
            told = {"KnownEngineStartupError": {"msg": reason, "error_code": "P1012"}}
            return _answer({"EngineNotStarted": {"reason": told}}, 400)
        while len(self._views) >= _VIEWS:
            del self._views[next(iter(self._views))]
        self._views[view] = calls
        return _answer({"schemaHash": view})

    async def _query_within(self, calls: Calls, body: bytes, key: str) -> Response:
        try:
            async with self.transactions.turn(key) as made:
                return _response(await self._execution.run(calls, body, made.models))
        except TransactionFailed as error:
            return _response(self._execution.failed(error, None))

    async def _begin(self, place: str, body: bytes) -> Response:
        try:
            given = decoded(body)
            wanted, outer = options(given), given.get("within")
            if outer is None:
                key = await self.transactions.begin(*wanted, refused=self.is_draining)
            else:
                key = await self.transactions.begin_part(str(outer))
        except (OctavoError, Refused) as error:
            return self._known(error, "start")
        return _answer({"id": key, "data-proxy": {"endpoint": f"{place}/itx/{key}"}})

    async def _end(self, key: str, end: str) -> Response:
        try:
            await self.transactions.end(key, keep=end == "commit")
        except OctavoError as error:
            return self._known(error, end)
        return _answer({})

    def _known(self, error: Exception, operation: str) -> Response:
        """An error outside a query, which the client knows by its code."""
        told = failure(error, self._vocabulary, operation=operation)["user_facing_error"]
        known = {"is_panic": False, "error_code": told.get("error_code", "P2028")}
        return _answer({**known, "message": told["message"], "meta": told["meta"]}, 400)


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if the client has disconnected before its end."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _response(answer: Any) -> Response:
    if isinstance(answer, bytes):
        return Response(answer, 200, _JSON)
    return StreamingResponse(answer, 200, _JSON)


def _answer(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, _JSON)
