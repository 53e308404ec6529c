"""The state of a move: its phase, the backend of record, and how it came to be so.

It is one small file, ``cache/migration/state.json``, which any command may read and each step of the move
adds to.  A data folder without one is no part of a move yet: any backend may use it, and making
folders or files in it begins none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from octavo.backend import DataBackend, PathName
from octavo.errors import DamagedError, DiskError, OctavoError, UsageError, disk_errors
from octavo.text import some

NAME = "cache/migration/state.json"
LOCK = "cache/move.lock"
"""held by the one command that may change the backend of record"""
_VERSION = 1


class Phase(StrEnum):
    """The phases of a move, in their order."""

    INVENTORY = "inventory"
    """what there is has been counted"""
    SCAFFOLD = "scaffold"
    """the folders are there"""
    DUAL_WRITE = "dual-write"
    """the files have been seeded, and are kept in step by ``dual`` or by following"""
    VERIFICATION = "verification"
    """both sides were found equal, and nothing has been found since that differs"""
    CUTOVER = "cutover"
    """the files are the backend of record; PostgreSQL is kept for the way back"""
    CLEANUP = "cleanup"
    """the way back was given up: PostgreSQL is no longer needed"""


_ORDER = list(Phase)
_BACK = {
    (Phase.VERIFICATION, Phase.DUAL_WRITE),
    (Phase.CUTOVER, Phase.DUAL_WRITE),
}
"""the steps back that there are: something differs after all, and a rollback"""


class Transition(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One step from a phase to another, or from one backend of record to another."""

    time: str
    """in UTC, to the millisecond"""
    who: str
    """the user and host that it was done by"""
    why: str
    phase: Phase
    backend: DataBackend


class Database(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A database: the number of its cluster, its name, and the schema in it."""

    system: str
    name: str
    schema: str

    def __str__(self) -> str:
        return f"the database {self.name} (schema {self.schema}, cluster {self.system})"


class Verified(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The last full verification."""

    time: str
    """when it was begun: what was written later it says nothing about"""
    equal: bool
    records: int
    differences: int
    seconds: float
    report: str | None = None
    """the file below the data folder that has the whole of it"""
    first: int | None = None
    """the number of the first transaction of PostgreSQL that it may not have seen, if the server tells"""
    database: Database | None = None
    """the database that the files were compared with"""


class Following(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """That the files follow PostgreSQL by logical replication."""

    slot: str
    publication: str
    since: str


class Backup(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The last archive that was made of the store."""

    time: str
    archive: str
    """its absolute path"""


class Closed(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """That PostgreSQL was closed to writers, or is about to be."""

    token: str
    """what tells the fence of this move from that of any other"""
    command: str
    """``cutover`` or ``rollback``"""
    who: str
    since: str


class Migration(msgspec.Struct, rename="camel", kw_only=True):
    """The state of the move of one data folder.  ``phase`` is None where no step was done yet."""

    version: int = msgspec.field(default=_VERSION, name="_version")
    phase: Phase | None = None
    backend: DataBackend = DataBackend.PRISMA
    """the backend of record: the one that is right where both differ; ``prisma`` or ``json``"""
    since: str | None = None
    """since when that is so; None: from the beginning"""
    verified: Verified | None = None
    following: Following | None = None
    backup: Backup | None = None
    closed: Closed | None = None
    """how PostgreSQL was closed for this move; None: it was not, or takes writes again"""
    rolled_back: bool = False
    """the files were the backend of record and are it no more, until they are made anew or cut over to"""
    transitions: list[Transition] = msgspec.field(default_factory=list)

    def has_reached(self, phase: Phase) -> bool:
        """Whether the move is in this phase or in a later one."""
        return self.phase is not None and _ORDER.index(self.phase) >= _ORDER.index(phase)

    def go(self, phase: Phase, why: str, *, backend: DataBackend | None = None, again: bool = False) -> None:
        """Take a step: forward, or one of the steps back that there are.

        Where nothing would change, nothing is written down, unless the step is one that was taken ``again``.
        Raises UsageError for any other step.
        """
        backend = backend or self.backend
        if (phase, backend) == (self.phase, self.backend) and not again:
            return
        if self.has_reached(phase) and self.phase is not phase and (self.phase, phase) not in _BACK:
            raise UsageError(f"the move is in the phase {self.phase}; it cannot go back to {phase}")
        time = now()
        if backend is not self.backend:
            self.backend, self.since = backend, time
        self.phase = phase
        self.transitions.append(Transition(time=time, who=_who(), why=why, phase=phase, backend=backend))

    @property
    def is_frozen(self) -> bool:
        """Whether PostgreSQL is of record and takes no writes: a command has closed it, and not ended."""
        return self.backend is DataBackend.PRISMA and self.closed is not None

    @property
    def knows_no_cutover(self) -> bool:
        """Whether PostgreSQL is of record and was not closed, as far as this folder knows.  It is so, too,
        where ``cache/`` was deleted since the cutover, of which PostgreSQL knows still."""
        return self.backend is DataBackend.PRISMA and self.closed is None

    def close(self, command: str, token: str = "") -> Closed:
        """Note that a command is about to close PostgreSQL to writers.  ``token``: that of a fence that is
        there already."""
        token = token or (self.closed.token if self.closed is not None else os.urandom(8).hex())
        self.closed = Closed(token=token, command=command, who=_who(), since=now())
        return self.closed

    @property
    def standing(self) -> str:
        """Which side is of record and what takes writes, with the command that helps where none does."""
        if self.backend is DataBackend.JSON:
            return "the files are the backend of record"
        if self.closed is None:
            return "PostgreSQL is the backend of record"
        return (
            "PostgreSQL is the backend of record, and still closed to writers: octavo rollback opens it,"
            " octavo cutover goes on with the move"
        )

    def refusal(self, backend: DataBackend) -> UsageError | None:
        """Why who uses a backend must not write to this store or beside it; None: nothing speaks against."""
        if self.closed is not None and self.is_frozen:
            return UsageError(
                "PostgreSQL is the backend of record, and closed to writers for a move since"
                f" {self.closed.since}, by octavo {self.closed.command} of {self.closed.who}",
                hint="if that was interrupted: octavo cutover goes on with the move, octavo rollback opens"
                " PostgreSQL",
            )
        if self.backend is DataBackend.JSON and backend is not DataBackend.JSON:
            return UsageError(
                f"the files are the backend of record since {self.since}; DATA_BACKEND is {backend}",
                hint="DATA_BACKEND=json, or octavo rollback, which brings the data back to PostgreSQL",
            )
        if self.backend is DataBackend.PRISMA and backend is not DataBackend.PRISMA:
            if self.following is not None:
                return UsageError(
                    "the files follow PostgreSQL: no other program may write to them",
                    hint="write to PostgreSQL until octavo cutover, or end it by octavo follow --stop",
                )
            if self.rolled_back and backend is DataBackend.JSON:
                return UsageError(
                    f"PostgreSQL is the backend of record again, since {self.since}; DATA_BACKEND is json",
                    hint="DATA_BACKEND=dual or prisma",
                )
        return None

    def seeded(self, why: str) -> None:
        """The files were made from PostgreSQL: what was known of those before says nothing any more."""
        self.verified = self.backup = self.following = None
        self.rolled_back = False
        self.go(Phase.DUAL_WRITE, why, again=True)

    def verify(self, found: Verified) -> None:
        """Both sides were compared: the phase follows, while the files are not yet the backend of record."""
        self.verified = found
        if self.has_reached(Phase.CUTOVER):
            return
        if found.equal:
            self.reach(Phase.VERIFICATION, f"verify: {found.records} records, equal")
        elif self.phase is Phase.VERIFICATION:
            self.go(Phase.DUAL_WRITE, f"verify: {some(found.differences, 'difference')}")

    def reach(self, phase: Phase, why: str) -> None:
        """Go forward to a phase, if the move is not that far yet."""
        if not self.has_reached(phase):
            self.go(phase, why)


def read(data_dir: PathName) -> Migration:
    """The state of a data folder; an empty one where there is none.

    Raises DamagedError if the file cannot be understood, DiskError if it cannot be read.
    """
    with disk_errors("reading the state of the move"):
        try:
            with open(os.path.join(data_dir, NAME), "rb") as file:
                raw = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return Migration()
    try:
        found = msgspec.json.decode(raw, type=Migration)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"is not the state of a move: {error}", file=NAME) from error
    if found.version > _VERSION:
        raise DamagedError(f"was written by a newer Octavo (version {found.version})", file=NAME)
    return found


class Guard:
    """Refuses writes of a backend that the state of the move does not allow."""

    def __init__(self, data_dir: PathName, backend: DataBackend) -> None:
        self._root, self._backend = os.fspath(data_dir), backend
        self._path = os.path.join(self._root, NAME)
        self._seen: tuple[int, ...] = ()
        self._refusal: UsageError | None = None

    def warn(self) -> None:
        """Log a warning (``octavo.store.phase``) if writing is not allowed: reads may be out of date."""
        try:
            self.check()
        except OctavoError as error:
            import logging

            logging.getLogger(__name__).warning("%s; %s", error, error.hint or "nothing can be written")

    def check(self) -> None:
        """Raise UsageError if writing is not allowed.  Under the write lock, this holds until its release.

        Raises as :func:`read` too.  Costs one system call where nothing has changed.
        """
        seen: tuple[int, ...]
        try:
            found = os.stat(self._path)
            seen = found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
        except FileNotFoundError:
            seen = ()
        except OSError as error:
            raise DiskError.of(error, "looking at the state of the move") from error
        if seen != self._seen:
            self._refusal = read(self._root).refusal(self._backend)
            self._seen = seen
        if self._refusal is not None:
            raise UsageError(self._refusal.message, hint=self._refusal.hint)


def has_begun(data_dir: PathName) -> bool:
    """Whether there is a state.  Raises DiskError if that cannot be told."""
    with disk_errors("looking for the state of the move"):
        try:
            os.stat(os.path.join(data_dir, NAME))
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


@contextmanager
def alone(data_dir: PathName, command: str, timeout: float | None) -> Iterator[None]:
    """Be the only command that changes the backend of record of a data folder, or exchanges the folder.

    Raises BusyError, which names the other one, if that does not end within ``timeout`` seconds (None: for
    ever); DiskError.  A folder that is not there is not made, and needs no lock.
    """
    from contextlib import closing

    from octavo.store.lock import ProcessLock
    from octavo.store.system import FILE_MODE

    path = os.path.join(data_dir, LOCK)

    def holder() -> str:
        with open(path, encoding="utf-8") as file:
            return file.read() or "another command"

    if not os.path.isdir(data_dir):
        yield
        return
    with closing(ProcessLock(path, holder)) as lock:
        with disk_errors("taking the lock of the move"):
            lock.acquire(timeout)
            with open(path, "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, FILE_MODE)) as file:
                file.write(f"octavo {command} (process {os.getpid()}, {_who()})")
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield
        finally:
            # From the folder that it was made in, where that may be by now.  A command that waits makes the
            # file anew; where it cannot be removed, it holds up none.
            with suppress(OSError):
                os.unlink(os.path.basename(path), dir_fd=folder)
            os.close(folder)


@contextmanager
def changing(data_dir: PathName) -> Iterator[Migration]:
    """The state, to be changed in a block, and written durably at its end; by one command at a time.

    The data folder is made if it is not there.  If the block raises, nothing is written.  Raises as
    :func:`read`, DiskError.
    """
    # A process that only opens the data need not load these.
    import fcntl
    from pathlib import Path

    from octavo.store import disk
    from octavo.store.lock import LockFile

    root = Path(data_dir)
    with disk_errors("changing the state of the move"):
        home = (root / NAME).parent
        disk.make_folder(home)
        folder = LockFile(lambda: os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    with folder:
        fcntl.flock(folder.descriptor, fcntl.LOCK_EX)
        state = read(root)
        before = msgspec.json.encode(state)
        yield state
        after = msgspec.json.encode(state)
        if after != before:
            disk.write_file(root / NAME, msgspec.json.format(after, indent=2) + b"\n")


def now() -> str:
    """This moment, as the state writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _who() -> str:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
