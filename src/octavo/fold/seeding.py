"""Seeding under load: an export in the place of a store that applications write to, in ``dual``, meanwhile.

Two moments are held under that store's write lock.  At the first, the snapshot is opened; from then on
writers note what they change (:mod:`octavo.backends.gap`).  At the last, what they have noted is copied
once more, and the folders are exchanged.  So nothing that was committed is missing from the new store, or is
in it twice, whatever the snapshot had of it.  Between the two, what has been noted so far is copied without
the lock, so that there is little left to do at the last.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from octavo.backends.copying import Copy
from octavo.backends.gap import Touched
from octavo.backends.outcome import Outcomes
from octavo.backends.prisma import PrismaBackend
from octavo.errors import OctavoError
from octavo.layout.layout import Layout
from octavo.query.protocols import Reader
from octavo.query.vocabulary import Vocabulary
from octavo.store.changeset import changed_rows
from octavo.store.intake import FilesRoot, Intake, PayloadProblem
from octavo.store.offline import OWN, at_rest
from octavo.store.rules import Rules
from octavo.store.store import Store
from octavo.url import DatabaseUrl

_FEW = 100
"""records that may be left to be copied while writers wait"""
_ROUNDS = 10
"""how often what has been noted is copied before that; writers may be quicker than this"""


class Seeding:
    """An export that is to replace the store at ``target``.  A context manager."""

    def __init__(
        self, url: DatabaseUrl, target: Path, layout: Layout, files_root: Path, lock_timeout: float | None
    ) -> None:
        self.target, self._layout, self._lock_timeout = target, layout, lock_timeout
        self._files = FilesRoot(files_root, layout)
        self._vocabulary = Vocabulary(layout.datamodel)
        self._primary = PrismaBackend(self._vocabulary, url)
        self.resolve = Outcomes(self._primary.schema, url).committed
        self._touched: Touched | None = None
        self._store: Store | None = None
        """the new one, if it had to be opened"""
        self._stack = ExitStack()
        self.copied = 0
        """records that were brought up to date after the snapshot"""
        self.more: Counter[str] = Counter()
        """by model, how many records there are more than the snapshot had"""
        self.problems: list[PayloadProblem] = []
        """payloads of these that are not simply there"""

    def __enter__(self) -> Seeding:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OctavoError):
            self._close()
        self._stack.close()
        self._primary.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep writers waiting inside the block; nothing of theirs is in doubt there.  Raises as
        :func:`octavo.store.offline.at_rest`."""
        with at_rest(self.target, timeout=self._lock_timeout, resolve=self.resolve):
            yield

    @contextmanager
    def cut(self) -> Iterator[None]:
        """The moment of the snapshot, which is opened inside the block; from then on writers note what they
        change.  Raises BusyError, too, if there is another export in the place of this store."""
        with self.held():
            yield
            self._touched = self._stack.enter_context(Touched.of(os.fspath(self.target), Rules(self._layout)))

    def catch_up(self, built: Path) -> None:
        """Copy what has been noted so far, as long as that is much."""
        # Opened now, it need not be while writers wait.
        self._opened(built)
        for _ in range(_ROUNDS):
            with self.held():
                end = self._touched.size if self._touched else 0
            if self._copy(built, end) <= _FEW:
                return

    def finish(self, built: Path) -> None:
        """Copy what is left.  Writers wait, and will find the new store when it is in place."""
        if self._touched is not None:
            self._copy(built, self._touched.size)
            self._touched.end()
        self._close()

    def _copy(self, built: Path, end: int) -> int:
        """Make what has been noted until there what it is in PostgreSQL; how much that was."""
        names = self._touched.until(end) if self._touched else []
        if names:
            store = self._opened(built)

            def copy(database: Reader) -> None:
                with store.transaction() as view:
                    copying = Copy(self._vocabulary, view, database)
                    for model, key in names:
                        if key is None:
                            copying.model(model)
                    copying.records((model, key) for model, key in names if key is not None)
                    Intake(store, self._files, self.problems.append).take(view)
                    self.copied += len(copying.done)
                    for (model, _), change in changed_rows(view).items():
                        self.more[model] += (change.before is None) - (change.after is None)

            self._primary.read(copy)
        return len(names)

    def _opened(self, built: Path) -> Store:
        if self._store is None:
            self._built, self._store = built, Store.open(built, self._layout)
        return self._store

    def _close(self) -> None:
        """Close the new store, and remove what tells that it was open."""
        if self._store is None:
            return
        store, self._store = self._store, None
        store.close()
        for name in OWN:
            path = self._built / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
