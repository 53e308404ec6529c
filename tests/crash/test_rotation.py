"""A rotation that is killed at any moment leaves all values under the old pepper, or all under the new."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from backends import dual_backend
from crash.test_dual import die_at_commit
from faults import Fault, Faulty, child, die, die_half_way, received
from interrupts import Interrupter
from octavo.backend import DataBackend, Settings
from octavo.backends.json import JsonBackend
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.query.protocols import Backend
from octavo.secrets.rotate import NewPepper, Peppers, State, carry_out, look, rotate
from octavo.store.store import Store
from octavo.store.system import SYSTEM, FileSystem
from octavo.url import DatabaseUrl
from vaults import NEW, OLD, VOCABULARY, Told, Vault

KINDS = [DataBackend.JSON, DataBackend.DUAL]
NewVault = Callable[[DataBackend], Vault]


@pytest.fixture
def new(
    request: pytest.FixtureRequest, copied: Callable[[Path], Path], exported: Path, sample: tuple[str, Path]
) -> NewVault:
    """A function that makes a copy of the sample on a backend."""

    def make(kind: DataBackend) -> Vault:
        url, data = "", Path("nowhere")
        if kind is not DataBackend.JSON:
            url = request.getfixturevalue("new_database")(sample[0])
        if kind is not DataBackend.PRISMA:
            data = copied(exported)
        return Vault(kind, Settings(database_url=url, data_dir=data, layout=None))

    return make


@contextmanager
def on(vault: Vault, system: FileSystem) -> Iterator[Backend]:
    """The backend, on a disk of ours."""
    folder = vault.settings.folder
    if vault.kind is DataBackend.JSON:
        with Store.open(folder, frozen_layout(), system=system) as store:
            yield JsonBackend(VOCABULARY, store)
    else:
        with dual_backend(
            VOCABULARY, vault.settings.database_url, folder, sample=0, system=system
        ) as backend:
            yield backend


def rotating(
    vault: Vault, system: Faulty, prepare: Callable[[], None] = lambda: None
) -> Callable[[Connection], None]:
    """A process that rotates, and says so when it is done."""

    def run(connection: Connection) -> None:
        with on(vault, system) as backend:
            prepare()
            carry_out(backend, VOCABULARY, Peppers(OLD, NEW))
            connection.send("done")
        connection.send(list(system.calls))

    return run


def one_or_the_other(vault: Vault, plain: Told, *, acknowledged: bool = False) -> bool:
    """Everything opens with exactly one of the peppers; whether that is the new one.  Run again, a rotation
    is done."""
    old, new = vault.told(OLD), vault.told(NEW)
    opens = {None} == set(old.values())
    assert (new if opens else old) == plain
    assert {None} == set((old if opens else new).values())
    assert opens or not acknowledged
    done = rotate(vault.kind, VOCABULARY, vault.settings, OLD, NewPepper(NEW))
    assert done.before.state is (State.NEW if opens else State.OLD)
    assert vault.told(NEW) == plain
    if vault.kind is DataBackend.DUAL:
        options = VerifyOptions(vault.settings.folder / "none", NEW, jobs=1)
        url = DatabaseUrl.parse(vault.settings.database_url)
        assert verify(url, vault.settings.folder, frozen_layout(), options).equal
    return opens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (die, 3),
        pytest.param(die, 1, marks=pytest.mark.slow),
        pytest.param(die_half_way, 1, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_call(new: NewVault, kind: DataBackend, fault: Fault, step: int) -> None:
    vault = new(kind)
    plain = vault.told(OLD)
    with child(rotating(vault, Faulty())) as connection:
        *_, calls = received(connection)
    assert vault.told(NEW) == plain
    outcomes = set()
    for at in range(len(calls), 0, -step):
        vault = new(kind)
        with child(rotating(vault, Faulty(at, fault))) as connection:
            acknowledged = "done" in list(received(connection))
        outcomes.add(one_or_the_other(vault, plain, acknowledged=acknowledged))
    assert outcomes == {False, True}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tries", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_interrupted_at_any_place(new: NewVault, kind: DataBackend, tries: int) -> None:
    """An exception out of any line: the process itself, and the next one, see one pepper, the same."""
    vault = new(kind)
    plain = vault.told(OLD)
    counting = Interrupter()
    with on(vault, SYSTEM) as backend:
        counting.run(lambda: carry_out(backend, VOCABULARY, Peppers(OLD, NEW)))
    places = counting.distinct()
    for at in places[:: max(len(places) // tries, 1)]:
        vault = new(kind)
        with on(vault, SYSTEM) as backend:
            interrupter = Interrupter(at)
            interrupter.run(partial(carry_out, backend, VOCABULARY, Peppers(OLD, NEW)))
            here = look(backend, VOCABULARY, Peppers(OLD, NEW)).state
        opens = one_or_the_other(vault, plain)
        assert here is (State.NEW if opens else State.OLD), interrupter.where


@pytest.mark.parametrize("tries", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_an_interrupted_rotation_tells_what_it_left(new: NewVault, tries: int) -> None:
    vault = new(DataBackend.JSON)
    plain = vault.told(OLD)
    counting = Interrupter()
    counting.run(lambda: rotate(vault.kind, VOCABULARY, vault.settings, OLD, NewPepper(NEW)))
    places, told = counting.distinct(), set()
    # Most of them in the commit, which is near the end.
    for at in places[len(places) // 2 :: max(len(places) // 2 // tries, 1)]:
        vault = new(DataBackend.JSON)
        interrupter = Interrupter(at)
        interrupter.run(partial(rotate, vault.kind, VOCABULARY, vault.settings, OLD, NewPepper(NEW)))
        opens = one_or_the_other(vault, plain)
        for note in interrupter.notes:
            assert ("it was rotated" in note) == opens, interrupter.where
            assert ("nothing was rotated" in note) != opens, interrupter.where
            assert NEW not in note
            assert OLD not in note
            told.add(note)
    assert told


@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_killed_around_the_commit_of_postgresql(new: NewVault, done: bool) -> None:
    vault = new(DataBackend.DUAL)
    plain = vault.told(OLD)
    with child(rotating(vault, Faulty(), die_at_commit(done=done))) as connection:
        assert list(received(connection)) == []
    assert one_or_the_other(vault, plain) == done


@pytest.mark.parametrize("kind", DataBackend)
@pytest.mark.parametrize("runs", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_the_command_killed_at_random_moments(new: NewVault, kind: DataBackend, runs: int) -> None:
    plain = new(kind).told(OLD)
    seed = random.randrange(1 << 32)
    chosen, seconds = random.Random(seed), 0.0
    for run in range(runs):
        vault = new(kind)
        command = [sys.executable, "-m", "octavo", "secrets", "rotate", "--json"]
        peppers = {"ENCRYPTION_MASTER_PEPPER": OLD, "ENCRYPTION_NEW_PEPPER": NEW}
        started = time.monotonic()
        process = subprocess.Popen(
            command, env={**os.environ, **vault.variables, **peppers}, stdout=subprocess.PIPE
        )
        if run:
            # The first one tells how long it takes.
            time.sleep(chosen.uniform(0.2, 1.0) * seconds)
            process.kill()
        process.communicate()
        seconds = seconds or time.monotonic() - started
        assert process.returncode in (0, -9), seed
        assert one_or_the_other(vault, plain, acknowledged=process.returncode == 0) or run, seed
