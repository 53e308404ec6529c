"""What is the backend ``json``'s own: the store below, its indexes, its files and its locks."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import octavo
from backends import on_files, on_memory
from folders import tree
from octavo.backends.reading import Candidates, Choice, Indexes
from octavo.client import Client
from octavo.errors import (
    BusyError,
    ForeignKeyViolation,
    LayoutError,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    ValueOutOfRange,
)
from octavo.fold.scaffold import scaffold
from octavo.layout.load import default_layout, frozen_layout
from octavo.query.arguments import At
from octavo.query.evaluate import Evaluator
from octavo.query.filters import Filters
from octavo.query.plan import Insert, Order, Query
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from query.blog import SCHEMA, VOCABULARY

SCHEMA_07 = Vocabulary(frozen_schema())
MOST_FUNCTIONS, MOST_FILES = 176, 31
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def chat_of(db: Client, chat: str = "chat") -> None:
    """Make a chat, and all that one needs."""
    owner = {"userId": "u"}
    db.user.upsert(where={"id": "u"}, create={"id": "u", "email": "u@x"}, update={})
    texts = dict.fromkeys(("name", "description", "personality", "scenario", "firstMessage"), "t")
    db.character.upsert(where={"id": "c"}, create={"id": "c", **owner, **texts}, update={})
    profile = {"id": "p", "name": "p", "provider": "OPENAI", "modelName": "m", **owner}
    db.connection_profile.upsert(where={"id": "p"}, create=profile, update={})
    db.chat.create(data={"id": chat, "title": chat, "characterId": "c", "connectionProfileId": "p", **owner})


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Client]:
    with on_files(SCHEMA_07, tmp_path / "data") as db:
        yield db


def test_a_create_passes_few_functions_of_few_files(files: Client) -> None:
    """What a writer waits for, and a reader of the code gets lost in."""
    chat_of(files)

    def create(number: int) -> None:
        files.message.create(data={"id": f"m{number}", "chatId": "chat", "role": "USER", "content": "hello"})

    for number in range(10):
        create(number)
    passed: set[tuple[str, str]] = set()
    package = str(Path(octavo.__file__).parent)

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            passed.add((code.co_filename, code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        create(10)
    finally:
        sys.setprofile(before)
    assert len(passed) <= MOST_FUNCTIONS
    assert len({file for file, _ in passed}) <= MOST_FILES


@pytest.fixture
def blog(tmp_path: Path) -> Iterator[Client]:
    with on_files(VOCABULARY, tmp_path / "data") as db:
        yield db


def test_connect_opens_what_the_environment_names(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(exported, tmp_path / "data")
    monkeypatch.setenv("DATA_BACKEND", "json")
    monkeypatch.setenv("DATA_DIR", str(data))
    with octavo.connect() as db:
        chat: Any = db.chat.find_first(
            order_by={"createdAt": "asc"}, include={"messages": True, "user": True}
        )
        assert chat.messages
        db.chat.update(where={"id": chat.id}, data={"title": "another"})
    with octavo.connect("json", data_dir=data) as db:
        assert db.chat.find_unique_or_raise(where={"id": chat.id}).title == "another"


def test_batched_writes_return_before_they_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo.store.store.BATCH_INTERVAL", 60.0)
    monkeypatch.setattr("octavo.store.commit._LONGEST_HOLD", 60.0)
    scaffold(tmp_path, frozen_layout())
    emails = [f"{number}@x" for number in range(5)]
    with octavo.connect("json", data_dir=tmp_path, durability="batched") as db:
        before = tree(tmp_path)
        for email in emails:
            db.user.create(data={"email": email})
        assert [user.email for user in db.user.find_many(order_by={"email": "asc"})] == emails
        assert tree(tmp_path) == before
    with octavo.connect("json", data_dir=tmp_path) as db:
        assert [user.email for user in db.user.find_many(order_by={"email": "asc"})] == emails


@pytest.mark.parametrize("backend", ["prisma", "json", "dual"])
def test_no_backend_takes_a_durability_that_is_none(tmp_path: Path, backend: str) -> None:
    with pytest.raises(UsageError, match="no durability 'fast'"):
        octavo.connect(backend, data_dir=tmp_path, durability="fast")  # type: ignore[call-overload]


def test_a_folder_without_a_store_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        octavo.connect("json", data_dir=tmp_path)
    assert "scaffold" in raised.value.hint


def test_any_schema_has_a_layout(tmp_path: Path) -> None:
    schema = tmp_path / "schema.prisma"
    schema.write_text(SCHEMA)
    scaffold(tmp_path / "data", default_layout(parse_schema(SCHEMA)))
    with octavo.connect("json", data_dir=tmp_path / "data", schema=schema) as db:
        db.user.create(data={"email": "a", "follows": {"create": {"email": "b"}}})
        found: Any = db.user.find_many(where={"followedBy": {"some": {"email": "a"}}})
        assert [user.email for user in found] == ["b"]


# What is looked at

NARROWED: list[tuple[str, dict[str, Any], set[str] | None]] = [
    ("Chat", {"id": "1"}, {"1"}),
    ("Chat", {"id": {"in": ["1", "2", "1"]}, "title": "x"}, {"1", "2"}),
    ("Chat", {"title": "x"}, None),
    ("Chat", {"AND": [{"title": "x"}, {"AND": {"characterId": "c"}}]}, {"1", "2", "3"}),
    ("Chat", {"OR": [{"id": "1"}, {"id": "3"}, {"id": "1"}]}, {"1", "3"}),
    ("Chat", {"OR": [{"id": "1"}, {"title": "x"}]}, None),
    ("Chat", {"NOT": {"id": "1"}}, None),
    ("Chat", {"id": {"equals": "1", "mode": "insensitive"}}, None),
    ("Chat", {"messages": {"some": {"id": "m2"}}}, {"2"}),
    ("Chat", {"messages": {"none": {"id": "m2"}}}, None),
    ("Chat", {"character": {"id": "c"}}, {"1", "2", "3"}),
    ("Chat", {"tags": {"some": {"tag": {"id": "none"}}}}, set()),
    ("Message", {"chatId": "2", "role": "USER"}, {"m2"}),
    ("Message", {"swipeGroupId": "s"}, None),
    ("Message", {"chat": {"id": "2"}}, {"m2"}),
    ("ChatTag", {"chatId": "2"}, set()),
    ("ChatTag", {"tagId": "2"}, set()),
]


@pytest.mark.parametrize(("model", "where", "found"), NARROWED)
def test_indexes_narrow_down_what_is_looked_at(
    files: Client, model: str, where: dict[str, Any], found: set[str] | None
) -> None:
    for number in "123":
        chat_of(files, number)
        files.message.create(data={"id": f"m{number}", "chatId": number, "role": "USER", "content": ""})
    condition = Filters(SCHEMA_07).where(SCHEMA_07[model], where, At(model, ""))
    store = files._backend.store  # type: ignore[attr-defined]
    indexes = Indexes(SCHEMA_07, store.rules)
    candidates: Any = store.read(lambda view: Candidates(indexes, view).of(model, condition))
    assert (None if candidates is None else {r.id for r in candidates}) == found
    assert candidates is None or len(list(candidates)) == len(found or ())


ORDERS: list[Any] = [
    [{"createdAt": first}, {"id": second}] for first, second in product(("asc", "desc"), repeat=2)
]
ORDERS += [{"createdAt": "asc"}, {"createdAt": "desc"}, {"content": "desc"}, {"id": "asc"}]


def test_the_order_of_a_log_is_read_off_it_and_others_are_sorted(files: Client) -> None:
    memory = on_memory(SCHEMA_07)
    for db in (files, memory):
        chat_of(db)
        for n in range(40):
            data = {"id": f"{n * 7 % 40:02}", "chatId": "chat", "role": ("USER", "TOOL")[n % 3 == 0]}
            times = {"createdAt": NOON + timedelta(minutes=n % 5)}
            db.message.create(data={**data, **times, "content": str(n % 4)})
    for order, take, skip in product(ORDERS, (None, 0, 1, 7, 8, 39, 50, -6), (0, 3)):
        for where in ({}, {"role": "USER"}, {"createdAt": {"gt": NOON}}):
            arguments: Any = {"order_by": order, "take": take, "skip": skip, "where": where}
            included = {"include": {"messages": arguments}}
            whole = arguments | {"where": where | {"chatId": "chat"}}
            listed: Any = [db.message.find_many(**whole) for db in (files, memory)]
            shown: Any = [db.chat.find_first(**included) for db in (files, memory)]
            listed += [chat.messages for chat in shown]
            first, *others = [[m.id for m in messages] for messages in listed]
            assert others == [first] * 3, arguments
    # What a transaction has changed is not in the file yet.
    with files.tx() as tx:
        tx.message.delete(where={"id": "39"})
        tx.message.create(
            data={"id": "x", "chatId": "chat", "role": "USER", "content": "", "createdAt": NOON}
        )
        last: Any = {"where": {"chatId": "chat"}, "order_by": {"createdAt": "asc"}, "take": 9}
        assert [m.id for m in tx.message.find_many(**last)][-1] == "x"


def test_the_first_of_many_are_those_of_all_of_them_sorted() -> None:
    terms = SCHEMA_07["VerificationToken"]
    time = "2025-01-01T00:00:00.000Z"

    def record(n: int) -> Any:
        return terms.type(identifier=str(n % 7), token=f"{n * 7919 % 5000:04}", _expires=time)

    records = [record(n) for n in range(5000)]
    query = Query(model=terms.name, order=(Order("identifier"), Order("token")), take=3, skip=2)
    choice = Choice(SCHEMA_07, Evaluator(SCHEMA_07, lambda link, record: ()), query)
    found: Any = choice.of(iter(records))
    assert found == sorted(records, key=lambda r: (r.identifier, r.token))[2:5]


# Values that are equal without being the same

LOOSE = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Account {
  name   String   @id @db.Citext
  code   String   @unique @db.Char(4)
  amount Decimal? @unique
  factor Float?   @unique
  words  String[] @unique
  meta   Json?    @unique
  orders Order[]
}

model Order {
  id    Int      @id @default(autoincrement())
  of    String?  @db.Citext
  owner Account? @relation(fields: [of], references: [name], onUpdate: Cascade)
}
"""
ACCOUNT = {
    "name": "Ann",
    "code": "x",
    "amount": Decimal("1.0"),
    "factor": 0.0,
    "words": ["a"],
    "meta": {"n": Decimal("1.0")},
}


@pytest.fixture
def loose(tmp_path: Path) -> Iterator[Client]:
    vocabulary = Vocabulary(parse_schema(LOOSE))
    with on_files(vocabulary, tmp_path / "data") as db:
        db.account.create(data=ACCOUNT)
        yield db


@pytest.mark.parametrize(
    "same",
    [
        {"name": "aNN"},
        {"code": "x   "},
        {"amount": Decimal("1.00")},
        {"factor": -0.0},
        {"words": ["a"]},
        {"meta": {"n": 1}},
    ],
)
def test_uniques_compare_as_postgresql_does(loose: Client, same: dict[str, Any]) -> None:
    other: dict[str, Any] = {
        "name": "bob",
        "code": "y",
        "amount": None,
        "factor": None,
        "words": [],
        "meta": octavo.DbNull,
    }
    with pytest.raises(UniqueViolation) as raised:
        loose.account.create(data=other | same)
    assert raised.value.fields == tuple(same)
    loose.account.create(data=other)
    # A value that is only written otherwise does not stand in its own way.
    changed = loose.account.update(where={"name": "ANN"}, data=same)
    assert changed is not None
    [field] = same
    if field not in ("words", "meta"):
        assert loose.account.count(where=same) == 1
        assert loose.account.find_unique(where=same) is not None


def test_foreign_keys_compare_as_postgresql_does(loose: Client) -> None:
    loose.order.create(data={"of": "ANN"})
    with pytest.raises(ForeignKeyViolation):
        loose.order.create(data={"of": "Anne"})
    found: Any = loose.account.find_unique(where={"name": "ann"}, include={"orders": True})
    assert [order.of for order in found.orders] == ["ANN"]
    assert loose.order.count(where={"owner": {"name": "aNN"}}) == 1
    loose.account.update(where={"name": "ann"}, data={"name": "Bea"})
    assert loose.order.find_first_or_raise().of == "Bea"


def test_such_a_key_names_no_file(tmp_path: Path) -> None:
    schema, layout = tmp_path / "schema.prisma", tmp_path / "layout.toml"
    schema.write_text(LOOSE.replace("of    String? ", "of    String ").replace("Account?", "Account"))
    layout.write_text(
        'version = 1\n[logs]\n"accounts.jsonl" = ["Account"]\n'
        '[logs_per_parent]\n"orders/{of}.jsonl" = "Order"\n'
    )
    for folder in ("orders", "journal", "cache"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"Order.*can be equal"):
        octavo.connect("json", data_dir=tmp_path / "data", schema=schema, layout=layout)


# Numbers


def test_autoincrement_counts_on_behind_the_highest_number(tmp_path: Path) -> None:
    with on_files(VOCABULARY, tmp_path / "data") as one, on_files(VOCABULARY, tmp_path / "data") as two:
        numbers = [one.category.create(data={"name": name}).id for name in "ab"]
        numbers += [two.category.create(data={"name": "c"}).id, one.category.create(data={"name": "d"}).id]
        assert numbers == [1, 2, 3, 4]
        two.category.create(data={"name": "e", "id": 10})
        one.category.delete(where={"id": 4})
        assert [c.id for c in one.category.create_many_and_return(data=[{"name": "f"}, {"name": "g"}])] == [
            11,
            12,
        ]
        one.category.update(where={"id": 12}, data={"id": 20})
        assert one.category.create(data={"name": "h"}).id == 21
    with on_files(VOCABULARY, tmp_path / "data") as again:
        assert again.category.create(data={"name": "i"}).id == 22


def test_what_only_postgresql_can_evaluate_is_refused(tmp_path: Path) -> None:
    schema = SCHEMA.replace("@default(cuid())", '@default(dbgenerated("gen_random_uuid()"))')
    with on_files(Vocabulary(parse_schema(schema)), tmp_path / "data") as db:
        db.user.create(data={"email": "a"})
        with pytest.raises(UsageError, match=r"Post.id.*dbgenerated"):
            db.post.create(data={"title": "t", "authorId": 1})
        assert db.post.create(data={"id": "x", "title": "t", "authorId": 1}).id == "x"


# Transactions


def test_a_transaction_that_took_too_long_is_not_kept(blog: Client) -> None:
    with pytest.raises(TransactionFailed, match="took longer"), blog.tx(timeout=0.01) as tx:  # noqa: PT012
        tx.user.create(data={"email": "a"})
        time.sleep(0.02)
    with pytest.raises(TransactionFailed, match="took longer"), blog.tx(timeout=0.01) as tx:  # noqa: PT012
        time.sleep(0.02)
        tx.user.create(data={"email": "a"})
    assert blog.user.count() == 0


def test_who_waits_too_long_for_the_lock_is_told(blog: Client) -> None:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with blog.tx(timeout=60) as tx:
            tx.category.create(data={"name": "held"})
            taken.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    try:
        # A transaction that only reads waits for no writer.
        with blog.tx(max_wait=0.01, timeout=60) as tx:
            assert tx.category.count() == 0
        with pytest.raises(BusyError) as raised, blog.tx(timeout=0.5) as tx:  # noqa: PT012
            assert tx.category.count() == 0
            tx.category.create(data={"name": "waits"})
        assert raised.value.code == "P2028"
        assert blog.user.count() == 0
    finally:
        done.set()
        holder.join()


def test_a_write_that_failed_takes_its_transaction_with_it(blog: Client) -> None:
    backend: Any = blog._backend
    blog.user.create(data={"email": "a"})
    with pytest.raises(TransactionFailed), backend.transaction() as transaction:  # noqa: PT012
        rows = [{"name": name} for name in ("x", "x")]
        with pytest.raises(UniqueViolation):
            transaction.insert(Insert("Category", rows))
        with pytest.raises(TransactionFailed):
            transaction.insert(Insert("Category", rows[:1]))
    assert blog.category.count() == 0


def test_one_reading_call_sees_one_state(blog: Client) -> None:
    author: Any = blog.user.create(data={"email": "a", "age": 0, "posts": {"create": {"title": "t"}}})
    post: Any = blog.post.find_first()
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            with blog.tx(max_wait=60) as tx:
                tx.user.update(where={"id": author.id}, data={"age": {"increment": 1}})
                tx.post.update(where={"id": post.id}, data={"views": {"increment": 1}})

    writer = threading.Thread(target=count)
    writer.start()
    seen: set[int] = set()
    try:
        end = time.monotonic() + 10
        while len(seen) < 20 and time.monotonic() < end:
            found: Any = blog.user.find_first(include={"posts": True, "_count": True})
            assert found.age == found.posts[0].views
            seen.add(found.age)
            # A reader that never rests keeps the interpreter from the writer.
            time.sleep(0.001)
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 1


def test_another_process_is_seen_at_once(tmp_path: Path) -> None:
    with on_files(SCHEMA_07, tmp_path / "data") as one, on_files(SCHEMA_07, tmp_path / "data") as two:
        chat_of(one)
        assert two.chat.find_unique_or_raise(where={"id": "chat"}).title == "chat"
        for number in range(5):
            writer, reader = (one, two) if number % 2 else (two, one)
            writer.message.create(data={"chatId": "chat", "role": "USER", "content": str(number)})
            found: Any = reader.chat.find_first(include={"messages": {"order_by": {"content": "asc"}}})
            assert [m.content for m in found.messages] == [str(n) for n in range(number + 1)]


COPIED = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Parent {
  id    String    @id
  n     Int       @unique
  at    DateTime  @unique
  code  String    @unique
  small Small[]
  whole Whole[]
  short Short[]
}
model Small {
  id     String  @id
  n      Int?    @db.SmallInt
  parent Parent? @relation(fields: [n], references: [n])
}
model Whole {
  id     String    @id
  at     DateTime? @db.Timestamp(0)
  parent Parent?   @relation(fields: [at], references: [at])
}
model Short {
  id     String  @id
  code   String? @db.VarChar(5)
  parent Parent? @relation(fields: [code], references: [code])
}
model Made {
  id    Int    @id @default(autoincrement()) @db.SmallInt
  label String @default("toolong") @db.VarChar(3)
}
"""


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Any]:
    with on_files(Vocabulary(parse_schema(COPIED)), tmp_path / "data") as db:
        yield db


class TestWhatTheQueryDoesNotSee:
    """A value that is copied from another record, computed or made by default is held to its column, too."""

    @pytest.fixture(autouse=True)
    def parents(self, copied: Any) -> None:
        at = datetime(2024, 1, 1, 1, 1, 1, 5000, tzinfo=UTC)
        copied.parent.create(data={"id": "large", "n": 100_000, "at": at, "code": "ten digits"})
        at = datetime(2024, 1, 1, 1, 1, 1, tzinfo=UTC)
        copied.parent.create(data={"id": "fits", "n": 7, "at": at, "code": "five5"})

    @pytest.mark.parametrize(("model", "field"), [("Small", "n"), ("Whole", "at"), ("Short", "code")])
    def test_a_key_that_does_not_fit_is_refused(self, copied: Any, model: str, field: str) -> None:
        accessor, link = copied[model], model.lower()
        ways: list[Callable[[], Any]] = [
            lambda: accessor.create(data={"id": "a", "parent": {"connect": {"id": "large"}}}),
            lambda: copied.parent.update(where={"id": "large"}, data={link: {"create": {"id": "b"}}}),
            lambda: copied.parent.update(
                where={"id": "large"}, data={link: {"create_many": {"data": [{"id": "c"}]}}}
            ),
            lambda: copied.parent.update(where={"id": "large"}, data={link: {"connect": {"id": "there"}}}),
            lambda: accessor.update(where={"id": "there"}, data={"parent": {"connect": {"id": "large"}}}),
        ]
        accessor.create(data={"id": "there"})
        for way in ways:
            with pytest.raises(ValueOutOfRange) as refused:
                way()
            assert (refused.value.model, list(refused.value.fields)) == (model, [field])
        assert [record.id for record in accessor.find_many()] == ["there"]
        if model != "Whole":
            # Times of another precision are spelled otherwise, and point at nothing.
            accessor.create(data={"id": "fitting", "parent": {"connect": {"id": "fits"}}})
            assert len(accessor.find_many(where={"parent": {"id": "fits"}})) == 1

    def test_a_default_that_does_not_fit_is_refused_when_it_is_used(self, copied: Any) -> None:
        with pytest.raises(ValueOutOfRange, match="label"):
            copied.made.create(data={})
        copied.made.create(data={"id": 32_766, "label": "abc"})
        copied.made.create(data={"label": "abc"})
        with pytest.raises(ValueOutOfRange, match="id"):
            copied.made.create(data={"label": "abc"})
        assert [record.id for record in copied.made.find_many()] == [32_766, 32_767]
