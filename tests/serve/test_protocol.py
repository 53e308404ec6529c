"""What the server answers to requests, without a client of Prisma's."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from octavo.schema.texts import frozen_text
from serve.conftest import empty_store
from serve.serving import VIEW, Served, query

USER = {"id": "u1", "email": "ada@example.org"}


def encoded(text: str) -> bytes:
    return b64encode(text.encode())


def tag(name: str) -> dict[str, str]:
    return {"id": name, "userId": "u1", "name": name, "nameLower": name}


@pytest.fixture(scope="module", autouse=True)
def user(served: Served) -> None:
    assert served.query("User", "createOne", {"data": USER})["id"] == "u1"


def test_values_go_out_with_their_types(served: Served) -> None:
    found = served.query("User", "findUnique", {"where": {"id": "u1"}})
    assert (found["email"], found["name"], found["totpEnabled"]) == ("ada@example.org", None, False)
    assert found["createdAt"]["$type"] == "DateTime"
    assert found["createdAt"]["value"].endswith("Z")


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}],
    ids=["none", "wrong", "another scheme"],
)
@pytest.mark.parametrize("path", [f"{VIEW}/graphql", "/anything"])
def test_nothing_is_answered_without_the_token(served: Served, path: str, headers: dict[str, str]) -> None:
    status, answer = served.request("POST", path, query("User", "findMany"), headers)
    assert (status, answer) == (401, "the token is not the server's")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_foreign_hosts_and_origins_are_refused(served: Served, headers: dict[str, str]) -> None:
    status, _ = served.request("POST", f"{VIEW}/graphql", query("User", "findMany"), headers)
    assert status == 403


def test_an_unknown_schema_is_asked_for(served: Served) -> None:
    status, answer = served.request("POST", "/6.19.3/other/graphql", query("User", "findMany"))
    assert (status, answer) == (400, {"EngineNotStarted": {"reason": "SchemaMissing"}})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'"x"', b"null", b'{"batch": 1}', b'{"action": 1}']
)
def test_a_request_that_is_no_query_is_an_error(served: Served, body: bytes) -> None:
    status, answer = served.request("POST", f"{VIEW}/graphql", body)
    assert status == 200
    assert "user_facing_error" in answer["errors"][0]


@pytest.mark.parametrize("path", ["/", "/x/y/z", f"{VIEW}/graphql/more", f"{VIEW}/itx/x"])
def test_unknown_paths_are_not_found(served: Served, path: str) -> None:
    assert served.request("POST", path, {})[0] == 404


def test_a_query_nested_beyond_all_measure_is_refused(served: Served) -> None:
    where: dict[str, object] = {"id": "x"}
    for _ in range(3000):
        where = {"NOT": where}
    body = json.dumps(query("User", "findMany", {"where": {}})).encode()
    nested = b'{"NOT":' * 3000 + b'{"id":"x"}' + b"}" * 3000
    status, answer = served.request(
        "POST", f"{VIEW}/graphql", body.replace(b'"where": {}', b'"where":' + nested)
    )
    assert status == 200
    assert "errors" in answer


# The client's schema.


def test_fields_may_be_left_out(served: Served) -> None:
    lines = [line for line in frozen_text().splitlines() if "tokenCount" not in line]
    assert served.request("PUT", "/6.19.3/less/schema", encoded("\n".join(lines)))[0] == 200
    found = served.query("Message", "findMany", path="/6.19.3/less")
    assert found == []
    refused = served.query("Message", "findMany", {"where": {"tokenCount": 1}}, path="/6.19.3/less")
    assert refused["meta"]["kind"] == "UnknownInputField"


def test_relations_may_have_other_names(served: Served) -> None:
    text = frozen_text().replace("  characters ", "  heroes ", 1)
    assert "heroes" in text
    assert served.request("PUT", "/6.19.3/names/schema", encoded(text))[0] == 200
    found = served.query(
        "User",
        "findMany",
        {"where": {"heroes": {"none": {}}}},
        selection={"id": True, "heroes": {"arguments": {}, "selection": {"$scalars": True}}},
        path="/6.19.3/names",
    )
    assert found == [{"id": "u1", "heroes": []}]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("model Tag {", "model Label {", "Label"),
        ("  nameLower ", "  lowered ", "Tag.lowered"),
        ("tokenCount  Int?", "tokenCount  BigInt?", "Message.tokenCount"),
        (
            "totpEnabled       Boolean   @default(false)",
            "totpEnabled Boolean @default(true)",
            "User.totpEnabled",
        ),
    ],
)
def test_another_schema_is_refused_by_name(served: Served, old: str, new: str, named: str) -> None:
    pattern = re.escape(old).replace(r"\ ", " +").replace(" ++", " +")
    text, count = re.subn(pattern, new, frozen_text())
    if named == "Label":
        text = re.sub(r"(?m)^(\s+\w+\s+)Tag\b(?!\w)", r"\1Label", text).replace(
            '@@map("tags")', '@@map("labels")'
        )
    if named == "Tag.lowered":
        text = re.sub(r"userId, nameLower", "userId, lowered", text)
    assert count
    status, answer = served.request("PUT", "/6.19.3/another/schema", encoded(text))
    assert status == 400
    reason = answer["EngineNotStarted"]["reason"]["KnownEngineStartupError"]
    assert named in reason["msg"]
    assert reason["error_code"] == "P1012"


# Batches and transactions.


def test_a_batch_without_a_transaction_fails_query_by_query(served: Served) -> None:
    queries = [query("Tag", "createOne", {"data": tag("b1")})] * 2
    _, answer = served.request("POST", f"{VIEW}/graphql", {"batch": queries})
    first, second = answer["batchResult"]
    assert first["data"]["createOneTag"]["id"] == "b1"
    assert second["errors"][0]["user_facing_error"]["error_code"] == "P2002"


def test_a_batch_with_a_transaction_happens_whole_or_not_at_all(served: Served) -> None:
    queries = [query("Tag", "createOne", {"data": tag(name)}) for name in ("b2", "b3", "b3")]
    _, answer = served.request("POST", f"{VIEW}/graphql", {"batch": queries, "transaction": {}})
    error = answer["errors"][0]["user_facing_error"]
    assert (error["error_code"], error["batch_request_idx"]) == ("P2002", 2)
    assert served.query("Tag", "findUnique", {"where": {"id": "b2"}}) is None


def begin(served: Served, **options: float) -> str:
    status, answer = served.request("POST", f"{VIEW}/transaction/start", options)
    assert status == 200, answer
    endpoint: str = answer["data-proxy"]["endpoint"]
    assert len(answer["id"]) >= 32
    return endpoint.partition(served.told["url"])[2]


def test_an_interactive_transaction_is_seen_when_it_is_committed(served: Served) -> None:
    path = begin(served)
    assert served.query("Tag", "createOne", {"data": tag("i1")}, path=path)["id"] == "i1"
    assert served.query("Tag", "findUnique", {"where": {"id": "i1"}}) is None
    assert served.request("POST", f"{path}/commit")[0] == 200
    assert served.query("Tag", "findUnique", {"where": {"id": "i1"}})["id"] == "i1"
    again = served.query("Tag", "findMany", path=path)
    assert (again["error_code"], "committed" in again["message"]) == ("P2028", True)


def test_an_interactive_transaction_that_is_rolled_back_leaves_nothing(served: Served) -> None:
    path = begin(served)
    served.query("Tag", "createOne", {"data": tag("i2")}, path=path)
    assert served.request("POST", f"{path}/rollback")[0] == 200
    assert served.query("Tag", "findUnique", {"where": {"id": "i2"}}) is None


def test_a_transaction_whose_caller_is_gone_ends_at_its_deadline(served: Served) -> None:
    path = begin(served, timeout=800)
    served.query("Tag", "createOne", {"data": tag("i3")}, path=path)
    # Without another request of the caller, the next writer gets its turn.
    assert served.query("Tag", "createOne", {"data": tag("i4")})["id"] == "i4"
    assert served.query("Tag", "findUnique", {"where": {"id": "i3"}}) is None
    assert "createOneTag waits while the transaction" in served.log.read_text()
    late = served.query("Tag", "findMany", path=path)
    assert (late["error_code"], late["meta"]["timeout"]) == ("P2028", 800)
    status, answer = served.request("POST", f"{path}/commit")
    assert (status, answer["error_code"]) == (400, "P2028")


def test_a_transaction_that_is_in_use_has_one_end(served: Served) -> None:
    with ThreadPoolExecutor(8) as callers:
        for n in range(10):
            path = begin(served)
            writing = callers.submit(served.query, "Tag", "createOne", {"data": tag(f"one-{n}")}, path=path)
            ends = ["commit", "rollback", "commit", "rollback"]
            answers = list(callers.map(lambda end, at=path: served.request("POST", f"{at}/{end}")[0], ends))
            assert answers.count(200) == 1
            found = served.query("Tag", "findUnique", {"where": {"id": f"one-{n}"}})
            kept = ends[answers.index(200)] == "commit" and "id" in writing.result()
            assert (found is not None) == kept


def test_a_request_that_is_cut_short_does_nothing(served: Served) -> None:
    path = begin(served)
    served.query("Tag", "createOne", {"data": tag("cut")}, path=path)
    body = json.dumps(query("Tag", "createOne", {"data": tag("cut-2")})).encode()
    for place, sent in ((f"{path}/commit", b"{"), (f"{VIEW}/graphql", body)):
        connection = served.connection()
        connection.putrequest("POST", place)
        connection.putheader("Authorization", f"Bearer {served.token}")
        connection.putheader("Content-Length", str(len(sent) + 1))
        connection.endheaders(sent)
        connection.close()
    time.sleep(0.2)
    assert served.request("POST", f"{path}/rollback")[0] == 200
    assert served.query("Tag", "findMany", {"where": {"id": {"startsWith": "cut"}}}) == []


def test_an_id_that_is_guessed_is_not_found(served: Served) -> None:
    error = served.query("Tag", "findMany", path=f"{VIEW}/itx/guessed")
    assert (error["error_code"], "not found" in error["message"]) == ("P2028", True)


@pytest.mark.parametrize("options", [b"", b"[]", b'{"timeout": -1}', b'{"max_wait": "x"}'])
def test_a_transaction_is_not_begun_with_wrong_options(served: Served, options: bytes) -> None:
    status, answer = served.request("POST", f"{VIEW}/transaction/start", options)
    assert (status, answer["error_code"]) == (400, "P2028")


# The server's life.


def test_health_shows_counters_to_a_caller_with_the_token_alone(served: Served) -> None:
    assert served.request("GET", "/health", headers={"Authorization": ""}) == (200, {"status": "ok"})
    _, told = served.request("GET", "/health")
    assert told["calls"] > 0
    assert told["backend"] == "json"


def test_the_token_is_kept_in_its_file_alone(served: Served, tmp_path: Path) -> None:
    path = served.store / "cache" / "serve.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == served.token
    assert served.token not in served.log.read_text()
    store = empty_store(tmp_path / "data")
    path = tmp_path / "token"
    with Served(store, "--token-file", str(path)) as first:
        token = first.token
        assert first.stop() == 0
    with Served(store, "--token-file", str(path)) as second:
        assert second.token == token == path.read_text().strip()


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    store, path = empty_store(tmp_path / "data"), tmp_path / "token"
    path.write_text("0123456789abcdef")
    path.chmod(0o644)
    with pytest.raises(AssertionError, match="may be read by others"):
        Served(store, "--token-file", str(path))


def test_a_socket_is_its_owners_alone(tmp_path: Path) -> None:
    store, path = empty_store(tmp_path / "data"), tmp_path / "octavo.sock"
    with Served(store, "--socket", str(path)) as made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "DATABASE_URL" not in made.told
        assert made.upload()[0] == 200
        assert made.query("User", "findMany") == []
        with pytest.raises(AssertionError, match="another server listens there"):
            Served(store, "--socket", str(path))
        assert made.stop() == 0
    assert not path.exists()


def test_it_ends_when_what_is_open_has_ended(tmp_path: Path) -> None:
    with Served(empty_store(tmp_path / "data")) as made:
        made.upload()
        path = begin(made)
        made.query("User", "createOne", {"data": USER}, path=path)
        os.kill(made.process.pid, 15)
        while made.request("GET", "/health")[0] == 200:
            time.sleep(0.01)
        assert made.request("POST", f"{VIEW}/transaction/start", {})[0] == 400
        assert made.request("POST", f"{path}/commit")[0] == 200
        assert made.process.wait(20) == 0
    with Served(tmp_path / "data") as again:
        again.upload()
        assert [found["id"] for found in again.query("User", "findMany")] == ["u1"]


def test_a_second_signal_ends_it_while_a_request_waits_for_a_transaction(tmp_path: Path) -> None:
    with Served(empty_store(tmp_path / "data")) as made, ThreadPoolExecutor(1) as caller:
        made.upload()
        path = begin(made, timeout=600_000)
        made.query("User", "createOne", {"data": USER}, path=path)
        waiting = caller.submit(made.query, "User", "createOne", {"data": {**USER, "id": "u2"}})
        os.kill(made.process.pid, 15)
        while made.request("GET", "/health")[0] == 200:
            time.sleep(0.01)
        os.kill(made.process.pid, 15)
        assert made.process.wait(20) == 0
        waiting.exception()
    with Served(tmp_path / "data") as again:
        again.upload()
        assert {found["id"] for found in again.query("User", "findMany")} <= {"u2"}


def test_idle_connections_cost_no_thread(served: Served) -> None:
    def threads() -> int:
        return len(os.listdir(f"/proc/{served.process.pid}/task"))

    served.query("User", "findMany")
    before = threads()
    connections = [served.connection() for _ in range(100)]
    for connection in connections:
        connection.request("GET", "/health")
        connection.getresponse().read()
    assert threads() <= before
    for connection in connections:
        connection.close()


def test_many_callers_write_at_once(served: Served) -> None:
    def write(number: int) -> None:
        for n in range(10):
            assert served.query("Tag", "createOne", {"data": tag(f"w{number}-{n}")})["id"]

    callers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    found = served.query("Tag", "findMany", {"where": {"id": {"startsWith": "w"}}})
    assert len(found) == 80
