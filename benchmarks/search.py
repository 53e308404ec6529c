"""Texts searched on the files: by the index, by looking at every record, and by SQLite's FTS5 by itself.

    python benchmarks/search.py [--messages 100000] [--rounds 5]

The three hold the same messages of about 250 characters, whose words are as unevenly frequent as those of a
language.  The peer is one SQLite file with the records' JSON and FTS5 tables over it (trigrams, words); it
decodes what it finds to the same typed records.  Each figure is the quickest of its rounds; the sides
alternate within a round.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.load import frozen_layout
from octavo.layout.record import record_type
from octavo.query.vocabulary import Vocabulary
from octavo.store.store import Store

rng = random.Random(7)
VOCABULARY = Vocabulary(frozen_layout().datamodel)
WORDS = ["".join(rng.choices("etaoinshrdlucmfwypvbgkjqxz", k=rng.randint(3, 9))) for _ in range(20_000)]
WEIGHTS = [1 / (n + 10) for n in range(len(WORDS))]
PER_CHAT = 200
Side: TypeAlias = Callable[[], Any]


def opened(folder: Path, layout: Layout) -> Client:
    return Client(JsonBackend(VOCABULARY, Store.open(folder, layout)), VOCABULARY)


def fill(folder: Path, messages: int) -> None:
    scaffold(folder, frozen_layout())
    with opened(folder, frozen_layout()) as db, db.tx(timeout=3600) as tx:
        user = tx.user.create(data={"email": "a@example.org"})
        hero = {"name": "Ada", "description": "", "personality": "", "scenario": "", "firstMessage": ""}
        character = tx.character.create(data={**hero, "exampleDialogues": "", "userId": user.id})
        profile = {"userId": user.id, "name": "p", "provider": "OPENAI", "modelName": "m"}
        made = tx.connection_profile.create(data=profile)
        ends = {"userId": user.id, "characterId": character.id, "connectionProfileId": made.id}
        for start in range(0, messages, PER_CHAT):
            chat = tx.chat.create(data={**ends, "title": f"Talk {start}"})
            tx.message.create_many(
                data=[
                    {"chatId": chat.id, "role": "USER", "content": said()}
                    for _ in range(min(PER_CHAT, messages - start))
                ]
            )


def said() -> str:
    return " ".join(rng.choices(WORDS, WEIGHTS, k=rng.randint(20, 50)))


def peer(file: Path, db: Client) -> sqlite3.Connection:
    """The same messages in SQLite."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, record BLOB, content TEXT)")
    for name, how in (("grams", "trigram"), ("words", "unicode61")):
        connection.execute(
            f"CREATE VIRTUAL TABLE {name} USING fts5"
            f"(content, content='messages', content_rowid='id', tokenize='{how}')"
        )
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO messages (record, content) VALUES (?, ?)",
        ((msgspec.json.encode(m), m.content) for m in db.message.find_many()),
    )
    for name in ("grams", "words"):
        connection.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
    connection.execute("COMMIT")
    return connection


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "data")
        fill(folder, options.messages)
        places = tuple(replace(place, search=()) for place in frozen_layout().places)
        bare = opened(folder, Layout(frozen_layout().datamodel, places, frozen_layout().payload_folder))
        began = time.perf_counter()
        beside = peer(Path(name, "peer.sqlite"), bare)
        print(f"{options.messages} messages; SQLite makes its index in {time.perf_counter() - began:.1f} s")
        with bare, closing(beside), opened(folder, frozen_layout()) as db:
            made = seconds(lambda: db.message.search(WORDS[-1]))
            size = sum(path.stat().st_size for path in (folder / "cache/search").iterdir())
            print(f"ours is made in {made:.1f} s, {size / 1e6:.0f} MB")
            compare(db, bare, beside, options.rounds)


def compare(db: Client, bare: Client, beside: sqlite3.Connection, rounds: int) -> None:
    decode = msgspec.json.Decoder(
        record_type(frozen_layout().datamodel.model("Message"), frozen_layout().datamodel)
    )

    def fts(table: str, where: str, query: str, more: str = "") -> list[Any]:
        rows = beside.execute(
            f"SELECT record FROM {table} JOIN messages ON messages.id = {table}.rowid WHERE {where} {more}",
            (query,),
        )
        return [decode.decode(record) for (record,) in rows]

    def filtered(side: Client, word: str, mode: str) -> Side:
        return lambda: side.message.find_many(where={"content": {"contains": word, "mode": mode}})

    def searched(side: Client, query: str) -> Side:
        return lambda: side.message.search(query, fields=["content"], take=20)

    def grams(word: str) -> Side:
        return lambda: fts("grams", "grams MATCH ?", f'"{word}"')

    def words(query: str) -> Side:
        return lambda: fts("words", "words MATCH ?", query, "ORDER BY rank LIMIT 20")

    rare, some, common = WORDS[-7], WORDS[2_000], WORDS[30]
    print(f"\n{'':28}{'hits':>8}{'ours':>10}{'scan':>10}{'FTS5':>10}{'scan/ours':>11}{'ours/FTS5':>11}")
    for what, word, mode in [
        ("contains, a rare word", rare, "default"),
        ("contains, any case", rare.upper(), "insensitive"),
        ("contains, a word of some", some, "default"),
        ("contains, a frequent word", common, "default"),
    ]:
        line(what, rounds, filtered(db, word, mode), filtered(bare, word, mode), grams(word))
    for what, query in [("search, a rare word", rare), ("search, two words", f"{some} {common}")]:
        line(what, rounds, searched(db, query), searched(bare, query), words(query))
    (one, *_) = db.message.find_many(where={"content": {"contains": rare}})

    def after_commit() -> Any:
        db.message.update(where={"id": one.id}, data={"content": said()})
        began = time.perf_counter()
        db.message.find_many(where={"content": {"contains": rare}})
        return time.perf_counter() - began

    print(f"after a commit, the rare word: {min(after_commit() for _ in range(rounds)) * 1000:.2f} ms")


def line(what: str, rounds: int, *sides: Side) -> None:
    found = [len(side()) for side in sides]
    times = [[seconds(side) for side in sides] for _ in range(rounds)]
    ours, scan, fts = (min(each) * 1000 for each in zip(*times, strict=True))
    assert found[0] == found[1], found
    print(
        f"{what:28}{found[0]:>8}{ours:>8.2f}ms{scan:>8.1f}ms{fts:>8.2f}ms"
        f"{scan / ours:>10.0f}x{ours / fts:>10.1f}x"
    )


if __name__ == "__main__":
    main()
