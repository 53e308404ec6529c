"""Transactions of several operations: when they wait, what they see of each other, what they survive."""

# A transaction's block is what is to fail.
# ruff: noqa: PT012

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backends import dual_backend, emptied, on_files
from octavo.aio import AsyncClient
from octavo.backends.prisma import PrismaBackend
from octavo.client import Client
from octavo.errors import (
    ConflictError,
    ForeignKeyViolation,
    OwnTransaction,
    RecordNotFound,
    RequiredRelationViolation,
    TransactionFailed,
    UniqueViolation,
    UsageError,
    ValidationError,
)
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.protocols import Isolation
from octavo.sessions import on_behalf_of
from query import shared_purses
from query.blog import VOCABULARY


@pytest.fixture(params=["json", "prisma", "dual"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """An empty blog on a backend that threads write to at the same time, as many as wish."""
    if request.param == "json":
        with on_files(VOCABULARY, tmp_path / "data") as made:
            yield made
        return
    backend: PrismaBackend = request.getfixturevalue("blog_on_postgres")
    server: EmbeddedServer = request.getfixturevalue("server")
    url = f"{server.url('blog', schema='public')}&connection_limit=20"
    if request.param == "prisma":
        from backends import prisma_backend

        with prisma_backend(VOCABULARY, url) as many:
            yield Client(many, VOCABULARY)
    else:
        with dual_backend(VOCABULARY, url, tmp_path / "data", apart=True) as both:
            yield Client(both, VOCABULARY)
            assert both.divergences.open() == []
    emptied(backend)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(12) as pool:
        yield pool


class Writer:
    """A transaction of another thread that has written, and is open until it is told to end."""

    def __init__(self, db: Client, pool: ThreadPoolExecutor, work: Callable[[Any], Any]) -> None:
        self.has_written, self._may_end = threading.Event(), threading.Event()

        def run() -> None:
            with db.tx(timeout=60) as tx:
                work(tx)
                self.has_written.set()
                assert self._may_end.wait(60)

        self.ended = pool.submit(run)
        assert self.has_written.wait(60)

    def end(self) -> None:
        self._may_end.set()
        self.ended.result(60)


def waits(future: Future[Any]) -> bool:
    time.sleep(0.05)
    return not future.done()


# Waiting


def test_a_transaction_that_reads_waits_for_no_writer(shared: Client, threads: ThreadPoolExecutor) -> None:
    shared.user.create(data={"email": "a"})
    writer = Writer(shared, threads, lambda tx: tx.user.update(where={"email": "a"}, data={"name": "new"}))
    with shared.tx() as tx:
        assert tx.user.count(where={"name": None}) == 1
        assert tx.user.count() == 1
        writer.end()
        # READ COMMITTED: each call sees what is committed.
        found: Any = tx.user.find_first(include={"posts": True})
        assert found.name == "new"


def test_ten_transactions_at_once_get_their_turn(shared: Client, threads: ThreadPoolExecutor) -> None:
    """At the waits that are Prisma's defaults."""
    shared.user.create(data={"id": 1, "email": "a"})

    def run(number: int) -> None:
        with shared.tx() as tx:
            assert tx.user.count() == 1
            tx.post.create(data={"id": f"p{number}", "title": f"{number}", "authorId": 1})
            time.sleep(0.02)
            tx.user.update(where={"id": 1}, data={"age": {"set": number}})
            time.sleep(0.05)

    for done in [threads.submit(run, number) for number in range(10)]:
        done.result(60)
    assert shared.post.count() == 10


def test_writers_follow_in_the_order_of_asking(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    with on_files(VOCABULARY, tmp_path / "data") as db:
        writer = Writer(db, threads, lambda tx: tx.category.create(data={"name": "first"}))
        order: list[int] = []

        def run(number: int) -> None:
            with db.tx(timeout=60) as tx:
                tx.category.create(data={"name": f"{number}"})
                order.append(number)

        asked = []
        for number in range(8):
            asked.append(threads.submit(run, number))
            time.sleep(0.02)
        writer.end()
        for done in asked:
            done.result(60)
        assert order == list(range(8))


def test_a_transaction_past_its_time_is_rolled_back_by_itself(
    shared: Client, threads: ThreadPoolExecutor
) -> None:
    """A writer that waits for it need not wait for its caller."""
    shared.user.create(data={"email": "a"})
    asleep, woken = threading.Event(), threading.Event()

    def sleep() -> None:
        with shared.tx(timeout=1) as tx:
            tx.user.update(where={"email": "a"}, data={"name": "late"})
            asleep.set()
            assert woken.wait(60)
            with pytest.raises(TransactionFailed) as raised:
                tx.user.count()
            assert raised.value.timeout == 1
            assert raised.value.taken > 1

    sleeper = threads.submit(sleep)
    assert asleep.wait(60)
    shared.user.update(where={"email": "a"}, data={"age": 1})
    woken.set()
    with pytest.raises(TransactionFailed, match="took longer than 1 s"):
        sleeper.result(60)
    found: Any = shared.user.find_first()
    assert (found.name, found.age) == (None, 1)


def test_a_transaction_that_gets_no_turn_in_its_time_is_not_kept(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    with on_files(VOCABULARY, tmp_path / "data") as db:
        writer = Writer(db, threads, lambda tx: tx.category.create(data={"name": "held"}))
        with pytest.raises(TransactionFailed) as raised, db.tx(timeout=0.1) as tx:
            tx.category.create(data={"name": "never"})
        assert raised.value.timeout == 0.1
        writer.end()
        assert db.category.count() == 1


# Isolation


@pytest.mark.parametrize("level", list(Isolation))
def test_every_level_of_prismas_is_taken(db: Client, level: Isolation) -> None:
    for spelled in (level, level.value, level.name.replace("_", " ")):
        with db.tx(isolation_level=spelled) as tx:
            tx.category.create(data={"name": f"{spelled}{level}"}) if spelled is level else None
            assert tx.category.count() == 1


@pytest.mark.parametrize("level", ["Snapshot", "", None, 1, "serialisable"])
def test_what_is_no_level_is_refused(db: Client, level: Any) -> None:
    with (
        pytest.raises(ValidationError, match=r"isolation_level.*ReadUncommitted"),
        db.tx(isolation_level=level),
    ):
        pass


@pytest.mark.parametrize("level", [Isolation.REPEATABLE_READ, Isolation.SERIALIZABLE])
def test_what_is_read_stays_so_at_a_stricter_level(
    shared: Client, threads: ThreadPoolExecutor, level: Isolation
) -> None:
    shared.user.create(data={"email": "a", "age": 1})

    def age(tx: Any) -> int:
        found: int = tx.user.find_first(where={"email": "a"}).age
        return found

    with shared.tx(isolation_level=level) as tx:
        assert age(tx) == 1
        other = threads.submit(shared.user.update, where={"email": "a"}, data={"age": 2})
        time.sleep(0.05)
        assert age(tx) == 1
        assert tx.user.count(where={"age": 2}) == 0
    other.result(60)
    assert age(shared) == 2


@pytest.mark.parametrize("level", [Isolation.REPEATABLE_READ, Isolation.SERIALIZABLE])
def test_no_update_is_lost_at_a_stricter_level(
    shared: Client, threads: ThreadPoolExecutor, level: Isolation
) -> None:
    """What was read is what is changed, or the transaction fails as a conflict and is run again."""
    shared.user.create(data={"id": 1, "email": "a", "age": 0})

    def run() -> None:
        for _ in range(4):
            while True:
                try:
                    with shared.tx(isolation_level=level, max_wait=60, timeout=60) as tx:
                        age = tx.user.find_unique_or_raise(where={"id": 1}).age
                        tx.user.update(where={"id": 1}, data={"age": age + 1})
                    break
                except ConflictError:
                    pass

    for done in [threads.submit(run) for _ in range(4)]:
        done.result(60)
    assert shared.user.find_unique_or_raise(where={"id": 1}).age == 16


def test_two_that_read_what_the_other_writes_are_serial(shared: Client, threads: ThreadPoolExecutor) -> None:
    """Write skew: each of two goes off duty, since the other is on it."""
    shared.user.create_many(data=[{"id": 1, "email": "a", "age": 1}, {"id": 2, "email": "b", "age": 1}])
    meeting = threading.Barrier(2)

    def leave(number: int) -> bool:
        meeting.wait(60)
        try:
            with shared.tx(isolation_level="Serializable", max_wait=60, timeout=60) as tx:
                if len(tx.user.find_many(where={"age": 1})) < 2:
                    return False
                time.sleep(0.05)
                tx.user.update(where={"id": number}, data={"age": 0})
        except ConflictError:
            return False
        return True

    left = [threads.submit(leave, number) for number in (1, 2)]
    assert sum(one.result(60) for one in left) == 1
    assert shared.user.count(where={"age": 1}) == 1


def test_a_condition_of_a_write_is_decided_when_it_has_its_turn(
    shared: Client, threads: ThreadPoolExecutor
) -> None:
    """At READ COMMITTED, what was read may have changed; what a write names has not."""
    shared.user.create(data={"email": "a", "age": 1})
    writer = Writer(shared, threads, lambda tx: tx.user.update(where={"email": "a"}, data={"age": 2}))

    def claim() -> int:
        with shared.tx() as tx:
            found: Any = tx.user.find_first(where={"email": "a"})
            assert found.age == 1
            has_read.set()
            number: int = tx.user.update_many(where={"email": "a", "age": 1}, data={"name": "mine"})
            return number

    has_read = threading.Event()
    claimed = threads.submit(claim)
    assert has_read.wait(60)
    assert waits(claimed)
    writer.end()
    assert claimed.result(60) == 0


# What a transaction survives


def test_an_error_found_before_the_database_is_asked_may_be_caught(db: Client) -> None:
    db.user.create(data={"id": 1, "email": "a", "posts": {"create": {"id": "p", "title": "t"}}})
    with db.tx() as tx:
        tx.category.create(data={"name": "before"})
        with pytest.raises(RecordNotFound):
            tx.user.update(where={"id": 9}, data={"name": "x"})
        with pytest.raises(RecordNotFound):
            tx.user.delete(where={"id": 9})
        with pytest.raises(RecordNotFound):
            tx.user.find_first_or_raise(where={"id": 9})
        with pytest.raises(ValidationError):
            tx.user.find_many(where={"emial": "a"})
        with pytest.raises(ValidationError):
            tx.user.create(data={"email": 1})
        with pytest.raises(RequiredRelationViolation):
            tx.user.update(where={"id": 1}, data={"posts": {"disconnect": {"id": "p"}}})
        tx.category.create(data={"name": "after"})
    assert db.category.count() == 2


def test_an_operation_that_is_caught_has_done_nothing(db: Client) -> None:
    db.user.create(data={"id": 1, "email": "a"})
    with db.tx() as tx:
        with pytest.raises(RecordNotFound):
            tx.user.create(data={"id": 2, "email": "b", "follows": {"connect": [{"id": 1}, {"id": 9}]}})
        with pytest.raises(RecordNotFound):
            tx.user.update(
                where={"id": 1},
                data={"name": "x", "posts": {"create": {"title": "t"}, "connect": {"id": "none"}}},
            )
        assert tx.user.count() == 1
        assert tx.user.find_unique(where={"email": "b"}) is None
        tx.user.create(data={"id": 2, "email": "b"})
        assert tx.user.count(where={"id": 2}) == 1
    found: Any = db.user.find_many(order_by={"id": "asc"}, include={"posts": True, "follows": True})
    assert [(u.id, u.name, u.posts, u.follows) for u in found] == [(1, None, [], []), (2, None, [], [])]


@pytest.mark.parametrize(
    ("data", "error"),
    [({"id": 2, "email": "a"}, UniqueViolation), ({"id": 2, "email": "b", "bossId": 9}, ForeignKeyViolation)],
)
def test_what_the_database_refuses_dooms_the_transaction(
    db: Client, data: dict[str, Any], error: type[Exception]
) -> None:
    db.user.create(data={"id": 1, "email": "a"})
    with pytest.raises(TransactionFailed), db.tx() as tx:
        tx.category.create(data={"name": "lost"})
        with pytest.raises(error):
            tx.user.create(data=data)
        with pytest.raises(TransactionFailed, match="has failed"):
            tx.category.count()
        with pytest.raises(TransactionFailed, match="has failed"):
            tx.category.create(data={"name": "lost too"})
    assert db.category.count() == 0


# Transactions within transactions


def test_a_transaction_within_another_is_taken_back_by_itself(db: Client) -> None:
    db.category.create(data={"name": "old"})
    with db.tx() as tx:
        with pytest.raises(ZeroDivisionError), tx.savepoint() as inner:
            inner.category.update(where={"name": "old"}, data={"name": "new"})
            inner.category.create(data={"name": "x"})
            assert tx.category.count() == 2
            raise ZeroDivisionError
        assert [c.name for c in tx.category.find_many()] == ["old"]
        tx.category.create(data={"name": "y"})
        with tx.savepoint() as inner:
            inner.category.create(data={"name": "z"})
            with pytest.raises(UniqueViolation), inner.savepoint() as innermost:
                innermost.category.delete(where={"name": "y"})
                innermost.category.create(data={"name": "z"})
            inner.category.update(where={"name": "z"}, data={"name": "Z"})
        with pytest.raises(TransactionFailed, match="has ended"):
            inner.category.count()
    assert sorted(c.name for c in db.category.find_many()) == ["Z", "old", "y"]


def test_what_an_inner_transaction_keeps_goes_with_the_outer_one(db: Client) -> None:
    with pytest.raises(ZeroDivisionError), db.tx() as tx:
        with tx.savepoint() as inner:
            inner.category.create(data={"name": "x"})
        raise ZeroDivisionError
    with pytest.raises(TransactionFailed), db.tx() as tx, tx.savepoint() as inner:
        inner.category.create(data={"name": "x"})
        with pytest.raises(UniqueViolation):
            inner.category.create(data={"name": "x"})
    assert db.category.count() == 0


def test_an_inner_transaction_can_be_awaited(db: Client) -> None:
    async def run() -> None:
        awaited = AsyncClient(db)
        async with awaited.tx(isolation_level="Serializable") as tx:
            await tx.category.create(data={"name": "x"})
            with pytest.raises(ZeroDivisionError):
                async with tx.savepoint() as inner:
                    await inner.category.create(data={"name": "y"})
                    raise ZeroDivisionError
            async with tx.savepoint() as inner:
                await inner.category.create(data={"name": "z"})
        assert await awaited.category.count() == 2

    asyncio.run(run())


# Waiting for oneself


def test_a_write_beside_an_own_transaction_is_refused_at_once(db: Client) -> None:
    with db.tx() as tx:
        tx.category.create(data={"name": "x"})
        for write in (lambda: db.category.create(data={"name": "y"}), db.category.delete_many):
            with pytest.raises(OwnTransaction) as raised:
                write()
            assert isinstance(raised.value, UsageError)
        # Reading is fine, and sees what is committed.
        assert db.category.count() == 0
    assert db.category.count() == 1


def test_a_thread_that_works_for_a_transaction_is_inside_it(db: Client, threads: ThreadPoolExecutor) -> None:
    with db.tx() as tx:
        tx.category.create(data={"name": "x"})
        context = contextvars.copy_context()
        with pytest.raises(OwnTransaction):
            threads.submit(context.run, lambda: db.category.create(data={"name": "y"})).result(60)
    db.category.create(data={"name": "y"})
    with pytest.raises(OwnTransaction), db.tx(), db.tx():
        pass


def test_a_task_that_works_for_a_transaction_is_inside_it(db: Client) -> None:
    async def run() -> None:
        awaited = AsyncClient(db)
        async with awaited.tx() as tx:
            await tx.category.create(data={"name": "x"})
            with pytest.raises(OwnTransaction):
                await asyncio.create_task(awaited.category.create(data={"name": "y"}))
            with pytest.raises(OwnTransaction):
                await asyncio.to_thread(db.category.create, data={"name": "y"})
        await awaited.category.create(data={"name": "y"})

    asyncio.run(run())


def test_the_owner_of_a_call_waits_for_no_transaction_of_its_own(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    """A server calls for several owners, each call on whatever thread."""

    def write(owner: str) -> None:
        with on_behalf_of(owner):
            db.category.create(data={"name": owner})

    with on_files(VOCABULARY, tmp_path / "data") as db:
        with on_behalf_of("ann"):
            block = db.tx(timeout=60)
            tx = contextvars.copy_context().run(block.__enter__)
        # It has read only, so that nothing waits for it.
        assert tx.category.count() == 0
        threads.submit(write, "ann").result(60)
        tx.category.create(data={"name": "held"})
        with pytest.raises(OwnTransaction):
            threads.submit(write, "ann").result(60)
        other = threads.submit(write, "bob")
        assert waits(other)
        block.__exit__(None, None, None)
        other.result(60)
        assert db.category.count() == 3


# Threads of several processes


@pytest.mark.parametrize("seconds", [0.7, pytest.param(20.0, marks=pytest.mark.slow)])
def test_threads_of_several_processes_lose_nothing(tmp_path: Path, seconds: float) -> None:
    """What was acknowledged is there, and every state that was seen is one between two transactions."""
    folder = tmp_path / "data"
    with on_files(VOCABULARY, folder) as db:
        shared_purses.prepare(db)
    program = [sys.executable, shared_purses.__file__, str(folder)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    workers = [
        subprocess.Popen(
            [*program, f"{number}", "3", str(seconds)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        for number in range(2)
    ]
    added: Counter[int] = Counter()
    for worker in workers:
        told, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        added += Counter({int(number): count for number, count in json.loads(told).items()})
    with on_files(VOCABULARY, folder) as db:
        ages = {user.id: user.age for user in db.user.find_many()}
    assert sum(ages.pop(number) for number in shared_purses.PURSES) == shared_purses.SUM
    assert ages == added
    assert len(added) == 3
