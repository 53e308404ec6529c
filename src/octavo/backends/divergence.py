"""What was noticed while PostgreSQL and the files ran side by side: ``cache/divergence.jsonl``, and counters.

A line tells that a record differs (or, with ``healed``, that it was made equal again): its model, its key and
the fields' names, never a value.  The last line of a record counts.  A record that is seen again and again is
written down once by each process.

Nothing here may get in the way of an answer: what cannot be written down goes to the log
``octavo.backends.dual`` instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from octavo.layout.keys import KeyForm
from octavo.layout.record import Record, model_of, stored_value
from octavo.layout.stored import Key
from octavo.store.lock import LockFile
from octavo.store.rules import Rules
from octavo.store.system import FILE_MODE

LOG = logging.getLogger("octavo.backends.dual")
NAME = "cache/divergence.jsonl"
COUNTERS = "cache/dual.json"
_DIGEST = "sha256:"
_MOST_REMEMBERED = 10_000
_LARGEST = 64 << 20
"""bytes of the file after which only the log and the counters hear of more"""
_OFTEN = 50
"""comparisons after which the counters are written"""


class Divergence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line.

    ``kind``: ``missing`` (not in the files), ``extra`` (only there), ``different`` (``fields``), ``answer``
    (the records are equal, the answer to a question about them is not), ``failed`` (the files could not
    answer).
    """

    time: str
    kind: str
    model: str = ""
    key: dict[str, msgspec.Raw] | None = None
    fields: tuple[str, ...] = ()
    reason: str = ""
    healed: bool = False

    @property
    def about(self) -> tuple[str, str]:
        """What it is about: a model and a key, as text."""
        return self.model, key_text(self.key)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a report."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return found


def key_text(key: Mapping[str, msgspec.Raw] | None) -> str:
    """A key as one JSON text; empty: none is named."""
    return "" if key is None else msgspec.json.encode(key).decode()


class Keys:
    """Turns keys into what may be shown, and back where nothing was hidden."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def shown(self, model: str, key: Key) -> dict[str, msgspec.Raw]:
        """The key's values by field; of a secret, a digest."""
        shown = self._form(model).members(key)
        for f in self.rules.model(model).key_fields:
            if f.secret is not None:
                digest = hashlib.sha256(shown[f.name]).hexdigest()[:16]
                shown[f.name] = msgspec.json.encode(_DIGEST + digest)
        return {name: msgspec.Raw(raw) for name, raw in shown.items()}

    def is_secret(self, model: str) -> bool:
        """Whether a part of the model's key is a secret."""
        return any(f.secret is not None for f in self.rules.model(model).key_fields)

    def key(self, model: str, shown: Mapping[str, msgspec.Raw]) -> Key | None:
        """The key again; None if it is a secret."""
        if self.is_secret(model):
            return None
        return self._form(model).named({name: bytes(raw) for name, raw in shown.items()})

    def _form(self, model: str) -> KeyForm:
        return self.rules.codecs[model].keys


def different_fields(one: Record, other: Record) -> tuple[str, ...]:
    """The names of the fields in which two records of a model differ."""
    return tuple(f.name for f in model_of(one).scalars if stored_value(one, f) != stored_value(other, f))


class Divergences:
    """The file and the counters of one data folder.  Safe to share among threads."""

    def __init__(self, root: str) -> None:
        self.path, self._counters = os.path.join(root, NAME), os.path.join(root, COUNTERS)
        self._mutex = threading.Lock()
        self._known: set[tuple[Any, ...]] = set()
        self._counted: dict[str, int] = {}

    def add(
        self,
        kind: str,
        model: str = "",
        key: dict[str, msgspec.Raw] | None = None,
        *,
        fields: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        """Write down that something differs."""
        line = Divergence(time=_now(), kind=kind, model=model, key=key, fields=fields, reason=reason)
        mark = (kind, *line.about, fields, reason)
        with self._mutex:
            if mark in self._known:
                return
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known.add(mark)
        LOG.warning("%s: %s %s %s%s", kind, model, key_text(key), ",".join(fields), reason)
        self._write(line)

    def healed(self, divergence: Divergence) -> None:
        """Write down that something differs no more."""
        with self._mutex:
            self._known.clear()
        self._write(msgspec.structs.replace(divergence, time=_now(), healed=True))

    def _write(self, line: Divergence) -> None:
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, FILE_MODE)
            try:
                if os.fstat(descriptor).st_size < _LARGEST or line.healed:
                    os.write(descriptor, msgspec.json.encode(line) + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            LOG.warning("a divergence could not be written down: %s", error.strerror)

    def open(self) -> list[Divergence]:
        """What differs still, in the order in which it was first seen."""
        found: dict[tuple[str, str], Divergence] = {}
        for line in self._lines():
            if line.healed:
                found.pop(line.about, None)
            else:
                found.setdefault(line.about, line)
        return list(found.values())

    def _lines(self) -> Iterator[Divergence]:
        try:
            with open(self.path, "rb") as file:
                for text in file:
                    try:
                        yield msgspec.json.decode(text, type=Divergence)
                    except msgspec.MsgspecError:
                        # Cut off by a full disk or a crash.
                        continue
        except FileNotFoundError:
            return

    def count(self, name: str, *, now: bool = True) -> None:
        """Add one to a counter; ``now``: write it down at once.

        Each comparison of a read is ``compared`` (and may be ``different``) or ``failed``; what a write comes
        upon is ``noticed``.
        """
        with self._mutex:
            self._counted[name] = self._counted.get(name, 0) + 1
            due = now or sum(self._counted.values()) >= _OFTEN
        if due:
            self.flush()

    def flush(self) -> None:
        """Write down what was counted."""
        with self._mutex:
            counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            with _locked(self._counters) as descriptor:
                total = _decoded(os.pread(descriptor, 4096, 0))
                for name, number in counted.items():
                    total[name] = total.get(name, 0) + number
                data = msgspec.json.encode(total)
                os.pwrite(descriptor, data, 0)
                os.ftruncate(descriptor, len(data))
        except OSError as error:
            LOG.warning("counters could not be written: %s", error.strerror)

    def counters(self) -> dict[str, int]:
        """What was counted by all processes since ``cache`` was last emptied."""
        self.flush()
        try:
            with open(self._counters, "rb") as file:
                return _decoded(file.read())
        except FileNotFoundError:
            return {}


@contextmanager
def _locked(path: str) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with LockFile(lambda: os.open(path, flags, FILE_MODE)) as file:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX)
        yield file.descriptor


def _decoded(data: bytes) -> dict[str, int]:
    try:
        return msgspec.json.decode(data, type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
