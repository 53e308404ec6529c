"""What tasks see while others write: whole commits, and the newest; and the documentation's code."""

from __future__ import annotations

import ast
import asyncio
import re
import threading
from inspect import CO_COROUTINE
from pathlib import Path
from typing import Any

import msgspec
import pytest

import octavo
from aio.conftest import Make
from interrupts import Interrupter
from octavo.aio import AsyncClient
from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.layout.load import frozen_layout
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from octavo.store.freshness import Stale
from octavo.store.store import Store

DOCUMENT = Path(__file__).parents[2] / "docs/async.md"


def test_reads_see_whole_commits_and_own_writes(make: Make) -> None:
    async def write(db: AsyncClient, number: int) -> None:
        for times in range(3):
            email = f"{number}-{times}@x"
            posts = {"create": [{"title": "1"}, {"title": "2"}]}
            made = await db.user.create(data={"email": email, "posts": posts})
            # What has returned is seen.
            assert await db.user.find_unique(where={"email": email}) is not None
            if times:
                await db.user.delete(where={"id": made.id})
                assert await db.user.find_unique(where={"email": email}) is None

    async def look(db: AsyncClient) -> int:
        looks = 0
        while len(asyncio.all_tasks()) > 2 or not looks:
            for user in await db.user.find_many(include={"posts": True, "_count": True}):
                assert (len(user.posts), user._count.posts) == (2, 2)
            looks += 1
            await asyncio.sleep(0)
        return looks

    async def run() -> None:
        async with make() as db:
            looking = asyncio.create_task(look(db))
            await asyncio.gather(*(write(db, number) for number in range(30)))
            assert await looking > 1
            assert await db.user.count() == 30
            assert await db.post.count() == 60

    asyncio.run(run())


@pytest.mark.usefixtures("writer")
def test_reads_see_whole_commits_of_another_process(data: Path) -> None:
    async def run() -> int:
        seen = set()
        async with octavo.connect_async("json", data_dir=data) as db:
            for _ in range(200):
                shown: Any = {"messages": True, "tags": True}
                for chat in await db.chat.find_many(where={"id": {"startsWith": "busy"}}, include=shown):
                    assert (len(chat.messages), len(chat.tags)) == (1, 1)
                    seen.add(chat.id)
                await asyncio.sleep(0.001)
        return len(seen)

    assert asyncio.run(run()) > 1


def test_what_stands_in_files_alone_is_not_read_at_once(data: Path) -> None:
    vocabulary = Vocabulary(frozen_schema())
    with Store.open(data, frozen_layout(), log_budget=1) as store:
        backend = JsonBackend(vocabulary, store)
        db: Any = Client(backend, vocabulary)
        chats = db.chat.find_many()
        for _ in range(40):
            chat = db.chat.find_first(where={"messages": {"some": {}}}, include={"messages": True})
        message = chat.messages[0]
        assert len(chats) > 2
        assert backend.at_once.find("Chat", ("id",), (chat.id,)) is not None
        # By its key it is found in a log; and of logs too large for memory each row is read.
        with pytest.raises(Stale):
            backend.at_once.find("Message", ("id",), (message.id,))
        with pytest.raises(Stale):
            backend.at_once.read(lambda reader: list(reader.view.rows("Message")))
        assert is_free(store)
        assert store.engine.world.hurried == 0
        assert db.message.find_unique(where={"id": message.id}) == message


def is_free(store: Store) -> bool:
    """Whether another thread gets the lock of what is in memory."""
    found: list[bool] = []

    def take() -> None:
        mutex = store.engine.world.mutex
        found.append(mutex.acquire(timeout=5))
        mutex.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return found[0]


def test_a_read_at_once_that_is_interrupted_leaves_no_lock(data: Path) -> None:
    with Store.open(data, frozen_layout()) as store:
        for _ in range(40):
            chats = store.read(lambda view: list(view.rows("Chat")))

        def work() -> object:
            return store.read_at_once(lambda view: [view.get("Chat", chat.id) for chat in chats[:2]])

        counting = Interrupter()
        counting.run(work)
        for at in counting.distinct():
            interrupter = Interrupter(at)
            assert interrupter.run(work)
            assert is_free(store), interrupter.where
            # What is read afterwards is right, and may be read from files.
            assert store.read(lambda view: len(list(view.rows("Message")))) > 0, interrupter.where
            with store.transaction() as tx:
                tx.update([(chats[0], msgspec.structs.replace(chats[0], title=str(at)))])
            chats[0] = store.read(lambda view: view.get("Chat", chats[0].id)) or chats[0]
            assert chats[0].title == str(at)
            for _ in range(40):
                store.read(lambda view: list(view.rows("Chat")))


def test_the_code_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from octavo.fold.scaffold import scaffold

    folder = tmp_path / "data"
    scaffold(folder, frozen_layout())
    monkeypatch.setenv("DATA_BACKEND", "json")
    monkeypatch.setenv("DATA_DIR", str(folder))
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2

    async def run() -> None:
        async with octavo.connect_async() as db:
            user = await db.user.create(data={"email": "a@example.org"})
            owned: Any = {"userId": user.id, "name": "Mira"}
            texts = dict.fromkeys(("description", "personality", "scenario", "firstMessage"), "text")
            model = {"provider": "OPENAI", "modelName": "m"}
            character = await db.character.create(data=owned | texts)
            profile = await db.connection_profile.create(data=owned | model)
            await db.chat.create(
                data={
                    "title": "A night with Mira",
                    "userId": user.id,
                    "characterId": character.id,
                    "connectionProfileId": profile.id,
                }
            )
        names: dict[str, Any] = {}
        for number, block in enumerate(blocks):
            if number:
                names["db"] = opened = await octavo.connect_async()
            code = compile(block, str(DOCUMENT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            assert code.co_flags & CO_COROUTINE
            await eval(code, names)
        assert await opened.message.count() == 2
        assert await opened.chat_tag.count() == 1
        await opened.close()

    asyncio.run(run())
