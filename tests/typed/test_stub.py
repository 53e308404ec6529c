"""What a type checker knows of the client: the stub is up to date, takes what is right, refuses the rest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import octavo.typed
from octavo.generate.package import write_package
from octavo.generate.stub import awaited, stub
from octavo.layout.record import record_type
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from query.blog import SCHEMA
from stub import AWAITED, FILE

RIGHT = """
from datetime import UTC, datetime

import octavo
from octavo.typed import ChatWhere, Client

def talk(db: octavo.Client) -> str:
    wanted: ChatWhere = {"character": {"name": {"contains": "ada", "mode": "insensitive"}}, "persona": None}
    wanted["OR"] = [{"title": {"startsWith": "x"}}, {"persona": {"is_not": None}}]
    wanted["tags"] = {"some": {"tag": {"nameLower": "drama"}}}
    [chat, *_] = db.chat.find_many(
        where=wanted,
        include={
            "messages": {"order_by": {"createdAt": "desc"}, "take": 50, "include": {"attachments": True}},
            "character": {"include": {"tags": {"include": {"tag": True}}}},
            "_count": {"select": {"messages": {"where": {"role": "USER"}}}},
        },
        orderBy=[
            {"title": "asc"},
            {"contextSummary": {"sort": "asc", "nulls": "last"}},
            {"messages": {"_count": "desc"}},
            {"character": {"name": "asc"}},
        ],
        distinct=["title"],
        omit={"sillyTavernMetadata": True},
    )
    with db.tx() as tx:
        now = datetime.now(UTC)
        tx.message.create(data={"chatId": chat.id, "role": "USER", "content": "Hello", "createdAt": now})
        tx.message.update_many(where={"swipeIndex": {"not": None}}, data={"tokenCount": {"increment": 1}})
        tx["CharacterTag"].delete_many(where={"tagId": {"in": ["a"]}})
        for hit in tx.message.search("red door", fields="content", where={"chatId": chat.id}, take=5):
            assert hit.record.content + hit.snippet and hit.rank > 0.5
    names = [chat.messages[0].attachments[0].filename, chat.character.tags[0].tag.name]
    return ", ".join(names) + str(chat._count.messages + 1)

def write(db: Client) -> bool:
    made = db.character.create(
        data={
            "name": "Ada",
            "description": "",
            "personality": "",
            "scenario": "",
            "firstMessage": "",
            "sillyTavernData": octavo.DbNull,
            "user": {"connect": {"email": "ada@example.org"}},
            "tags": {
                "create": {
                    "tag": {
                        "connect_or_create": {
                            "where": {"userId_nameLower": {"userId": "u", "nameLower": "n"}},
                            "create": {"userId": "u", "name": "N", "nameLower": "n"},
                        }
                    }
                }
            },
        }
    )
    db.character.update(
        where={"id": made.id, "name": {"not": "Eve"}},
        data={
            "title": None,
            "name": {"set": "B"},
            "defaultImage": {"disconnect": True},
            "user": {"update": {"name": "x"}},
            "tags": {"delete_many": {}, "update": [{"where": {"id": "1"}, "data": {"tagId": "2"}}]},
        },
    )
    db.tag.find_many(where={"name": {"startswith": "x"}}, order={"name": "asc"})
    db.user.upsert(where={"email": "a"}, data={"create": {"email": "a"}, "update": {"name": "b"}})
    found = db.character_tag.find_unique(where={"characterId_tagId": {"characterId": "x", "tagId": "y"}})
    number: int = db.user.count()
    numbers: dict[str, int] = db.user.count(select={"_all": True, "name": True})
    return found is None and number == numbers["_all"] and made.createdAt < datetime.now(UTC)

talk(octavo.connect())
octavo.connect(schema="other.prisma").anything.find_many(whatever=1)

async def talk_awaited(db: octavo.AsyncClient) -> str:
    [chat, *_] = await db.chat.find_many(
        where={"title": {"startsWith": "x"}}, include={"messages": {"take": 50}}, orderBy={"title": "asc"}
    )
    async with db.tx(timeout=1) as tx:
        made = await tx.message.create(data={"chatId": chat.id, "role": "USER", "content": "Hello"})
        await tx["CharacterTag"].delete_many(where={"tagId": {"in": ["a"]}})
    [hit] = await db.message.search("red door", where={"chatId": chat.id})
    number: int = await db.user.count() + len(hit.record.content + hit.snippet)
    numbers: dict[str, int] = await db.user.count(select={"_all": True})
    content: bytes | None = await db.payload(made)
    return chat.messages[0].content + made.content + str(number + numbers["_all"]) + str(content)

def tags(db: Client, name: str) -> int:
    return db.tag.count(where={"name": name})

async def run() -> None:
    db = await octavo.connect_async("json", data_dir="data", threads=8)
    await talk_awaited(db)
    number: int = await octavo.aio.call(db, tags, "x")
    await db.close()
    async with octavo.connect_async() as other:
        await talk_awaited(other)
    async with octavo.connect_async(schema="other.prisma") as third:
        await third.anything.find_many(whatever=number)
"""

WRONG = """
import octavo

db = octavo.connect()
db.charakter  # attr-defined
db.character.find_many(wher={})  # call-arg
db.message.search("red", fields=["contents"])  # list-item
db.message.search(5)  # arg-type
db.character.find_many(where={"nme": "x"})  # typeddict-unknown-key
db.character.find_many(where={"name": {"containz": "x"}})  # typeddict-item
db.character.find_many(where={"name": 3})  # typeddict-item
db.character.find_many(where={"name": None})  # typeddict-item
db.character.find_many(where={"isFavorite": {"contains": "x"}})  # typeddict-item
db.character.find_many(where={"user": {"nme": "x"}})  # typeddict-unknown-key
db.character.find_many(where={"tags": {"any": {}}})  # typeddict-unknown-key
db.character.find_many(where={"tags": {"some": {"tag": {"nme": "x"}}}})  # typeddict-unknown-key
db.message.find_many(include={"chat": {"include": {"nothing": True}}})  # arg-type
db.message.find_many(order_by={"createdAt": "up"})  # arg-type
db.message.find_many(distinct="nothing")  # arg-type
db.message.find_unique(where={"content": "x"})  # typeddict-item
db.character_tag.find_unique(where={"characterId_tagId": {"tagId": "x"}})  # typeddict-item
db.message.create(data={"chatId": "x", "role": "ROBOT", "content": "x"})  # typeddict-item
db.message.create(data={"chatId": "x", "role": "USER"})  # typeddict-item
db.message.update(where={"id": "x"}, data={"content": {"increment": 1}})  # typeddict-item
db.character.update(where={"id": "x"}, data={"tags": {"conect": {"id": "x"}}})  # typeddict-unknown-key
db.user.upsert(where={"email": "a"}, data={"create": {"email": "a"}})  # call-overload
db.character.find_first().name  # union-attr
db.character.find_first_or_raise().nme  # attr-defined
db.character.find_first_or_raise().name = "x"  # misc
name: str = db.character.count()  # assignment

async def awaited(db: octavo.AsyncClient) -> None:
    db.charakter  # attr-defined
    await db.character.find_many(where={"nme": "x"})  # typeddict-unknown-key
    await db.message.create(data={"chatId": "x", "role": "ROBOT", "content": "x"})  # typeddict-item
    (await db.character.find_first()).name  # union-attr
    db.character.find_first_or_raise().name  # attr-defined
    async with db.tx() as tx:
        await tx.tx()  # attr-defined
    octavo.connect_async(durability="none")  # call-overload
"""

OTHER = """
from decimal import Decimal

from blog import Client

def other(db: Client) -> list[str]:
    db.user.create(data={"email": "a", "balance": Decimal(1), "follows": {"connect": {"id": 1}}})
    passport = db.passport.find_first_or_raise(where={"owner": {"words": {"has": "x"}}})
    db.user.update(
        where={"id": passport.ownerId},
        data={"words": {"push": "y"}, "passport": {"upsert": {"create": {"number": "1"}, "update": {}}}},
    )
    db.comment.find_unique(where={"number_lang": {"number": 1, "lang": "en"}})
    db.post.find_many(where={"likes": {"has": 1}})  # typeddict-item
    return db.user.find_first_or_raise(where={"age": None}).words
"""


HARD_SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

/// An "OAuth" client, with a \\ in it.
model Client {
  id       Int      @id
  class    String
  from     String?
  is       Boolean
  str      String
  datetime DateTime
  list     String[]
  Role     Role
  to_dict  String
  sorts    Sort[]
  import   Import?  @relation(fields: [importId], references: [id])
  importId Int?

  @@unique([class, from])
}

enum Role {
  A
  None
}

enum Sort {
  up
}

model Import {
  id       Int       @id
  clients  Client[]
  payloads Payload[]
  tags     Tag[]
}

model Payload {
  id       Int     @id @default(autoincrement())
  importId Int
  import   Import  @relation(fields: [importId], references: [id])
  bytes    Bytes
  price    Decimal?
}

model Tag {
  id      Int      @id
  imports Import[]
}

model TagWhere {
  id Int @id
}

model Session {
  in     String
  lambda Int

  @@id([in, lambda])
}
"""
"""names that Python reserves, that the stub's own types have, or that another model's types have"""

HARD = """
import asyncio

from hard import Client, ClientRecord, ClientWhere, connect, connect_async

def hard(db: Client) -> str:
    found: ClientRecord = db["Client"].find_first_or_raise(where={"class": "x", "Role": {"in": ["A"]}})
    db.session.find_unique(where={"in_lambda": {"in": "a", "lambda": 3}})
    wanted: ClientWhere = {"str": {"contains": "a"}, "from": None}
    db["Import"].find_many(include={"clients": {"where": wanted}})
    db.tag_where.find_many(where={"id": "3"})  # typeddict-item
    db.client.create(data={"id": 1, "is": True, "list": []})  # typeddict-item
    with db.tx() as tx:
        tx["Payload"].delete_many(where={"price": {"gt": 3}})
        tx.payload  # attr-defined
    return f"{found.str} {found.Role} {found.class_}"  # attr-defined

async def tags() -> int:
    async with connect_async("json", threads=1) as db:
        return await db.tag.count()

with connect("json", data_dir="x") as db:
    hard(db)
connect(schema="x")  # call-arg
asyncio.run(tags())
"""


def test_the_stub_is_what_the_schema_gives() -> None:
    assert FILE.read_text("utf-8") == stub(frozen_schema()), "make stub"
    assert AWAITED.read_text("utf-8") == awaited(), "make stub"


def test_a_type_checker_takes_what_is_right_and_refuses_the_rest(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("mypy")
    source = Path(octavo.__file__).parents[1]
    texts = {"right.py": RIGHT, "wrong.py": WRONG, "other.py": OTHER, "use.py": HARD}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "blog.pyi").write_text(stub(parse_schema(SCHEMA)))
    write_package(parse_schema(HARD_SCHEMA), HARD_SCHEMA, tmp_path / "hard")
    settings = f"[mypy]\nstrict = true\nmypy_path = {source}\ncache_dir = {cache}\n"
    (tmp_path / "mypy.ini").write_text(settings)
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--hide-error-context",
            *texts,
            "blog.pyi",
            "hard",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\w+\.pyi?):(\d+): error: .*\[([\w-]+)\]$", run.stdout, re.MULTILINE)
    expected = [
        (name, str(number), line.rpartition("  # ")[2])
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if "  # " in line
    ]
    assert sorted(found) == sorted(expected), run.stdout + run.stderr


def test_records_have_their_types_at_run_time_and_arguments_have_none() -> None:
    schema = frozen_schema()
    kind: type = octavo.typed.Character
    assert kind is record_type(schema.model("Character"), schema)
    assert octavo.typed.AsyncClient is octavo.AsyncClient
    with pytest.raises(AttributeError, match="for type checkers alone"):
        octavo.typed.__getattr__("CharacterWhere")
