"""PostgreSQL's operator classes as Prisma names them: which index takes which on a column of which type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorClass:
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
