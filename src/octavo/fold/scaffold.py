"""The folders and empty files of a store, before there is anything in them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from octavo.errors import DamagedError, UsageError, disk_errors
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import empty_file
from octavo.store import disk, phase
from octavo.store.identity import FOLDER, is_identity, require_same
from octavo.store.phase import Phase
from octavo.store.system import FOLDER_MODE, SYSTEM, sync_folder
from octavo.store.takeover import Fit, Verdict, take_over


@dataclass
class ScaffoldReport:
    """What was made and what was there; paths relative to the data folder (``.`` is itself)."""

    data_dir: Path
    folders_made: list[str] = field(default_factory=list)
    files_made: list[str] = field(default_factory=list)
    tightened: list[str] = field(default_factory=list)
    """folders that others could enter, and no longer can"""
    kept: list[str] = field(default_factory=list)
    """files with records, left as they are"""
    open_to_others: list[str] = field(default_factory=list)
    """files left as they are that others may read or write"""

    @property
    def changed(self) -> bool:
        return bool(self.folders_made or self.files_made or self.tightened)

    @property
    def warnings(self) -> list[str]:
        """What is worth a look, a sentence each."""
        found = [f"{path} may be read or written by others" for path in self.open_to_others]
        if self.kept and self.files_made:
            found += [
                f"{path} was missing beside files with records; it is empty now"
                for path in self.files_made
                if not is_identity(path)
            ]
        return found


def scaffold(data_dir: Path, layout: Layout) -> ScaffoldReport:
    """Make what is missing of the folders (0700) and the fixed files (0600, valid and empty), and let the
    store say that it has this schema and layout.

    Done again, it changes nothing; a file that is there is never written.  Before anything is made, raises
    SchemaMismatch for a store of another schema or layout, UsageError if something else stands in a place,
    and DamagedError for a document without content, which is no empty document but a broken one.  DiskError
    if the file system refuses.
    """
    report = ScaffoldReport(data_dir)
    is_said = require_same(data_dir, layout) is not None
    with disk_errors("making the data folder"):
        missing = _look(data_dir, layout, report)
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        for folder in (".", *layout.folders):
            if folder != FOLDER:
                _make_folder(data_dir, folder, report)
        for path, content in missing.items():
            disk.make_file(data_dir / path, content)
            report.files_made.append(path)
    fits = not is_said and Fit(data_dir, layout).verdict is Verdict.FITS
    if fits and (made := take_over(data_dir, layout)):
        report.folders_made.append(FOLDER)
        report.files_made += made
    if phase.has_begun(data_dir):
        with phase.changing(data_dir) as state:
            state.reach(Phase.SCAFFOLD, "scaffold")
    return report


def _look(data_dir: Path, layout: Layout, report: ScaffoldReport) -> dict[str, bytes]:
    """The files that are missing, with what goes into them."""
    for folder in (".", *layout.folders):
        place = data_dir / folder
        if os.path.lexists(place) and not place.is_dir():
            raise UsageError(f"{place} is not a folder")
    missing: dict[str, bytes] = {}
    for family in layout.families:
        content = empty_file(family)
        if content is None:
            continue
        place = data_dir / family.path
        if not os.path.lexists(place):
            missing[family.path] = content
            continue
        if not place.is_file():
            raise UsageError(f"{place} is not a file")
        found = place.stat()
        if found.st_size == 0 and family.kind is Kind.DOCUMENT:
            raise DamagedError("is empty, which no document is: it lost its content", file=family.path)
        if found.st_size != len(content) or place.read_bytes() != content:
            report.kept.append(family.path)
        if stat.S_IMODE(found.st_mode) & 0o077:
            report.open_to_others.append(family.path)
    return missing


def _make_folder(data_dir: Path, folder: str, report: ScaffoldReport) -> None:
    place = data_dir / folder
    try:
        place.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if stat.S_IMODE(place.stat().st_mode) & 0o077:
            place.chmod(FOLDER_MODE)
            report.tightened.append(folder)
        return
    sync_folder(SYSTEM, place.parent)
    report.folders_made.append(folder)
