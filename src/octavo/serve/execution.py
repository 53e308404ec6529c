"""Runs queries: one, a batch, or a batch that is one transaction; counts them, and notes the slow ones."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from octavo import aio
from octavo.errors import OctavoError
from octavo.serve.calls import Call, Calls
from octavo.serve.failures import failure
from octavo.serve.raw import raw
from octavo.serve.refusals import REQUEST, Place, Refused, nested_too_deeply
from octavo.serve.results import SLICE, encode, pieces
from octavo.serve.transactions import isolation_level

if TYPE_CHECKING:
    from octavo.aio import AsyncClient, AsyncModels
    from octavo.query.vocabulary import Vocabulary
    from octavo.serve.transactions import Transactions

log = logging.getLogger("octavo.serve")

SLOW = 1.0
"""seconds after which a call is worth a line"""
_PATIENCE = 0.5
"""seconds after which a call, while transactions are open, is suspected of waiting for one of them"""
_WAIT, _LIMIT = 30.0, 600.0
"""seconds: how long a batch that is one transaction may wait, and take"""

Answer: TypeAlias = bytes | AsyncIterator[bytes]
"""the body of an answer, perhaps piece by piece"""


class Execution:
    """Runs the queries of one server."""

    def __init__(self, client: AsyncClient, vocabulary: Vocabulary, transactions: Transactions) -> None:
        self._client, self._vocabulary, self._transactions = client, vocabulary, transactions
        self.counters = {"calls": 0, "failed": 0, "slow": 0}

    async def run(self, calls: Calls, body: bytes, tx: AsyncModels | None) -> Answer:
        """Answer a request, on the client or within a transaction."""
        place = self._client if tx is None else tx
        try:
            asked = decoded(body)
            batch = asked.get("batch") if type(asked) is dict else None
            if type(batch) not in (list, NoneType):
                raise (Place((REQUEST,)) / "batch").wrong_type(batch, "Object[]")
        except Refused as error:
            return self.failed(error, None)
        if batch is None:
            return await self._one(calls, asked, place)
        if asked.get("transaction") is not None and tx is None:
            return await self._together(calls, batch, asked["transaction"])
        results = [await self._apart(calls, query, place) for query in batch]
        return _batch(results)

    async def _one(self, calls: Calls, query: Any, place: AsyncModels) -> Answer:
        call = None
        try:
            call = calls.read(query)
            found = await self._found(call, place)
            if call.shape is not None and len(found) > SLICE:
                return _stream(pieces(call.key, found, call.shape))
            return encode({"data": {call.key: call.answer(found)}})
        except Exception as error:
            return self.failed(error, call)

    async def _apart(self, calls: Calls, query: Any, place: AsyncModels) -> bytes:
        """Answer a query of a batch, which fails by itself."""
        call = None
        try:
            call = calls.read(query)
            return encode({"data": {call.key: call.answer(await self._found(call, place))}})
        except Exception as error:
            return self.failed(error, call)

    async def _together(self, calls: Calls, batch: list[Any], options: Any) -> bytes:
        """Answer a batch that happens as a whole."""
        results: list[bytes] = []
        call = None
        try:
            read = [calls.read(query) for query in batch]
            given = (Place((REQUEST,)) / "transaction").object(options)
            level = isolation_level(given.get("isolationLevel"))
            async with self._client.tx(isolation_level=level, max_wait=_WAIT, timeout=_LIMIT) as tx:
                for call in read:
                    found = await self._found(call, tx)
                    results.append(encode({"data": {call.key: call.answer(found)}}))
        except Exception as error:
            return self.failed(error, call, len(results))
        return _batch(results)

    async def _found(self, call: Call, place: AsyncModels) -> Any:
        self.counters["calls"] += 1
        began = time.monotonic()
        waits = place is self._client and len(self._transactions) > 0
        timer = asyncio.get_running_loop().call_later(_PATIENCE, self._look, call) if waits else None
        try:
            if call.model is None:
                return await aio.call(place, raw, **call.arguments)
            return await getattr(place[call.model.store_name], call.operation)(**call.arguments)
        finally:
            if timer is not None:
                timer.cancel()
            took = time.monotonic() - began
            if took > SLOW:
                self.counters["slow"] += 1
                log.warning("slow: %s took %.3f s", call.name, took)

    def _look(self, call: Call) -> None:
        """Warn that a call may be waiting for the transaction that its own caller is in."""
        for key in self._transactions.idle():
            log.warning(
                "%s waits while the transaction %s… is idle: inside $transaction, write with tx",
                call.name,
                key[:4],
            )

    def failed(self, error: Exception, call: Call | None, index: int | None = None) -> bytes:
        """The answer of a query that has failed."""
        self.counters["failed"] += 1
        if not isinstance(error, OctavoError | Refused):
            # Its message may hold values.
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
            name = "a query" if call is None else call.name
            log.error("%s failed: %s at %s", name, type(error).__name__, where)
        return encode({"errors": [failure(error, self._vocabulary, call, index=index)]})


def decoded(body: bytes) -> Any:
    """A request's JSON.  Raises Refused."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise nested_too_deeply() from error
    except ValueError as error:
        raise Refused("the request is not JSON", {}, "") from error


def _batch(results: Iterable[bytes]) -> bytes:
    return b'{"batchResult":[' + b",".join(results) + b"]}"


async def _stream(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
