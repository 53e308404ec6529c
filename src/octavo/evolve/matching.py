"""Pairs the models, fields, enum labels and foreign keys of one schema with those of the next.

A name that stays is the same thing.  A model, field or label of another name is the same if it is so in the
database (its table, column or label there), or if a rename declares it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from octavo.errors import UsageError
from octavo.schema.datamodel import Datamodel, Enum, Model, Relation, RelationKind, ScalarField

_NAME = r"[^\s.=]+"
_RENAME = re.compile(rf"({_NAME})\.({_NAME})=(?:{_NAME}\.)?({_NAME})")
_MODEL_RENAME = re.compile(rf"({_NAME})=({_NAME})")


class Renames(Struct, frozen=True):
    """What is declared to be the same under another name; each as it was written."""

    models: Mapping[str, str] = {}
    """old name to new name"""
    members: Mapping[tuple[str, str], str] = {}
    """(model or enum, old field or label) to its new name"""

    @classmethod
    def parse(cls, members: Sequence[str], models: Sequence[str]) -> Renames:
        """From ``Model.old=new`` or ``Enum.OLD=NEW``, and ``Old=New``.  Raises UsageError."""
        named: dict[str, str] = {}
        for text in models:
            if not (found := _MODEL_RENAME.fullmatch(text)):
                raise UsageError(f"--rename-model {text!r} is not like Old=New")
            if named.setdefault(found[1], found[2]) != found[2]:
                raise UsageError(f"--rename-model gives {found[1]} two new names")
        inner: dict[tuple[str, str], str] = {}
        for text in members:
            if not (found := _RENAME.fullmatch(text)):
                raise UsageError(f"--rename {text!r} is not like Model.old=new or Enum.OLD=NEW")
            if inner.setdefault((found[1], found[2]), found[3]) != found[3]:
                raise UsageError(f"--rename gives {found[1]}.{found[2]} two new names")
        return cls(named, inner)

    @property
    def back(self) -> Renames:
        """The way back."""
        models = {new: old for old, new in self.models.items()}
        return Renames(models, {(owner, new): old for (owner, old), new in self.members.items()})

    def texts(self) -> list[str]:
        """As they are written on the command line."""
        models = [f"{old}={new}" for old, new in self.models.items()]
        return [*models, *(f"{owner}.{old}={new}" for (owner, old), new in self.members.items())]


class Matching:
    """Two Datamodels, and the pairs of their parts.  Raises UsageError for a wrong rename."""

    def __init__(self, old: Datamodel, new: Datamodel, renames: Renames) -> None:
        self.old, self.new, self.renames = old, new, renames
        self._used: set[tuple[str, str]] = set()
        self.models: dict[str, str] = {}
        """of each new model that was there before, the old name"""
        self.fields: dict[str, dict[str, str]] = {}
        """for each of these, the old names of the fields that were there before, by the new ones"""
        self._match_models()
        for name, before in self.models.items():
            self.fields[name] = self._match_fields(old.model(before), new.model(name))
        self._match_join_tables()
        self._labels = {e.name: e for e in old.enums}
        for enum in old.enums:
            for other in new.enums:
                self.labels(enum, other)
        if unused := [key for key in renames.members if key not in self._used]:
            raise self._no_rename(*unused[0])

    @cached_property
    def after(self) -> dict[str, str]:
        """Of each old model that is still there, the new name."""
        return {old: new for new, old in self.models.items()}

    # Models

    def _match_models(self) -> None:
        olds, news = _tables(self.old), _tables(self.new)
        enums = {e.name for e in self.old.enums}
        declared = {}
        for before, after in self.renames.models.items():
            if before in enums and before not in olds:
                # Files do not tell the name of an enum: nothing has to be said about it.
                continue
            _check_rename("--rename-model", before, after, olds, news)
            declared[after] = before
        self.models = _matched(
            news, olds, declared, lambda new, old: (new.schema, new.table) == (old.schema, old.table)
        )

    def _match_join_tables(self) -> None:
        """The tables of implicit relations, whose names and columns follow from the models' names."""
        news = [r for r in self.new.relations if r.kind is RelationKind.MANY_TO_MANY]
        olds = [r for r in self.old.relations if r.kind is RelationKind.MANY_TO_MANY]
        for relation in news:
            ends = {self.models.get(relation.child), self.models.get(relation.parent)}
            left = [r for r in olds if {r.child, r.parent} == ends]
            same = [r for r in left if r.constraint == relation.constraint] or [
                r for r in left if self._has_fields(r, relation)
            ]
            found = same or (left if len(left) == 1 else [])
            others = [r for r in news if {self.models.get(r.child), self.models.get(r.parent)} == ends]
            if not found or (not same and len(others) > 1):
                continue
            before = found[0]
            olds.remove(before)
            swapped = self.models[relation.child] != before.child
            if relation.child == relation.parent:
                swapped = before.child_field == relation.parent_field != relation.child_field
            self.models[relation.constraint] = before.constraint
            self.fields[relation.constraint] = {"A": "B", "B": "A"} if swapped else {"A": "A", "B": "B"}

    @staticmethod
    def _has_fields(one: Relation, other: Relation) -> bool:
        return {one.child_field, one.parent_field} == {other.child_field, other.parent_field}

    # Fields and labels

    def _declared(self, owners: Iterable[str], olds: Iterable[str], news: Iterable[str]) -> dict[str, str]:
        """The declared renames of the members of something, new name to old."""
        found = {}
        olds, news = set(olds), set(news)
        for (owner, before), after in self.renames.members.items():
            is_here = before in olds and after in news and before not in news and after not in olds
            if owner in owners and is_here:
                self._used.add((owner, before))
                found[after] = before
        return found

    def _match_fields(self, old: Model, new: Model) -> dict[str, str]:
        olds = {f.name: f for f in old.scalars}
        news = {f.name: f for f in new.scalars}
        owners = {old.name, new.name}
        # Relations are no columns: that one has another name changes no record.
        self._declared(owners, [f.name for f in old.relations], [f.name for f in new.relations])
        declared = self._declared(owners, olds, news)
        return _matched(news, olds, declared, lambda one, other: one.column == other.column)

    def labels(self, old: Enum, new: Enum) -> dict[str, str]:
        """Of each old label that is still there, the new one, both by their Prisma names."""
        olds = {m.name: m for m in old.members}
        news = {m.name: m for m in new.members}
        declared = self._declared({old.name, new.name}, olds, news)
        same = _matched(news, olds, declared, lambda one, other: one.label == other.label)
        return {before: after for after, before in same.items()}

    def _no_rename(self, owner: str, before: str) -> UsageError:
        after = self.renames.members[owner, before]
        what = f"--rename {owner}.{before}={after}"
        names = {
            *_tables(self.old),
            *_tables(self.new),
            *(e.name for e in (*self.old.enums, *self.new.enums)),
        }
        if owner not in names:
            return UsageError(f"{what}: there is no model or enum {owner}")
        olds, news = (
            _members(self.old, self.renames, owner, old=True),
            _members(self.new, self.renames, owner, old=False),
        )
        return _why_no_rename(what, before, after, olds, news)

    # Foreign keys

    def relation_before(self, relation: Relation) -> Relation | None:
        """The foreign key of the old schema that this one of the new schema is."""
        child = self.models.get(relation.child)
        if child is None:
            return None
        fields = tuple(self.fields[relation.child].get(name, "") for name in relation.fields)
        parent = self.models.get(relation.parent)
        return next((r for r in self.old.parents(child) if (r.fields, r.parent) == (fields, parent)), None)

    def relation_after(self, relation: Relation) -> Relation | None:
        """The foreign key of the new schema that this one of the old schema is."""
        child = self.after.get(relation.child)
        if child is None:
            return None
        return next((r for r in self.new.parents(child) if self.relation_before(r) == relation), None)

    def field_after(self, model: str, name: str) -> str | None:
        """What a field of an old model is called; None if it is gone."""
        after = self.after.get(model)
        if after is None:
            return None
        return next((new for new, old in self.fields[after].items() if old == name), None)


def _tables(datamodel: Datamodel) -> dict[str, Model]:
    return {m.name: m for m in datamodel.models if not m.is_view}


def _members(datamodel: Datamodel, renames: Renames, owner: str, *, old: bool) -> set[str]:
    """The members of the model or enum that a rename speaks of, which may name it by its other name."""
    names = {owner, *(o if old else n for o, n in renames.models.items() if owner in (o, n))}
    found: set[str] = set()
    for model in datamodel.models:
        found |= {f.name for f in model.fields} if model.name in names else set()
    for enum in datamodel.enums:
        found |= {m.name for m in enum.members} if enum.name in names else set()
    return found


def _matched(
    news: Mapping[str, Any],
    olds: Mapping[str, Any],
    declared: Mapping[str, str],
    is_same: Callable[[Any, Any], bool],
) -> dict[str, str]:
    """New names to old ones: those declared, those that stay, and of the rest those that are the same in the
    database."""
    found = dict(declared)
    taken = set(declared.values())
    for name in news:
        if name in olds and name not in found and name not in taken:
            found[name] = name
            taken.add(name)
    for name, new in news.items():
        if name not in found:
            same = [n for n, old in olds.items() if n not in taken and n not in news and is_same(new, old)]
            if same:
                found[name] = same[0]
                taken.add(same[0])
    return {name: found[name] for name in news if name in found}


def _check_rename(option: str, before: str, after: str, olds: Iterable[str], news: Iterable[str]) -> None:
    olds, news = set(olds), set(news)
    if before in olds and after in news and before not in news and after not in olds:
        return
    raise _why_no_rename(f"{option} {before}={after}", before, after, olds, news)


def _why_no_rename(what: str, before: str, after: str, olds: set[str], news: set[str]) -> UsageError:
    if before not in olds:
        return UsageError(f"{what}: the store's schema has no {before}")
    if after not in news:
        return UsageError(f"{what}: the new schema has no {after}")
    if before in news:
        return UsageError(f"{what}: the new schema still has {before}")
    return UsageError(f"{what}: the store's schema already has {after}")


def scalar_pairs(matching: Matching, model: str) -> Iterator[tuple[ScalarField | None, ScalarField]]:
    """Each column of a new model, with the one that it was."""
    new, fields = matching.new.model(model), matching.fields.get(model, {})
    old = matching.old.model(matching.models[model]) if model in matching.models else None
    for f in new.scalars:
        before = fields.get(f.name)
        yield (old.scalar(before) if old is not None and before is not None else None), f
