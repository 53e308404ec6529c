"""What PostgreSQL's logical replication does not send, or sends otherwise, is carried over, or refused by
name before a position passes it.

``test_kinds`` has what is sent as it is; ``test_refusals`` what the schema does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import psycopg
import pytest

from following import Followed
from octavo.errors import DatabaseError, DriftError, UsageError
from octavo.follow.apply import Net
from octavo.follow.protocol import UNCHANGED
from octavo.follow.state import read_plan, write_plan
from octavo.follow.tables import Table
from octavo.layout.layout import Layout
from octavo.layout.load import layout_for
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.parser import parse_schema
from octavo.store import position

Follow = Callable[..., Followed]
SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

enum Mood {
  GLAD
  SAD
}

model Log {
  part Int
  seq  Int
  text String?

  @@id([part, seq])
}

model Page {
  address String
  visit   Int
  number  Int     @unique
  title   String?
  note    String?
  mood    Mood?

  @@id([address, visit])
  @@unique([visit, address])
}
"""
TABLES = (
    "CREATE TYPE \"Mood\" AS ENUM ('GLAD', 'SAD')",
    'CREATE TABLE "Log" (part int, seq int, text text, CONSTRAINT "Log_pkey" PRIMARY KEY (part, seq))'
    " PARTITION BY RANGE (part)",
    'CREATE TABLE log_a PARTITION OF "Log" FOR VALUES FROM (0) TO (100)',
    # Partitions may have their columns in another order, and partitions of their own, in other schemas too.
    "CREATE TABLE log_b (text text, seq int NOT NULL, gone int, part int NOT NULL)",
    "ALTER TABLE log_b DROP gone",
    'ALTER TABLE "Log" ATTACH PARTITION log_b FOR VALUES FROM (100) TO (200)',
    'CREATE TABLE log_c PARTITION OF "Log" FOR VALUES FROM (200) TO (400) PARTITION BY RANGE (seq)',
    "CREATE SCHEMA elsewhere",
    "CREATE TABLE elsewhere.log_d PARTITION OF log_c FOR VALUES FROM (0) TO (1000)",
    'CREATE TABLE "Page" (address text, visit int, number int NOT NULL, title text, note text, mood "Mood",'
    ' CONSTRAINT "Page_pkey" PRIMARY KEY (address, visit))',
    'CREATE UNIQUE INDEX "Page_visit_address_key" ON "Page" (visit, address)',
    'CREATE UNIQUE INDEX "Page_number_key" ON "Page" (number)',
)
LONG = "(SELECT left(string_agg(md5(g::text), ''), 2600) FROM generate_series(1, 90) AS g)"
ROWS = (
    'INSERT INTO "Log" SELECT part, seq, seq FROM unnest(ARRAY[1, 101, 201]) part, generate_series(1, 3) seq',
    f"INSERT INTO \"Page\" VALUES ({LONG}, 1, 1, {LONG}, 'a', 'SAD'), ('short', 2, 2, NULL, 'b', 'GLAD')",
)


def layout(schema: str = SCHEMA) -> Layout:
    return layout_for(parse_schema(schema), None)


@pytest.fixture(scope="session")
def template(logical_server: EmbeddedServer) -> str:
    """The name of a database with both tables and a few rows."""
    logical_server.create_database("unsent")
    made = Followed(logical_server.url("unsent", schema="public"), logical_server.data, layout())
    made.sql(*TABLES, *ROWS)
    return "unsent"


@pytest.fixture
def pages(new_followed: Follow, template: str) -> Followed:
    """A database with a partitioned table and one with a long key, whose rows are told by its primary key."""
    return new_followed(template, layout())


def publication(followed: Followed) -> str:
    """The name of what following has made to publish the tables."""
    [[name]] = followed.sql("SELECT pubname FROM pg_publication")
    return str(name)


def refuses(followed: Followed, *named: str) -> None:
    """Catching up is refused, names this, and leaves the files where they were."""
    before = position.read(followed.data_dir)
    with pytest.raises(DriftError) as raised:
        followed.catch_up()
    for name in named:
        assert name in str(raised.value)
    assert position.read(followed.data_dir) == before


# Partitioned tables

CARRIED = {
    "rows of every partition": (
        "INSERT INTO \"Log\" VALUES (2, 1, 'new'), (102, 1, 'new'), (202, 1, 'new')",
        "UPDATE \"Log\" SET text = 'y' WHERE seq = 1",
        'DELETE FROM "Log" WHERE seq = 2 AND part < 200',
    ),
    "rows that are written to a partition by its name": (
        "INSERT INTO log_b (part, seq, text) VALUES (103, 1, 'b')",
        "UPDATE elsewhere.log_d SET seq = seq + 10",
        "DELETE FROM log_a WHERE seq = 3",
    ),
    "rows that go from one partition to another": (
        f'UPDATE "Log" SET text = {LONG} || part',
        'UPDATE "Log" SET part = part + 101 WHERE part = 101',
        'UPDATE "Log" SET part = 150 WHERE part = 2',
        'UPDATE "Log" SET seq = seq + 20, part = 5 WHERE part = 150',
    ),
    "a partition that is rewritten": ("CREATE INDEX ON log_a (text)", "UPDATE \"Log\" SET text = 'z'"),
    "partitions that are truncated together": (
        "TRUNCATE log_a, log_b, log_c",
        "INSERT INTO \"Log\" VALUES (103, 1, 'again')",
    ),
    "a table that is truncated and filled again": (
        'TRUNCATE "Log", "Page"',
        "INSERT INTO \"Log\" VALUES (3, 1, 'again')",
    ),
}


def test_a_partitioned_table_is_carried_over_as_one(pages: Followed) -> None:
    pages.seed()
    for kind, changes in CARRIED.items():
        pages.sql(*changes)
        pages.catch_up()
        assert pages.differences() == [], kind


PARTITION = {
    "truncated": (("TRUNCATE log_a",), "public.log_a: a partition of Log that was truncated"),
    "truncated below": (("TRUNCATE log_c, log_b",), "elsewhere.log_d: a partition of Log that was truncated"),
    "dropped": (("DROP TABLE log_a",), "partition public.log_a of public.Log is gone"),
    "detached": (('ALTER TABLE "Log" DETACH PARTITION log_a',), "log_a"),
    "detached and attached": (
        (
            'ALTER TABLE "Log" DETACH PARTITION log_a',
            'ALTER TABLE "Log" ATTACH PARTITION log_a FOR VALUES FROM (0) TO (100)',
        ),
        "partition public.log_a of public.Log was altered",
    ),
    "attached": (
        (
            "CREATE TABLE log_e (LIKE log_a INCLUDING INDEXES)",
            "INSERT INTO log_e VALUES (401, 1, 'unsent')",
            'ALTER TABLE "Log" ATTACH PARTITION log_e FOR VALUES FROM (400) TO (500)',
        ),
        "public.log_e",
    ),
    "without identity": (
        ("ALTER TABLE log_a REPLICA IDENTITY NOTHING", "INSERT INTO log_a VALUES (9, 9, 'x')"),
        "public.log_a: its replica identity",
    ),
}
LATER = "INSERT INTO \"Log\" VALUES (191, 1, 'later')"


@pytest.mark.parametrize(("changes", "named"), PARTITION.values(), ids=PARTITION)
def test_what_happens_to_a_partition_is_refused(
    pages: Followed, changes: tuple[str, ...], named: str
) -> None:
    pages.seed()
    pages.sql(*changes, LATER)
    refuses(pages, named)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param(*case, id=name, marks=[] if name == "dropped" else pytest.mark.slow)
        for name, case in PARTITION.items()
    ],
)
def test_it_is_refused_while_it_is_followed(pages: Followed, changes: tuple[str, ...], named: str) -> None:
    pages.seed()
    stops(pages, (*changes, LATER), named)


def stops(followed: Followed, changes: tuple[str, ...], named: str) -> None:
    """A follower that runs is stopped by this, names it, and leaves the files where they were."""
    before = position.read(followed.data_dir)
    with followed.running() as running:
        followed.sql(*changes)
        with pytest.raises((DriftError, DatabaseError), match=re.escape(named)):
            running.wait(lambda r: False)
    assert position.read(followed.data_dir) == before


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a follower look at the catalog at once."""
    from octavo.follow import follower

    monkeypatch.setattr(follower, "_LOOK", 0.0)


@pytest.mark.usefixtures("prompt")
def test_a_follower_stops_though_nothing_is_sent(pages: Followed) -> None:
    pages.seed()
    stops(pages, ("DROP TABLE log_a",), "partition public.log_a of public.Log is gone")


def test_each_partition_gets_an_identity_and_gives_it_back(pages: Followed) -> None:
    identity = "SELECT relname, relreplident FROM pg_class WHERE relname LIKE 'log__' ORDER BY 1"
    pages.sql("ALTER TABLE log_a REPLICA IDENTITY NOTHING")
    before = pages.sql(identity)
    pages.seed()
    pages.sql("UPDATE \"Log\" SET text = 'y'", 'DELETE FROM "Log" WHERE seq = 1')
    pages.catch_up()
    assert pages.differences() == []
    pages.stop()
    assert pages.sql(identity) == before


# The publication

LEAVES = "log_a, log_b, elsewhere.log_d"
ALTERED = {
    "a row filter": ('SET TABLE "Page" WHERE (note <> \'b\'), "Log"', "filters the rows of public.Page"),
    "a column list": ('SET TABLE {0}, "Page" (address, visit)', "lists columns of public.Page"),
    "no updates": ("SET (publish = 'insert, delete')", "leaves out UPDATE"),
    "no truncation": ("SET (publish = 'insert, update, delete')", "leaves out TRUNCATE"),
    "partitions as one": ("SET (publish_via_partition_root = true)", "was altered"),
    "a table less": ('DROP TABLE "Page"', "lacks public.Page"),
    "another name": ("RENAME TO renamed", "is gone"),
    "another owner": ("OWNER TO pg_monitor", "was altered"),
}
TAKEN_BACK = {
    "a row filter": ('SET TABLE "Page" WHERE (note <> \'b\'), "Log"', 'SET TABLE {0}, "Page"'),
    "a column list": ('SET TABLE {0}, "Page" (address, visit)', 'SET TABLE {0}, "Page"'),
    "options": ("SET (publish = 'insert')", "SET (publish = 'insert, update, delete, truncate')"),
    "a table": ('DROP TABLE "Page"', 'ADD TABLE "Page"'),
}


def test_a_publication_that_was_altered_is_refused(pages: Followed) -> None:
    for change, named in ALTERED.values():
        pages.seed(replace=True)
        name = publication(pages)
        pages.sql(f"ALTER PUBLICATION {name} {change.format(LEAVES)}", 'UPDATE "Log" SET text = NULL')
        refuses(pages, name, named)
        pages.sql("DROP PUBLICATION IF EXISTS renamed")


def test_it_is_refused_after_it_was_altered_back(pages: Followed) -> None:
    """What was written in between was not sent."""
    for number, (change, back) in enumerate(TAKEN_BACK.values(), 3):
        pages.seed(replace=True)
        name = publication(pages)
        pages.sql(f"ALTER PUBLICATION {name} {change.format(LEAVES)}")
        pages.sql(f"INSERT INTO \"Page\" VALUES ('new', {number}, {number}, 'unsent', 'b')")
        pages.sql(f"ALTER PUBLICATION {name} {back.format(LEAVES)}", 'UPDATE "Log" SET text = NULL')
        refuses(pages, f"publication {name} was altered")


@pytest.mark.usefixtures("prompt")
@pytest.mark.parametrize("again", [False, True], ids=["dropped", "made again"])
def test_a_publication_that_was_dropped_while_it_is_followed(pages: Followed, again: bool) -> None:
    """PostgreSQL 18 goes on without it, and older ones fail when a row comes."""
    pages.seed()
    name = publication(pages)
    tables = f'FOR TABLE {LEAVES}, "Page"'
    make = [f"CREATE PUBLICATION {name} {tables}"] if again else []
    stops(pages, (f"DROP PUBLICATION {name}", "UPDATE \"Log\" SET text = 'unsent'", *make), name)
    refuses(pages, name)


# Tables and types

EXCHANGED = {
    "the labels of an enum": (
        "ALTER TYPE \"Mood\" RENAME VALUE 'GLAD' TO 'between'",
        "ALTER TYPE \"Mood\" RENAME VALUE 'SAD' TO 'GLAD'",
        "ALTER TYPE \"Mood\" RENAME VALUE 'between' TO 'SAD'",
    ),
    "the names of two columns": (
        'ALTER TABLE "Page" RENAME title TO between',
        'ALTER TABLE "Page" RENAME note TO title',
        'ALTER TABLE "Page" RENAME between TO note',
    ),
    "the table": (
        'CREATE TABLE other (LIKE "Page" INCLUDING ALL)',
        "ALTER PUBLICATION {0} ADD TABLE other",
        'DROP TABLE "Page"',
        'ALTER TABLE other RENAME TO "Page"',
        'ALTER INDEX other_pkey RENAME TO "Page_pkey"',
    ),
}
PUT = "INSERT INTO \"Page\" VALUES ('new', 3, 3, 'title', 'note', 'SAD')"


@pytest.mark.parametrize("exchanged", EXCHANGED)
def test_what_was_exchanged_for_its_like_is_refused(pages: Followed, exchanged: str) -> None:
    pages.seed()
    changes = (*(change.format(publication(pages)) for change in EXCHANGED[exchanged]), PUT)
    stops(pages, changes, "public.Mood" if "enum" in exchanged else "public.Page")
    refuses(pages, "Mood" if "enum" in exchanged else "public.Page")


def test_postgresql_keeps_a_published_table_logged(pages: Followed) -> None:
    pages.seed()
    for table in ('"Page"', "log_a"):
        with pytest.raises(psycopg.Error, match="publication"):
            pages.sql(f"ALTER TABLE {table} SET UNLOGGED")


@pytest.mark.parametrize("identity", ["NOTHING", 'USING INDEX "Page_number_key"'])
def test_an_identity_that_was_taken_and_given_back(pages: Followed, identity: str) -> None:
    """The log tells what was written in between by another key, or by none."""
    pages.seed()
    pages.sql(f'ALTER TABLE "Page" REPLICA IDENTITY {identity}')
    pages.sql(PUT)
    pages.sql('ALTER TABLE "Page" REPLICA IDENTITY DEFAULT')
    refuses(pages, "public.Page: its replica identity")


def test_a_plan_that_an_older_octavo_has_made(pages: Followed) -> None:
    pages.seed()
    plan = read_plan(pages.data_dir)
    assert plan is not None
    write_plan(pages.data_dir, msgspec.structs.replace(plan, marks={}))
    refuses(pages, "older Octavo")


# Values that are stored apart and not sent again

LONG_KEY = (
    "UPDATE \"Page\" SET note = 'y'",
    'UPDATE "Page" SET visit = visit + 10',
    "UPDATE \"Page\" SET title = 'z' WHERE visit = 12",
    'UPDATE "Page" SET number = -number, visit = -visit',
    "UPDATE \"Page\" SET address = 'short, too' WHERE visit = -11",
    f'UPDATE "Page" SET address = {LONG} WHERE visit = -12',
    'DELETE FROM "Page" WHERE visit = -12',
)


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", 'USING INDEX "Page_visit_address_key"'])
def test_a_long_key(pages: Followed, identity: str) -> None:
    pages.sql(f'ALTER TABLE "Page" REPLICA IDENTITY {identity}')
    pages.seed()
    for changes in (*zip(LONG_KEY, strict=True), (*ROWS[1:], *LONG_KEY[:3])):
        pages.sql(*(() if changes[1:] == () else ('TRUNCATE "Page"',)), *changes)
        pages.catch_up()
        assert pages.differences() == []


def test_a_change_without_its_key_is_refused() -> None:
    """As PostgreSQL sent that of a long key before its fix of February 2022."""
    model = layout().datamodel.model("Page")
    table = Table(model, 0, tuple, tuple, lambda row: row[:2])
    with pytest.raises(DriftError, match="Page without the row's key"):
        Net().update(table, None, (UNCHANGED, b"1", b"2", None, b"y", None))


# Before following begins

REFUSED = {
    "a partition that is not logged": ("ALTER TABLE log_a SET UNLOGGED", "log_a is not logged"),
    "a table that another inherits": ('CREATE TABLE "Heir" () INHERITS ("Page")', "Heir"),
}


@pytest.mark.parametrize(("change", "named"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_is_not_sent_whole(pages: Followed, change: str, named: str) -> None:
    pages.sql(change)
    with pytest.raises((UsageError, DriftError), match=named):
        pages.seed()
    assert pages.sql("SELECT pubname FROM pg_publication") == []


HEIR = (
    SCHEMA
    + """
model Heir {
  address String
  visit   Int
  number  Int
  title   String?
  note    String?
  mood    Mood?

  @@id([address, visit])
}
"""
)


def test_a_model_that_inherits_another(new_followed: Follow, template: str) -> None:
    followed = new_followed(template, layout(HEIR))
    key = 'CONSTRAINT "Heir_pkey" PRIMARY KEY (address, visit)'
    followed.sql(f'CREATE TABLE "Heir" ({key}) INHERITS ("Page")')
    with pytest.raises(UsageError, match="Heir inherits Page"):
        followed.seed()


GENERATED = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Word {
  id    Int     @id
  text  String
  lower String? @default(dbgenerated("lower(text)"))
}
"""


@pytest.mark.parametrize("kind", ["STORED", "VIRTUAL"])
def test_a_generated_column(new_followed: Follow, kind: str) -> None:
    """No PostgreSQL sends a virtual one, and only those since 18 send a stored one."""
    followed = new_followed(None, layout(GENERATED))
    followed.sql(
        'CREATE TABLE "Word" (id int CONSTRAINT "Word_pkey" PRIMARY KEY, text text NOT NULL,'
        f" lower text GENERATED ALWAYS AS (lower(text)) {kind})"
    )
    with pytest.raises(DriftError, match=r"Word\.lower"):
        followed.seed()
