"""The DDL is Prisma's, and the stages make the same catalog as the script."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.postgres.connection import connect, transaction
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.datamodel import Datamodel
from octavo.schema.ddl import ddl, operator_class
from octavo.schema.native import OPERATOR_CLASSES
from octavo.schema.parser import parse_schema
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl

DATA = Path(__file__).parent / "data"
EVERY = Path(__file__).parent / "schemas" / "every.prisma"
HEAD = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'


def every() -> Datamodel:
    return parse_schema(EVERY.read_text("utf-8"))


def dump(server: EmbeddedServer, url: str) -> str:
    """The schema as pg_dump prints it."""
    environment = DatabaseUrl.parse(url).environment()
    command = [str(server.bin / "pg_dump"), "--schema-only", "--restrict-key=x"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_small_schema_word_for_word() -> None:
    schema = parse_schema(
        HEAD
        + """
        enum Role {
          USER
          ADMIN @map("ad'min")
        }
        model Post {
          id       Int      @id @default(autoincrement())
          title    String   @unique @db.VarChar(80)
          role     Role     @default(ADMIN)
          tags     String[] @default([])
          price    Decimal?
          made     DateTime @default(now())
          changed  DateTime @updatedAt @default("2020-01-02T03:04:05.678Z")
          authorId String?  @db.Uuid
          author   User?    @relation(fields: [authorId], references: [id])
          groups   Group[]

          @@unique([title, made])
          @@index([made(sort: Desc), role])
          @@map("posts")
        }
        model User {
          id    String @id @default(uuid()) @db.Uuid
          posts Post[]
        }
        model Group {
          a     Int
          id    Int    @id
          posts Post[]
        }
        """
    )
    assert (
        ddl(schema).script()
        == """\
-- CreateEnum
CREATE TYPE "Role" AS ENUM ('USER', 'ad''min');

-- CreateTable
CREATE TABLE "posts" (
    "id" SERIAL NOT NULL,
    "title" VARCHAR(80) NOT NULL,
    "role" "Role" NOT NULL DEFAULT 'ad''min',
    "tags" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "price" DECIMAL(65,30),
    "made" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "changed" TIMESTAMP(3) NOT NULL DEFAULT '2020-01-02 03:04:05.678 +00:00',
    "authorId" UUID,

    CONSTRAINT "posts_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "User" (
    "id" UUID NOT NULL,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Group" (
    "a" INTEGER NOT NULL,
    "id" INTEGER NOT NULL,

    CONSTRAINT "Group_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "_GroupToPost" (
    "A" INTEGER NOT NULL,
    "B" INTEGER NOT NULL,

    CONSTRAINT "_GroupToPost_AB_pkey" PRIMARY KEY ("A","B")
);

-- CreateIndex
CREATE UNIQUE INDEX "posts_title_key" ON "posts"("title");

-- CreateIndex
CREATE INDEX "posts_made_role_idx" ON "posts"("made" DESC, "role");

-- CreateIndex
CREATE UNIQUE INDEX "posts_title_made_key" ON "posts"("title", "made");

-- CreateIndex
CREATE INDEX "_GroupToPost_B_index" ON "_GroupToPost"("B");

-- AddForeignKey
ALTER TABLE "posts" ADD CONSTRAINT "posts_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User"("id") \
ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "_GroupToPost" ADD CONSTRAINT "_GroupToPost_A_fkey" FOREIGN KEY ("A") REFERENCES "Group"("id") \
ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "_GroupToPost" ADD CONSTRAINT "_GroupToPost_B_fkey" FOREIGN KEY ("B") REFERENCES "posts"("id") \
ON DELETE CASCADE ON UPDATE CASCADE;
"""
    )


_MADE_SCHEMA = re.compile(r'-- CreateSchema\nCREATE SCHEMA IF NOT EXISTS "[^"]+";\n\s*')
_OWN_WAY = (
    # SQL that fails: a quote in a name, a list that counts, an operator class without a name.
    '"a"b"',
    "SERIAL[]",
    '("a" )',
    # A label of an enum by its name in Prisma, which the database does not know.
    "WHERE (\"r\" = 'Y')",
    "-- This is an empty migration.",
)


def test_migrations_are_prismas() -> None:
    """Word for word, for every recorded schema; only that empty schemas are made too."""
    recorded = json.loads(gzip.decompress((DATA / "migrations.json.gz").read_bytes()))
    for text, script in recorded:
        if not any(part in script for part in _OWN_WAY):
            own, theirs = (
                _MADE_SCHEMA.sub("", sql).strip() for sql in (ddl(parse_schema(text)).script(), script)
            )
            assert own == theirs, text


def test_several_schemas_are_made_and_named_everywhere() -> None:
    schema = parse_schema(
        """
        datasource db {
          provider = "postgresql"
          url      = env("DATABASE_URL")
          schemas  = ["auth", "public"]
        }
        enum Kind {
          A
          @@schema("auth")
        }
        model User {
          id   Int  @id
          kind Kind @default(A)
          logs Log[]
          @@schema("auth")
        }
        model Log {
          id     Int  @id
          userId Int
          user   User @relation(fields: [userId], references: [id])
          @@index([userId])
          @@schema("public")
        }
        """
    )
    statements = ddl(schema)
    assert statements.schemas == ('CREATE SCHEMA IF NOT EXISTS "auth"',)
    assert statements.enums == ('CREATE TYPE "auth"."Kind" AS ENUM (\'A\')',)
    assert '"kind" "auth"."Kind" NOT NULL DEFAULT \'A\'' in statements.tables[0]
    assert statements.indexes == ('CREATE INDEX "Log_userId_idx" ON "public"."Log"("userId")',)
    assert 'ALTER TABLE "public"."Log"' in statements.foreign_keys[0]
    assert 'REFERENCES "auth"."User"("id")' in statements.foreign_keys[0]


def test_without_foreign_keys_if_prisma_keeps_the_relations() -> None:
    head = HEAD.replace("url =", 'relationMode = "prisma"\n  url =')
    schema = parse_schema(
        head
        + "model A {\n id Int @id\n b Int\n to B @relation(fields: [b], references: [id])\n @@index([b])\n}\n"
        "model B {\n id Int @id\n as A[]\n}\n"
    )
    assert ddl(schema).foreign_keys == ()


def test_another_schema_than_public_is_made() -> None:
    assert ddl(frozen_schema(), "my app").schemas == ('CREATE SCHEMA IF NOT EXISTS "my app"',)
    assert ddl(frozen_schema()).schemas == ()


def test_postgresql_knows_every_operator_class(database: str) -> None:
    with connect(database) as connection:
        known = {name for (name,) in connection.execute("SELECT opcname FROM pg_opclass").fetchall()}
    assert {operator_class(name) for name in OPERATOR_CLASSES} <= known


@pytest.mark.parametrize("schema", [frozen_schema, every], ids=["frozen", "every"])
def test_stages_and_script_make_the_same_database(
    schema: Callable[[], Datamodel], new_database: Callable[..., str], server: EmbeddedServer
) -> None:
    statements = ddl(schema())
    at_once, staged = new_database(), new_database()
    with connect(at_once) as connection:
        connection.execute(statements.script().encode())
    with connect(staged) as connection, transaction(connection):
        for statement in (*statements.before_rows, *statements.after_rows):
            connection.execute(statement.encode())
    assert dump(server, at_once) == dump(server, staged)


def test_every_default_is_one_that_postgresql_evaluates(database: str) -> None:
    with connect(database) as connection, transaction(connection):
        connection.execute(ddl(every()).script().encode())
        row = connection.execute(
            """
            INSERT INTO "every thing" ("updated", "clientId", "clientCuid") VALUES (now(), 'a', 'b')
            RETURNING "text", "big"::text, "decimal2"::text, "time"::text, "timeZone"::text, "json"::text,
                      "bytes"::text, "color"::text, "colors"::text, "texts"::text, "times"::text, "noTexts"
            """
        ).fetchone()
    assert row == (
        'it\'s "q" \\ x',
        "-9007199254740993",
        "12.3400",
        "2020-01-02 03:04:05.678",
        "2020-01-02 01:04:05.678+00",
        '{"a": [1, 2.50, null], "b": "x\'y"}',
        "\\x00ff",
        "the red",
        '{"the red",it\'s}',
        '{a,"b,c",d\'e,""}',
        '{"2020-01-02 03:04:05.678"}',
        None,
    )
