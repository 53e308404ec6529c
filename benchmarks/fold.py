"""Export, verify and restore against psql doing the nearest thing, alternated in one run.

    python benchmarks/fold.py [SIZE ...] [--runs 3] [--jobs 2] [--only export verify restore] [--folder DIR]

A SIZE is messages or messages/chats, as 1000000/2500; without one it is 200000/2500.

The peers, over the same local socket:

- export: ``\\copy (select row_to_json(t) … order by chat)`` of the messages, plain copies of the rest;
- verify: the plain copy, ``\\copy (select row_to_json(t) …)`` of all tables;
- restore: ``psql -1 -f`` of a plain ``pg_dump`` of the data, into the full schema.

Each is a whole process, from start to exit, on disks that are synced before it starts.  Ours sync what
they write; psql's copy does not, and is told with a sync after it, too.  Each figure is the median of the
runs; memory is the highest sum of the proportional set sizes (Pss) of all processes of the command.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from octavo.demo.sample import load_sample
from octavo.postgres.connection import Connection, connect
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.schema.ddl import ddl
from octavo.schema.native import quote
from octavo.schema.texts import frozen_schema


@dataclass
class Figures:
    """Seconds of each run, and the highest memory in MB."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def run(command: list[str], env: dict[str, str], into: Figures) -> None:
    """Run a command to its end, watching the memory of its processes."""
    started = time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            into.memory = max(into.memory, resident(process.pid) / 2**20)
            time.sleep(0.02)
        into.seconds.append(time.monotonic() - started)
        if process.returncode:
            said = process.stderr.read().decode() if process.stderr else ""
            raise SystemExit(f"{command[:6]} failed: {said}")


def resident(pid: int) -> int:
    """Bytes in memory of a process and all that it started; what is shared is divided among those sharing."""
    total, pending = 0, [pid]
    while pending:
        one = pending.pop()
        try:
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
            for task in os.listdir(f"/proc/{one}/task"):
                pending += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except (OSError, ValueError):
            continue
    return total


class Size(NamedTuple):
    """How much there is in the database."""

    messages: int
    chats: int

    @classmethod
    def parse(cls, text: str) -> Size:
        messages, _, chats = text.partition("/")
        return cls(int(messages), int(chats or 2_500))

    def __str__(self) -> str:
        return f"{self.messages:,} in {self.chats:,}"

    def fill(self, connection: Connection, files_root: Path) -> None:
        """Load sample data and make it as large.

        The sample has 80 messages a chat.  More chats are copies of its chats; the messages are copied until
        they are enough, and dealt out anew if need be, so that at any time some fifty chats are under way.
        """
        sample = min(self.messages, self.chats * 80)
        load_sample(connection, files_root, messages=min(sample, 200_000))
        # Without checking a foreign key for each row.
        connection.execute(b"SET session_replication_role = replica")
        self._copy(connection, "Chat", self.chats)
        self._copy(connection, "Message", self.messages)
        if sample != self.messages or sample > 200_000:
            connection.execute(_DEAL.format(messages=self.messages).encode())
        connection.execute(b"VACUUM FULL ANALYZE")
        connection.execute(b"CHECKPOINT")

    def _copy(self, connection: Connection, name: str, wanted: int) -> None:
        model = frozen_schema().model(name)
        table = quote(model.table)
        columns = ", ".join(quote(f.column) for f in model.scalars if f.name != "id")
        (found,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
        times = -(-wanted // found) - 1
        connection.execute(
            f"INSERT INTO {table} (id, {columns}) SELECT gen_random_uuid(), {columns}"
            f" FROM generate_series(1, {times}), {table} LIMIT {max(0, wanted - found)}".encode()
        )


_DEAL = """
    CREATE TEMP TABLE dealt AS SELECT id, row_number() OVER () AS n FROM chats;
    ALTER TABLE dealt ADD PRIMARY KEY (n);
    UPDATE messages SET "chatId" = dealt.id FROM dealt, (
        SELECT id, row_number() OVER () AS n, floor(random() * 50)::bigint AS k FROM messages) AS m, (
        SELECT count(*) AS chats FROM chats) AS c
    WHERE messages.id = m.id AND dealt.n = 1 + (m.n * c.chats / {messages} + m.k) % c.chats
"""


class Bench:
    """One size of data, measured."""

    def __init__(self, server: EmbeddedServer, folder: Path, size: Size, jobs: int) -> None:
        self.server, self.folder, self.jobs = server, folder, jobs
        name = f"{size.messages}_{size.chats}"
        self.name, self.target = f"source_{name}", f"target_{name}"
        self.source = server.create_database(self.name)
        self.files, self.data, self.dump = folder / "files", folder / "data", folder / "dump.sql"
        self.stores = 0
        self.statements = ddl(frozen_schema()).script()
        with connect(self.source) as connection:
            connection.execute(self.statements.encode())
            size.fill(connection, self.files)
        subprocess.run(
            [str(server.bin / "pg_dump"), "--data-only", "-f", str(self.dump), self.source], check=True
        )
        self.figures: dict[str, Figures] = {}

    def timed(self, name: str, command: list[str]) -> None:
        os.sync()
        # As for a user, whose modules are compiled once.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        figures = self.figures.setdefault(name, Figures())
        run(command, environment, figures)
        started = time.monotonic()
        os.sync()
        synced = self.figures.setdefault(f"{name}, synced", Figures())
        synced.seconds.append(figures.seconds[-1] + time.monotonic() - started)

    def psql(self, name: str, url: str, *arguments: str) -> None:
        self.timed(name, [str(self.server.bin / "psql"), url, "-qX", "-v", "ON_ERROR_STOP=1", *arguments])

    def octavo(self, name: str, *arguments: str) -> None:
        self.timed(name, [sys.executable, "-m", "octavo", *arguments, "--quiet"])

    def plain_copy(self, *, ordered: bool) -> list[str]:
        """psql's arguments to copy every table as JSON lines."""
        arguments = []
        for model in frozen_schema().tables:
            order = ' order by "chatId"' if ordered and model.name == "Message" else ""
            query = f"select row_to_json(t) from {quote(model.table)} t{order}"
            arguments += ["-c", f"\\copy ({query}) to '{self.folder / 'copy'}-{model.table}'"]
        return arguments

    def fresh(self) -> str:
        """The address of an empty target database."""
        self.server.drop_database(self.target)
        return self.server.create_database(self.target)

    def store(self) -> list[str]:
        """The options that name the store of the last export."""
        return ["--data-dir", str(self.data), "--files-root", str(self.files)]

    def new_store(self) -> list[str]:
        """Those of one that is to be made.  Earlier ones stay: a file system is slow to give out again what
        was just removed, and only the next export would wait for that."""
        self.stores += 1
        self.data = self.folder / f"data-{self.stores}"
        return self.store()

    def round(self, only: Collection[str]) -> None:
        """Everything once, peers in between."""
        database = ["--database-url", self.source]
        if "export" in only:
            self.psql("ordered copy", self.source, *self.plain_copy(ordered=True))
            self.octavo("export, 1 job", "export", *database, *self.new_store(), "--jobs", "1")
        if "export" in only or not self.data.exists():
            self.octavo("export", "export", *database, *self.new_store(), "--jobs", str(self.jobs))
        where = self.store()
        if "verify" in only:
            self.psql("plain copy", self.source, *self.plain_copy(ordered=False))
            self.octavo("verify", "verify", *database, *where, "--jobs", str(self.jobs))
        if "restore" in only:
            url = self.fresh()
            with connect(url) as connection:
                connection.execute(self.statements.encode())
            self.psql("psql load", url, "-1", "-f", str(self.dump))
            url = self.fresh()
            back = ["--data-dir", str(self.data), "--files-root", str(self.folder / "back")]
            self.octavo("restore", "restore", "--database-url", url, *back)
            self.server.drop_database(self.target)


COMMANDS = ("export", "verify", "restore")
PEERS = (
    ("export, 1 job", "ordered copy"),
    ("export, 1 job", "ordered copy, synced"),
    ("export", "ordered copy"),
    ("export", "ordered copy, synced"),
    ("verify", "plain copy"),
    ("restore", "psql load"),
)


def show(size: Size, figures: dict[str, Figures]) -> None:
    """Print a line per command: seconds, the peer's, the ratio, memory."""
    for name, peer in PEERS:
        if name not in figures or peer not in figures:
            continue
        ours, theirs = figures[name], figures[peer]
        print(
            f"{size!s:>20}  {name:<14} {ours.median:7.2f} s   {peer:<20} {theirs.median:7.2f} s   "
            f"ratio {ours.median / theirs.median:5.2f}   {ours.memory:6.0f} MB",
            flush=True,
        )


def main() -> None:
    """Measure each size and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", type=Size.parse, nargs="*", default=[Size(200_000, 2_500)], metavar="SIZE")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=COMMANDS, choices=COMMANDS)
    parser.add_argument("--folder", type=Path)
    wanted = parser.parse_args()
    with embedded_server() as server:
        for size in wanted.sizes:
            with tempfile.TemporaryDirectory(dir=wanted.folder) as made:
                bench = Bench(server, Path(made), size, wanted.jobs)
                for _ in range(wanted.runs):
                    bench.round(wanted.only)
                show(size, bench.figures)
            server.drop_database(bench.name)


if __name__ == "__main__":
    main()
