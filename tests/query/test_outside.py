"""Records outside of Octavo: JSON, pickles, copies, Pydantic, FastAPI, notebooks.  No secret goes along."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from math import isclose
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import Body as FromBody
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

import every_type
import octavo
from awkward import load_awkward
from backends import on_files, on_memory
from octavo import errors, typed
from octavo.client import Client
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Kind, Layout
from octavo.layout.load import frozen_layout
from octavo.layout.record import encode, record_type
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.bodies import Types
from octavo.query.vocabulary import Vocabulary
from octavo.schema.datamodel import Datamodel, Model, ScalarField
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl
from query.blog import SCHEMA, VOCABULARY

HUSH = "HUSH-HUSH"
EVERY = every_type.datamodel()
FROZEN = Vocabulary(frozen_schema())


def exact(text: str | bytes) -> Any:
    """JSON, to the digit."""

    def number(spelled: str) -> tuple[str]:
        return (spelled,)

    return json.loads(text, parse_float=number, parse_int=number)


def open_members(model: Model, found: dict[str, Any]) -> dict[str, Any]:
    """Those of a record in a file that are fields, and no secrets."""
    return {f.name: found[f.name] for f in model.scalars if f.secret is None and f.name in found}


def written(data: Path, datamodel: Datamodel) -> Iterator[tuple[Model, dict[str, Any]]]:
    """The records of a store but for the embedded ones, by another reader."""
    for family in LAYOUTS[id(datamodel)].families:
        files = sorted(data.glob(re.sub("{[^}]*}", "*", family.path)))
        for file in (f for f in files if f.name != "index.jsonl" or "{" not in family.path):
            if family.kind.is_log:
                for line in file.read_bytes().splitlines():
                    found = exact(line)
                    yield datamodel.model(found["_model"]), found
                continue
            whole = exact(file.read_bytes())
            for place in family.places:
                listed = [whole] if family.kind is Kind.FILE else whole[place.array]
                yield from ((place.model, found) for found in listed)


LAYOUTS: dict[int, Layout] = {id(EVERY): every_type.layout(), id(FROZEN.datamodel): frozen_layout()}


@pytest.fixture(scope="module")
def stores(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """Exports of every type and of awkward rows."""
    found = {}
    for name, datamodel in (("outside_every", EVERY), ("outside_awkward", FROZEN.datamodel)):
        with connect(server.create_database(name)) as connection:
            connection.execute(ddl(datamodel).script().encode())
            (every_type.load if datamodel is EVERY else load_awkward)(connection)
        folder = tmp_path_factory.mktemp(name) / "data"
        options = ExportOptions(folder.parent / "no-files")
        export(DatabaseUrl.parse(server.url(name, schema="public")), folder, LAYOUTS[id(datamodel)], options)
        found[id(datamodel)] = folder
    yield found
    for name in ("outside_every", "outside_awkward"):
        server.drop_database(name)


def with_a_deep_stack(work: Callable[[], None]) -> None:
    """Run what Python's own JSON needs a deep stack for."""
    limit, size = sys.getrecursionlimit(), threading.stack_size(512 * 1024 * 1024)
    sys.setrecursionlimit(100_000)
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    "datamodel",
    [
        pytest.param(EVERY, id="every type"),
        pytest.param(FROZEN.datamodel, id="awkward rows", marks=pytest.mark.slow),
    ],
)
def test_json_of_every_record_is_what_its_file_has(stores: dict[int, Path], datamodel: Datamodel) -> None:
    with_a_deep_stack(lambda: compare(stores, datamodel))


def compare(stores: dict[int, Path], datamodel: Datamodel) -> None:
    vocabulary = Vocabulary(datamodel)
    compared = 0
    with on_files(vocabulary, stores[id(datamodel)], layout=LAYOUTS[id(datamodel)]) as db:
        records = {m.name: db[m.name].find_many() for m in datamodel.models}
        by_json = {
            m.name: {json.dumps(open_members(m, exact(octavo.dumps(r)))): r for r in records[m.name]}
            for m in datamodel.models
        }
        for model, found in written(stores[id(datamodel)], datamodel):
            record = by_json[model.name][json.dumps(open_members(model, found))]
            compared += 1
            text = octavo.dumps(record)
            adapter = TypeAdapter(record_type(model, datamodel))
            if "[" * 1000 not in text and '{"a":[' * 100 not in text.replace(" ", ""):
                as_json = record.to_dict(mode="json")
                assert json.loads(json.dumps(as_json)) == as_json == dict(record)
                assert json.loads(adapter.dump_json(record)) == as_json
                assert re.search(r"\d{4301}", text) or close(json.loads(text), as_json)
                if not any(f.secret for f in model.scalars) and not re.search(r"1e400|u0000|\d{4301}", text):
                    # Pydantic reads the numbers of Json as floats.
                    assert close(adapter.validate_json(text).to_dict(mode="json"), as_json)
            for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
                assert again == record
                assert type(again) is type(record)
    assert compared >= 19


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal but for the digits that a float does not hold."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return one == other or one == float("inf") or isclose(one, other)
    return bool(one == other)


def test_json_of_a_record_is_its_line_in_a_log(stores: dict[int, Path]) -> None:
    folder = stores[id(FROZEN.datamodel)]
    lines = {
        line.replace(b'"_model":"Message",', b"", 1).decode()
        for file in folder.glob("chats/*.jsonl")
        for line in file.read_bytes().splitlines()
        if line.startswith(b'{"_model":"Message",')
    }
    with on_files(FROZEN, folder) as db:
        assert {octavo.dumps(message) for message in db.message.find_many()} == lines


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "small": st.integers(-(2**15), 2**15 - 1),
    "whole": st.integers(-(2**31), 2**31 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "big": st.integers(-(2**63), 2**63 - 1),
    "single": st.floats(width=32).map(lambda x: x or 0.0),
    "double": st.floats().map(lambda x: x or 0.0),
    "decimal": st.decimals(-(10**7), 10**7, places=2),
    "any": st.decimals(),
    "money": st.decimals(-(10**9), 10**9, places=2),
    "text": TEXT,
    "uuid": st.uuids(),
    "bytes": st.binary(max_size=20),
    "json": JSONS,
    "jsonb": JSONS,
    "at": st.datetimes(timezones=st.just(UTC)),
    "micros": st.datetimes(timezones=st.just(UTC)),
    "day": st.dates(),
    "mood": st.sampled_from(["GLAD", "SAD", "ODD"]),
    "ints": st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    "texts": st.lists(TEXT, max_size=3),
    "bytess": st.lists(st.binary(max_size=5), max_size=3),
    "moods": st.lists(st.sampled_from(["GLAD", "SAD", "ODD"]), max_size=3),
    "floats": st.lists(st.floats().map(lambda x: x or 0.0), max_size=3),
    "decimals": st.lists(st.decimals(allow_nan=False, allow_infinity=False), max_size=3),
}


@settings(deadline=None, max_examples=150)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_any_record_comes_back_from_wherever_it_went(given_values: dict[str, Any]) -> None:
    data = {
        name: octavo.JsonNull if value is None and name in ("json", "jsonb") else value
        for name, value in given_values.items()
    }
    db = on_memory(Vocabulary(EVERY))
    record = db["Value"].create(data=data)
    line = encode(record).decode().replace('"_model":"Value",', "", 1)
    assert octavo.dumps(record) == line
    adapter = TypeAdapter(db.types.Value)
    assert adapter.validate_json(line) == record
    assert json.loads(adapter.dump_json(record)) == json.loads(json.dumps(dict(record)))
    assert close(json.loads(line), dict(record))
    assert pickle.loads(pickle.dumps(record)) == record
    shown = {name: value for name, value in dict(record).items() if name in data and value is not None}
    body = TypeAdapter(db.types.ValueCreate).validate_json(json.dumps(shown))
    again = db["Value"].create(data=body)
    for name in data.keys() & body.keys() - {"json", "jsonb"}:
        assert dict(again)[name] == dict(record)[name], name
    html = record._repr_html_()
    assert html.count("<tr>") == len(db["Value"]._terms.columns)


# Secrets.


def filled(field: ScalarField) -> Any:
    """A secret, and whatever else must be there."""
    if field.secret is not None:
        return HUSH
    return {"Int": 1, "Boolean": True, "DateTime": datetime(2025, 1, 1, tzinfo=UTC), "Json": {"a": 1}}.get(
        field.type, "x"
    )


@pytest.fixture
def secretive() -> Client:
    """A record of each model that has secrets, and what it needs."""
    db = on_memory(FROZEN)
    for model in ("User", "Account", "Session", "VerificationToken", "ApiKey"):
        terms = FROZEN[model]
        data = {
            name: filled(c.field)
            for name, c in terms.usable.items()
            if c.needed or c.field.secret is not None
        }
        if model != "User" and "userId" in terms.columns:
            data["userId"] = db.user.find_first_or_raise().id
        if "provider" in data:
            data["provider"] = "OPENAI"
        db[model].create(data=data)
    return db


def outputs(value: Any) -> Iterator[str]:
    """Every way out, as text."""
    yield octavo.dumps(value)
    yield octavo.dumps({"in": [value]})
    for kind in (Any, type(value) if isinstance(value, list) else Any):
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        yield adapter.dump_json(value).decode()
        yield repr(adapter.dump_python(value, mode="json"))

    class Holder(BaseModel):
        any: Any

    yield Holder(any=value).model_dump_json()
    yield repr(Holder(any=value).model_dump(mode="json"))
    for one in value if isinstance(value, list) else [value]:
        yield json.dumps(one.to_dict(mode="json"))
        yield repr(dict(one))
        yield one._repr_html_()
        yield repr(one)
    app = FastAPI()
    app.get("/")(lambda: value)
    app.get("/in")(lambda: {"in": value})
    with TestClient(app) as http:
        yield http.get("/").text
        yield http.get("/in").text


OMITTED = {"VerificationToken": "identifier"}
SECRET_MODELS = [m.name for m in FROZEN.datamodel.models if any(f.secret for f in m.scalars)]


@pytest.mark.parametrize("model", SECRET_MODELS)
def test_a_secret_is_in_no_output(secretive: Client, model: str) -> None:
    include = dict.fromkeys(FROZEN[model].links, True)
    for arguments in ({}, {"include": include}, {"omit": {OMITTED.get(model, "id"): True}}):
        if arguments.get("include") == {}:
            continue
        found = secretive[model].find_many(**arguments)
        assert HUSH in repr([r.to_dict() for r in found])
        for text in outputs(found):
            assert HUSH not in text
        kind = getattr(typed, model)
        for record in found:
            assert HUSH.encode() not in TypeAdapter(kind).dump_json(record)
            assert HUSH not in repr(TypeAdapter(kind).dump_python(record))


def test_a_secret_shows_where_a_select_names_it(secretive: Client) -> None:
    user = secretive.user.find_first_or_raise(
        select={"totpSecret": True, "apiKeys": {"select": {"keyEncrypted": True}}, "sessions": True}
    )
    wanted = {"totpSecret": HUSH, "apiKeys": [{"keyEncrypted": HUSH}]}
    for found in (
        json.loads(octavo.dumps(user)),
        user.to_dict(mode="json"),
        json.loads(TypeAdapter(typed.User).dump_json(user)),
    ):
        assert "sessionToken" not in found.pop("sessions")[0]
        assert found == wanted
    assert HUSH not in repr(user)
    assert HUSH not in user._repr_html_()


def test_a_pickle_holds_no_secret_that_was_not_shown(secretive: Client) -> None:
    part = secretive.user.find_first(select={"email": True})
    assert HUSH.encode() not in pickle.dumps(part)
    assert pickle.loads(pickle.dumps(part)) == copy.deepcopy(part) == part
    whole = secretive.user.find_first()
    assert pickle.loads(pickle.dumps(whole)) == whole


# Results, and other processes.


def test_results_are_spelled_with_what_is_nested(people: Client) -> None:
    ann = people.user.update(
        where={"email": "a@x"},
        data={
            "posts": {"create": [{"title": "<b>", "likes": 2**62, "categories": {"create": {"name": "c"}}}]},
            "meta": {"n": [1, 2.5, None]},
            "balance": Decimal("1.50"),
            "token": HUSH,
        },
        include={"posts": {"include": {"categories": True}}, "boss": True, "_count": True},
    )
    for found in (json.loads(octavo.dumps(ann)), ann.to_dict(mode="json"), dict(ann)):
        assert found["posts"][0]["likes"] == str(2**62)
        assert found["posts"][0]["categories"] == [{"id": 1, "name": "c"}]
        assert (found["boss"], found["balance"], found["meta"]) == (None, "1.50", {"n": [1, 2.5, None]})
        assert found["_count"]["posts"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["joined"])
        assert "token" not in found
    assert "&lt;b&gt;" in ann._repr_html_()
    assert "<b>" not in ann._repr_html_()
    for again in (pickle.loads(pickle.dumps(ann)), copy.copy(ann), copy.deepcopy(ann)):
        assert again == ann
        assert again.posts[0].categories == ann.posts[0].categories
    part = people.user.find_first_or_raise(select={"email": True, "_count": {"select": {"posts": True}}})
    assert octavo.dumps(part) == '{"email":"a@x","_count":{"posts":1}}'
    assert pickle.loads(pickle.dumps(part)) == part
    assert octavo.dumps([part, {"x": part}]) == f'[{octavo.dumps(part)},{{"x":{octavo.dumps(part)}}}]'


CHILD = """
import pickle, sys
from pathlib import Path
sys.path[:0] = {path!r}
from backends import on_files
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema

given = pickle.loads(sys.stdin.buffer.read())
schema = {schema!r}
vocabulary = Vocabulary(parse_schema(schema) if schema else frozen_schema())
with on_files(vocabulary, Path({folder!r})) as db:
    assert given == [db.user.find_first(), db.user.find_first({include})], given
    assert type(given[0]) is type(db.user.find_first())
sys.stdout.buffer.write(pickle.dumps(given))
"""


@pytest.mark.parametrize("schema", ["", SCHEMA], ids=["frozen", "another"])
def test_another_process_reads_a_pickle(tmp_path: Path, schema: str) -> None:
    vocabulary = Vocabulary(parse_schema(schema)) if schema else FROZEN
    include = {"posts": True, "_count": True} if schema else {"sessions": True, "_count": True}
    with on_files(vocabulary, tmp_path / "data") as db:
        db.user.create(data={"email": "a@x"})
        given_records = [db.user.find_first(), db.user.find_first(include=include)]
    code = CHILD.format(
        path=sys.path, schema=schema, folder=str(tmp_path / "data"), include=f"include={include!r}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(given_records), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    back = pickle.loads(done.stdout)
    assert back == given_records
    assert type(back[0]) is type(given_records[0])


def test_a_pickle_of_another_version_is_refused() -> None:
    record = on_memory(FROZEN).user.create(data={"email": "a"})
    from octavo.schema.texts import FINGERPRINT

    changed = pickle.dumps(record).replace(FINGERPRINT.encode(), b"sha256:" + b"0" * 64)
    with pytest.raises(errors.SchemaError, match="another version"):
        pickle.loads(changed)


class Colour(Enum):
    RED = "red"


def test_what_stands_beside_records_is_spelled_alike() -> None:
    moment = datetime(2025, 11, 22, 12, 34, 56, 789000, tzinfo=UTC)
    given_values = {
        "at": [moment, moment.replace(microsecond=789012, tzinfo=None), date(2025, 1, 2)],
        "n": (1, 1.5, float("nan"), Decimal("1.50"), Decimal("Infinity"), 10**400, True, None),
        "b": b"\x00\xff",
        "e": [Colour.RED, octavo.DbNull, UUID(int=1)],
    }
    assert octavo.dumps(given_values) == (
        '{"at":["2025-11-22T12:34:56.789Z","2025-11-22T12:34:56.789012Z","2025-01-02"],'
        f'"n":[1,1.5,"NaN","1.50","Infinity",{10**400},true,null],'
        '"b":"AP8=","e":["red",null,"00000000-0000-0000-0000-000000000001"]}'
    )
    circle: list[Any] = []
    circle.append(circle)
    for wrong in (object(), {1: 2}, {"a": {3}}, "\ud800", circle, Colour):
        with pytest.raises(errors.UsageError, match="cannot be spelled in JSON"):
            octavo.dumps(wrong)
    with pytest.raises(errors.UsageError, match="mode must be"):
        on_memory(FROZEN).user.create(data={"email": "a"}).to_dict(mode="xml")


def test_json_deeper_than_the_stack_is_spelled_by_dumps(tmp_path: Path) -> None:
    db = on_memory(VOCABULARY)
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    record = db.user.create(data={"email": "a", "meta": deep})
    assert "[" * 5000 + "1" + "]" * 5000 in octavo.dumps(record)
    assert "…" in record._repr_html_()


# Pydantic and FastAPI.


def test_pydantic_takes_records_results_and_whole_json(people: Client) -> None:
    types = people.types
    post = people.post.create(data={"title": "t", "author": {"connect": {"email": "a@x"}}})
    shown = people.post.find_first_or_raise(include={"author": True})

    class Page(BaseModel):
        items: list[types.Post]  # type: ignore[name-defined]
        best: types.Post | None = None  # type: ignore[name-defined]

    page = Page(items=[post, shown])
    assert page.items == [post, shown]
    assert json.loads(page.model_dump_json())["items"][1] == shown.to_dict(mode="json")
    assert page.model_dump()["items"][0] == post.to_dict()
    assert Page.model_validate_json(f'{{"items":[{octavo.dumps(post)}]}}').items == [post]
    for wrong in (3, None, "x", people.user.find_first(), [post]):
        with pytest.raises(ValidationError, match="Input should be a Post"):
            Page(items=[wrong])
    with pytest.raises(ValidationError) as caught:
        Page(items=[{**dict(post), "views": "x", "extra": 1, "likes": str(2**63)}])
    assert [e["loc"] for e in caught.value.errors()] == [
        ("items", 0, "extra"),
        ("items", 0, "views"),
        ("items", 0, "likes"),
    ]
    with pytest.raises(ValidationError, match="missing"):
        TypeAdapter(types.Post).validate_python({"id": "x"})


def test_every_model_has_its_types() -> None:
    for model in FROZEN.datamodel.models:
        record = getattr(typed, model.name)
        assert record is record_type(model, FROZEN.datamodel)
        described = TypeAdapter(record).json_schema(mode="serialization")
        own = described["$defs"][model.name] if "$ref" in described else described
        assert own["description"] == model.documentation
        assert set(own["properties"]) >= {f.name for f in model.fields}
        for kind in ("Create", "Update"):
            body = getattr(typed, model.name + kind)
            assert body is getattr(typed, model.name + kind)
            schema = TypeAdapter(body).json_schema()
            assert schema["title"] == model.name + kind
            assert schema["additionalProperties"] is False
            assert set(schema["properties"]) == set(FROZEN[model.name].usable)
            assert ("required" in schema) <= (kind == "Create")
    assert typed.Role == Literal["SYSTEM", "USER", "ASSISTANT", "TOOL"]
    assert {"Chat", "ChatCreate", "ChatUpdate", "Role", "Client"} <= set(dir(typed))
    with pytest.raises(AttributeError):
        typed.ChatCreated  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from octavo.typed import Nothing  # type: ignore[attr-defined] # noqa: F401


def test_a_json_schema_describes_the_json(people: Client) -> None:
    import jsonschema  # type: ignore[import-untyped]

    types = people.types
    people.post.create(data={"title": "t", "author": {"connect": {"email": "a@x"}}})
    schema = TypeAdapter(types.User).json_schema(mode="serialization")
    for user in (
        *people.user.find_many(),
        *people.user.find_many(
            include={"posts": {"include": {"author": True}}, "boss": True, "_count": True}
        ),
    ):
        jsonschema.validate(user.to_dict(mode="json"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**dict(people.user.find_first_or_raise()), "age": "x"}, schema)


@pytest.fixture
def http(people: Client) -> Iterator[TestClient]:
    app = FastAPI()
    types = people.types
    user, new, change = types.User, types.UserCreate, types.UserUpdate

    def one(**arguments: Any) -> Callable[[], Any]:
        return lambda: people.user.find_first(**arguments)

    def several(**arguments: Any) -> Callable[[], Any]:
        return lambda: people.user.find_many(**arguments)

    app.get("/plain")(one())
    app.get("/list")(several(include={"posts": True}))
    app.get("/page")(lambda: {"users": people.user.find_many(), "more": False})
    app.get("/typed", response_model=user)(one(include={"posts": True}))
    app.get("/part", response_model=user)(one(select={"email": True}))
    app.get("/lists", response_model=list[user])(several())  # type: ignore[valid-type]
    app.get("/few", response_model=user, response_model_include={"email", "age"})(one())
    rest: Any = {"email": True, "boss": {"age"}}
    app.get("/rest", response_model=user, response_model_include=rest)(one(include={"boss": True}))
    app.get("/known", response_model=user, response_model_exclude_none=True)(one())
    app.get("/any", response_model=Any)(one())

    def create(body: Annotated[Any, FromBody()]) -> Any:
        return people.user.create(data=body)

    def update(id: int, body: Annotated[Any, FromBody()]) -> Any:
        return people.user.update(where={"id": id}, data=body.model_dump(exclude_unset=True))

    create.__annotations__ = {"body": new, "return": user}
    update.__annotations__ = {"id": int, "body": change, "return": user}
    app.post("/users")(create)
    app.patch("/users/{id}")(update)
    with TestClient(app) as running:
        yield running


def test_a_route_may_return_records(http: TestClient, people: Client) -> None:
    people.user.update_many(data={"token": HUSH})
    people.user.update(where={"email": "a@x"}, data={"boss": {"connect": {"email": "b@x"}}})
    first = people.user.find_first_or_raise()
    everyone = [r.to_dict(mode="json") for r in people.user.find_many()]
    assert http.get("/plain").json() == dict(first) == http.get("/any").json()
    assert [{k: v for k, v in u.items() if k != "posts"} for u in http.get("/list").json()] == everyone
    assert http.get("/page").json() == {"users": everyone, "more": False}
    assert http.get("/typed").json() == {**dict(first), "posts": []}
    assert http.get("/part").json() == {"email": "a@x"}
    assert http.get("/lists").json() == everyone
    assert http.get("/few").json() == {"email": "a@x", "age": 30}
    assert http.get("/rest").json() == {"email": "a@x", "boss": {"age": None}}
    assert http.get("/known").json() == {k: v for k, v in dict(first).items() if v is not None}
    assert http.get("/openapi.json").status_code == 200
    for path in ("plain", "list", "page", "typed", "lists", "any"):
        assert HUSH not in http.get(f"/{path}").text


def test_a_body_makes_and_changes_records(http: TestClient, people: Client) -> None:
    made = http.post(
        "/users",
        json={
            "email": "z@x",
            "balance": "1.5",
            "score": 0.5,
            "words": ["a"],
            "meta": {"a": [1]},
            "joined": "2025-11-22T12:34:56.789Z",
            "role": "BOT",
        },
    )
    assert made.status_code == 200, made.text
    user = people.user.find_unique_or_raise(where={"email": "z@x"})
    assert made.json() == dict(user)
    assert (user.balance, user.role, user.meta) == (Decimal("1.50"), "BOT", {"a": [1]})
    assert user.joined == datetime(2025, 11, 22, 12, 34, 56, 789000, tzinfo=UTC)
    changed = http.patch(f"/users/{user.id}", json={"name": "Z", "meta": None})
    assert changed.json()["name"] == "Z"
    assert "meta" not in changed.json()
    assert http.patch(f"/users/{user.id}", json={}).json()["name"] == "Z"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"emial": "x"}, "emial"),
    ({"posts": {"create": {}}}, "posts"),
    ({"email": None}, "email"),
    ({"email": 3}, "email"),
    ({"email": "a\0"}, "email"),
    ({"age": "3"}, "age"),
    ({"age": 2**31}, "age"),
    ({"age": 10**4000}, "age"),
    ({"age": True}, "age"),
    ({"age": 1.5}, "age"),
    ({"age": {"increment": 1}}, "age"),
    ({"score": "x"}, "score"),
    ({"balance": "1,5"}, "balance"),
    ({"balance": 10**9}, "balance"),
    ({"words": "a"}, "words"),
    ({"words": [1]}, "words"),
    ({"role": "KING"}, "role"),
    ({"role": ["BOT"]}, "role"),
    ({"joined": "yesterday"}, "joined"),
    ({"joined": 12}, "joined"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=[str(w)[:40] for w, _ in WRONG])
def test_a_body_that_does_not_fit_is_refused_by_its_field(wrong: dict[str, Any], field: str) -> None:
    found = Types(VOCABULARY)
    for kind, base in (("UserCreate", {"email": "x"}), ("UserUpdate", {})):
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(getattr(found, kind)).validate_python({**base, **wrong})
        assert [e["loc"] for e in caught.value.errors()] == [(field,)]
        json.dumps(caught.value.errors(), allow_nan=False)


def test_json_of_a_body_may_be_so_deep(people: Client) -> None:
    adapter = TypeAdapter(people.types.UserUpdate)
    for depth, fine in ((99, True), (101, False), (180, False)):
        text = '{"meta":' + "[" * depth + "]" * depth + "}"
        if fine:
            people.user.update(where={"email": "a@x"}, data=adapter.validate_json(text))
            json.dumps(people.user.find_first_or_raise().to_dict(mode="json"))
        else:
            with pytest.raises(ValidationError, match="nested deeper than 100 levels"):
                adapter.validate_json(text)
    with pytest.raises(ValidationError):
        adapter.validate_json('{"meta":' + "[" * 100_000)


def test_a_body_is_a_dict_with_the_ways_of_a_model(people: Client) -> None:
    kind = people.types.UserUpdate
    body: Any = TypeAdapter(kind).validate_python(
        {"name": "N", "age": None, "joined": "2025-01-01T00:00:00Z"}
    )
    assert (body.name, body.age, body.email) == ("N", None, None)
    with pytest.raises(AttributeError, match="UserUpdate has no nmae"):
        body.nmae  # noqa: B018
    assert body.model_dump(exclude_unset=True) == {**body}
    assert body.model_dump(exclude={"joined"}, exclude_none=True) == {"name": "N"}
    assert body.model_dump(mode="json", include={"joined"}) == {"joined": "2025-01-01T00:00:00.000Z"}
    assert json.loads(TypeAdapter(kind).dump_json(body))["joined"] == "2025-01-01T00:00:00.000Z"
    assert pickle.loads(pickle.dumps(body)) == copy.deepcopy(body) == body
    assert people.user.update(where={"email": "a@x"}, data={**body, "age": 7}).age == 7
    assert issubclass(kind, dict)


def test_models_of_the_caller_are_data_too(people: Client) -> None:
    class NewUser(BaseModel):
        email: str
        name: str | None = None
        age: int = 3

    made = people.user.create(data=NewUser(email="m@x"))
    assert (made.name, made.age) == (None, None)
    changed = people.user.update(where={"id": made.id}, data=NewUser(email="m@x", age=4))
    assert changed.age == 4
    with pytest.raises(errors.ValidationError, match="must be a dict"):
        people.user.create(data=NewUser)


def test_secrets_in_a_refused_body_are_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(typed.UserCreate).validate_python({"passwordHash": [HUSH], "totpSecret": HUSH})
    assert HUSH not in str(caught.value)
    assert HUSH not in repr(caught.value.errors())


def test_a_body_does_not_show_its_secrets() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(typed.UserCreate)
    body = adapter.validate_python({"email": "a@x", "passwordHash": HUSH})
    assert repr(body) == "UserCreate({'email': 'a@x', 'passwordHash': '…'})"
    assert json.loads(adapter.dump_json(body)) == {"email": "a@x"}
    assert on_memory(FROZEN).user.create(data=body).passwordHash == HUSH
    assert adapter.dump_python(body) == {"email": "a@x", "passwordHash": HUSH}


def test_the_client_for_asyncio_has_the_same_types(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())

    async def main() -> None:
        async with octavo.connect_async("json", data_dir=tmp_path / "data") as db:
            assert db.types.Chat is typed.Chat
            body = TypeAdapter(db.types.UserCreate).validate_python({"email": "a@x"})
            made = await db.user.create(data=body)
            assert json.loads(octavo.dumps(made)) == dict(made)

    asyncio.run(main())


NAMES = ("to_dict", "items", "class", "model_dump")
ODD = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Odd {
  id         Int     @id
  to_dict    String?
  items      String?
  class      String?
  mode       Json?
  model_dump String?
  get        Int?
  upId       Int?
  up         Odd?    @relation("up", fields: [upId], references: [id])
  others     Odd[]   @relation("up")
}
"""


def test_fields_may_have_the_names_of_methods() -> None:
    db = on_memory(Vocabulary(parse_schema(ODD)))
    given_fields = {"id": 1, "mode": {"x": 1}, "get": 3, **dict.fromkeys(NAMES, "x")}
    body = TypeAdapter(db.types.OddCreate).validate_python(given_fields)
    record = db.odd.create(data=body)
    shown = db.odd.find_first_or_raise(include={"others": True, "up": True})
    expected = {**given_fields, "upId": None}
    assert json.loads(octavo.dumps(record)) == dict(record) == expected
    assert json.loads(octavo.dumps(shown)) == dict(shown) == {**expected, "others": [], "up": None}
    adapter = TypeAdapter(db.types.Odd)
    assert json.loads(adapter.dump_json(shown)) == dict(shown)
    assert pickle.loads(pickle.dumps([record, shown])) == [record, shown]


def test_nothing_of_pydantic_is_loaded_without_it(tmp_path: Path) -> None:
    code = (
        "import sys, pickle, octavo\n"
        "from octavo.typed import Chat, ChatCreate, ChatUpdate, Role\n"
        "from octavo.fold.scaffold import scaffold\n"
        "from octavo.layout.load import frozen_layout\n"
        "from pathlib import Path\n"
        f"scaffold(Path({str(tmp_path / 'data')!r}), frozen_layout())\n"
        f"with octavo.connect('json', data_dir={str(tmp_path / 'data')!r}) as db:\n"
        "    user = db.user.create(data={'email': 'a@x'})\n"
        "    octavo.dumps(user), dict(user), user._repr_html_(), pickle.loads(pickle.dumps(user))\n"
        "    assert db.types.Chat is Chat and db.types.UserCreate\n"
        "print([n for n in sys.modules if n.partition('.')[0] in ('pydantic', 'pydantic_core', 'fastapi')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
