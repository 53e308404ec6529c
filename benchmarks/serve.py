"""Prisma Client on ``octavo serve`` and on PostgreSQL by Prisma's own engine, the same calls, in one run.

    python benchmarks/serve.py [--messages 20000] [--rounds 5]

PostgreSQL is the embedded one, durable, over its local socket; Prisma's engine is its query compiler with
``@prisma/adapter-pg``.  The server holds the same sample data in files; it is reached over a unix socket by
``octavo-prisma``, and over loopback by the ``DATABASE_URL``.  Each figure is the median of its rounds; the
sides alternate within a round.  Needs Node and ``make node_modules/.ready``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import octavo
from octavo.demo.sample import load_sample
from octavo.fold.export import ExportOptions, export
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import embedded_server
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl

HERE = Path(__file__).parent
PRISMA = HERE.parent / "tests" / "serve" / "node" / "prisma-6"
GOALS = {
    "findUnique by id": (0.5, 1.0),
    "a chat with its last 50 messages": (0.6, 0.9),
    "create a message": (0.9, 1.3),
    "findMany of 10,000 messages": (1.0, 1.2),
    "eight callers at once": (0.83, None),
}
"""the greatest ratios of time to Prisma's: over the socket, over loopback"""


LONG = """
    INSERT INTO messages (id, "chatId", role, content, "rawResponse", "tokenCount", "createdAt")
    SELECT gen_random_uuid()::text, (SELECT min(id) FROM chats), role, content, "rawResponse", "tokenCount",
        "createdAt" FROM messages LIMIT 10000"""
"""gives one chat 10,000 messages more"""


def served(data: Path, socket: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """A server, and what it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "octavo", "serve", "--json", "--socket", str(socket), "--port", "0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "DATA_BACKEND": "json", "DATA_DIR": str(data)},
    )
    assert process.stdout is not None
    text = b""
    while (line := process.stdout.readline()) != b"}\n" and line:
        text += line
    return process, json.loads(text + b"}")


def memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes that a process has, its share of what it shares."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavo-bench-") as name, embedded_server() as server:
        folder = Path(name)
        url = server.create_database("bench")
        with connect(url) as connection:
            connection.execute(ddl(frozen_schema()).script().encode())
            load_sample(connection, folder / "public", messages=options.messages)
            connection.execute(LONG)
            connection.execute("vacuum analyze")
        export(DatabaseUrl.parse(url), folder / "data", frozen_layout(), ExportOptions(folder / "public"))
        with octavo.connect("json", data_dir=folder / "data") as db:
            found: Any = db.chat.find_many(include={"_count": {"select": {"messages": True}}})
        first, *_, long = (c.id for c in sorted(found, key=lambda chat: chat._count.messages)[-2:])
        process, told = served(folder / "data", folder / "octavo.sock")
        try:
            bench = {"chat": first, "long": long, "chats": [c.id for c in found], "rounds": options.rounds}
            environment = {
                **os.environ,
                "PRISMA_FOLDER": str(PRISMA),
                "BENCH": json.dumps(bench),
                "REFERENCE_URL": url,
                "OCTAVO_URL": told["DATABASE_URL"],
                "DATABASE_URL": "postgresql://unused",
                "OCTAVO_SOCKET": told["socket"],
                "OCTAVO_TOKEN": told["token"],
            }
            run = [*("node", str(HERE / "serve.mjs"))]
            answer = subprocess.run(run, env=environment, stdout=subprocess.PIPE, check=True)
            report([json.loads(line) for line in answer.stdout.splitlines()])
            print(f"memory of the server: {memory(process):.0f} MB")
        finally:
            process.terminate()
            process.wait(30)


def report(rounds: list[dict[str, Any]]) -> None:
    """Print the medians, and their ratios to Prisma's."""
    for name, goals in GOALS.items():
        found = [r["found"] for r in rounds if r["name"] == name]
        medians = {side: statistics.median(r[side] for r in found) for side in found[0]}
        figures = "".join(f"   {side} {value:8.3f} ms" for side, value in medians.items())
        ratios = "".join(
            f"   {side} / prisma {medians[side] / medians['prisma']:5.2f} (goal {goal})"
            for side, goal in zip(("socket", "loopback"), goals, strict=True)
        )
        print(f"{name:<34}{figures}{ratios}", flush=True)


if __name__ == "__main__":
    main()
