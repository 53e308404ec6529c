"""An exception out of any line of an operation leaves the store before it or after it, for everybody.

Signal handlers raise such exceptions: KeyboardInterrupt, SystemExit, a time-out library's.  Each kind of
transaction, and reading, compacting, closing, opening and recovering, is interrupted at each place in the
code that it passes.  Afterwards this process and another one see the same, both go on writing, and what they
acknowledge survives a kill, the removal of ``cache/``, and closing.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

import octavo
from interrupts import Interrupt, Interrupter
from octavo.care.backup import back_up
from octavo.errors import BusyError, ConflictError, DiskError
from octavo.fold.target import building
from octavo.store import lock
from octavo.store.index import Spec
from octavo.store.store import Store
from small_store import State, Story, layout, message, revise, row, state_of, state_on_disk

Copy = Callable[[Path], Path]
Call = Callable[[Any], object]
"""A call of the client, or of a transaction of it"""
Told = Callable[[Story], list[State]]

SAMPLE = 4
"""how many places of a kind of work are tried in an ordinary run"""
PARTS = 20
"""in how many tests all of them are tried"""
PATIENCE = 30.0
"""seconds after which a lock counts as left behind"""


class Scene(NamedTuple):
    """What is to be interrupted."""

    root: Path
    store: Store | None
    """open in this process when it is; None: the work opens it"""
    work: Callable[[], object]
    allowed: list[State]
    """the states that it may leave"""
    goes_on: Callable[[], object] = lambda: None
    """what the process does next"""


AT = {"createdAt": "2025-11-22T12:34:56.789Z"}
UPDATED = {"updatedAt": "2025-11-22T12:34:56.789Z"}


def judge(scene: Scene, where: str) -> None:
    """Everybody sees the same state, one of those allowed; goes on; and keeps what was acknowledged."""
    root, store = scene.root, scene.store
    assert not cast(Any, lock._forking)._is_owned(), where
    if store is not None and store.is_batched:
        # What is not flushed yet is seen by its own process only.  If a batch was lost, who flushes is told.
        with suppress(DiskError):
            store.flush()
    with Store.open(root, layout(), lock_timeout=PATIENCE) as other:
        found = state_of(other)
        assert found in scene.allowed, where
        if store is None or store.is_closed:
            store = Store.open(root, layout(), lock_timeout=PATIENCE)
        assert state_of(store) == found, where
        scene.goes_on()
        write(store, "here")
        write(other, "there")
        after = state_of(other)
        assert state_of(store) == after, where
        assert len(after["User"]) == len(found["User"]) + 2, where
        killed(root, after, where)
        store.close()
        write(other, "last")
        after = state_of(other)
    assert list((root / "journal").iterdir()) == [], where
    assert state_on_disk(root) == after, where


def write(store: Store, name: str) -> None:
    with store.transaction(timeout=PATIENCE) as tx:
        tx.insert([row("User", id=name, email=name)])
        tx.insert([row("Session", id=name, sessionToken=name, userId=name)])
    with store.transaction(timeout=PATIENCE) as tx:
        tx.insert([row("Session", id=f"{name}-2", sessionToken=f"{name}-2", userId=name)])


def killed(root: Path, expected: State, where: str) -> None:
    """What is found if every process was killed now, and the machine started again."""
    left = root.with_name(f"{root.name}-left")
    shutil.copytree(root, left, ignore=shutil.ignore_patterns("cache"))
    with Store.open(left, layout()) as again:
        assert state_of(again) == expected, where
    shutil.rmtree(left)


def interrupted(
    begin: Callable[[], Scene],
    part: int = 0,
    parts: int | None = None,
    kind: type[BaseException] = Interrupt,
    only: str = "",
) -> int:
    """Interrupt some work at its places: at one part of them, at a sample, or at every moment that is named
    so; how many were tried."""
    scene = begin()
    counting = Interrupter()
    counting.run(scene.work)
    if scene.store is not None:
        scene.store.close()
    places = counting.distinct()
    if only:
        places, parts = [at for at, where in enumerate(counting.moments, 1) if only in where], 1
    tried = places[part::parts] if parts else places[len(places) % 7 :: max(len(places) // SAMPLE, 1)]
    for at in tried:
        scene = begin()
        interrupter = Interrupter(at, kind)
        interrupter.run(scene.work)
        judge(scene, f"moment {at}: {interrupter.where}")
    return len(tried)


def of_story(story: Story, small: Path, copied: Copy, told: Told) -> Callable[[], Scene]:
    def begin() -> Scene:
        root = copied(small)
        store = story.open(root, lock_timeout=PATIENCE)
        state_of(store)

        def work() -> None:
            for step in story.steps:
                step(store)

        return Scene(root, store, work, told(story))

    return begin


def test_a_transaction_interrupted_at_some_places(
    story: Story, small: Path, copied: Copy, told: Told
) -> None:
    assert interrupted(of_story(story, small, copied, told))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_transaction_interrupted_anywhere(
    story: Story, part: int, small: Path, copied: Copy, told: Told
) -> None:
    interrupted(of_story(story, small, copied, told), part, PARTS)


def _opened(root: Path) -> Store:
    return Store.open(root, layout(), lock_timeout=PATIENCE)


def reading(small: Path, copied: Copy) -> Scene:
    """Everything for the first time, and single records."""
    root = copied(small)
    store = _opened(root)
    with _opened(copied(small)) as other:
        state = state_of(other)

    def work() -> None:
        store.get("Message", "m10")
        state_of(store)
        store.read(lambda view: view.in_file_order("Message", ("chatId",), "chat-1"))

    return Scene(root, store, work, [state])


def refreshing(small: Path, copied: Copy) -> Scene:
    """What another process has changed since it was read."""
    root = copied(small)
    store = _opened(root)
    for _ in range(70):
        # Often enough that changes are watched for.
        store.get("Chat", "chat-1")
    state_of(store)
    with _opened(root) as other:
        with other.transaction() as tx:
            tx.insert([message(20)])
            tx.insert([row("Tag", id="tag-9", userId="user-1")])
            revise(tx, "Persona", "persona-1", name="neu")
            revise(tx, "Chat", "chat-2", title="neu")
        state = state_of(other)

    def work() -> None:
        store.get("Message", "m20")
        state_of(store)

    return Scene(root, store, work, [state])


def compacting(small: Path, copied: Copy) -> Scene:
    """Every log."""
    root = copied(small)
    store = _opened(root)
    with store.transaction() as tx:
        revise(tx, "Chat", "chat-2", title="neu")
        revise(tx, "Message", "m1", content="neu")
    return Scene(root, store, store.compact, [state_of(store)])


def emptying_the_journal(small: Path, copied: Copy) -> Scene:
    """What a store does when it is at rest."""
    root = copied(small)
    store = _opened(root)
    with store.transaction() as tx:
        revise(tx, "Chat", "chat-2", title="neu")
        revise(tx, "Message", "m1", content="neu")
    return Scene(root, store, store.checkpoint, [state_of(store)])


def closing(small: Path, copied: Copy) -> Scene:
    """With the journal still to be emptied."""
    scene = emptying_the_journal(small, copied)
    assert scene.store is not None
    return scene._replace(work=scene.store.close)


def recovering(small: Path, copied: Copy) -> Scene:
    """What a process that was killed has left: an entry of which the files lack a part."""
    while True:
        left = copied(small)
        with _opened(left) as store:
            with store.transaction() as tx:
                tx.insert([message(20), message(21)])
                revise(tx, "Chat", "chat-2", title="neu")
            state = state_of(store)
            root = copied(left)
        # On a slow machine the journal may have been emptied meanwhile.
        if any((root / "journal").iterdir()):
            break
    for name in ("chats/chat-1.jsonl", "chats/index.jsonl"):
        shutil.copy(small / name, root / name)
    shutil.rmtree(root / "cache")
    return Scene(root, None, lambda: _opened(root).close(), [state])


def opening_at_rest(small: Path, copied: Copy) -> Scene:
    """A store that was closed in order."""
    root = copied(small)
    with _opened(root) as store:
        state = state_of(store)
    return Scene(root, None, lambda: _opened(root).close(), [state])


def by_client(work: Call, small: Path, copied: Copy) -> Scene:
    """A call of the client, which goes on with another one."""
    told = copied(small)
    with _opened(told) as store:
        states = [state_of(store)]
        with octavo.connect("json", data_dir=told) as first:
            work(first)
        states.append(state_of(store))
    root = copied(small)
    db: Any = octavo.connect("json", data_dir=root)
    db.message.find_many()

    def goes_on() -> None:
        new: Any = {"id": "goes on", "userId": "user-1", "name": "goes on", "nameLower": "goes on"}
        db.tag.create(data=new)
        with db.tx(max_wait=PATIENCE, timeout=PATIENCE) as tx:
            assert tx.tag.delete(where={"id": "goes on"}).name == "goes on"
        db.close()

    return Scene(root, None, lambda: work(db), states, goes_on)


def _create(db: Any) -> None:
    db.message.create(data={"id": "m30", "chatId": "chat-1", "role": "USER", "content": "x"} | AT)


def _update(db: Any) -> None:
    db.chat.update(where={"id": "chat-1"}, data={"title": "neu"} | UPDATED)


def _delete(db: Any) -> None:
    db.chat.delete(where={"id": "chat-1"})


def _upsert(db: Any) -> None:
    new = {"id": "tag-3", "userId": "user-1", "name": "x", "nameLower": "x"} | AT | UPDATED
    db.tag.upsert(where={"id": "tag-3"}, create=new, update={"name": "y"})


def _several(db: Any) -> None:
    with db.tx(max_wait=PATIENCE, timeout=PATIENCE) as tx:
        _create(tx)
        tx.character.delete(where={"id": "hero-1"})


def backing_up(small: Path, copied: Copy) -> Scene:
    """An archive beside the store."""
    root = copied(small)
    with _opened(root) as store:
        state = state_of(store)
    archive = root.with_name(f"{root.name}.tar.gz")
    return Scene(root, None, lambda: back_up(root, layout(), archive, {}), [state])


def replacing(small: Path, copied: Copy) -> Scene:
    """A store by another one, as an export does."""
    root, new = copied(small), copied(small)
    with _opened(root) as store:
        states = [state_of(store)]
    with _opened(new) as store:
        with store.transaction() as tx:
            revise(tx, "Chat", "chat-2", title="neu")
        states.append(state_of(store))

    def work() -> None:
        with building(root, layout(), lock_timeout=PATIENCE) as built:
            ignored = shutil.ignore_patterns("cache", "journal")
            shutil.copytree(new, built.path, dirs_exist_ok=True, ignore=ignored)
            built.put_in_place(replace=True)

    return Scene(root, None, work, states)


CALLS = (_create, _update, _delete, _upsert, _several)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_client_interrupted_at_some_places(call: Call, small: Path, copied: Copy) -> None:
    assert interrupted(lambda: by_client(call, small, copied))


def test_a_transaction_of_a_client_interrupted_as_blocks_are_entered(small: Path, copied: Copy) -> None:
    """What a block has opened is then held by the traceback alone."""
    assert interrupted(lambda: by_client(_several, small, copied), only="__enter__ (return from C)")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_the_client_interrupted_anywhere(call: Call, part: int, small: Path, copied: Copy) -> None:
    interrupted(lambda: by_client(call, small, copied), part, PARTS)


WORKS = (
    reading,
    refreshing,
    compacting,
    emptying_the_journal,
    closing,
    recovering,
    opening_at_rest,
    backing_up,
    replacing,
)


@pytest.mark.parametrize("work", WORKS)
def test_other_work_interrupted_at_some_places(
    work: Callable[[Path, Copy], Scene], small: Path, copied: Copy
) -> None:
    assert interrupted(lambda: work(small, copied))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("work", WORKS)
def test_other_work_interrupted_anywhere(
    work: Callable[[Path, Copy], Scene], part: int, small: Path, copied: Copy
) -> None:
    interrupted(lambda: work(small, copied), part, PARTS)


class Numbered(TimeoutError):
    """A time-out library's, with the number that the system would give."""

    def __init__(self) -> None:
        super().__init__(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


class Busy(BusyError):
    """What a handler passes on that has used a store itself."""

    def __init__(self) -> None:
        super().__init__(0, "a handler")


KINDS = (TimeoutError, Numbered, Busy)
"""what a handler may raise, and the store too"""


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_by_what_the_store_raises_itself(
    kind: type[BaseException], small: Path, copied: Copy
) -> None:
    assert interrupted(lambda: by_client(_several, small, copied), kind=kind)
    assert interrupted(lambda: emptying_the_journal(small, copied), kind=kind)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_anywhere_by_what_the_store_raises_itself(
    kind: type[BaseException], part: int, small: Path, copied: Copy
) -> None:
    for call in CALLS:
        interrupted(lambda call=call: by_client(call, small, copied), part, PARTS, kind)  # type: ignore[misc]
    for work in (refreshing, emptying_the_journal, closing, recovering):
        interrupted(lambda work=work: work(small, copied), part, PARTS, kind)  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_may_interrupt_the_end_of_a_commit(
    kind: type[BaseException], small: Path, copied: Copy
) -> None:
    """At each moment from the one at which the thread takes the group to write."""
    counting = Interrupter()
    counting.run(by_client(_create, small, copied).work)
    begin = next(at for at, where in enumerate(counting.moments, 1) if " _leads " in where)
    for at in range(begin, begin + 30, 2):
        scene = by_client(_create, small, copied)
        interrupter = Interrupter(at, kind)
        interrupter.run(scene.work)
        judge(scene, f"moment {at}: {interrupter.where}")


def test_a_savepoint_that_is_interrupted_takes_back_what_had_begun(small: Path, copied: Copy) -> None:
    """At each line of the changes inside it, and of the layer that they are made in."""
    is_refused = pytest.raises(ConflictError, match="interrupted")
    with _opened(copied(small)) as store, is_refused, store.transaction() as tx:
        tx.insert([message(30)])

        def seen() -> tuple[list[Any], list[Any], Any]:
            found = tx.layer.find(Spec("Message", ("chatId",)), "chat-1")
            return sorted(map(repr, tx.rows("Message"))), sorted(map(repr, found)), tx.get("Chat", "chat-1")

        def work() -> None:
            with tx.layer.savepoint():
                tx.insert([message(31), message(32)])
                revise(tx, "Message", "m30", content="neu")
                revise(tx, "Chat", "chat-1", title="neu")
                raise Interrupt

        before, whole, at = seen(), True, 0
        while whole:
            at += 1
            with suppress(Interrupt), tx.layer.savepoint():
                interrupter = Interrupter(at)
                assert interrupter.run(work)
                whole = seen() == before
                raise Interrupt
            # An outer savepoint takes back what an inner one could not.
            assert seen() == before, interrupter.where
            tx.layer.require_whole()
        assert "savepoint" in interrupter.where or "_take_back" in interrupter.where
        assert Interrupter(at).run(work)
        with pytest.raises(ConflictError, match="interrupted"):
            tx.layer.require_whole()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors")
@pytest.mark.parametrize("at", range(100, 700, 50))
def test_interruptions_leave_no_descriptors_behind(small: Path, copied: Copy, at: int) -> None:
    """Each but the first comes as the store is opened again, or in the transaction after that.  At a few
    moments a number alone tells of an open file: between its opening and the next line."""
    with _opened(copied(small)) as store:
        state_of(store)
        before = len(os.listdir("/proc/self/fd"))
        for number in range(30):

            def work(number: int = number) -> None:
                with store.transaction() as tx:
                    tx.insert([row("User", id=f"u{number}", email=f"u{number}")])

            assert Interrupter(at + number).run(work)
        gc.collect()
        store.read(lambda view: view.count("User"))
        assert len(os.listdir("/proc/self/fd")) < before + 25
