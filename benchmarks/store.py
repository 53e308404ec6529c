"""The store against SQLite and TinyDB doing the same, in turn, in one run.

    python benchmarks/store.py [--messages 500000] [--chats 2500] [--rounds 5] [--only NAME ...]

SQLite is the standard library's, in WAL mode with ``synchronous=FULL``: one table a model, of key, parent and
the record's JSON, with an index on the parent.  Both sides hold the same records of about 700 bytes and give
the same typed objects.  Each figure is the median of its rounds; peers alternate within a round.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from octavo.fold.scaffold import scaffold
from octavo.layout.layout import frozen_layout
from octavo.store.rules import Rules
from octavo.store.store import Store

TIME = "2025-01-01T00:00:00.000Z"
rng = random.Random(7)


class Data:
    """Made-up records, as files and as a SQLite database."""

    def __init__(self, folder: Path, chats: int, messages: int, *, long_chat: int = 0) -> None:
        self.root, self.database = folder / "data", folder / "peer.sqlite"
        self.rules = Rules(frozen_layout())
        scaffold(self.root, frozen_layout())
        self.connection = self.connect()
        self.connection.execute("create table chats (id text primary key, parent text, json text)")
        self.connection.execute("create table messages (id text primary key, parent text, json text)")
        self.connection.execute("create index by_parent on messages (parent)")
        self.chats = [self.chat(n) for n in range(chats)]
        self.ids: list[str] = []
        self.write_owners()
        self.write_logs(messages, long_chat)

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.database, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        return connection

    def make(self, model: str, **values: Any) -> Any:
        """A record with these stored values; the others are NULL."""
        kind = self.rules.codecs[model].shape.record_type
        given = {f.name: None for f in msgspec.structs.fields(kind) if f.default is msgspec.NODEFAULT}
        return kind(**given | values)

    def chat(self, number: int) -> Any:
        return self.make(
            "Chat",
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            userId="user",
            characterId="character",
            connectionProfileId="profile",
            title=f"Chat {number}",
            contextSummary="What happened so far. " * 25,
            _createdAt=TIME,
            _updatedAt=TIME,
        )

    def message(self, chat: str) -> Any:
        seconds, milliseconds = divmod(rng.randrange(86_400_000), 1000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}"
        return self.make(
            "Message",
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            chatId=chat,
            role="USER",
            content="It was a dark and stormy night. " * 14,
            _createdAt=f"2025-01-01T{clock}Z",
        )

    def write_owners(self) -> None:
        times = {"_createdAt": TIME, "_updatedAt": TIME}
        user = self.make("User", id="user", email="a@example.org", totpEnabled=False, **times)
        settings = {
            "provider": "OPENAI",
            "modelName": "m",
            "_parameters": msgspec.Raw(b"{}"),
            "isDefault": True,
        }
        profile = self.make("ConnectionProfile", id="profile", userId="user", name="p", **settings, **times)
        texts = dict.fromkeys(("description", "personality", "scenario", "firstMessage"), "text")
        character = self.make(
            "Character", id="character", userId="user", name="c", isFavorite=False, **texts, **times
        )
        with Store.open(self.root, frozen_layout()) as store, store.transaction() as tx:
            for row in (user, profile, character):
                tx.insert([row])

    def write_logs(self, messages: int, long_chat: int) -> None:
        codec, log = self.rules.codecs["Chat"], self.rules.codecs["Message"]
        lines = [codec.encode(codec.stored(c, {"tags": [], "avatarOverrides": []})) for c in self.chats]
        (self.root / "chats/index.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        self.connection.execute("begin")
        rows = [(c.id, c.userId, line.decode()) for c, line in zip(self.chats, lines, strict=True)]
        self.connection.executemany("insert into chats values (?, ?, ?)", rows)
        for number, chat in enumerate(self.chats):
            count = long_chat if number == 0 and long_chat else messages // len(self.chats)
            made = sorted((self.message(chat.id) for _ in range(count)), key=lambda m: (m._createdAt, m.id))
            texts = [log.encode(m) for m in made]
            (self.root / f"chats/{chat.id}.jsonl").write_bytes(b"".join(t + b"\n" for t in texts))
            rows = [(m.id, chat.id, t.decode()) for m, t in zip(made, texts, strict=True)]
            self.connection.executemany("insert into messages values (?, ?, ?)", rows)
            self.ids += [m.id for m in made]
        self.connection.execute("commit")
        self.connection.execute("pragma wal_checkpoint(truncate)")

    def open(self) -> Store:
        return Store.open(self.root, frozen_layout())


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


def alternate(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The median of each work's figures, the works in turn."""
    found = [[work() for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def show(name: str, ours: float, theirs: float, goal: float, peer: str = "SQLite") -> None:
    unit, scale = ("ms", 1e3) if max(ours, theirs) > 1e-3 else ("µs", 1e6)
    print(
        f"{name:<52} {ours * scale:9.2f} {unit}   {peer:<14} {theirs * scale:9.2f} {unit}"
        f"   ratio {ours / theirs:6.2f} (goal {goal})",
        flush=True,
    )


class Bench:
    """The operations of the table, one method each."""

    def __init__(self, folder: Path, chats: int, messages: int, rounds: int) -> None:
        self.folder, self.rounds, self.size = folder, rounds, (chats, messages)
        self._data: dict[tuple[int, int, int], Data] = {}

    def data(self, chats: int, messages: int, long_chat: int = 0) -> Data:
        key = chats, messages, long_chat
        if key not in self._data:
            where = self.folder / f"{chats}-{messages}-{long_chat}"
            where.mkdir()
            self._data[key] = Data(where, *key[:2], long_chat=long_chat)
        return self._data[key]

    def append(self) -> None:
        """durable append of a message"""
        data, peer = self.data(100, 2000), self.data(100, 2000).connection
        chat, encode = data.chats[0].id, msgspec.json.encode
        with data.open() as store:

            def ours(n: int) -> None:
                with store.transaction() as tx:
                    tx.insert([data.message(chat)], known_new=("id",))

            def theirs(n: int) -> None:
                message = data.message(chat)
                values = message.id, chat, encode(message).decode()
                peer.execute("insert into messages values (?, ?, ?)", values)

            a, b = alternate(self.rounds, lambda: per_call(ours, 300), lambda: per_call(theirs, 300))
        show("durable append of a message", a, b, 1.0)
        from tinydb import TinyDB

        with TinyDB(self.folder / "tiny.json") as tiny:
            tiny.insert_multiple([msgspec.to_builtins(data.message(chat)) for _ in range(2000)])
            slow = per_call(lambda n: tiny.insert(msgspec.to_builtins(data.message(chat))), 10)
        show("the same against TinyDB with 2,000 (not synced)", a, slow, 1.0, "TinyDB")

    def threads(self) -> None:
        """eight threads appending durably"""
        data = self.data(100, 2000)
        chats = [c.id for c in data.chats[:8]]
        with data.open() as store:

            def append(chat: str, times: int) -> None:
                for _ in range(times):
                    message = data.message(chat)
                    with store.transaction() as tx:
                        tx.insert([message], known_new=("id",))

            def together(targets: list[str]) -> float:
                workers = [threading.Thread(target=append, args=(chat, 200)) for chat in targets]
                began = time.perf_counter()
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                return (time.perf_counter() - began) / (200 * len(targets))

            one, same, spread = alternate(
                self.rounds,
                lambda: together(chats[:1]),
                lambda: together(chats[:1] * 8),
                lambda: together(chats),
            )
        show("eight threads, one chat: throughput over one thread's", one, same, 3.0, "eight")
        show("eight threads, eight chats", one, spread, 3.0, "eight")

    def read(self) -> None:
        """one record by id, warm"""
        data = self.data(100, 2000)
        ids = [c.id for c in data.chats]
        codec = data.rules.codecs["Chat"]
        decode, convert = msgspec.json.Decoder(codec.shape.type).decode, codec.record
        peer = data.connection
        with data.open() as store:

            def ours(n: int) -> None:
                store.get("Chat", ids[n % 100])

            def theirs(n: int) -> None:
                row = peer.execute("select json from chats where id = ?", (ids[n % 100],)).fetchone()
                convert(decode(row[0]))

            a, b = alternate(self.rounds, lambda: per_call(ours, 20000), lambda: per_call(theirs, 20000))
        show("one record by id, warm", a, b, 0.5)

    def load(self) -> None:
        """a chat of 10,000 messages as typed records"""
        data = self.data(100, 2000, 10_000)
        chat, peer = data.chats[0].id, data.connection
        decode = msgspec.json.Decoder(data.rules.codecs["Message"].shape.record_type).decode

        def load(store: Store) -> float:
            began = time.perf_counter()
            found = store.read(lambda view: view.in_file_order("Message", ("chatId",), chat))
            took = time.perf_counter() - began
            assert len(found) == 10_000
            return took

        def cold() -> float:
            with data.open() as store:
                store.get("Chat", chat)
                return load(store)

        def warm() -> float:
            with data.open() as store:
                load(store)
                return statistics.median(load(store) for _ in range(5))

        def theirs() -> float:
            began = time.perf_counter()
            rows = peer.execute("select json from messages where parent = ?", (chat,)).fetchall()
            found: list[Any] = [decode(row[0]) for row in rows]
            found.sort(key=lambda m: (m._createdAt, m.id))
            return time.perf_counter() - began

        a, b, c = alternate(self.rounds * 3, cold, warm, theirs)
        show("load a chat of 10,000 messages", a, c, 0.6)
        show("again, cached", b, c, 0.05)

    def update(self) -> None:
        """one chat's row"""
        small, _ = self.update_among(100)
        large, theirs = self.update_among(10_000)
        show("update one chat's row, index of 10,000", large, theirs, 0.8)
        show("the same, against its own cost at 100", large, small, 1.2, "at 100")

    def update_among(self, chats: int) -> list[float]:
        data = self.data(chats, chats)
        ids, peer = [c.id for c in data.chats], data.connection
        decode = msgspec.json.Decoder(data.rules.codecs["Chat"].shape.type).decode
        with data.open() as store:

            def ours(n: int) -> None:
                with store.transaction() as tx:
                    chat: Any = tx.get("Chat", ids[n % 100])
                    tx.update([(chat, msgspec.structs.replace(chat, title=f"t{n}"))])

            def theirs(n: int) -> None:
                row = peer.execute("select json from chats where id = ?", (ids[n % 100],)).fetchone()
                changed = msgspec.structs.replace(decode(row[0]), title=f"t{n}")
                values = msgspec.json.encode(changed).decode(), ids[n % 100]
                peer.execute("update chats set json = ? where id = ?", values)

            ours(0)
            return alternate(self.rounds, lambda: per_call(ours, 300), lambda: per_call(theirs, 300))

    def delete(self) -> None:
        """one message of 10,000"""
        data = self.data(100, 2000, 10_000)
        chat, peer = data.chats[0].id, data.connection
        with data.open() as store:
            messages: list[Any] = list(store.read(lambda view: view.find("Message", ("chatId",), chat)))
            left = [m.id for m in messages]
            gone = iter(list(left))
            gone_too = iter(list(left))

            def ours(n: int) -> None:
                with store.transaction() as tx:
                    message: Any = tx.get("Message", next(gone))
                    tx.delete([message])

            def theirs(n: int) -> None:
                peer.execute("delete from messages where id = ?", (next(gone_too),))

            store.get("Message", left[0])
            a, b = alternate(self.rounds, lambda: per_call(ours, 100), lambda: per_call(theirs, 100))
        show("delete one message of 10,000", a, b, 0.8)

    def find(self) -> None:
        """any message by id, chat unknown"""
        data = self.data(*self.size)
        wanted = [data.ids[rng.randrange(len(data.ids))] for _ in range(2000)]
        decode = msgspec.json.Decoder(data.rules.codecs["Message"].shape.record_type).decode
        peer = data.connection
        with data.open() as store:
            began = time.perf_counter()
            store.get("Message", wanted[0])
            built = time.perf_counter() - began

            def ours(n: int) -> None:
                store.get("Message", wanted[n % 2000])

            def theirs(n: int) -> None:
                row = peer.execute("select json from messages where id = ?", (wanted[n % 2000],)).fetchone()
                decode(row[0])

            a, b = alternate(self.rounds, lambda: per_call(ours, 2000), lambda: per_call(theirs, 2000))
        show(f"any message by id among {len(data.ids):,}", a, b, 1.0)
        print(f"{'':<52} its index was built in {built:.2f} s")

    def start(self) -> None:
        """a fresh process that lists the chats"""
        data = self.data(*self.size)
        ours = f"""
from octavo.layout.layout import frozen_layout
from octavo.store.store import Store
with Store.open({str(data.root)!r}, frozen_layout()) as store:
    chats = store.read(lambda view: list(view.rows("Chat")))
assert len(chats) == {len(data.chats)}
"""
        plain = f"""
import json, sqlite3
rows = sqlite3.connect({str(data.database)!r}).execute("select json from chats").fetchall()
chats = [json.loads(row[0]) for row in rows]
assert len(chats) == {len(data.chats)}
"""
        typed = plain.replace("import json,", "import msgspec,").replace(
            "json.loads", "msgspec.json.Decoder().decode"
        )
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

        def run(code: str) -> Callable[[], float]:
            def once() -> float:
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", code], check=True, env=environment)
                return time.perf_counter() - began

            return once

        a, b, c = alternate(self.rounds * 3, run(ours), run(plain), run(typed))
        show(f"open and list {len(data.chats):,} chats, fresh process", a, b, 1.3, "SQLite, json")
        show("the same", a, c, 1.3, "SQLite, msgspec")
        # Not getrusage, whose figure is the parent's until the child has outgrown it.
        peak = "print(next(li for li in open('/proc/self/status') if li.startswith('VmHWM')).split()[1])"
        done = subprocess.run(
            [sys.executable, "-c", ours + peak], check=True, env=environment, capture_output=True
        )
        print(f"{'memory after that':<52} {int(done.stdout) / 1024:9.1f} MB   (goal 40)")


NAMES = ("append", "threads", "read", "load", "update", "delete", "find", "start")


def main() -> None:
    """Measure what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--chats", type=int, default=2_500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="octavo-bench-"))
    try:
        bench = Bench(folder, wanted.chats, wanted.messages, wanted.rounds)
        for name in wanted.only:
            getattr(bench, name)()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
