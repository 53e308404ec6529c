"""The client on the files against SQLite doing the same, in turn, in one run.

    python benchmarks/store.py [--messages N] [--chats N] [--rounds 5] [--sync 0.001] [--only NAME ...]

Ours is ``octavo.connect("json")``, with ids given by the caller.  SQLite is the standard library's, in WAL
mode with ``synchronous=FULL``: one table a model, of key, parent and the record's JSON text, with an index on
the parent.  Both sides hold the same records of about 700 bytes and give the same typed objects.  Each figure
is the median of its rounds, and in a round the quickest of ten batches of calls; the two sides alternate.

``--sync`` is for slower disks: each of our syncs takes this many seconds more, and each of SQLite's commits,
which makes one sync in this mode.  ``--messages 20000 --only append`` is a quick look.
"""

from __future__ import annotations

import argparse
import asyncio
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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

import octavo
from octavo.aio import AsyncClient
from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.store.store import Store
from octavo.store.system import FileSystem
from octavo.testing.run import Run, store_client

TIME = "2025-01-01T00:00:00.000Z"
TEXT = "It was a dark and stormy night. " * 14
rng = random.Random(7)
encode = msgspec.json.encode


class SlowSync(FileSystem):
    """A disk whose every sync takes some seconds more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        time.sleep(self.seconds)


def new_id() -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def moment() -> str:
    seconds, milliseconds = divmod(rng.randrange(86_400_000), 1000)
    return f"2025-01-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{milliseconds:03}Z"


class Data:
    """Made-up records, as files and as a SQLite database."""

    def __init__(self, folder: Path, chats: int, messages: int, *, long_chat: int, sync: float) -> None:
        self.root, self.database, self.sync = folder / "data", folder / "peer.sqlite", sync
        scaffold(self.root, frozen_layout())
        vocabulary = Vocabulary(frozen_schema())
        self.message = msgspec.json.Decoder(vocabulary["Message"].type).decode
        self.chat = msgspec.json.Decoder(vocabulary["Chat"].type).decode
        self.connection = sqlite3.connect(self.database, isolation_level=None, check_same_thread=False)
        self.connection.execute("pragma journal_mode=wal")
        self.connection.execute("pragma synchronous=full")
        self.connection.execute("create table chats (id text primary key, parent text, json text)")
        self.connection.execute("create table messages (id text primary key, parent text, json text)")
        self.connection.execute("create index by_parent on messages (parent)")
        self.chats = [new_id() for _ in range(chats)]
        self.ids: list[str] = []
        self._write_owners()
        self._write_logs(messages, long_chat)

    def _write_owners(self) -> None:
        texts = dict.fromkeys(("description", "personality", "scenario", "firstMessage"), "text")
        model = {"provider": "OPENAI", "modelName": "m", "parameters": {}, "isDefault": True}
        db: Any
        with octavo.connect("json", data_dir=self.root) as db:
            db.user.create(data={"id": "user", "email": "a@example.org"})
            db.connection_profile.create(data={"id": "profile", "userId": "user", "name": "p", **model})
            db.character.create(data={"id": "character", "userId": "user", "name": "c", **texts})

    def _write_logs(self, messages: int, long_chat: int) -> None:
        summary = "What happened so far. " * 25
        owners: dict[str, Any] = {"userId": "user", "characterId": "character", "personaId": None}
        owners |= {"connectionProfileId": "profile", "imageProfileId": None}
        self.connection.execute("begin")
        with open(self.root / "chats/index.jsonl", "wb") as index:
            for number, chat in enumerate(self.chats):
                record = {"id": chat, **owners, "title": f"Chat {number}"}
                record |= {
                    "contextSummary": summary,
                    "createdAt": TIME,
                    "updatedAt": TIME,
                }
                embedded: dict[str, Any] = {"avatarOverrides": [], "tags": []}
                index.write(encode({"_model": "Chat", **record, **embedded}) + b"\n")
                values = chat, "user", encode(record).decode()
                self.connection.execute("insert into chats values (?, ?, ?)", values)
        for number, chat in enumerate(self.chats):
            count = long_chat if number == 0 and long_chat else messages // len(self.chats)
            made = sorted((moment(), new_id()) for _ in range(count))
            with open(self.root / f"chats/{chat}.jsonl", "wb") as log:
                for time_of, key in made:
                    record = message(key, chat, time_of)
                    log.write(encode({"_model": "Message", **record}) + b"\n")
                    values = key, chat, encode(record).decode()
                    self.connection.execute("insert into messages values (?, ?, ?)", values)
            self.ids += [key for _, key in made]
        self.connection.execute("commit")
        self.connection.execute("pragma wal_checkpoint(truncate)")

    def open(self) -> Any:
        """The client."""
        if not self.sync:
            return octavo.connect("json", data_dir=self.root)
        vocabulary = Vocabulary(frozen_schema())
        store = Store.open(self.root, frozen_layout(), system=SlowSync(self.sync))
        return Client(JsonBackend(vocabulary, store), vocabulary)

    def change(self, statement: str, *values: str) -> None:
        """A commit of SQLite's."""
        self.connection.execute(statement, values)
        if self.sync:
            time.sleep(self.sync)


def message(key: str, chat: str, created: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("tokenCount", "swipeGroupId", "swipeIndex"))
    return {"id": key, "chatId": chat, "role": "USER", "content": TEXT, **nothing, "createdAt": created}


def per_call(work: Callable[[int], object], times: int) -> float:
    """Seconds for each call, in the quickest of ten batches: other work on the machine does not count."""
    batch = max(times // 10, 1)
    found = []
    for start in range(0, batch * 10, batch):
        began = time.perf_counter()
        for n in range(start, start + batch):
            work(n)
        found.append((time.perf_counter() - began) / batch)
    return min(found)


def alternate(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The median of each work's figures, the works in turn."""
    found = [[work() for work in works] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def once(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(name: str, ours: float, theirs: float, goal: float, peer: str = "SQLite") -> None:
    unit, scale = ("ms", 1e3) if max(ours, theirs) > 1e-3 else ("µs", 1e6)
    print(
        f"{name:<52} {ours * scale:9.2f} {unit}   {peer:<14} {theirs * scale:9.2f} {unit}"
        f"   ratio {ours / theirs:6.2f} (goal {goal})",
        flush=True,
    )


def show_alone(name: str, seconds: float, goal: float, memory: float, most: float) -> None:
    print(
        f"{name:<52} {seconds * 1e3:9.2f} ms (goal {goal * 1e3:g})   peak {memory:6.1f} MB (goal {most})",
        flush=True,
    )


PEAK = """
import sys, time
def peak():
    return int(next(li for li in open("/proc/self/status") if li.startswith("VmHWM")).split()[1]) / 1024
"""
"""Not getrusage, whose figure is the parent's until the child has outgrown it."""


def in_process(code: str) -> list[float]:
    """The numbers that a process of its own prints."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK + code], check=True, env=environment, capture_output=True, text=True
    )
    return [float(word) for word in done.stdout.split()]


class Bench:
    """The operations of the table, one method each."""

    def __init__(self, folder: Path, chats: int, messages: int, rounds: int, sync: float) -> None:
        self.folder, self.rounds, self.size, self.sync = folder, rounds, (chats, messages), sync
        self._data: dict[tuple[int, int, int], Data] = {}

    def data(self, chats: int, messages: int, long_chat: int = 0) -> Data:
        key = chats, messages, long_chat
        if key not in self._data:
            where = self.folder / f"{chats}-{messages}-{long_chat}"
            where.mkdir()
            self._data[key] = Data(where, chats, messages, long_chat=long_chat, sync=self.sync)
        return self._data[key]

    @contextmanager
    def removed(self, chats: int, messages: int) -> Iterator[Data]:
        """Data that is too large to keep."""
        data = self.data(chats, messages)
        yield data
        del self._data[chats, messages, 0]
        data.connection.close()
        shutil.rmtree(data.root.parent)

    def append(self) -> None:
        """durable append of a message"""
        data = self.data(*self.size)
        chat = data.chats[0]
        with data.open() as db:

            def ours(n: int) -> None:
                db.message.create(data={"id": new_id(), "chatId": chat, "role": "USER", "content": TEXT})

            def theirs(n: int) -> None:
                key = new_id()
                text = encode(message(key, chat, moment())).decode()
                data.change("insert into messages values (?, ?, ?)", key, chat, text)

            a, b = alternate(self.rounds, lambda: per_call(ours, 300), lambda: per_call(theirs, 300))
        show("durable append of a message", a, b, 1.05 if self.sync else 1.3)

    def threads(self) -> None:
        """eight threads appending durably"""
        data = self.data(100, 2000)
        chats = data.chats[:8]
        with data.open() as db:

            def append(chat: str, times: int) -> None:
                for _ in range(times):
                    db.message.create(data={"id": new_id(), "chatId": chat, "role": "USER", "content": TEXT})

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

    def tasks(self) -> None:
        """a hundred tasks of asyncio, appending durably and reading from memory"""
        data = self.data(100, 2000)

        async def run() -> None:
            async with AsyncClient(data.open()) as db:

                async def append(chat: str, times: int) -> None:
                    for _ in range(times):
                        await db.message.create(
                            data={"id": new_id(), "chatId": chat, "role": "USER", "content": TEXT}
                        )

                async def look(times: int) -> None:
                    for n in range(times):
                        await db.chat.find_unique(where={"id": data.chats[n % 100]})

                async def took(times: int, *tasks: Coroutine[Any, Any, None]) -> float:
                    began = time.perf_counter()
                    await asyncio.gather(*tasks)
                    return (time.perf_counter() - began) / times

                figures = []
                await look(1000)
                for _ in range(self.rounds):
                    one = await took(200, append(data.chats[0], 200))
                    many = await took(2000, *(append(chat, 20) for chat in data.chats))
                    figures.append((one, many, await took(20_000, look(20_000))))
                one, many, read = (statistics.median(column) for column in zip(*figures, strict=True))
            show("a hundred tasks: throughput over one after the other", one, many, 3.0, "hundred")
            print(f"{'find_unique by id, warm, awaited':<52} {read * 1e6:9.2f} µs")

        asyncio.run(run())

    def update(self) -> None:
        """one chat's title"""
        small, _ = self._update_among(100)
        large, theirs = self._update_among(10_000)
        show("update one chat's title, index of 10,000", large, theirs, 1.3)
        show("the same, against its own cost at 100", large, small, 1.2, "at 100")

    def _update_among(self, chats: int) -> list[float]:
        data = self.data(chats, chats)
        ids, peer = data.chats, data.connection
        with data.open() as db:

            def ours(n: int) -> None:
                db.chat.update(where={"id": ids[n % 100]}, data={"title": f"t{n}"})

            def theirs(n: int) -> None:
                row = peer.execute("select json from chats where id = ?", (ids[n % 100],)).fetchone()
                changed = msgspec.structs.replace(data.chat(row[0]), title=f"t{n}", _updatedAt=moment())
                text = encode(changed).decode()
                data.change("update chats set json = ? where id = ?", text, ids[n % 100])

            ours(0)
            return alternate(self.rounds, lambda: per_call(ours, 300), lambda: per_call(theirs, 300))

    def delete(self) -> None:
        """one message of 10,000"""
        data = self.data(100, 2000, 10_000)
        chat, peer = data.chats[0], data.connection
        with data.open() as db:
            left = [m.id for m in db.message.find_many(where={"chatId": chat})]
            gone, gone_too = iter(list(left)), iter(list(left))

            def ours(n: int) -> None:
                db.message.delete(where={"id": next(gone)})

            def theirs(n: int) -> None:
                key = next(gone_too)
                row = peer.execute("select json from messages where id = ?", (key,)).fetchone()
                data.message(row[0])
                data.change("delete from messages where id = ?", key)

            db.message.find_unique(where={"id": left[-1]})
            a, b = alternate(self.rounds, lambda: per_call(ours, 100), lambda: per_call(theirs, 100))
        show("delete one message of 10,000", a, b, 1.5)

    def read(self) -> None:
        """one record by id, warm"""
        data = self.data(100, 2000)
        ids, peer = data.chats, data.connection
        with data.open() as db:

            def ours(n: int) -> None:
                db.chat.find_unique(where={"id": ids[n % 100]})

            def theirs(n: int) -> None:
                data.chat(peer.execute("select json from chats where id = ?", (ids[n % 100],)).fetchone()[0])

            a, b = alternate(self.rounds, lambda: per_call(ours, 20000), lambda: per_call(theirs, 20000))
        show("find_unique by id, warm", a, b, 0.5)

    def find(self) -> None:
        """any message by id, chat unknown"""
        data = self.data(*self.size)
        wanted = [data.ids[rng.randrange(len(data.ids))] for _ in range(20_000)]
        peer = data.connection
        with data.open() as db:
            built = once(lambda: db.message.find_unique(where={"id": wanted[0]}))

            def ours(n: int) -> None:
                db.message.find_unique(where={"id": wanted[n]})

            def theirs(n: int) -> None:
                row = peer.execute("select json from messages where id = ?", (wanted[n],)).fetchone()
                data.message(row[0])

            a, b = alternate(self.rounds, lambda: per_call(ours, 20_000), lambda: per_call(theirs, 20_000))
        show(f"any message by id among {len(data.ids):,}", a, b, 1.0)
        print(f"{'':<52} its index was ready in {built:.2f} s")

    def load(self) -> None:
        """a chat of 10,000 messages"""
        data = self.data(100, 2000, 10_000)
        chat, peer = data.chats[0], data.connection

        def load(db: Any) -> float:
            took = once(lambda: db.message.find_many(where={"chatId": chat}))
            return took

        def cold() -> float:
            with data.open() as db:
                db.chat.find_unique(where={"id": chat})
                return load(db)

        def warm() -> float:
            with data.open() as db:
                load(db)
                return statistics.median(load(db) for _ in range(5))

        def theirs() -> float:
            began = time.perf_counter()
            rows = peer.execute("select json from messages where parent = ?", (chat,)).fetchall()
            found: list[Any] = [data.message(row[0]) for row in rows]
            found.sort(key=lambda m: (m._createdAt, m.id))
            return time.perf_counter() - began

        a, b, c = alternate(self.rounds * 3, cold, warm, theirs)
        show("a chat of 10,000 messages for the first time", a, c, 0.8)
        show("again, from memory", b, c, 0.05)

    def start(self) -> None:
        """a fresh process that lists the chats"""
        data = self.data(*self.size)
        ours = f"""
import octavo
db = octavo.connect("json", data_dir={str(data.root)!r})
assert len(db.chat.find_many()) == {len(data.chats)}
"""
        theirs = f"""
import json, sqlite3
rows = sqlite3.connect({str(data.database)!r}).execute("select json from chats").fetchall()
assert len([json.loads(row[0]) for row in rows]) == {len(data.chats)}
"""
        a, b = alternate(
            self.rounds * 3, lambda: once(lambda: in_process(ours)), lambda: once(lambda: in_process(theirs))
        )
        show(f"connect and list {len(data.chats):,} chats, fresh process", a, b, 2.2)
        listed, more = in_process(ours + "print(peak())"), in_process("import octavo; print(peak())")
        print(
            f"{'memory after that':<52} {listed[0]:9.1f} MB (goal 32)   import octavo alone {more[0]:.1f} MB"
        )

    def many(self) -> None:
        """a store of 100,000 chats: a process's first message, and the index made anew"""
        with self.removed(100_000, 100_000) as data:
            connect = f"import octavo\ndb = octavo.connect('json', data_dir={str(data.root)!r})\n"
            write = f"""
began = time.perf_counter()
db.message.create(data={{"chatId": {data.chats[5]!r}, "role": "USER", "content": "x"}})
print(time.perf_counter() - began, peak())
"""
            runs = [in_process(connect + write) for _ in range(max(self.rounds, 3))]
            first, memory = (statistics.median(column) for column in zip(*runs, strict=True))
            show_alone("first message of a process, 100,000 chats", first, 0.03, memory, 60)
            look = f"""
began = time.perf_counter()
assert db.message.find_unique(where={{"id": {data.ids[7]!r}}})
print(time.perf_counter() - began, peak())
"""
            shutil.rmtree(data.root / "cache")
            show_alone("its index made anew", *_split(in_process(connect + look), 5.0, 60))

    def long(self) -> None:
        """a chat of 1,000,000 messages: its newest 50 after an append"""
        with self.removed(1, 1_000_000) as data:
            chat = data.chats[0]
            code = f"""
import octavo, subprocess
where, order = {{"chatId": {chat!r}}}, {{"createdAt": "desc"}}
append = '''
import octavo
with octavo.connect("json", data_dir={str(data.root)!r}) as db:
    db.message.create(data={{"chatId": {chat!r}, "role": "USER", "content": "x"}})
'''
with octavo.connect("json", data_dir={str(data.root)!r}) as db:
    def newest():
        began = time.perf_counter()
        db.message.find_many(where=where, order_by=order, take=50)
        return time.perf_counter() - began
    print(newest())
    found = []
    for n in range(5):
        db.message.create(data={{"chatId": {chat!r}, "role": "USER", "content": "x"}})
        found.append(newest())
    print(sorted(found)[2])
    found = []
    for n in range(3):
        subprocess.run([sys.executable, "-c", append], check=True)
        found.append(newest())
    print(sorted(found)[1], peak())
"""
            cold, own, foreign, memory = in_process(code)
        show_alone("newest 50 of 1,000,000 after an append of one's own", own, 0.001, memory, 300)
        show_alone("the same after an append of another process", foreign, 0.02, memory, 300)
        print(f"{'':<52} for the first time {cold:.2f} s")

    def fixture(self) -> None:
        """the store that pytest's fixture makes for a test, against a SQLite file with the same tables"""
        tables = [model.name for model in frozen_schema().tables]
        with ExitStack() as closing:
            run = Run(self.folder, closing)
            prepared = run.prepared(None, None)

            def ours(n: int) -> None:
                data_dir = run.new_folder() / "data"
                prepared.fill(data_dir)
                with store_client(data_dir, prepared):
                    pass

            def theirs(n: int) -> None:
                connection = sqlite3.connect(run.new_folder() / "test.sqlite", isolation_level=None)
                connection.execute("pragma synchronous=off")
                for table in tables:
                    connection.execute(f'create table "{table}" (id text primary key, json text)')
                connection.close()

            a, b = alternate(self.rounds, lambda: per_call(ours, 50), lambda: per_call(theirs, 50))
        show("a fresh store for a test (goal 10 ms)", a, b, 1.0)


def _split(figures: list[float], goal: float, most: float) -> tuple[float, float, float, float]:
    seconds, memory = figures
    return seconds, goal, memory, most


NAMES = (
    "append",
    "threads",
    "tasks",
    "update",
    "delete",
    "read",
    "find",
    "load",
    "start",
    "many",
    "long",
    "fixture",
)


def main() -> None:
    """Measure what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--chats", type=int, default=2_500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sync", type=float, default=0.0, help="seconds more for each sync")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="octavo-bench-"))
    try:
        bench = Bench(folder, wanted.chats, wanted.messages, wanted.rounds, wanted.sync)
        for name in wanted.only:
            getattr(bench, name)()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
