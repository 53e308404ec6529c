"""Export, verify and restore against psql doing the nearest thing, alternated in one run.

    python benchmarks/fold.py [--messages 200000 ...] [--runs 3] [--jobs 2] [--folder DIR]

The peers, over the same local socket:

- export: ``\\copy (select row_to_json(t) … order by chat)`` of the messages, plain copies of the rest;
- verify: the plain copy, ``\\copy (select row_to_json(t) …)`` of all tables;
- restore: ``psql -1 -f`` of a plain ``pg_dump`` of the data, into the full schema.

Each figure is the median of the runs; memory is the highest sum of the resident sizes of all processes of the
command (shared pages counted in each).  Several ``--messages`` make a table of growth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from octavo.demo.sample import load_sample
from octavo.postgres.connection import connect
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
    """Bytes in memory of a process and all that it started."""
    total, pending = 0, [pid]
    while pending:
        one = pending.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in os.listdir(f"/proc/{one}/task"):
                pending += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except (OSError, ValueError):
            continue
    return total


class Bench:
    """One size of data, measured."""

    def __init__(self, server: EmbeddedServer, folder: Path, messages: int, jobs: int) -> None:
        self.server, self.folder, self.jobs = server, folder, jobs
        self.source = server.create_database(f"source_{messages}")
        self.target = f"target_{messages}"
        self.files, self.data, self.dump = folder / "files", folder / "data", folder / "dump.sql"
        self.statements = ddl(frozen_schema()).script()
        with connect(self.source) as connection:
            connection.execute(self.statements.encode())
            load_sample(connection, self.files, messages=messages)
            connection.execute(b"VACUUM ANALYZE")
            connection.execute(b"CHECKPOINT")
        subprocess.run(
            [str(server.bin / "pg_dump"), "--data-only", "-f", str(self.dump), self.source], check=True
        )
        self.figures: dict[str, Figures] = {}

    def timed(self, name: str, command: list[str]) -> None:
        run(command, dict(os.environ), self.figures.setdefault(name, Figures()))

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

    def round(self) -> None:
        """Everything once, peers in between."""
        shutil.rmtree(self.data, ignore_errors=True)
        where = ["--data-dir", str(self.data), "--files-root", str(self.files)]
        database = ["--database-url", self.source]
        self.psql("ordered copy", self.source, *self.plain_copy(ordered=True))
        self.octavo("export, 1 job", "export", *database, *where, "--jobs", "1")
        shutil.rmtree(self.data)
        self.octavo("export", "export", *database, *where, "--jobs", str(self.jobs))
        self.psql("plain copy", self.source, *self.plain_copy(ordered=False))
        self.octavo("verify", "verify", *database, *where, "--jobs", str(self.jobs))
        url = self.fresh()
        with connect(url) as connection:
            connection.execute(self.statements.encode())
        self.psql("psql load", url, "-1", "-f", str(self.dump))
        url = self.fresh()
        back = ["--data-dir", str(self.data), "--files-root", str(self.folder / "back")]
        self.octavo("restore", "restore", "--database-url", url, *back)
        self.server.drop_database(self.target)


PEERS: dict[str, tuple[str, float]] = {
    "export, 1 job": ("ordered copy", 1.25),
    "export": ("ordered copy", 1.0),
    "verify": ("plain copy", 1.5),
    "restore": ("psql load", 0.9),
}


def show(messages: int, figures: dict[str, Figures]) -> None:
    """Print a line per command: seconds, the peer's, the ratio, the goal, memory."""
    for name, (peer, goal) in PEERS.items():
        ours, theirs = figures[name], figures[peer]
        print(
            f"{messages:>9,}  {name:<14} {ours.median:7.2f} s   {peer:<13} {theirs.median:7.2f} s   "
            f"ratio {ours.median / theirs.median:5.2f} (goal {goal})   {ours.memory:6.0f} MB",
            flush=True,
        )


def main() -> None:
    """Measure each size and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, nargs="+", default=[200_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    wanted = parser.parse_args()
    with embedded_server() as server:
        for messages in wanted.messages:
            with tempfile.TemporaryDirectory(dir=wanted.folder) as made:
                bench = Bench(server, Path(made), messages, wanted.jobs)
                for _ in range(wanted.runs):
                    bench.round()
                show(messages, bench.figures)


if __name__ == "__main__":
    main()
