"""The chat service over HTTP."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from octavo.backend import DataBackend
from places import new_place

SERVICE = Path(__file__).parents[2] / "examples/fastapi/service.py"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("chat_service", SERVICE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["chat_service"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=list(DataBackend))
def http(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    place = new_place(request.param, tmp_path, lambda: str(request.getfixturevalue("schema_database")))
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with TestClient(load().app) as running:
        yield running


def test_a_conversation(http: TestClient) -> None:
    made = http.post("/users", json={"email": "ada@example.org", "name": "Ada"})
    assert made.status_code == 201, made.text
    assert "passwordHash" not in made.json()["user"]
    assert made.json()["user"]["createdAt"].endswith("Z")
    assert set(made.json()["session"]) == {"sessionToken", "expires"}
    assert http.post("/users", json={"email": "ada@example.org"}).status_code == 409
    assert http.get("/me").status_code in (401, 403)
    http.headers["Authorization"] = f"Bearer {made.json()['session']['sessionToken']}"
    assert http.get("/me").json() == made.json()["user"]

    about = dict.fromkeys(("description", "personality", "scenario", "firstMessage"), "")
    character = http.post("/characters", json={"name": "Mira", "sillyTavernData": {"v": 1.5}, **about})
    assert character.status_code == 201, character.text
    assert character.json()["sillyTavernData"] == {"v": 1.5}
    unknown = http.post("/characters", json={"nmae": "Mira", **about})
    assert unknown.status_code == 422
    assert [e["loc"] for e in unknown.json()["detail"]] == [["body", "nmae"], ["body", "name"]]
    assert http.post("/chats", json={"title": "A night"}).status_code == 404

    chat = http.post("/chats", json={"title": "A night", "characterId": character.json()["id"]})
    assert chat.status_code == 201, chat.text
    at = f"/chats/{chat.json()['id']}"
    for role, content in (("USER", "Have you seen the red door?"), ("ASSISTANT", "<b>Never</b>")):
        said = http.post(f"{at}/messages", json={"role": role, "content": content})
        assert said.status_code == 201, said.text
    refused = http.post(f"{at}/messages", json={"role": "ROBOT", "content": 3})
    assert refused.status_code == 422
    assert [e["loc"][-1] for e in refused.json()["detail"]] == ["role", "content"]

    assert [m["role"] for m in http.get(at).json()["messages"]] == ["USER", "ASSISTANT"]
    [listed] = http.get("/chats").json()
    assert listed["_count"] == {"messages": 2}
    assert listed["character"]["name"] == "Mira"
    [hit] = http.get("/search", params={"words": "RED door"}).json()
    assert hit["message"]["content"] == "Have you seen the red door?"
    assert hit["message"]["chat"] == {"title": "A night"}
    assert "**red** **door**" in hit["snippet"]
    assert http.get("/search", params={"words": "red boat"}).json() == []
    for awkward in ("%_*'\"", "x " * 99, "AND OR NOT", "\0"):
        assert http.get("/search", params={"words": awkward}).status_code in (200, 422), awkward

    changed = http.patch(at, json={"title": "A long night", "sillyTavernMetadata": None})
    assert changed.status_code == 200, changed.text
    assert changed.json()["title"] == "A long night"
    assert changed.json()["updatedAt"] > chat.json()["updatedAt"]
    assert http.patch(at, json={"title": None}).status_code == 422
    assert http.patch(at, json={"messages": {"deleteMany": {}}}).status_code == 422
    assert http.patch("/chats/none", json={"title": "x"}).status_code == 404
    assert http.delete(at).status_code == 204
    assert http.get(at).status_code == 404


@pytest.mark.parametrize("http", [DataBackend.JSON], indirect=True)
@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"email": ' + "[" * 500 + "]" * 500 + "}",
        '{"email": ' + "9" * 5000 + "}",
        '{"email": ' + "9" * 400 + "}",
        '{"email": NaN}',
        '{"email": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"email": "a\\u0000"}',
        '{"email": null}',
        '"email"',
        "[]",
        "null",
        "",
        '{"email": {"set": "x"}}',
        '{"email": "x", "accounts": {"create": {}}}',
        '{"email": "x", "passwordHash": {"hush": "SECRET"}, "__proto__": "x"}',
    ],
    ids=range(16),
)
def test_hostile_bodies_are_refused(http: TestClient, body: str) -> None:
    answer = http.post("/users", content=body.encode(), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert "SECRET" not in answer.text
    assert len(answer.content) < 2000


@pytest.mark.parametrize("http", [DataBackend.JSON], indirect=True)
def test_the_service_describes_itself_as_the_schema_does(http: TestClient) -> None:
    described = http.get("/openapi.json").json()
    models = described["components"]["schemas"]
    assert models["Message"]["description"].startswith("One message; those that share a swipeGroupId")
    assert models["Chat"]["properties"]["messages"]["items"] == {"$ref": "#/components/schemas/Message"}
    assert "userId" in models["Chat"]["required"]
    assert models["MessageCreate"]["required"] == ["role", "content"]
    assert models["MessageCreate"]["additionalProperties"] is False
    assert "required" not in models["ChatUpdate"]
    route = described["paths"]["/chats/{chat}"]["patch"]
    assert "ChatUpdate" in json.dumps(route["requestBody"])
