"""A schema with every type that Prisma has on PostgreSQL, and rows for it.

The embedded server was built without XML, so that such a column can only hold NULL.
"""

from __future__ import annotations

from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.postgres.connection import Connection, transaction
from octavo.schema.datamodel import Datamodel
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider   = "postgresql"
  url        = env("DATABASE_URL")
}

enum Mood {
  GLAD @map("glad to see you")
  SAD
  ODD  @map("it's \\"odd\\"")
  @@map("mood")
}

model Value {
  id        Int       @id @default(autoincrement())
  flag      Boolean?  @default(false)
  small     Int?      @db.SmallInt
  whole     Int?
  oid       Int?      @db.Oid
  big       BigInt?
  single    Float?    @db.Real
  double    Float?
  decimal   Decimal?  @db.Decimal(10, 2)
  any       Decimal?  @db.Decimal
  money     Decimal?  @db.Money
  text      String?
  varchar   String?   @db.VarChar(5)
  char      String?   @db.Char(4)
  bit       String?   @db.Bit(4)
  varbit    String?   @db.VarBit(6)
  uuid      String?   @db.Uuid
  xml       String?   @db.Xml
  inet      String?   @db.Inet
  bytes     Bytes?
  json      Json?     @db.Json
  jsonb     Json?
  at        DateTime?
  micros    DateTime? @db.Timestamp(6)
  zoned     DateTime? @db.Timestamptz(3)
  seconds   DateTime? @db.Timestamp(0)
  day       DateTime? @db.Date
  clock     DateTime? @db.Time(6)
  clockz    DateTime? @db.Timetz(3)
  mood      Mood?
  ints      Int[]
  texts     String[]
  chars     String[]  @db.Char(3)
  jsons     Json[]
  bytess    Bytes[]
  days      DateTime[] @db.Date
  moods     Mood[]
  floats    Float[]
  decimals  Decimal[]
  range     Unsupported("int4range")?
  interval  Unsupported("interval")?
  children  Child[]

  @@index([text])
}

model Child {
  left    Int
  right   String
  number  BigInt  @unique @default(autoincrement())
  valueId Int     @map("value_id")
  value   Value   @relation(fields: [valueId], references: [id], onDelete: Cascade)
  note    String? @default("none")

  @@id([left, right])
  @@map("the children")
}

model Node {
  id       String  @id
  parentId String?
  parent   Node?   @relation("tree", fields: [parentId], references: [id], onDelete: SetNull)
  children Node[]  @relation("tree")
  eggId    String?
  egg      Egg?    @relation("egg", fields: [eggId], references: [id], onDelete: SetNull, onUpdate: NoAction)
  eggs     Egg[]   @relation("node")
}

model Egg {
  id     String  @id
  nodeId String
  node   Node    @relation("node", fields: [nodeId], references: [id], onDelete: Cascade)
  nodes  Node[]  @relation("egg")
  name   String
  @@unique([nodeId, name])
}

model Stamp {
  at     DateTime @id @db.Timestamptz(6)
  author String?
}
"""

LAYOUT = """
version = 1
[documents]
"nodes.json" = { nodes = "Node", stamps = "Stamp" }
[files]
"values/{id}.json" = "Value"
[logs_per_parent]
"eggs/{nodeId}.jsonl" = "Egg"
[embedded]
Child = "Value.children"
"""

_VALUES: dict[str, tuple[str, ...]] = {
    "flag": ("true", "false"),
    "small": ("-32768", "32767"),
    "whole": ("-2147483648", "2147483647"),
    "oid": ("0", "4294967295"),
    "big": ("-9223372036854775808", "9223372036854775807"),
    "single": ("'NaN'", "1e-45", "'-Infinity'", "3.4028235e38", "0.1", "'-0'"),
    "double": ("'NaN'", "5e-324", "'Infinity'", "1.7976931348623157e308", "0.1", "1e22", "'-0'"),
    "decimal": ("1.50", "-99999999.99", "0"),
    "any": ("1.50", "1.5", "'NaN'", "'Infinity'", "1e-300", "1e300", "-0.000"),
    "money": ("'-92233720368547758.08'", "'0.01'"),
    "text": ("''", "E'\\n\\t\\\\\\x01'", "'é😀'", "'\\N'", "repeat('x', 100000)"),
    "varchar": ("''", "'abcde'", "'  x  '"),
    "char": ("''", "'ab'", "'a b'", "' x'"),
    "bit": ("B'1010'",),
    "varbit": ("B''", "B'101'"),
    "uuid": ("'00000000-0000-0000-0000-000000000000'", "'ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB'"),
    "inet": ("'10.0.0.1/8'", "'::1'", "'10.0.0.0/32'"),
    "bytes": ("''", "'\\x00ff5c0a'"),
    "json": ("'null'", '\'{ "b":1,\n"a" : 1.0, "a":2 }\'', "'[1e400]'", "' \"\\u0000\" '"),
    "jsonb": ("'null'", '\'{"b": 1.50, "a": [1e400, {}]}\'', "'\"\\u2028\"'"),
    "at": ("'infinity'", "'0044-03-15 12:00:00.5 BC'", "'2025-11-22 12:34:56.789'"),
    "micros": ("'2025-11-22 12:34:56.789012'", "'294276-12-31 23:59:59.999999'", "'4714-11-24 BC'"),
    "zoned": ("'2025-11-22 12:34:56.789+05:45'", "'-infinity'"),
    "seconds": ("'2025-11-22 12:34:56'", "'10000-01-01'"),
    "day": ("'2025-11-22'", "'infinity'", "'5874897-12-31'", "'0001-01-01 BC'"),
    "clock": ("'24:00:00'", "'12:34:56.000001'"),
    "clockz": ("'12:34:56.789+15:59'", "'00:00:00-00:00:01'"),
    "mood": ("'glad to see you'", "'SAD'", "'it''s \"odd\"'"),
    "ints": ("'{}'", "'{1,NULL,-3}'", "NULL"),
    "texts": ("'{}'", "ARRAY['', 'NULL', 'a,b', '\"', '\\', NULL, E'\\n', '{}', ' ']", "NULL"),
    "chars": ("ARRAY['a', 'abc', '']",),
    "jsons": ("ARRAY['null', '{\"a\": 1.50}', '[]', '\"x\"']::jsonb[]",),
    "bytess": ("ARRAY['\\x', '\\x00', NULL]::bytea[]",),
    "days": ("ARRAY['2025-01-01', 'infinity', '0044-01-01 BC', NULL]::date[]",),
    "moods": ("ARRAY['SAD', 'it''s \"odd\"', 'glad to see you', NULL]::mood[]",),
    "floats": ("ARRAY['NaN', 0.1, -0.0, NULL, 1e300]::float8[]",),
    "decimals": ("ARRAY[1.50, 'NaN', NULL]::numeric[]",),
    "range": ("'[1,5)'", "'empty'"),
    "interval": ("'1 year -2 days 00:00:01.5'", "'-1 mon'"),
}


def datamodel() -> Datamodel:
    return parse_schema(SCHEMA)


def layout() -> Layout:
    """Every way to live but the logs, which the default layout has."""
    return parse_layout(LAYOUT, datamodel())


def load(connection: Connection) -> int:
    """Fill the empty tables; gives the number of rows of ``Value``."""
    rows = 1 + max(map(len, _VALUES.values()))
    with transaction(connection):
        connection.execute('INSERT INTO "Value" (flag) VALUES (NULL)')
        for row in range(rows):
            chosen = {name: values[row % len(values)] for name, values in _VALUES.items()}
            names = ", ".join(f'"{name}"' for name in chosen)
            values = ", ".join(chosen.values())
            connection.execute(f'INSERT INTO "Value" ({names}) VALUES ({values})'.encode())
        connection.execute(
            'INSERT INTO "the children" ("left", "right", value_id, note)'
            " SELECT x, y, 1 + abs(x) % 3, NULLIF(y, 'b')"
            " FROM generate_series(-3, 12) AS x, unnest(ARRAY['', 'b', 'B', 'é', '/', E'\\t']) AS y"
        )
        connection.execute(
            "INSERT INTO \"Node\" (id, \"parentId\") VALUES ('c', '../b'), ('../b', 'a'), ('a', 'a')"
        )
        connection.execute("INSERT INTO \"Egg\" VALUES ('1', 'a', 'x'), ('2', '../b', 'x'), ('3', 'a', 'y')")
        connection.execute("UPDATE \"Node\" SET \"eggId\" = '1' WHERE id = '../b'")
        connection.execute(
            "INSERT INTO \"Stamp\" SELECT t, 'x' FROM unnest(ARRAY['2025-01-01 00:00:00.000001Z', 'infinity',"
            " '0044-03-15 BC', '-infinity']::timestamptz[]) AS t"
        )
    return rows + 1
