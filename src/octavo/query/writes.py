"""From ``data`` to records to be made and changes to be done, nested writes included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavo.query.arguments import At, bounded
from octavo.query.filters import Filters, may_be_where
from octavo.query.plan import (
    TRUE,
    Change,
    ChangeKind,
    Condition,
    Connect,
    ConnectOrCreate,
    Create,
    CreateMany,
    Delete,
    DeleteMany,
    Disconnect,
    Edit,
    Link,
    Nested,
    NewRecord,
    SetLinks,
    Step,
    Unique,
    Update,
    UpdateMany,
    Upsert,
)
from octavo.query.vocabulary import Column, Terms

_NEW = ("create", "connect", "connect_or_create", "create_many")
_CHANGED = (
    "create",
    "connect",
    "connect_or_create",
    "disconnect",
    "set",
    "delete",
    "update",
    "upsert",
    "delete_many",
    "update_many",
    "create_many",
)
"""what a nested write may hold; it is done in the order in which the caller names it"""
_LISTS_ONLY = ("set", "delete_many", "update_many", "create_many")
_ARITHMETIC = ("increment", "decrement", "multiply", "divide")


def changes(column: Column) -> tuple[str, ...]:
    """What an update may do to a field."""
    if column.field.is_list:
        return ("set", "push")
    return ("set", *_ARITHMETIC) if column.one.is_number else ("set",)


def steps(link: Link, *, new: bool) -> tuple[str, ...]:
    """What a nested write may do over a relation of a record that is made (``new``) or changed."""
    known = tuple(o for o in (_NEW if new else _CHANGED) if link.is_list or o not in _LISTS_ONLY)
    if link.holds_key and link.required:
        known = tuple(o for o in known if o not in ("disconnect", "delete"))
    if link.join:
        known = tuple(o for o in known if o != "create_many")
    return known


class Writes:
    """Checks the data of writing calls on any model of a vocabulary."""

    def __init__(self, filters: Filters) -> None:
        self.filters, self.vocabulary = filters, filters.vocabulary

    @bounded
    def new(
        self,
        terms: Terms,
        given: Any,
        at: At,
        *,
        supplied: tuple[str, ...] = (),
        from_link: Link | None = None,
        plain: bool = False,
    ) -> NewRecord:
        """A record to be made.  ``supplied`` are fields that the record it hangs on gives it (over
        ``from_link``, as seen from there); ``plain``: no nested writes."""
        values: dict[str, Any] = {}
        nested: list[Nested] = []
        for name, value in at.mapping(given).items():
            if (column := terms.usable.get(name)) is not None:
                if name in supplied:
                    (at / name).fail("comes from the record that this one is created in")
                wrapped = isinstance(value, Mapping) and column.field.is_list
                plain_value = (at / name).named(value, ("set",)).get("set") if wrapped else value
                try:
                    values[name] = column.write(plain_value)
                except ValueError as error:
                    (at / name).refuse(error)
            elif (link := terms.links.get(name)) is not None and not plain:
                if from_link is not None and self.vocabulary.opposite(from_link) == link:
                    (at / name).fail("is the record that this one is created in")
                nested.append(self._nested(link, value, at / name, new=True))
            else:
                self._unknown(terms, name, at, plain)
        linked = self._linked_fields(nested, values, at) if nested else ()
        for name in terms.needed:
            if name not in values and name not in supplied and name not in linked:
                at.lacks(f"{self._named(terms, name)}, which is required")
        return NewRecord(model=terms.name, values=values, nested=tuple(nested))

    def rows(self, terms: Terms, given: Any, at: At, supplied: tuple[str, ...] = ()) -> tuple[NewRecord, ...]:
        """The records of a ``create_many``, without nested writes."""
        return tuple(
            self.new(terms, row, inner, supplied=supplied, plain=True) for row, inner in at.each(given)
        )

    @bounded
    def edit(self, terms: Terms, given: Any, at: At, *, plain: bool = False) -> Edit:
        """What an update does; ``plain``: to fields alone."""
        changed: list[Change] = []
        nested: list[Nested] = []
        for name, value in at.mapping(given).items():
            if (column := terms.usable.get(name)) is not None:
                changed.append(self._change(column, value, at / name))
            elif (link := terms.links.get(name)) is not None and not plain:
                nested.append(self._nested(link, value, at / name, new=False))
            else:
                self._unknown(terms, name, at, plain)
        self._linked_fields(nested, {c.field: c for c in changed}, at)
        return Edit(model=terms.name, changes=tuple(changed), nested=tuple(nested))

    def _unknown(self, terms: Terms, name: Any, at: At, plain: bool) -> None:
        if name in terms.links:
            (at / name).fail("is a relation, and only fields can be given here")
        known = tuple(terms.usable) if plain else (*terms.usable, *terms.links)
        at.unknown(name, known, f"{terms.name} has no such field")

    def _named(self, terms: Terms, field: str) -> str:
        links = [link.name for link in terms.links.values() if link.holds_key and field in link.fields]
        return " or ".join((field, *links))

    def _linked_fields(self, nested: list[Nested], given: Mapping[str, Any], at: At) -> set[str]:
        """The foreign keys that nested writes give; the caller may not give them too."""
        if not nested:
            return set()
        linked = {field for n in nested if n.link.holds_key and n.steps for field in n.link.fields}
        for n in nested:
            for field in n.link.fields if n.link.holds_key and n.steps else ():
                if field in given:
                    (at / field).fail(f"is given by {n.link.name} already")
        return linked

    def _change(self, column: Column, value: Any, at: At) -> Change:
        name, kinds = column.name, changes(column)
        if not isinstance(value, Mapping) or (column.field.is_json and not column.field.is_list):
            return Change(name, ChangeKind.SET, at.value(column.write, value))
        found = at.named(value, kinds, "what can be done to this field")
        if len(found) != 1:
            at.fail(f"takes exactly one of {', '.join(kinds)}")
        [(kind, operand)] = found.items()
        inner = at / kind
        if kind == "set":
            return Change(name, ChangeKind.SET, inner.value(column.write, operand))
        if kind == "push":
            pushed = operand if isinstance(operand, list | tuple) else [operand]
            return Change(name, ChangeKind.PUSH, inner.value(column.write, pushed))
        stored = inner.value(column.operand, operand)
        if kind == "divide" and not operand:
            inner.fail("is zero")
        return Change(name, ChangeKind(kind), stored)

    def _nested(self, link: Link, given: Any, at: At, *, new: bool) -> Nested:
        found = at.named(given, steps(link, new=new), "what can be done over this relation")
        done: list[Step] = []
        for name, value in found.items():
            done += self._steps(link, name, value, at / name)
        if not link.is_list and sum(isinstance(s, Create | Connect | ConnectOrCreate) for s in done) > 1:
            at.fail("links more than one record, and there is place for one")
        return Nested(link, tuple(done))

    def _steps(self, link: Link, name: str, given: Any, at: At) -> list[Step]:
        target = self.vocabulary[link.target]
        if name == "create_many":
            found = at.named(given, ("data", "skip_duplicates"))
            rows = self.rows(target, found.get("data", ()), at / "data", self._supplied(link))
            skip = (at / "skip_duplicates").boolean(found.get("skip_duplicates", False))
            return [CreateMany(rows, skip)]
        if name == "set":
            wanted_ones = tuple(self._unique(target, item, inner) for item, inner in at.each(given))
            return [SetLinks(wanted_ones, all_there=not self.vocabulary.exact)]
        if name in ("disconnect", "delete") and not link.is_list:
            step = Disconnect if name == "disconnect" else Delete
            if isinstance(given, Mapping):
                return [step(self.filters.where(target, given, at))]
            # To Prisma, ``disconnect: false`` is true.
            wanted = at.boolean(given) or (self.vocabulary.exact and name == "disconnect")
            return [step(TRUE)] if wanted else []
        if not link.is_list and isinstance(given, list | tuple):
            at.fail("is a list, and there is place for one record")
        return [self._step(link, target, name, item, inner) for item, inner in at.each(given)]

    def _step(self, link: Link, target: Terms, name: str, given: Any, at: At) -> Step:
        match name:
            case "create":
                return Create(self._new(link, target, given, at))
            case "connect":
                return Connect(self._unique(target, given, at))
            case "disconnect" | "delete":
                which = self._unique(target, given, at).where
                return Disconnect(which) if name == "disconnect" else Delete(which)
            case "delete_many":
                return DeleteMany(self.filters.where(target, given, at))
            case "connect_or_create":
                found = self._all(given, ("where", "create"), at)
                to = self._unique(target, found["where"], at / "where")
                return ConnectOrCreate(to, self._new(link, target, found["create"], at / "create"))
            case "update_many":
                found = self._all(given, ("where", "data"), at)
                edit = self.edit(target, found["data"], at / "data", plain=True)
                return UpdateMany(self.filters.where(target, found["where"], at / "where"), edit)
            case "update":
                return self._update(link, target, given, at)
        return self._upsert(link, target, given, at)

    def _upsert(self, link: Link, target: Terms, given: Any, at: At) -> Upsert:
        known = ("where", "create", "update") if link.is_list else ("create", "update", "where")
        found = at.named(given, known)
        for key in known if link.is_list else known[:2]:
            if key not in found:
                at.lacks(key)
        record = self._new(link, target, found["create"], at / "create")
        edit = self.edit(target, found["update"], at / "update")
        return Upsert(self._linked(link, target, found.get("where"), at / "where"), record, edit)

    def _update(self, link: Link, target: Terms, given: Any, at: At) -> Update:
        if not link.is_list and not _is_wrapped(target, given):
            return Update(TRUE, self.edit(target, given, at))
        found = at.named(given, ("where", "data"))
        for key in ("where", "data") if link.is_list else ("data",):
            if key not in found:
                at.lacks(key)
        where = self._linked(link, target, found.get("where"), at / "where")
        return Update(where, self.edit(target, found["data"], at / "data"))

    def _linked(self, link: Link, target: Terms, given: Any, at: At) -> Condition:
        """Which linked record is meant: of several by a unique, of one by anything or nothing."""
        if link.is_list:
            return self._unique(target, given, at).where
        return TRUE if given is None else self.filters.where(target, given, at)

    def _all(self, given: Any, names: tuple[str, ...], at: At) -> dict[str, Any]:
        found = at.named(given, names)
        for name in names:
            if name not in found:
                at.lacks(name)
        return found

    def _unique(self, target: Terms, given: Any, at: At) -> Unique:
        return self.filters.unique(target, given, at)

    def _new(self, link: Link, target: Terms, given: Any, at: At) -> NewRecord:
        return self.new(target, given, at, supplied=self._supplied(link), from_link=link)

    @staticmethod
    def _supplied(link: Link) -> tuple[str, ...]:
        return () if link.holds_key or link.join else link.references


def _is_wrapped(target: Terms, given: Any) -> bool:
    """Whether an update of a to-one relation is spelled ``{where, data}``, and is not the data itself.

    A model may have fields of these names: as in Prisma, they are meant where the values could be nothing
    else.
    """
    if not isinstance(given, Mapping) or not isinstance(given.get("data"), Mapping):
        return False
    if not given.keys() <= {"where", "data"}:
        return False
    names = target.usable.keys() | target.links.keys()
    return ("data" not in names or given["data"].keys() <= names) and (
        "where" not in names or may_be_where(target, given.get("where", {}))
    )
