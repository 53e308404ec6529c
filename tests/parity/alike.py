"""Clients on all backends at once: each step of a program is done on all of them, and gives the same."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from backends import dual_backend, emptied, on_files, prisma_backend
from memory import MemoryBackend
from octavo.client import Client, Models
from octavo.errors import ConstraintError, OctavoError
from octavo.inspect.doctor import examine
from octavo.inspect.findings import Kind
from octavo.layout.layout import Layout
from octavo.layout.record import Record, model_of, stored_value
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.result import Counts, Result
from octavo.query.vocabulary import Vocabulary
from octavo.schema.ddl import ddl
from octavo.url import DatabaseUrl
from parity.coverage import Coverage
from parity.programs import Call, Reopen, Step, Together
from stores import Unsynced

_EXPECTED = (Kind.PAYLOAD_NOT_KEPT, Kind.WASTEFUL)
"""what may be found: paths that lead nowhere, and logs in which much was changed"""

_numbers = itertools.count()

_SOME = ("update_many", "update_many_and_return", "delete_many")
"""what changes several records at once, which come in no order"""


class Place(NamedTuple):
    """Where the clients of one schema have their data: two empty databases, and a folder."""

    vocabulary: Vocabulary
    layout: Layout
    prisma: str
    dual: str
    folder: Path


@contextmanager
def place_of(server: EmbeddedServer, vocabulary: Vocabulary, layout: Layout) -> Iterator[Place]:
    """Two empty databases with a schema, and a folder."""
    names = [f"alike_{next(_numbers)}" for _ in range(2)]
    for name in names:
        with connect(server.create_database(name)) as connection:
            connection.execute(ddl(vocabulary.datamodel).script().encode())
    with tempfile.TemporaryDirectory() as made:
        prisma, dual = (server.url(name, schema="public") for name in names)
        yield Place(vocabulary, layout, prisma, dual, Path(made))
    for name in names:
        server.drop_database(name)


class Alike:
    """The model in memory, ``prisma`` on a database, ``json`` on files, and ``dual`` on others of both."""

    def __init__(self, place: Place, coverage: Coverage) -> None:
        self.place, self.coverage = place, coverage
        self.differs = False
        """whether a step has not given the same"""
        self.memory = MemoryBackend(place.vocabulary)
        self._stack = ExitStack()
        for url in (place.prisma, place.dual):
            with prisma_backend(place.vocabulary, url) as backend:
                emptied(backend)
        primary = self._stack.enter_context(prisma_backend(place.vocabulary, place.prisma))
        self.clients = {
            "memory": Client(self.memory, place.vocabulary),
            "prisma": Client(primary, place.vocabulary),
        }
        self._open()

    def _open(self) -> None:
        vocabulary, layout, folder = self.place.vocabulary, self.place.layout, self.place.folder
        self.clients["json"] = on_files(vocabulary, folder / "json", "batched", layout)
        self.dual = self._stack.enter_context(
            dual_backend(
                vocabulary, self.place.dual, folder / "dual", system=Unsynced(), apart=True, layout=layout
            )
        )
        self.clients["dual"] = Client(self.dual, vocabulary)

    def close(self) -> None:
        """Let go of everything, and remove the files."""
        self.clients["json"].close()
        self._stack.close()
        shutil.rmtree(self.place.folder)
        self.coverage.done.update(self.memory.notes)

    def do(self, step: Step) -> Any:
        """What a step gives, on each of them."""
        if isinstance(step, Reopen):
            self.clients["json"].close()
            self.dual.close()
            self._open()
            return None
        found = {name: outcome(client, step) for name, client in self.clients.items()}
        wanted = found["prisma"]
        self.differs = found != dict.fromkeys(found, wanted)
        assert not self.differs, "\n".join(
            [repr(step), *(f"{name}: {given}" for name, given in found.items())]
        )
        parts = wanted if isinstance(step, Together) and isinstance(wanted, list) else [wanted]
        self.coverage.note(step, done=not any(isinstance(part, Refused) for part in parts))
        return wanted

    # At the end

    def conclude(self) -> None:
        """All have the same records, both sides of ``dual`` are equal, and the files are sound."""
        for model in self.place.vocabulary.datamodel.models:
            if not model.ignored:
                self.do(Call(model.name, "find_many", {}))
        # What it writes in batches is in its files when it is closed.
        self.clients["json"].close()
        assert self._differences(self.place.dual, "dual") == []
        made_up = {
            f"{m.name}.{f.name}"
            for m in self.place.vocabulary.datamodel.tables
            for f in m.scalars
            if f.updated_at
        }
        left = [d for d in self._differences(self.place.prisma, "json") if not _is_about(d, made_up)]
        assert left == []
        for name in ("json", "dual"):
            found = examine(self.place.folder / name, self.place.layout).findings.all()
            assert [finding.to_dict() for finding in found if finding.kind not in _EXPECTED] == []
        assert [found.to_dict() for found in self.dual.divergences.open()] == []
        counters = self.dual.divergences.counters()
        assert set(counters) <= {"compared"}

    def _differences(self, url: str, name: str) -> list[dict[str, Any]]:
        """What ``octavo verify`` finds."""
        folder = self.place.folder / name
        options = VerifyOptions(folder / "none", jobs=1)
        report = verify(DatabaseUrl.parse(url), folder, self.place.layout, options)
        assert not report.strays
        assert not report.unknown_keys
        return [*msgspec.to_builtins(report.differences), *(v.to_dict() for v in report.violations)]


def _is_about(difference: Mapping[str, Any], fields: set[str]) -> bool:
    """Whether nothing but these fields differs."""
    model = difference.get("model")
    return difference.get("kind") == "different" and all(
        f"{model}.{name}" in fields for name in difference["fields"]
    )


class _Broken(Exception):
    """Ends a transaction that is not to be kept."""


class Refused(NamedTuple):
    """An error, and what was done before it."""

    error: str
    code: str
    says: str
    before: tuple[Any, ...] = ()


def outcome(client: Client, step: Call | Together) -> Any:
    """What a step gives, or how it is refused."""
    done: list[Any] = []
    call = None
    try:
        if isinstance(step, Call):
            call = step
            return _do(client, call)
        with client.tx(timeout=600) as tx:
            for call in step.calls:
                try:
                    done.append(_do(tx, call))
                except OctavoError as error:
                    if not step.stubborn:
                        raise
                    done.append(_refused(error, call))
            call = None
            if step.broken:
                raise _Broken
    except _Broken:
        pass
    except OctavoError as error:
        return _refused(error, call, done)
    return done


def _refused(error: OctavoError, call: Call | None, before: Iterable[Any] = ()) -> Refused:
    # Which one of several constraints a statement is told to violate hangs on the order of its rows.
    some = call is not None and call.operation in _SOME and isinstance(error, ConstraintError)
    says = "" if some else str(error)
    return Refused(type(error).__name__, getattr(error, "code", ""), says, tuple(before))


def run(program: Iterable[Step], client: Client) -> None:
    """Do a program on one client, whatever comes of it, and close it."""
    with client:
        for step in program:
            if not isinstance(step, Reopen):
                outcome(client, step)


def _do(models: Models, call: Call) -> Any:
    return plain(getattr(models[call.model], call.operation)(**call.arguments))


def plain(value: Any) -> Any:
    """A result to be compared: by stored values, without the times that the client has set."""
    match value:
        case list():
            return [plain(item) for item in value]
        case dict():
            return {name: plain(one) for name, one in value.items()}
        case float() | Decimal():
            # NaN is not equal to itself.
            return repr(value)
        case Counts():
            return value.to_dict()
        case Record():
            return {f.name: stored_value(value, f) for f in model_of(value).scalars if not f.updated_at}
        case Result():
            record = object.__getattribute__(value, "_0record")
            related: Mapping[str, Any] = object.__getattribute__(value, "_0related")
            fields = object.__getattribute__(value, "_0fields")
            own = plain(record)
            return {n: v for n, v in own.items() if n in fields} | {n: plain(v) for n, v in related.items()}
    return value
