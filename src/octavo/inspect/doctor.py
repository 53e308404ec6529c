"""Looks a store over: whether every file can be read and all of it fits together, and what lies about.

Nothing is changed.  The files are read as they are at one moment, while writers go on; where a crash has left
changes in the journal, as the next open will make them.  It works on a store that cannot be opened, or that
cannot be written to, just as well.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from octavo.errors import DamagedError, disk_errors
from octavo.inspect.apart import CAN_FORK, apart
from octavo.inspect.findings import Findings, Kind
from octavo.inspect.integrity import Gathered, Kept, Rule, gathering
from octavo.inspect.observers import Named, Observed, log_places, unowned
from octavo.inspect.payloads import file_digest
from octavo.inspect.progress import SILENT, Progress
from octavo.inspect.reading import HELD, Read, Reading, Readings, read_up_to
from octavo.inspect.survey import (
    Known,
    Recovered,
    State,
    Survey,
    Visitor,
    recovered,
    signature,
    size_of,
    survey,
    visit_all,
)
from octavo.layout.layout import FileFamily, Layout, Place
from octavo.layout.layout import Kind as Way
from octavo.layout.listing import File, payload_path
from octavo.store.families.base import GARBAGE
from octavo.store.identity import require_same
from octavo.store.journal import NAME as JOURNAL
from octavo.store.lock import TIMEOUT
from octavo.store.offline import needs_recovery, page, require_store, write_lock
from octavo.store.system import FOLDER_MODE, Signature, open_signed

_WORTH_PROCESSES = 16 << 20
"""bytes; less than this is read in this process"""
_OPENED = 8 << 10
"""bytes that are read in the time that it takes to open a file"""
_BROKEN = {
    Rule.KEY: Kind.SAME_KEY,
    Rule.UNIQUE: Kind.NOT_UNIQUE,
    Rule.REFERENCE: Kind.BROKEN_REFERENCE,
    Rule.ORPHAN: Kind.ORPHAN,
}


@dataclass
class Diagnosis:
    """What was found in a store."""

    data_dir: Path
    findings: Findings = field(default_factory=Findings)
    counts: dict[str, int] = field(default_factory=dict)
    """records by model"""
    files: int = 0
    payloads: int = 0
    log_lines: int = 0
    superseded: int = 0
    """of these, lines that say nothing any more"""
    signatures: dict[str, Signature] = field(default_factory=dict)
    """the state in which each file that a finding names was read"""
    left_out: list[str] = field(default_factory=list)
    """what could not be checked, and why"""
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether there is no damage."""
        return self.findings.damage == 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "damage": self.findings.damage,
            "notes": self.findings.notes,
            "counts": self.counts,
            "files": self.files,
            "payloads": self.payloads,
            "logLines": self.log_lines,
            "superseded": self.superseded,
            "findings": [finding.to_dict() for finding in self.findings.all()],
            "findingsByKind": {kind.value: n for kind in Kind if (n := self.findings.counted[kind])},
            "leftOut": self.left_out,
            "seconds": round(self.seconds, 3),
        }


def examine(
    data_dir: Path,
    layout: Layout,
    *,
    jobs: int = 1,
    lock_timeout: float | None = TIMEOUT,
    progress: Progress = SILENT,
) -> Diagnosis:
    """Look a store over.

    ``jobs``: how many processes read a large store; they are forked (:mod:`octavo.inspect.apart`).
    ``lock_timeout``: seconds to wait for the write lock,
    which is held while what has changed meanwhile is read again.  Raises UsageError if there is no store,
    BusyError, DiskError.
    """
    require_store(data_dir)
    require_same(data_dir, layout)
    started = time.monotonic()
    with ExitStack() as stack, disk_errors("looking the store over"):
        # That a message's chat exists is known by its file: it is a log that a chat owns, or a finding.
        by_file = [p.relation for p in layout.places if p.kind is Way.LOG_PER_PARENT and p.relation]
        gathered = stack.enter_context(gathering(layout, data_dir / "cache", by_file))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="octavo-doctor-")))
        look = _Look(data_dir, layout, gathered, scratch, progress, jobs)
        visit_all(look, lambda: look.alone(lock_timeout))
        diagnosis = look.conclude()
    diagnosis.seconds = time.monotonic() - started
    return diagnosis


class _Share(NamedTuple):
    """What another process has read."""

    read: Read
    kept: Kept
    differing: dict[str, tuple[str, int]]
    gone: list[str]


class _Look(Visitor):
    def __init__(
        self, root: Path, layout: Layout, gathered: Gathered, scratch: Path, progress: Progress, jobs: int
    ) -> None:
        self.root, self.layout, self.gathered = root, layout, gathered
        self.scratch, self.progress = scratch, progress
        self.jobs = jobs if CAN_FORK else 1
        self.readings = Readings(layout, gathered)
        self.known = Known()
        self.survey = Survey(self.known)
        self.recovered: Recovered | None = None
        self.differing: dict[str, tuple[str, int]] = {}
        """of the payloads that are not what their names say: their real digest, or why they cannot be read;
        and their size"""
        self.unlocked = ""
        """why writers could not be kept out, if there can be any"""
        self.large: dict[str, int] = {}
        """the files that are not held in memory, with their size"""

    def look(self) -> Survey:
        made = self.recovered
        instead: dict[str, State | None] = {}
        if made is not None and made.damage is None:
            instead = {file: made.state(file) for file in made.files if self.layout.family(file) is not None}
        is_first = not self.known.files
        self.survey = found = survey(self.layout, self.root, self.known, instead)
        found.only(lambda file: file in self.known.files or file in self.known.payloads)
        self.large = {f: size for f, state in self.known.files.items() if (size := size_of(state)) > HELD}
        if is_first:
            self.progress.begin("doctor", len(found.new), "files")
        return found

    @contextmanager
    def alone(self, timeout: float | None) -> Iterator[bool]:
        """Keep writers out, if that can be done; then take the journal into account, if it has to be."""
        with ExitStack() as stack:
            try:
                os.makedirs(self.root / "cache", FOLDER_MODE, exist_ok=True)
                stack.enter_context(write_lock(self.root, timeout))
            except OSError as error:
                is_sure = False
                # Where nothing can be written, no process writes either.
                if error.errno != errno.EROFS:
                    self.unlocked = error.strerror or str(error)
            else:
                is_sure = True
            # A process that is forked now would inherit the lock.
            self.jobs = 1
            with page(self.root) as state:
                if needs_recovery(state):
                    self.recovered = recovered(self.root, self.scratch)
            yield is_sure

    def visit(self, files: Sequence[str]) -> Iterable[str]:
        shares = self._shares(files)
        with ExitStack() as stack:
            others = []
            for share in shares[1:]:
                file = self.gathered.new_file()
                result = stack.enter_context(apart(partial(self._read_beside, share, file)))
                others.append((share, file, result))
            gone = self._read(shares[0])
            for share, file, result in others:
                found = result()
                self.progress.advance(len(share))
                gone += found.gone
                self.differing |= found.differing
                self.gathered.take_over(file, found.kept, self.readings.take_over(found.read, share))
        return gone

    def _shares(self, files: Sequence[str]) -> list[Sequence[str]]:
        """The files, cut into a share for each process if there is much to read."""
        known = self.known
        weights = [_OPENED + size_of(known.files.get(f) or known.payloads[f]) for f in files]
        if self.jobs < 2 or not files or sum(weights) < _WORTH_PROCESSES:
            return [files]
        ends = list(accumulate(weights))
        cuts = [bisect_left(ends, ends[-1] * n // self.jobs) for n in range(self.jobs)]
        return [files[first:end] for first, end in pairwise([*cuts, len(files)])]

    def _read(self, files: Sequence[str]) -> list[str]:
        """Read files; those that are gone are given."""
        gone = [file for file in files if not self._is_read(file)]
        self.readings.finish()
        return gone

    def _read_beside(self, files: Sequence[str], file: IO[bytes]) -> _Share:
        """Read files for another process, and gather their records in a file."""
        # Of a process that died, something may be in it.
        file.seek(0)
        file.truncate()
        gathered = self.gathered.beside(file)
        part = _Look(self.root, self.layout, gathered, self.scratch, SILENT, 1)
        part.known, part.large, part.recovered = self.known, self.large, self.recovered
        gone = part._read(files)
        return _Share(part.readings.done(files), gathered.kept(), part.differing, gone)

    def _is_read(self, file: str) -> bool:
        """Read a file, if it is still there."""
        self.progress.advance(1)
        try:
            if file in self.known.payloads:
                self._read_payload(file)
            else:
                self._read_file(file)
        except FileNotFoundError:
            return False
        return True

    def _read_payload(self, file: str) -> None:
        try:
            found = file_digest(self.root, file)
        except FileNotFoundError:
            raise
        except OSError as error:
            found = f"cannot be read: {error.strerror}", 0
        if found[0] != os.path.basename(file):
            self.differing[file] = found

    def _read_file(self, file: str) -> None:
        family = self.layout.family(file)
        if family is None:
            raise AssertionError(file)
        made = self.recovered
        is_remade = made is not None and made.damage is None and file in made.files
        path = os.path.join(self.scratch if is_remade else self.root, file)
        if (size := self.large.get(file, 0)) > HELD:
            opening = lambda: os.fdopen(open_signed(path)[0], "rb", 0)  # noqa: E731
            self.readings.read_alone(File(file, family, size), opening)
            return
        try:
            descriptor, state = open_signed(path)
            try:
                data = read_up_to(descriptor, state.size)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            damage = DamagedError(f"cannot be read: {error.strerror}", file=file)
            self.readings.note(file, Reading(Observed(damage=[damage])))
            return
        self.readings.read(File(file, family, len(data)), data)

    def forget(self, file: str) -> None:
        self.differing.pop(file, None)
        self.readings.forget(file)

    def conclude(self) -> Diagnosis:
        """What all of it comes to."""
        self.progress.begin("doctor: all together", 0)
        result = Diagnosis(self.root)
        found = self.readings.total()
        result.files, result.payloads = self.readings.files, len(self.known.payloads)
        result.counts = {m.name: found.counts[m.name] for m in self.layout.datamodel.tables}
        if self.unlocked:
            result.left_out.append(f"keeping writers out while it is looked over: {self.unlocked}")
        _Conclusion(self, result, found).draw()
        states = self.known.files
        named = {finding.file for finding in result.findings.all()}
        result.signatures = {file: signature(states[file]) for file in named if file in states}
        return result


class _Conclusion:
    """Turns what was read into findings."""

    def __init__(self, look: _Look, result: Diagnosis, found: Observed) -> None:
        self.layout, self.look, self.result = look.layout, look, result
        self.survey, self.known, self.readings = look.survey, look.known, look.readings
        self.named = found.named
        self.add = result.findings.add
        self.damage: list[DamagedError] = []
        self.lost: set[str] = set()
        """models that may have records which cannot be read"""

    def draw(self) -> None:
        for step in (
            self._missing,
            self._unreadable,
            self._logs,
            self._violations,
            self._payloads,
            self._journal,
            self._lying_about,
            self._figures,
        ):
            step()

    def _missing(self) -> None:
        found, layout = self.survey, self.layout
        gone = [f for f in layout.folders if f not in found.folders and f != "cache"]
        in_the_way = {*found.in_the_way, *found.links}
        for folder in gone:
            if folder not in in_the_way:
                self.add(Kind.MISSING_FOLDER, folder)
        for folder, reason in found.unlisted.items():
            if layout.is_own_folder(folder):
                self.add(Kind.UNREADABLE, folder, reason=f"cannot be listed: {reason}")
        for family in layout.families:
            is_gone = family.folder in gone or family.folder in found.unlisted
            if family.varies and is_gone:
                self._lose(*family.places)
            elif not family.varies and family.path not in self.known.files:
                self._lose(*family.places)
                if not is_gone and family.path not in in_the_way:
                    self.add(Kind.MISSING_FILE, family.path)

    def _lose(self, *places: Place) -> None:
        for place in places:
            self.lost.add(place.model.name)
            self.lost |= {inner.model.name for inner in self.layout.embedded(place.model.name)}

    def _unreadable(self) -> None:
        for file, read in self.readings.noted():
            for error in read.seen.damage:
                if read.torn is not None and error.line > read.lines:
                    continue
                self.damage.append(error)
                self.result.findings.add_error(error, self.layout)
                self._note_unread(file, error)
            if read.torn is not None:
                at, size = read.torn
                reason = f"{size:,} bytes of a line that was being written"
                self.add(Kind.TORN, file, line=read.lines + 1, reason=reason, at=at)

    def _note_unread(self, file: str, error: DamagedError) -> None:
        family = self.layout.family(file)
        host = error.host or (None if family is None else _host_by_name(family, file))
        if host is not None:
            name, key = host
            self.look.gathered.unread(name, key)
            for inner in self.layout.embedded(name):
                self.lost.add(inner.model.name)
        elif family is not None:
            named = [p for p in family.places if p.model.name == error.model]
            self._lose(*(named or family.places))

    def _logs(self) -> None:
        files = self.known.files
        in_the_way = {*self.survey.links, *self.survey.in_the_way}
        for place, parent in log_places(self.layout):
            family = next(f for f in self.layout.families if f.path == place.path)
            left = set(self._files_of(family))
            missing = set()
            for log in self.readings.logs(place.path):
                left.discard(log)
                if log not in files and log not in in_the_way:
                    missing.add(log)
            if family.folder in self.survey.folders:
                for file in sorted(missing):
                    self.add(Kind.MISSING_LOG, file, model=place.model.name)
            if parent.model.name in self.lost:
                name = parent.model.name
                self.result.left_out.append(f"logs whose {name} is not there: not all of these can be read")
                continue
            for file in unowned(place, parent, left, (), self.damage):
                self.add(Kind.UNOWNED_LOG, file, model=place.model.name)

    def _files_of(self, family: FileFamily) -> Iterator[str]:
        """The files of a family that were read."""
        before = f"{family.folder}/" if family.folder else ""
        for file in self.known.files:
            if file.startswith(before) and self.layout.family(file) is family:
                yield file

    def _violations(self) -> None:
        gathered = self.look.gathered
        for name in self.lost:
            gathered.unread(name, None)
        unowned = {finding.file for finding in self.result.findings.kept[Kind.UNOWNED_LOG]}
        for broken in gathered.violations(keys=True):
            if broken.file in unowned:
                # Of a log without an owner that is said already.
                continue
            self.add(
                _BROKEN[broken.rule],
                broken.file,
                line=broken.line,
                model=broken.model,
                key=broken.key,
                field=",".join(broken.fields),
                reason=broken.reason,
            )
        for parent in dict.fromkeys(relation.parent for relation in gathered.unchecked):
            self.result.left_out.append(f"what points at a {parent}: not all of these can be read")

    def _payloads(self) -> None:
        named: set[str] = set()
        for record in self.named:
            if record.sha256 is not None:
                named.add(record.sha256)
            self._payload(record)
        holders = {p.model.name for p in self.layout.places if p.payload}
        unread = holders & self.lost or any(e.host is not None and e.host[0] in holders for e in self.damage)
        if unread:
            self.result.left_out.append("payloads that no record names: not all records can be read")
        for file in sorted(self.known.payloads):
            if file in self.look.differing:
                digest, _ = self.look.differing[file]
                self.add(Kind.PAYLOAD_DIFFERENT, file, reason=digest if " " in digest else "")
            if os.path.basename(file) not in named and not unread:
                self.add(Kind.PAYLOAD_UNNAMED, file)

    def _payload(self, record: Named) -> None:
        file = record.file
        facts = {"line": record.line, "model": record.place.model.name, "key": record.key}
        if record.sha256 is None:
            self.add(Kind.PAYLOAD_NOT_KEPT, file, **facts)
            return
        path = payload_path(self.layout, record.sha256)
        if path not in self.known.payloads:
            self.add(Kind.PAYLOAD_MISSING, file, reason=path, **facts)
            return
        _, size = self.look.differing.get(path, ("", size_of(self.known.payloads[path])))
        if record.size is not None and size != record.size:
            reason = f"is {size:,} bytes, the record says {record.size:,}"
            self.add(Kind.PAYLOAD_SIZE, file, reason=reason, field=record.place.payload_size, **facts)

    def _journal(self) -> None:
        found = self.look.recovered
        if found is None:
            return
        if found.damage is not None:
            error = found.damage
            self.add(Kind.JOURNAL, error.file, line=error.line, reason=error.reason)
        elif found.entries or found.torn:
            reason = f"{found.entries:,} to be made again"
            if found.torn:
                reason += f", {found.torn:,} bytes of one that never returned"
            self.add(Kind.UNFINISHED, JOURNAL, reason=reason)
        if found.in_doubt:
            self.add(Kind.IN_DOUBT, JOURNAL, reason=f"{found.in_doubt:,} in the journal, left out here")

    def _lying_about(self) -> None:
        found, layout = self.survey, self.layout
        for path in sorted(found.links):
            if layout.family(path) is not None or layout.is_own_folder(path):
                self.add(Kind.IN_THE_WAY, path, reason="is a symbolic link")
        for path in sorted(found.in_the_way):
            self.add(Kind.IN_THE_WAY, path)
        for path in sorted([*self.known.others, *found.odd, *found.links]):
            if layout.family(path) is None and layout.misnames(path):
                self.add(Kind.STRAY, path)
        for path in sorted(found.left_overs):
            self.add(Kind.LEFT_OVER, path)
        for path in sorted(found.stale):
            self.add(Kind.STALE, path)
        for path, is_folder in sorted(found.open_to_others.items()):
            self.add(Kind.OPEN_TO_OTHERS, path, reason="a folder" if is_folder else "")
        for file, read in self.readings.noted():
            for _, model, key in dict.fromkeys(read.seen.unknown):
                self.add(Kind.UNKNOWN_KEY, file, model=model, field=key)

    def _figures(self) -> None:
        layout = self.layout
        self.result.log_lines = self.readings.clean_lines
        for file, read in self.readings.noted():
            family = layout.family(file)
            if family is None or not family.kind.is_log:
                continue
            live = read.seen.live
            superseded = max(read.lines - live - len(read.seen.damage), 0)
            self.result.log_lines += read.lines
            self.result.superseded += superseded
            if read.lines > 2 * live + GARBAGE:
                self.add(Kind.WASTEFUL, file, reason=f"{read.lines:,} lines, {live:,} records")


def _host_by_name(family: FileFamily, file: str) -> tuple[str, tuple[bytes, ...]] | None:
    """Model and key of the record that a file belongs to, as its name says."""
    stem = os.path.basename(file).partition(".")[0]
    if family.kind is not Way.FILE or len(family.places[0].name_fields) != 1 or stem.startswith("~"):
        return None
    return family.places[0].model.name, (unquote_to_bytes(stem),)
