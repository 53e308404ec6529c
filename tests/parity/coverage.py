"""What of all that a program could say has been said, and what of it was done.

What there is to say comes from the code that checks arguments, from the schema and from the list of
operations; what was said is read off the calls; and the model in memory notes which records it has changed
and which referential actions it has carried out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from memory import arrow
from octavo.query.aggregates import ALL, FUNCTIONS
from octavo.query.filters import LOGIC, operators, quantifiers
from octavo.query.plan import AggregateFunction, Link
from octavo.query.reads import DIRECTIONS, MANY, NULLS
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.query.writes import changes, steps
from octavo.schema.datamodel import ScalarKind
from octavo.schema.native import native_type
from parity.pools import Pools
from parity.programs import OPERATIONS, Call, Step, Together

_ARGUMENTS = (*MANY, "by", "having", "limit")
Item: TypeAlias = tuple[str, str]
"""A group, and what of it."""


def kind(column: Column) -> str:
    """The type of a field in the database."""
    field = column.field
    name = "enum" if field.kind is ScalarKind.ENUM else native_type(field).name
    return f"{name}[]" if field.is_list else name


def relation(link: Link) -> str:
    """The kind of a relation, as nested writes know it."""
    if link.join:
        return "join table"
    if link.holds_key:
        return "parent" if link.required else "optional parent"
    return "children" if link.is_list else "child"


def is_nested(item: Item) -> bool:
    """Whether it is a nested write, which over some relations can only be refused."""
    return item[0].startswith("nested")


def there_is(vocabulary: Vocabulary) -> dict[Item, None]:
    """All that can be said about the models of a vocabulary, in order."""
    pools = Pools(vocabulary)
    models = [vocabulary[m.name] for m in vocabulary.datamodel.models if not m.ignored]
    found: dict[Item, None] = {}

    def add(group: str, items: Iterable[str]) -> None:
        found.update(dict.fromkeys((group, item) for item in items))

    add("operation", OPERATIONS)
    add("argument", _ARGUMENTS)
    add("logic", LOGIC)
    add(
        "order",
        (*DIRECTIONS, *(f"nulls {place}" for place in NULLS), "_count", "aggregate", "over a relation"),
    )
    for terms in models:
        for column in pools.stable(terms):
            add(f"filter of {kind(column)}", operators(column))
            add(f"change of {kind(column)}", changes(column))
            known = [f for f in AggregateFunction if column.name in pools.aggregated(terms, f)]
            add(f"aggregate of {kind(column)}", known)
        for link in terms.links.values():
            add(f"filter of {'records' if link.is_list else 'a record'}", quantifiers(link))
            for new in (True, False):
                add(f"nested {'new' if new else 'change'}, {relation(link)}", steps(link, new=new))
    for terms in models:
        for doing in ("create", "update", "delete"):
            add(doing, [terms.name])
    for key in vocabulary.datamodel.foreign_keys:
        add(f"onDelete {key.on_delete}", [arrow(key)])
        add(f"onUpdate {key.on_update}", [arrow(key)])
    return found


class Mentions:
    """Reads off a call what it says."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def of(self, step: Step) -> Iterator[Item]:
        """What a step says."""
        for call in step.calls if isinstance(step, Together) else [step]:
            if isinstance(call, Call):
                terms = self.vocabulary[call.model]
                yield "operation", call.operation
                yield from self._slice(terms, call.arguments)
                makes = call.operation.startswith("create")
                for name, new in (("data", makes), ("create", True), ("update", False)):
                    for data in _each(call.arguments.get(name, ())):
                        yield from self._data(terms, data, new=new)

    def _slice(self, terms: Terms, given: Mapping[str, Any]) -> Iterator[Item]:
        for name in _ARGUMENTS:
            if name in given:
                yield "argument", name
        for function in FUNCTIONS:
            for name in given.get(function, ()):
                if name != ALL:
                    yield f"aggregate of {kind(terms.columns[name])}", function
        yield from self._where(terms, given.get("where") or {})
        for order in _each(given.get("order_by", ())):
            yield from self._order(terms, order)
        for name, shown in {**(given.get("include") or {}), **(given.get("select") or {})}.items():
            if name == "_count" and isinstance(shown, Mapping):
                for link, one in shown["select"].items():
                    if isinstance(one, Mapping):
                        yield from self._where(self._target(terms, link), one["where"])
            elif name in terms.links and isinstance(shown, Mapping):
                yield from self._slice(self._target(terms, name), shown)

    def _target(self, terms: Terms, name: str) -> Terms:
        return self.vocabulary[terms.links[name].target]

    def _order(self, terms: Terms, order: Mapping[str, Any]) -> Iterator[Item]:
        for name, how in order.items():
            if name in FUNCTIONS:
                yield "order", "aggregate"
            elif name in terms.links:
                yield "order", "_count" if "_count" in how else "over a relation"
            elif isinstance(how, Mapping):
                yield "order", how["sort"]
                yield "order", f"nulls {how['nulls']}"
            else:
                yield "order", how

    def _where(self, terms: Terms, given: Mapping[str, Any]) -> Iterator[Item]:
        for name, value in given.items():
            if name in LOGIC:
                yield "logic", name
                for part in _each(value):
                    yield from self._where(terms, part)
            elif name in terms.columns:
                yield from self._filter(terms.columns[name], value)
            elif name in terms.links:
                group = f"filter of {'records' if terms.links[name].is_list else 'a record'}"
                for quantifier, inner in value.items():
                    yield group, quantifier
                    yield from self._where(self._target(terms, name), inner or {})

    def _filter(self, column: Column, value: Any) -> Iterator[Item]:
        if not isinstance(value, Mapping):
            yield f"filter of {kind(column)}", "equals"
            return
        for name, operand in value.items():
            yield f"filter of {kind(column)}", name
            if name == "not" and isinstance(operand, Mapping) and not column.field.is_json:
                yield from self._filter(column, operand)

    def _data(self, terms: Terms, data: Mapping[str, Any], *, new: bool) -> Iterator[Item]:
        for name, value in data.items():
            if name in terms.links:
                yield from self._nested(terms.links[name], value, new=new)
            elif not new:
                column = terms.columns[name]
                named = isinstance(value, Mapping) and (column.field.is_list or not column.field.is_json)
                for how in value if named else ("set",):
                    yield f"change of {kind(column)}", how

    def _nested(self, link: Link, given: Mapping[str, Any], *, new: bool) -> Iterator[Item]:
        target = self.vocabulary[link.target]
        for name, value in given.items():
            yield f"nested {'new' if new else 'change'}, {relation(link)}", name
            for one in _each(value):
                match name:
                    case "create":
                        yield from self._data(target, one, new=True)
                    case "update" if link.is_list or "data" in one:
                        yield from self._data(target, one["data"], new=False)
                    case "update":
                        yield from self._data(target, one, new=False)
                    case "connect_or_create" | "upsert":
                        yield from self._data(target, one["create"], new=True)
                        yield from self._data(target, one.get("update", {}), new=False)


def _each(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


class Coverage:
    """How often each thing was done, and how often refused."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.wanted, self._mentions = there_is(vocabulary), Mentions(vocabulary)
        self.done: Counter[Item] = Counter()
        self.refused: Counter[Item] = Counter()

    def note(self, step: Step, *, done: bool) -> None:
        """Count what a step says."""
        (self.done if done else self.refused).update(set(self._mentions.of(step)))

    def missing(self) -> list[Item]:
        """What was never done; of nested writes, what was never tried."""
        return [i for i in self.wanted if not (self.done[i] or (is_nested(i) and self.refused[i]))]

    def to_json(self) -> str:
        """As a test reports it."""
        return json.dumps([[*item, self.done[item], self.refused[item]] for item in self.wanted])


def table(reports: Iterable[str]) -> list[str]:
    """What tests have reported, summed up: a line for each group."""
    done: dict[str, Counter[str]] = {}
    refused: Counter[Item] = Counter()
    for report in reports:
        for group, item, well, badly in json.loads(report):
            done.setdefault(group, Counter())[item] += well
            refused[group, item] += badly
    width = max(map(len, done), default=0)
    lines = []
    for group, items in done.items():
        cells = [f"{item} {n}{_also(refused[group, item], group)}" for item, n in items.items()]
        lines.append(f"{group:{width}}  {', '.join(cells)}")
    return lines


def _also(refused: int, group: str) -> str:
    return f" ({refused} refused)" if refused and is_nested((group, "")) else ""
