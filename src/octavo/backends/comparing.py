"""Reads answered by PostgreSQL, held against the files.

What a call asked of PostgreSQL, and what it heard, is noted down; then the files are asked the same.  If they
answer alike, that is all.  If not, somebody may have written in between: so both are asked once more while
nobody can write, and only what differs then differs.  Within a transaction nobody else can begin to write:
each answer is held against the files as the transaction has them, and if it differs, once more when
PostgreSQL has decided about those before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from octavo.backends.divergence import LOG, Divergences, Keys, different_fields
from octavo.backends.json import JsonBackend, JsonReader
from octavo.backends.keys import in_store
from octavo.errors import OctavoError
from octavo.layout.record import Record
from octavo.query.plan import Condition, Link, Query
from octavo.query.protocol import Key, Reader
from octavo.query.vocabulary import Vocabulary

_WAIT = 2.0
"""seconds to wait for a moment in which nobody writes"""


class Call(NamedTuple):
    """A question of the protocol about records of a model, and its answer."""

    name: str
    model: str
    arguments: tuple[Any, ...]
    answer: Any


class Listening:
    """A reader that notes down what it is asked, and what it answers; or tells somebody (``tell``)."""

    def __init__(self, reader: Reader, tell: Callable[[Call], None] | None = None) -> None:
        self._reader = reader
        self.calls: list[Call] = []
        self._tell = tell or self.calls.append

    def _noted(self, name: str, model: str, *arguments: Any) -> Any:
        answer = getattr(self._reader, name)(*arguments)
        # Whoever asked may change the order of the list that he was given.
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

        ``catch_up`` waits until all that came before it is on both sides, and lets the files have what
        PostgreSQL has done behind a statement, as by a trigger.
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
        """Whether both answer alike while nobody can write; if not, what differs is written down."""
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
            shown = keys.shown(call.model, in_store(key))
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
