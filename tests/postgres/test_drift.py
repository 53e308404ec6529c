"""Each kind of drift is found by name, and nothing that is no drift is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from octavo.errors import DatabaseError, DriftError, SchemaError
from octavo.postgres.connection import Connection, connect, transaction
from octavo.postgres.drift import Drift, check
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.schema.datamodel import Datamodel
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from schema_gen import generate

EVERY = Path(__file__).parents[1] / "schema" / "schemas" / "every.prisma"
HEAD = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'


def drift(url: str, expected: Datamodel, *statements: str) -> Drift:
    """The drift of a database after these statements."""
    with connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        with transaction(connection, read_only=True):
            return check(connection, expected)


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A transaction of which nothing stays."""
    try:
        with transaction(connection):
            yield
            raise _Undo
    except _Undo:
        pass


class _Undo(Exception):
    """Rolls back."""


@pytest.fixture(scope="module")
def pristine(server: EmbeddedServer, schema_template: str) -> Iterator[Connection]:
    """A connection to a database with schema 0.7's tables, in which every test undoes what it does."""
    with closing(connect(server.create_database("pristine", template=schema_template))) as connection:
        yield connection


def planted(connection: Connection, statements: str) -> Drift:
    """The drift from schema 0.7 that these statements make, which are undone again."""
    with undone(connection):
        for statement in statements.split("; "):
            connection.execute(statement.encode())
        result = check(connection, frozen_schema())
    return result


def found(result: Drift) -> list[tuple[str, str, str]]:
    return [(f.kind.value, f.what, f.name) for f in result.findings]


def test_a_database_made_from_the_schema_has_no_drift_and_nothing_to_note(schema_database: str) -> None:
    result = drift(schema_database, frozen_schema())
    assert (result.findings, result.notes) == ((), ())
    assert not result.refuses
    result.raise_if_any()


PLANTED = {
    "DROP TABLE image_tags": [("missing", "table", "image_tags")],
    "CREATE TABLE surprise (n int)": [("extra", "table", "surprise")],
    "CREATE TABLE heir () INHERITS (tags)": [("extra", "table", "heir")],
    "ALTER TABLE tags DROP COLUMN name": [("missing", "column", "tags.name")],
    'ALTER TABLE messages DROP COLUMN "swipeGroupId"': [("missing", "column", "messages.swipeGroupId")],
    'ALTER TABLE messages DROP COLUMN "chatId" CASCADE': [("missing", "column", "messages.chatId")],
    "ALTER TABLE tags ADD COLUMN color text": [("extra", "column", "tags.color")],
    "ALTER TABLE users ALTER COLUMN name TYPE varchar(20)": [("different", "type", "users.name")],
    'ALTER TABLE messages ALTER COLUMN "tokenCount" TYPE bigint': [
        ("different", "type", "messages.tokenCount")
    ],
    "ALTER TABLE users ALTER COLUMN name TYPE text[] USING ARRAY[name]": [
        ("different", "type", "users.name")
    ],
    'ALTER TABLE messages ALTER COLUMN "rawResponse" TYPE json': [
        ("different", "type", "messages.rawResponse")
    ],
    'ALTER TABLE tags ALTER COLUMN "updatedAt" TYPE timestamp(6)': [
        ("different", "precision", "tags.updatedAt")
    ],
    'ALTER TABLE tags ALTER COLUMN "updatedAt" TYPE timestamp': [
        ("different", "precision", "tags.updatedAt")
    ],
    'ALTER TABLE tags ALTER COLUMN "updatedAt" TYPE timestamptz(3)': [
        ("different", "type", "tags.updatedAt")
    ],
    "ALTER TABLE users ALTER COLUMN email DROP NOT NULL": [("different", "nullability", "users.email")],
    "ALTER TABLE users ALTER COLUMN name SET NOT NULL": [("different", "nullability", "users.name")],
    'ALTER TABLE users ALTER COLUMN "totpEnabled" SET DEFAULT true': [
        ("different", "default", "users.totpEnabled")
    ],
    'ALTER TABLE users ALTER COLUMN "createdAt" DROP DEFAULT': [("different", "default", "users.createdAt")],
    "ALTER TABLE users ALTER COLUMN name SET DEFAULT 'nobody'": [("different", "default", "users.name")],
    "ALTER TABLE connection_profiles ALTER COLUMN parameters SET DEFAULT '[]'": [
        ("different", "default", "connection_profiles.parameters")
    ],
    "ALTER TABLE users DROP COLUMN name, ADD COLUMN name text GENERATED ALWAYS AS (email || '!') STORED": [
        ("different", "default", "users.name")
    ],
    "ALTER TABLE tags DROP CONSTRAINT tags_pkey CASCADE": [
        ("missing", "primary key", "tags"),
        ("missing", "foreign key", "character_tags_tagId_fkey"),
        ("missing", "foreign key", "persona_tags_tagId_fkey"),
        ("missing", "foreign key", "chat_tags_tagId_fkey"),
        ("missing", "foreign key", "connection_profile_tags_tagId_fkey"),
        ("missing", "foreign key", "image_profile_tags_tagId_fkey"),
    ],
    "ALTER TABLE messages DROP CONSTRAINT messages_pkey CASCADE, "
    'ADD CONSTRAINT messages_pkey PRIMARY KEY (id, "chatId")': [
        ("different", "primary key", "messages"),
        ("missing", "foreign key", "chat_files_messageId_fkey"),
    ],
    "ALTER TABLE verification_tokens ADD PRIMARY KEY (token)": [
        ("extra", "primary key", "verification_tokens")
    ],
    "DROP INDEX users_email_key": [("missing", "unique", "users_email_key")],
    "DROP INDEX users_email_key; CREATE INDEX users_email_key ON users (email)": [
        ("different", "unique", "users_email_key")
    ],
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (email) NULLS NOT DISTINCT": [
        ("different", "unique", "users_email_key")
    ],
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (email) WHERE email <> ''": [
        ("missing", "unique", "users_email_key")
    ],
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (lower(email))": [
        ("missing", "unique", "users_email_key")
    ],
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_email_key'::regclass": [
        ("missing", "unique", "users_email_key")
    ],
    'DROP INDEX "messages_chatId_createdAt_idx"': [("missing", "index", "messages_chatId_createdAt_idx")],
    'DROP INDEX "messages_chatId_createdAt_idx"; '
    'CREATE INDEX "messages_chatId_createdAt_idx" ON messages ("createdAt", "chatId")': [
        ("different", "index", "messages_chatId_createdAt_idx")
    ],
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages USING hash ("swipeGroupId")': [
        ("different", "index", "messages_swipeGroupId_idx")
    ],
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages ("swipeGroupId" DESC)': [
        ("different", "index", "messages_swipeGroupId_idx")
    ],
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages ("swipeGroupId" text_pattern_ops)': [
        ("different", "index", "messages_swipeGroupId_idx")
    ],
    'ALTER TABLE messages DROP CONSTRAINT "messages_chatId_fkey"': [
        ("missing", "foreign key", "messages_chatId_fkey")
    ],
    'ALTER TABLE image_tags ADD CONSTRAINT more FOREIGN KEY ("tagId") REFERENCES characters (id)': [
        ("extra", "foreign key", "more")
    ],
    'ALTER TABLE messages DROP CONSTRAINT "messages_chatId_fkey", ADD CONSTRAINT "messages_chatId_fkey" '
    'FOREIGN KEY ("chatId") REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE': [
        ("different", "foreign key", "messages_chatId_fkey")
    ],
    'ALTER TABLE messages DROP CONSTRAINT "messages_chatId_fkey", ADD CONSTRAINT "messages_chatId_fkey" '
    'FOREIGN KEY ("chatId") REFERENCES chats (id) ON DELETE RESTRICT ON UPDATE CASCADE': [
        ("different", "referential action", "messages_chatId_fkey")
    ],
    'ALTER TABLE messages DROP CONSTRAINT "messages_chatId_fkey", ADD CONSTRAINT "messages_chatId_fkey" '
    'FOREIGN KEY ("chatId") REFERENCES chats (id) ON DELETE CASCADE': [
        ("different", "referential action", "messages_chatId_fkey")
    ],
    'ALTER TABLE messages DROP CONSTRAINT "messages_chatId_fkey", ADD CONSTRAINT "messages_chatId_fkey" '
    'FOREIGN KEY ("chatId") REFERENCES chats (id) ON DELETE CASCADE ON UPDATE CASCADE NOT VALID': [
        ("different", "foreign key", "messages_chatId_fkey")
    ],
    "ALTER TYPE \"Role\" ADD VALUE 'NARRATOR'": [("different", "enum", "Role")],
    "ALTER TYPE \"Role\" RENAME VALUE 'TOOL' TO 'tool'": [("different", "enum", "Role")],
    'ALTER TYPE "Role" RENAME TO "Roles"': [
        ("missing", "enum", "Role"),
        ("different", "type", "messages.role"),
    ],
    'ALTER TABLE messages ALTER COLUMN role TYPE text; DROP TYPE "Role"': [
        ("missing", "enum", "Role"),
        ("different", "type", "messages.role"),
    ],
    "ALTER TABLE messages RENAME TO m; CREATE VIEW messages AS SELECT * FROM m": [
        ("different", "table", "messages"),
        ("extra", "table", "m"),
    ],
}


@pytest.mark.parametrize("statements", PLANTED)
def test_planted_drift_is_found_and_nothing_else(statements: str, pristine: Connection) -> None:
    result = planted(pristine, statements)
    assert found(result) == PLANTED[statements]
    with pytest.raises(DriftError) as caught:
        result.raise_if_any()
    assert caught.value.exit_code == 1
    assert len(caught.value.findings) == len(PLANTED[statements])
    for _, _, name in PLANTED[statements]:
        assert name in str(caught.value)


HARMLESS = {
    "CREATE INDEX more ON users (name)": ("extra index", "more"),
    'CREATE UNIQUE INDEX more ON users (name, "createdAt")': ("extra unique", "more"),
    "CREATE INDEX part ON users (name) WHERE name <> ''": ("partial index", "users.part"),
    'ALTER INDEX users_email_key RENAME TO "users.email"': ("name of the unique", "users.users_email_key"),
    "ALTER TABLE users RENAME CONSTRAINT users_pkey TO pk": ("name of the primary key", "users"),
    'ALTER TABLE messages RENAME CONSTRAINT "messages_chatId_fkey" TO fk': (
        "name of the foreign key",
        "messages.messages_chatId_fkey",
    ),
    "ALTER TABLE users DROP COLUMN name, ADD COLUMN name text": ("order of columns", "users"),
    "CREATE TABLE _prisma_migrations (migration_name text, finished_at timestamptz, "
    "rolled_back_at timestamptz, started_at timestamptz)": ("table", "_prisma_migrations"),
    "CREATE VIEW v AS SELECT id FROM users": ("view", "v"),
    "CREATE MATERIALIZED VIEW v AS SELECT id FROM users": ("materialized view", "v"),
    "CREATE RULE r AS ON DELETE TO users DO ALSO NOTHING": ("rule", "users.r"),
    "CREATE SEQUENCE s": ("sequence of no column", "s"),
    "CREATE TYPE mood AS ENUM ('happy')": ("extra enum", "mood"),
    "CREATE DOMAIN d AS text": ("type", "d"),
    "ALTER TABLE users ADD CHECK (email <> '')": ("check constraint", "users.users_email_check"),
    "ALTER TABLE users ENABLE ROW LEVEL SECURITY": ("row-level security", "users"),
    "ALTER TABLE accounts SET UNLOGGED": ("unlogged table", "accounts"),
    "CREATE SCHEMA s; CREATE TABLE s.t (n int)": ("table in another schema", "s.t"),
    "DROP INDEX users_email_key; ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)": (
        "unique constraint",
        "users.users_email_key",
    ),
    'ALTER TABLE users ALTER COLUMN name TYPE text COLLATE "POSIX"': (
        "column with a collation of its own",
        "users.name",
    ),
    'ALTER TABLE messages ALTER CONSTRAINT "messages_chatId_fkey" DEFERRABLE': (
        "deferrable constraint",
        "messages.messages_chatId_fkey",
    ),
}


@pytest.mark.parametrize("statements", HARMLESS)
def test_what_cannot_hurt_an_export_is_a_note(statements: str, pristine: Connection) -> None:
    result = planted(pristine, statements)
    assert not result.findings
    assert [(note.what, note.name) for note in result.notes] == [HARMLESS[statements]]


SPELLINGS = (
    'ALTER TABLE users ALTER COLUMN "createdAt" SET DEFAULT now()',
    'ALTER TABLE users ALTER COLUMN "createdAt" SET DEFAULT CURRENT_TIMESTAMP(3)',
    "ALTER TABLE users ALTER COLUMN \"totpEnabled\" SET DEFAULT 'f'::boolean",
    "ALTER TABLE images ALTER COLUMN source SET DEFAULT 'upload'::varchar",
    "ALTER TABLE image_profiles ALTER COLUMN parameters SET DEFAULT '{}'::json",
    "ALTER TABLE users ALTER COLUMN name SET DEFAULT NULL",
    'ALTER TABLE chat_settings ALTER COLUMN "avatarDisplayMode" '
    "SET DEFAULT ('ALWAYS'::text)::\"AvatarDisplayMode\"",
)


@pytest.mark.parametrize("statement", SPELLINGS)
def test_another_spelling_of_a_default_is_no_drift(statement: str, pristine: Connection) -> None:
    result = planted(pristine, statement)
    assert (result.findings, result.notes) == ((), ())


def test_an_empty_database_lacks_every_table(database: str) -> None:
    result = drift(database, frozen_schema())
    tables = {name for kind, what, name in found(result) if (kind, what) == ("missing", "table")}
    assert tables == {model.table for model in frozen_schema().tables}
    assert {what for _, what, _ in found(result)} == {"table", "enum"}


def test_rows_hidden_from_this_user_refuse(schema_database: str) -> None:
    table = frozen_schema().tables[0].table
    statements = (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        "CREATE ROLE bystander LOGIN",
        f"GRANT SELECT ON {table} TO bystander",
    )
    try:
        assert not drift(schema_database, frozen_schema(), *statements).refuses
        result = drift(schema_database.replace("postgres@", "bystander@"), frozen_schema())
        assert found(result) == [("different", "row-level security", table)]
    finally:
        with connect(schema_database) as connection:
            connection.execute("DROP OWNED BY bystander")
            connection.execute("DROP ROLE bystander")


def test_everything_that_prisma_can_say_comes_back_without_drift(database: str) -> None:
    schema = parse_schema(EVERY.read_text("utf-8"))
    result = drift(database, schema, ddl(schema).script())
    assert [str(note) for note in result.notes] == ["missing view Sight"]
    assert not result.findings


def test_a_key_that_counts_may_be_an_identity(database: str) -> None:
    schema = parse_schema(HEAD + "model A {\n id Int @id @default(autoincrement())\n}\n")
    made = 'CREATE TABLE "A" (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)'
    result = drift(database, schema, made)
    assert not result.findings
    assert [note.what for note in result.notes] == ["identity column"]
    other = drift(database, schema, 'ALTER TABLE "A" ALTER COLUMN id DROP IDENTITY')
    assert found(other) == [("different", "default", "A.id")]


def test_both_forms_of_an_implicit_relations_key_are_taken(database: str) -> None:
    schema = parse_schema(HEAD + "model A {\n id Int @id\n bs B[]\n}\nmodel B {\n id Int @id\n as A[]\n}\n")
    assert not drift(database, schema, ddl(schema).script()).findings
    older = drift(
        database,
        schema,
        'ALTER TABLE "_AToB" DROP CONSTRAINT "_AToB_AB_pkey"',
        'CREATE UNIQUE INDEX "_AToB_AB_unique" ON "_AToB" ("A", "B")',
    )
    assert not older.findings
    assert [note.what for note in older.notes] == ["unique index as the key"]
    without = drift(database, schema, 'DROP INDEX "_AToB_AB_unique"')
    assert found(without) == [("missing", "primary key", "_AToB")]


def test_several_schemas(database: str) -> None:
    head = HEAD.replace("url =", 'schemas = ["a", "b"]\n  url =')
    schema = parse_schema(
        head + 'enum E {\n x\n @@schema("b")\n}\n'
        'model T {\n id Int @id\n e E @default(x)\n us U[]\n @@schema("a")\n}\n'
        'model U {\n id Int @id\n t T @relation(fields: [id], references: [id])\n @@schema("b")\n}\n'
    )
    assert not drift(database, schema, ddl(schema).script()).findings
    result = drift(
        database, schema, 'ALTER TABLE b."U" DROP CONSTRAINT "U_id_fkey"', "CREATE TABLE a.x (n int)"
    )
    assert found(result) == [("extra", "table", "a.x"), ("missing", "foreign key", "U_id_fkey")]


def test_relations_that_prisma_keeps_need_no_foreign_keys(database: str) -> None:
    body = (
        "model A {\n id Int @id\n b Int\n to B @relation(fields: [b], references: [id])\n @@index([b])\n}\n"
    )
    body += "model B {\n id Int @id\n as A[]\n}\n"
    virtual = parse_schema(HEAD.replace("url =", 'relationMode = "prisma"\n  url =') + body)
    assert not drift(database, virtual, ddl(virtual).script()).findings
    kept = drift(database, virtual, *ddl(parse_schema(HEAD + body)).foreign_keys)
    assert found(kept) == [("extra", "foreign key", "A_b_fkey")]


def test_random_schemas_come_back_without_drift(database: str) -> None:
    tried = 0
    with closing(connect(database)) as connection:
        for seed in range(60):
            text = generate(seed, 0).replace(" @db.Citext", "").replace("f()", "version()")
            # Wrong on purpose, or (a default that PostgreSQL cannot read) right for Prisma alone.
            with suppress(SchemaError, DatabaseError), undone(connection):
                schema = parse_schema(text)
                connection.execute(ddl(schema).script().encode())
                assert not check(connection, schema).findings, f"seed {seed}"
                tried += 1
    assert tried > 15


def test_an_older_server_is_read_as_well() -> None:
    schema = parse_schema(EVERY.read_text("utf-8"))
    with embedded_server(throwaway=True, version=16) as older:
        with closing(connect(older.create_database("frozen"))) as connection:
            connection.execute(ddl(frozen_schema()).script().encode())
            for statements, expected in PLANTED.items():
                assert found(planted(connection, statements)) == expected
        result = drift(older.create_database("every"), schema, ddl(schema).script())
        assert not result.findings
