"""Mends what can be mended without losing anything, by a plan that can be looked at first.

What is taken out of the store is kept, byte for byte, in a folder beside it, with a list of what it is.  That
includes whole records and lines that cannot be read, if the caller asks for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from octavo.errors import DamagedError, DiskError, LayoutError, disk_errors
from octavo.inspect.doctor import Diagnosis
from octavo.inspect.findings import Finding, Kind
from octavo.layout.codec import Codecs
from octavo.layout.found import Entry, Many
from octavo.layout.layout import Kind as Way
from octavo.layout.layout import Layout
from octavo.layout.scan import Scanner, torn_at
from octavo.store import disk
from octavo.store.changes import write_beside
from octavo.store.identity import LAYOUT
from octavo.store.journal import FOLDER as JOURNAL_FOLDER
from octavo.store.lock import TIMEOUT
from octavo.store.offline import at_rest, needs_recovery, page
from octavo.store.system import (
    FILE_MODE,
    FOLDER_MODE,
    SYSTEM,
    Signature,
    open_to_write,
    read_whole,
    signature,
    sync,
    sync_folder,
)
from octavo.values.tokens import Members, elements


class Action(StrEnum):
    """What a step does, in the order in which steps are done."""

    MAKE = "make the folder"
    CLOSE = "close to others"
    RECOVER = "finish what a crash has interrupted"
    REMOVE = "remove"
    CUT = "cut the torn end, and keep it aside"
    SET_ASIDE = "set aside what cannot be read"
    MOVE = "set aside"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, to one file or folder relative to the data folder."""

    action: Action
    file: str
    state: Signature | None = None
    """the state of the file that the step was planned for"""

    def __str__(self) -> str:
        return f"{self.file}: {self.action.value}"

    def to_dict(self) -> dict[str, Any]:
        return {"action": self.action.name.lower().replace("_", " "), "file": self.file}


@dataclass
class Repair:
    """What was done."""

    done: list[Step] = field(default_factory=list)
    skipped: list[tuple[Step, str]] = field(default_factory=list)
    """what was not done, and why"""
    aside: Path | None = None
    """the folder in which what was taken out is kept"""


def plan(diagnosis: Diagnosis, layout: Layout, *, set_aside: bool = False) -> list[Step]:
    """What can be done about what was found.  ``set_aside``: also move out what cannot be read.

    Raises LayoutError if that is only because the layout does not describe the files.
    """
    kept, steps = diagnosis.findings.kept, []
    # What these folders held is named by records, or was at rest: a new one hides nothing.
    harmless = {JOURNAL_FOLDER, layout.payload_folder} - {f.folder for f in layout.families}
    for finding in kept[Kind.MISSING_FOLDER]:
        if finding.file in harmless:
            steps.append(Step(Action.MAKE, finding.file))
    steps += [Step(Action.CLOSE, f.file) for f in kept[Kind.OPEN_TO_OTHERS]]
    if not kept[Kind.JOURNAL] and not kept[Kind.IN_DOUBT]:
        steps += [Step(Action.RECOVER, f.file) for f in kept[Kind.UNFINISHED]]
    steps += [Step(Action.REMOVE, f.file) for f in (*kept[Kind.LEFT_OVER], *kept[Kind.STALE])]
    states = diagnosis.signatures
    steps += [Step(Action.CUT, f.file, states[f.file]) for f in kept[Kind.TORN]]
    if set_aside:
        _require_described(diagnosis, layout)
        broken = dict.fromkeys(f.file for f in kept[Kind.UNREADABLE] if _is_piece(f, layout))
        steps += [Step(Action.SET_ASIDE, file, states[file]) for file in broken]
        steps += [Step(Action.MOVE, f.file, states[f.file]) for f in kept[Kind.UNOWNED_LOG]]
    return sorted(steps, key=lambda step: list(Action).index(step.action))


def _require_described(diagnosis: Diagnosis, layout: Layout) -> None:
    """Raise LayoutError if a file holds records of a model that the layout has elsewhere, where none is.

    The layout was edited then, or is that of another store: the records are sound.
    """
    codecs = Codecs.of(layout)
    absent = [f for f in layout.families if not any(diagnosis.counts[p.model.name] for p in f.places)]
    for path in dict.fromkeys(finding.file for finding in diagnosis.findings.kept[Kind.UNREADABLE]):
        family = layout.family(path)
        if family not in absent or family.kind is Way.DOCUMENT:
            continue
        try:
            data, _ = read_whole(str(diagnosis.data_dir / path))
        except OSError:
            # That is the reason why it is damage.
            continue
        for other in absent:
            if other is not family and other.kind.is_log == family.kind.is_log:
                own = f"{other.folder}/{os.path.basename(path)}" if other.varies else other.path
                scanned = Scanner(other, codecs).scan(own, BytesIO(data))
                found = next((item for item in scanned if isinstance(item, Entry | Many)), None)
                if found is not None:
                    model = found.codec.name
                    raise LayoutError(
                        f"the layout does not describe these files: {path} has a record of {model}, which"
                        f" belongs in {other.path}; put back the layout that the store was written with",
                        file=LAYOUT,
                    )


def _is_piece(finding: Finding, layout: Layout) -> bool:
    """Whether it is a record or a line that can be taken out, not a whole document."""
    family = layout.family(finding.file)
    if family is None:
        return False
    return family.kind is not Way.DOCUMENT or (finding.line > 0 and bool(finding.model))


def carry_out(
    steps: list[Step], data_dir: Path, layout: Layout, *, lock_timeout: float | None = TIMEOUT
) -> Repair:
    """Do what was planned, under the write lock.

    A step whose file has changed since is left out.  Raises BusyError, DamagedError, DiskError; what was done
    until then is done.
    """
    repair = Repair()
    if not steps:
        return repair
    with disk_errors("repairing the store"):
        for step in [s for s in steps if s.action is Action.MAKE]:
            disk.make_folder(data_dir / step.file)
            sync_folder(SYSTEM, data_dir)
            repair.done.append(step)
        rest = [s for s in steps if s.action is not Action.MAKE]
        with _alone(data_dir, lock_timeout):
            _Repairer(data_dir, layout, repair).run(rest)
    return repair


@contextmanager
def _alone(root: Path, timeout: float | None) -> Iterator[None]:
    """Keep writers out of the store, its journal replayed and empty; others read what changes again."""
    with at_rest(root, timeout=timeout), page(root) as state:
        if state is None or needs_recovery(state):
            # No process reads anything before the rest is recovered.
            yield
            return
        state.begin()
        try:
            yield
        finally:
            state.end()


class _Repairer:
    def __init__(self, root: Path, layout: Layout, repair: Repair) -> None:
        self.root, self.layout, self.repair = root, layout, repair
        self.states: dict[str, Signature] = {}
        """of files that an earlier step has changed"""
        self.aside: _Aside | None = None

    def run(self, steps: list[Step]) -> None:
        do: dict[Action, Callable[[Step], None]] = {
            Action.CLOSE: self._close,
            Action.RECOVER: lambda step: None,
            Action.REMOVE: self._remove,
            Action.CUT: self._cut,
            Action.SET_ASIDE: self._set_aside,
            Action.MOVE: self._move,
        }
        try:
            for step in steps:
                path = str(self.root / step.file)
                before = signature(path)
                if step.state is not None and before != self.states.get(step.file, step.state):
                    self.repair.skipped.append((step, "it has changed since: look the store over again"))
                elif before is None and step.action is not Action.RECOVER:
                    self.repair.skipped.append((step, "it is gone"))
                else:
                    do[step.action](step)
                    self.repair.done.append(step)
                    if (after := signature(path)) is not None:
                        self.states[step.file] = after
        finally:
            if self.aside is not None:
                self.repair.aside = self.aside.folder
                self.aside.close()

    def _keep(self, piece: Piece) -> None:
        if self.aside is None:
            self.aside = _Aside(self.root)
        self.aside.keep(piece)

    def _close(self, step: Step) -> None:
        path = self.root / step.file
        os.chmod(path, FOLDER_MODE if path.is_dir() else FILE_MODE, follow_symlinks=False)

    def _remove(self, step: Step) -> None:
        path = self.root / step.file
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            return
        SYSTEM.remove(str(path))
        sync_folder(SYSTEM, str(path.parent))

    def _cut(self, step: Step) -> None:
        path = str(self.root / step.file)
        data, _ = read_whole(path)
        at = torn_at(data)
        self._keep(Piece(step.file, at, data[at:], "torn by a crash"))
        descriptor = open_to_write(path)
        try:
            SYSTEM.truncate(descriptor, at)
            sync(SYSTEM, descriptor)
        finally:
            os.close(descriptor)

    def _set_aside(self, step: Step) -> None:
        path = str(self.root / step.file)
        data, _ = read_whole(path)
        pieces, rest = damaged_pieces(self.layout, step.file, data)
        for piece in pieces:
            self._keep(piece)
        if rest is None:
            SYSTEM.remove(path)
        else:
            SYSTEM.rename(write_beside(SYSTEM, path, rest, durable=True), path)
        sync_folder(SYSTEM, os.path.dirname(path))

    def _move(self, step: Step) -> None:
        path = str(self.root / step.file)
        data, _ = read_whole(path)
        self._keep(Piece(step.file, 0, data, "the log of a record that is not there"))
        SYSTEM.remove(path)
        sync_folder(SYSTEM, os.path.dirname(path))


class _Aside:
    """A new folder beside the store that keeps what was taken out of it."""

    def __init__(self, root: Path) -> None:
        for self.folder in disk.dated_names(root.with_name(f"{root.resolve().name}.set-aside")):
            with suppress(FileExistsError):
                self.folder.mkdir(FOLDER_MODE)
                break
        else:
            raise DiskError("no free name for what is set aside", path=str(root))
        sync_folder(SYSTEM, self.folder.parent)
        self._list = disk.create(self.folder / "pieces.jsonl")
        self._number = 0

    def keep(self, piece: Piece) -> None:
        """Keep a piece durably, before it goes from where it is."""
        self._number += 1
        name = f"{self._number:04d}-{piece.file.replace('/', '+')}"
        disk.write_file(self.folder / name, piece.data)
        line = {"piece": name, "file": piece.file, "at": piece.at, "bytes": len(piece.data)}
        self._list.write(msgspec.json.encode(line | {"reason": piece.reason}) + b"\n")
        disk.sync_file(self._list)

    def close(self) -> None:
        self._list.close()


class Piece(NamedTuple):
    """Bytes that stood in a file of the store."""

    file: str
    at: int
    """the byte at which they stood"""
    data: bytes
    reason: str


def damaged_pieces(layout: Layout, file: str, data: bytes) -> tuple[list[Piece], bytes | None]:
    """What cannot be read of a file, and the rest of it; None: nothing is left.

    Of a log these are lines, of a document elements of its arrays.  ``data`` is what the file holds.
    """
    family = layout.family(file)
    if family is None:
        raise AssertionError(file)
    damage: dict[tuple[int, int], str] = {}
    for item in Scanner(family, Codecs.of(layout)).scan(file, BytesIO(data)):
        if isinstance(item, DamagedError) and item.span is not None:
            damage[item.span] = item.reason
    pieces = [Piece(file, start, data[start:end], reason) for (start, end), reason in damage.items()]
    pieces.sort(key=lambda piece: piece.at)
    if family.kind is Way.FILE:
        return pieces, None if pieces else data
    spans = sorted(damage) if family.kind.is_log else []
    replaced = [(span, b"") for span in spans] or _arrays(data, [p.array for p in family.places], damage)
    parts, at = [], 0
    for (start, end), instead in replaced:
        parts += [data[at:start], instead]
        at = end
    return pieces, b"".join([*parts, data[at:]])


def _arrays(
    data: bytes, names: list[str], damage: dict[tuple[int, int], str]
) -> list[tuple[tuple[int, int], bytes]]:
    """The arrays of a document that hold damaged elements, and what they are without these."""
    if not damage:
        return []
    members = Members(data)
    found = []
    for array in filter(None, map(members.take_span, names)):
        spans = list(elements(data, *array))
        sound = [data[slice(*span)] for span in spans if span not in damage]
        if len(sound) < len(spans):
            inner = b"[\n    " + b",\n    ".join(sound) + b"\n  ]" if sound else b"[]"
            found.append((array, inner))
    return sorted(found)
