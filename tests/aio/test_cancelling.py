"""A write whose task is cancelled is done or undone, whole, and the store goes on."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aio.conftest import Make, assert_no_thread_stays
from backends import on_files
from octavo.aio import AsyncClient
from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.errors import TransactionFailed, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import layout_for
from octavo.store.store import Store
from octavo.store.system import FileSystem
from query.blog import VOCABULARY

ANN: dict[str, Any] = {"email": "a@x"}
_TIMES = 120


class SlowSync(FileSystem):
    """A disk on which a commit takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.reached = threading.Event()

    def sync(self, descriptor: int) -> None:
        self.reached.set()
        time.sleep(self.seconds)


def on_slow_disk(folder: Path, seconds: float) -> tuple[AsyncClient, SlowSync]:
    disk, layout = SlowSync(seconds), layout_for(VOCABULARY.datamodel, None)
    scaffold(folder, layout)
    store = Store.open(folder, layout, system=disk)
    return AsyncClient(Client(JsonBackend(VOCABULARY, store), VOCABULARY)), disk


@contextmanager
def held(client: AsyncClient) -> Iterator[None]:
    """The store's turn is held by another thread inside the block."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with client._sync.tx(timeout=60) as tx:
            tx.user.create(data={"email": "holder"})
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        over.set()
        thread.join()


async def whole(db: AsyncClient, number: int) -> bool:
    """Whether a user is there, with both posts."""
    found = await db.user.find_unique(where={"email": f"{number}@x"}, include={"posts": True})
    assert found is None or len(found.posts) == 2
    return found is not None


async def alone(db: AsyncClient, number: int) -> None:
    posts = [{"title": "1"}, {"title": "2"}]
    await db.user.create(data={"email": f"{number}@x", "posts": {"create": posts}})


async def in_transaction(db: AsyncClient, number: int) -> None:
    async with db.tx(max_wait=30) as tx:
        user = await tx.user.create(data={"email": f"{number}@x"})
        await tx.post.create(data={"title": "1", "authorId": user.id})
        await tx.post.create(data={"title": "2", "authorId": user.id})


@pytest.mark.parametrize("work", [alone, in_transaction])
def test_what_is_cancelled_at_any_point_is_whole_and_settled(make: Make, work: Any) -> None:
    rng = random.Random(5)

    async def run() -> None:
        async with make() as db:
            done = 0
            for number in range(_TIMES):
                task = asyncio.create_task(work(db, number))
                if rng.random() < 0.5:
                    for _ in range(rng.randrange(6)):
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(rng.random() * 0.006)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                found = await whole(db, number)
                assert found or task.cancelled()
                # It is settled: another write goes on, and nothing comes later.
                await db.category.create(data={"name": str(number)})
                assert await whole(db, number) == found
                done += found
            assert await db.category.count() == _TIMES
            assert await db.user.count() == done
            assert await db.post.count() == 2 * done

    asyncio.run(run())


def test_many_tasks_are_cancelled_at_once(make: Make) -> None:
    rng = random.Random(6)

    async def run() -> None:
        async with make() as db:
            tasks = [
                asyncio.create_task(rng.choice((alone, in_transaction))(db, number)) for number in range(60)
            ]
            while any(not task.done() for task in tasks):
                await asyncio.sleep(rng.random() * 0.004)
                rng.choice(tasks).cancel()
            for number, task in enumerate(tasks):
                assert await whole(db, number) or task.cancelled()
            await alone(db, 1000)
            assert await whole(db, 1000)

    asyncio.run(run())


def test_a_write_that_waits_for_its_turn_is_given_up_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncClient(on_files(VOCABULARY, tmp_path / "data")) as db:
            with held(db):
                began = time.monotonic()
                for work in (alone, in_transaction):
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await work(db, 1)
                assert time.monotonic() - began < 1.5
            await alone(db, 2)
            assert not await whole(db, 1)

    asyncio.run(run())


def test_a_write_that_is_being_committed_is_waited_for(tmp_path: Path) -> None:
    async def run() -> None:
        db, disk = on_slow_disk(tmp_path / "data", 0.3)
        async with db:
            for number, work in enumerate((alone, in_transaction)):
                disk.reached.clear()
                task = asyncio.create_task(work(db, number))
                while not disk.reached.is_set():
                    await asyncio.sleep(0.001)
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0.01)
                with pytest.raises(asyncio.CancelledError):
                    await task
                # It has happened, and is seen.
                assert await whole(db, number)

    asyncio.run(run())


def test_a_call_that_is_cancelled_within_a_transaction_fails_it(make: Make) -> None:
    async def work(db: AsyncClient) -> None:
        async with db.tx() as tx:
            await tx.user.create(data=ANN)
            call = asyncio.create_task(tx.user.create(data={"email": "b@x"}))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            if not call.cancelled():
                raise TransactionFailed("was cancelled")

    async def run() -> None:
        async with make() as db:
            with pytest.raises(TransactionFailed, match="was cancelled"):
                await work(db)
            assert await db.user.count() == 0

    asyncio.run(run())


def test_an_event_loop_that_is_closed_under_a_write(tmp_path: Path) -> None:
    """The write is whole, no thread stays, and the client can be used by another loop."""
    db, disk = on_slow_disk(tmp_path / "data", 0.2)

    async def begin() -> None:
        task = asyncio.create_task(alone(db, 1))
        while not disk.reached.is_set():
            await asyncio.sleep(0.001)
        kept.append(task)

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    [task] = kept
    # It is pending for ever, which asyncio would complain of.
    task._log_destroy_pending = False

    async def look() -> None:
        async with asyncio.timeout(10):
            while not await whole(db, 1):
                await asyncio.sleep(0.01)
        await alone(db, 2)
        await db.close()
        with pytest.raises(UsageError, match="closed"):
            await alone(db, 3)

    asyncio.run(look())
    assert_no_thread_stays()


def test_an_event_loop_that_is_closed_under_a_transaction(make: Make) -> None:
    db = make()

    async def begin() -> None:
        block = db.tx(timeout=600)
        tx = await block.__aenter__()
        await tx.user.create(data=ANN)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()

    async def look() -> None:
        # Its turn is given back.
        async with asyncio.timeout(5):
            await db.user.create(data=ANN)
            await db.close()

    asyncio.run(look())


def test_the_end_of_asyncio_run_settles_what_is_under_way(tmp_path: Path) -> None:
    db, disk = on_slow_disk(tmp_path / "data", 0.2)
    tasks = []

    async def begin() -> None:
        tasks.append(asyncio.create_task(alone(db, 1)))
        while not disk.reached.is_set():
            await asyncio.sleep(0.001)

    asyncio.run(begin())
    assert tasks[0].cancelled()
    assert asyncio.run(whole(db, 1))
    asyncio.run(db.close())


def test_a_block_that_is_thrown_away_is_rolled_back(make: Make) -> None:
    async def work(db: AsyncClient, begun: asyncio.Event) -> None:
        async with db.tx(timeout=600) as tx:
            await tx.user.create(data=ANN)
            begun.set()
            await asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with make() as db:
            begun = asyncio.Event()
            coroutine = work(db, begun)
            task = asyncio.create_task(coroutine)
            await begun.wait()
            # As when it is no more referred to.
            coroutine.close()
            task.cancel()
            with suppress(RuntimeError, asyncio.CancelledError):
                await task
            await db.user.create(data=ANN)
            assert await db.user.count() == 1

    asyncio.run(run())


def test_closing_the_client_ends_open_transactions(make: Make) -> None:
    async def work(db: AsyncClient, begun: asyncio.Event) -> None:
        async with db.tx(timeout=600) as tx:
            await tx.user.create(data=ANN)
            begun.set()
            await asyncio.sleep(0.5)
            await tx.user.count()

    async def run() -> None:
        db, begun = make(), asyncio.Event()
        task = asyncio.create_task(work(db, begun))
        await begun.wait()
        writes = [asyncio.create_task(db.category.create(data={"name": str(n)})) for n in range(40)]
        await asyncio.sleep(0)
        await db.close()
        with pytest.raises(TransactionFailed, match="closing the client"):
            await task
        # What was asked for before is done.
        assert len(await asyncio.gather(*writes)) == 40
        async with make() as again:
            assert await again.user.count() == 0
            assert await again.category.count() == 40

    asyncio.run(run())
