"""A database that files follow, what is done to it, and whether they are equal in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from octavo.errors import OctavoError
from octavo.follow import life
from octavo.follow.life import FollowOptions
from octavo.follow.state import FollowReport, Watcher
from octavo.inspect.progress import Progress
from octavo.layout.layout import Layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.store import position
from octavo.url import DatabaseUrl
from writer import Writer

PATIENCE = 120.0
"""seconds after which something that has to come is given up"""


class Followed:
    """A database and the folder that follows it."""

    def __init__(self, url: str, folder: Path, layout: Layout) -> None:
        self.address, self.layout = url, layout
        self.url = DatabaseUrl.parse(url)
        self.data_dir, self.files_root = folder / "data", folder / "public"

    @property
    def options(self) -> FollowOptions:
        return FollowOptions(self.files_root, jobs=1)

    def sql(self, *statements: str) -> list[Any]:
        """Run statements as one transaction; the rows of the last."""
        with closing(connect(self.url)) as connection, connection.transaction():
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def seed(self, *, replace: bool = False) -> FollowReport:
        """Make the files, and carry over what was committed meanwhile."""
        options = FollowOptions(self.files_root, jobs=1, replace=replace, until_caught_up=True)
        return life.follow(self.url, self.data_dir, self.layout, options)

    def catch_up(self) -> FollowReport:
        return life.catch_up(self.url, self.data_dir, self.layout, self.options)

    def stop(self) -> bool:
        return life.stop(self.url, self.data_dir)

    def differences(self) -> list[Any]:
        """What ``octavo verify`` finds."""
        found = verify(self.url, self.data_dir, self.layout, VerifyOptions(self.files_root, jobs=1))
        return [*msgspec.to_builtins(found.differences), *(v.to_dict() for v in found.violations)]

    @contextmanager
    def running(self) -> Iterator[Running]:
        """``octavo follow`` in a thread, connected already, until the block ends."""
        running = Running(self)
        try:
            running.wait(lambda r: bool(r.report.position))
            yield running
        finally:
            running.end()


class Running(Watcher, Progress):
    """A follower in a thread of its own."""

    def __init__(self, followed: Followed) -> None:
        self._over, self._changed = threading.Event(), threading.Condition()
        self.progress, self.phase = self, ""
        self.said: list[str] = []
        self.report = FollowReport(followed.data_dir)
        self.error: OctavoError | None = None
        self._thread = threading.Thread(target=self._run, args=(followed,))
        self._thread.start()

    def _run(self, followed: Followed) -> None:
        try:
            life.follow(followed.url, followed.data_dir, followed.layout, followed.options, self)
        except OctavoError as error:
            self.error = error
        finally:
            with self._changed:
                self._changed.notify_all()

    def stands(self, report: FollowReport) -> None:
        with self._changed:
            self.report = report
            self._changed.notify_all()

    def says(self, text: str) -> None:
        with self._changed:
            self.said.append(text)
            self._changed.notify_all()

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        with self._changed:
            self.phase = phase
            self._changed.notify_all()

    def is_over(self) -> bool:
        return self._over.is_set()

    def wait(self, until: Callable[[Running], bool]) -> None:
        """Wait until something has come about; raise what has ended it instead."""
        with self._changed:
            came = self._changed.wait_for(lambda: until(self) or not self._thread.is_alive(), PATIENCE)
        if self.error is not None:
            raise self.error
        assert came

    def wait_for_waiting(self) -> None:
        """Wait until it waits for the transactions that are under way."""
        self.wait(lambda r: r.phase.startswith("waiting"))

    def wait_for_words(self, number: int) -> None:
        """Wait until something was said so often."""
        self.wait(lambda r: len(r.said) >= number)

    def wait_for_transactions(self, number: int) -> None:
        """Wait until so many transactions were carried over."""
        self.wait(lambda r: r.report.transactions >= number)

    def end(self) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextmanager
def writing(followed: Followed, seed: int) -> Iterator[Writer]:
    """Somebody writes by plain SQL until the block ends."""
    over = threading.Event()
    with closing(connect(followed.url)) as connection:
        writer = Writer(connection, followed.layout.datamodel, seed)

        def write() -> None:
            while not over.is_set():
                writer.transaction()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield writer
        finally:
            over.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def wait_for_progress(followed: Followed, process: subprocess.Popen[Any]) -> None:
    """Wait until a follower has carried something over."""
    before, end = position.read(followed.data_dir), time.monotonic() + PATIENCE
    while position.read(followed.data_dir) == before:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.005)


def command(followed: Followed) -> list[str]:
    """``octavo follow`` as a process of its own."""
    where = ["--database-url", followed.address, "--data-dir", str(followed.data_dir)]
    return [
        *(sys.executable, "-m", "octavo", "follow"),
        *where,
        *("--files-root", str(followed.files_root)),
    ]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
