"""The proof that two databases are the same: ``pg_dump`` of both, compared as text.

Every object that a dump holds (table, index, constraint, enum …) must have the same text in both, and each
table the same rows as a set of lines.  Rows are summed up as they come, so that memory does not grow with
them; only where the sums differ is a table dumped once more, and its rows held against each other in a
temporary file to name those that differ.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from octavo.errors import DatabaseError, UsageError
from octavo.inspect.findings import shown_key
from octavo.postgres.connection import tls_identity
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.native import quote
from octavo.url import DatabaseUrl

SHOWN = 20
"""differing objects, and rows of a table, that are named"""

_HEADER = re.compile(r"-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>.*?); Schema: .*?; Owner:.*")
_COPY = re.compile(
    r'COPY (?P<table>(?:(?:"(?:[^"]|"")*"|[^\s".(]+)\.?)+) \((?P<columns>.*)\) FROM stdin;', re.DOTALL
)
_COUNTERS = "SEQUENCE SET"
_PASSING = ("\\restrict", "\\unrestrict", "-- Dumped", "-- PostgreSQL database dump", "--\n")


@dataclass(frozen=True, slots=True)
class RowDifference:
    """A row that is not in both databases.  ``columns`` are those that differ where its key is in both."""

    table: str
    side: str
    """``first``, ``second`` (only there) or ``both``"""
    key: dict[str, Any]
    """by field name, a secret as a digest; empty where no Datamodel tells what the key is"""
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = " ".join(f"{name}={value}" for name, value in self.key.items()) or "a row"
        where = "in both, unequal" if self.side == "both" else f"only in the {self.side} database"
        columns = f" in {', '.join(self.columns)}" if self.columns else ""
        return f"{self.table} {named}: {where}{columns}"


@dataclass(frozen=True, slots=True)
class Proof:
    """What comparing two dumps gave."""

    rows: dict[str, tuple[int, int]]
    """by table: how many there are in the first and in the second database"""
    unequal: tuple[str, ...]
    """the tables whose rows are not the same"""
    schema_difference: tuple[str, ...]
    """the objects whose text is not the same, a sentence each"""
    row_differences: tuple[RowDifference, ...] = ()
    """the first rows that differ, of each table"""
    counters: tuple[str, ...] = ()
    """sequences that do not stand at the same number.  A data folder does not keep that, and a restore sets
    them after the highest value in use, so they are told but no part of the verdict."""
    left_out: tuple[str, ...] = ("the owners of objects",)
    """what was not compared"""

    @property
    def equal(self) -> bool:
        return not self.unequal and not self.schema_difference

    @property
    def findings(self) -> list[str]:
        """What differs, a sentence each, without values that may be secret."""
        named = {d.table for d in self.row_differences}
        counted = [
            f"{t}: {self.rows.get(t, (0, 0))[0]:,} rows against {self.rows.get(t, (0, 0))[1]:,}, unequal"
            for t in self.unequal
            if t not in named
        ]
        return [*self.schema_difference, *counted, *map(str, self.row_differences)]


def prove(
    first: DatabaseUrl,
    second: DatabaseUrl,
    programs: Path | None = None,
    *,
    datamodel: Datamodel | None = None,
) -> Proof:
    """Dump both databases with the ``pg_dump`` among ``programs`` (None: the one that is found) and compare.

    With a ``datamodel``, rows that differ are named by their key.  Raises UsageError if there is no
    ``pg_dump``, DatabaseError if it fails.
    """
    program = _pg_dump(programs)
    schemas = datamodel.datasource.schemas if datamodel is not None else ()
    ours, theirs = (_read(_dump(url, program, schemas)) for url in (first, second))
    nothing = _Rows("", "", 0, 0)
    tables = sorted(ours.rows.keys() | theirs.rows.keys())
    unequal = [t for t in tables if ours.rows.get(t, nothing) != theirs.rows.get(t, nothing)]
    tables_of = () if datamodel is None else datamodel.tables
    models = {f"{model.schema or first.schema}.{model.table}": model for model in tables_of}
    differences: list[RowDifference] = []
    for table in unequal:
        one, other = ours.rows.get(table, nothing), theirs.rows.get(table, nothing)
        if one.columns == other.columns:
            dumps = [_dump(url, program, (), one.table) for url in (first, second)]
            differences += _closer(table, one.columns, models.get(table), dumps)
    return Proof(
        rows={t: (ours.rows.get(t, nothing).count, theirs.rows.get(t, nothing).count) for t in tables},
        unequal=tuple(unequal),
        schema_difference=tuple(_unequal_objects(ours.objects, theirs.objects)),
        row_differences=tuple(differences),
        counters=tuple(_unequal_objects(ours.counters, theirs.counters)),
    )


def _pg_dump(programs: Path | None) -> Path:
    found = shutil.which("pg_dump", path=None if programs is None else str(programs))
    if found is None:
        where = "on the PATH" if programs is None else f"in {programs}"
        raise UsageError(f"there is no pg_dump {where}", hint="it comes with PostgreSQL's client programs")
    return Path(found)


@contextmanager
def _environment(url: DatabaseUrl) -> Iterator[dict[str, str]]:
    """Where to connect.  The address is no argument, since every user can see arguments."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tls_identity(url) as identity:
        files = {f"PG{name.upper()}": value for name, value in identity.items()}
        yield own | url.environment() | files


def _dump(url: DatabaseUrl, program: Path, schemas: Sequence[str], table: str = "") -> Iterator[bytes]:
    """The lines of a dump: of some schemas, or the rows of one table."""
    chosen = ["--data-only", f"--table={table}"] if table else []
    if not table:
        # A pattern in quotes stands for the name as it is.
        chosen = [f"--schema={quote(schema)}" for schema in schemas or (url.schema,)]
    command = [str(program), "--no-owner", "--encoding=UTF8", *chosen]
    with (
        _environment(url) as environment,
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        # Lines end at a line feed alone: values may hold other breaks.
        yield from process.stdout or ()
        process.wait()
        if process.returncode != 0:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").splitlines()
            reason = next((line for line in lines if "error:" in line), f"it ended with {process.returncode}")
            raise DatabaseError(
                f"pg_dump of {url.display} failed: {reason.partition('error: ')[2] or reason}"
            )


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table's rows: its name and columns as the dump writes them, how many, the sum of their digests."""

    table: str
    columns: str
    count: int
    total: int


@dataclass
class _Dump:
    objects: dict[str, list[str]] = field(default_factory=dict)
    counters: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, _Rows] = field(default_factory=dict)


def _read(lines: Iterator[bytes]) -> _Dump:
    """Take a dump apart into its objects and the sums of its rows."""
    dump = _Dump()
    text = dump.objects.setdefault("settings", [])
    for raw in lines:
        line = raw.decode("utf-8", "surrogateescape")
        if line.startswith(_PASSING):
            continue
        if header := _HEADER.match(line):
            kind = header["type"]
            home = dump.counters if kind == _COUNTERS else dump.objects
            text = home.setdefault(f"{kind} {header['name']}", [])
        elif line.startswith("COPY ") and (copied := _copied(line, lines)):
            count = total = 0
            for row in _rows_of(lines):
                count += 1
                total += int.from_bytes(sha256(row).digest())
            dump.rows[".".join(_names(copied["table"]))] = _Rows(
                copied["table"], copied["columns"], count, total
            )
        elif line != "\n":
            text.append(line)
    return dump


def _copied(line: str, lines: Iterator[bytes]) -> re.Match[str] | None:
    """The statement that rows follow.  A line break in a quoted name goes on in the next line."""
    while line.count('"') % 2:
        line += next(lines, b'"').decode("utf-8", "surrogateescape")
    return _COPY.match(line)


def _rows_of(lines: Iterator[bytes]) -> Iterator[bytes]:
    for row in lines:
        if row == b"\\.\n":
            return
        yield row


def _unequal_objects(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> Iterator[str]:
    """A sentence for each object that is not the same, the first ones."""
    found = 0
    for name in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(name), theirs.get(name)
        if one == other:
            continue
        found += 1
        if found > SHOWN:
            continue
        if one is None or other is None:
            yield f"{name}: only in the {'second' if one is None else 'first'} database"
        else:
            yield f"{name}: {_first_unequal(one, other)}"
    if found > SHOWN:
        yield f"and {found - SHOWN} more objects"


def _first_unequal(one: list[str], other: list[str]) -> str:
    """The first lines that only one of two texts has; a comma at the end is no part of what a line says."""
    ours, theirs = ([line.strip().rstrip(",") for line in text] for text in (one, other))
    apart = (
        ("first", next((line for line in ours if line not in theirs), None)),
        ("second", next((line for line in theirs if line not in ours), None)),
    )
    told = [f"{line!r} only in the {side} database" for side, line in apart if line is not None]
    return ", ".join(told) or "the same lines, in another order or number"


def _closer(
    table: str, columns: str, model: Model | None, dumps: Sequence[Iterator[bytes]]
) -> list[RowDifference]:
    """The first rows of a table that are not in both dumps."""
    names = _names(columns)
    keys = [] if model is None else [names.index(f.column) for f in model.key_fields if f.column in names]
    with (
        tempfile.TemporaryDirectory(prefix="octavo-proof-") as folder,
        closing(sqlite3.connect(os.path.join(folder, "rows"))) as database,
    ):
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE rows (digest PRIMARY KEY, n, key, line) WITHOUT ROWID")
        for sign, dump in zip((1, -1), dumps, strict=True):
            database.executemany(
                "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET n = n + excluded.n",
                ((sha256(row).digest(), sign, _key(row, keys), row) for row in _table_rows(dump)),
            )
        database.execute("DELETE FROM rows WHERE n = 0")
        database.execute("CREATE INDEX by_key ON rows (key, n)")
        groups = database.execute("SELECT DISTINCT key FROM rows ORDER BY key LIMIT ?", (SHOWN,)).fetchall()
        both = "SELECT n, line FROM rows WHERE key = ? ORDER BY n DESC LIMIT 2"
        return [_told(table, names, model, database.execute(both, group).fetchall()) for group in groups]


def _table_rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.startswith(b"COPY ") and _copied(line.decode("utf-8", "surrogateescape"), lines):
            yield from _rows_of(lines)


def _key(row: bytes, positions: Sequence[int]) -> bytes:
    """What a row is found by: its key's values as they stand; without a key, its digest."""
    if not positions:
        return sha256(row).digest()
    values = row.removesuffix(b"\n").split(b"\t")
    return b"\t".join(values[position] for position in positions)


def _told(
    table: str, names: Sequence[str], model: Model | None, rows: list[tuple[int, bytes]]
) -> RowDifference:
    values = [row.removesuffix(b"\n").split(b"\t") for _, row in rows]
    side = (
        "both" if len(rows) == 2 and rows[0][0] > 0 > rows[1][0] else "first" if rows[0][0] > 0 else "second"
    )
    key: dict[str, Any] = {}
    if model is not None:
        columns = dict(zip(names, values[0], strict=True))
        key = shown_key(model, {f.name: _unescaped(columns.get(f.column, b"\\N")) for f in model.key_fields})
    differing: tuple[str, ...] = ()
    if side == "both":
        pairs = zip(names, values[0], values[1], strict=True)
        differing = tuple(name for name, one, other in pairs if one != other)
    return RowDifference(table, side, key, differing)


_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _unescaped(value: bytes) -> bytes | None:
    """A value out of a line of COPY (PostgreSQL's documentation of COPY, section Text Format)."""
    if value == b"\\N":
        return None
    return re.sub(rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), value, flags=re.DOTALL)


def _names(listed: str) -> list[str]:
    """The names of a list of columns, or the parts of a table's; a quoted one may hold anything."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^\s,.]+)', listed)
    return [bare or quoted.replace('""', '"') for quoted, bare in found]


def differing_files(one: Path, other: Path) -> list[str]:
    """The files that differ between two data folders, byte by byte, ``cache/`` left out."""
    ours, theirs = _listed(one), _listed(other)
    changed = {p for p in ours & theirs if not filecmp.cmp(one / p, other / p, shallow=False)}
    return sorted((ours ^ theirs) | changed)


def _listed(root: Path) -> set[str]:
    found = (p.relative_to(root) for p in root.rglob("*") if not p.is_dir())
    return {str(p) for p in found if p.parts[0] != "cache"}
