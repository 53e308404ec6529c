"""A verification that is made before the freeze, so that under it only what has changed since is left.

It is made of one moment: the write lock of the store is held while a snapshot of PostgreSQL is opened and the
files are listed.  Then the application goes on, and all of it is verified.  What was written meanwhile is
verified next, and so on until little is left; the freeze has to wait for the last of it alone.

Files that were replaced before they could be read are doubted until the next look.  Whatever a look cannot
tell is told by a verification of everything, as without one ahead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from octavo.fold.source import allowed_drift, open_source
from octavo.inspect.findings import DifferenceKind
from octavo.inspect.progress import Progress
from octavo.layout.layout import Layout
from octavo.move.listing import Listing, listed
from octavo.move.news import Unsure
from octavo.move.since import Side, Since, side_of
from octavo.move.verify import VerifyOptions, VerifyReport, compare
from octavo.postgres.connection import LOCK_WAIT, Snapshot, join_snapshot
from octavo.postgres.failures import database_errors
from octavo.store.offline import Resting
from octavo.store.shared import commits_in
from octavo.text import some
from octavo.url import DatabaseUrl

_LOOKS = 3
_FEW = 500
"""records that are left for the freeze"""


@dataclass
class Ahead:
    """What is known of both sides before the freeze.  To be closed: it holds a snapshot open."""

    url: DatabaseUrl
    root: Path
    layout: Layout
    options: VerifyOptions
    resting: Resting
    progress: Progress
    following: bool = False
    """the files follow PostgreSQL, and are behind it until the freeze"""
    carry: Callable[[Listing], object] | None = None
    """brings PostgreSQL to what was listed, where the files are of record; it may raise Unsure"""
    report: VerifyReport | None = None
    """the verification of everything"""
    unsure: str = "there was none ahead"
    """why a verification of everything is needed under the freeze; empty: what has changed since is enough"""
    _side: Side | None = None
    _commits: int | None = None
    _doubted: set[str] = field(default_factory=set)
    _open: ExitStack = field(default_factory=ExitStack)

    def verify(self) -> bool:
        """Verify everything while the application goes on; whether what was found is more than writes under
        way.  Raises as :func:`octavo.move.verify.verify`."""
        with ExitStack() as opened:
            side, self.unsure = self._take(opened, frozen=False)
            if side is None:
                return True
            before = self._commits
            options = replace(self.options, sign=side.listing.sign)
            found = compare(side.source, self.root, self.layout, side.listing.there, options, self.progress)
            self.report = found
            if not (found.equal or self.following) and commits_in(os.fspath(self.root)) == before:
                # What is carried back may have been changed since by others than the application.
                self.unsure = f"verify found {some(found.total, 'difference')}"
                return self.carry is not None
            self.unsure = self._doubt(found)
            if not self.unsure:
                self._go_on_from(side)
        return True

    def _doubt(self, found: VerifyReport) -> str:
        """Doubt the files in which something differs; why that is not enough, if so."""
        if found.total > len(found.differences):
            return f"{found.total:,} differences, with writes under way"
        for one in found.differences:
            if not one.file or (one.kind is DifferenceKind.DAMAGED and "have this key" in one.reason):
                return f"a difference of {one.model}, with writes under way"
        self._doubted = {one.file for one in found.differences}
        return ""

    def look_again(self) -> int:
        """Verify what was written meanwhile, until that is little.  Gives how many records."""
        looked = 0
        for _ in range(_LOOKS):
            if self.unsure:
                break
            with ExitStack() as opened:
                side, why = self._take(opened, frozen=False)
                try:
                    since = self._since(side, why)
                except Unsure:
                    # A write under way may be the reason: the next look begins where this one did.
                    continue
                looked += since.records
                self._doubted = since.doubted
                self._go_on_from(since.now)
                if since.records <= _FEW and not since.doubted:
                    break
        return looked

    def end(self) -> int | None:
        """Verify what was written since, while nothing can be written: how many records that were; None if a
        verification of everything is needed, and :attr:`unsure` says why."""
        if self.unsure:
            return None
        with ExitStack() as opened:
            try:
                since = self._since(*self._take(opened, frozen=True))
            except Unsure as error:
                self.unsure = str(error)
                return None
            if since.doubted:
                self.unsure = f"{min(since.doubted)} is not what was expected"
                return None
            self._update(since.now)
            return since.records

    def close(self) -> None:
        self._open.close()

    def _since(self, side: Side | None, why: str) -> Since:
        if side is None or self._side is None:
            raise Unsure(why)
        options = self.options
        return Since(
            self.layout,
            self.root,
            (self._side, side),
            self._doubted,
            options.files_root,
            options.pepper,
        )

    def _take(self, opened: ExitStack, *, frozen: bool) -> tuple[Side | None, str]:
        """A snapshot and a listing of one moment; None with the reason, if nothing can be told from them."""
        listings: list[Listing] = []

        @contextmanager
        def cut() -> Iterator[None]:
            with nullcontext() if frozen else self.resting.hold():
                listings.append(listed(self.layout, self.root))
                if self.carry is not None:
                    self.carry(listings[0])
                yield
                self._commits = commits_in(os.fspath(self.root))

        allowed = allowed_drift(self.root)
        try:
            source = opened.enter_context(open_source(self.url, self.layout, cut(), allow=allowed))
            source.drift.raise_if_any()
            return side_of(source, listings[0], self.layout, self.options.files_root), ""
        except Unsure as error:
            return None, str(error)

    def _go_on_from(self, side: Side) -> None:
        """Hold the snapshot of a side, and no lock: a program that waits for a table that is only held open
        here would keep the next snapshot, and the freeze, waiting for itself."""
        snapshot = side.source.snapshot
        self.close()
        self._side = None
        if snapshot.id is None:
            self.unsure = "this server cannot share a snapshot between connections"
            return
        joined = join_snapshot(self.url, snapshot.id)
        self._open.callback(joined.close)
        with database_errors(self.url):
            joined.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'".encode())
        held = Snapshot(self.url, joined, snapshot.id)
        self._side = side._replace(source=replace(side.source, snapshot=held))

    def _update(self, side: Side) -> None:
        """Let the report say what is so now."""
        found = self.report
        if found is None:
            raise AssertionError
        if found.total and found.report is not None:
            # It names writes that were under way.
            found.report.unlink(missing_ok=True)
            found.report = None
        found.counts = {name: {"database": n, "files": n} for name, n in side.counts.items()}
        found.differences, found.violations = [], []
        found.total, found.by_model, found.first = 0, {}, side.window.first
