"""Encrypts every secret anew, for another pepper: on one side or on both, all of it or nothing.

The new pepper is given in the environment, or made up and kept in a file of its own.  A pepper is never an
argument of a command, nor printed: other users of the machine can see the one, and terminals and logs
remember the other.

First everything is looked at, and nothing is changed if a value opens neither with the old pepper nor with
the new one.  Then one transaction of the backend changes the values that open with the old pepper; each is
decrypted again as it came to be stored.  So whenever it is interrupted, all values open with the old pepper
or all with the new, and it can be run again: what opens with the new one already is left alone.

Only the ciphertext, its IV and its tag are changed.  ``@updatedAt`` says when a record was changed,
which a rotation does not.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter
from dataclasses import astuple, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from octavo.backend import DataBackend
from octavo.crypto import Sealed, SecretError, decrypt, encrypt, pepper_from_env, sealed_in
from octavo.errors import ConflictError, DivergedError, OctavoError, UsageError, disk_errors
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.record import Record
from octavo.query.plan import Change, ChangeKind, equals
from octavo.query.protocols import Backend, Reader, Transaction
from octavo.secrets.check import Holder, Unopened, Unopeneds, holders, in_step, key_text, opened, sides_of
from octavo.store import disk, phase
from octavo.store.phase import Phase

if TYPE_CHECKING:
    from octavo.backend import Settings
    from octavo.query.vocabulary import Vocabulary

NEW_VARIABLE: Final = "ENCRYPTION_NEW_PEPPER"
"""the environment variable that has the pepper to rotate to"""
_GENERATED = re.compile(rb"[0-9a-f]{64}\n")


class NewPepper:
    """The pepper to rotate to, and the file that a generated one is written to before it is used."""

    def __init__(self, text: str, file: Path | None = None) -> None:
        self.text, self.file = text, file

    @classmethod
    def from_env(cls) -> NewPepper:
        """The one in ``ENCRYPTION_NEW_PEPPER``.  Raises UsageError if there is none, or it is not UTF-8."""
        text = pepper_from_env(variable=NEW_VARIABLE)
        if text is None:
            raise UsageError(
                f"{NEW_VARIABLE} is not set", hint="set it, or let --generate FILE make a new pepper"
            )
        return cls(text)

    @classmethod
    def generated(cls, file: Path, data_dir: Path) -> NewPepper:
        """A pepper made up (32 random bytes, as 64 hex digits); of the file that an earlier run has made,
        the pepper that is in there.

        Raises UsageError if the file is not such a one, can be read by others, or lies in the data folder.
        """
        if file.resolve().is_relative_to(data_dir.resolve()):
            raise UsageError(f"{file}: a pepper does not belong beside what it protects")
        with disk_errors("reading the pepper"):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                return cls(secrets.token_hex(32), file)
            try:
                found, mode = os.read(descriptor, 100), os.fstat(descriptor).st_mode
            finally:
                os.close(descriptor)
        if not _GENERATED.fullmatch(found):
            raise UsageError(f"{file} is there, and is no pepper that was generated")
        if mode & 0o077:
            raise UsageError(f"{file}: others than its owner can read this pepper")
        return cls(found.decode().strip(), file)

    def keep(self) -> None:
        """Write a generated pepper to its file, durably, for its owner alone, never over another."""
        if self.file is None or self.file.exists():
            return
        with disk_errors("writing the pepper"):
            disk.make_file(self.file, f"{self.text}\n".encode())


_SCHEME = "aes-256-gcm"
"""the scheme that depends on the pepper"""
_TRIES = 10
"""how often a record is looked at again because it was changed meanwhile"""


class Opens(StrEnum):
    """What a value opens with."""

    OLD = "old"
    NEW = "new"
    NEITHER = "neither"


class State(StrEnum):
    """What all values together open with."""

    EMPTY = "empty"
    """there are none"""
    OLD = "old"
    NEW = "new"
    MIXED = "mixed"
    """some with the old pepper, some with the new one"""
    BROKEN = "broken"
    """some with neither"""


@dataclass(frozen=True, slots=True)
class Peppers:
    """The present pepper and the one to come."""

    old: str = field(repr=False)
    new: str = field(repr=False)

    def open(self, sealed: Sealed, owner: str) -> tuple[Opens, str]:
        """What a value opens with, and its plaintext.  Raises SecretError if that is neither."""
        try:
            return Opens.NEW, decrypt(sealed, owner, self.new)
        except SecretError:
            return Opens.OLD, decrypt(sealed, owner, self.old)


@dataclass
class Look:
    """What every encrypted value opens with."""

    sides: dict[str, Counter[Opens]]
    """the number of values by side, ``database`` or ``files``"""
    unopened: Unopeneds = field(default_factory=Unopeneds)
    """those that open with neither"""

    def count(self, opens: Opens) -> int:
        """How many values open with this, on all sides."""
        return sum(counts[opens] for counts in self.sides.values())

    @property
    def state(self) -> State:
        """What all of them together open with."""
        if self.unopened.total:
            return State.BROKEN
        old, new = self.count(Opens.OLD), self.count(Opens.NEW)
        if old:
            return State.MIXED if new else State.OLD
        return State.NEW if new else State.EMPTY

    def to_dict(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "sides": {side: {o.value: counts[o] for o in Opens} for side, counts in self.sides.items()},
        }


@dataclass
class Rotation:
    """What was found, done, and found afterwards."""

    backend: DataBackend
    before: Look
    after: Look | None = None
    """None: nothing was changed"""
    dry_run: bool = False
    pepper_file: Path | None = None
    """the file that has the new pepper, if it was generated"""
    follows: bool = False
    """the files follow PostgreSQL, which alone was changed"""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether everything opens with the new pepper, or would after a rotation that is not a trial."""
        return (self.after or self.before).state is not State.BROKEN and not self.left

    @property
    def changed(self) -> int:
        """How many values were encrypted anew, counted on each side."""
        return self.before.count(Opens.OLD) if self.after is not None else 0

    @property
    def left(self) -> int:
        """How many values still open with the old pepper: they were written meanwhile."""
        return self.after.count(Opens.OLD) if self.after is not None else 0

    @property
    def unopened(self) -> Unopeneds:
        """What opens with neither pepper."""
        return (self.after or self.before).unopened

    def to_dict(self) -> dict[str, Any]:
        return {
            "good": self.good,
            "rotated": self.after is not None,
            "dryRun": self.dry_run,
            "backend": self.backend.value,
            "before": self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "changed": self.changed,
            "unopened": [unopened.to_dict() for unopened in self.unopened.first],
            "unopenedTotal": self.unopened.total,
            "pepperFile": None if self.pepper_file is None else str(self.pepper_file),
            "seconds": round(self.seconds, 3),
        }


def rotate(
    kind: DataBackend,
    vocabulary: Vocabulary,
    settings: Settings,
    old: str,
    new: NewPepper,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Rotation:
    """Let every encrypted value of the backend open with a new pepper; ``dry_run``: only look.

    Nothing is changed, and the answer says so, if a value opens with neither.  Raises UsageError if both
    peppers are the same or the move is in a state in which ``kind`` is not all there is to rotate;
    ConflictError if a record keeps being changed; and what the backend raises.
    """
    started = time.monotonic()
    if old == new.text:
        raise UsageError("the new pepper is the old one", hint="a rotation needs another one")
    follows = _check_move(kind, settings.folder)
    peppers = Peppers(old, new.text)
    with opened(kind, vocabulary, settings) as backend:
        done = Rotation(kind, look(backend, vocabulary, peppers, progress), dry_run=dry_run, follows=follows)
        if done.before.state is not State.BROKEN and not dry_run:
            new.keep()
            done.pepper_file = new.file
            if done.before.count(Opens.OLD):
                try:
                    carry_out(backend, vocabulary, peppers, progress)
                except (SecretError, ConflictError, DivergedError):
                    # These say themselves that nothing was rotated.
                    raise
                except BaseException as error:
                    error.add_note(_left(backend, vocabulary, peppers))
                    raise
                done.after = look(backend, vocabulary, peppers, progress)
    done.seconds = time.monotonic() - started
    return done


def _left(backend: Backend, vocabulary: Vocabulary, peppers: Peppers) -> str:
    """What the encrypted values open with after a rotation that was interrupted or failed, in words."""
    try:
        state = look(backend, vocabulary, peppers).state
    except (OctavoError, OSError) as error:
        return f"whether it was rotated is not known ({error}); octavo secrets rotate --dry-run tells"
    if state is State.OLD:
        return "nothing was rotated: every encrypted value opens with the old pepper"
    if state is State.NEW:
        return (
            "it was rotated: every encrypted value opens with the new pepper; start the application with it"
        )
    return "some encrypted values open with the old pepper still: run it again"


def _check_move(kind: DataBackend, data_dir: Path) -> bool:
    """Whether the files follow PostgreSQL, so that they get what is changed there.

    Raises UsageError if the state of the move forbids to write so, or if one of two sides that are kept in
    step would be left out.
    """
    state = phase.read(data_dir)
    if refusal := state.refusal(kind):
        raise refusal
    if state.following is not None:
        return True
    is_move = state.has_reached(Phase.DUAL_WRITE) and state.backend is DataBackend.PRISMA
    if is_move and not state.rolled_back and kind is not DataBackend.DUAL:
        raise UsageError(
            f"PostgreSQL and the files are kept in step, and DATA_BACKEND is {kind}: one would be left out",
            hint="DATA_BACKEND=dual; files that are an old copy are made anew first: octavo export --replace",
        )
    return False


def look(backend: Backend, vocabulary: Vocabulary, peppers: Peppers, progress: Progress = SILENT) -> Look:
    """What every encrypted value opens with, on each side."""
    sides = sides_of(backend)
    found = Look({side: Counter() for side in sides})
    for side, holder, record in in_step(sides, holders(vocabulary, _SCHEME), progress, "secrets"):
        for value in _values(holder, record, peppers):
            found.sides[side][value.opens] += 1
            if value.opens is Opens.NEITHER:
                key = holder.key(record)
                found.unopened.add(Unopened(side, holder.terms.name, key, value.name, value.reason))
    return found


@dataclass(frozen=True, slots=True)
class _Value:
    """An encrypted value of a record, and what became of opening it; ``reason``: why it opens with neither
    pepper."""

    name: str
    opens: Opens
    plain: str = field(default="", repr=False)
    owner: str = ""
    reason: str = ""


def _values(holder: Holder, record: Record, peppers: Peppers) -> list[_Value]:
    """The values of a record that are not NULL."""
    values, found = holder.values(record), []
    for name, secret in holder.secrets.items():
        try:
            sealed = sealed_in(secret, values[name], values)
            if sealed is not None:
                found.append(_Value(name, *peppers.open(*sealed), sealed[1]))
        except SecretError as error:
            found.append(_Value(name, Opens.NEITHER, reason=str(error)))
    return found


def carry_out(
    backend: Backend, vocabulary: Vocabulary, peppers: Peppers, progress: Progress = SILENT
) -> None:
    """Change everything that opens with the old pepper, in one transaction.

    Raises SecretError, having changed nothing, for a value that opens with neither; ConflictError if a record
    keeps being changed; DivergedError if both sides do not have the same records.
    """
    from octavo.backends.dual import DualBackend, DualTransaction
    from octavo.backends.reading import JsonReader

    found = holders(vocabulary, _SCHEME)
    with backend.transaction() as transaction:
        side: dict[str, Reader] = {"": transaction}
        for _, holder, record in in_step(side, found, progress, "rotate"):
            _reseal(transaction, holder, record, peppers)
        if isinstance(backend, DualBackend) and isinstance(transaction, DualTransaction):
            # What was new in PostgreSQL already may be old in the files.
            files: dict[str, Reader] = {"": JsonReader(backend.files.indexes, transaction.view)}
            for _, holder, record in in_step(files, found, progress, "files"):
                if any(value.opens is not Opens.NEW for value in _values(holder, record, peppers)):
                    _copy(transaction, holder, record)


def _reseal(transaction: Transaction, holder: Holder, record: Record | None, peppers: Peppers) -> None:
    """Change what opens with the old pepper in a record, if it is still as it was read."""
    terms = holder.terms
    for _ in range(_TRIES):
        old = [] if record is None else _old(holder, record, peppers)
        if record is None or not old:
            return
        changes = [
            Change(part, ChangeKind.SET, text)
            for value in old
            for part, text in zip(
                holder.parts[value.name],
                astuple(encrypt(value.plain, value.owner, peppers.new)),
                strict=True,
            )
        ]
        owners = (holder.secrets[value.name].owner for value in old)
        read = tuple(dict.fromkeys((*terms.key, *(change.field for change in changes), *owners)))
        # Only what was read is replaced.
        unchanged = equals(read, terms.getter(read)(record))
        if after := transaction.update(terms.name, unchanged, changes):
            _check(holder, after[0], old, peppers)
            return
        record = transaction.find(terms.name, terms.key, terms.key_of(record))
    raise ConflictError(
        f"{terms.name}: a record keeps being changed by another process; nothing was rotated",
        hint="stop the application, and run again",
    )


def _old(holder: Holder, record: Record, peppers: Peppers) -> list[_Value]:
    """The values of a record that open with the old pepper.  Raises SecretError for one that opens with
    neither."""
    values = _values(holder, record, peppers)
    for value in values:
        if value.opens is Opens.NEITHER:
            raise _refused(holder, record, value.name, value.reason)
    return [value for value in values if value.opens is Opens.OLD]


def _check(holder: Holder, record: Record, written: list[_Value], peppers: Peppers) -> None:
    """Open what was stored.  Raises SecretError if it is not what was written."""
    stored = {value.name: value for value in _values(holder, record, peppers)}
    for value in written:
        if stored.get(value.name) != replace(value, opens=Opens.NEW):
            raise _refused(holder, record, value.name, "what was stored is not what was written")


def _refused(holder: Holder, record: Record, name: str, reason: str) -> SecretError:
    where = f"{holder.terms.name} {key_text(holder.key(record))} {name}"
    return SecretError(f"{where}: {reason}; nothing was rotated")


def _copy(transaction: Transaction, holder: Holder, record: Record) -> None:
    """Let the files have a record's secrets as PostgreSQL has them, by writing them there again."""
    terms = holder.terms
    key = terms.key_of(record)
    there = transaction.find(terms.name, terms.key, key)
    if there is None:
        raise DivergedError(terms.name, key_text(holder.key(record)), "is in the files alone")
    changes = [Change(n, ChangeKind.SET, terms.columns[n].stored(there)) for n in holder.held]
    transaction.update(terms.name, equals(terms.key, key), changes)
