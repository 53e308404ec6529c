"""Each kind of drift is found by name, and nothing that is no drift is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from octavo.errors import DatabaseError, DriftError, SchemaError, UsageError
from octavo.postgres.connection import Connection, connect, transaction
from octavo.postgres.drift import Drift, check, collapsed, require_allowable
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.schema.datamodel import Datamodel
from octavo.schema.ddl import ddl
from octavo.schema.live import as_live
from octavo.schema.meaning import fingerprint
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
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (email) WHERE email <> ''": [
        ("missing", "unique", "users_email_key")
    ],
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (lower(email))": [
        ("missing", "unique", "users_email_key")
    ],
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_email_key'::regclass": [
        ("missing", "unique", "users_email_key")
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


BESIDE = ("order of columns", "table in another schema")
"""notes of what some statements do beside"""
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
    "ALTER TABLE users DROP COLUMN name, ADD COLUMN name text": ("order of columns", "in 1 table"),
    "ALTER TABLE users ALTER COLUMN name TYPE varchar(20)": ("other type of text", "users.name"),
    "ALTER TABLE users ALTER COLUMN name SET NOT NULL": ("column that may not be NULL", "users.name"),
    'ALTER TABLE users ALTER COLUMN "totpEnabled" SET DEFAULT true': ("other default", "users.totpEnabled"),
    'ALTER TABLE users ALTER COLUMN "createdAt" DROP DEFAULT': ("other default", "users.createdAt"),
    "ALTER TABLE users ALTER COLUMN name SET DEFAULT 'nobody'": ("other default", "users.name"),
    "ALTER TABLE connection_profiles ALTER COLUMN parameters SET DEFAULT '[]'": (
        "other default",
        "connection_profiles.parameters",
    ),
    'ALTER TABLE tags DROP COLUMN "updatedAt", ADD COLUMN "updatedAt" timestamp(3) NOT NULL '
    'GENERATED ALWAYS AS ("createdAt") STORED': ("generated column", "tags.updatedAt"),
    'DROP INDEX "messages_chatId_createdAt_idx"': ("missing index", "messages_chatId_createdAt_idx"),
    'DROP INDEX "messages_chatId_createdAt_idx"; '
    'CREATE INDEX "messages_chatId_createdAt_idx" ON messages ("createdAt", "chatId")': (
        "other index",
        "messages_chatId_createdAt_idx",
    ),
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages USING hash ("swipeGroupId")': (
        "other index",
        "messages_swipeGroupId_idx",
    ),
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages ("swipeGroupId" DESC)': (
        "other index",
        "messages_swipeGroupId_idx",
    ),
    'DROP INDEX "messages_swipeGroupId_idx"; '
    'CREATE INDEX "messages_swipeGroupId_idx" ON messages ("swipeGroupId" text_pattern_ops)': (
        "other index",
        "messages_swipeGroupId_idx",
    ),
    "ALTER TABLE verification_tokens DROP CONSTRAINT IF EXISTS none; "
    'DROP INDEX "verification_tokens_identifier_token_key"; CREATE UNIQUE INDEX '
    '"verification_tokens_identifier_token_key" ON verification_tokens (token, identifier)': (
        "other unique",
        "verification_tokens_identifier_token_key",
    ),
    "CREATE SCHEMA auth; CREATE TABLE auth.users (id text PRIMARY KEY); "
    "ALTER TABLE accounts ADD CONSTRAINT own FOREIGN KEY (id) REFERENCES auth.users (id)": (
        "extra foreign key",
        "own",
    ),
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
    "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (email) NULLS NOT DISTINCT": (
        "unique index that takes NULLs as equal",
        "users.users_email_key",
    ),
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
    notes = [(note.what, note.name) for note in result.notes]
    assert HARMLESS[statements] in notes
    assert {what for what, _ in notes} <= {HARMLESS[statements][0], *BESIDE}


ENDING = {
    "CREATE TRIGGER t BEFORE UPDATE ON tags FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()": "trigger tags.t",
    "ALTER TABLE users ADD CHECK (email <> '')": "check constraint users.users_email_check",
    "CREATE UNIQUE INDEX part ON users (name) WHERE name <> ''": "partial index users.part",
    "CREATE UNIQUE INDEX low ON users (lower(name))": "index on an expression users.low",
    "ALTER TABLE users ALTER COLUMN name SET DEFAULT 'nobody'": "other default users.name",
    "CREATE INDEX part ON users (name) WHERE name <> ''": "",
    'ALTER TABLE users ALTER COLUMN "createdAt" DROP DEFAULT': "",
    "CREATE VIEW v AS SELECT id FROM users": "",
}
"""what PostgreSQL does, and the files do not; empty: nothing"""


@pytest.mark.parametrize("statements", ENDING)
def test_what_only_postgresql_does_is_named(statements: str, pristine: Connection) -> None:
    ending = planted(pristine, statements).ending
    assert [text.partition(":")[0] for text in ending] == [ENDING[statements]] * bool(ENDING[statements])


def test_the_order_of_an_enum_is_a_note_and_is_kept(database: str) -> None:
    body = 'enum E {\n a\n b @map("B")\n c\n}\nmodel A {\n id Int @id\n e E\n}\n'
    schema = parse_schema(HEAD + body)
    made = ddl(schema).script().replace("'a', 'B', 'c'", "'c', 'B'")
    result = drift(database, schema, made)
    assert not result.findings
    assert [str(note) for note in result.notes] == [
        "enum without labels of the schema E: a",
        "order of an enum's labels E: c, B (kept, for sorting)",
    ]
    kept = as_live(schema, result.live)
    assert [m.name for m in kept.enum("E").sorted_members] == ["c", "b", "a"]
    assert fingerprint(kept) == fingerprint(schema)
    assert "('c', 'B', 'a')" in ddl(kept).script()


GENERATED = (
    HEAD
    + """
model Person {
  id    Int    @id
  first String
  full  String? SPELLED
}
"""
)


@pytest.mark.parametrize("spelled", ["", "@default(dbgenerated())", '@default(dbgenerated("upper(first)"))'])
def test_a_generated_column_is_a_note_however_it_is_spelled(database: str, spelled: str) -> None:
    schema = parse_schema(GENERATED.replace("SPELLED", spelled))
    made = (
        'CREATE TABLE "Person" (id int CONSTRAINT "Person_pkey" PRIMARY KEY, first text NOT NULL, '
        '"full" text GENERATED ALWAYS AS (upper(first)) STORED)'
    )
    result = drift(database, schema, made)
    assert not result.findings
    assert [str(note) for note in result.notes] == ["generated column Person.full: (upper(first)) STORED"]
    kept = as_live(schema, result.live)
    [table] = ddl(kept).tables
    assert '"full" TEXT GENERATED ALWAYS AS (upper(first)) STORED' in table
    again = drift(database, kept, 'DROP TABLE "Person"', table)
    assert (again.findings, again.notes) == ((), result.notes)


def test_a_default_that_names_a_column_is_a_generated_column() -> None:
    def made(default: str) -> str:
        body = f'model A {{\n id Int @id\n text String @default(dbgenerated("{default}"))\n}}\n'
        return ddl(parse_schema(HEAD + body)).tables[0]

    assert "DEFAULT 'id'::text" in made("'id'::text")
    assert "DEFAULT text('id')" in made("text('id')")
    assert "DEFAULT now()::text" in made("now()::text")
    assert "GENERATED ALWAYS AS (upper(ID::text)) STORED" in made("upper(ID::text)")
    assert 'GENERATED ALWAYS AS (("id")::text) STORED' in made('(\\"id\\")::text')


def test_what_to_do_is_said_and_what_can_be_waived_only_if_that_helps(
    pristine: Connection, database: str
) -> None:
    with pytest.raises(DriftError) as some_of_both:
        planted(pristine, "CREATE TABLE surprise (n int); DROP TABLE accounts").raise_if_any()
    assert "schema check" in some_of_both.value.hint
    assert "--allow-drift" not in some_of_both.value.hint
    with connect(database) as empty, pytest.raises(DriftError) as shipped:
        check(empty, frozen_schema()).raise_if_any()
    assert "--schema names yours" in shipped.value.hint
    own = parse_schema(
        'datasource db {\n provider = "postgresql"\n url = ""\n}\nmodel A {\n id Int @id\n}', "a"
    )
    with connect(database) as empty, pytest.raises(DriftError) as another:
        check(empty, own).raise_if_any()
    assert "another database" in another.value.hint


def test_findings_are_waived_by_their_kinds(pristine: Connection) -> None:
    result = planted(pristine, "CREATE TABLE surprise (n int); DROP INDEX users_email_key")
    some = result.allowing(["extra-table"])
    assert [f.allowed_as for f in some.findings] == ["missing-unique"]
    assert some.waived == ["drift that is allowed: extra table surprise"]
    with pytest.raises(DriftError) as caught:
        some.raise_if_any()
    assert caught.value.hint.endswith("--allow-drift missing-unique")
    result.allowing(["extra-table", "missing-unique"]).raise_if_any()
    assert require_allowable(["extra-table,missing-unique", "extra-table"]) == (
        "extra-table",
        "missing-unique",
    )
    with pytest.raises(UsageError, match="'missing-table' cannot be allowed"):
        require_allowable(["missing-table"])


def test_notes_of_one_kind_are_one_line(pristine: Connection) -> None:
    made = "; ".join(f"CREATE INDEX more{n} ON users (name)" for n in range(7))
    assert collapsed(planted(pristine, made).notes) == [
        "extra index (7): more0, more1, more2, more3, more4 and 2 more"
    ]


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
    assert [str(note) for note in other.notes] == ["other default A.id: expected autoincrement(), found none"]


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
    assert not kept.findings
    assert [str(note) for note in kept.notes] == ["extra foreign key A_b_fkey: A(b) to B(id)"]
    other = drift(
        database,
        virtual,
        'ALTER TABLE "A" DROP CONSTRAINT "A_b_fkey"',
        'ALTER TABLE "A" ADD CONSTRAINT k FOREIGN KEY (b) REFERENCES "B" (id) ON DELETE CASCADE',
    )
    assert found(other) == [("extra", "foreign key", "k")]


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


def test_a_partial_index_of_the_schema_is_looked_for(new_database: Callable[..., str]) -> None:
    schema = parse_schema(
        """
        generator client {
          provider        = "prisma-client"
          previewFeatures = ["partialIndexes"]
        }
        datasource db {
          provider = "postgresql"
        }
        model Post {
          id     Int     @id
          slug   String  @unique(where: { hidden: false })
          hidden Boolean
          @@index([hidden], where: raw("slug <> ''"))
        }
        """
    )
    url = new_database()
    with connect(url) as connection:
        connection.execute(ddl(schema).script().encode())
    made = drift(url, schema)
    assert not made.refuses
    assert [(note.what, note.name, note.ends) for note in made.notes] == [
        ("partial unique", "Post.Post_slug_key", True)
    ]
    missing = drift(url, schema, 'DROP INDEX "Post_slug_key"; DROP INDEX "Post_hidden_idx"')
    assert [(note.what, note.name) for note in missing.notes] == [
        ("missing partial index", "Post_slug_key"),
        ("missing partial index", "Post_hidden_idx"),
    ]
