"""The client for asyncio gives what the synchronous one gives, on each backend."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

import octavo
from aio.conftest import Make, assert_no_thread_stays
from backends import dual_backend, on_files, prisma_backend
from blocking import Blocking
from octavo import aio
from octavo.aio import AsyncClient, AsyncModelClient
from octavo.client import Client, ModelClient, Models
from octavo.errors import RecordNotFound, TransactionFailed, UniqueViolation, UsageError, ValidationError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import flat_layout, frozen_layout
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.store.store import _stores
from parity import actions
from parity.alike import outcome, place_of
from parity.covering import Covering
from parity.programs import Programs, Reopen
from query import blog

SCHEMAS = {
    "0.7": (Vocabulary(frozen_schema()), frozen_layout()),
    "actions": (actions.VOCABULARY, actions.layout()),
    "blog": (blog.VOCABULARY, flat_layout(blog.VOCABULARY.datamodel)),
}
ANN: dict[str, Any] = {"email": "a@x", "name": "Ann", "age": 30}


def test_every_operation_of_the_synchronous_client_is_there() -> None:
    operations = {name for name in vars(ModelClient) if not name.startswith("_")}
    waits_for_nothing = {"fields"}
    assert {name for name in vars(AsyncModelClient) if not name.startswith("_")} == operations
    for name in operations - waits_for_nothing:
        ours = getattr(AsyncModelClient, name)
        assert inspect.iscoroutinefunction(ours)
        assert ours.__doc__ == getattr(ModelClient, name).__doc__
    # Nothing else stands in the way of a model's accessor.
    methods = {name for name in (*vars(Client), *vars(Models)) if not name.startswith("_")}
    assert {name for name in dir(AsyncClient) if not name.startswith("_")} == methods


@pytest.mark.parametrize("schema", SCHEMAS)
def test_both_clients_give_the_same(schema: str, tmp_path: Path) -> None:
    """Each operation, operator, nested write and referential action."""
    vocabulary, layout = SCHEMAS[schema]
    plain = on_files(vocabulary, tmp_path / "plain", "batched", layout)
    awaited = AsyncClient(on_files(vocabulary, tmp_path / "awaited", "batched", layout))
    with asyncio.Runner() as runner:
        other: Any = Blocking(awaited, runner)
        for step in Covering(Programs(vocabulary)).all():
            if not isinstance(step, Reopen):
                assert outcome(other, step) == outcome(plain, step), step
        plain.close()
        other.close()
    for file in sorted((tmp_path / "plain").rglob("*.json*")):
        there = tmp_path / "awaited" / file.relative_to(tmp_path / "plain")
        assert there.exists() or "cache" in file.parts, there


@pytest.mark.parametrize("kind", ["prisma", "dual"])
def test_both_clients_give_the_same_on_postgres(kind: str, server: EmbeddedServer, tmp_path: Path) -> None:
    vocabulary, layout = SCHEMAS["blog"]
    with (
        place_of(server, vocabulary, layout) as place,
        prisma_backend(vocabulary, place.prisma) as one,
        ExitStack() as stack,
        asyncio.Runner() as runner,
    ):
        backend: Any
        if kind == "dual":
            backend = stack.enter_context(dual_backend(vocabulary, place.dual, tmp_path / "data"))
        else:
            backend = stack.enter_context(prisma_backend(vocabulary, place.dual))
        other: Any = Blocking(AsyncClient(Client(backend, vocabulary)), runner)
        for step in Covering(Programs(vocabulary)).all():
            if not isinstance(step, Reopen):
                assert outcome(other, step) == outcome(Client(one, vocabulary), step), step
        other.close()


def test_a_tour(make: Make) -> None:
    async def tour() -> None:
        async with make() as db:
            ann = await db.user.create(data=ANN | {"posts": {"create": [{"title": "1"}, {"title": "2"}]}})
            assert await db.user.count() == 1
            found = await db.user.find_first_or_raise(where={"email": "a@x"}, include={"posts": True})
            assert sorted(post.title for post in found.posts) == ["1", "2"]
            assert await db.user.find_unique(where={"email": "nothing"}) is None
            with pytest.raises(RecordNotFound):
                await db.user.find_first_or_raise(where={"name": "Bob"})
            with pytest.raises(UniqueViolation):
                await db.user.create(data=ANN)
            with pytest.raises(ValidationError, match="did you mean email"):
                await db.user.find_many(where={"emial": "x"})
            async with db.tx() as tx:
                await tx.post.create(data={"title": "3", "authorId": ann.id})
                assert await tx.post.count() == 3
                assert await tx["Post"].count() == 3
                # What is not committed is seen by the transaction alone.
                assert await db.post.count() == 2
            with suppress(ZeroDivisionError):
                async with db.tx() as tx:
                    await tx.post.delete_many()
                    raise ZeroDivisionError
            assert await db.post.count() == 3
            changed = await db.user.upsert(where={"id": ann.id}, create=ANN, update={"age": {"increment": 1}})
            assert changed.age == 31
            assert [u.email for u in await db["User"].find_many(order_by={"email": "asc"})] == ["a@x"]
            assert "user" in dir(db)
            with pytest.raises(AttributeError, match="there is no model usr"):
                await db.usr.count()

    asyncio.run(tour())


def test_an_error_within_a_transaction_ends_it(make: Make) -> None:
    async def work(db: AsyncClient) -> None:
        async with db.tx() as tx:
            await tx.user.create(data=ANN)
            with pytest.raises(UniqueViolation):
                await tx.user.create(data=ANN)
            with pytest.raises(TransactionFailed, match="has failed"):
                await tx.user.count()

    async def run() -> None:
        async with make() as db:
            with pytest.raises(TransactionFailed, match="has failed"):
                await work(db)
            assert await db.user.count() == 0
            async with db.tx() as tx:
                pass
            with pytest.raises(TransactionFailed, match="has ended"):
                await tx.user.count()

    asyncio.run(run())


def test_a_transaction_that_takes_too_long_is_not_kept(make: Make) -> None:
    """Others need not wait until its task notices."""

    async def slow(db: AsyncClient, begun: asyncio.Event) -> None:
        async with db.tx(timeout=0.2) as tx:
            await tx.user.create(data=ANN)
            begun.set()
            await asyncio.sleep(1)
            with pytest.raises(TransactionFailed):
                await tx.user.count()

    async def run() -> None:
        async with make() as db:
            begun = asyncio.Event()
            task = asyncio.create_task(slow(db, begun))
            await begun.wait()
            await db.user.create(data=ANN)
            assert not task.done()
            with pytest.raises(TransactionFailed):
                await task
            assert await db.user.count() == 1

    asyncio.run(run())


def test_reads_of_several_tasks_and_loops(make: Make) -> None:
    """A client may be used by one event loop after the other."""

    async def fill() -> AsyncClient:
        db = make()
        await asyncio.gather(*(db.user.create(data={"email": f"{n}@x"}) for n in range(20)))
        return db

    async def look(db: AsyncClient) -> None:
        assert await asyncio.gather(*(db.user.count() for _ in range(50))) == [20] * 50
        async with db.tx() as tx:
            await tx.user.delete_many()
        await db.close()
        await db.close()
        with pytest.raises(UsageError, match="closed"):
            await db.user.create(data=ANN)
        with pytest.raises(UsageError, match="closed"):
            await db.user.count()
        with pytest.raises(UsageError, match="closed"):
            await db.tx().__aenter__()

    opened = asyncio.run(fill())
    asyncio.run(look(opened))


def test_both_ways_to_open_a_client(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())

    async def work() -> None:
        db = await octavo.connect_async("json", data_dir=tmp_path / "data", durability="batched")
        await db.user.create(data={"email": "a@x"})
        await db.close()
        async with octavo.connect_async("json", data_dir=tmp_path / "data", threads=1) as other:
            assert await other.user.count() == 1
            assert isinstance(other, octavo.AsyncClient)
        with pytest.raises(UsageError, match="closed"):
            await other.user.create(data={"email": "b@x"})
        with pytest.raises(UsageError):
            await octavo.connect_async("json", data_dir=tmp_path / "nothing")
        with pytest.raises(UsageError, match="whole number"):
            octavo.connect_async("json", data_dir=tmp_path / "data", threads=0)

    asyncio.run(work())


def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())

    async def work() -> None:
        for ticks in range(6):
            task = asyncio.ensure_future(_awaited(octavo.connect_async("json", data_dir=tmp_path / "data")))
            for _ in range(ticks):
                await asyncio.sleep(0.002)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await (await task).close()
        # Their threads close what they open.
        assert_no_thread_stays()
        assert not [s for s in list(_stores) if s._root == str(tmp_path / "data")]

    asyncio.run(work())


async def _awaited(opening: Any) -> Any:
    return await opening


def test_a_function_of_the_synchronous_client_runs_on_a_thread(make: Make) -> None:
    def double(db: Any, name: str, *, times: int) -> int:
        return times * int(db.user.count(where={"name": name}))

    async def work() -> None:
        async with make() as db:
            await db.user.create(data=ANN)
            assert await aio.call(db, double, "Ann", times=2) == 2
            async with db.tx() as tx:
                await tx.user.create(data=ANN | {"email": "b@x"})
                assert await aio.call(tx, double, "Ann", times=2) == 4
                with pytest.raises(UsageError, match="inside another one"):
                    await aio.call(db, double, "Ann", times=2)

    asyncio.run(work())


def test_the_synchronous_client_does_not_load_asynchronous_code(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())
    script = f"""
import sys, octavo
octavo.connect("json", data_dir={str(tmp_path / "data")!r}).user.count()
print("octavo.aio" in sys.modules, "asyncio" in sys.modules)
octavo.connect_async, octavo.AsyncClient
print("octavo.aio" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


def test_a_child_of_fork_has_threads_of_its_own(tmp_path: Path) -> None:
    scaffold(tmp_path / "data", frozen_layout())
    script = f"""
import asyncio, os, warnings, octavo
warnings.simplefilter("ignore")

async def opened():
    db = await octavo.connect_async("json", data_dir={str(tmp_path / "data")!r})
    await db.user.create(data={{"email": "parent"}})
    return db

async def write(email):
    await db.user.create(data={{"email": email}})
    async with db.tx() as tx:
        print(await tx.user.count(), flush=True)

db = asyncio.run(opened())
child = os.fork()
if not child:
    asyncio.run(write("child"))
    os._exit(0)
os.waitpid(child, 0)
asyncio.run(write("parent again"))
asyncio.run(db.close())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["2", "3"]
