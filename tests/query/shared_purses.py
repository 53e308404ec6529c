"""Transactions of several operations, by threads of several processes, whose outcome can be told afterwards.

Run as a program this is one of the processes: ``python shared_purses.py DATA SEED THREADS SECONDS``.  It
prints, as JSON, how much its acknowledged transactions have added to each counter.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from backends import on_files
from octavo.client import Client
from octavo.errors import RecordNotFound
from query.blog import VOCABULARY

SUM = 1000
PURSES = (1, 2)
ADDED, READ_AND_WRITTEN, CLAIMED = 3, 4, 5
"""counters: by an atomic increment; by what was read, at Serializable; by naming what was read"""


class Undone(Exception):
    """A transaction that is given up on purpose."""


def prepare(db: Client) -> None:
    for number in PURSES:
        db.user.create(data={"id": number, "email": f"{number}", "age": SUM // 2})
    for number in (ADDED, READ_AND_WRITTEN, CLAIMED):
        db.user.create(data={"id": number, "email": f"{number}", "age": 0})


def age(tx: Any, number: int) -> int:
    found: int = tx.user.find_unique_or_raise(where={"id": number}).age
    return found


def set_to(tx: Any, number: int, value: int) -> None:
    tx.user.update(where={"id": number}, data={"age": value})


class Worker:
    def __init__(self, db: Client, seed: str) -> None:
        self.db, self.random = db, random.Random(seed)
        self.kept: Counter[int] = Counter()

    def run(self, end: float) -> None:
        acts = (self.pay, self.pay, self.add, self.read_and_write, self.claim, self.look, self.glance)
        while time.monotonic() < end:
            self.random.choice(acts)()

    def pay(self) -> None:
        """Move money, sometimes think again, in the whole or in a part."""
        amount, undone = self.random.randint(-5, 5), self.random.random() < 0.2
        try:
            with self.db.tx(isolation_level="Serializable", timeout=60) as tx:
                first, second = (age(tx, number) for number in PURSES)
                assert first + second == SUM
                set_to(tx, PURSES[0], first - amount)
                try:
                    with tx.savepoint() as part:
                        set_to(part, PURSES[1], 0)
                        raise Undone
                except Undone:
                    assert age(tx, PURSES[1]) == second
                set_to(tx, PURSES[1], second + amount)
                if undone:
                    raise Undone
        except Undone:
            pass

    def add(self) -> None:
        with self.db.tx(timeout=60) as tx:
            tx.user.update(where={"id": ADDED}, data={"age": {"increment": 1}})
            try:
                tx.user.update(where={"id": 99}, data={"age": 1})
            except RecordNotFound:
                tx.user.update(where={"id": ADDED}, data={"age": {"increment": 1}})
        self.kept[ADDED] += 2

    def read_and_write(self) -> None:
        with self.db.tx(isolation_level="RepeatableRead", timeout=60) as tx:
            set_to(tx, READ_AND_WRITTEN, age(tx, READ_AND_WRITTEN) + 1)
        self.kept[READ_AND_WRITTEN] += 1

    def claim(self) -> None:
        with self.db.tx(timeout=60) as tx:
            seen = age(tx, CLAIMED)
            number = tx.user.update_many(where={"id": CLAIMED, "age": seen}, data={"age": seen + 1})
        self.kept[CLAIMED] += number

    def look(self) -> None:
        """Two calls of one state."""
        with self.db.tx(isolation_level="RepeatableRead", timeout=60) as tx:
            assert sum(age(tx, number) for number in PURSES) == SUM

    def glance(self) -> None:
        """One call, which sees one state at any level, and no half of a transaction."""
        with self.db.tx(timeout=60) as tx:
            found: Any = tx.user.find_many(where={"id": {"in": list(PURSES)}})
            assert sum(user.age for user in found) == SUM


def work(db: Client, seed: str, threads: int, seconds: float) -> Counter[int]:
    """What the threads have added to each counter."""
    workers = [Worker(db, f"{seed}-{number}") for number in range(threads)]
    failed: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            worker.run(time.monotonic() + seconds)
        except BaseException as error:
            failed.append(error)
            raise

    running = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failed:
        raise failed[0]
    total: Counter[int] = Counter()
    for worker in workers:
        total += worker.kept
    return total


if __name__ == "__main__":
    folder, seed, threads, seconds = sys.argv[1:]
    with on_files(VOCABULARY, Path(folder)) as opened:
        print(json.dumps(work(opened, seed, int(threads), float(seconds))))
