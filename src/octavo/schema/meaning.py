"""What a schema means: a fingerprint of it, and how two schemas differ.

Two texts mean the same if they give the same data the same types, names, rules and order: comments,
generators, the ``url``, the order of enums and of ``@@index`` lines, and names that are spelled out but would
be the same by default make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from octavo.schema.datamodel import Datamodel, Enum, Model, RelationField, RelationKind, ScalarField
from octavo.schema.native import DEFAULT_NATIVE

_UNSAID = frozenset({"documentation", "secret", "on_field", "index_order", "collation", "generated", "order"})
"""what is no part of the meaning, beside what was written and would be so by default (``written_…``)"""


def fingerprint(datamodel: Datamodel) -> str:
    """The SHA-256 of what a schema means, as ``sha256:<hex>``."""
    known: str | None = vars(datamodel).get("fingerprint")
    if known is None:
        import hashlib

        text = msgspec.json.encode(_meaning(datamodel), order="sorted")
        known = know(datamodel, f"sha256:{hashlib.sha256(text).hexdigest()}")
    return known


def know(datamodel: Datamodel, found: str) -> str:
    """Let :func:`fingerprint` give this for a Datamodel, without working it out."""
    known: str = vars(datamodel).setdefault("fingerprint", found)
    return known


def _meaning(datamodel: Datamodel) -> dict[str, Any]:
    datamodel = datamodel.complete
    return {
        "models": [_plain(_model(model)) for model in datamodel.models],
        "enums": sorted(map(_plain, datamodel.enums), key=lambda enum: enum["name"]),
        "relations": [relation for _, relation in sorted(_relations(datamodel).items())],
        "datasource": _datasource(datamodel),
    }


def _relations(datamodel: Datamodel) -> dict[str, Any]:
    """The relations by the field of their child.  A relation's name matters where it names a table."""
    joins = RelationKind.MANY_TO_MANY
    return {
        f"{r.child}.{r.child_field}": _plain(r if r.kind is joins else replace(r, name=""))
        for r in datamodel.relations
    }


def _datasource(datamodel: Datamodel) -> Any:
    source = datamodel.datasource
    schemas, extensions = tuple(sorted(source.schemas)), tuple(sorted(source.extensions, key=str))
    return _plain(replace(source, name="", provider="", schemas=schemas, extensions=extensions))


def _model(model: Model) -> Model:
    """A model as it means: native types that are the default left out, plain indexes in one order."""
    fields = [
        replace(f, relation="")
        if isinstance(f, RelationField)
        else replace(f, native=None)
        if f.native == DEFAULT_NATIVE.get(f.type)
        else f
        for f in model.fields
    ]
    indexes = sorted(model.indexes, key=lambda index: (index.constraint, index.field_names))
    return replace(model, fields=tuple(fields), indexes=tuple(indexes))


def _plain(value: Any) -> Any:
    """A part of a Datamodel in JSON's types, without what is no part of the meaning."""
    return _said(msgspec.to_builtins(value))


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _said(part)
            for name, part in value.items()
            if name not in _UNSAID and not name.startswith("written_")
        }
    return [_said(part) for part in value] if isinstance(value, (list, tuple)) else value


def differences(store: Datamodel, given: Datamodel) -> list[str]:
    """How a given schema differs from the store's, a few words each; none if both mean the same."""
    if fingerprint(store) == fingerprint(given):
        return []
    store, given = store.complete, given.complete
    store, given = store.complete, given.complete
    ours, theirs = ({m.name: m for m in d.models} for d in (store, given))
    found = list(_one_sided(ours, theirs, "model {}"))
    for name, model in theirs.items():
        if name in ours:
            found += _of_models(ours[name], model)
    enums, given_enums = ({e.name: e for e in d.enums} for d in (store, given))
    found += _one_sided(enums, given_enums, "enum {}")
    for name, enum in given_enums.items():
        if name in enums:
            found += _of_enums(enums[name], enum)
    relations, given_relations = _relations(store), _relations(given)
    for name, relation in given_relations.items():
        if relation != relations.get(name, relation):
            found.append(f"{name} differs in its columns, actions or constraint")
    if _datasource(store) != _datasource(given):
        found.append("the datasource differs")
    return found or ["the order of models differs"]


def _one_sided(store: Mapping[str, Any], given: Mapping[str, Any], named: str) -> Iterator[str]:
    """What only one of the two has."""
    yield from (f"{named.format(name)} is not in the store's" for name in given if name not in store)
    yield from (f"{named.format(name)} is in the store's only" for name in store if name not in given)


def _of_models(store: Model, given: Model) -> Iterator[str]:
    ours, theirs = ({f.name: f for f in m.fields} for m in (store, given))
    yield from _one_sided(ours, theirs, f"{given.name}.{{}}")
    before, after = (_by_name(_model(m)) for m in (store, given))
    for name in after:
        if name in before and before[name] != after[name]:
            yield f"{given.name}.{name} differs ({_told(ours[name])}, given: {_told(theirs[name])})"
    if list(ours) != list(theirs) and ours.keys() == theirs.keys():
        yield f"{given.name} has its fields in another order"
    rest: Callable[[Model], Any] = lambda m: _plain(replace(_model(m), fields=()))  # noqa: E731
    if rest(store) != rest(given):
        yield f"{given.name} differs in its name, keys or indexes"


def _by_name(model: Model) -> dict[str, Any]:
    return {field.name: _plain(field) for field in model.fields}


def _told(field: ScalarField | RelationField) -> str:
    """A field's type in a few words."""
    kind = field.type if isinstance(field, ScalarField) else field.model
    return kind + {"list": "[]", "optional": "?"}.get(field.arity, "")


def _of_enums(store: Enum, given: Enum) -> Iterator[str]:
    if _plain(store) == _plain(given):
        return
    ours, theirs = ({m.name: m for m in e.members} for e in (store, given))
    yield from _one_sided(ours, theirs, f"{given.name}.{{}}")
    if ours.keys() == theirs.keys():
        yield f"{given.name} has its labels in another order, or with other names in the database"
