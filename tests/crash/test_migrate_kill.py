"""A migration that is killed, or that the disk fails, at any system call leaves the store before or after.

As in the tests of an export, the calls that change the disk are counted by an undisturbed run, and one run
after the other is struck at one of them: by default at some, with ``-m slow`` at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL

import pytest

from evolve.test_migrate import ADD, PLACES, TASKS, Tasks
from folders import beside, tree
from strike import ONE_THREAD, Moment, Struck, every, some

CHANGING = (
    *("mkdir", "write", "rename", "renameat2", "linkat"),
    *("syncfs", "fsync", "fdatasync", "unlink", "unlinkat", "rmdir"),
)
SCRIPT = f"""{ONE_THREAD}
import sys
from pathlib import Path
from octavo.errors import DiskError, OctavoError
from octavo.evolve.migrate import MigrateOptions, migrate
from octavo.layout.load import parse_layout
from octavo.schema.parser import parse_schema
root, old, new, layout = map(Path, sys.argv[1:])
layout = parse_layout(layout.read_text(), parse_schema(old.read_text()))
try:
    migrate(root, layout, parse_schema(new.read_text()), MigrateOptions(jobs=1))
except OctavoError as error:
    sys.exit(error.exit_code if isinstance(error, DiskError) else 9)
"""

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


class Migrations:
    """Migrates the same store again and again."""

    def __init__(self, root: Path) -> None:
        self.tasks = Tasks(root / "place")
        self.tasks.fill()
        self.target = self.tasks.root
        (self.target / "README.md").write_text("mine")
        (self.target / ".git").mkdir()
        (self.target / ".git" / "HEAD").write_text("ref")
        self._old = shutil.copytree(self.target, root / "kept")
        texts = {"old.prisma": TASKS, "new.prisma": TASKS.replace(*ADD), "layout.toml": PLACES}
        for name, text in texts.items():
            (root / name).write_text(text)
        self.struck = Struck(SCRIPT, self.target, *(root / name for name in texts))
        self.before = records(self.target)
        self.counts = self.struck.count(root / "log", CHANGING)
        self.after = records(self.target)
        assert self.before != self.after

    def reset(self) -> None:
        """Let the store before stand there again, and nothing beside it."""
        shutil.rmtree(self.target.parent)
        shutil.copytree(self._old, self.target)

    def require_before_or_after(self, moment: Moment) -> bool:
        """Whether it is after; what was there is kept then, and the user's files are where they were."""
        found = records(self.target)
        assert found in (self.before, self.after), moment
        assert (self.target / "README.md").read_text() == "mine", moment
        assert (self.target / ".git" / "HEAD").read_text() == "ref", moment
        return found == self.after

    def again(self) -> None:
        """Migrate once more, undisturbed."""
        self.tasks.to((TASKS, TASKS.replace(*ADD)))


def records(root: Path) -> dict[str, bytes | None]:
    """What a store holds, but for the moment of its migration."""
    found = tree(root)
    return {name: data for name, data in found.items() if name != "schema/store.json"}


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    return Migrations(tmp_path)


def killed(migrations: Migrations, moments: Iterable[Moment]) -> None:
    for moment in moments:
        migrations.reset()
        assert migrations.struck.kill(moment) == -SIGKILL, moment
        if not migrations.require_before_or_after(moment):
            migrations.again()
            assert records(migrations.target) == migrations.after, moment
            assert not [name for name in beside(migrations.target) if name.startswith(".")], moment


def test_killed_at_some_calls(migrations: Migrations) -> None:
    calls = {call: migrations.counts[call] for call in ("write", "unlink")}
    killed(migrations, [*some(calls), ("renameat2", 1)])


@pytest.mark.slow
def test_killed_at_every_call(migrations: Migrations) -> None:
    killed(migrations, every(migrations.counts))


@pytest.mark.slow
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_the_disk_fails_at_every_call(migrations: Migrations, error: str) -> None:
    for moment in every(migrations.counts):
        migrations.reset()
        code, printed = migrations.struck.fail(moment, error)
        if not migrations.require_before_or_after(moment):
            assert code == 3, (moment, printed)
            assert os.listdir(migrations.target.parent) == ["data"], moment
