"""A process that is killed at any system call leaves the store as it was before a transaction or after it.

Every call that a story makes is the last one in turn; the next process that opens the store finds everything
that was acknowledged, and goes on.  The same is then done to the process that recovers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from faults import Fault, Faulty, child, die, die_half_way, received
from octavo.store.store import Store
from small_store import (
    STORIES,
    State,
    Story,
    broken_constraints,
    layout,
    message,
    row,
    state_of,
    state_on_disk,
)

Copy = Callable[[Path], Path]
Told = Callable[[Story], list[State]]


def tell(story: Story, root: Path, system: Faulty) -> Callable[[Connection], None]:
    """What a process does: open the store, take the steps, say how many of them are acknowledged."""

    def work(connection: Connection) -> None:
        store = story.open(root, system=system)
        for number, step in enumerate(story.steps, 1):
            step(store)
            if not story.batched or step is Store.flush:
                connection.send(number)
        connection.send(list(system.calls))

    return work


def recover(root: Path, system: Faulty) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        Store.open(root, layout(), system=system)
        connection.send(list(system.calls))

    return work


def calls_of(work: Callable[[Connection], None]) -> list[str]:
    """The system calls of a process that nothing disturbs."""
    with child(work) as connection:
        *_, calls = received(connection)
    assert isinstance(calls, list)
    return calls


def killed(story: Story, root: Path, at: int, how: Fault) -> int:
    """The number of steps that were acknowledged before the process died at one of its calls."""
    with child(tell(story, root, Faulty(at, how))) as connection:
        said = list(received(connection))
    acknowledged = [number for number in said if isinstance(number, int)]
    # A thread writes batches in its own time, so that a slow machine may make fewer calls.
    assert story.batched or acknowledged == said, "it was to die"
    return acknowledged[-1] if acknowledged else 0


def judge(root: Path, allowed: list[State]) -> None:
    """The store opens, is in one of the states, whole, and can be written to."""
    with Store.open(root, layout()) as store:
        found = state_of(store)
        assert found in allowed
        assert broken_constraints(found) == []
        go_on(store, found)
        after = state_of(store)
    assert state_on_disk(root) == after
    assert list((root / "journal").iterdir()) == []
    assert broken_constraints(after) == []


def go_on(store: Store, found: State) -> None:
    """A next transaction of each kind, where there is still something to do it to."""
    with store.transaction() as tx:
        tx.insert([row("User", id="user-next", email="next@example.org")])
        tx.insert([row("Tag", id="tag-next", userId="user-next")])
    for (chat,) in list(found["Chat"]):
        assert chat is not None
        with store.transaction() as tx:
            tx.insert([message(50, chat.decode(), id=f"next in {chat.decode()}")])
    with store.transaction() as tx:
        tx.insert([row("Session", id="session-next", sessionToken="next", userId="user-next")])


def allowed(story: Story, states: list[State], acknowledged: int) -> list[State]:
    """What the store may hold after so many steps were acknowledged, and the next was under way."""
    return states[acknowledged:] if story.batched else states[acknowledged : acknowledged + 2]


def killed_at(story: Story, each: int, small: Path, copied: Copy, told: Told) -> None:
    """Kill a story at its calls: at the last, and at each so-manieth before it."""
    calls = calls_of(tell(story, copied(small), Faulty()))
    assert calls
    for at, call in list(enumerate(calls, 1))[(len(calls) - 1) % each :: each]:
        for how in (die, die_half_way) if call == "write" else (die,):
            root = copied(small)
            acknowledged = killed(story, root, at, how)
            judge(root, allowed(story, told(story), acknowledged))


def test_killed_at_some_calls(story: Story, small: Path, copied: Copy, told: Told) -> None:
    killed_at(story, 3, small, copied, told)


@pytest.mark.slow
def test_killed_at_every_call(story: Story, small: Path, copied: Copy, told: Told) -> None:
    killed_at(story, 1, small, copied, told)


def killed_in_recovery(story: Story, at: int, small: Path, copied: Copy, told: Told) -> int:
    """Kill a story at one call, then its recovery at each call, and then that one's; how often."""
    left = copied(small)
    states = allowed(story, told(story), killed(story, left, at, die))
    calls = calls_of(recover(copied(left), Faulty()))
    for again in range(1, len(calls) + 1):
        root = copied(left)
        for number in {again, max(again - 1, 1)}:
            with child(recover(root, Faulty(number, die))) as connection:
                list(received(connection))
        judge(root, states)
    return len(calls)


def with_journal(small: Path, copied: Copy, story: Story) -> Iterator[int]:
    """The calls at which the death of a story leaves an entry in the journal."""
    calls = calls_of(tell(story, copied(small), Faulty()))
    for at in range(1, len(calls) + 1):
        root = copied(small)
        killed(story, root, at, die)
        if any(path.stat().st_size for path in (root / "journal").iterdir()):
            yield at


@pytest.mark.parametrize("name", ["create a chat with messages", "give a chat another key"])
def test_killed_while_it_recovers(name: str, small: Path, copied: Copy, told: Told) -> None:
    (story,) = [s for s in STORIES if s.name == name]
    moments = list(with_journal(small, copied, story))
    assert sum(killed_in_recovery(story, at, small, copied, told) for at in moments[3::8]) > 5


@pytest.mark.slow
def test_killed_at_every_call_while_it_recovers(story: Story, small: Path, copied: Copy, told: Told) -> None:
    calls = calls_of(tell(story, copied(small), Faulty()))
    for at in range(1, len(calls) + 1):
        killed_in_recovery(story, at, small, copied, told)
