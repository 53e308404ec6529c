"""The catalog is read whole: a Datamodel of the tables, and by name what a Datamodel cannot say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import DatabaseError
from octavo.postgres import catalog_queries
from octavo.postgres.catalog import OLDEST_SERVER, Catalog, ObjectKind, introspect
from octavo.postgres.connection import connect, transaction
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.datamodel import Action, Arity, Function, IndexKind, NativeType, RelationKind, ScalarKind
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema

EVERY = Path(__file__).parents[1] / "schema" / "schemas" / "every.prisma"


def read(url: str, *statements: str, schema: str | tuple[str, ...] = "public") -> Catalog:
    """What the catalog says after these statements."""
    with connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        with transaction(connection, isolation="REPEATABLE READ", read_only=True):
            return introspect(connection, schema)


def named(catalog: Catalog) -> set[tuple[str, str]]:
    return {(object_.kind.value, object_.name) for object_ in catalog.objects}


def test_the_frozen_schema_comes_back_as_it_was_written(schema_database: str) -> None:
    expected, catalog = frozen_schema(), read(schema_database)
    assert catalog.objects == ()
    live = catalog.datamodel
    assert {m.table for m in expected.tables} == {m.table for m in live.models}
    assert {e.type: e.labels for e in expected.enums} == {e.type: e.labels for e in live.enums}
    for model in expected.tables:
        found = live.model(model.table)
        assert [s.column for s in found.scalars] == [s.column for s in model.scalars]
        assert [s.nullable for s in found.scalars] == [s.nullable for s in model.scalars]
        assert [s.type for s in found.scalars] == [s.type for s in model.scalars]
        assert {i.constraint for i in found.all_indexes} == {i.constraint for i in model.all_indexes}
    keys = {k.constraint: (k.kind, k.on_delete, k.on_update, k.required) for k in expected.foreign_keys}
    assert keys == {k.constraint: (k.kind, k.on_delete, k.on_update, k.required) for k in live.relations}


def test_every_type_with_its_precision(database: str) -> None:
    schema = parse_schema(EVERY.read_text("utf-8"))
    catalog = read(database, ddl(schema).script())
    model = catalog.datamodel.model("every thing")
    types = {s.column: (s.type, s.native) for s in model.scalars if s.kind is ScalarKind.SCALAR}
    assert types["varying"] == ("String", NativeType("VarChar", (20,)))
    assert types["varyingFree"] == ("String", NativeType("VarChar"))
    assert types["char1"] == ("String", NativeType("Char", (1,)))
    assert types["decimal2"] == ("Decimal", NativeType("Decimal", (10, 4)))
    assert types["decimalFree"] == ("Decimal", NativeType("Decimal"))
    assert types["time"] == ("DateTime", NativeType("Timestamp", (3,)))
    assert types["time0"] == ("DateTime", NativeType("Timestamp", (0,)))
    assert types["timeFree"] == ("DateTime", NativeType("Timestamp"))
    assert types["bit"] == ("String", NativeType("Bit", (3,)))
    assert types["times"] == ("DateTime", NativeType("Timestamp", (3,)))
    assert model.scalar("times").arity is Arity.LIST
    unknown = {s.column: s.type for s in model.scalars if s.kind is ScalarKind.UNSUPPORTED}
    assert unknown == {"circle": "circle", "vector": "tsvector", "span": "interval(3)"}
    assert model.scalar("id").default == Function("autoincrement")
    assert model.scalar("sum").default == Function("dbgenerated", ("concat('a', (1 + 2))",))


def test_keys_indexes_and_actions(database: str) -> None:
    catalog = read(
        database,
        "CREATE TABLE p (a int, b text, PRIMARY KEY (b, a))",
        'CREATE TABLE c (a int UNIQUE, b text COLLATE "C", FOREIGN KEY (b, a) REFERENCES p (b, a) '
        "ON DELETE SET NULL ON UPDATE RESTRICT)",
        "CREATE INDEX i ON c USING hash (b)",
        "CREATE INDEX d ON c (a DESC, b text_pattern_ops)",
    )
    child = catalog.datamodel.model("c")
    assert catalog.datamodel.model("p").key.field_names == ("b", "a")
    indexes = {i.constraint: i for i in child.all_indexes}
    assert indexes["c_a_key"].kind is IndexKind.UNIQUE
    assert indexes["i"].algorithm == "Hash"
    assert [(f.name, f.sort, f.ops) for f in indexes["d"].fields] == [
        ("a", "desc", None),
        ("b", None, "text_pattern_ops"),
    ]
    (key,) = catalog.datamodel.relations
    assert (key.child, key.fields, key.parent, key.references) == ("c", ("b", "a"), "p", ("b", "a"))
    assert (key.on_delete, key.on_update, key.required) == (Action.SET_NULL, Action.RESTRICT, False)
    assert key.kind is RelationKind.ONE_TO_MANY


def test_nothing_is_passed_over(server: EmbeddedServer, database: str) -> None:
    catalog = read(
        database,
        "CREATE TABLE t (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, n int CHECK (n > 0), "
        'twice int GENERATED ALWAYS AS (n * 2) STORED, l int[] NOT NULL, c text COLLATE "POSIX", '
        "u int, CONSTRAINT t_u UNIQUE (u) DEFERRABLE, EXCLUDE USING hash (c WITH =))",
        "CREATE VIEW v AS SELECT 1 AS a",
        "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a",
        "CREATE TABLE parted (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (2)",
        "CREATE TABLE heir () INHERITS (t)",
        "CREATE UNLOGGED TABLE hasty (n int)",
        "CREATE INDEX partial ON t (n) WHERE n > 1",
        "CREATE INDEX expr ON t ((n + 1))",
        "CREATE INDEX more ON t (n) INCLUDE (u)",
        "CREATE UNIQUE INDEX nulls ON t (n) NULLS NOT DISTINCT",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'more'::regclass",
        "ALTER TABLE hasty ADD CONSTRAINT later CHECK (n > 5) NOT VALID",
        "CREATE TABLE ref (n int)",
        "ALTER TABLE ref ADD CONSTRAINT unproven FOREIGN KEY (n) REFERENCES t (id) MATCH FULL NOT VALID",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER tr BEFORE INSERT ON ref EXECUTE FUNCTION f()",
        "CREATE RULE ru AS ON DELETE TO ref DO INSTEAD NOTHING",
        "ALTER TABLE ref ENABLE ROW LEVEL SECURITY",
        "CREATE SEQUENCE free",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE SCHEMA other",
        "CREATE TABLE other.elsewhere (n int)",
        "SELECT lo_create(4711)",
        "CREATE TEMP TABLE fleeting (n int)",
    )
    assert {
        ("identity column", "id"),
        ("generated column", "twice"),
        ("list that may not be NULL", "l"),
        ("column with a collation of its own", "c"),
        ("check constraint", "t_n_check"),
        ("exclusion constraint", "t_c_excl"),
        ("unique constraint", "t_u"),
        ("deferrable constraint", "t_u"),
        ("view", "v"),
        ("materialized view", "mv"),
        ("partitioned table", "parted"),
        ("partition", "part"),
        ("inheriting table", "heir"),
        ("unlogged table", "hasty"),
        ("partial index", "partial"),
        ("index on an expression", "expr"),
        ("invalid index", "more"),
        ("unique index that takes NULLs as equal", "nulls"),
        ("constraint not validated", "later"),
        ("constraint not validated", "unproven"),
        ("foreign key with further rules", "unproven"),
        ("trigger", "tr"),
        ("rule", "ru"),
        ("row-level security", "ref"),
        ("sequence of no column", "free"),
        ("type", "positive"),
        ("type", "pair"),
        ("table in another schema", "elsewhere"),
        ("large objects", "pg_largeobject"),
    } <= named(catalog)
    assert {m.table for m in catalog.datamodel.models} == {"t", "parted", "heir", "hasty", "ref"}


def test_a_required_column_whose_rows_were_never_checked_may_hold_nulls(database: str) -> None:
    catalog = read(
        database,
        "CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (NULL)",
        "ALTER TABLE t ADD CONSTRAINT never NOT NULL n NOT VALID",
    )
    assert catalog.datamodel.model("t").scalar("n").nullable


def test_sequences_say_where_they_stand_and_whose_they_are(database: str) -> None:
    catalog = read(
        database,
        "CREATE TABLE t (a serial, b int GENERATED BY DEFAULT AS IDENTITY)",
        "INSERT INTO t SELECT FROM generate_series(1, 3)",
        "CREATE SEQUENCE free START 7",
    )
    stand = {s.name: (s.table, s.column, s.identity, s.last_value, s.is_called) for s in catalog.sequences}
    assert stand == {
        "t_a_seq": ("t", "a", False, 3, True),
        "t_b_seq": ("t", "b", True, 3, True),
        "free": ("", "", False, 7, False),
    }


def test_prismas_own_table_is_no_model(database: str) -> None:
    catalog = read(
        database,
        "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, "
        "finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, "
        "rolled_back_at timestamptz, started_at timestamptz NOT NULL DEFAULT now(), "
        "applied_steps_count integer NOT NULL DEFAULT 0)",
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, started_at) VALUES "
        "('1', '', '0_init', now(), '2020-01-01'), ('2', '', '1_more', NULL, '2021-01-01')",
    )
    assert catalog.datamodel.models == ()
    assert catalog.migrations is not None
    assert [(m.name, m.finished) for m in catalog.migrations] == [("0_init", True), ("1_more", False)]


def test_several_schemas_keep_their_tables_apart(database: str) -> None:
    catalog = read(
        database,
        "CREATE SCHEMA a",
        "CREATE SCHEMA b",
        "CREATE TYPE a.e AS ENUM ('x')",
        "CREATE TABLE a.t (id int PRIMARY KEY, e a.e)",
        "CREATE TABLE b.t (id int REFERENCES a.t (id))",
        schema=("a", "b"),
    )
    assert [(m.name, m.schema, m.table) for m in catalog.datamodel.models] == [
        ("a.t", "a", "t"),
        ("b.t", "b", "t"),
    ]
    (key,) = catalog.datamodel.relations
    assert (key.child, key.parent) == ("b.t", "a.t")
    assert catalog.datamodel.model("a.t").scalar("e").type == "a.e"


def test_a_schema_that_is_not_there_holds_nothing_and_is_named(database: str) -> None:
    catalog = read(database, schema="nowhere")
    assert catalog.datamodel.models == ()
    assert catalog.missing_schemas == ("nowhere",)


def test_the_server_and_its_alphabet(new_database: Callable[..., str]) -> None:
    catalog = read(new_database(locale="C.UTF-8"))
    assert (catalog.encoding, catalog.collation, catalog.locale_provider) == ("UTF8", "C.UTF-8", "libc")
    assert catalog.server_version_text.startswith(str(catalog.server_version // 10000))
    assert not catalog.in_recovery


def test_rows_hidden_from_this_user_are_known(database: str) -> None:
    statements = (
        "CREATE TABLE t (n int)",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE ROLE onlooker LOGIN",
        "GRANT SELECT ON t TO onlooker",
    )
    try:
        assert [o.kind for o in read(database, *statements).objects] == [ObjectKind.ROW_SECURITY]
        seen = read(database.replace("postgres@", "onlooker@"))
        assert [o.kind for o in seen.objects] == [ObjectKind.HIDDEN_ROWS]
    finally:
        with connect(database) as connection:
            connection.execute("DROP OWNED BY onlooker")
            connection.execute("DROP ROLE onlooker")


@pytest.mark.parametrize("version", [OLDEST_SERVER, 140000, 170000, 180000])
def test_every_query_is_one_in_the_words_of_every_version(version: int, database: str) -> None:
    texts = [text for name, text in vars(catalog_queries).items() if name[0].isupper()]
    assert texts
    with connect(database) as connection:
        for text in texts:
            query = catalog_queries.for_version(text, version)
            assert "{" not in query
            connection.execute(query.encode(), {"schemas": ["public"]})


def test_a_server_that_is_too_old_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octavo.postgres.catalog.OLDEST_SERVER", 990000)
    with pytest.raises(DatabaseError, match="too old"):
        read(database)
