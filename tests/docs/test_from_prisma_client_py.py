"""Every call that docs/from-prisma-client-py.md maps, on a small application of the shape of its users'."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

import octavo
from octavo import errors
from octavo.aio import AsyncClient
from octavo.query.arguments import ALIASES

PAGE = (Path(__file__).parents[2] / "docs/from-prisma-client-py.md").read_text("utf-8")
SCHEMA = """
generator client {
  provider = "prisma-client-py"
}

datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model User {
  id         String       @id @default(cuid())
  name       String
  email      String       @unique
  emails     String[]
  meta       Json?
  created_at DateTime     @default(now())
  posts      Post[]
  profile    Profile?
  events     LoginEvent[]
}

model Profile {
  id      Int    @id @default(autoincrement())
  bio     String
  image   Bytes?
  user_id String @unique
  user    User   @relation(fields: [user_id], references: [id], onDelete: Cascade)
}

model Post {
  id          String     @id @default(cuid())
  title       String
  slug        String
  description String?
  published   Boolean    @default(false)
  views       Int        @default(0)
  created_at  DateTime   @default(now())
  author_id   String?
  author      User?      @relation(fields: [author_id], references: [id])
  categories  Category[]

  @@unique([author_id, slug])
}

model Category {
  id    Int    @id @default(autoincrement())
  name  String @unique
  posts Post[]
}

model LoginEvent {
  id      Int    @id @default(autoincrement())
  user_id String
  user    User   @relation(fields: [user_id], references: [id])
}
"""
SAME = "the same"
MISSING = "not there"
EXPECTED = {
    # Reading
    "db.user.find_unique(where={'id': 'u1'})": "found.name == 'Ada'",
    "db.user.find_unique(where={'email': 'ada@example.org'}, include={'posts': True})": (
        "len(found.posts) == 2"
    ),
    "db.post.find_unique(where={'author_id_slug': {'author_id': 'u1', 'slug': 'first'}})": "found.id == 'p1'",
    "db.post.find_first(where={'published': True}, skip=1, order={'title': 'asc'})": "found.id == 'p3'",
    "db.post.find_many(take=2, skip=1, order={'title': 'desc'})": "ids == ['p3', 'p1']",
    "db.post.find_many(order=[{'published': 'desc'}, {'views': 'asc'}])": "ids == ['p3', 'p1', 'p2']",
    "db.post.find_many(cursor={'id': 'p2'}, take=2, order={'id': 'asc'})": "ids == ['p2', 'p3']",
    "db.post.find_many(distinct=['author_id'], order={'id': 'asc'})": "ids == ['p1', 'p3']",
    "db.user.find_many(include={'posts': {'take': 1, 'order_by': {'views': 'desc'}, 'include': "
    "{'categories': True}}})": "[[c.name for c in u.posts[0].categories] for u in found] == [['news'], []]",
    "db.post.count(where={'published': True})": "found == 2",
    "db.post.count(take=2, skip=2)": "found == 1",
    "db.post.count(select={'_all': True, 'description': True})": "found == {'_all': 3, 'description': 1}",
    "db.post.group_by(by=['author_id'], count=True, order={'author_id': 'asc'})": (
        "found == [{'author_id': 'u1', '_count': 2}, {'author_id': 'u2', '_count': 1}]"
    ),
    "db.post.group_by(by=['published'], sum={'views': True}, having={'views': {'_avg': {'gt': 4}}})": (
        "found == [{'published': True, '_sum': {'views': 10}}]"
    ),
    "db.loginevent.find_many()": "ids == [1]",
    "db.post.find_many()": "len(found) == 3",
    "db.query_raw('SELECT 1')": "found == [{'?column?': 1}]",
    "db.query_first('SELECT 1')": "found == {'?column?': 1}",
    "db.execute_raw('SELECT 1')": "found == 1",
    # Filters
    "db.post.find_many(where={'title': 'First'})": "ids == ['p1']",
    "db.post.find_many(where={'title': {'equals': 'First'}})": "ids == ['p1']",
    "db.post.find_many(where={'title': {'in': ['First', 'Other']}})": "ids == ['p1', 'p3']",
    "db.post.find_many(where={'title': {'not_in': ['First', 'Other']}})": "ids == ['p2']",
    "db.post.find_many(where={'title': {'contains': 'post'}})": "ids == ['p2']",
    "db.post.find_many(where={'title': {'startswith': 'Sec'}})": "ids == ['p2']",
    "db.post.find_many(where={'title': {'endswith': 'st'}})": "ids == ['p1', 'p2']",
    "db.post.find_many(where={'title': {'startswith': 'FI', 'mode': 'insensitive'}})": "ids == ['p1']",
    "db.post.find_many(where={'title': {'not': {'contains': 'i'}}})": "ids == ['p2', 'p3']",
    "db.post.find_many(where={'views': {'gte': 3, 'lt': 10}})": "ids == ['p2']",
    "db.post.find_many(where={'description': None})": "ids == ['p2', 'p3']",
    "db.post.find_many(where={'created_at': {'lte': datetime(2030, 1, 1)}})": "len(found) == 3",
    "db.post.find_many(where={'AND': [{'published': True}, {'views': {'gt': 0}}]})": "ids == ['p1']",
    "db.post.find_many(where={'OR': [{'title': 'First'}, {'title': 'Other'}]})": "ids == ['p1', 'p3']",
    "db.post.find_many(where={'NOT': [{'published': True}]})": "ids == ['p2']",
    "db.post.find_many(where={'author': {'is': {'name': 'Ada'}}})": "ids == ['p1', 'p2']",
    "db.post.find_many(where={'author': {'is_not': {'name': 'Ada'}}})": "ids == ['p3']",
    "db.user.find_many(where={'posts': {'some': {'published': False}}})": "ids == ['u1']",
    "db.user.find_many(where={'posts': {'every': {'published': True}}})": "ids == ['u2']",
    "db.user.find_many(where={'posts': {'none': {'views': 0}}})": "ids == ['u1']",
    "db.user.find_many(where={'emails': {'has': 'ada@home.org'}})": "ids == ['u1']",
    "db.user.find_many(where={'emails': {'has_some': ['ada@home.org', 'x']}})": "ids == ['u1']",
    "db.user.find_many(where={'emails': {'has_every': ['ada@home.org', 'x']}})": "ids == []",
    "db.user.find_many(where={'emails': {'is_empty': True}})": "ids == ['u2']",
    "db.user.find_many(where={'meta': {'equals': {'country': 'Scotland'}}})": "ids == ['u1']",
    "db.profile.find_many(where={'image': b'png'})": "ids == [1]",
    # Writing
    "db.user.create(data={'name': 'Eve', 'email': 'eve@example.org'})": "found.name == 'Eve' and found.id",
    "db.user.create(data={'name': 'Eve', 'email': 'e', 'posts': {'create': [{'title': 'T', 'slug': 't'}]}}, "
    "include={'posts': True})": "[p.title for p in found.posts] == ['T']",
    "db.post.create(data={'title': 'T', 'slug': 't', 'author': {'connect': {'id': 'u2'}}})": (
        "found.author_id == 'u2'"
    ),
    "db.user.create(data={'name': 'Eve', 'email': 'e', 'meta': {'a': 1}})": "found.meta == {'a': 1}",
    "db.user.create_many(data=[{'name': 'Eve', 'email': 'e'}, {'name': 'X', 'email': 'ada@example.org'}], "
    "skip_duplicates=True)": "found == 1 and db.user.count() == 3",
    "db.post.update(where={'id': 'p1'}, data={'views': {'increment': 1}})": "found.views == 11",
    "db.post.update(where={'id': 'p1'}, data={'author': {'disconnect': True}}, include={'author': True})": (
        "found.author is None"
    ),
    "db.post.update(where={'id': 'p2'}, data={'categories': {'connect': [{'id': 1}]}}, "
    "include={'categories': True})": "[c.name for c in found.categories] == ['news']",
    "db.user.update(where={'id': 'u1'}, data={'posts': {'delete': [{'id': 'p1'}]}}, "
    "include={'posts': True})": "[p.id for p in found.posts] == ['p2']",
    "db.user.update(where={'id': 'u1'}, data={'posts': {'set': []}}, include={'posts': True})": (
        "found.posts == []"
    ),
    "db.user.update(where={'id': 'u1'}, data={'emails': {'push': ['new']}})": "len(found.emails) == 2",
    "db.user.update(where={'id': 'u1'}, data={'emails': {'set': ['new']}})": "found.emails == ['new']",
    "db.category.upsert(where={'name': 'art'}, data={'create': {'name': 'art'}, 'update': "
    "{'name': 'Art'}})": ("found.name == 'art' and db.category.count() == 2"),
    "db.category.upsert(where={'name': 'news'}, data={'create': {'name': 'news'}, 'update': "
    "{'name': 'News'}})": "found.name == 'News' and db.category.count() == 1",
    "db.post.delete(where={'id': 'p1'}, include={'author': True})": (
        "found.author.name == 'Ada' and db.post.count() == 2"
    ),
    "db.post.update_many(where={'published': False}, data={'views': 0})": "found == 1",
    "db.post.update_many(data={'views': 0})": "found == 3 and db.post.count(where={'views': 0}) == 3",
    "db.post.delete_many(where={'published': True})": "found == 2 and db.post.count() == 1",
    "db.post.delete_many()": "found == 3 and db.post.count() == 0",
    # Records
    "(db.user.find_first()).name": "found == 'Ada'",
    "(db.user.find_first()).created_at.tzinfo": "found == UTC",
    "(db.user.find_first()).meta['country']": "found == 'Scotland'",
    "(db.user.find_first()).to_dict()": "found['email'] == 'ada@example.org' and 'posts' not in found",
}
"""what is true after a call, of what it has ``found`` (and its ``ids``)"""


def rows(heading: str) -> list[tuple[str, str, str]]:
    """The lines of a table: the call, ours, and what is said of it."""
    section = PAGE.split(f"\n## {heading}\n")[1].partition("\n## ")[0]
    cells = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [
        (theirs.strip(" `"), ours.strip(" `"), more[0].strip() if more else "")
        for theirs, ours, *more in cells
    ]


CALLS = [row for heading in ("Reading", "Filters", "Writing", "Records") for row in rows(heading)]


@pytest.fixture(scope="module")
def octavo_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    schema = tmp_path_factory.mktemp("application") / "schema.prisma"
    schema.write_text(SCHEMA)
    return schema


class Application:
    """A client and its data; ``awaited``: what is tried is done by the client for asyncio."""

    def __init__(self, db: Any, *, awaited: bool) -> None:
        self.db, self.used = db, AsyncClient(db) if awaited else db
        self.awaited = awaited

    def does(self, program: str, kind: Literal["eval", "exec"] = "eval") -> Any:
        """What a program of the page gives."""
        names = {"db": self.used, "datetime": datetime, "timedelta": timedelta}
        if not self.awaited:
            return eval(compile(_sync(program), "page", kind), names)
        code = compile(program, "page", kind, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        given = eval(code, names)
        return asyncio.run(given) if inspect.iscoroutine(given) else given

    def fulfils(self, condition: str, found: Any) -> bool:
        """Whether something is true after a program, of what it has found."""
        ids = [getattr(record, "id", None) for record in found] if isinstance(found, list) else []
        return bool(eval(condition, {"found": found, "ids": ids, "db": self.db, "UTC": UTC}))


def _sync(program: str) -> str:
    return program.replace("await ", "").replace("async ", "")


@pytest.fixture(params=["octavo_store", "octavo_postgres", "octavo_store awaited", "octavo_postgres awaited"])
def app(request: pytest.FixtureRequest) -> Application:
    """The application's data, on the files and on PostgreSQL."""
    fixture, _, awaited = request.param.partition(" ")
    db: Any = request.getfixturevalue(fixture)
    early = datetime(2025, 1, 1, tzinfo=UTC)
    ada = {"id": "u1", "name": "Ada", "email": "ada@example.org", "emails": ["ada@home.org"]}
    db.user.create(data={**ada, "meta": {"country": "Scotland"}, "created_at": early})
    db.user.create(data={"id": "u2", "name": "Bob", "email": "bob@example.org", "emails": []})
    db.profile.create(data={"bio": "…", "image": b"png", "user_id": "u1"})
    db.login_event.create(data={"user_id": "u1"})
    for number, (title, views, published, author) in enumerate(
        [("First", 10, True, "u1"), ("Second post, the best", 3, False, "u1"), ("Other", 0, True, "u2")], 1
    ):
        post = {"id": f"p{number}", "title": title, "slug": title.split()[0].lower(), "views": views}
        post |= {"published": published, "author_id": author, "created_at": early + timedelta(number)}
        db.post.create(data=post)
    db.post.update(where={"id": "p1"}, data={"description": "x", "categories": {"create": {"name": "news"}}})
    return Application(db, awaited=bool(awaited))


def test_every_call_is_expected_to_give_something() -> None:
    run = {theirs if ours == SAME else ours for theirs, ours, said in CALLS if "raises" not in said}
    assert {_sync(call) for call in run - {MISSING}} == EXPECTED.keys()


@pytest.mark.parametrize(("theirs", "ours", "said"), CALLS, ids=[theirs for theirs, _, _ in CALLS])
def test_a_call_does_what_the_page_says(app: Application, theirs: str, ours: str, said: str) -> None:
    if ours == MISSING:
        with pytest.raises(AttributeError):
            app.does(theirs)
        return
    if ours != SAME:
        # It would not be listed if it could stay.
        with pytest.raises((TypeError, AttributeError, NameError, errors.ValidationError)):
            app.does(theirs)
    call = theirs if ours == SAME else ours
    if raised := re.search(r"raises `(\w+)`", said):
        with pytest.raises(getattr(errors, raised[1], AttributeError)):
            app.does(call)
        return
    found = app.does(call)
    assert app.fulfils(EXPECTED[_sync(call)], found), found


@pytest.mark.parametrize(("theirs", "ours", "call"), rows("Errors"))
def test_an_error_is_the_one_that_the_page_names(app: Application, theirs: str, ours: str, call: str) -> None:
    with pytest.raises(getattr(errors, ours, AttributeError)) as raised:
        app.does(call.strip(" `"))
    assert ours == "AttributeError" or re.fullmatch(r"P2\d{3}", raised.value.code)


def test_errors_without_a_call_are_there(app: Application) -> None:
    with pytest.raises(errors.TransactionFailed):
        app.does("async with db.tx(timeout=timedelta(0)) as tx:\n    await tx.post.delete_many()", "exec")
    assert app.db.post.count() == 3
    app.does("await db.close()")
    with pytest.raises(errors.UsageError, match="closed"):
        app.does("await db.user.count()")


def test_the_transactions_of_the_page_run(app: Application) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    app.does(program, "exec")
    assert [user.name for user in app.db.user.find_many(order={"name": "asc"})] == ["Ada", "Bob", "Eve"]
    assert {post.id: post.views for post in app.db.post.find_many()} == {"p1": 9, "p3": 0}
    with pytest.raises(ValueError, match="seen too often"):
        app.does(program.replace("eve@", "mal@"), "exec")
    assert app.db.user.count() == 4
    assert app.db.post.find_unique(where={"id": "p1"}).views == 9


@pytest.mark.parametrize("awaited", [False, True])
def test_a_client_connects_as_the_page_says(
    awaited: bool, octavo_schema: Path, octavo_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, block, elsewhere, closed = (ours for _, ours, _ in rows("Connecting")[:4])
    monkeypatch.chdir(octavo_schema.parent)
    monkeypatch.delenv("DATA_BACKEND", raising=False)
    monkeypatch.setenv("DATABASE_URL", octavo_database_url)
    count = "assert await db.login_event.count() == 0"
    ways = [
        f"{opened}\n{count}\n{closed}",
        f"{block}\n    {count}",
        f"async with {elsewhere} as db:\n    {count}",
    ]
    for program in ways:
        if awaited:
            code = compile(program, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            asyncio.run(eval(code, {"octavo": octavo, "url": octavo_database_url}))
        else:
            exec(_sync(program).replace("_async", ""), {"octavo": octavo, "url": octavo_database_url})


def test_every_spelling_that_is_understood_is_listed() -> None:
    listed = PAGE.partition("\n## ")[0]
    for alias, name in ALIASES.items():
        assert re.search(rf"`{alias}=?`.*`{name}=?`", listed), alias
