"""An export that is killed, or that the disk fails, at any system call loses nothing and can be run again.

The calls that change the disk are counted by an undisturbed run under strace; then one run after the other is
struck at one of them.  By default some of them are, with ``-m slow`` all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from folders import beside, tree
from foreign import PIPE, found, plant
from octavo.backends import gap
from octavo.fold.export import ExportOptions, export
from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout
from octavo.postgres.embedded import EmbeddedServer
from octavo.url import DatabaseUrl
from strike import ONE_THREAD, Moment, Struck, every, some

CHANGING = (
    *("mkdir", "write", "pwrite64", "rename", "renameat2", "linkat"),
    *("syncfs", "fdatasync", "unlink", "unlinkat", "rmdir"),
)
SCRIPT = f"""{ONE_THREAD}
import sys
from pathlib import Path
from octavo.errors import DiskError, OctavoError
from octavo.backends import gap
from octavo.layout.load import frozen_layout
from octavo.fold.export import ExportOptions, export
from octavo.postgres.embedded import EmbeddedServer
from octavo.url import DatabaseUrl
options = ExportOptions(Path(sys.argv[3]), jobs=1, replace=True)
try:
    export(DatabaseUrl.parse(sys.argv[1]), Path(sys.argv[2]), frozen_layout(), options)
except OctavoError as error:
    sys.exit(error.exit_code if isinstance(error, DiskError) else 9)
"""
ENOSPC = {"mkdir": "ENOSPC", "write": "ENOSPC", "rename": "ENOSPC", "renameat2": "EIO", "linkat": "ENOSPC"}
EIO = {
    "mkdir": "EIO",
    "write": "EIO",
    "rename": "EROFS",
    "syncfs": "EIO",
    "fdatasync": "EIO",
    "linkat": "EIO",
}

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


_counted: dict[object, dict[str, int]] = {}


class Exports:
    """Exports into the place of what stands at ``target``, again and again."""

    def __init__(self, url: str, files_root: Path, folder: Path) -> None:
        self.url, self.files_root, self.log = url, files_root, folder / "log"
        self.target, self._old = folder / "root" / "data", folder / "old"
        self.target.parent.mkdir()
        self.struck = Struck(SCRIPT, url, self.target, files_root)

    def begin_with_a_store(self) -> None:
        """With files in it that are the user's."""
        self.begin_with_what_scaffold_makes()
        (self.target / "auth/sessions.jsonl").write_text("a record")
        (self.target / "cache" / "baseline").write_text("baseline")
        plant(self.target)
        (self.target / PIPE).unlink()

    def begin_with_what_scaffold_makes(self) -> None:
        scaffold(self.target, frozen_layout())

    def begin_with_nothing(self) -> None:
        pass

    def count(self) -> dict[str, int]:
        """How often each call is made by an export into the place of what stands there now."""
        old = tuple(whole(self.target).items())
        if old not in _counted:
            self.keep()
            _counted[old] = self.struck.count(self.log, CHANGING)
            self.reset()
        return _counted[old]

    def keep(self) -> None:
        """Remember what stands there now for :meth:`reset`."""
        if self.target.exists() and not self._old.exists():
            shutil.copytree(self.target, self._old, symlinks=True)

    def reset(self) -> None:
        """Let stand there again what did, and nothing else."""
        shutil.rmtree(self.target.parent)
        self.target.parent.mkdir()
        if self._old.exists():
            shutil.copytree(self._old, self.target, symlinks=True)

    def again(self) -> None:
        """Export once more, undisturbed."""
        options = ExportOptions(self.files_root, replace=True)
        export(DatabaseUrl.parse(self.url), self.target, frozen_layout(), options)

    @property
    def kept(self) -> list[dict[str, bytes | None]]:
        """What lies beside the target."""
        return [whole(self.target.with_name(name)) for name in beside(self.target)]


def whole(folder: Path, *, cache: bool = True) -> dict[str, bytes | None]:
    """Without the user's files, and without the file for what writers change: the next of them removes that,
    or the next export."""
    others = {gap.TOUCHED, *users(folder)}
    return {name: data for name, data in tree(folder, cache=cache).items() if name not in others}


def users(folder: Path) -> dict[str, Any]:
    """The user's files."""
    return found(folder, frozen_layout())


@pytest.fixture
def exports(server: EmbeddedServer, sample: tuple[str, Path], tmp_path: Path) -> Exports:
    return Exports(server.url(sample[0], schema="public"), sample[1], tmp_path)


def killed(exports: Exports, after: dict[str, bytes | None], moments: Iterable[Moment]) -> None:
    """What stood there stands there, or all of the new store; what was a store is kept, and the user's files
    are where they were."""
    target, before, others = exports.target, whole(exports.target), users(exports.target)
    exports.keep()
    is_store = before.get("auth/sessions.jsonl", b"") != b""
    for moment in moments:
        exports.reset()
        assert exports.struck.kill(moment) == -SIGKILL, moment
        done = whole(target, cache=False) == after
        assert users(target) == others, moment
        assert done or whole(target) == before, moment
        assert not (done and is_store) or before in exports.kept, moment
        exports.again()
        assert whole(target, cache=False) == after, moment
        assert users(target) == others, moment
        assert not [name for name in beside(target) if name.startswith(".")], moment
        assert len(exports.kept) == is_store + done, moment
        assert not is_store or before in exports.kept, moment


def failed(exports: Exports, errors: dict[str, str], moments: Iterable[Moment]) -> None:
    target, before, others = exports.target, whole(exports.target), users(exports.target)
    exports.keep()
    for moment in moments:
        exports.reset()
        code, printed = exports.struck.fail(moment, errors[moment[0]])
        assert users(target) == others, moment
        if code == 0:
            # What cannot be tidied up is left; the export itself is there.
            assert whole(target) != before
        elif whole(target) != before:
            assert before in exports.kept, moment
        else:
            assert code == 3, (moment, printed)
            assert os.listdir(target.parent) == [target.name], moment


def chosen(counts: dict[str, int], calls: Iterable[str]) -> dict[str, int]:
    return {call: counts[call] for call in calls}


def test_killed_at_some_calls(exports: Exports, exported: Path) -> None:
    exports.begin_with_a_store()
    moments = chosen(exports.count(), ("write", "rename", "syncfs", "linkat", "unlink", "renameat2"))
    killed(exports, tree(exported), [*some(moments), ("renameat2", 1)])


def test_killed_where_nothing_was(exports: Exports, exported: Path) -> None:
    exports.begin_with_nothing()
    killed(exports, tree(exported), [("renameat2", 1)])


def test_killed_as_what_is_no_store_is_taken_away(exports: Exports, exported: Path) -> None:
    exports.begin_with_what_scaffold_makes()
    killed(exports, tree(exported), [("unlinkat", exports.count()["unlinkat"] // 2)])


def test_a_new_store_is_synced_as_a_whole_and_then_its_name(exports: Exports) -> None:
    exports.begin_with_nothing()
    counts = exports.count()
    assert (counts["syncfs"], counts["renameat2"], counts["fdatasync"]) == (1, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["a_store", "what_scaffold_makes", "nothing"])
def test_killed_at_every_call(exports: Exports, exported: Path, begin: str) -> None:
    getattr(exports, f"begin_with_{begin}")()
    killed(exports, tree(exported), every(exports.count()))


def test_the_disk_fails_at_some_calls(exports: Exports) -> None:
    exports.begin_with_a_store()
    errors = {"mkdir": "EROFS", "write": "ENOSPC", "syncfs": "EIO", "renameat2": "EIO", "linkat": "EIO"}
    failed(exports, errors, some(chosen(exports.count(), errors)))


@pytest.mark.slow
@pytest.mark.parametrize("errors", [ENOSPC, EIO])
def test_the_disk_fails_at_every_call(exports: Exports, errors: dict[str, str]) -> None:
    exports.begin_with_a_store()
    failed(exports, errors, every(chosen(exports.count(), errors)))
