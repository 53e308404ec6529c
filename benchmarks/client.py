"""The client on the files, on PostgreSQL and on both, the same calls, in turn, in one run.

    python benchmarks/client.py [--messages 20000] [--rounds 5] [--only NAME ...]

PostgreSQL is the embedded one, durable, over its local socket; all hold the same sample data.  Each
figure is the median of its rounds; backends alternate within a round.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import octavo
from octavo import Client
from octavo.demo.sample import load_sample
from octavo.fold.export import ExportOptions, export
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl


def sides(server: EmbeddedServer, folder: Path, messages: int) -> dict[str, Client]:
    """A client on each backend, with the same data."""
    url = server.create_database("bench")
    with connect(url) as connection:
        connection.execute(ddl(frozen_schema()).script().encode())
        load_sample(connection, folder / "public", messages=messages)
        connection.execute("vacuum analyze")
    export(DatabaseUrl.parse(url), folder / "data", frozen_layout(), ExportOptions(folder / "public"))
    # What is written to one side alone must not be missed by the other.
    both = server.create_database("both", template="bench")
    shutil.copytree(folder / "data", folder / "both")
    return {
        "json": octavo.connect("json", data_dir=folder / "data"),
        "prisma": octavo.connect("prisma", database_url=url),
        "dual": octavo.connect("dual", database_url=both, data_dir=folder / "both"),
    }


def per_call(work: Callable[[int], object], times: int) -> float:
    """Seconds for each call, the median of ten batches."""
    batch = max(times // 10, 1)
    found = []
    for start in range(0, batch * 10, batch):
        began = time.perf_counter()
        for n in range(start, start + batch):
            work(n)
        found.append((time.perf_counter() - began) / batch)
    return statistics.median(found)


class Bench:
    """The calls of the table, one method each: what to do with a client, how often, and the goal."""

    def __init__(self, clients: dict[str, Client], rounds: int) -> None:
        self.clients, self.rounds = clients, rounds
        found: list[Any] = clients["json"].chat.find_many(include={"_count": {"select": {"messages": True}}})
        self.chats = [chat.id for chat in found]
        self.long = max(found, key=lambda chat: chat._count.messages).id

    def measure(self, name: str, work: Callable[[Client, int], object], times: int, goal: float) -> None:
        """Print what a call costs on each backend, and the ratio to PostgreSQL's."""
        rounds: dict[str, list[float]] = {kind: [] for kind in self.clients}
        for client in self.clients.values():
            work(client, 0)
        for _ in range(self.rounds):
            for kind, client in self.clients.items():
                rounds[kind].append(per_call(lambda n, c=client: work(c, n), times))  # type: ignore[misc]
        medians = {kind: statistics.median(found) for kind, found in rounds.items()}
        figures = "".join(f"   {kind} {seconds * 1e6:9.1f} µs" for kind, seconds in medians.items())
        ratio = medians["json"] / medians["prisma"]
        both = medians["dual"] / (medians["json"] + medians["prisma"])
        print(
            f"{name:<50}{figures}   json / prisma {ratio:6.3f} (goal {goal})"
            f"   dual / (json + prisma) {both:5.2f} (goal 1.3)",
            flush=True,
        )

    def unique(self) -> None:
        """find_unique by id"""
        chats, many = self.chats, len(self.chats)
        self.measure(
            "find_unique by id",
            lambda db, n: db.chat.find_unique(where={"id": chats[n % many]}),
            2000,
            0.1,
        )

    def page(self) -> None:
        """a chat with its character, tags and last 50 messages"""
        wanted: Any = {
            "character": True,
            "tags": {"include": {"tag": True}},
            "messages": {"order_by": {"createdAt": "desc"}, "take": 50},
        }
        self.measure(
            "a chat with its character, tags, last 50 messages",
            lambda db, n: db.chat.find_unique(where={"id": self.long}, include=wanted),
            500,
            0.3,
        )

    def search(self) -> None:
        """chats of a character by name, newest first"""
        self.measure(
            "ten chats by the character's name, newest first",
            lambda db, n: db.chat.find_many(
                where={"character": {"name": {"contains": "a", "mode": "insensitive"}}},
                order_by={"updatedAt": "desc"},
                take=10,
            ),
            200,
            1.0,
        )

    def create(self) -> None:
        """create a message"""
        text = "It was a dark and stormy night. " * 14
        self.measure(
            "create a message",
            lambda db, n: db.message.create(data={"chatId": self.chats[0], "role": "USER", "content": text}),
            300,
            0.5,
        )

    def update(self) -> None:
        """change a chat's title"""
        self.measure(
            "update a chat's title",
            lambda db, n: db.chat.update(where={"id": self.chats[0]}, data={"title": f"Chat {n}"}),
            300,
            1.0,
        )


CALLS = ("unique", "page", "search", "create", "update")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CALLS, default=CALLS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavo-bench-") as folder, embedded_server() as server:
        clients = sides(server, Path(folder), options.messages)
        bench = Bench(clients, options.rounds)
        for name in options.only:
            getattr(bench, name)()
        for client in clients.values():
            client.close()


if __name__ == "__main__":
    main()
