"""PostgreSQL's side of a schema: names and literals in SQL; its types as Prisma names them after ``@db.``,
and which index takes which on what."""

from __future__ import annotations

from msgspec import Struct

from octavo.schema.datamodel import Model, NativeType, ScalarField
from octavo.text import pattern


def quote(name: str) -> str:
    """An identifier in PostgreSQL's quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string in PostgreSQL's quotes (``standard_conforming_strings`` on, as it is by default)."""
    return "'" + text.replace("'", "''") + "'"


def qualified(schema: str | None, name: str) -> str:
    """A name in SQL, qualified by its schema if it has one."""
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


def table_name(model: Model) -> str:
    """The table's name in SQL, with its schema if the Prisma schema names one."""
    return qualified(model.schema, model.table)


SCALARS = ("Int", "BigInt", "Float", "Boolean", "String", "DateTime", "Json", "Bytes", "Decimal")
"""Prisma's own types."""


class NativeRule(Struct, frozen=True):
    """What the schema language, DDL and the catalog know of a type; its values are ``octavo.values``' affair.

    ``scalar`` is the type that a field must have, ``sql`` the type's name as Prisma writes it in DDL,
    ``catalog`` its name in ``pg_type``; ``arguments`` is how many numbers it may take, from ``lowest`` to
    ``highest``, and ``implied`` what PostgreSQL takes where they are left out.
    """

    scalar: str
    sql: str
    catalog: str
    arguments: int = 0
    lowest: int = 0
    highest: int = 2**32 - 1
    implied: tuple[int, ...] = ()
    serial: str = ""
    """the name of the type that counts by itself"""
    indexed: bool = True
    """whether Prisma lets an index name it"""


def _moment(sql: str, catalog: str) -> NativeRule:
    return NativeRule("DateTime", sql, catalog, arguments=1, highest=6, implied=(6,))


NATIVE_TYPES: dict[str, NativeRule] = {
    "SmallInt": NativeRule("Int", "SMALLINT", "int2", serial="SMALLSERIAL"),
    "Integer": NativeRule("Int", "INTEGER", "int4", serial="SERIAL"),
    "Oid": NativeRule("Int", "OID", "oid"),
    "BigInt": NativeRule("BigInt", "BIGINT", "int8", serial="BIGSERIAL"),
    "Decimal": NativeRule("Decimal", "DECIMAL", "numeric", arguments=2),
    "Money": NativeRule("Decimal", "MONEY", "money"),
    "Real": NativeRule("Float", "REAL", "float4"),
    "DoublePrecision": NativeRule("Float", "DOUBLE PRECISION", "float8"),
    "Inet": NativeRule("String", "INET", "inet"),
    "Citext": NativeRule("String", "CITEXT", "citext"),
    "VarChar": NativeRule("String", "VARCHAR", "varchar", arguments=1),
    "Char": NativeRule("String", "CHAR", "bpchar", arguments=1, implied=(1,)),
    "Text": NativeRule("String", "TEXT", "text"),
    "Bit": NativeRule("String", "BIT", "bit", arguments=1, lowest=1, implied=(1,)),
    "VarBit": NativeRule("String", "VARBIT", "varbit", arguments=1, lowest=1),
    "Uuid": NativeRule("String", "UUID", "uuid"),
    "Xml": NativeRule("String", "XML", "xml", indexed=False),
    "ByteA": NativeRule("Bytes", "BYTEA", "bytea"),
    "Timestamp": _moment("TIMESTAMP", "timestamp"),
    "Timestamptz": _moment("TIMESTAMPTZ", "timestamptz"),
    "Date": NativeRule("DateTime", "DATE", "date"),
    "Time": _moment("TIME", "time"),
    "Timetz": _moment("TIMETZ", "timetz"),
    "Boolean": NativeRule("Boolean", "BOOLEAN", "bool"),
    "Json": NativeRule("Json", "JSON", "json"),
    "JsonB": NativeRule("Json", "JSONB", "jsonb"),
}


DEFAULT_NATIVE: dict[str, NativeType] = {
    "Int": NativeType("Integer"),
    "BigInt": NativeType("BigInt"),
    "Float": NativeType("DoublePrecision"),
    "Decimal": NativeType("Decimal", (65, 30)),
    "Boolean": NativeType("Boolean"),
    "String": NativeType("Text"),
    "DateTime": NativeType("Timestamp", (3,)),
    "Bytes": NativeType("ByteA"),
    "Json": NativeType("JsonB"),
}
"""What a scalar without ``@db.…`` is."""


def native_type(scalar: ScalarField) -> NativeType:
    """The native type of a scalar field: the one written, or Prisma's default."""
    return scalar.native or DEFAULT_NATIVE[scalar.type]


def read_native(name: str, args: list[str]) -> tuple[NativeType | None, str]:
    """The native type of this name with these arguments; or None and why not."""
    rule = NATIVE_TYPES.get(name)
    if rule is None:
        return None, f"PostgreSQL has no type {name}"
    if len(args) > rule.arguments:
        return None, f"{name} takes {rule.arguments or 'no'} argument{'s' if rule.arguments > 1 else ''}"
    if not all(arg.isdecimal() and arg.isascii() and int(arg) < 2**32 for arg in args):
        return None, f"the arguments of {name} are whole numbers"
    numbers = tuple(int(arg) for arg in args)
    if any(not rule.lowest <= number <= rule.highest for number in numbers):
        return None, f"the argument of {name} is out of range ({rule.lowest} to {rule.highest})"
    if name == "Decimal" and numbers:
        if len(numbers) != 2:
            return None, "Decimal takes a precision and a scale"
        precision, scale = numbers
        if scale > precision:
            return None, "the scale of a Decimal is larger than its precision"
        if not 1 <= precision <= 1000:
            return None, "the precision of a Decimal ranges from 1 to 1000"
    return NativeType(name, numbers), ""


_UNSUPPORTED = pattern(r"([^(]+)(?:\((.*?)\))?(.+)?")


def parse_native(text: str) -> NativeType | None:
    """A native type spelled ``Name(1, 2)``, as within ``Unsupported("…")``; None if it is none."""
    match = _UNSUPPORTED.fullmatch(text)
    if match is None:
        return None
    args = [] if match.group(2) is None else [arg.strip() for arg in match.group(2).split(",")]
    return read_native(match.group(1).strip(), args)[0]


class OperatorClass(Struct, frozen=True):
    """``natives`` are the native types it is for, ``scalar`` a scalar that is one of them by default."""

    algorithms: tuple[str, ...]
    natives: tuple[str, ...] = ()
    scalar: str = ""


def _brin(stem: str, natives: tuple[str, ...], scalar: str, kinds: str) -> dict[str, OperatorClass]:
    return {f"{stem}{kind}Ops": OperatorClass(("Brin",), natives, scalar) for kind in kinds.split()}


_ALL = "Bloom MinMax MinMaxMulti"

OPERATOR_CLASSES: dict[str, OperatorClass] = {
    "InetOps": OperatorClass(("Gist", "SpGist"), ("Inet",)),
    "JsonbOps": OperatorClass(("Gin",), ("JsonB",), "Json"),
    "JsonbPathOps": OperatorClass(("Gin",), ("JsonB",), "Json"),
    "ArrayOps": OperatorClass(("Gin",)),
    "TextOps": OperatorClass(("SpGist",), ("Text", "VarChar", "Char"), "String"),
    **_brin("Bit", ("Bit",), "", "MinMax"),
    **_brin("VarBit", ("VarBit",), "", "MinMax"),
    **_brin("Bpchar", ("Char",), "", "Bloom MinMax"),
    **_brin("Bytea", ("ByteA",), "Bytes", "Bloom MinMax"),
    **_brin("Date", ("Date",), "", _ALL),
    **_brin("Float4", ("Real",), "", _ALL),
    **_brin("Float8", ("DoublePrecision",), "Float", _ALL),
    **_brin("Inet", ("Inet",), "", f"Inclusion {_ALL}"),
    **_brin("Int2", ("SmallInt",), "", _ALL),
    **_brin("Int4", ("Integer",), "Int", _ALL),
    **_brin("Int8", ("BigInt",), "BigInt", _ALL),
    **_brin("Numeric", ("Decimal",), "Decimal", _ALL),
    **_brin("Oid", ("Oid",), "", _ALL),
    **_brin("Text", ("Text", "VarChar"), "String", "Bloom MinMax"),
    **_brin("Timestamp", ("Timestamp",), "DateTime", _ALL),
    **_brin("TimestampTz", ("Timestamptz",), "", _ALL),
    **_brin("Time", ("Time",), "", _ALL),
    **_brin("TimeTz", ("Timetz",), "", _ALL),
    **_brin("Uuid", ("Uuid",), "", _ALL),
}

DEFAULT_CLASSES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "Gist": (frozenset(), frozenset({"String"})),
    "Gin": (frozenset({"JsonB"}), frozenset({"Json"})),
    "SpGist": (frozenset({"Inet", "Text", "VarChar", "Char"}), frozenset({"String"})),
    "Brin": (
        frozenset(
            native for c in OPERATOR_CLASSES.values() if c.algorithms == ("Brin",) for native in c.natives
        ),
        frozenset({"String", "Bytes", "DateTime", "Float", "Int", "BigInt", "Decimal"}),
    ),
}
"""Per kind of index, the native types and the scalars (without a native type) it takes without a class."""
