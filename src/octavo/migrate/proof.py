"""The proof that two databases are the same: ``pg_dump`` of both, compared as text.

The schema's text must be equal line by line, and each table's rows as a set of lines.  The rows are summed up
as in :mod:`octavo.migrate.tally`, so that memory does not grow with them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path

from octavo.errors import DatabaseError, UsageError
from octavo.postgres.url import DatabaseUrl


@dataclass(frozen=True, slots=True)
class Proof:
    """What comparing two dumps gave."""

    rows: dict[str, tuple[int, int]]
    """by table: how many there are in the first and in the second database"""
    unequal: tuple[str, ...]
    """the tables whose rows are not the same"""
    schema_difference: tuple[str, ...]
    """the schemas' texts where they are not the same, as a diff"""

    @property
    def equal(self) -> bool:
        return not self.unequal and not self.schema_difference


def prove(first: DatabaseUrl, second: DatabaseUrl, programs: Path) -> Proof:
    """Dump both databases with the ``pg_dump`` among ``programs`` and compare.

    Raises UsageError if there is no ``pg_dump``, DatabaseError if it fails.
    """
    ours, theirs = (list(_dump(url, programs, "--schema-only")) for url in (first, second))
    difference = tuple(unified_diff(ours, theirs, "first", "second", lineterm="", n=1))
    one, other = (_rows(_dump(url, programs, "--data-only")) for url in (first, second))
    tables = sorted(one.keys() | other.keys())
    nothing = (0, 0)
    return Proof(
        rows={t: (one.get(t, nothing)[0], other.get(t, nothing)[0]) for t in tables},
        unequal=tuple(t for t in tables if one.get(t, nothing) != other.get(t, nothing)),
        schema_difference=difference,
    )


def _dump(url: DatabaseUrl, programs: Path, what: str) -> Iterator[str]:
    """The lines of a dump, without what is random in it (``\\restrict``) and without comments."""
    program = programs / "pg_dump"
    if not program.is_file():
        raise UsageError(f"there is no pg_dump in {programs}")
    # The address goes by the environment, since arguments can be seen by everybody.
    command = [str(program), what, "--no-owner", f"--schema={url.schema}"]
    with subprocess.Popen(
        command, env=url.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for raw in process.stdout or ():
            # Lines end at a line feed alone: values may hold other breaks.
            line = raw.decode("utf-8", "surrogateescape").removesuffix("\n")
            if not line.startswith(("\\restrict", "\\unrestrict", "-- Dumped")):
                yield line
        said = process.stderr.read() if process.stderr else b""
        words = said.decode("utf-8", "replace").strip().splitlines()
    if process.returncode != 0:
        raise DatabaseError(f"pg_dump failed: {words[-1] if words else process.returncode}")


def _rows(lines: Iterator[str]) -> dict[str, tuple[int, int]]:
    """By table: the number of rows, and the sum of their digests."""
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        if not line.startswith("COPY "):
            continue
        table, count, total = line.split(" ")[1], 0, 0
        for row in lines:
            if row == "\\.":
                break
            count += 1
            total += int.from_bytes(sha256(row.encode("utf-8", "surrogateescape")).digest())
        found[table] = count, total
    return found
