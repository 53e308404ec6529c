"""Rows that are legal in PostgreSQL and awkward everywhere else, for any Datamodel.

Every table gets one row per :data:`IDS`, so that each awkward id names a file, a log and an embedded array;
and a crowd of rows below one parent, all made at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from octavo.crypto import encrypt, hash_password
from octavo.demo.sample import copy_records, filling_order
from octavo.postgres.connection import Connection, transaction
from octavo.schema.datamodel import Arity, Datamodel, Model, ScalarField, ScalarKind
from octavo.schema.texts import frozen_schema

IDS: tuple[str, ...] = (
    "plain-id",
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "/absolute",
    "a/b",
    "a\\b",
    "C:\\x",
    "index",
    "INDEX",
    "index.jsonl",
    "con",
    "CON",
    "con.txt",
    "nul",
    "aux",
    "com1",
    "com¹",
    "LPT9.json",
    "journal",
    "cache",
    "_model",
    "_deleted",
    "__proto__",
    "~",
    "~e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "%",
    "%2e%2E",
    "a%00b",
    "\n",
    "a\nb",
    "a\r\nb",
    "tab\there",
    "\x01\x1f\x7f",
    "\x1b[31mred",
    "\x85",
    " ",
    "trailing ",
    "trailing.",
    "case",
    "CASE",
    "Case",
    "caf\u00e9",
    "cafe\u0301",
    "\u00c5",
    "\u212b",
    "\u212a",
    "k",
    "K",
    "ß",
    "ss",
    "İ",
    "x" * 200,
    "x" * 201,
    "y" * 1000,
    "é" * 500,
    "\\N",
    "\\.",
    "'",
    '"quoted"',
    "`$(id)`",
    "{}",
    "{id}",
    "-rf",
    "*?|<>:;,",
    "null",
    "0",
    "\u2028",
    "\ufeff",
    "\ufffe",
    "\uffff",
    "\ud7ff",
    "\ue000",
    "\U00010000",
    "\U0010ffff",
    "\u202egnp.exe",
    "👩\u200d👧",
    "\u0301",
)
"""Each different from the others as bytes, though a file system or a comparison may mix some up."""

CONTROLS = "".join(map(chr, range(1, 0x20))) + "".join(map(chr, range(0x7F, 0xA0)))
"""Every control character that PostgreSQL keeps in a text: all but NUL."""

NONCHARACTERS = "".join(
    chr(code)
    for code in chain(
        range(0xFDD0, 0xFDF0), *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000))
    )
)

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "plain",
    CONTROLS,
    NONCHARACTERS,
    "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e",
    "\u0301 starts with a combining mark",
    "e\u0301 against \u00e9",
    "\u200f\u202eright to left\u202c\u200d\ufe0f",
    "\ufeffa byte order mark",
    "\"quotes\" 'and' \\ backslashes \\n \\u0041 \\\\",
    "line\nline\r\nline\rend\n",
    "\\N",
    "\\.",
    "null",
    "NaN",
    "\ud7ff\ue000\U0010ffff",
    "../../outside.png",
    "/etc/hostname",
    "a//b/./c",
    "👩\u200d👩\u200d👧\u200d👦🇪🇺",
    "x" * 70_000,
    "]}{[,:",
    "</script><!--",
    "trailing blank \t ",
)

HUGE = 'Ünïcode "and" \\ more\n😀' * 40_000
"""About 1.1 MB in UTF-8."""

TIMES: tuple[str, ...] = (
    "2025-11-22 12:34:56.789",
    "infinity",
    "-infinity",
    "4714-11-24 00:00:00 BC",
    "0044-03-15 12:00:00.5 BC",
    "0001-12-31 23:59:59.999 BC",
    "0001-01-01 00:00:00",
    "0099-06-07 08:09:10.011",
    "1582-10-10 10:10:10.1",
    "1969-12-31 23:59:59.999",
    "1970-01-01 00:00:00",
    "2000-02-29 00:00:00.001",
    "2038-01-19 03:14:08",
    "9999-12-31 23:59:59.999",
    "10000-01-01 00:00:00",
    "294276-12-31 23:59:59.999",
)

JSONS: tuple[str, ...] = (
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1.50",
    "1.0e2",
    "1e400",
    "-1e-400",
    "9007199254740993",
    "123456789012345678901234567890.12345678901234567890",
    "1e131071",
    "1e-16383",
    '""',
    "[]",
    "{}",
    "[null]",
    "[1, 1.0, 1.00, 10e-1]",
    '{"b": 1, "a": 2, "aa": 3, "": 4, "é": 5, "e\u0301": 6}',
    '{"_model": "x", "_deleted": true, "_version": 2, "__proto__": {"a": null}}',
    '{"a\\"b": "c\\\\d", "\\n": "\\u0001\\u001f\\u007f\\u2028", "/": "\\/"}',
    '"\\ud83d\\ude00 \\ufffe \\uffff"',
    '"' + "x" * 100_000 + '"',
    "[" * 1_500 + "]" * 1_500,
    '{"a":[' * 1_000 + "1.50" + "]}" * 1_000,
)

_VALUES: dict[str, Sequence[Any]] = {
    "String": TEXTS,
    "DateTime": TIMES,
    "Json": JSONS,
    "Boolean": (True, False),
    "Int": (0, 1, -1, 2_147_483_647, -2_147_483_648),
    "BigInt": (0, 9_007_199_254_740_993, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808),
    "Float": ("0", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "0.1"),
    "Decimal": ("0", "1.50", "-0.000", "12345678901234567890.123456789"),
    "Bytes": ("\\x", "\\x00", "\\xff00fe", "\\x" + "5c" * 1000),
}
_TIE = TIMES[0]


def load_awkward(
    connection: Connection,
    datamodel: Datamodel | None = None,
    *,
    pepper: str | None = None,
    schema: str = "public",
) -> dict[str, int]:
    """Fill the empty tables with awkward rows; gives their number by model.

    With a ``pepper`` the secrets are such that they open; without, they are awkward texts too.
    """
    datamodel = datamodel or frozen_schema()
    made: dict[str, list[dict[str, Any]]] = {}
    with transaction(connection, schema):
        for model in filling_order(datamodel):
            maker = _Maker(datamodel, model, made, pepper)
            made[model.name] = [maker.row(place) for place in range(len(IDS))]
            made[model.name] += maker.crowd()
            copy_records(connection, model, made[model.name])
    return {model.name: len(made[model.name]) for model in datamodel.tables}


class _Maker:
    def __init__(
        self, datamodel: Datamodel, model: Model, made: dict[str, list[dict[str, Any]]], pepper: str | None
    ) -> None:
        self.datamodel, self.model, self.made, self.pepper = datamodel, model, made, pepper
        self.keys = list(datamodel.parents(model.name))
        self.foreign = {name for key in self.keys for name in key.fields}
        indexes = [*filter(None, [model.primary_key]), *model.uniques]
        self.distinct = {name for index in indexes for name in index.field_names}
        self.indexed = self.distinct | {name for index in model.indexes for name in index.field_names}
        self.hash = hash_password("pw", rounds=4, salt=bytes(16))

    def row(self, place: int, prefix: str = "") -> dict[str, Any]:
        """The row of one awkward id."""
        row = {
            f.name: self.value(f, place + shift, IDS[place], prefix)
            for shift, f in enumerate(self.model.scalars)
            if f.name not in self.foreign
        }
        if place == 0 and not prefix:
            row |= dict.fromkeys(self.roomy(), HUGE)
        for key in self.keys:
            whole = [self.model.scalar(name).arity is Arity.REQUIRED for name in key.fields]
            if not all(whole) and place % 3 == 2:
                row |= dict.fromkeys(key.fields)
            else:
                self.point(row, key.parent, key.fields, key.references, place)
        return self.sealed(row)

    def roomy(self) -> list[str]:
        """The first field that holds long texts, if there is one."""
        return [
            f.name
            for f in self.model.scalars
            if f.type == "String" and f.native is not None and f.name not in self.indexed
        ][:1]

    def point(
        self, row: dict[str, Any], parent: str, fields: Sequence[str], references: Sequence[str], place: int
    ) -> None:
        target = row if parent == self.model.name else self.made[parent][place]
        row |= {name: target[reference] for name, reference in zip(fields, references, strict=True)}

    def value(self, f: ScalarField, place: int, identity: str, prefix: str) -> Any:
        if f.is_list:
            return "{}"
        if f.kind is ScalarKind.ENUM:
            labels = self.datamodel.enum(f.type).labels
            return labels[place % len(labels)]
        if f.name in self.distinct and f.type == "String":
            return prefix + identity
        if f.name in self.distinct and f.type in ("Int", "BigInt"):
            return IDS.index(identity) + (1000 if prefix else 0)
        if f.nullable and place % 5 == 4:
            return None
        if f.name in self.indexed and f.type == "String":
            return identity
        values = _VALUES[f.type]
        return values[place % len(values)]

    def crowd(self) -> list[dict[str, Any]]:
        """Rows of one parent, made at the same moment, whose order is left to their keys.

        None where a parent can have one such row only.
        """
        if not self.keys or any(set(u.field_names) <= set(self.keys[0].fields) for u in self.model.uniques):
            return []
        first, rows = self.keys[0], []
        for place in range(1, len(IDS)):
            row = self.row(place, prefix="crowd ")
            self.point(row, first.parent, first.fields, first.references, 0)
            if "createdAt" in row:
                row["createdAt"] = _TIE
            rows.append(self.sealed(row))
        return rows

    def sealed(self, row: dict[str, Any]) -> dict[str, Any]:
        for f in self.model.scalars:
            secret = f.secret
            if self.pepper is None or secret is None or secret.part or row[f.name] is None:
                continue
            if secret.scheme == "bcrypt":
                row[f.name] = self.hash
            elif secret.scheme == "aes-256-gcm":
                made = encrypt("open sesame", str(row[secret.owner]), self.pepper, iv=bytes(16))
                row |= {f.name: made.ciphertext, secret.iv: made.iv, secret.tag: made.tag}
        if self.pepper is not None:
            self.clear_parts(row)
        return {f.name: row[f.name] for f in self.model.scalars}

    def clear_parts(self, row: dict[str, Any]) -> None:
        """A secret that is NULL has neither IV nor tag."""
        for f in self.model.scalars:
            if f.secret is not None and f.secret.iv and row[f.name] is None:
                row |= {f.secret.iv: None, f.secret.tag: None}
