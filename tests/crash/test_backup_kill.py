"""A backup that is killed, or that the disk fails, at any system call leaves no archive that looks whole.

By default some of the calls that change the disk are struck, with ``-m slow`` all.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL

import pytest

from folders import beside, tree
from octavo.care.backup import back_up, check, schema_of
from octavo.layout.load import frozen_layout
from strike import ONE_THREAD, Moment, Struck, every, some

CHANGING = ("mkdir", "write", "pwrite64", "ftruncate", "renameat2", "fdatasync", "unlink", "rmdir")
SCRIPT = f"""{ONE_THREAD}
import sys
from pathlib import Path
from octavo.care.backup import back_up, schema_of
from octavo.errors import DiskError
from octavo.layout.load import frozen_layout
try:
    back_up(Path(sys.argv[1]), frozen_layout(), Path(sys.argv[2]), schema_of(None))
except DiskError as error:
    sys.exit(error.exit_code)
"""

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


class Backups:
    """Backs a store up, again and again."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.before = data, tree(data, cache=False)
        self.archive = data.parent / "there.tar.gz"
        self.struck = Struck(SCRIPT, data, self.archive)
        self.calls = self.struck.count(folder / "log", CHANGING)
        self.archive.unlink()

    def judge(self) -> None:
        """There is no archive, or a whole one; the next backup leaves nothing else."""
        assert tree(self.data, cache=False) == self.before
        if self.archive.exists():
            assert check(self.archive).damaged == []
            self.archive.unlink()
        back_up(self.data, frozen_layout(), self.archive, schema_of(None))
        assert list(beside(self.data)) == [self.archive.name]
        self.archive.unlink()


@pytest.fixture
def backups(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Backups:
    return Backups(data, tmp_path_factory.mktemp("backups"))


def killed(backups: Backups, moments: Iterable[Moment]) -> None:
    for moment in moments:
        # A first run makes some calls that the next one need not.
        assert backups.struck.kill(moment) in (-SIGKILL, 0), moment
        backups.judge()


def failed(backups: Backups, moments: Iterable[Moment], error: str) -> None:
    for moment in moments:
        code, said = backups.struck.fail(moment, error)
        assert code in (0, 3), (moment, said)
        assert code == 3 or backups.archive.exists(), moment
        backups.judge()


def test_struck_it_leaves_no_archive_or_a_whole_one(backups: Backups) -> None:
    calls = {name: backups.calls[name] for name in ("write", "renameat2", "unlink")}
    killed(backups, some(calls))
    failed(backups, some({"write": calls["write"]}), "ENOSPC")
    failed(backups, some({"fdatasync": 1}), "EIO")


@pytest.mark.slow
def test_killed_at_any_call(backups: Backups) -> None:
    killed(backups, every(backups.calls))


@pytest.mark.slow
def test_failed_at_any_call(backups: Backups) -> None:
    failed(backups, every({"write": backups.calls["write"]}), "ENOSPC")
    failed(backups, every({"fdatasync": backups.calls["fdatasync"]}), "EIO")
