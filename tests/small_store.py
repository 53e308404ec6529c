"""A small store with a record in every way to live, what can happen to it, and its state as others read it.

A :class:`Story` is a list of steps, each one transaction (or one act of upkeep); what the store holds after
each of them is what a crash in the next one may leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from octavo.errors import DamagedError
from octavo.fold.scaffold import scaffold
from octavo.layout.found import UnknownKey
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import File, contents
from octavo.layout.load import frozen_layout
from octavo.layout.reader import Reader
from octavo.layout.record import Record, attribute, model_of, stored_value
from octavo.schema.datamodel import Model, ScalarField, ScalarKind
from octavo.store.rules import Rules
from octavo.store.store import Store, Transaction
from octavo.store.view import View
from octavo.values.registry import value_type

Key: TypeAlias = tuple[bytes | None, ...]
Row: TypeAlias = tuple[bytes | None, ...]
State: TypeAlias = dict[str, dict[Key, Row]]
"""By model and key the values of each row, as PostgreSQL prints them."""

Step: TypeAlias = Callable[[Store], object]
TIME = "2025-11-22T12:34:56.789Z"


@cache
def layout() -> Layout:
    return frozen_layout()


@cache
def _rules() -> Rules:
    return Rules(layout())


def row(model: str, **values: Any) -> Record:
    """A row with these values, NULL or something of the right type in the other fields."""
    kind = _rules().codecs[model].record_type
    found = _rules().model(model)
    given = {attribute(found.scalar(name)): value for name, value in values.items()}
    filled = {attribute(f): _anything(f) for f in found.scalars if not (f.is_json and f.nullable)}
    made: Record = kind(**(filled | given))
    return made


def _anything(field: ScalarField) -> Any:
    if field.nullable:
        return None
    if field.kind is ScalarKind.ENUM:
        return layout().datamodel.enum(field.type).members[0].name
    return {"DateTime": TIME, "Int": 0, "Boolean": False, "Json": msgspec.Raw(b"{}")}.get(
        field.type, field.name
    )


def text_of(record: Record) -> Row:
    """A row's values as PostgreSQL prints them, None for NULL."""
    found: list[bytes | None] = []
    for f in model_of(record).scalars:
        value = stored_value(record, f)
        kind = value_type(f, layout().datamodel)
        found.append(None if kind.is_null(value) else kind.text(value))
    return tuple(found)


def _key(model: Model, values: Row) -> Key:
    names = [f.name for f in model.scalars]
    return tuple(values[names.index(f.name)] for f in model.key_fields)


def state_of(store: Store) -> State:
    """What a store answers, of all rows."""

    def work(view: View) -> State:
        found: State = {}
        for place in layout().places:
            texts = [text_of(r) for r in view.rows(place.model.name)]
            found[place.model.name] = {_key(place.model, values): values for values in texts}
        return found

    return store.read(work)


def state_on_disk(root: Path) -> State:
    """What the files hold, by code that shares nothing with the store.

    A last line that was torn does not count; anything else that cannot be read is an error.
    """
    found: State = {place.model.name: {} for place in layout().places}
    listed = contents(layout(), root)
    assert not listed.missing, listed.missing
    assert not [stray for stray in listed.strays if not stray.endswith(".new")], listed.strays
    reader = Reader(layout(), root)
    for file in listed.files:
        for name, rows in _state_in(reader, file, root).items():
            found[name] |= rows
    return found


def _state_in(reader: Reader, file: File, root: Path) -> State:
    """What one file holds: what is removed in it may be in another one by now."""
    found: State = {place.model.name: {} for place in layout().places}
    for record in reader.read(file):
        if isinstance(record, UnknownKey):
            continue
        if isinstance(record, DamagedError):
            if file.family.kind.is_log and _is_torn(root / file.path, record.line):
                continue
            raise record
        model = record.place.model
        key = tuple(record.key)
        # What a line says of embedded records holds for all that its parent has.
        _forget_embedded(found, model.name, key)
        if record.deleted:
            found[model.name].pop(key, None)
            continue
        found[model.name][key] = tuple(record.values)
        for place, values in record.embedded:
            found[place.model.name][_key(place.model, tuple(values))] = tuple(values)
    return found


def _forget_embedded(found: State, host: str, key: Key) -> None:
    for place in layout().places:
        if place.kind is Kind.EMBEDDED and place.relation is not None and place.relation.parent == host:
            names = [f.name for f in place.model.scalars]
            at = [names.index(n) for n in place.relation.fields]
            rows = found[place.model.name]
            for own in [k for k, values in rows.items() if tuple(values[i] for i in at) == key]:
                del rows[own]


def _is_torn(path: Path, line: int) -> bool:
    lines = path.read_bytes().split(b"\n")
    last = len(lines) if lines[-1] else len(lines) - 1
    return line == last and (bool(lines[-1]) or b"\0" in lines[line - 1])


def broken_constraints(state: State) -> list[str]:
    """The uniques and foreign keys that do not hold."""
    return [*_not_unique(state), *_dangling(state)]


def _not_unique(state: State) -> Iterator[str]:
    for model in layout().datamodel.tables:
        names = [f.name for f in model.scalars]
        for unique in model.uniques:
            at = [names.index(n) for n in unique.field_names]
            found = [
                values for r in state[model.name].values() if None not in (values := tuple(r[i] for i in at))
            ]
            if len(found) != len(set(found)):
                yield f"{model.name}: {unique.field_names}"


def _dangling(state: State) -> Iterator[str]:
    for relation in layout().datamodel.foreign_keys:
        child, parent = _rules().model(relation.child), _rules().model(relation.parent)
        child_names, parent_names = ([f.name for f in m.scalars] for m in (child, parent))
        there = {
            tuple(r[parent_names.index(n)] for n in relation.references) for r in state[parent.name].values()
        }
        for r in state[child.name].values():
            values = tuple(r[child_names.index(n)] for n in relation.fields)
            if None not in values and values not in there:
                yield f"{relation.child}.{relation.fields} → {relation.parent}: {values!r}"


def message(number: int, chat: str = "chat-1", **values: Any) -> Record:
    at = f"2025-11-22T12:00:{number % 60:02}.000Z"
    # New ones are long enough to be torn in the middle.
    content = f"Grüße, № {number} " + "… " * (20 if number < 20 else 400)
    return row(
        "Message", **({"id": f"m{number}", "chatId": chat, "content": content, "createdAt": at} | values)
    )


def build(root: Path) -> None:
    """Make the small store, closed and without ``cache/``."""
    scaffold(root, layout())
    with Store.open(root, layout()) as store:
        with store.transaction() as tx:
            tx.insert([row("User", id="user-1", email="a@example.org")])
            tx.insert([row("Tag", id=f"tag-{n}", userId="user-1", nameLower=f"t{n}") for n in (1, 2)])
            tx.insert([row("Image", id="image-1", userId="user-1")])
            tx.insert([row("ConnectionProfile", id="profile-1", userId="user-1")])
            tx.insert([row("Persona", id="persona-1", userId="user-1")])
            tx.insert([row("Session", id="session-1", userId="user-1")])
            tx.insert(
                [row("Character", id=f"hero-{n}", userId="user-1", defaultImageId="image-1") for n in (1, 2)]
            )
            tx.insert([row("CharacterTag", id="ct-1", characterId="hero-1", tagId="tag-1")])
            chats = [("chat-1", "hero-1"), ("chat-2", "hero-2"), ("chat-3", "hero-2")]
            tx.insert([chat(name, character) for name, character in chats])
            tx.insert([row("ChatTag", id="cht-1", chatId="chat-1", tagId="tag-1")])
            tx.insert([message(n) for n in range(3)])
            tx.insert([message(10, "chat-2"), message(11, "chat-2")])
            tx.insert([row("ChatFile", id="file-1", chatId="chat-1", messageId="m1")])
        for number in range(66):
            with store.transaction() as tx:
                revise(tx, "Message", "m10", tokenCount=number)
    for path in sorted((root / "cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def chat(name: str, character: str = "hero-1") -> Record:
    return row("Chat", id=name, userId="user-1", characterId=character, connectionProfileId="profile-1")


def revise(tx: Transaction, model: str, key: str, **values: Any) -> None:
    """Change some values of one row."""
    before = tx.get(model, key)
    assert before is not None
    names = {attribute(_rules().model(model).scalar(name)): value for name, value in values.items()}
    tx.update([(before, msgspec.structs.replace(before, **names))])


def erase(tx: Transaction, model: str, key: str) -> None:
    """Remove one row."""
    before = tx.get(model, key)
    assert before is not None
    tx.delete([before])


def step(work: Callable[[Transaction], object]) -> Step:
    """A transaction as a step."""

    def run(store: Store) -> None:
        with store.transaction() as tx:
            work(tx)

    return run


@dataclass(frozen=True)
class Story:
    """Steps that are taken one after the other."""

    name: str
    steps: tuple[Step, ...]
    batched: bool = False

    def __str__(self) -> str:
        return self.name

    def open(self, root: Path, **options: Any) -> Store:
        store = Store.open(root, layout(), durability="batched" if self.batched else "full", **options)
        # However slow the machine is, the same steps make the same calls.
        store.engine.writer.burst = 3600.0
        return store


def _new_chat(tx: Transaction) -> None:
    tx.insert([chat("chat-9")])
    tx.insert([message(n, "chat-9") for n in range(90, 93)])
    tx.insert([row("ChatTag", id="cht-9", chatId="chat-9", tagId="tag-2")])


def _compacting(tx: Transaction) -> None:
    tx.find("Message", ("chatId",), "chat-2")
    revise(tx, "Message", "m10", tokenCount=1000)


def _erase_user(tx: Transaction) -> None:
    for name in ("chat-1", "chat-2", "chat-3"):
        erase(tx, "Chat", name)
    erase(tx, "User", "user-1")


_append = step(lambda tx: tx.insert([message(20)]))
_journalled = step(_new_chat)
_rename_chat = step(lambda tx: revise(tx, "Chat", "chat-1", id="chat-7"))

STORIES = (
    Story("append a message", (_append,)),
    Story("append several messages", (step(lambda tx: tx.insert([message(n) for n in range(20, 23)])),)),
    Story("change a message", (step(lambda tx: revise(tx, "Message", "m1", content="neu")),)),
    Story("change a line of an index", (step(lambda tx: revise(tx, "Chat", "chat-1", title="neu")),)),
    Story("delete a message that a file points at", (step(lambda tx: erase(tx, "Message", "m1")),)),
    Story("delete a message", (step(lambda tx: erase(tx, "Message", "m2")),)),
    Story(
        "create a record file",
        (step(lambda tx: tx.insert([row("Character", id="hero-9", userId="user-1")])),),
    ),
    Story("change a record file", (step(lambda tx: revise(tx, "Persona", "persona-1", name="neu")),)),
    Story("delete a record file", (step(lambda tx: erase(tx, "Persona", "persona-1")),)),
    Story("change a document", (step(lambda tx: tx.insert([row("Tag", id="tag-9", userId="user-1")])),)),
    Story(
        "tag a character",
        (step(lambda tx: tx.insert([row("CharacterTag", id="ct-9", characterId="hero-2", tagId="tag-2")])),),
    ),
    Story("create a chat with messages", (_journalled,)),
    Story("delete a chat", (step(lambda tx: erase(tx, "Chat", "chat-1")),)),
    Story("delete a character", (step(lambda tx: erase(tx, "Character", "hero-2")),)),
    Story("delete a tag", (step(lambda tx: erase(tx, "Tag", "tag-1")),)),
    Story("give a chat another key", (_rename_chat,)),
    Story("give a character another key", (step(lambda tx: revise(tx, "Character", "hero-1", id="hero-7")),)),
    Story("delete everything of a user", (step(_erase_user),)),
    Story("compact a log", (step(_compacting),)),
    Story("write the journal, then close", (_journalled, Store.close)),
    Story(
        "change again what the journal names",
        (
            _journalled,
            step(lambda tx: revise(tx, "Message", "m91", content="neu")),
            step(lambda tx: tx.insert([message(94, "chat-9")])),
            step(lambda tx: erase(tx, "Chat", "chat-9")),
            Store.checkpoint,
            _append,
        ),
    ),
    Story(
        "write to a log in a burst",
        (
            _append,
            step(lambda tx: tx.insert([message(21)])),
            step(lambda tx: tx.insert([message(22)])),
            step(lambda tx: revise(tx, "Message", "m21", content="neu")),
            step(lambda tx: erase(tx, "Message", "m22")),
            Store.close,
        ),
    ),
    Story("batches", (_append, _journalled, Store.flush, _rename_chat, Store.flush), batched=True),
)
