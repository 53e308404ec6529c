"""An archive of a store as it is at one moment, made while writers go on; and whether one is as it was made.

It is a plain tar file (gzip where its name says so)::

    data/…           the store, but for what lies in journal/ and cache/
    manifest.json    last: when and of what it was made, and each file with its SHA-256 and size

The files are copied beside the archive first, without a lock, then again as far as they have changed; writers
wait only for the last of that.  Payloads never change, so they are read when the archive is written; until
then none is removed.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec

from octavo.care.archive import DATA, MANIFEST, read, spelled
from octavo.errors import DamagedError, UsageError, disk_errors
from octavo.fold.inventory import schema_facts
from octavo.inspect.observers import Inspector, Observed
from octavo.inspect.progress import SILENT, Progress
from octavo.inspect.survey import Survey, Visitor, survey, visit_all
from octavo.layout.layout import RESERVED_FOLDERS, VERSION, Layout
from octavo.layout.listing import File, payload_path
from octavo.schema.texts import schema_text
from octavo.store import disk, phase
from octavo.store.store import Store
from octavo.store.system import (
    FILE_MODE,
    FOLDER_MODE,
    Signature,
    open_privately,
    open_signed,
    open_to_read,
)

FORMAT = 1
_PIECE = 1 << 20
_STAGING = ".octavo-backup-"
_ENDINGS: dict[str, dict[str, Any]] = {
    ".tar": {"mode": "w"},
    ".tar.gz": {"mode": "w:gz", "compresslevel": 6},
    ".tgz": {"mode": "w:gz", "compresslevel": 6},
}


Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ArchivedFile(msgspec.Struct, frozen=True):
    """A file in an archive; ``path`` is that in the archive, ``size`` in bytes."""

    path: str
    size: Number
    sha256: str


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What an archive says of itself."""

    format: Number
    octavo: str
    layout_version: Number
    schema: dict[str, str | None]
    """version, if it is a known one, and fingerprint"""
    made_at: str
    counts: dict[str, Number]
    """records by model"""
    files: list[ArchivedFile]


@dataclass
class BackupReport:
    """What was archived, or found in an archive."""

    target: Path
    manifest: Manifest
    size: int = 0
    """bytes of the archive"""
    damaged: list[str] = field(default_factory=list)
    """what is not as it should be, a sentence each"""
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        manifest = self.manifest
        return {
            "archive": str(self.target),
            "size": self.size,
            "files": len(manifest.files),
            "bytes": sum(f.size for f in manifest.files),
            "counts": manifest.counts,
            "madeAt": manifest.made_at,
            "schema": manifest.schema,
            "damaged": self.damaged,
            "leftOut": self.left_out,
            "seconds": round(self.seconds, 3),
        }


def back_up(
    data_dir: Path,
    layout: Layout,
    target: Path | None,
    schema: Mapping[str, str | None],
    progress: Progress = SILENT,
) -> BackupReport:
    """Write an archive of a store.

    ``target``: the archive, or the folder to put it in; None: beside the store.  ``schema`` names the schema
    in the manifest.  Nothing is ever overwritten.  Raises UsageError, DamagedError if the store cannot be
    recovered, BusyError, DiskError.
    """
    started = time.monotonic()
    archive = _target(data_dir, target)
    with (
        Store.open(data_dir, layout) as store,
        disk_errors("making the backup"),
        _staging(archive) as staging,
        _payloads_kept(store, layout),
    ):
        copying = _Copying(data_dir, layout, staging, progress)
        visit_all(copying, lambda: _alone(store))
        report = _Archiving(copying, archive, schema).write(progress)
        # A damaged archive is kept, but does not count as a backup of the move.
        if not (store.read_only or report.damaged):
            with phase.changing(data_dir) as state:
                state.backup = phase.Backup(time=report.manifest.made_at, archive=str(archive.resolve()))
    report.seconds = time.monotonic() - started
    return report


def schema_of(path: Path | None) -> dict[str, str | None]:
    """Version and fingerprint of a schema file or folder; None: of the frozen schema.  Raises SchemaError."""
    return schema_facts(None if path is None else schema_text(path))


@contextmanager
def _alone(store: Store) -> Iterator[bool]:
    """Keep writers out, where there can be any."""
    with nullcontext() if store.read_only else store.alone():
        yield not store.read_only


@contextmanager
def _payloads_kept(store: Store, layout: Layout) -> Iterator[None]:
    with store.payloads.kept() if layout.payload_folder else nullcontext():
        yield


def _target(data_dir: Path, wanted: Path | None) -> Path:
    """The archive to write.  Raises UsageError for one that cannot be."""
    store = data_dir.resolve()
    target = store.parent if wanted is None else wanted
    if target.is_dir():
        stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
        named = (f"{store.name}.backup-{stamp}{n}.tar.gz" for n in ("", *range(-2, -1000, -1)))
        target = next(path for name in named if not os.path.lexists(path := target / name))
    if not any(target.name.endswith(ending) for ending in _ENDINGS):
        raise UsageError(f"{target}: an archive is called {', '.join(_ENDINGS)}")
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already, and is never overwritten")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder to put an archive in")
    place = target.parent.resolve()
    if place == store or store in place.parents:
        raise UsageError(f"{target} lies in the store itself: put the archive somewhere else")
    return target


@contextmanager
def _staging(archive: Path) -> Iterator[Path]:
    """A new folder beside the archive, gone at the end; one that a crash has left goes first, as far as this
    user may remove it."""
    for left in archive.parent.glob(f"{_STAGING}*"):
        with disk.unlocked_folder(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    made = archive.with_name(f"{_STAGING}{secrets.token_hex(4)}")
    made.mkdir(FOLDER_MODE)
    lock = disk.lock_folder(made)
    try:
        yield made
    finally:
        shutil.rmtree(made)
        if lock is not None:
            lock.close()


class _Copying(Visitor):
    """Copies what can change; payloads are only noted."""

    def __init__(self, root: Path, layout: Layout, staging: Path, progress: Progress) -> None:
        self.root, self.layout, self.staging, self.progress = root, layout, staging, progress
        self.survey = Survey()
        self.copied: dict[str, ArchivedFile] = {}
        self.times: dict[str, float] = {}

    def look(self) -> Mapping[str, Signature]:
        self.survey = found = survey(self.layout, self.root)
        there = {file: state for file, (_, state) in found.files.items()}
        there |= found.identity | found.others
        # What lies in the journal is in the files by now.
        there = {file: state for file, state in there.items() if not file.startswith("journal/")}
        if not self.copied:
            self.progress.begin("backup: copying", sum(state.size for state in there.values()), "bytes")
        return there

    def visit(self, file: str) -> None:
        target = self.staging / file
        disk.make_folder(target.parent)
        path = str(self.root / file)
        source = open_signed(path)[0] if file in self.survey.files else open_to_read(path)
        digest, size = hashlib.sha256(), 0
        try:
            with open(target, "wb", opener=open_privately) as copy:
                while piece := os.read(source, _PIECE):
                    digest.update(piece)
                    copy.write(piece)
                    size += len(piece)
            self.times[file] = os.fstat(source).st_mtime
        finally:
            os.close(source)
        self.progress.advance(size)
        self.copied[file] = ArchivedFile(f"{DATA}/{file}", size, digest.hexdigest())

    def forget(self, file: str) -> None:
        if self.copied.pop(file, None) is not None:
            (self.staging / file).unlink()


class _Archiving:
    """Writes what was copied, and the payloads, into an archive."""

    def __init__(self, copying: _Copying, archive: Path, schema: Mapping[str, str | None]) -> None:
        self.copying, self.archive, self.schema = copying, archive, dict(schema)
        self.root, self.layout, self.survey = copying.root, copying.layout, copying.survey
        self.made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.files: list[ArchivedFile] = []
        self.damaged: list[str] = []

    def write(self, progress: Progress) -> BackupReport:
        sizes = [f.size for f in self.copying.copied.values()]
        sizes += [state.size for _, state in self.survey.payloads.values()]
        progress.begin("backup: writing", sum(sizes), "bytes")
        counts = self._counts()
        how = next(how for ending, how in _ENDINGS.items() if self.archive.name.endswith(ending))
        beside = self.copying.staging / "archive.new"
        with disk.create(beside) as file:
            with tarfile.open(fileobj=file, format=tarfile.PAX_FORMAT, **how) as tar:
                self._add_all(tar, progress)
                manifest = self._manifest(counts)
                _add_bytes(
                    tar, MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
                )
            disk.sync_file(file)
            size = os.fstat(file.fileno()).st_size
        try:
            disk.put_in_place(beside, self.archive)
        except FileExistsError:
            raise UsageError(f"{self.archive} is there already, and is never overwritten") from None
        return BackupReport(self.archive, manifest, size, self.damaged, self._left_out())

    def _counts(self) -> dict[str, int]:
        """How many records there are of each model, among those that can be read; what they lack is noted."""
        inspector, seen = Inspector(self.layout, self.copying.staging), Observed()
        for file, (family, state) in self.survey.files.items():
            inspector.observe(File(file, family, state.size), lambda name, rows: None, seen)
        self.damaged += [str(error) for error in seen.damage]
        needed = {family.path for family in self.layout.families if not family.varies} | seen.logs
        needed |= {payload_path(self.layout, named.sha256) for named in seen.named if named.sha256}
        missing = needed - self.survey.files.keys() - self.survey.payloads.keys()
        self.damaged += [f"{path}: is missing" for path in sorted(missing)]
        return {model.name: seen.counts[model.name] for model in self.layout.datamodel.tables}

    def _add_all(self, tar: tarfile.TarFile, progress: Progress) -> None:
        files = {file: self.copying.staging / file for file in self.copying.copied}
        files |= {file: self.root / file for file in self.survey.payloads}
        _add_folder(tar, DATA)
        # The store's own folders are there, and empty.
        for path in sorted({*files, *self.survey.folders, *RESERVED_FOLDERS}):
            if path in files:
                self._add(tar, path, files[path])
                progress.advance(self.files[-1].size)
            else:
                _add_folder(tar, f"{DATA}/{path}")

    def _add(self, tar: tarfile.TarFile, path: str, source: Path) -> None:
        with os.fdopen(open_to_read(str(source)), "rb") as file:
            found = os.fstat(file.fileno())
            reading = _Hashing(file)
            modified = self.copying.times.get(path, found.st_mtime)
            tar.addfile(_member(f"{DATA}/{path}", found.st_size, modified), reading)
        digest = reading.digest.hexdigest()
        payload = self.survey.payloads.get(path)
        if payload is not None and payload[0] != digest:
            self.damaged.append(f"{path}: is not what its digest says")
        self.files.append(ArchivedFile(spelled(f"{DATA}/{path}"), found.st_size, digest))

    def _manifest(self, counts: dict[str, int]) -> Manifest:
        from octavo.version import __version__

        return Manifest(FORMAT, __version__, VERSION, self.schema, self.made_at, counts, self.files)

    def _left_out(self) -> list[str]:
        found = self.survey
        return [
            *(f"{path}: is a symbolic link" for path in found.links),
            *(f"{path}: is no regular file" for path in (*found.odd, *found.in_the_way)),
            *(f"{folder}: cannot be listed: {reason}" for folder, reason in found.unlisted.items()),
        ]


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: io.BufferedIOBase | Any) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self.file.read(size)
        self.digest.update(piece)
        return piece


def _member(path: str, size: int, modified: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size, member.mtime, member.mode = size, int(modified), FILE_MODE
    member.uid, member.gid = os.getuid(), os.getgid()
    return member


def _add_folder(tar: tarfile.TarFile, path: str) -> None:
    member = _member(path, 0, time.time())
    member.type, member.mode = tarfile.DIRTYPE, FOLDER_MODE
    tar.addfile(member)


def _add_bytes(tar: tarfile.TarFile, path: str, data: bytes) -> None:
    tar.addfile(_member(path, len(data), time.time()), io.BytesIO(data))


def check(archive: Path, progress: Progress = SILENT) -> BackupReport:
    """Hold an archive against its manifest: every file there, none else, each with its digest.

    What is not so is in the report.  Nothing is unpacked, and the cost is bounded by what the archive holds.
    Raises UsageError if there is no such file, DamagedError for one that holds anything that Octavo does not
    write, DiskError.
    """
    if not archive.is_file():
        raise UsageError(f"{archive} is not there, or is no file")
    started = time.monotonic()
    with disk_errors("reading the archive"), open(archive, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        progress.begin("backup: checking", size, "bytes")
        content = read(file, progress.advance)
    manifest = _read_manifest(content.manifest)
    damaged = list(_compare(manifest, content.files))
    return BackupReport(archive, manifest, size, damaged, seconds=time.monotonic() - started)


def _read_manifest(text: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DamagedError("is not a manifest of this version", file=MANIFEST) from error
    if manifest.format != FORMAT:
        raise DamagedError(f"is of format {manifest.format}; this Octavo reads {FORMAT}", file=MANIFEST)
    return manifest


def _compare(manifest: Manifest, found: dict[str, tuple[bytes, int]]) -> Iterator[str]:
    there = {spelled(name): content for name, content in found.items()}
    listed = set()
    for file in manifest.files:
        if file.path in listed:
            yield f"{file.path}: stands in the manifest twice"
        listed.add(file.path)
        if file.path not in there:
            yield f"{file.path}: is missing"
            continue
        digest, size = there[file.path]
        if (digest.hex(), size) != (file.sha256, file.size):
            yield f"{file.path}: is not what the manifest says"
    for path in there.keys() - listed:
        yield f"{path}: is not in the manifest"
