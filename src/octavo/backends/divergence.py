"""What PostgreSQL and the files were seen to differ in, while they ran side by side.

What is noticed goes to ``cache/divergence.jsonl``, and to counters.  A line tells that a record differs (or,
with ``healed``, that it was made equal again): its model, its key and the fields' names, never a value.  The
last line of a record counts.  Each process writes a record that it sees again and again down once.

Reads that PostgreSQL answers are compared with the files.  What a call asked, and the answer, is noted; then
the files are asked the same.  If they answer alike, that is all.  If not, another transaction may have come
in between: so both are asked once more while no writer runs, and only what differs then differs.  Within a
transaction, no other can write: each answer is compared with the files as the transaction has them, and if it
differs, once more when PostgreSQL has decided about the transactions before it.

Nothing here may get in the way of an answer: what cannot be written down goes to the log
``octavo.backends.dual`` instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from octavo.errors import OctavoError
from octavo.layout.keys import Key, KeyForm, one_or_tuple
from octavo.layout.record import Record, model_of, stored_value
from octavo.store.lock import LockFile
from octavo.store.system import FILE_MODE

if TYPE_CHECKING:
    from octavo.backends.json import JsonBackend
    from octavo.backends.reading import JsonReader
    from octavo.query.plan import Condition, Group, Grouping, Link, Query, Search
    from octavo.query.protocols import Reader
    from octavo.query.vocabulary import Vocabulary
    from octavo.store.rules import Rules

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


_WAIT = 2.0
"""seconds to wait for the write lock"""


class Call(NamedTuple):
    """A question of the protocol about records of a model, and its answer."""

    name: str
    model: str
    arguments: tuple[Any, ...]
    answer: Any


class Listening:
    """A reader that notes down what it is asked, and what it answers; or calls ``tell``."""

    def __init__(self, reader: Reader, tell: Callable[[Call], None] | None = None) -> None:
        self._reader = reader
        self.calls: list[Call] = []
        self._tell = tell or self.calls.append

    def _noted(self, name: str, model: str, *arguments: Any) -> Any:
        answer = getattr(self._reader, name)(*arguments)
        # The caller may change the order of its list.
        self._tell(Call(name, model, arguments, list(answer) if isinstance(answer, list) else answer))
        return answer

    def find(self, model: str, fields: tuple[str, ...], values: Key) -> Record | None:
        found: Record | None = self._noted("find", model, model, fields, values)
        return found

    def select(self, query: Query) -> list[Record]:
        found: list[Record] = self._noted("select", query.model, query)
        return found

    def related(self, query: Query, link: Link, keys: Sequence[Key]) -> list[list[Record]]:
        found: list[list[Record]] = self._noted("related", link.target, query, link, keys)
        return found

    def count(self, query: Query) -> int:
        found: int = self._noted("count", query.model, query)
        return found

    def count_related(self, link: Link, where: Condition, keys: Sequence[Key]) -> list[int]:
        found: list[int] = self._noted("count_related", link.target, link, where, keys)
        return found

    def aggregate(self, grouping: Grouping) -> list[Group]:
        found: list[Group] = self._noted("aggregate", grouping.query.model, grouping)
        return found

    def search(self, search: Search) -> list[tuple[Record, float]]:
        """Not noted: each place ranks in its own way."""
        return self._reader.search(search)


class Comparison:
    """Holds what PostgreSQL answered against the files.  Never raises: an answer is there already."""

    def __init__(self, vocabulary: Vocabulary, divergences: Divergences) -> None:
        self._vocabulary, self._divergences = vocabulary, divergences

    def of(
        self,
        calls: Sequence[Call],
        on_files: Callable[[Callable[[JsonBackend], bool]], bool],
        primary: Callable[[Any], Any],
    ) -> None:
        """Compare; ``on_files`` lends the files to a function, ``primary`` one state of PostgreSQL."""
        self._counted(
            lambda: on_files(
                lambda files: (
                    files.read(lambda reader: _alike(reader, calls)) or self._still(calls, files, primary)
                )
            )
        )

    def within(self, call: Call, database: Reader, files: JsonReader, catch_up: Callable[[], object]) -> None:
        """Compare an answer within a transaction.

        ``catch_up`` waits until all transactions before it are decided, and lets the files have what
        PostgreSQL changed beside what a statement named, as by a trigger.
        """

        def alike() -> bool:
            if _alike(files, [call]):
                return True
            catch_up()
            again = Listening(database)
            getattr(again, call.name)(*call.arguments)
            if _alike(files, again.calls):
                return True
            self._tell(again.calls[0], database, files, Keys(files.view.rules))
            return False

        self._counted(alike)

    def _counted(self, alike: Callable[[], bool]) -> None:
        """Make one comparison, and count it by its outcome; whatever goes wrong with it is written down."""
        try:
            equal = alike()
        except OctavoError as error:
            self._failed(error)
        except Exception as error:
            # Whatever is wrong with the files, PostgreSQL has answered.
            LOG.exception("a comparison with the files broke off")
            self._failed(error)
        else:
            self._divergences.count("compared", now=False)
            if not equal:
                self._divergences.count("different")

    def _failed(self, error: Exception) -> None:
        self._divergences.count("failed")
        file = getattr(error, "file", "")
        self._divergences.add(
            "failed", reason=" ".join(part for part in (type(error).__name__, file) if part)
        )

    def _still(self, calls: Sequence[Call], files: JsonBackend, primary: Callable[[Any], Any]) -> bool:
        """Whether both answer alike under the write lock; if not, what differs is written down."""
        from octavo.backends.reading import JsonReader

        with files.store.transaction(timeout=_WAIT) as view:
            # What PostgreSQL has yet to decide is in the files' view already.
            view.wait_for_earlier()
            reader = JsonReader(files.indexes, view)

            def hold(database: Reader) -> bool:
                heard = Listening(database)
                for call in calls:
                    getattr(heard, call.name)(*call.arguments)
                different = [call for call in heard.calls if not _alike(reader, [call])]
                keys = Keys(view.rules)
                for call in different:
                    self._tell(call, database, reader, keys)
                return not different

            return bool(primary(hold))

    def _tell(self, call: Call, database: Reader, files: JsonReader, keys: Keys) -> None:
        """Write down in which records the answers to a question differ."""
        terms = self._vocabulary[call.model]
        wanted = {terms.key_of(r): r for r in _records(call.answer)}
        found = {terms.key_of(r): r for r in _records(getattr(files, call.name)(*call.arguments))}
        told = False
        for key in {**wanted, **found}:
            if wanted.get(key) == found.get(key):
                continue
            # It may be there, and only not be found.
            one, other = (side.find(call.model, terms.key, key) for side in (database, files))
            if one == other:
                continue
            kind = "missing" if other is None else "extra" if one is None else "different"
            fields = different_fields(one, other) if one is not None and other is not None else ()
            shown = keys.shown(call.model, one_or_tuple(key))
            self._divergences.add(kind, call.model, shown, fields=fields)
            told = True
        if not told:
            self._divergences.add("answer", call.model, reason=call.name)


def _alike(reader: Reader, calls: Sequence[Call]) -> bool:
    return all(getattr(reader, call.name)(*call.arguments) == call.answer for call in calls)


def _records(answer: Any) -> list[Record]:
    """The records in an answer to any question."""
    if isinstance(answer, Record):
        return [answer]
    if not isinstance(answer, list):
        return []
    return [record for item in answer for record in _records(item)]
