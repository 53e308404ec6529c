"""A request of any shape is answered, or refused with an error that Prisma's client knows.

``requests.jsonl`` has what Prisma Client 6.19 sends for calls in ``node/calls``, each kind once.  Here
another value stands at each place of these requests, or none.
"""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import octavo
from octavo.aio import AsyncClient
from octavo.schema.texts import frozen_text
from octavo.serve.app import App
from octavo.store.shared import commits_in
from serve.conftest import empty_store

RECORDED = Path(__file__).with_name("requests.jsonl")
REQUESTS = [json.loads(line) for line in RECORDED.read_bytes().splitlines()]
OTHERS: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 1e300, 10**25, "", "x", "\0", "9" * 5000),
    *([], [1], [[]], [None], [{}], {}, {"x": 1}, {"arguments": [1]}, {"selection": [1]}, {"set": {}}),
    *({"$type": kind, "value": 1} for kind in ("Json", "DateTime", "Decimal", "Bytes", "Enum", "x", 1)),
    *({"$type": kind, "value": []} for kind in ("Json", "DateTime", "Decimal", "Bytes", "BigInt", "Enum")),
    {"$type": "Json", "value": "{"},
    {"$type": "BigInt", "value": True},
    {"$type": "Raw", "value": {"a": [1]}},
    {"$type": "Raw", "other": 1},
    {"$type": "FieldRef", "value": {"_ref": [], "_container": {}}},
]
START = {"max_wait": 2000, "timeout": 5000, "isolation_level": "Serializable"}
Path_ = tuple[str | int, ...]


def places(value: Any, before: Path_ = ()) -> Iterator[Path_]:
    """The paths to all that a request holds, itself first."""
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from places(item, (*before, name))


def changed(value: Any, path: Path_, *new: Any) -> Any:
    """A request with something else at a place, or without it."""
    if not path:
        return new[0] if new else {}
    copy = value.copy()
    if len(path) == 1 and not new:
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], *new)
    return copy


class Server:
    """The application of a server, on a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = empty_store(folder / "data")
        client: Any = octavo.connect("json", data_dir=self.store)
        self.client = AsyncClient(client.as_prisma())
        self.app = App(self.client, client._schema.vocabulary, "token", "json")
        self.runner = asyncio.Runner()
        self.ask("PUT", "schema", b64encode(frozen_text().encode()))
        for request in REQUESTS:
            self.ask("POST", "graphql", json.dumps(request).encode())

    def ask(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        return self.runner.run(self._ask(method, f"/6.19.3/hash/{path}", body))

    async def _ask(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        sent: list[Any] = []
        heard = iter([{"type": "http.request", "body": body}])

        async def receive() -> Any:
            return next(heard, None) or await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", b"Bearer token")]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "scheme": "http"}
        await self.app({**scope, "server": ("socket", None), "asgi": {"spec_version": "2.4"}}, receive, send)
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))

    def query(self, request: Any) -> None:
        """Answered or refused; what is refused has written nothing."""
        before = commits_in(os.fspath(self.store))
        status, answer = self.ask("POST", "graphql", json.dumps(request).encode())
        assert status == 200
        errors = answer.get("errors")
        for one in answer.get("batchResult", [answer]):
            for error in one.get("errors", ()):
                self.judge(error["user_facing_error"])
        if errors:
            assert commits_in(os.fspath(self.store)) == before

    def judge(self, error: dict[str, Any]) -> None:
        assert error["message"]
        assert "the server failed" not in error["message"]
        if error.get("error_code") in ("P2009", "P2012"):
            assert error["meta"]["kind"]

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("shapes"))
    yield made
    made.close()


@settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_request_of_another_shape_is_answered_or_refused(server: Server, data: st.DataObject) -> None:
    request = data.draw(st.sampled_from(REQUESTS))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from([*places(request)]))
        request = changed(request, place, *data.draw(st.sampled_from([(), *((o,) for o in OTHERS)])))
    server.query(request)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_at_no_place_of_a_request_another_shape_fails_the_server(server: Server, number: int) -> None:
    for place in places(REQUESTS[number]):
        for new in ((), *((other,) for other in OTHERS)):
            server.query(changed(REQUESTS[number], place, *new))


@pytest.mark.parametrize("place", list(places(START)))
def test_a_transaction_of_another_shape_begins_or_is_refused(server: Server, place: Path_) -> None:
    for other in (*OTHERS, 2**63):
        status, answer = server.ask(
            "POST", "transaction/start", json.dumps(changed(START, place, other)).encode()
        )
        if status == 200:
            server.ask("POST", f"itx/{answer['id']}/rollback", b"")
        else:
            server.judge(answer)


@pytest.mark.parametrize("body", [b"", b"{", b'"\xff"', b"\xff", b"1e400", b"[" * 100_000, b"NaN"])
@pytest.mark.parametrize("path", ["graphql", "transaction/start"])
def test_a_body_that_is_no_json_is_refused(server: Server, path: str, body: bytes) -> None:
    status, answer = server.ask("POST", path, body)
    assert status == (200 if path == "graphql" else 400)
    server.judge(answer["errors"][0]["user_facing_error"] if path == "graphql" else answer)


def test_what_has_no_query_changes_nothing(server: Server) -> None:
    before = commits_in(os.fspath(server.store))
    request: dict[str, Any] = {"modelName": "Message", "action": "deleteMany"}
    for asked in (request, {**request, "query": None}, {**request, "query": []}):
        _, answer = server.ask("POST", "graphql", json.dumps(asked).encode())
        assert answer["errors"][0]["user_facing_error"]["meta"]["argumentPath"] == ["query"]
    assert commits_in(os.fspath(server.store)) == before


@pytest.mark.parametrize("depth", [20, 200, 2000])
@pytest.mark.parametrize("name", ["NOT", "chats", "data"])
def test_a_query_nested_deeply_is_answered_or_refused(server: Server, name: str, depth: int) -> None:
    where = '{"NOT":' * depth + '{"id":"x"}' + "}" * depth
    if name == "chats":
        where = '{"chats":{"some":{"user":' * depth + '{"id":"x"}' + "}}}" * depth
    arguments = f'{{"where":{where}}}'
    if name == "data":
        value = "[" * depth + "]" * depth
        arguments = f'{{"data":{{"id":"{depth}","userId":{value}}}}}'
    action = "createOne" if name == "data" else "findMany"
    query = f'{{"arguments":{arguments},"selection":{{"$scalars":true}}}}'
    request = f'{{"modelName":"User","action":"{action}","query":{query}}}'
    _, answer = server.ask("POST", "graphql", request.encode())
    for error in answer.get("errors", ()):
        server.judge(error["user_facing_error"])
    server.query(REQUESTS[-1])
