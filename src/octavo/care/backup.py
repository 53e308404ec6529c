"""An archive of a store as it is at one moment, made while writers go on; and whether one is as it was made.

It is a plain tar file (gzip where its name says so)::

    data/…           the store, but for what lies in journal/ and cache/
    manifest.json    last: when and of what it was made, and each file with its SHA-256 and size

Each file is read once, without a lock, and goes into the archive as it is read.  What has changed meanwhile
is read again; writers wait only for the last of that.  Payloads never change, so they are read at the end;
until then none is removed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self, TypeAlias, overload

import msgspec

from octavo.care.archive import DATA, MANIFEST, read, spelled
from octavo.care.spool import Member, Spool
from octavo.errors import DamagedError, UsageError, disk_errors
from octavo.fold.inventory import schema_facts
from octavo.inspect.progress import SILENT, Progress
from octavo.inspect.reading import HELD, Readings, read_up_to
from octavo.inspect.survey import Known, Survey, Visitor, size_of, survey, visit_all
from octavo.layout.layout import RESERVED_FOLDERS, VERSION, Layout
from octavo.layout.listing import File, payload_path
from octavo.schema.texts import schema_text
from octavo.store import disk, phase
from octavo.store.store import Store
from octavo.store.system import FOLDER_MODE, Signature, open_signed, open_to_read

FORMAT = 1
_BUFFER = 1 << 20
_STAGING = ".octavo-backup-"
_PLAIN, _GZIP = (".tar",), (".tar.gz", ".tgz")


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
    files: Sequence[ArchivedFile]

    def text(self) -> Iterator[bytes]:
        """What stands in the archive, piece by piece: there may be a hundred thousand files."""
        head = msgspec.structs.replace(self, files=[])
        before, array, after = msgspec.json.format(msgspec.json.encode(head), indent=2).rpartition(b"[]")
        between = before + array[:1]
        for file in self.files:
            yield between + b'\n    {\n      "path": %b,\n      "size": %d,\n      "sha256": "%b"\n    }' % (
                msgspec.json.encode(file.path),
                file.size,
                file.sha256.encode(),
            )
            between = b","
        yield (b"\n  " if self.files else between) + array[1:] + after + b"\n"


class _Archived(Sequence[ArchivedFile]):
    """The members of a spool as a manifest has them, each made when it is asked for."""

    def __init__(self, members: Mapping[str, bytes]) -> None:
        self._members = members
        self._names = sorted(members)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, at: int) -> ArchivedFile: ...
    @overload
    def __getitem__(self, at: slice) -> list[ArchivedFile]: ...
    def __getitem__(self, at: int | slice) -> ArchivedFile | list[ArchivedFile]:
        if isinstance(at, slice):
            return [self[n] for n in range(len(self))[at]]
        name = self._names[at]
        member = Member.of(self._members[name])
        return ArchivedFile(spelled(f"{DATA}/{name}"), member.size, member.sha256.hex())


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
        _Archiving(data_dir, layout, staging, progress) as archiving,
    ):
        visit_all(archiving, lambda: _alone(store))
        report = archiving.finish(archive, schema)
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
    if not target.name.endswith((*_PLAIN, *_GZIP)):
        raise UsageError(f"{target}: an archive is called {', '.join((*_PLAIN, *_GZIP))}")
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


class _Archiving(Visitor):
    """Reads what can change into a spool; then the payloads, which cannot."""

    def __init__(self, root: Path, layout: Layout, staging: Path, progress: Progress) -> None:
        self.root, self.layout, self.staging, self.progress = root, layout, staging, progress
        self.spool = Spool(staging / "archive.tar")
        self.known = Known()
        self.survey = Survey(self.known)
        self.readings = Readings(layout)
        self.members: dict[str, bytes] = {}
        """by path, each packed"""
        self.folders: dict[str, tuple[int, int]] = {}
        """where each stands in the spool"""
        self.damaged: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.spool.close()

    def look(self) -> Survey:
        self.survey = found = survey(self.layout, self.root, self.known)
        # What lies in the journal is in the files by now.
        found.only(lambda file: file not in self.known.payloads and not file.startswith("journal/"))
        if not self.members:
            states = (known[f] for known in self.known.all for f in known if known is not self.known.payloads)
            self.progress.begin("backup: reading", sum(map(size_of, states)), "bytes")
        return found

    def visit(self, files: Sequence[str]) -> Iterable[str]:
        gone = [file for file in files if not self._is_taken(file)]
        self.readings.finish()
        return gone

    def _is_taken(self, file: str) -> bool:
        """Take a file in, if it is still there."""
        family = self.layout.family(file) if file in self.known.files else None
        path = f"{self.root}/{file}"
        try:
            if family is None:
                source, state = _opened(path)
            else:
                source, state = open_signed(path)
        except FileNotFoundError:
            return False
        try:
            member, data = self._add(file, source, state)
        finally:
            os.close(source)
        if family is None:
            return True
        content = File(file, family, member.size)
        if data is None:
            self.readings.read_alone(content, partial(self.spool.read, member))
        else:
            self.readings.read(content, data)
        return True

    def _add(self, file: str, source: int, state: Signature) -> tuple[Member, bytes | None]:
        """Put a file into the spool; its content is given, too, if it is held in memory."""
        self._add_folder(os.path.dirname(file))
        name, modified = f"{DATA}/{file}", state.modified / 10**9
        data = read_up_to(source, state.size) if state.size <= HELD else None
        if data is None:
            member = self.spool.copy(name, source, state.size, modified)
        else:
            member = self.spool.add(name, data, modified)
        self.members[file] = member.packed()
        self.progress.advance(member.size)
        return member, data

    def _add_folder(self, folder: str) -> None:
        """Put a folder into the spool, after those that it is in, if it is not there yet."""
        if folder in self.folders:
            return
        if folder:
            self._add_folder(os.path.dirname(folder))
        self.folders[folder] = self.spool.add_folder(f"{DATA}/{folder}".rstrip("/"), time.time())

    def forget(self, file: str) -> None:
        self.readings.forget(file)
        if (packed := self.members.pop(file, None)) is not None:
            member = Member.of(packed)
            self.spool.forget(member.start, member.end)

    def finish(self, archive: Path, schema: Mapping[str, str | None]) -> BackupReport:
        """End the archive with the payloads, the empty folders and the manifest, and put it in place."""
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        counts = self._counts()
        self._add_payloads()
        self._settle_folders()
        manifest = self._manifest(made_at, schema, counts)
        self.spool.finish()
        built = self._compressed() if archive.name.endswith(_GZIP) else self.spool.file
        with built:
            disk.sync_file(built)
            size = os.fstat(built.fileno()).st_size
        try:
            disk.put_in_place(Path(built.name), archive)
        except FileExistsError:
            raise UsageError(f"{archive} is there already, and is never overwritten") from None
        return BackupReport(archive, manifest, size, self.damaged, self._left_out())

    def _compressed(self) -> BinaryIO:
        self.progress.begin("backup: compressing", self.spool.end, "bytes")
        made = disk.create(self.staging / "archive.gz", _BUFFER)
        try:
            self.spool.compress(made, self.progress.advance)
        except BaseException:
            made.close()
            raise
        return made

    def _settle_folders(self) -> None:
        """Add the folders in which nothing is, and leave out those that are gone."""
        # The store's own folders are there, and empty.
        there = {*self.survey.folders, *RESERVED_FOLDERS}
        for folder in sorted(there):
            self._add_folder(folder)
        for folder, place in self.folders.items():
            if folder and folder not in there:
                self.spool.forget(*place)

    def _manifest(self, made_at: str, schema: Mapping[str, str | None], counts: dict[str, int]) -> Manifest:
        from octavo.version import __version__

        files = _Archived(self.members)
        made = Manifest(FORMAT, __version__, VERSION, dict(schema), made_at, counts, files)
        self.spool.add_pieces(MANIFEST, made.text(), time.time())
        return made

    def _counts(self) -> dict[str, int]:
        """How many records there are of each model, among those that can be read; what they lack is noted."""
        seen = self.readings.total()
        self.damaged += [str(error) for error in seen.damage]
        needed = {family.path for family in self.layout.families if not family.varies}
        needed |= {payload_path(self.layout, named.sha256) for named in seen.named if named.sha256}
        owned = (log for place in self.layout.places for log in self.readings.logs(place.path))
        missing = {f for f in chain(needed, owned) if not (f in self.known.files or f in self.known.payloads)}
        self.damaged += [f"{path}: is missing" for path in sorted(missing)]
        return {model.name: seen.counts[model.name] for model in self.layout.datamodel.tables}

    def _add_payloads(self) -> None:
        payloads = self.known.payloads
        self.progress.begin("backup: payloads", sum(map(size_of, payloads.values())), "bytes")
        for file in sorted(payloads):
            source, state = _opened(f"{self.root}/{file}")
            try:
                member, _ = self._add(file, source, state)
            finally:
                os.close(source)
            if member.sha256.hex() != os.path.basename(file):
                self.damaged.append(f"{file}: is not what its digest says")

    def _left_out(self) -> list[str]:
        found = self.survey
        return [
            *(f"{path}: is a symbolic link" for path in found.links),
            *(f"{path}: is no regular file" for path in (*found.odd, *found.in_the_way)),
            *(f"{folder}: cannot be listed: {reason}" for folder, reason in found.unlisted.items()),
        ]


def _opened(path: str) -> tuple[int, Signature]:
    """A file of any kind, and its state.  Raises OSError."""
    source = open_to_read(path)
    try:
        return source, Signature.of(os.fstat(source))
    except BaseException:
        os.close(source)
        raise


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
