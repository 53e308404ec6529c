"""Small schemas, each about one rule of the Prisma schema language: what may stand where, and what may not.

Nothing here says which are valid: that is recorded from Prisma's own engine (``record_verdicts.py``).
"""

from __future__ import annotations

# A case stays on its line, however long.
# ruff: noqa: E501
from collections.abc import Iterator
from itertools import product

HEAD = 'datasource db {\n  provider = "postgresql"\n  url = "postgres://x"\n}\n'
PRISMA_MODE = HEAD.replace("url", 'relationMode = "prisma"\n  url')
MODEL = "model A {\n  id Int @id\n}\n"
CONFIG = 'generator c {\n  provider = "x"\n  previewFeatures = ["views"]\n}\n' + HEAD

FIELDS = (
    "Int @unique()",
    'Int @unique(map: "")',
    "Int @unique(map: 5)",
    'Int @unique("x")',
    "Int @unique(sort: Foo)",
    "Int @unique(length: 5)",
    "Int @unique(clustered: true)",
    "Int @unique(clustered: false)",
    "Int @unique(clustered: 5)",
    'Int @unique(name: "x")',
    "Int @unique @unique",
    'Int @map("")',
    "Int @map()",
    "Int @map",
    "Int @map(x)",
    'Int @map("a","b")',
    'Int @map(name: "a")',
    'Int @map(map: "a")',
    'Int @map("id")',
    'Int @map("B")',
    'Int @map("x")',
    "Int @ignore",
    "Int @ignore(true)",
    "Int @foo",
    "Int @Id",
    "Int @updatedAt",
    "DateTime @updatedAt",
    "DateTime? @updatedAt",
    "DateTime[] @updatedAt",
    "DateTime @updatedAt @default(now())",
    "DateTime @updatedAt()",
    "DateTime @updatedAt(5)",
    "Int @relation",
    "Int @relation(fields: [a], references: [id])",
    "E @unique",
    "E[] @unique",
    "E @id",
    "Foo",
    "string",
    "int",
    'E @default(A) @map("e")',
    "Json @unique",
    "Bytes @unique",
    "A",
    "B",
    "A?",
    "A[]",
    "B[]",
    "Int @default(1) @default(2)",
    "Int @id",
    'String @map("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
    'Int @unique(map: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
    'Int @unique(map: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
    'Int @unique(map: "éééééééééééééééééééééééééééééééé")',
    "Int @db.Integer @unique",
    'Int @map("a b")',
    'Int @map("a\\"b")',
    "Int @default(autoincrement()) @unique",
    "Int[] @unique",
    "Int[] @default([])",
    "String @default(E)",
    'Int@unique@map("q")',
    "Int @ unique",
    'Int @unique (map: "z")',
    'Int  @unique(map : "z")',
    'Int @unique(map: "z",)',
    'Int @unique(,map: "z")',
    "Int @unique(map: )",
    'Int @unique(map "z")',
    'Int @unique(map: "z" sort: Desc)',
    'Int @unique(map: "z", sort: Desc)',
    'Int @unique(map: "z", map: "y")',
    "Int ? @unique",
    "Int[ ]",
    "Int []",
    "Int??",
    "Int?[]",
    "Int[][]",
    "Int @db.Integer @db.Integer",
    'Unsupported("x") @id',
    'Unsupported ("x")',
    'Unsupported( "x" )',
    "Unsupported(x)",
    "Unsupported()",
    'Unsupported("x", "y")',
    'Unsupported("x")?',
    'Unsupported("x") @unique',
    'Unsupported("x") @default(1)',
    "Decimal @db.Decimal(10)",
    "Decimal @db.Decimal(10,2)",
    "Decimal @db.Decimal",
    "Decimal @db.Decimal()",
    "Decimal @db.Decimal(2,10)",
    "Decimal @db.Decimal(0,0)",
    "Decimal @db.Decimal(1001,1)",
    "Decimal @db.Decimal(1000,1000)",
    "Decimal @db.Decimal(10,2,3)",
    'Decimal @db.Decimal("10",2)',
    "Decimal @db.Decimal(10.5,2)",
    "Decimal @db.Decimal(-1,2)",
    "Decimal @db.Decimal(10,-2)",
    "String @db.VarChar(0)",
    "String @db.VarChar(4294967295)",
    "String @db.VarChar(4294967296)",
    "String @db.VarChar(10,2)",
    "String @db.VarChar(x)",
    "String @db.VarChar(length: 5)",
    "String @db.VarChar(010)",
    'String @db.VarChar("5")',
    "String @db.VarChar(a: 5, b: 6)",
    "String @db.VarChar([5])",
    "String @db.VarChar(f(5))",
    "String @db.Char(0)",
    "String @db.Bit(0)",
    "String @db.Bit(1)",
    "String @db.Bit",
    "String @db.VarBit(0)",
    "DateTime @db.Timestamp(7)",
    "DateTime @db.Timestamp(6)",
    "DateTime @db.Timestamp()",
    "DateTime @db.Timestamptz(6)",
    "DateTime @db.Date(3)",
    "DateTime @db.Time(3)",
    "DateTime @db.Timetz(7)",
    "Int @db.Text",
    "Int @db.Foo",
    "Int @foo.Integer",
    "Int @db.integer",
    "Int @db",
    "Int @db.",
    "Int @db.Integer @db.SmallInt",
    "E @db.Text",
    "Int @db.Integer.x",
    "Float @db.Money",
    "Decimal @db.Money",
    'Unsupported("x") @db.Text',
    "Int @db..Integer",
    'Unsupported("Uuid")',
    'Unsupported("uuid")',
    'Unsupported("Decimal(10,2)")',
    'Unsupported("Text")',
    'Unsupported("JsonB[]")',
    'Unsupported("VarChar(x)")',
    'Unsupported("VarChar( 5 )")',
    'Unsupported("")',
    'Unsupported("point") @unique',
    'Unsupported("point") @ignore',
    'Unsupported("point") @map("p")',
    'Unsupported("point")[]',
    'Unsupported("point")? @updatedAt',
    "Int @db.Integer()",
    "Int @db.SmallInt(5)",
    "String @db.Citext @unique",
    "String @db.Xml @unique",
    "String[] @db.VarChar(3)",
    "Bytes @db.ByteA",
    "Json @db.Json @unique",
    "Json @db.JsonB",
    "Boolean @db.Boolean",
    "Int @db.Oid",
    "BigInt @db.BigInt",
    "Float @db.Real",
    "Int @db.Int",
)
"""What stands behind a field's name."""

DEFAULTS = (
    ("Int", "1"),
    ("Int", "-1"),
    ("Int", "1.0"),
    ("Int", "01"),
    ("Int", "9223372036854775807"),
    ("Int", "9223372036854775808"),
    ("Int", "-9223372036854775808"),
    ("Int", "2147483648"),
    ("BigInt", "5"),
    ("BigInt", "-05"),
    ("Float", "1"),
    ("Float", "1.10"),
    ("Float", "01.5"),
    ("Float", '"1"'),
    ("Float", "123456789012345678901234567890"),
    ("Float", "0.1234567890123456789"),
    ("Float", "-0.0"),
    ("Float", "9999999999999999999999999999999999999999"),
    ("Float", "100000000000000000000000"),
    ("Float", "0.00000001"),
    ("Decimal", "1.10"),
    ("Decimal", "1"),
    ("Decimal", '"1.10"'),
    ("Decimal", '"1e5"'),
    ("Decimal", '"abc"'),
    ("Decimal", '""'),
    ("Decimal", '"+1"'),
    ("Decimal", '".5"'),
    ("Decimal", '"5."'),
    ("Decimal", '"1_000"'),
    ("Decimal", '" 1"'),
    ("Decimal", '"1E-7"'),
    ("Decimal", '"NaN"'),
    ("Decimal", "123456789012345678901234567890.5"),
    ("Boolean", "true"),
    ("Boolean", "True"),
    ("Boolean", '"true"'),
    ("Boolean", "1"),
    ("String", "foo"),
    ("String", "1"),
    ("String", '"x"'),
    ("String", "E"),
    ("E", "A"),
    ("E", "C"),
    ("E", '"A"'),
    ("E?", "B"),
    ("E[]", "[A,B]"),
    ("E[]", "A"),
    ("E[]", "[C]"),
    ("E", "[A]"),
    ("E[]", "[]"),
    ("Int[]", "[1,2]"),
    ("Int[]", "1"),
    ("Int", "[1]"),
    ("Int[]", "[1.5]"),
    ("Int[]", "[[1]]"),
    ("Int[]", "autoincrement()"),
    ("String[]", "uuid()"),
    ("DateTime[]", "now()"),
    ("Int?", "autoincrement()"),
    ("String[]", '["a"]'),
    ("String[]", "[1]"),
    ("Json[]", '["{}"]'),
    ("Json", '"{}"'),
    ("Json", '"{"'),
    ("Json", '"NaN"'),
    ("Json", '"1e999"'),
    ("Json", '""'),
    ("Json", '"{\\"a\\": 1.50, \\"a\\": 2, \\"z\\":1,\\"b\\":1}"'),
    ("Json[]", '["[]","{\\"b\\":1.0}"]'),
    ("Bytes", '"aGk="'),
    ("Bytes", '"aGk"'),
    ("Bytes", '"!!"'),
    ("Bytes", '""'),
    ("Bytes", '"a-_="'),
    ("Bytes", '"aGl="'),
    ("Bytes", '"aGk=\\n"'),
    ("Bytes[]", '["aGk="]'),
    ("DateTime", '"2020-01-01T00:00:00Z"'),
    ("DateTime", '"2020-01-01"'),
    ("DateTime", '"2020-01-01T00:00:00"'),
    ("DateTime", '"2020-01-01T00:00:00.120+02:00"'),
    ("DateTime", '"2020-01-01 00:00:00Z"'),
    ("DateTime", '"2020-01-01t00:00:00z"'),
    ("DateTime", '"2020-01-01T24:00:00Z"'),
    ("DateTime", '"2020-01-01T00:00:60Z"'),
    ("DateTime", '"2020-01-01T00:00:00.123456789Z"'),
    ("DateTime", '"2020-01-01T00:00:00.1234567891Z"'),
    ("DateTime", '"2020-02-30T00:00:00Z"'),
    ("DateTime", '"2020-01-01T00:00:00+0200"'),
    ("DateTime", '"2020-01-01T00:00:00.000000Z"'),
    ("DateTime", '"2020-01-01T00:00:00-00:00"'),
    ("DateTime", '"2020-01-01T00:00Z"'),
    ("DateTime", '"0000-01-01T00:00:00Z"'),
    ("DateTime", '"+12020-01-01T00:00:00Z"'),
    ("DateTime", '"2020-01-01T00:00:00+24:00"'),
    ("DateTime", '"2020-01-01T00:00:00+23:59"'),
    ("DateTime", '"2020-01-01T23:59:60Z"'),
    ("DateTime[]", '["2020-01-01T00:00:00Z"]'),
    ("DateTime", "now()"),
    ("DateTime", "now(1)"),
    ("DateTime", "5"),
    ("String", "uuid()"),
    ("String", "uuid(4)"),
    ("String", "uuid(7)"),
    ("String", "uuid(5)"),
    ("String", 'uuid("4")'),
    ("String", "uuid(4,7)"),
    ("String", "uuid(04)"),
    ("String", "uuid(version: 7)"),
    ("String", "cuid()"),
    ("String", "cuid(1)"),
    ("String", "cuid(2)"),
    ("String", "cuid(3)"),
    ("String", "ulid()"),
    ("String", "ulid(1)"),
    ("String", "nanoid()"),
    ("String", "nanoid(1)"),
    ("String", "nanoid(2)"),
    ("String", "nanoid(255)"),
    ("String", "nanoid(256)"),
    ("String", 'nanoid("5")'),
    ("String", "nanoid(5,5)"),
    ("String", "nanoid(0)"),
    ("String", "nanoid(-5)"),
    ("String", "nanoid(5.5)"),
    ("String", "autoincrement()"),
    ("Int", "uuid()"),
    ("Int", "now()"),
    ("Int", "sequence()"),
    ("Int", "sequence(start: 1)"),
    ("String", "auto()"),
    ("Int", "foo()"),
    ("E", "foo()"),
    ("E", "uuid()"),
    ("E", "dbgenerated()"),
    ("E", 'dbgenerated("A")'),
    ("String", 'dbgenerated("")'),
    ("String", "dbgenerated(5)"),
    ("String", 'dbgenerated("a","b")'),
    ("String", 'dbgenerated(x: "a")'),
    ("String[]", 'dbgenerated("a")'),
    ('Unsupported("x")', 'dbgenerated("a")'),
    ('Unsupported("x")', '"a"'),
    ('Unsupported("x")', "now()"),
    ("Int", "autoincrement(1)"),
    ("Float", "autoincrement()"),
    ("BigInt", "autoincrement()"),
    ("String", 'env("X")'),
    ("Int", "value: 5"),
    ("Int", 'value: 5, map: "x"'),
    ("Int", '5, map: "x"'),
    ("Int", "5, 6"),
    ("Int", ""),
    ("Decimal", "autoincrement()"),
    ("Boolean", "now()"),
    ("Json", 'dbgenerated("x")'),
    ("Json", "5"),
    ("Json", "{}"),
    ("Json", "true"),
    ("Decimal[]", '[1, "2"]'),
    ("Float[]", "[1, 2.5]"),
    ("Boolean[]", "[true]"),
    ("BigInt[]", "[1]"),
    ("String", "now()"),
)
"""Types and what stands in their ``@default(…)``."""

BLOCKS = (
    "@@id([id])",
    "@@id(id)",
    "@@id([])",
    "@@id",
    "@@id()",
    "@@id([id,id])",
    "@@id([id,nope])",
    "@@id([o])",
    "@@id([id,o])",
    "@@id([l])",
    "@@id([u])",
    "@@id([j])",
    '@@id([id], name: "x")',
    '@@id([id,a], name: "x")',
    '@@id([id,a], name: "a")',
    '@@id([id,a], name: "x y")',
    '@@id([id,a], name: "")',
    '@@id([id,a], map: "x")',
    '@@id([id,a], map: "")',
    "@@id(fields: [id,a])",
    "@@id(fields: [id], [a])",
    "@@id([id(sort: Desc)])",
    "@@id([id(length: 3)])",
    "@@id([id(ops: JsonbOps)])",
    '@@id([id(ops: raw("x"))])',
    "@@id([id], clustered: true)",
    "@@id([id])\n@@id([a])",
    "@@id([id.a])",
    '@@id(["id"])',
    "@@id([id], foo: 1)",
    "@@id([id], type: Hash)",
    "@@id([id])\n@@unique([id])",
    "@@unique([id])\n@@unique([id])",
    '@@unique([id])\n@@unique([id], map: "z")',
    "@@unique([id,a])\n@@unique([a,id])",
    "@@unique([o])",
    "@@unique([id,o])",
    "@@unique([u])",
    "@@unique([id,u])",
    "@@unique([l])",
    "@@unique([id])\n@@index([id])",
    '@@unique([id])\n@@index([id], map: "A_id_key")',
    '@@unique([id])\n@@index([a], name: "x", map: "y")',
    '@@unique([id])\n@@index([a], name: "x")\n@@index([b], map: "x")',
    "@@unique([id])\n@@index([])",
    "@@unique([id])\n@@index",
    "@@unique([id])\n@@index(a)",
    "@@unique([id])\n@@index([a,a])",
    "@@unique([id])\n@@index([nope])",
    "@@unique([id], type: Hash)",
    '@@unique([id(ops: raw("x"))])',
    "@@unique([id(sort: Desc)])",
    "@@unique([id(sort: desc)])",
    '@@unique([id(sort: "Desc")])',
    "@@unique([id(length: 3)])",
    "@@unique([id(foo: 3)])",
    "@@unique([id(3)])",
    "@@unique([id()])",
    "@@unique([id(sort: Asc, sort: Desc)])",
    "@@unique([id])\n@@index([a], type: Foo)",
    '@@unique([id])\n@@index([a], type: "Hash")',
    "@@unique([id])\n@@index([a], type: Hash)",
    "@@unique([id])\n@@index([a,b], type: Hash)",
    "@@unique([id])\n@@index([a(sort: Desc)], type: Hash)",
    "@@unique([id])\n@@index([a(sort: Desc)], type: BTree)",
    "@@unique([id])\n@@index([a(sort: Desc)], type: Brin)",
    "@@unique([id])\n@@index([a,b], type: SpGist)",
    "@@unique([id])\n@@index([s], type: SpGist)",
    '@@unique([id])\n@@index([a(ops: raw("x"))])',
    '@@unique([id])\n@@index([a(ops: raw(""))])',
    "@@unique([id])\n@@index([a(ops: raw(5))])",
    '@@unique([id])\n@@index([a(ops: raw("x","y"))])',
    "@@unique([id])\n@@index([a(ops: raw())])",
    '@@unique([id])\n@@index([a(ops: "x")])',
    '@@unique([id])\n@@index([a(ops: foo("x"))])',
    "@@unique([id])\n@@index([a], clustered: true)",
    '@@unique([id], name: "q")\n@@unique([a], name: "q", map: "w")',
    '@@unique([id], name: "a")',
    '@@unique([id,a], name: "a_b")',
    "@@unique([id])\n@@fulltext([s])",
    "@@unique([id])\n@@shardKey([id])",
    '@@unique([id])\n@@map("x")',
    '@@unique([id])\n@@map("")',
    '@@unique([id])\n@@map("x")\n@@map("y")',
    "@@unique([id])\n@@map(x)",
    '@@unique([id])\n@@map(name: "x")',
    '@@unique([id])\n@@map(map: "x")',
    "@@unique([id])\n@@ignore",
    "@@ignore",
    "@@unique([id])\n@@ignore(1)",
    "@@unique([id])\n@@foo",
    '@@unique([id])\n@@schema("x")',
    "@@unique([id])\n@@schema()",
    "@@unique([id])\n@@db.x",
    "@@unique([id])\n@@unique",
    '@@unique([id])\n@@map("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
    "@@unique([id])\n@@index([id_a])",
    "@@unique([id, a])\n id_a Int",
    "@@id([id, a])\n id_a Int",
    '@@unique([id, a], name: "zz")\n id_a Int',
    "@@unique([id])\n@@index([a, b])\n a_b Int",
    "@@unique([id])\n@@index([u])",
    "@@unique([id])\n@@index([j])",
    "@@unique([id])\n@@index([j], type: Gin)",
    "@@unique([id])\n@@index([l], type: Gin)",
    "@@unique([id])\n@@index([l, j], type: Gin)",
    "@@unique([id])\n@@index([l(ops: ArrayOps), j(ops: JsonbPathOps)], type: Gin)",
    "@@unique([id])\n@@index([a(ops: Int4BloomOps), b], type: Brin)",
    "@@unique([id])\n@@index([l], type: Brin)",
    "@@unique([id])\n@@index([j], type: Brin)",
    "@@unique([id])\n@@index([u], type: Brin)",
    "@@unique([id])\n@@index([u(ops: Int4BloomOps)], type: Brin)",
    "@@unique([id])\n@@index([a(ops: Int4BloomOps)])",
    "@@unique([id])\n@@index([a(ops: InetOps)], type: Gist)",
    "@@unique([id])\n@@index([s], type: Gist)",
)
"""Attributes of a model with the fields id, a, b, s, o?, j (Json), l[] and u (Unsupported)."""

ENUMS = (
    "enum E {\n}\n",
    "enum E {\n A\n A\n}\n",
    'enum E {\n A @map("x")\n B @map("x")\n}\n',
    'enum E {\n A @map("B")\n B\n}\n',
    'enum E {\n A @map("")\n}\n',
    'enum E {\n A @map("a b")\n}\n',
    "enum E {\n A @ignore\n}\n",
    "enum E {\n A @default\n}\n",
    "enum E {\n A\n @@ignore\n}\n",
    'enum E {\n A\n @@map("x")\n @@map("y")\n}\n',
    'enum E {\n A\n}\nenum F {\n A\n @@map("E")\n}\n',
    "enum E {\n A\n}\nmodel E {\n id Int @id\n}\n",
    'enum E {\n A\n @@map("A")\n}\n',
    "enum String {\n A\n}\n",
    "enum class {\n A\n}\n",
    "enum E {\n class\n true\n}\n",
    "enum E {\n A B\n}\n",
    "enum E {\n A,\n B\n}\n",
    "enum E {\n A = 1\n}\n",
    'enum E {\n A @map("x") @map("y")\n}\n',
    "enum E {\n A @map\n}\n",
    'enum E {\n "A"\n}\n',
    "enum E {\n A\n @@unique([A])\n}\n",
    'enum E {\n A\n @@schema("x")\n}\n',
    "enum E { A\n}\n",
    "enum E {}\n",
    "enum PrismaClient {\n A\n}\n",
    "enum async {\n A\n}\n",
    "enum e {\n a\n}\n",
)
"""Blocks beside a model A."""

NAMES = (
    "String",
    "Int",
    "Json",
    "PrismaClient",
    "break",
    "async",
    "await",
    "using",
    "yield",
    "let",
    "static",
    "enum",
    "type",
    "model",
    "view",
    "Prisma",
    "Promise",
    "any",
    "null",
    "undefined",
    "delete",
    "dmmf",
    "Model",
    "Enum",
    "Query",
    "Type",
    "Decimal",
    "Float",
    "UserCreateInput",
    "A1",
    "a",
    "Class",
    "Object",
)
"""Names of models, enums and fields."""

FORWARD = (
    "b B",
    "b B?",
    "b B[]",
    "b B @relation(fields: [bid], references: [id])",
    "b B? @relation(fields: [bid], references: [id])",
    "b B @relation(fields: [bid2], references: [id])",
    "b B? @relation(fields: [bid2], references: [id])",
    "b B @relation(fields: [bidu], references: [id])",
    "b B? @relation(fields: [bidu], references: [id])",
    "b B @relation(fields: [bs], references: [id])",
    "b B @relation(fields: [bid], references: [x])",
    "b B @relation(fields: [bid], references: [y])",
    "b B @relation(fields: [bid, bidu], references: [id])",
    "b B @relation(fields: [bid], references: [id, x])",
    "b B @relation(fields: [], references: [])",
    "b B @relation(fields: [bid])",
    "b B @relation(references: [id])",
    "b B @relation",
    "b B @relation()",
    'b B @relation("n", fields: [bid], references: [id])',
    'b B @relation(name: "n", fields: [bid], references: [id])',
    'b B @relation("", fields: [bid], references: [id])',
    'b B[] @relation("n")',
    "b B[] @relation(fields: [bid], references: [id])",
    "b B[] @relation(references: [id])",
    "b B[] @relation(onDelete: Cascade)",
    "b B @relation(fields: [nope], references: [id])",
    "b B @relation(fields: [bid], references: [nope])",
    "b B @relation(fields: [b], references: [id])",
    "b B @relation(fields: [bid], references: [as])",
    "b B @relation(fields: [bid], references: [id], onDelete: Foo)",
    "b B @relation(fields: [bid], references: [id], onDelete: SetDefault)",
    'b B @relation(fields: [bid], references: [id], onDelete: "Cascade")',
    'b B @relation(fields: [bid], references: [id], map: "fk")',
    'b B @relation(fields: [bid], references: [id], map: "")',
    'b B @relation(fields: [bid], references: [id], map: "A_pkey")',
    'b B @relation(fields: [bid], references: [id], map: "B_pkey")',
    'b B @relation(fields: [bid], references: [id], map: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
    "b B @relation(fields: [bid], references: [id], foo: 1)",
    "b B @relation(fields: bid, references: id)",
    'b B @relation(fields: ["bid"], references: [id])',
    "b B @relation(fields: [bid, bid], references: [id, id])",
    "b B @relation(fields: [bl], references: [id])",
    "b B? @relation(fields: [bl], references: [id])",
    "b B @relation(fields: [bid], references: [id]) @id",
    "b B @relation(fields: [bid], references: [id]) @unique",
    'b B @relation(fields: [bid], references: [id]) @map("x")',
    "b B @relation(fields: [bid], references: [id]) @default(1)",
    "b B @relation(fields: [bid], references: [id]) @ignore",
    "b B @relation(fields: [bid], references: [id]) @db.Integer",
    "b B @relation(fields: [bid], references: [id]) @updatedAt",
    'b B @relation(fields: [bid], references: [id]) @relation("x")',
    "b B @relation(fields: [bid], references: [id(sort: Desc)])",
    'b B @relation("a", "b")',
    "b B @relation(fields: [bid], references: [id])\n c B @relation(fields: [bidu], references: [id])",
    'b B @relation("p", fields: [bid], references: [id])\n c B @relation("q", fields: [bidu], references: [id])',
    "b B @relation(fields: [bid], references: [id])\n c B[]",
)
"""Fields of a model A that point at B."""

BACK = (
    "",
    "as A",
    "as A?",
    "as A[]",
    'as A[] @relation("n")',
    'as A? @relation("n")',
    "as A? @relation(fields: [aid], references: [id])",
    "as A? @relation(fields: [aidu], references: [id])",
    "as A @relation(fields: [aidu], references: [id])",
    "as A[] @relation(onDelete: Cascade)",
    "as A? @relation(onUpdate: Cascade)",
    "as A[] @relation(fields: [aid], references: [id])",
    "as A? @relation(references: [id])",
    "as A? @relation(fields: [aid])",
    'as A[] @relation("p")\n at A? @relation("q")',
    "as A[] @ignore",
    'as A[] @relation(map: "x")',
    "as A[]\n at A[]",
)
"""Fields of B that point back."""

SELF = (
    ["a A"],
    ["a A?"],
    ["a A[]"],
    ["a A? @relation(fields:[p],references:[id])"],
    ["a A? @relation(fields:[p],references:[id])", "b A[]"],
    ['a A? @relation("x",fields:[p],references:[id])', 'b A[] @relation("x")'],
    ['a A? @relation("x",fields:[u],references:[id])', 'b A? @relation("x")'],
    ['a A @relation("x",fields:[r],references:[id])', 'b A[] @relation("x")'],
    ['a A @relation("x",fields:[r],references:[id])', 'b A? @relation("x")'],
    ['a A[] @relation("x")', 'b A[] @relation("x")'],
    ['a A[] @relation("x")'],
    ["a A[]", "b A[]"],
    ['a A? @relation("x")', 'b A? @relation("x")'],
    [
        'a A? @relation("x",fields:[p],references:[id], onDelete: NoAction, onUpdate: NoAction)',
        'b A[] @relation("x")',
    ],
    [
        'a A? @relation("x",fields:[p],references:[id], onDelete: Restrict, onUpdate: Restrict)',
        'b A[] @relation("x")',
    ],
    [
        'a A? @relation("x",fields:[p],references:[id], onDelete: SetNull, onUpdate: Restrict)',
        'b A[] @relation("x")',
    ],
    ['a A? @relation("x",fields:[p],references:[id])', 'b A[] @relation("x")', 'c A[] @relation("x")'],
    ['a A @relation("x",fields:[id],references:[id])', 'b A? @relation("x")'],
    [
        'a A @relation("x",fields:[id],references:[id], onDelete: Restrict, onUpdate: Restrict)',
        'b A? @relation("x")',
    ],
)
"""Fields of A that point at A."""

TEXTS = (
    "modelA {\n id Int @id\n}\n",
    "/* hi */\nmodel A {\n id Int @id\n}\n",
    "/* hi\n there */\nmodel A {\n /* x */\n id Int @id\n}\n",
    "model A {\n id Int @id /* x */\n}\n",
    "model A {\n id /* x */ Int @id\n}\n",
    "model A {\n id Int\n b Int\n @@id([id,\n b])\n}\n",
    "model A {\n id Int\n b Int\n @@id(\n[id, b]\n)\n}\n",
    "model A {\n id Int\n b Int\n @@id([id, b],)\n}\n",
    "model A {\n id Int\n b Int\n @@id([id, b,])\n}\n",
    'generator c {\n provider="x"\n previewFeatures=[\n "views",\n "relationJoins"\n ]\n}\nmodel A {\n  id Int @id\n}\n',
    'generator c {\n provider="x"\n previewFeatures=[\n "views",\n "relationJoins",\n ]\n}\nmodel A {\n  id Int @id\n}\n',
    'generator c {\n provider="x"\n previewFeatures=[\n "views", // x\n "relationJoins"\n ]\n}\nmodel A {\n  id Int @id\n}\n',
    "model Ä {\n id Int @id\n}\n",
    "model A {\n id Int @id\n naïve Int\n}\n",
    "model A {\n id Int @id\n _x Int\n}\n",
    "model A {\n id Int @id\n 5x Int\n}\n",
    "enum E {\n 5x\n}\nmodel A {\n  id Int @id\n}\n",
    "model 5A {\n id Int @id\n}\n",
    "model A {\n id Int @id\n x-y Int\n}\n",
    "enum E {\n x-y\n}\nmodel A {\n  id Int @id\n}\n",
    "model A {\n id Int @id }\n",
    "model A { junk @@ id\n id Int @id\n}\n",
    "model A {\n id Int @id\n} model B {\n id Int @id\n}",
    "model A {\n id Int @id\n x Int ?\n y Int []\n}\n",
    "model A {\n id Int @id\n y Int[ ]\n}\n",
    'model A {\n id Int @ id\n @@ map ("x")\n}\n',
    "model A {\r id Int @id\r}\r",
    "model A {\r\n id Int @id\r\n}\r\n",
    "model A {\n id\xa0Int @id\n}\n",
    '/// top \n/// two\nmodel A {\n /// a \n id Int @id /// b  \n c Int // no\n // plain\n d Int\n /// x\n\n e Int\n /// y\n\n // z\n f Int\n /// q\n @@map("s")\n}\n',
    "model A {\n ///\n id Int @id\n ///\n /// x\n b Int\n}\n",
    "model A {\n id Int @id\n}",
    "model A {\n id Int @id\n} // x",
    "model A {\n id Int @id\n",
    "foo\nmodel A {\n  id Int @id\n}\n",
    "type X = String @db.VarChar(3)\nmodel A {\n  id Int @id\n}\n",
    "model\tA\t{\n\tid\tInt\t@id\n}\n",
    "model A {\n\x0bid Int @id\n}\n",
    "model A {\n\x0cid Int @id\n}\n",
    'model A {\n id Int @id\n s String @default("a\nb")\n}\n',
    'model A {\n id Int @id\n s String @default("a\\n\\u00e9\\ud83d\\ude00\\/\\b")\n}\n',
    'model A {\n id Int @id\n s String @default("a\\q")\n}\n',
    'model A {\n id Int @id\n s String @default("a\\ud83d")\n}\n',
    "model A {\n id: Int @id\n}\n",
    "model A {\n id Int! @id\n}\n",
    "model A {\n id Int @id\n x [Int]\n}\n",
    "model A {\n id Int @id\n x Int[]?\n}\n",
    'enum E {\n A // x\n B @map("b") /// doc\n /// pre\n C\n @@map("e")\n}\nmodel A {\n  id Int @id\n}\n',
    "generator c {\n provider =\n}\nmodel A {\n  id Int @id\n}\n",
    "generator c {\n provider\n}\nmodel A {\n  id Int @id\n}\n",
    'generator c {\n provider = "x" // t\n /// d\n a = 1\n b = true\n c = [1,"x"]\n d=env("X")\n}\nmodel A {\n  id Int @id\n}\n',
    "model A\n{\n id Int @id\n}\n",
    "",
    "model A {\n id Int @id,\n}\n",
    'model A {\n id Int @id\n s String @default(\n"x")\n}\n',
    "model Xé {\n id Int @id\n é Int\n}\n",
    "model X {\n id Int @id\n é Int\n}\n",
    "model X {\n id Int @id\n x² Int\n}\n",
    "model X {\n id Int @id\n xⅣ Int\n}\n",
    "enum Ä {\n é\n}\nmodel X {\n id Int @id\n 名 Ä\n}\n",
)
"""Texts as a whole, behind a datasource."""

CONFIGS = (
    ('["views"]', '["nope"]'),
    ('["views"]', '["multiSchema", "driverAdapters", "fullTextSearch"]'),
    ('["views"]', "views"),
    ('provider = "x"', ""),
    ('provider = "x"', "provider ="),
    ('provider = "x"', 'provider = "x"\n  provider = "y"'),
    ('provider = "x"', 'provider = env("X")\n  z = foo(1)\n  y = [a]\n  w = [[1.5]]'),
    ('provider = "x"', 'provider = "x"\n  engineType = env("Y")'),
    ('provider = "x"', 'provider = "x"\n  output = 5'),
    ('provider = "x"', 'provider = "x"\n  binaryTargets = ["native", env("X")]'),
    ('"postgres://x"', '""'),
    ('"postgres://x"', 'env("X")'),
    ('"postgres://x"', 'env("X", "Y")'),
    ('"postgres://x"', "env(X)"),
    ('"postgres://x"', "5"),
    ('url = "postgres://x"', ""),
    ("url =", 'shadowDatabaseUrl = "postgres://x"\n  url ='),
    ('url = "postgres://x"', 'shadowDatabaseUrl = env("X")\n  url = env("X")'),
    ('url = "postgres://x"', 'directUrl = "d"\n  shadowDatabaseUrl = "d"\n  url = env("X")'),
    ("url =", "foo = 1\n  url ="),
    ("url =", 'relationMode = "prisma"\n  url ='),
    ("url =", 'referentialIntegrity = "prisma"\n  url ='),
    ("url =", 'referentialIntegrity = "prisma"\n  relationMode = "prisma"\n  url ='),
    ("url =", 'relationMode = "x"\n  url ='),
    ("url =", 'previewFeatures = ["views"]\n  url ='),
    ("url =", "extensions = [a]\n  url ="),
    ('"postgresql"', '["postgresql"]'),
    ('"postgresql"', 'env("P")'),
    ('"postgresql"', '"postgres"'),
    ('"postgresql"', '"oracle"'),
    ("datasource", 'datasource e {\n  provider = "postgresql"\n  url = "y"\n}\ndatasource'),
    ("datasource", 'generator c {\n  provider = "x"\n}\ndatasource'),
    *(
        (
            '"views"]\n}\ndatasource db {',
            f'"postgresqlExtensions"]\n}}\ndatasource db {{\n  extensions = {value}',
        )
        for value in (
            "[a]",
            "[a, b]",
            "a",
            '["a"]',
            '[a(map: "x", schema: "y", version: "1")]',
            '[a(foo: "x")]',
            '[a("x")]',
            "[a(map: x)]",
            "[]",
            "[a, a]",
            "5",
        )
    ),
    *(
        ("url =", f"schemas = {value}\n  url =")
        for value in ('["a"]', "[]", '"a"', "[a]", '["a", "a"]', "[1]")
    ),
)
"""What to replace in a schema's configuration, by what."""

SCHEMAS = tuple(
    f"{HEAD.replace('url', 'schemas = ' + listed + chr(10) + '  url')}"
    f"model A {{\n  id Int @id\n{of_model}}}\nenum E {{\n  V\n{of_enum}}}\n"
    for listed, of_model, of_enum in product(
        ('["a"]', '["a", "b"]'),
        ("", '  @@schema("a")\n', '  @@schema("b")\n', "  @@schema(a)\n"),
        ("", '  @@schema("a")\n', '  @@schema("b")\n  @@map("A")\n'),
    )
)
"""Models and enums in several PostgreSQL schemas."""

PRISMA_7 = 'generator c {\n  provider = "prisma-client"\n  previewFeatures = ["partialIndexes"]\n}\n' + (
    'datasource db {\n  provider = "postgresql"\n}\n'
)

WHERE = (
    "raw(\"st = 'active'\")",
    'raw("")',
    "raw()",
    "raw(st)",
    'raw("a", "b")',
    'foo("a")',
    '"st = 1"',
    "5",
    "true",
    "[act]",
    "{}",
    "{ act: true }",
    "{act:true}",
    '{ act : false, e: "x\'y" }',
    "{ act: true, }",
    "{\n act: true\n}",
    "{ act: null }",
    "{ act: { not: true } }",
    '{ act: "x" }',
    "{ act: 1 }",
    "{ n: -5 }",
    "{ n: 1.5 }",
    "{ n: null }",
    "{ n: { not: null } }",
    "{ n: { not: 5 } }",
    "{ n: {} }",
    "{ n: { gt: 5 } }",
    "{ n: { not: { not: 5 } } }",
    "{ n: { not: null, gt: 1 } }",
    '{ n: "5" }',
    "{ n: true }",
    '{ e: "a", e: "b" }',
    '{ e: "a\\"b" }',
    "{ e: true }",
    "{ e: foo() }",
    "{ e: [1] }",
    '{ e: raw("a") }',
    "{ e: tru }",
    '{ "e": 1 }',
    "{ d: null }",
    '{ d: "2020-01-01T00:00:00Z" }',
    '{ d: "junk" }',
    "{ d: 5 }",
    "{ dc: 1 }",
    '{ dc: "1.5" }',
    "{ r: X }",
    '{ r: "Y" }',
    '{ r: "Q" }',
    '{ r: { not: "X" } }',
    "{ r: 1 }",
    "{ j: null }",
    '{ j: "{}" }',
    "{ j: 1 }",
    "{ l: null }",
    '{ l: "a" }',
    "{ l: 1 }",
    "{ u: null }",
    '{ u: "a" }',
    "{ b: 1 }",
    "{ zz: 1 }",
)
"""What ``where`` of an index may be, of a model with a field of each type."""

PARTIAL = (
    "  @@unique([e], where: { act: true })",
    '  @@unique([e, n], where: { act: true }, name: "zz", map: "yy")',
    '  @@unique([e, n], where: { act: true }, name: "act")',
    "  @@unique(where: { act: true }, fields: [e])",
    "  @@unique([e], where: { act: true })\n  @@unique([e])",
    "  @@index([e], where: { act: true })\n  @@index([n])\n  @@unique([n])",
    "  @@index(e, where: { act: true })",
    "  @@index({ act: true })",
    "  @@index([e], { act: true })",
    "  @@index([e(sort: Desc)], where: { act: true })",
    "  @@index([l], type: Gin, where: { act: true })",
    "  @@id([e], where: { act: true })",
    "  @@fulltext([e], where: { act: true })",
    "  @@index([e], when: { act: true })",
    "  x Int @unique(where: { act: true })",
    '  x Int @unique(where: raw("x"), map: "y")',
    "  x Int @unique @unique(where: { act: true })",
    "  x String @default({})",
    "  x B? @relation(fields: [n], references: [k])",
    "  x B @relation(fields: [y], references: [id])\n  y Int @unique(where: { act: true })",
)
"""Lines of such a model."""

VIEWS = tuple(
    f"view V {{\n  id Int{on_field}\n  b Int\n{on_block}}}\n"
    for on_field, on_block in product(
        ("", " @id", " @unique"),
        ("", "  @@index([b])\n", "  @@unique([id, b])\n", "  @@id([id, b])\n", "  @@ignore\n"),
    )
)
"""Views beside a model A."""


def cases() -> Iterator[str]:
    """Every schema, once."""
    yield from dict.fromkeys(_all())


def _all() -> Iterator[str]:
    for text in TEXTS:
        yield HEAD + text
    for line in FIELDS:
        yield (
            f"{HEAD}model A {{\n  id Int @id\n  a Int\n  b Int\n  s String\n  x {line}\n}}\n"
            "model B {\n  id Int @id\n}\nenum E {\n  A\n  B\n}\n"
        )
    for kind, value in DEFAULTS:
        yield f"{HEAD}model A {{\n  id Int @id\n  x {kind} @default({value})\n}}\nenum E {{\n  A\n  B\n}}\n"
    for block in BLOCKS:
        fields = (
            '  id Int\n  a Int\n  b Int\n  s String\n  o Int?\n  j Json\n  l Int[]\n  u Unsupported("x")\n'
        )
        yield f"{HEAD}model A {{\n{fields}{block}\n}}\n"
    for text in ENUMS:
        yield HEAD + MODEL + text
    for name in NAMES:
        yield f"{HEAD}model {name} {{\n  id Int @id\n}}\n"
        yield f"{HEAD}{MODEL}enum {name} {{\n  A\n}}\n"
        yield f"{HEAD}model Q {{\n  id Int @id\n  {name} Int\n}}\n"
    yield from _relations()
    for old, new in CONFIGS:
        yield CONFIG.replace(old, new, 1) + MODEL
    yield from SCHEMAS
    yield from _of_prisma_7()
    for view in VIEWS:
        yield CONFIG + MODEL + view
    yield CONFIG.replace('"views"', "") + MODEL + VIEWS[-1]


def long_names() -> Iterator[str]:
    """Schemas whose names in the database are longer than PostgreSQL's can be, all of them valid."""
    for stem, length in product(
        ("FrameworkEditorTemplate", "Müßigänger"), (24, 27, 28, 29, 30, 31, 40, 54, 58)
    ):
        name = (stem * 3)[:length]
        yield (
            f"{HEAD}model {name} {{\n  id Int\n  {name}X Int\n  up{name} Int?\n  es {name}E[]\n"
            f'  o {name}? @relation("t{name}", fields: [up{name}], references: [id])\n  os {name}[] @relation("t{name}")\n'
            f'  bs {name}B[]\n  cs {name}B[] @relation("r{name * 2}")\n  @@id([id])\n  @@unique([id, {name}X])\n'
            f"  @@index([{name}X, id])\n  @@unique([up{name}])\n}}\n"
            f'model {name}B {{\n  id String @id\n  as {name}[]\n  ds {name}[] @relation("r{name * 2}")\n}}\n'
            f"enum {name}E {{\n  A\n}}\n"
        ).replace("  @@unique([up", "  @@index([up")


def _of_prisma_7() -> Iterator[str]:
    lines = [*PARTIAL, *(f"  @@index([e], where: {where})" for where in WHERE)]
    for line, back in product(lines, ("as A[]", "as A?")):
        if back == "as A[]" or "x B" in line:
            yield (
                f'{PRISMA_7}model A {{\n  id Int @id\n  e String\n  act Boolean @map("is_act")\n  n Int?\n'
                f'  d DateTime?\n  dc Decimal?\n  r E?\n  j Json?\n  l Int[]\n  u Unsupported("x")?\n'
                f'  bid Int\n  b B @relation("q", fields: [bid], references: [id])\n{line}\n}}\n'
                f'model B {{\n  id Int @id\n  k Int @unique(where: raw("k"))\n  qs A[] @relation("q")\n'
                f'{f"  {back}" if "x B" in line else ""}\n}}\nenum E {{\n  X\n  Y @map("yy")\n}}\n'
            )
    yield (
        PRISMA_7.replace('"partialIndexes"', "")
        + "model A {\n  id Int @id\n  x Int @unique(where: { x: 1 })\n}\n"
    )
    yield PRISMA_7 + 'model A {\n  id Int @unique(where: raw("id"))\n}\n'

    for line in (
        "",
        'url = "u"',
        'directUrl = "u"',
        'shadowDatabaseUrl = env("X")',
        "foo = 1",
        "extensions = [a]",
    ):
        for feature in ("partialIndexes", "metrics", "views"):
            head = PRISMA_7.replace("partialIndexes", feature)
            yield head.replace('postgresql"\n', f'postgresql"\n  {line}\n') + MODEL
            yield head.partition("datasource")[0] + MODEL


def _relations() -> Iterator[str]:
    for head, forward, back in product((HEAD, PRISMA_MODE), FORWARD, BACK):
        if head is HEAD or len(forward) < 60:
            yield (
                f"{head}model A {{\n  id Int @id\n  bid Int\n  bid2 Int?\n  bidu Int @unique\n  bs String\n"
                f"  bl Int[]\n  {forward}\n}}\nmodel B {{\n  id Int @id\n  x Int\n  y Int @unique\n  s String\n"
                f"  aid Int?\n  aidu Int? @unique\n  {back}\n}}\n"
            )
    for head, lines in product((HEAD, PRISMA_MODE), SELF):
        joined = "\n  ".join(lines)
        yield f"{head}model A {{\n  id Int @id\n  p Int?\n  u Int? @unique\n  r Int\n  {joined}\n}}\n"
    for head, action in product(
        (HEAD, PRISMA_MODE), ("", ", onDelete: Restrict", ", onUpdate: Restrict", ACTED)
    ):
        yield (
            f'{head}model A {{\n  id Int @id\n  bid Int\n  b B @relation("x", fields: [bid], references: [id])\n'
            f'  bs B[] @relation("y")\n}}\nmodel B {{\n  id Int @id\n  aid Int\n'
            f'  a A @relation("y", fields: [aid], references: [id]{action})\n  as A[] @relation("x")\n}}\n'
        )
    for key, mine, theirs in product(KEYS, MANY, ("", ' @relation("n")')):
        yield f"{HEAD}model A {{\n  {key}\n  bs B[]{mine}\n}}\nmodel B {{\n  id Int @id\n  as A[]{theirs}\n}}\n"
    for mine, theirs in COLUMNS:
        yield (
            f"{HEAD}model A {{\n  id Int @id\n  b {mine}\n  p B @relation(fields: [b], references: [k])\n}}\n"
            f"model B {{\n  id Int @id\n  k {theirs} @unique\n  as A[]\n}}\nenum E {{\n  A\n}}\nenum F {{\n  A\n}}\n"
        )
    for (fields, references, unique), back, own in product(COMPOUND, ("[]", "?"), ("x, y", "y, x")):
        yield (
            f"{HEAD}model A {{\n  id Int @id\n  x Int\n  y Int\n"
            f"  p B @relation(fields: {fields}, references: {references})\n  @@unique([{own}])\n}}\n"
            f"model B {{\n  id Int @id\n  a Int\n  b Int\n  as A{back}\n  @@unique({unique})\n}}\n"
        )
    for a, b, forward, back in product(
        ("", "\n  @@ignore"), ("", "\n  @@ignore"), ("", " @ignore"), ("", " @ignore")
    ):
        yield (
            f"{HEAD}model A {{\n  id Int @id\n  x Int\n  p B @relation(fields: [x], references: [id]){forward}{a}\n}}\n"
            f"model B {{\n  id Int @id\n  as A[]{back}{b}\n}}\n"
        )
    for optional, when in product(("", "?"), ("onDelete", "onUpdate")):
        for head in (HEAD, PRISMA_MODE):
            yield (
                f"{head}model A {{\n  id Int @id\n  x Int{optional}\n  y Int\n"
                f"  p B{optional} @relation(fields: [x, y], references: [id, c], {when}: SetNull)\n}}\n"
                "model B {\n  id Int @id\n  c Int\n  as A[]\n  @@unique([id, c])\n}\n"
            )


ACTED = ", onDelete: Restrict, onUpdate: Restrict"
KEYS = ("id Int @id", "id Int @unique", "id Int\n  x Int\n  @@id([id, x])", "id Int\n  @@id([id])")
MANY = (
    "",
    ' @relation("n")',
    " @relation(references: [id])",
    " @relation(onUpdate: Cascade)",
    ' @relation(map: "x")',
    " @relation(fields: [id])",
    " @ignore",
)
COLUMNS = (
    ("Int", "BigInt"),
    ("String", "String @db.Uuid"),
    ("E", "E"),
    ("E", "F"),
    ('Unsupported("x")', 'Unsupported("x")'),
    ('Unsupported("x")', 'Unsupported("y")'),
    ("Int[]", "Int"),
    ("Int", "Int[]"),
    ("Json", "Json"),
    ("Decimal", "Float"),
)
COMPOUND = (
    ("[x, y]", "[a, b]", "[a, b]"),
    ("[x, y]", "[b, a]", "[a, b]"),
    ("[x]", "[a]", "[a, b]"),
    ("[x, y]", "[a, b]", "[a]"),
)
