"""A loss of power at any moment leaves every acknowledged transaction, and of the next all or nothing.

The calls of each story are recorded, and replayed into what a legal file system may be found with after any
of them (see :mod:`power`).  Then once more behind a first fault: a process that was killed, or that the disk
has failed, at any call of its own, and that another process has followed.

Each state is opened twice: without a page of this boot, as after the machine was started again, and with one
that is of this boot and folder and of some moment before, as from a snapshot or a disk that was pulled.
"""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from faults import Fault, child, die, fail, fail_half_way, received
from octavo.errors import OctavoError
from octavo.store.journal import NAME as JOURNAL
from octavo.store.store import Store
from octavo.store.system import FileSystem
from power import Disk, Event, Loss, Recorder, leave_page, materialise
from small_store import (
    State,
    Step,
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
)

SEED = 20251122
Copy = Callable[[Path], Path]


class Unsynced(FileSystem):
    """Syncs nothing: for a store on which no power is lost any more."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_all(self, path: str) -> None:
        pass


def perform(story: Story, root: Path, at: int = 0, fault: Fault | None = None) -> list[Event]:
    """What a process does to the disk, with its state where that is acknowledged.

    It goes on with the next step where one has failed.
    """

    def work(connection: Connection) -> None:
        recorder = Recorder(root, connection.send, at, fault)
        with suppress(OctavoError):
            store = story.open(root, system=recorder)
            _tell_state(connection, store)
            for one in story.steps:
                with suppress(OctavoError):
                    one(store)
                    if one is not Store.close:
                        _tell_state(connection, store)

    with child(work) as connection:
        return list(received(connection))


def _tell_state(connection: Connection, store: Store) -> None:
    with suppress(OctavoError):
        connection.send(("state", state_of(store)))


def moments(events: list[Event], first: list[State]) -> Iterator[tuple[Event, list[State]]]:
    """Each change of the disk with what may be found after a loss of power then: what was acknowledged last,
    and what is acknowledged next, as far as it is."""
    known = list(first)
    for number, event in enumerate(events):
        if event[0] == "state":
            known = [event[1]]
            continue
        following = next((e[1] for e in events[number:] if e[0] == "state"), None)
        yield event, known if following is None else [*known, following]


class Judge:
    """Opens what a loss of power has left, each state once."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder, self._disk = folder, disk
        self._seen: set[bytes] = set()
        self.count = 0

    def judge(self, loss: Loss, allowed: list[State]) -> None:
        digest = sha256(
            repr((sorted(loss.items()), [sorted(map(repr, s.items())) for s in allowed])).encode()
        ).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        journal = loss.get(JOURNAL, b"")
        for end in (None, (0, len(journal), journal.find(b"\n") + 1)[self.count % 3]):
            self.count += 1
            root = self._folder / f"{self.count}"
            root.mkdir(parents=True)
            materialise(self._disk.folders(), loss, root)
            if end is not None:
                leave_page(root, end)
            self._open(root, allowed)

    def _open(self, root: Path, allowed: list[State]) -> None:
        with Store.open(root, layout(), system=Unsynced()) as store:
            found = state_of(store)
            assert found in allowed, differences(found, allowed)
            assert broken_constraints(found) == []
            with store.transaction() as tx:
                for (name,) in list(found["Chat"]):
                    assert name is not None
                    # What is torn of a log is cut when something follows.
                    revise(tx, "Chat", name.decode(), contextSummary="next")
                    tx.insert([message(50, name.decode(), id=f"next in {name.decode()}")])
                tx.insert([row("User", id="user-next", email="next@example.org")])
            after = state_of(store)
        assert state_on_disk(root) == after
        shutil.rmtree(root)


def differences(found: State, allowed: list[State]) -> list[dict[str, Any]]:
    """In which models, and how, a state differs from each that is allowed."""
    return [
        {m: (set(found[m].items()) ^ set(state[m].items())) for m in found if found[m] != state[m]}
        for state in allowed
    ]


def lose_power(
    events: list[Event],
    first: list[State],
    disk: Disk,
    folder: Path,
    most: int,
    share: float,
    every: list[State],
) -> int:
    """Lose power after each change, or after a share of them; how many states were opened."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    judge = Judge(folder, disk)
    for event, allowed in moments(events, first):
        disk.apply(event)
        if chance.random() < share:
            for loss in disk.losses(most, chance):
                judge.judge(loss, every or allowed)
    return judge.count


def lost(story: Story, small: Path, copied: Copy, told: list[State], most: int, share: float) -> int:
    root = copied(small)
    disk = Disk(root)
    every = told if story.batched else []
    return lose_power(
        perform(story, root), told[:1], disk, root.with_name(f"lost-{root.name}"), most, share, every
    )


def test_power_lost_at_some_moments(
    story: Story, small: Path, copied: Copy, told: Callable[[Story], list[State]]
) -> None:
    assert lost(story, small, copied, told(story), most=3, share=0.5)


@pytest.mark.slow
def test_power_lost_at_every_moment(
    story: Story, small: Path, copied: Copy, told: Callable[[Story], list[State]]
) -> None:
    assert lost(story, small, copied, told(story), most=60, share=1) > 3


def _follow(name: str) -> Step:
    def work(tx: Any) -> None:
        tx.insert([message(n, "chat-2", id=f"{n} with {name}") for n in (60, 61)])
        tx.insert([chat(name, "hero-1")])

    return step(work)


FOLLOWING = Story(
    "go on",
    (
        step(lambda tx: tx.insert([message(62, "chat-2")])),
        step(lambda tx: tx.insert([row("Tag", id="tag-8", userId="user-1")])),
        step(lambda tx: revise(tx, "Persona", "persona-1", name="after")),
        _follow("chat-8"),
        step(lambda tx: tx.insert([message(63, "chat-2")])),
        Store.checkpoint,
        step(lambda tx: tx.insert([message(64, "chat-2")])),
    ),
)


def _first(tx: Any) -> None:
    tx.insert([message(30, "chat-2")])
    tx.insert([row("Tag", id="tag-7", userId="user-1", nameLower="first")])
    revise(tx, "Persona", "persona-1", name="first")


FIRST = (
    Story("append", (step(lambda tx: tx.insert([message(30, "chat-2")])),)),
    Story("replace", (step(lambda tx: revise(tx, "Persona", "persona-1", name="first")),)),
    Story("remove", (step(lambda tx: erase(tx, "Character", "hero-3")),)),
    Story("by journal", (step(_first), Store.checkpoint)),
    Story("twice by journal", (_follow("chat-6"), step(_first))),
)

FAULTS = {
    "killed": die,
    "EIO": fail(errno.EIO),
    "ENOSPC": fail_half_way(errno.ENOSPC),
}


@pytest.fixture(scope="session")
def with_bystander(small: Path, quick_folder: Path) -> Path:
    """The small store, and a character that nothing else points at."""
    root = Path(shutil.copytree(small, quick_folder / "with-bystander"))
    with Store.open(root, layout()) as store, store.transaction() as tx:
        tx.insert([row("Character", id="hero-3", userId="user-1")])
    shutil.rmtree(root / "cache")
    (root / "cache").mkdir()
    return root


def lost_after(first: Story, fault: Fault, at: int, base: Path, copied: Copy, most: int, share: float) -> int:
    """Let a call of one process fail, another process follow, and then the power be lost."""
    root = copied(base)
    disk = Disk(root)
    before = perform(first, root, at, fault)
    states = [event[1] for event in before if event[0] == "state"]
    for event in before:
        if event[0] != "state":
            disk.apply(event)
    after = perform(FOLLOWING, root)
    assert sum(event[0] == "state" for event in after) == 1 + len(FOLLOWING.steps), "nothing may fail here"
    seen = next(event[1] for event in after if event[0] == "state")
    known = [*states[-1:], seen] if states else [seen]
    return lose_power(after, known, disk, root.with_name(f"lost-{root.name}"), most, share, [])


def calls_of(story: Story, root: Path) -> int:
    return sum(event[0] != "state" for event in perform(story, root))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("first", FIRST, ids=str)
def test_power_lost_some_time_after_another_fault(
    first: Story, fault: Fault, with_bystander: Path, copied: Copy
) -> None:
    count = calls_of(first, copied(with_bystander))
    at = random.Random(SEED).randint(1, count)
    lost_after(first, fault, at, with_bystander, copied, 2, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("first", FIRST, ids=str)
def test_power_lost_after_another_fault(
    first: Story, fault: Fault, with_bystander: Path, copied: Copy
) -> None:
    for at in range(1, calls_of(first, copied(with_bystander)) + 1):
        lost_after(first, fault, at, with_bystander, copied, 4, 0.4)
