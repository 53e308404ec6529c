"""Random transactions on shared records, and the proof that some serial order explains what they saw.

The records that are fought over hold a version and who wrote it: ``7 ann-12``.  A transaction raises the
version of those that it writes.  Everybody notes, outside the store and before committing, what he has read
and is about to write, and afterwards that the commit returned.  From that follows who has read whose write of
each record, and so an order in which the transactions must have happened: if it has no cycle, they have.

A message of one worker comes, changes and goes again, and the log says so: before it goes, and after each
commit.  So every other worker, in another process too, knows what it must find and what it must not.

Run as a program this is one of the processes: ``python history.py DATA LOG STOP DURABILITY THREADS``;
it ends when the file ``STOP`` is there.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from octavo.errors import UniqueViolation
from octavo.store.store import LOG_BUDGET, Store, Transaction
from octavo.store.view import View
from small_store import erase, layout, message, revise
from small_store import row as new

Key: TypeAlias = tuple[str, str]
"""Model and id of a record that is fought over."""

FIELDS = {"Tag": "name", "Character": "title", "Persona": "title", "Chat": "title", "Message": "content"}
KEYS: list[Key] = [
    *(("Tag", f"tag-{n}") for n in (1, 2)),
    *(("Character", f"hero-{n}") for n in (1, 2)),
    ("Persona", "persona-1"),
    *(("Chat", f"chat-{n}") for n in (1, 2, 3)),
    *(("Message", f"m{n}") for n in (0, 1, 10, 11)),
]
PURSES = ("m0", "m10")
"""messages of two chats, whose ``tokenCount`` is a sum of money together"""
SUM = 1000
CHATS = ("chat-1", "chat-2", "chat-3")
_RECENT = 1 << 13
"""bytes at the end of a log that tell which messages are there now"""
_PATIENCE = 60
"""seconds in which a worker ends when it is over"""


class Undone(Exception):
    """A transaction that is given up on purpose."""


def prepare(root: Path) -> None:
    """Give the records of the small store their first versions."""
    with Store.open(root, layout()) as store, store.transaction() as tx:
        for model, key in KEYS:
            revise(tx, model, key, **{FIELDS[model]: "0 nobody"})
        for key in PURSES:
            revise(tx, "Message", key, tokenCount=SUM // 2)


def version(view: View, key: Key) -> str:
    """The version of a record, with who wrote it."""
    found = view.get(*key)
    assert found is not None, key
    text: str = getattr(found, FIELDS[key[0]])
    return text


class Worker:
    """One thread, or the only one of a process."""

    def __init__(self, store: Store, log: Path, seed: str, *, shown: bool = True) -> None:
        """``shown``: whether other processes see a commit when it has returned."""
        self.store, self.name, self.path, self.shown = store, seed, log, shown
        self.random = random.Random(seed)
        self.number = 0
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, **what: Any) -> None:
        os.write(self.log, json.dumps(what).encode() + b"\n")

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over."""
        while not is_over():
            self.number += 1
            act = self.random.choice(
                [self.write, self.write, self.write, self.read, self.claim, self.pay, self.live, self.look]
            )
            act()

    @property
    def token(self) -> str:
        return f"{self.name}-{self.number}"

    def write(self) -> None:
        """Raise the version of some records; sometimes move a message on the way, sometimes think again."""
        keys = self.random.sample(KEYS, self.random.choice([1, 1, 1, 2, 3]))
        undone = self.random.random() < 0.1
        try:
            with self.store.transaction() as tx:
                seen = {key: version(tx, key) for key in keys}
                made = {key: self._next(tx, key, seen[key]) for key in keys}
                self._begin(seen, made, undone=undone)
                if undone:
                    raise Undone
            self.note(done=self.token)
        except Undone:
            pass

    def _next(self, tx: Transaction, key: Key, seen: str) -> str:
        made = f"{_number(seen) + 1} {self.token}"
        model, name = key
        values: dict[str, Any] = {FIELDS[model]: made}
        if model == "Message" and name not in PURSES and self.random.random() < 0.5:
            values["chatId"] = self.random.choice(CHATS)
        if self.random.random() < 0.1 and model == "Message" and name not in PURSES:
            # Away and back again: somebody else must not see it gone.
            before = tx.get(model, name)
            assert before is not None
            tx.delete([before])
            tx.insert([message(1, self.random.choice(CHATS), id=name, content=made)])
        else:
            revise(tx, model, name, **values)
        return made

    def _begin(self, seen: dict[Key, str], made: dict[Key, str], undone: bool = False) -> None:
        self.note(
            begun=self.token,
            seen=[[*key, text] for key, text in seen.items()],
            made=[[*key, text] for key, text in made.items()],
            undone=undone,
        )

    def read(self) -> None:
        """See many records at once."""
        keys = self.random.sample(KEYS, 6)

        def look(view: View) -> tuple[dict[Key, str], int, int]:
            # A message is in one chat, whichever way one looks for it.
            there = [m.id for chat in CHATS for m in view.find("Message", ("chatId",), chat)]
            return {key: version(view, key) for key in keys}, purses(view), len(there) - len(set(there))

        seen, total, twice = self.store.read(look)
        listed = [[*key, text] for key, text in seen.items()]
        self.note(begun=self.token, seen=listed, made=[], total=total, twice=twice)
        self.note(done=self.token)

    def claim(self) -> None:
        """Take a name that only one can have."""
        name = f"name {self.random.randrange(400)}"
        try:
            with self.store.transaction() as tx:
                tx.insert([new("Tag", id=self.token, userId="user-1", name="0 nobody", nameLower=name)])
                self.note(claimed=name, begun=self.token)
            self.note(done=self.token)
        except UniqueViolation:
            self.note(refused=name)

    def pay(self) -> None:
        """Move some money from one message to another."""
        amount = self.random.randrange(-20, 20)
        with self.store.transaction() as tx:
            one, other = (tx.get("Message", key) for key in PURSES)
            assert one is not None
            assert other is not None
            revise(tx, "Message", PURSES[0], tokenCount=one.tokenCount - amount)
            revise(tx, "Message", PURSES[1], tokenCount=other.tokenCount + amount)
            self.note(paid=amount, begun=self.token)
        self.note(done=self.token)

    def live(self) -> None:
        """Make a message, change it and remove it, each in a transaction that sees the one before."""
        key, contents = f"life {self.token}", [f"{n} {self.token}" for n in range(3)]
        with self.store.transaction() as tx:
            tx.insert([message(1, self.random.choice(CHATS), id=key, content=contents[0])])
        for before, after in pairwise(contents):
            self._lives(key, before)
            with self.store.transaction() as tx:
                self._is_as_left(key, before, tx.get("Message", key))
                revise(tx, "Message", key, content=after, chatId=self.random.choice(CHATS))
        self._lives(key, contents[-1])
        self._is_taken(key)
        self.note(leaves=key)
        with self.store.transaction() as tx:
            erase(tx, "Message", key)
        self.note(left=key)
        assert self.store.get("Message", key) is None, f"{key} is seen after it was deleted"

    def _lives(self, key: str, content: str) -> None:
        self.note(lives=key, number=_number(content))
        self._is_as_left(key, content, self.store.get("Message", key))

    def _is_as_left(self, key: str, content: str, there: Any) -> None:
        assert there is not None, f"{key} is not seen by its maker"
        assert there.content == content, f"{key} is not as its maker left it"

    def _is_taken(self, key: str) -> None:
        """An id that is taken is refused, in another log too."""
        try:
            with self.store.transaction() as tx:
                tx.insert([message(1, self.random.choice(CHATS), id=key)])
        except UniqueViolation:
            return
        raise AssertionError(f"{key} was made twice")

    def look(self) -> None:
        """Look for a message of some worker, by its id: as a read does, or as a transaction does."""
        log = self.random.choice(list(self.path.parent.iterdir())) if self.shown else self.path
        lives, left = _fates(log)
        for key in self.random.sample(sorted(lives), min(len(lives), 2)) + left[-1:]:
            if self.random.random() < 0.5:
                there = self.store.get("Message", key)
            else:
                with self.store.transaction() as tx:
                    there = tx.get("Message", key)
            if key in left:
                assert there is None, f"{key} is seen after it was deleted"
            elif there is None:
                assert key not in _fates(log)[0], f"{key} is not seen"
            else:
                assert _number(there.content) >= lives[key], f"{key} is seen as it was before"


def _fates(log: Path) -> tuple[dict[str, int], list[str]]:
    """The messages that are there, as a log says, each with how often it was changed; and those that left."""
    with open(log, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _RECENT, 0))
        lines = file.read().split(b"\n")[1:-1]
    lives: dict[str, int] = {}
    left: list[str] = []
    for event in map(json.loads, lines):
        if "lives" in event:
            lives[event["lives"]] = event["number"]
        elif "leaves" in event:
            lives.pop(event["leaves"], None)
        elif "left" in event:
            left.append(event["left"])
    return lives, left


def purses(view: View) -> int:
    """The sum of money."""
    return sum(row.tokenCount for key in PURSES if (row := view.get("Message", key)) is not None)


class Claim(NamedTuple):
    token: str
    name: str


class History:
    """What the logs of all workers tell."""

    def __init__(self, logs: Iterable[Path]) -> None:
        self.events = [json.loads(line) for log in logs for line in _whole_lines(log)]
        self.done = {e["done"] for e in self.events if "done" in e}
        self.begun = {e["begun"]: e for e in self.events if "seen" in e}
        self.claims = [Claim(e["begun"], e["claimed"]) for e in self.events if "claimed" in e]
        self.refused = {e["refused"] for e in self.events if "refused" in e}

    def check(self, store: Store, *, may_be_lost: Iterable[str] = ()) -> None:
        """Hold what everybody saw against what the store holds in the end.

        ``may_be_lost`` are the workers whose last commits may be gone though they returned.
        """
        last = store.read(lambda view: {key: version(view, key) for key in KEYS})
        lost = tuple(f"{name}-" for name in may_be_lost)
        certain = {token for token in self.done if not token.startswith(lost or ("\0",))}
        happened = self._happened(last, certain)
        self._check_order(happened, certain, last)
        self._check_claims(store, certain)
        assert store.read(purses) == SUM
        assert all(e["total"] == SUM and not e["twice"] for e in self.events if "total" in e)

    def _happened(self, last: dict[Key, str], certain: set[str]) -> set[str]:
        """The writers that must have happened: of what was seen, and of what that was made from."""
        seen = {(m, k): {t} for (m, k), t in last.items()}
        for token in certain & self.begun.keys():
            for model, key, text in self.begun[token]["seen"]:
                seen[model, key].add(text)
        happened = {token for token in certain & self.begun.keys() if self.begun[token]["made"]}
        left = [_writer(text) for texts in seen.values() for text in texts]
        traced: set[str] = set()
        while left:
            token = left.pop()
            if token != "nobody" and token not in traced:
                traced.add(token)
                left += [_writer(text) for _, _, text in self.begun[token]["seen"]]
        happened |= traced
        assert not any(self.begun[token]["undone"] for token in happened), "what was undone is there"
        return happened

    def _check_order(self, happened: set[str], certain: set[str], last: dict[Key, str]) -> None:
        writers: dict[tuple[str, str, int], str] = {}
        for token in happened:
            for model, key, text in self.begun[token]["made"]:
                number = _number(text)
                other = writers.setdefault((model, key, number), token)
                assert other == token, f"{model} {key}: {other} and {token} made {number}, so one is lost"
        for (model, key), text in last.items():
            numbers = [n for m, k, n in writers if (m, k) == (model, key)]
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), f"half a transaction: {model} {key}"
            assert _number(text) == len(numbers), f"{model} {key} is old"
        after: dict[str, set[str]] = defaultdict(set)
        readers = {token for token in certain & self.begun.keys() if not self.begun[token]["made"]}
        for token in happened | readers:
            for model, key, text in self.begun[token]["seen"]:
                number, writer = _number(text), _writer(text)
                assert number == 0 or writers.get((model, key, number)) == writer, f"nobody made {text}"
                if number:
                    after[writer].add(token)
                follower = writers.get((model, key, number + 1))
                if follower not in (None, token):
                    after[token].add(follower)
        cycle = [self.begun[token] for token in _cycle(after)]
        assert not cycle, f"no serial order explains {json.dumps(cycle, indent=1)}"

    def _check_claims(self, store: Store, certain: set[str]) -> None:
        there = store.read(lambda view: {t.nameLower: t.id for t in view.rows("Tag")})
        claimed: dict[str, list[str]] = defaultdict(list)
        for token, name in self.claims:
            claimed[name].append(token)
            if token in certain:
                assert there.get(name) == token, f"{name} is not whose it is"
        for name, token in there.items():
            assert not name.startswith("name ") or token in claimed[name]
        assert self.refused <= there.keys() | {name for _, name in self.claims}


def _number(text: str) -> int:
    return int(text.split(" ", 1)[0])


def _writer(text: str) -> str:
    return text.split(" ", 1)[1]


def _whole_lines(log: Path) -> list[bytes]:
    return log.read_bytes().split(b"\n")[:-1]


def _cycle(after: dict[str, set[str]]) -> list[str]:
    """Some of those who come after themselves, in their order; empty if there are none."""
    waiting: dict[str, int] = defaultdict(int)
    for followers in after.values():
        for follower in followers:
            waiting[follower] += 1
    left = set(after) | set(waiting)
    ready = [token for token in left if not waiting[token]]
    while ready:
        token = ready.pop()
        left.discard(token)
        for follower in after.get(token, ()):
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    found = [min(left)] if left else []
    before = {follower: token for token in left for follower in after.get(token, ())}
    while found and before[found[-1]] not in found:
        found.append(before[found[-1]])
    return found[::-1]


def work(store: Store, log: Path, names: Iterable[str], is_over: Callable[[], bool], *, shown: bool) -> None:
    """Let a worker of each name work in a thread of its own until it is over.

    Raises what the first to fail raised, AssertionError if one does not end.
    """
    failed: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            worker.run(lambda: bool(failed) or is_over())
        except BaseException as error:
            failed.append(error)

    workers = [Worker(store, log, name, shown=shown) for name in names]
    threads = [threading.Thread(target=run, args=[worker], daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not is_over():
        time.sleep(0.05)
    for thread in threads:
        thread.join(_PATIENCE)
    for error in failed:
        raise error
    assert not any(thread.is_alive() for thread in threads)


def main(data: str, log: str, stop: str, durability: str, threads: str) -> None:
    name = Path(log).name
    # One has all logs in memory, another reads them each time.
    budget = random.Random(name).choice([0, LOG_BUDGET])
    with Store.open(data, layout(), durability=durability, log_budget=budget) as store:  # type: ignore[arg-type]
        names = [name, *(f"{name}-t{n}" for n in range(1, int(threads)))]
        work(store, Path(log), names, Path(stop).exists, shown=durability == "full")


if __name__ == "__main__":
    main(*sys.argv[1:])
