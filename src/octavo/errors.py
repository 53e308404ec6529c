"""Everything that Octavo raises on purpose.

::

    OctavoError
    ├── UsageError             exit 2: wrong usage or configuration
    │   ├── SchemaError            a Prisma schema that cannot be accepted (file, line, column)
    │   ├── LayoutError            a layout that does not fit its schema
    │   ├── SchemaMismatch         a store has another schema or layout (store, given, differences)
    │   ├── ValidationError        P2009: an argument of a query is invalid (path, nearest known name)
    │   │                          P2012: it is missing; P2000, P2020: its column has no room for it
    │   └── OwnTransaction         P2028: a write would wait for the transaction that its caller is in
    ├── DifferenceError        exit 1: a difference or damage was found
    │   ├── DriftError             the live database is not what the schema says
    │   ├── DivergedError          PostgreSQL and the files differ in what a dual write touches (model, key)
    │   └── DamagedError           a file of the store cannot be read (file, line, model, key, field)
    ├── ConstraintError        exit 1: a change that the schema's constraints refuse (model, fields)
    │   ├── UniqueViolation        P2002: a record with these values is there already
    │   ├── ForeignKeyViolation    P2003: a record that is pointed at is missing, or still pointed at
    │   ├── NullViolation          P2011: a required field would be NULL
    │   ├── RequiredRelationViolation  P2014: a required relation would be broken (relation)
    │   └── ValueOutOfRange        P2020: a computed value does not fit its column
    ├── RecordNotFound         exit 1: P2025: a record that must be there is not (model)
    ├── TransactionFailed      exit 3: P2028: out of time, or used after it failed or ended
    │   └── BusyError              another process held the write lock for too long (holder)
    ├── ConflictError          exit 3: P2034: what a transaction was built on is not there (any more)
    │   └── ReplacedError          another store was put in the place of this one
    ├── DatabaseError          exit 3: PostgreSQL refused, failed or could not be reached
    │   └── RawQueryError          P2010: it refused a statement of raw SQL
    └── DiskError              exit 3: the file system refused or failed

Each carries the facts as attributes and says them in one sentence.  A secret (password, pepper,
token, ciphertext) is never part of a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar


class OctavoError(Exception):
    """Base of every error that Octavo raises on purpose.

    ``exit_code`` is what a command ends with; ``hint`` names a next step, or is empty.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OctavoError):
    """What was asked for cannot be meant: a wrong option, setting, path or state."""

    exit_code = 2


class SchemaError(UsageError):
    """A Prisma schema is not accepted.  ``line`` and ``column`` count from 1 (0: the file as a whole)."""

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int = 0,
        column: int = 0,
        expected: Sequence[str] = (),
    ) -> None:
        self.file, self.line, self.column, self.expected = file, line, column, tuple(expected)
        where = ":".join(str(part) for part in (file or "schema", line, column) if part)
        wanted = f" (expected {', '.join(expected)})" if expected else ""
        super().__init__(f"{where}: {message}{wanted}")


class LayoutError(UsageError):
    """A layout does not fit its schema.  ``model`` is the one concerned, if there is one."""

    def __init__(self, message: str, *, file: str = "", model: str = "") -> None:
        self.file, self.model = file, model
        where = ": ".join(part for part in (file, model) if part)
        super().__init__(f"{where}: {message}" if where else message)


class SchemaMismatch(UsageError):
    """A store holds records of another schema, or in another layout, than it was to be opened with.

    ``store`` and ``given`` name the two, ``differences`` say what differs.  It is no damage: nothing is
    written, repaired or set aside because of it.
    """

    def __init__(
        self,
        store: str,
        given: str,
        differences: Sequence[str] = (),
        *,
        hint: str = "without --schema and --layout the store's own are taken",
    ) -> None:
        self.store, self.given, self.differences = store, given, tuple(differences)
        told = [*self.differences[:_TOLD], *(["…"] if len(self.differences) > _TOLD else [])]
        said = f": {'; '.join(told)}" if told else ""
        super().__init__(
            f"the store has {store}, and was to be opened with {given}{said}; "
            "`octavo schema migrate` takes a store to another schema; nothing was changed",
            hint=hint,
        )


_TOLD = 5
"""differences that a message names"""


class ValidationError(UsageError):
    """An argument of a query is invalid.

    ``path`` leads to it (``where.name.containz``); ``known`` is the nearest name that would do, or empty.
    ``code`` is P2009, or P2012 where a required value is missing, P2000 where a text is too long for its
    column, P2020 where a number is out of its column's range.
    """

    def __init__(
        self, path: str, reason: str, *, model: str = "", known: str = "", code: str = "P2009"
    ) -> None:
        self.path, self.reason, self.model, self.known, self.code = path, reason, model, known, code
        where = ": ".join(part for part in (model, path) if part)
        meant = f"; did you mean {known}?" if known else ""
        super().__init__(f"{where}: {reason}{meant}")


class OwnTransaction(UsageError):
    """A write would wait for the end of the very transaction that its caller is in."""

    code: ClassVar[str] = "P2028"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="write with what db.tx() gives")


class DifferenceError(OctavoError):
    """Two things that should be equal are not, or a store is damaged.

    ``findings`` are the differences, one sentence each, where they are named; ``summary`` is the message
    without them.
    """

    exit_code = 1

    def __init__(self, message: str, findings: Sequence[str] = (), *, hint: str = "") -> None:
        self.summary, self.findings = message, tuple(findings)
        super().__init__("\n  ".join((message, *self.findings)), hint=hint)


class DriftError(DifferenceError):
    """The live database is not what the schema says."""


class DivergedError(DifferenceError):
    """A write on PostgreSQL and the files was refused: they differ already in what it touches.

    ``model`` and ``key`` tell the record; of a key that is a secret, a digest stands there.
    """

    def __init__(
        self,
        model: str,
        key: str,
        reason: str,
        *,
        hint: str = "octavo status --heal copies what differs from PostgreSQL to the files",
    ) -> None:
        self.model, self.key, self.reason = model, key, reason
        where = " ".join(part for part in (model, key) if part)
        super().__init__(f"{where}: {reason}; nothing was written", hint=hint)


class DamagedError(DifferenceError):
    """A file of the store cannot be read as what it should hold; nothing was taken from it.

    ``file`` is relative to the data folder; ``line`` counts from 1, 0 where it has no meaning.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str = "",
        line: int = 0,
        model: str = "",
        key: str = "",
        field: str = "",
    ) -> None:
        self.reason, self.file, self.line = reason, file, line
        self.model, self.key, self.field = model, key, field
        self.key_values: tuple[bytes, ...] | None = None
        """the record's key as PostgreSQL's text, part by part, where it can be told"""
        self.host: tuple[str, tuple[bytes, ...]] | None = None
        """model and key of the record that could not be taken because of this, where they can be told"""
        self.span: tuple[int, int] | None = None
        """the bytes of the file that could not be read and can be cut out of it, where they can be told"""
        where = f"{file}:{line}" if line else file
        what = " ".join(part for part in (f"{model}.{field}" if field else model, key) if part)
        super().__init__(": ".join(part for part in (where, what, reason) if part))

    def at(self, file: str, line: int, reason: str = "", span: tuple[int, int] | None = None) -> DamagedError:
        """The same error with its place, and another reason if one is given."""
        placed = DamagedError(
            reason or self.reason, file=file, line=line, model=self.model, key=self.key, field=self.field
        )
        placed.key_values, placed.host, placed.span = self.key_values, self.host, span
        return placed


class ConstraintError(OctavoError):
    """A change that the schema's constraints refuse; nothing of it was done.

    ``code`` is Prisma's, ``fields`` are those of the constraint, on ``model``; ``constraint`` is its name in
    the database, or empty.
    """

    exit_code = 1
    code: ClassVar[str]
    says: ClassVar[str]

    def __init__(self, model: str, fields: Sequence[str], *, constraint: str = "", hint: str = "") -> None:
        self.model, self.fields, self.constraint = model, tuple(fields), constraint
        super().__init__(f"{model}: {self.says} ({', '.join(self.fields)})", hint=hint)


class UniqueViolation(ConstraintError):
    """A record with these values is there already."""

    code, says = "P2002", "not unique"


class ForeignKeyViolation(ConstraintError):
    """The record that is pointed at is missing, or one that goes is still pointed at."""

    code, says = "P2003", "a foreign key is violated"


class NullViolation(ConstraintError):
    """A required field would be NULL."""

    code, says = "P2011", "must not be NULL"


class RequiredRelationViolation(ConstraintError):
    """A record of ``model`` would lose what its required ``relation`` points at."""

    code, says = "P2014", "a required relation would be broken"

    def __init__(self, model: str, relation: str) -> None:
        self.relation = relation
        super().__init__(model, [relation])


class ValueOutOfRange(ConstraintError):
    """A value that was computed, copied from another record or made by default does not fit its column."""

    code, says = "P2020", "out of range"


class RecordNotFound(OctavoError):
    """A record of ``model`` that must be there is not, or is not linked.  ``doing`` says what needed it."""

    exit_code = 1
    code: ClassVar[str] = "P2025"

    def __init__(self, model: str, doing: str) -> None:
        self.model, self.doing = model, doing
        super().__init__(f"{model}: no record found for {doing}")

    @property
    def operation(self) -> str:
        """What needed the record, without the relation: ``an update``, ``a connect``."""
        return self.doing.partition(" over ")[0]

    @property
    def over(self) -> tuple[str, str] | None:
        """The model and the name of the relation over which it was needed."""
        model, _, name = self.doing.partition(" over ")[2].partition(".")
        return (model, name) if name else None


class TransactionFailed(OctavoError):
    """A transaction did not begin in time, ran out of time, or was used after it failed or ended.

    ``timeout`` and ``taken`` are in seconds, where it ran out of time; ``end`` is ``committed`` or ``rolled
    back`` where it has ended.
    """

    code: ClassVar[str] = "P2028"

    def __init__(
        self,
        message: str,
        *,
        timeout: float | None = None,
        taken: float = 0.0,
        end: str = "",
        hint: str = "",
    ) -> None:
        self.timeout, self.taken, self.end = timeout, taken, end
        super().__init__(message, hint=hint)

    @classmethod
    def late(cls, timeout: float, taken: float) -> TransactionFailed:
        """The error of a transaction that ran out of time."""
        said = f"the transaction ran out of time: it took longer than {timeout:g} s; nothing was kept"
        return cls(said, timeout=timeout, taken=taken)

    @classmethod
    def over(cls, end: str) -> TransactionFailed:
        """The error of one that has ended."""
        return cls("the transaction has ended; nothing more can be done in it", end=end)


class BusyError(TransactionFailed):
    """Another writer held the write lock for longer than the caller would wait.  ``holder`` names it.

    ``timeout`` is that of a transaction whose time ran out in this wait.
    """

    def __init__(self, waited: float, holder: str, *, timeout: float | None = None) -> None:
        self.waited, self.holder = waited, holder
        said = f"the store is being written to by {holder}; waited {round(waited, 3):g} s"
        super().__init__(said, timeout=timeout, taken=waited)


class ConflictError(OctavoError):
    """A transaction cannot be kept: what it was built on did not come about, or was replaced meanwhile."""

    code: ClassVar[str] = "P2034"


class ReplacedError(ConflictError):
    """Another store was put in the place of the one that is open."""


class DatabaseError(OctavoError):
    """PostgreSQL refused, failed or could not be reached.  ``sqlstate`` is its code, if it gave one."""

    exit_code = 3

    def __init__(self, message: str, *, sqlstate: str = "", hint: str = "") -> None:
        self.sqlstate = sqlstate
        super().__init__(message, hint=hint)


class RawQueryError(DatabaseError):
    """PostgreSQL refused a statement of raw SQL.  ``sqlstate`` is its code, ``reason`` what it said."""

    code: ClassVar[str] = "P2010"

    def __init__(self, reason: str, *, sqlstate: str = "", hint: str = "") -> None:
        self.reason = reason
        super().__init__(f"raw SQL: {reason}", sqlstate=sqlstate, hint=hint)


class DiskError(OctavoError):
    """The file system refused or failed.  ``path`` is where, ``errno`` the system's number for why."""

    exit_code = 3

    def __init__(self, message: str, *, path: str = "", errno: int = 0) -> None:
        self.path, self.errno = path, errno
        super().__init__(message)

    @classmethod
    def of(cls, error: OSError, doing: str) -> DiskError:
        """Turn what the system said while ``doing`` something into one sentence.

        Raises the error itself if it is not the system's (see :func:`is_of_system`).
        """
        if not is_of_system(error):
            raise error
        path = str(error.filename or "")
        return cls(
            f"{doing}{f': {path}' if path else ''}: {error.strerror or error}",
            path=path,
            errno=error.errno or 0,
        )


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn what the system refuses inside the block into a DiskError that says what was being done.

    What a signal handler raises there passes.
    """
    try:
        yield
    except OSError as error:
        raise DiskError.of(error, doing) from error


def is_of_system(error: OSError) -> bool:
    """Whether the system has refused something.  A signal handler, too, may raise any OSError; that of a
    time-out library has no number."""
    return error.errno is not None and not is_of_handler(error)


def is_of_handler(error: BaseException) -> bool:
    """Whether a signal handler has raised an exception, or the one that it was made from.

    A handler is told by its argument: Python calls it with the very frame that it interrupts.
    """
    cause: BaseException | None = error
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None and (inner := trace.tb_next) is not None:
            for value in inner.tb_frame.f_locals.values():
                if trace.tb_frame in (value if isinstance(value, tuple) else (value,)):
                    return True
            trace = inner
        cause = cause.__cause__
    return False
