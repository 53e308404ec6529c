"""Which thread a call runs on, and that none waits for another for ever."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aio.conftest import Make, assert_no_thread_stays
from backends import on_files
from octavo.aio import AsyncClient
from octavo.backends.dual import DualBackend
from octavo.backends.json import JsonBackend
from octavo.errors import BusyError, UsageError
from query.blog import VOCABULARY


def test_a_hundred_transactions_and_calls_at_once_on_few_threads(make: Make) -> None:
    """Transactions that wait do not take the threads that calls need, nor the other way round."""

    async def transaction(db: AsyncClient, number: int) -> None:
        async with db.tx(max_wait=60, timeout=60) as tx:
            user = await tx.user.create(data={"email": f"{number}@x"})
            # Reads of the client go on inside it, though all threads that write wait for its end.
            await asyncio.gather(*(db.user.count() for _ in range(3)))
            await tx.post.create(data={"title": "1", "authorId": user.id})

    async def run() -> None:
        async with make(2) as db:
            backend = db._sync._backend
            if isinstance(backend, DualBackend):
                # What is compared while others write waits for its turn, and gives up in the end.
                backend.sample = 0.0
            async with asyncio.timeout(60):
                await asyncio.gather(
                    *(transaction(db, number) for number in range(100)),
                    *(db.category.create(data={"name": str(number)}) for number in range(100)),
                )
            assert await db.user.count() == await db.post.count() == await db.category.count() == 100

    asyncio.run(run())
    assert_no_thread_stays()


def test_the_threads_are_bounded(on_json: Make) -> None:
    async def run() -> None:
        async with on_json(3) as db:
            await asyncio.gather(
                *(db.category.create(data={"name": str(number)}) for number in range(50)),
                *(db.category.count() for _ in range(50)),
            )
            for kind in ("reads", "writes"):
                names = [t for t in threading.enumerate() if t.name.startswith(f"octavo-{kind}")]
                assert len(names) <= 3

    asyncio.run(run())


def test_a_transaction_that_gets_no_thread_in_time_is_told_so(on_json: Make) -> None:
    async def run() -> None:
        async with on_json(1) as db:
            block = db.tx()
            tx = await block.__aenter__()
            other = asyncio.create_task(_begin(db), context=contextvars.Context())
            with pytest.raises(BusyError):
                await other
            await tx.category.create(data={"name": "a"})
            await block.__aexit__(None, None, None)
            assert await db.category.count() == 1

    asyncio.run(run())


async def _begin(db: AsyncClient) -> None:
    async with db.tx(max_wait=0.1):
        pass


def test_a_write_inside_an_own_transaction_is_refused(make: Make) -> None:
    async def run() -> None:
        async with make() as db:
            async with db.tx() as tx:
                await tx.category.create(data={"name": "a"})
                with pytest.raises(UsageError, match="inside another one of the same task"):
                    await db.category.create(data={"name": "b"})
                with pytest.raises(UsageError, match="inside another one of the same task"):
                    await db.tx().__aenter__()
                # A task that is started inside would be waited for: by gather() or wait_for().
                with pytest.raises(UsageError, match="inside another one"):
                    await asyncio.wait_for(db.category.delete_many(), 5)
                assert await db.category.count() == 0
            await db.category.create(data={"name": "b"})
            assert await db.category.count() == 2

    asyncio.run(run())


def test_a_task_that_was_started_before_waits_for_its_turn(make: Make) -> None:
    async def write(db: AsyncClient, begun: asyncio.Event) -> None:
        await begun.wait()
        await db.category.create(data={"name": "other"})

    async def run() -> None:
        async with make() as db:
            begun = asyncio.Event()
            task = asyncio.create_task(write(db, begun))
            async with db.tx() as tx:
                await tx.category.create(data={"name": "a"})
                begun.set()
                await asyncio.sleep(0.05)
            await task
            assert await db.category.count() == 2

    asyncio.run(run())


def test_a_write_of_another_client_goes_on_inside_a_transaction(tmp_path: Path, make: Make) -> None:
    async def run() -> None:
        other = AsyncClient(on_files(VOCABULARY, tmp_path / "other"))
        async with make() as db, other, db.tx() as tx:
            await tx.category.create(data={"name": "a"})
            await other.category.create(data={"name": "b"})
            async with other.tx() as inner:
                await inner.category.create(data={"name": "c"})
                with pytest.raises(UsageError, match="inside another one"):
                    await db.category.create(data={"name": "d"})
            assert await other.category.count() == 2

    asyncio.run(run())


# Reads of the files


async def _warm(db: AsyncClient) -> None:
    for number in range(40):
        await db.category.create(data={"name": str(number)})
        await db.category.count()


def _count_threads(db: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is handed to threads from now on."""
    asked: list[str] = []
    submit = db._submit

    def counting(kind: str, work: Any) -> Any:
        asked.append(kind)
        return submit(kind, work)

    monkeypatch.setattr(db, "_submit", counting)
    return asked


def test_reads_from_memory_do_not_leave_the_thread(on_json: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with on_json() as db:
            await _warm(db)
            user = await db.user.create(data={"email": "a", "posts": {"create": {"title": "1"}}})
            await db.user.find_many(include={"posts": True})
            asked = _count_threads(db, monkeypatch)
            assert (await db.user.find_unique_or_raise(where={"id": user.id})).email == "a"
            assert (await db.user.find_unique_or_raise(where={"email": "a"})).id == user.id
            assert await db.category.count() == 40
            assert len(await db.category.find_many(where={"name": {"contains": "1"}})) == 13
            found = await db.user.find_first_or_raise(include={"posts": {"include": {"author": True}}})
            assert found.posts[0].author.email == "a"
            assert await db.category.find_first(where={"name": "none"}) is None
            assert asked == []
            # So it is after a write, too.
            await db.category.create(data={"name": "new"})
            assert await db.category.count() == 41
            assert asked == ["writes"]

    asyncio.run(run())


def test_reads_that_would_wait_go_to_a_thread(on_json: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with on_json() as db:
            await _warm(db)
            asked = _count_threads(db, monkeypatch)
            backend = db._sync._backend
            assert isinstance(backend, JsonBackend)
            backend.store.engine.base.suspect(None)
            taken, over = threading.Event(), threading.Event()

            def hold() -> None:
                with backend.store.engine.world.mutex:
                    taken.set()
                    over.wait(30)

            thread = threading.Thread(target=hold)
            thread.start()
            taken.wait(30)
            began = time.monotonic()
            tasks = [asyncio.create_task(db.category.count()) for _ in range(5)]
            await asyncio.sleep(0.05)
            # The loop goes on.
            assert time.monotonic() - began < 2
            assert not any(task.done() for task in tasks)
            over.set()
            assert await asyncio.gather(*tasks) == [40] * 5
            thread.join()
            assert asked == ["reads"] * 5

    asyncio.run(run())


def test_reads_of_many_records_go_to_a_thread(on_json: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with on_json() as db:
            await _warm(db)
            await db.category.create_many(data=[{"name": f"n{n}"} for n in range(3000)])
            await db.category.count()
            asked = _count_threads(db, monkeypatch)
            assert await db.category.count(where={"name": {"contains": "n1"}}) == 1111
            assert asked == ["reads"]
            assert await db.category.find_unique(where={"name": "n7"}) is not None
            assert await db.category.find_unique(where={"name": "n8"}) is not None
            assert asked in (["reads"], ["reads"] * 2)

    asyncio.run(run())


def test_a_file_that_an_editor_has_changed_is_seen(on_json: Make) -> None:
    async def run() -> None:
        async with on_json() as db:
            await _warm(db)
            backend = db._sync._backend
            assert isinstance(backend, JsonBackend)
            changed = 0
            for file in Path(backend.store._root).rglob("*.json*"):
                text = file.read_text("utf-8")
                if '"name":"7"' in text.replace(" ", ""):
                    file.write_text(text.replace('"7"', '"seven"'), "utf-8")
                    changed += 1
            assert changed == 1
            assert await db.category.find_unique(where={"name": "7"}) is None
            assert await db.category.find_unique(where={"name": "seven"}) is not None

    asyncio.run(run())
