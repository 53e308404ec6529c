"""What is PostgreSQL's own: errors, time limits, sessions, names, collations.  What queries and writes give
is tested with those of every backend (``tests/query``, ``tests/parity``)."""

# A transaction's block is what is to fail.
# ruff: noqa: PT012

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import octavo
from backends import dual_backend, on_files, prisma_backend
from octavo.backends.prisma import PrismaBackend, PrismaReader, PrismaTransaction
from octavo.client import Client
from octavo.errors import (
    ConflictError,
    DatabaseError,
    DriftError,
    ForeignKeyViolation,
    NullViolation,
    OctavoError,
    TransactionFailed,
    UniqueViolation,
    UsageError,
)
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.query.plan import TRUE, Change, ChangeKind, Insert, Query
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.url import DatabaseUrl

HEAD = 'datasource db {\n provider = "postgresql"\n url = ""\n}\n'
SCHEMA = f"""{HEAD}
enum Mood {{
  GLAD @map("glad to see you")
  SAD
  @@map("the mood")
}}
model Owner {{
  id    Int    @id @default(autoincrement()) @map("the id")
  name  String @unique(map: "only one") @map("na\\"me")
  token String?
  mood  Mood   @default(SAD)
  data  Json?
  bytes Bytes?
  at    DateTime?
  things Thing[]
  @@map("the owners")
}}
model Thing {{
  left    Int
  right   Int
  ownerId Int   @map("owner id")
  owner   Owner @relation(fields: [ownerId], references: [id], onDelete: Restrict, map: "belongs")
  @@id([left, right], map: "both")
}}
"""
SECRET = "hunter2"

WRITES: dict[str, Callable[[Any], Any]] = {
    "create": lambda db: db.owner.create(data={"name": "b"}),
    "nested create": lambda db: db.owner.create(
        data={"name": "b", "things": {"create": {"left": 3, "right": 3}}}
    ),
    "create many": lambda db: db.owner.create_many(data=[{"name": "b"}, {"id": 7, "name": "c"}]),
    "update": lambda db: db.owner.update(where={"name": "a"}, data={"token": None}),
    "update many": lambda db: db.owner.update_many(data={"token": None}),
    "upsert": lambda db: db.owner.upsert(where={"name": "a"}, create={"name": "a"}, update={"token": None}),
    "delete": lambda db: db.thing.delete(where={"left_right": {"left": 1, "right": 2}}),
    "delete many": lambda db: db.thing.delete_many(),
}
"""each kind of writing call"""


@pytest.fixture(scope="session")
def owners_template(server: EmbeddedServer) -> str:
    with connect(server.create_database("owners")) as connection:
        connection.execute(ddl(parse_schema(SCHEMA)).script().encode())
    return "owners"


@pytest.fixture(scope="module")
def owners() -> Vocabulary:
    return Vocabulary(parse_schema(SCHEMA))


@pytest.fixture
def url(new_database: Callable[..., str], owners_template: str) -> str:
    return new_database(owners_template)


@pytest.fixture
def backend(url: str, owners: Vocabulary) -> Iterator[PrismaBackend]:
    with prisma_backend(owners, url) as opened:
        yield opened


@pytest.fixture
def db(backend: PrismaBackend, owners: Vocabulary) -> Client:
    return Client(backend, owners)


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def owner(db: Client) -> Any:
    return db.owner.create(data={"name": "a", "token": SECRET, "things": {"create": {"left": 1, "right": 2}}})


@pytest.mark.parametrize("kind", ["prisma", "dual"])
def test_a_database_that_is_read_only_by_default_takes_no_write(
    url: str, owners: Vocabulary, owner: Any, tmp_path: Path, kind: str
) -> None:
    execute(url, f"ALTER DATABASE {DatabaseUrl.parse(url).database} SET default_transaction_read_only = on")

    def tried(db: Any, write: Callable[[Any], Any], *, together: bool) -> None:
        with pytest.raises(DatabaseError, match="takes no writes: it is read-only") as refused:
            if together:
                with db.tx() as tx:
                    write(tx)
            else:
                write(db)
        assert refused.value.sqlstate == "25006"

    with ExitStack() as stack:
        if kind == "dual":
            files = on_files(owners, tmp_path / "data")
            files.owner.create(data={"id": owner.id, "name": "a", "token": SECRET})
            files.thing.create(data={"left": 1, "right": 2, "ownerId": owner.id})
            files.close()
            opened: Any = stack.enter_context(dual_backend(owners, url, tmp_path / "data"))
        else:
            opened = stack.enter_context(prisma_backend(owners, url))
        db = Client(opened, owners)
        before = [db.owner.find_many(include={"things": True}), db.thing.find_many()]
        for write in WRITES.values():
            tried(db, write, together=False)
            tried(db, write, together=True)
        with db.tx() as tx:
            assert [tx.owner.find_many(include={"things": True}), tx.thing.find_many()] == before


@pytest.mark.parametrize(
    ("work", "kind", "model", "fields"),
    [
        (
            lambda t: t.insert(Insert("Owner", [{"name": "a", "token": SECRET}])),
            UniqueViolation,
            "Owner",
            ("name",),
        ),
        (
            lambda t: t.insert(Insert("Thing", [{"left": 1, "right": 2, "ownerId": 1}])),
            UniqueViolation,
            "Thing",
            ("left", "right"),
        ),
        (
            lambda t: t.insert(Insert("Thing", [{"left": 1, "right": 3, "ownerId": 9}])),
            ForeignKeyViolation,
            "Thing",
            ("ownerId",),
        ),
        (lambda t: t.delete("Owner", TRUE), ForeignKeyViolation, "Thing", ("ownerId",)),
        (
            lambda t: t.insert(Insert("Owner", [{"name": None, "token": SECRET}])),
            NullViolation,
            "Owner",
            ("name",),
        ),
    ],
)
def test_violations_name_model_and_fields_and_no_value(
    backend: PrismaBackend,
    owner: Any,
    work: Callable[[PrismaTransaction], Any],
    kind: type[OctavoError],
    model: str,
    fields: tuple[str, ...],
) -> None:
    with pytest.raises(kind) as raised, backend.transaction() as transaction:
        work(transaction)
    error: Any = raised.value
    assert (error.model, error.fields) == (model, fields)
    assert SECRET not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_names_that_the_schema_does_not_know_are_still_the_same_error(
    url: str, backend: PrismaBackend, owner: Any
) -> None:
    execute(url, 'ALTER INDEX "only one" RENAME TO "another"')
    with pytest.raises(UniqueViolation) as raised, backend.transaction() as transaction:
        transaction.insert(Insert("Owner", [{"name": "a"}]))
    assert (raised.value.model, raised.value.fields) == ("Owner", ())


def test_one_write_of_rows_with_different_fields_is_whole(backend: PrismaBackend, db: Client) -> None:
    with pytest.raises(UniqueViolation):
        db.owner.create_many(data=[{"name": "x"}, {"name": "y", "id": 7}, {"name": "x"}])
    assert db.owner.count() == 0
    made: Any = db.owner.create_many_and_return(data=[{"name": "x"}, {"name": "y", "id": 70}, {"name": "z"}])
    assert [m.name for m in made] == ["x", "y", "z"]
    assert made[1].id == 70
    with backend.transaction() as transaction:
        assert (
            len(transaction.insert(Insert("Owner", [{"name": n} for n in "abab"], skip_duplicates=True))) == 2
        )


@pytest.mark.parametrize("busy", [True, False])
def test_a_transaction_that_is_too_late_keeps_nothing(db: Client, busy: bool) -> None:
    with pytest.raises(TransactionFailed) as raised, db.tx(timeout=0.1) as tx:
        tx.owner.create(data={"name": "x"})
        time.sleep(0.15)
        if busy:
            tx.owner.create(data={"name": "y"})
    assert raised.value.code == "P2028"
    assert db.owner.count() == 0
    assert db.owner.create(data={"name": "x"}).name == "x"


def test_a_statement_that_waits_beyond_the_limit_is_ended(
    backend: PrismaBackend, db: Client, owner: Any
) -> None:
    with backend.transaction() as holder:
        holder.update("Owner", TRUE, [Change("token", ChangeKind.SET, "first")])
        with pytest.raises(TransactionFailed), db.tx(timeout=0.2) as tx:
            tx.owner.update_many(data={"token": "second"})
    assert [o.token for o in db.owner.find_many()] == ["first"]


def test_nothing_comes_behind_the_end_of_a_transaction(backend: PrismaBackend, db: Client) -> None:
    with backend.transaction() as transaction:
        transaction.insert(Insert("Owner", [{"name": "x"}]))
    with pytest.raises(TransactionFailed, match="has ended"):
        transaction.insert(Insert("Owner", [{"name": "straggler"}]))
    assert db.owner.count() == 1


def test_whoever_finds_no_connection_in_time_hears_of_it(url: str, owners: Vocabulary) -> None:
    with prisma_backend(owners, f"{url}&connection_limit=1") as backend:
        db, another = Client(backend, owners), Client(backend, owners)
        with db.tx(), pytest.raises(TransactionFailed, match="1 connections"), another.tx(max_wait=0.05):
            pass
        assert db.owner.count() == 0


def test_an_insensitive_search_needs_no_second_connection(url: str, owners: Vocabulary) -> None:
    with prisma_backend(owners, f"{url}&connection_limit=1") as backend, Client(backend, owners).tx() as tx:
        tx.owner.create(data={"name": "É"})
        assert tx.owner.count(where={"name": {"equals": "é", "mode": "insensitive"}}) == 1


def test_reads_of_one_state_see_no_other(backend: PrismaBackend, db: Client) -> None:
    query = Query(model="Owner")

    def work(reader: PrismaReader) -> tuple[int, int]:
        before = reader.count(query)
        db.owner.create(data={"name": "meanwhile"})
        return before, len(reader.select(query))

    assert backend.read(work) == (0, 0)
    assert db.owner.count() == 1


def test_a_deadlock_is_a_conflict_for_one_of_two(backend: PrismaBackend, db: Client) -> None:
    db.owner.create_many(data=[{"name": "a"}, {"name": "b"}])
    meeting = threading.Barrier(2, timeout=60)
    found: list[OctavoError | None] = []

    def run(first: str, second: str) -> None:
        try:
            with db.tx() as tx:
                tx.owner.update(where={"name": first}, data={"token": first})
                meeting.wait()
                tx.owner.update(where={"name": second}, data={"token": first})
            found.append(None)
        except OctavoError as error:
            found.append(error)

    threads = [threading.Thread(target=run, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [error] = [e for e in found if e is not None]
    assert isinstance(error, ConflictError)
    assert error.code == "P2034"
    assert len({o.token for o in db.owner.find_many()}) == 1


def test_threads_share_a_client(db: Client) -> None:
    def run(name: str) -> None:
        for number in range(20):
            db.owner.create(data={"name": f"{name}{number}"})

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.owner.count() == 160


def test_json_that_is_nested_too_deep_for_a_decoder_comes_whole(url: str, db: Client, owner: Any) -> None:
    deep = "[" * 3000 + "]" * 3000
    execute(url, f"""UPDATE "the owners" SET data = '{deep}'""")
    found: Any = db.owner.find_unique(where={"id": owner.id})
    assert bytes(found._data).decode() == deep
    assert (found.name, found.mood) == ("a", "SAD")


def test_a_value_that_the_schema_does_not_know_is_drift(url: str, db: Client, owner: Any) -> None:
    execute(url, """ALTER TYPE "the mood" ADD VALUE 'ODD'""")
    execute(url, """UPDATE "the owners" SET mood = 'ODD'""")
    with pytest.raises(DriftError, match="Owner"):
        db.owner.find_many()


@pytest.mark.parametrize("pooled", ["", "&pgbouncer=true"])
def test_settings_of_the_database_change_no_answer(url: str, owners: Vocabulary, pooled: str) -> None:
    name = execute(url, "SELECT current_database()")[0][0]
    for setting in (
        "TimeZone = 'Asia/Tokyo'",
        "DateStyle = 'SQL, DMY'",
        "bytea_output = 'escape'",
        "search_path = 'nowhere'",
        "standard_conforming_strings = off",
        "statement_timeout = '77s'",
    ):
        execute(url, f'ALTER DATABASE "{name}" SET {setting}')
    with prisma_backend(owners, url + pooled) as backend:
        db = Client(backend, owners)
        data: Any = {"name": "\\", "at": "2025-03-04T05:06:07.890Z", "bytes": b"\0\xff", "mood": "GLAD"}
        for number in range(4):
            made: Any = db.owner.create(data=data | {"name": f"\\{number}"})
            assert made == db.owner.find_first(where=data | {"name": made.name})
            assert (made._at, made.bytes, made.mood) == (data["at"], data["bytes"], "GLAD")
        found: Any = db.owner.find_many(include={"things": True})
        assert len(found) == 4
        with backend.transaction() as transaction:
            session = transaction.session
            assert session.execute("SHOW statement_timeout").get_value(0, 0) == b"77s"
            prepared = session.execute("SELECT count(*) FROM pg_prepared_statements")
            assert (prepared.get_value(0, 0) == b"0") is bool(pooled)


OTHERS_ENDED = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def test_connections_that_the_server_ended_are_replaced(url: str, db: Client) -> None:
    assert db.owner.count() == 0
    assert execute(url, OTHERS_ENDED) == [(True,)]
    assert db.owner.count() == 0


def test_a_connection_that_breaks_within_a_transaction_keeps_nothing(url: str, db: Client) -> None:
    with pytest.raises(DatabaseError), db.tx() as tx:
        tx.owner.create(data={"name": "x"})
        assert execute(url, OTHERS_ENDED) == [(True,)]
        tx.owner.create(data={"name": "y"})
    assert db.owner.count() == 0


FORKING = """
import os, sys, octavo
db = octavo.connect("prisma", database_url=sys.argv[1], schema=sys.argv[2])
db.owner.create(data={"name": "parent"})
child = os.fork()
db.owner.create(data={"name": "child" if not child else "parent again"})
if not child:
    db.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert db.owner.count() == 3
db.close()
"""


def test_a_forked_process_opens_its_own_connections(url: str, tmp_path: Path) -> None:
    schema = tmp_path / "schema.prisma"
    schema.write_text(SCHEMA)
    subprocess.run([sys.executable, "-W", "error", "-c", FORKING, url, str(schema)], check=True, timeout=120)


def test_a_client_that_cannot_be(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(UsageError, match="DATABASE_URL"):
        octavo.connect("prisma")
    with (
        octavo.connect("prisma", database_url=f"postgresql://localhost:1/x?host={tmp_path}") as nobody,
        pytest.raises(DatabaseError, match="cannot be reached"),
    ):
        nobody.user.count()
    client = octavo.connect("prisma", database_url=url)
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.user.count()


def test_tables_are_found_in_their_schemas(database: str) -> None:
    several = parse_schema(
        SCHEMA.replace('url = ""', 'url = ""\n schemas = ["a", "b"]')
        .replace('@@map("the owners")', '@@map("the owners")\n @@schema("a")')
        .replace('@@map("the mood")', '@@map("the mood")\n @@schema("b")')
        .replace('map: "both")', 'map: "both")\n @@schema("b")')
    )
    one = parse_schema(SCHEMA)
    execute(database, ddl(several).script())
    execute(database, 'CREATE SCHEMA "c d"; SET search_path TO "c d"; ' + ddl(one).script())
    for datamodel, schema in ((several, "public"), (one, "c d")):
        vocabulary = Vocabulary(datamodel)
        with prisma_backend(vocabulary, database.replace("schema=public", f"schema={schema}")) as backend:
            db = Client(backend, vocabulary)
            db.owner.create(
                data={"name": schema, "mood": "GLAD", "things": {"create": {"left": 1, "right": 2}}}
            )
            found: Any = db.owner.find_many(where={"mood": "GLAD"}, include={"things": True})
            assert [(o.name, len(o.things)) for o in found] == [(schema, 1)]
            with pytest.raises(ForeignKeyViolation) as raised:
                db.owner.delete_many()
            assert (raised.value.model, raised.value.fields) == ("Thing", ("ownerId",))


NAMES = ["a", "B", "b", "Z", "é", "É", "ß", "i", "İ", "Σ", "ΑΣ", "ας", "_", "-", "😀"]


def _names_behave(db: Client) -> None:
    """Order by bytes, and lower case character by character, whatever the server's own way."""
    db.owner.create_many(data=[{"name": name} for name in NAMES])

    def names(**where: Any) -> list[str]:
        return [o.name for o in db.owner.find_many(where={"name": where}, order_by={"name": "asc"})]

    ordered = sorted(NAMES, key=str.encode)
    assert names(not_in=[]) == ordered
    assert names(gt="Z") == [n for n in ordered if n.encode() > b"Z"]
    assert names(equals="é", mode="insensitive") == ["É", "é"]
    assert names(starts_with="I", mode="insensitive") == ["i", "İ"]
    assert (
        names(ends_with="σ", mode="insensitive")
        == ["ΑΣ", "Σ"]
        == names(ends_with="Σ", mode="insensitive")[:2]
    )
    assert names(**{"in": ["ΑΣ", "SS"], "mode": "insensitive"}) == ["ΑΣ"]


def test_text_compares_alike_under_a_collation_that_lowers_otherwise(
    server: EmbeddedServer, owners: Vocabulary
) -> None:
    server.execute(
        "CREATE DATABASE unicode TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"
    )
    execute(server.url("unicode"), ddl(owners.datamodel).script())
    with prisma_backend(owners, server.url("unicode", schema="public")) as backend:
        _names_behave(Client(backend, owners))
    server.drop_database("unicode")


def test_an_older_server_answers_alike(owners: Vocabulary) -> None:
    with embedded_server(throwaway=True, version=16) as old:
        execute(old.create_database("old"), ddl(owners.datamodel).script())
        with prisma_backend(owners, old.url("old", schema="public")) as backend:
            db = Client(backend, owners)
            _names_behave(db)
            before = db.owner.count()
            with pytest.raises(TransactionFailed), db.tx(timeout=0.1) as tx:
                tx.owner.create(data={"name": "late"})
                time.sleep(0.15)
            assert db.owner.count() == before
