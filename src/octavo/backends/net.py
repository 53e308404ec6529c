"""What a transaction has changed in the files from first to last, record by record.

The store knows its changes as what is written: a host with all that is embedded in it.  Here each record is
told by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from octavo.layout.codec import Codec
from octavo.layout.record import Record
from octavo.layout.stored import Stored, array_attribute
from octavo.query.protocol import Key
from octavo.query.vocabulary import Vocabulary
from octavo.store.index import Spec
from octavo.store.integrity import Writable
from octavo.store.rules import Rules

NetChange: TypeAlias = "tuple[str, Key, Record | None]"
"""A record that has changed: its model and key, and what it is now; None: it is gone."""


def net_changes(vocabulary: Vocabulary, view: Writable) -> list[NetChange]:
    """All records that are not what they were before the transaction."""
    now: dict[tuple[str, Key], Record | None] = {}
    for model, key, record in _by_host(vocabulary, view):
        # One that is embedded may have gone from one host and come to another.
        if record is not None or (model, key) not in now:
            now[model, key] = record
    return [(model, key, record) for (model, key), record in now.items()]


def _by_host(vocabulary: Vocabulary, view: Writable) -> Iterator[NetChange]:
    """The same, as each host shows it."""
    rules = view.rules
    for host, changed in view.layer.net.items():
        codec = rules.codecs[host]
        key_of = vocabulary[host].key_of
        for change in changed.values():
            before, after = change.before, change.after
            one = None if before is None else codec.record(before)
            other = None if after is None else codec.record(after)
            if one != other:
                yield host, key_of(other or one), other  # type: ignore[arg-type]
            for child in codec.children:
                if before is not None and after is not None and _holds_the_same(rules, before, after, child):
                    continue
                model = child.place.model.name
                own = vocabulary[model].key_of
                old = {} if before is None else {own(r): r for r in codec.embedded(before, child)}
                new = {} if after is None else {own(r): r for r in codec.embedded(after, child)}
                for key in {**old, **new}:
                    if old.get(key) != new.get(key):
                        yield model, key, new.get(key)


def _holds_the_same(rules: Rules, before: Stored, after: Stored, child: Codec) -> bool:
    """Whether the records that are embedded in one are the same afterwards."""
    array, relation = array_attribute(child.place), child.place.relation
    if relation is None or getattr(before, array) != getattr(after, array):
        return False
    get = rules.values_of(Spec(relation.parent, relation.references))
    return bool(get(before) == get(after))
