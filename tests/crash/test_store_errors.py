"""A disk that refuses any system call costs that transaction, and nothing else.

At every call of a story in turn the disk is full or fails, once or from then on.  The transaction raises, and
the store is as before it: for the process itself, for another one that opens it meanwhile, and on the disk.
Later transactions are stored or refused.
"""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from faults import Fault, Faulty, child, die, fail, fail_half_way, fall_short, received
from octavo.errors import DiskError, OctavoError
from octavo.store.store import Store
from small_store import (
    STORIES,
    State,
    Story,
    broken_constraints,
    chat,
    erase,
    layout,
    message,
    revise,
    row,
    state_of,
    state_on_disk,
    step,
    text_of,
)

SEED = 20251123
Copy = Callable[[Path], Path]
Told = Callable[[Story], list[State]]


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a disk, and whether it stays so."""

    name: str
    fault: Fault
    sticky: bool = False

    def __str__(self) -> str:
        return self.name


TROUBLES = (
    Trouble("an error", fail(errno.EIO)),
    Trouble("errors from then on", fail(errno.EIO), sticky=True),
    Trouble("full", fail_half_way(errno.ENOSPC)),
    Trouble("full from then on", fail_half_way(errno.ENOSPC), sticky=True),
    Trouble("read-only from then on", fail(errno.EROFS), sticky=True),
    Trouble("interrupted", fail(errno.EINTR)),
)


def user(name: str) -> Callable[[Store], None]:
    def add(store: Store) -> None:
        with store.transaction() as tx:
            tx.insert([row("User", id=name, email=name), row("User", id=f"{name}-2", email=f"{name}-2")])

    return add


def with_users(state: State, *names: str) -> State:
    """A state with what :func:`user` adds."""
    added = {(key.encode(),): text_of(row("User", id=key, email=key)) for n in names for key in (n, f"{n}-2")}
    return {**state, "User": state["User"] | added}


def tell(story: Story, root: Path, system: Faulty) -> Callable[[Connection], None]:
    """Take the steps until one fails, say what is in memory then; wait, and write again."""

    def work(connection: Connection) -> None:
        store, number = None, 0
        try:
            store = story.open(root, system=system)
            for number, step in enumerate(story.steps, 1):
                step(store)
                connection.send(("done", number))
            connection.send(list(system.calls))
        except OctavoError:
            connection.send(("failed", number, None if store is None else _memory(store)))
            connection.recv()
            if store is not None:
                connection.send(_again(store))
        if store is not None:
            try:
                store.close()
            except OctavoError:
                assert system.struck

    return work


def _memory(store: Store) -> State | None:
    """What a store answers, None if it refuses to."""
    try:
        return state_of(store)
    except OctavoError:
        return None


def _again(store: Store) -> State | None:
    """What a store holds after another transaction; None if that was refused."""
    try:
        user("later")(store)
    except OctavoError:
        return None
    return state_of(store)


def calls_of(story: Story, root: Path) -> list[str]:
    with child(tell(story, root, Faulty())) as connection:
        calls = list(received(connection))[-1]
    assert isinstance(calls, list)
    return calls


def struck(story: Story, root: Path, at: int, trouble: Trouble, states: list[State]) -> None:
    """Strike at one call, and judge the store from all sides."""
    finally_there: list[State]
    with child(tell(story, root, Faulty(at, trouble.fault, sticky=trouble.sticky))) as connection:
        said = received(connection)
        done = 0
        for word in said:
            if word[0] != "done":
                break
            done = word[1]
        if word[0] != "failed":
            # What failed was nothing that the story depends on.
            finally_there = [states[-1]]
        else:
            memory = word[2]
            before = states[:] if story.batched else [states[done]]
            assert memory is None or memory in before
            # Where the disk goes on failing it is not even known there; before or after, never between.
            allowed = before if not trouble.sticky or story.batched else states[done : done + 2]
            with Store.open(root, layout()) as second:
                found = state_of(second)
                assert found in allowed
                user("second")(second)
            finally_there = [with_users(found, "second")]
            connection.send(True)
            again = next(said, None)
            if again is not None:
                assert again == with_users(found, "second", "later")
                # A batch can still be lost when the store is closed.
                finally_there = [again, *(finally_there if story.batched and trouble.sticky else [])]
            list(said)
    judge(root, finally_there)


def judge(root: Path, allowed: list[State]) -> None:
    """The store opens, is in one of the states, whole, and can be written to."""
    with Store.open(root, layout()) as store:
        found = state_of(store)
        assert found in allowed
        assert broken_constraints(found) == []
        user("next")(store)
        assert state_of(store) == with_users(found, "next")
    assert state_on_disk(root) == with_users(found, "next")
    assert not [path for path in (root / "journal").iterdir() if path.stat().st_size]


def all_strikes(calls: int) -> Iterator[tuple[int, Trouble]]:
    return ((at, trouble) for at in range(1, calls + 1) for trouble in TROUBLES)


def test_the_disk_fails_at_some_calls(story: Story, small: Path, copied: Copy, told: Told) -> None:
    calls = calls_of(story, copied(small))
    print(f"seed {SEED}")
    strikes = random.Random(f"{SEED} {story.name}").sample(list(all_strikes(len(calls))), 3)
    for at, trouble in strikes:
        struck(story, copied(small), at, trouble, told(story))


@pytest.mark.slow
def test_the_disk_fails_at_every_call(story: Story, small: Path, copied: Copy, told: Told) -> None:
    for at, trouble in all_strikes(len(calls_of(story, copied(small)))):
        struck(story, copied(small), at, trouble, told(story))


def test_short_writes_are_gone_on_with(small: Path, copied: Copy, told: Told) -> None:
    for story in STORIES[::3]:
        root = copied(small)
        with child(tell(story, root, Faulty(1, fall_short, sticky=True))) as connection:
            assert [word[0] for word in list(received(connection))[:-1]] == ["done"] * len(story.steps)
        judge(root, told(story)[-1:])


def in_recovery(story: Story, trouble: Trouble, root: Path, copied: Copy, states: list[State]) -> None:
    """Strike at every call of a recovery: the store does not open, and is recovered by the next."""

    def recover(root: Path, system: Faulty) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            with suppress(OctavoError):
                Store.open(root, layout(), system=system)
            connection.send(list(system.calls))

        return work

    with child(recover(copied(root), Faulty())) as connection:
        (calls,) = received(connection)
    for at in range(1, len(calls) + 1):
        copy = copied(root)
        with child(recover(copy, Faulty(at, trouble.fault, sticky=trouble.sticky))) as connection:
            list(received(connection))
        judge(copy, states)


@pytest.mark.parametrize("trouble", TROUBLES[:4], ids=str)
def test_the_disk_fails_while_it_recovers(trouble: Trouble, small: Path, copied: Copy, told: Told) -> None:
    (story,) = [s for s in STORIES if s.name == "give a chat another key"]
    calls = calls_of(story, copied(small))
    left = copied(small)
    with child(tell(story, left, Faulty(len(calls) - 2, die))) as connection:
        list(received(connection))
    assert list((left / "journal").iterdir())
    in_recovery(story, trouble, left, copied, told(story)[:2])


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room, where one may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(path: Path) -> None:
    with suppress(OSError), open(path, "wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


def test_a_disk_that_is_full_when_a_store_is_opened(little: Path, small: Path) -> None:
    root = Path(shutil.copytree(small, little / "data"))
    before = state_on_disk(root)
    fill(little / "filler")

    def work(connection: Connection) -> None:
        with pytest.raises(DiskError, match="No space left"):
            Store.open(root, layout())

    with child(work) as connection:
        list(received(connection))
    (little / "filler").unlink()
    judge(root, [before])


@pytest.mark.parametrize("indexed", [False, True])
def test_a_disk_that_is_full_while_a_store_is_open(indexed: bool, little: Path, small: Path) -> None:
    """What is done then is stored or refused, and can be done again when there is room."""
    steps = [
        step(lambda tx: tx.insert([message(20)])),
        step(lambda tx: tx.insert([message(n, content="long " * 2000) for n in range(21, 24)])),
        step(lambda tx: revise(tx, "Message", "m1", content="long " * 2000)),
        step(lambda tx: revise(tx, "Persona", "persona-1", description="long " * 2000)),
        step(lambda tx: erase(tx, "Character", "hero-2")),
        step(lambda tx: tx.insert([chat("chat-8"), chat("chat-9")])),
        user("new"),
    ]
    root = Path(shutil.copytree(small, little / "data"))

    def work(connection: Connection) -> None:
        store = Store.open(root, layout())
        if indexed:
            assert store.get("Message", "m1")
        before = state_of(store)
        fill(little / "filler")
        refused = []
        for one in steps:
            try:
                one(store)
                before = state_of(store)
            except DiskError:
                refused.append(one)
                assert state_of(store) == before
        assert len(refused) > 3
        (little / "filler").unlink()
        for one in refused:
            one(store)
        connection.send(state_of(store))
        store.close()

    with child(work) as connection:
        (after,) = received(connection)
    judge(root, [after])
