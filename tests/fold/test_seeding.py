"""Seeding under load: a store is exported anew while applications write to it and to PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from crash.both_sides import Sides, say
from crash.test_dual import die_at_commit, killed
from faults import Faulty
from folders import beside
from octavo.backends.gap import TOUCHED
from octavo.errors import BusyError, ConflictError
from octavo.fold.export import ExportOptions, ExportReport, export
from octavo.inspect.progress import Progress
from octavo.layout.load import frozen_layout
from octavo.postgres.connection import connect
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
APPLICATION = """
import sys, threading, itertools, time
import octavo
url, data, name = sys.argv[1:]
stop = threading.Event()
steps = {f"{name}{part}": 0 for part in "xy"}
errors = []

def step(db, me, n):
    tag = {"userId": "u", "name": f"{me}{n}", "nameLower": f"{me}{n}"}
    with db.tx(max_wait=120, timeout=120) as tx:
        tx.chat.create(data={"id": f"{me}{n}", "title": me, "userId": "u", "characterId": "c",
            "connectionProfileId": "p", "tags": {"create": {"tag": {"create": {"id": f"{me}{n}", **tag}}}}})
        tx.message.create_many(data=[
            {"id": f"{me}{n}-{m}", "chatId": f"{me}{n}", "role": "USER", "content": "x"} for m in range(3)])
    db.verification_token.create(data={"identifier": me, "token": f"secret-{me}{n}", "expires": "2030-01-01"})
    # Names go round, so that no order of single changes would do.
    with db.tx(max_wait=120, timeout=120) as tx:
        own = [t.id for t in tx.tag.find_many(where={"id": {"in": [f"{me}{k}" for k in range(3)]}})]
        for way in ("old", "new"):
            for at, one in enumerate(own):
                tx.tag.update(where={"id": one}, data={"nameLower": f"{me}{way}{(at + n) % len(own)}"})
    db.user.update(where={"id": "u"}, data={"name": f"{me}{n}"})
    db.chat.find_many(where={"id": {"starts_with": me}}, include={"messages": True, "tags": True}, take=3)
    if n % 2:
        db.chat.delete(where={"id": f"{me}{n - 1}"})
        db.verification_token.delete_many(where={"token": f"secret-{me}{n - 1}"})

def work(db, me):
    try:
        for n in itertools.count():
            if stop.is_set():
                return
            step(db, me, n)
            steps[me] += 1
    except BaseException as error:
        errors.append(repr(error))

with octavo.connect("dual", database_url=url, data_dir=data) as db:
    threads = [threading.Thread(target=work, args=(db, me)) for me in steps]
    for thread in threads:
        thread.start()
    for asked in sys.stdin:
        # Two more of each: one of them has begun since.
        before = dict(steps)
        while not errors and any(steps[me] < before[me] + 2 for me in steps):
            time.sleep(0.01)
        print(errors or "goes on", flush=True)
    stop.set()
    for thread in threads:
        thread.join()
print(errors or "ended", flush=True)
"""


class Application:
    """A process of two threads that write in ``dual`` until they are told to stop."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def goes_on(self) -> None:
        """Wait until each thread has done some more."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "goes on\n"

    def stop(self) -> None:
        """Let it end by itself; it has met no error."""
        assert self.process.communicate()[0] == "ended\n"


def all_go_on(running: list[Application]) -> None:
    for application in running:
        application.goes_on()


@contextmanager
def applications(sides: Sides, number: int) -> Iterator[list[Application]]:
    """Some of them, each of which has written by now."""
    with ExitStack() as stack:
        found = []
        for n in range(number):
            command = [sys.executable, "-c", APPLICATION, sides.url, str(sides.folder), f"app{n}"]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = stack.enter_context(
                subprocess.Popen(command, text=True, env={**os.environ, "DUAL_SAMPLE": "0.5"}, **pipes)
            )
            stack.callback(process.kill)
            found.append(Application(process))
        for application in found:
            application.goes_on()
        yield found


class At(Progress):
    """Does something when the snapshot has been copied, and the new store is about to be put in place."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if phase == "sync":
            self._work()


def seeded(
    sides: Sides, meanwhile: Callable[[], object] = lambda: None, *, patience: float = 120
) -> ExportReport:
    """Export anew in the place of the files."""
    options = ExportOptions(sides.folder / "none", replace=True, lock_timeout=patience)
    return export(DatabaseUrl.parse(sides.url), sides.folder, LAYOUT, options, At(meanwhile))


def counters(sides: Sides) -> dict[str, int]:
    with sides.open() as (_, backend):
        return backend.divergences.counters()


@pytest.mark.parametrize("_again", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_writers_never_notice(sides: Sides, _again: int) -> None:
    with applications(sides, 2) as running:
        for _ in range(2):
            report = seeded(sides, lambda: all_go_on(running))
            assert report.caught_up > 0
            all_go_on(running)
        for application in running:
            application.stop()
    assert sides.differences() == []
    # Reads were compared throughout.
    assert counters(sides).keys() == {"compared"}
    assert not (sides.folder / TOUCHED).exists()
    assert len(list(beside(sides.folder))) == 2
    # What was caught up is nothing that speaks of another folder.
    with sides.open(sample=1.0) as (db, _):
        say(db, "m1")
        assert db.chat.count() > 2


def test_a_writer_is_killed_meanwhile(sides: Sides) -> None:
    with applications(sides, 2) as (killed, other):

        def kill() -> None:
            killed.goes_on()
            killed.process.kill()
            killed.process.wait()
            other.goes_on()

        seeded(sides, kill)
        other.goes_on()
        other.stop()
    assert sides.differences() == []


@pytest.mark.parametrize("done", [False, True], ids=["before", "behind"])
def test_one_that_died_at_the_commit_leaves_nothing_in_doubt(sides: Sides, done: bool) -> None:
    """Nobody else is there who would ask PostgreSQL."""
    seeded(sides, lambda: killed(sides, "several", Faulty(), die_at_commit(done=done)))
    assert sides.differences() == []
    killed(sides, "cascade", Faulty(), die_at_commit(done=done))
    seeded(sides)
    assert sides.differences() == []


def killed_export(sides: Sides) -> None:
    """An export that is killed when it has copied the snapshot."""
    text = (
        "import os, sys, signal; from test_seeding import *\n"
        "sides = Sides(sys.argv[1], Path(sys.argv[2]))\n"
        "seeded(sides, lambda: os.kill(os.getpid(), signal.SIGKILL))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-c", text, sides.url, str(sides.folder)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -signal.SIGKILL


def test_an_export_that_was_killed_hinders_nobody(sides: Sides) -> None:
    with applications(sides, 1) as [application]:
        killed_export(sides)
        application.goes_on()
        application.stop()
    assert not (sides.folder / TOUCHED).exists()
    assert sides.differences() == []
    killed_export(sides)
    assert (sides.folder / TOUCHED).exists()
    # The next one begins with nothing noted.
    assert seeded(sides).caught_up == 0
    assert not (sides.folder / TOUCHED).exists()
    assert sides.differences() == []


def test_a_key_that_is_a_secret_is_not_noted(sides: Sides) -> None:
    noted: list[str] = []

    def write() -> None:
        with sides.open() as (db, _):
            token = {"identifier": "a", "token": "hush", "expires": "2030-01-01"}
            db.verification_token.create(data=token)
            say(db, "m1")
        noted.append((sides.folder / TOUCHED).read_text())
        assert (sides.folder / TOUCHED).stat().st_mode & 0o777 == 0o600

    seeded(sides, write)
    assert noted == ['{"model":"VerificationToken"}\n{"model":"Message","key":{"id":"m1"}}\n']
    assert sides.differences() == []


def test_what_the_files_lacked_is_noted_too(sides: Sides) -> None:
    """Another program has written it; nobody knows of it but who deletes it."""
    with connect(sides.url) as connection:
        connection.execute(
            b"""INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")
            VALUES ('t9', 'u', 'nine', 'nine', now())"""
        )

    def write() -> None:
        with sides.open(apart=True) as (db, _):
            db.tag.delete(where={"id": "t9"})

    seeded(sides, write)
    assert sides.differences() == []


def test_only_one_export_at_a_time_replaces_a_store(sides: Sides) -> None:
    def again() -> None:
        with pytest.raises(BusyError, match="octavo export"):
            seeded(sides, patience=0.1)

    seeded(sides, again)
    assert len(list(beside(sides.folder))) == 1


def test_notes_that_were_taken_away_fail_the_export(sides: Sides) -> None:
    with pytest.raises(ConflictError, match="run it again"):
        seeded(sides, lambda: shutil.rmtree(sides.folder / "cache"))
    assert list(beside(sides.folder)) == []
    assert sides.differences() == []
