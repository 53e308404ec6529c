"""Random programs for a client of any schema, and what becomes of them.

A program is a list of steps: calls of operations, transactions of several calls that may be broken off, and
the store being opened again.  Values come from small pools, so that keys collide, links are found and
constraints are hit.  Whatever the client makes up by itself (ids, times) is given, or left out of what is
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from octavo import DbNull, JsonNull
from octavo.client import Client, Models
from octavo.errors import ConstraintError, OctavoError
from octavo.layout.record import Record, model_of
from octavo.query.plan import Link
from octavo.query.result import Counts, Result
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Function, ScalarKind

Strategy: TypeAlias = st.SearchStrategy[Any]


class Call(NamedTuple):
    model: str
    operation: str
    arguments: dict[str, Any]


class Together(NamedTuple):
    """Calls in one transaction; ``broken``: it is left by an exception."""

    calls: list[Call]
    broken: bool


class Reopen(NamedTuple):
    """The store is closed and opened again."""


Step: TypeAlias = Call | Together | Reopen

_KEYS = ["a", "b", "c"]
_NUMBERS = [1, 2, 3]
_POOLS: dict[str, list[Any]] = {
    "String": ["", "a", "B", "ab", "é", "a_%"],
    "Int": [0, 1, 2, -1],
    "BigInt": [0, 1, 2**40],
    "Float": [0.5, 1.0, -2.25e10],
    "Decimal": [Decimal("1"), Decimal("1.50"), Decimal("-2.25")],
    "Boolean": [True, False],
    "DateTime": [datetime(2024, 1, n, 12, 0, 0, 1000 * n, tzinfo=UTC) for n in (1, 2, 3)],
    "Json": [{"k": 1}, {"k": "x", "l": [1, 2]}, [1, 2], "text", 1.5, JsonNull],
    "Bytes": [b"", b"\0x"],
}
_MEMBERS = 3
"""records that one argument names at most"""


class _Broken(Exception):
    pass


def _once(make: Callable[..., Strategy]) -> Callable[..., Strategy]:
    """A method's strategies made once: there are many, and they are made of each other."""

    def strategy(self: Programs, *arguments: Any, **named: Any) -> Strategy:
        key = (make.__name__, *arguments, *named.items())
        if key not in self.made:
            self.made[key] = make(self, *arguments, **named)
        return self.made[key]

    return strategy


class Programs:
    """Strategies for the models of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.made: dict[Any, Strategy] = {}
        models = [m.name for m in vocabulary.datamodel.models if not m.ignored]
        self.all = [vocabulary[name] for name in models]

    # Values

    def pool(self, terms: Terms, column: Column) -> list[Any]:
        """The values, but for NULL, that a field may have in a program."""
        field = column.field
        if field.kind is ScalarKind.ENUM:
            return [m.name for m in self.vocabulary.datamodel.enum(field.type).members][:3]
        keyed = {f for fields in terms.uniques.values() for f in fields} | {
            f for link in terms.links.values() for f in link.fields
        }
        if column.name in keyed and field.type == "String":
            return _KEYS
        if column.name in keyed and field.type == "Int":
            return _NUMBERS
        return _POOLS[field.type]

    def value(self, terms: Terms, column: Column) -> Strategy:
        """A value to be written."""
        one = st.sampled_from(self.pool(terms, column))
        if column.field.is_list:
            return st.lists(one, max_size=3)
        if not column.field.nullable:
            return one
        return one | st.just(DbNull if column.field.is_json else None)

    def compared(self, terms: Terms) -> list[Column]:
        """The fields that are the same however often a program is run."""
        return [c for c in terms.usable.values() if not c.field.updated_at]

    # Writing

    @_once
    def row(self, terms: Terms, supplied: tuple[str, ...] = ()) -> Strategy:
        """Data of a new record, with all that would otherwise be made up."""
        needed: dict[str, Strategy] = {}
        optional: dict[str, Strategy] = {}
        for column in self.compared(terms):
            if column.name in supplied:
                continue
            made = isinstance(column.field.default, Function)
            here = needed if made or column.needed else optional
            here[column.name] = self.value(terms, column)
        return st.fixed_dictionaries(needed, optional=optional)

    @_once
    def new(self, terms: Terms, depth: int = 1, supplied: tuple[str, ...] = ()) -> Strategy:
        """The same, perhaps with records that hang on it."""
        plain = self.row(terms, supplied)
        links = [link for link in terms.links.values() if not link.holds_key]
        if not depth or not links:
            return plain
        nested = st.sampled_from(links).flatmap(
            lambda link: st.fixed_dictionaries({link.name: self.nested(link, depth - 1, new=True)})
        )
        return plain | st.builds(lambda row, more: row | more, plain, nested)

    @_once
    def nested(self, link: Link, depth: int, *, new: bool) -> Strategy:
        """What is done over a relation whose key the record does not hold."""
        target = self.vocabulary[link.target]
        supplied = () if link.join else link.references
        steps: dict[str, Strategy] = {
            "create": self.new(target, depth, supplied),
            "connect": self.unique(target),
        }
        if not new:
            which = self.unique(target) if link.is_list else st.just(True)
            change = self.change(target)
            steps |= {"disconnect": which, "delete": which}
            steps["update"] = (
                st.fixed_dictionaries({"where": self.unique(target), "data": change})
                if link.is_list
                else change
            )
            if link.is_list:
                steps["set"] = st.lists(self.unique(target), max_size=2)
                steps["delete_many"] = self.where(target, 0)
        name = st.sampled_from(sorted(steps))
        return name.flatmap(lambda n: st.fixed_dictionaries({n: steps[n]}))

    @_once
    def change(self, terms: Terms) -> Strategy:
        """Data of an update of fields."""
        keys = {f for fields in terms.uniques.values() for f in fields}
        fields: dict[str, Strategy] = {}
        for column in self.compared(terms):
            if column.name in keys:
                continue
            fields[column.name] = self.value(terms, column)
            if column.is_number:
                kind = st.sampled_from(["increment", "decrement", "multiply", "set"])
                operand = st.sampled_from(self.pool(terms, column))
                fields[column.name] |= st.builds(lambda k, v: {k: v}, kind, operand)
            if column.field.is_list:
                fields[column.name] |= st.fixed_dictionaries({"push": fields[column.name]})
        return st.fixed_dictionaries({}, optional=fields)

    @_once
    def edit(self, terms: Terms) -> Strategy:
        """Data of an update of one record: keys, and what hangs on it, too."""
        one = st.sampled_from(self.compared(terms))
        key = one.flatmap(lambda c: st.fixed_dictionaries({c.name: self.value(terms, c)}))
        links = [link for link in terms.links.values() if not link.holds_key]
        if not links:
            return self.change(terms) | key
        over = st.sampled_from(links).flatmap(
            lambda link: st.fixed_dictionaries({link.name: self.nested(link, 0, new=False)})
        )
        return self.change(terms) | key | over

    # Finding

    @_once
    def unique(self, terms: Terms) -> Strategy:
        """One record, perhaps, by a key or unique."""

        def by(item: tuple[str, tuple[str, ...]]) -> Strategy:
            name, fields = item
            values = {f: st.sampled_from(self.pool(terms, terms.columns[f])) for f in fields}
            inner = st.fixed_dictionaries(values)
            return inner if len(fields) == 1 else st.fixed_dictionaries({name: inner})

        return st.sampled_from(sorted(terms.uniques.items())).flatmap(by)

    @_once
    def where(self, terms: Terms, depth: int = 2) -> Strategy:
        """A filter that filters by something."""
        fields = st.sampled_from(self.compared(terms)).flatmap(
            lambda c: st.fixed_dictionaries({c.name: self.filter(terms, c)})
        )
        if not depth:
            return fields
        inner = st.lists(self.where(terms, depth - 1), min_size=1, max_size=2)
        logic = st.sampled_from(["AND", "OR", "NOT"]).flatmap(lambda n: st.fixed_dictionaries({n: inner}))
        found = fields | logic
        if terms.links:
            found |= st.sampled_from(list(terms.links.values())).flatmap(
                lambda link: st.fixed_dictionaries({link.name: self.over(link, depth - 1)})
            )
        return found

    @_once
    def over(self, link: Link, depth: int) -> Strategy:
        target = self.vocabulary[link.target]
        name = st.sampled_from(["some", "every", "none"] if link.is_list else ["is", "is_not"])
        return name.flatmap(lambda n: st.fixed_dictionaries({n: self.where(target, depth)}))

    def filter(self, terms: Terms, column: Column) -> Strategy:
        """A filter of one field."""
        one = st.sampled_from(self.pool(terms, column))
        field = column.field
        if field.is_list:
            several = st.lists(one, max_size=2)
            names = st.sampled_from(["has_every", "has_some", "equals"])
            return st.builds(lambda n, v: {n: v}, names, several) | st.fixed_dictionaries({"has": one})
        if field.is_json:
            path = st.sampled_from([["k"], ["l", "0"], ["0"]])
            at_path = st.builds(lambda p, v: {"path": p, "equals": v}, path, one)
            return st.builds(lambda v: {"equals": v}, one) | at_path | st.just(DbNull)
        found: Strategy = one | st.builds(lambda v: {"not": v}, one)
        found |= st.builds(lambda n, v: {n: v}, st.sampled_from(["in", "not_in"]), st.lists(one, max_size=3))
        if column.is_ordered:
            found |= st.builds(lambda n, v: {n: v}, st.sampled_from(["lt", "lte", "gt", "gte"]), one)
        if column.is_text:
            names = st.sampled_from(["contains", "starts_with", "ends_with", "equals"])
            mode = st.sampled_from(["default", "insensitive"])
            found |= st.builds(lambda n, v, m: {n: v, "mode": m}, names, one, mode)
        return found | st.none() if field.nullable else found

    @_once
    def order(self, terms: Terms) -> Strategy:
        direction = st.sampled_from(["asc", "desc"])
        columns = [c.name for c in self.compared(terms) if not (c.field.is_json or c.field.is_list)]
        plain = st.builds(lambda n, d: {n: d}, st.sampled_from(columns), direction)
        links = list(terms.links.values())
        if not links:
            return st.lists(plain, min_size=1, max_size=2)
        lists = [link.name for link in links if link.is_list]
        ones = [link for link in links if not link.is_list]
        found: Strategy = plain
        if lists:
            found |= st.builds(lambda n, d: {n: {"_count": d}}, st.sampled_from(lists), direction)
        if ones:
            found |= st.sampled_from(ones).flatmap(
                lambda link: st.builds(
                    lambda f, d: {link.name: {f: d}},
                    st.sampled_from([*self.vocabulary[link.target].key]),
                    direction,
                )
            )
        return st.lists(found, min_size=1, max_size=2)

    @_once
    def slice(self, terms: Terms, depth: int, *, cursor: bool = True) -> Strategy:
        """The arguments of ``find_many``, or of an included list."""
        columns = [c.name for c in self.compared(terms) if not (c.field.is_json or c.field.is_list)]
        optional: dict[str, Strategy] = {
            "where": self.where(terms, depth),
            "order_by": self.order(terms),
            "take": st.integers(-3, 3),
            "skip": st.integers(0, 2),
            "distinct": st.lists(st.sampled_from(columns), min_size=1, max_size=2, unique=True),
        }
        if terms.links and depth:
            optional["include"] = self.include(terms, depth - 1)
        plain = st.fixed_dictionaries({}, optional=optional)
        if not cursor:
            return plain
        by = st.builds(lambda n, d: {n: d}, st.sampled_from(columns), st.sampled_from(["asc", "desc"]))
        page = st.fixed_dictionaries(
            {"cursor": self.unique(terms), "order_by": by},
            optional={"take": st.integers(-3, 3), "skip": st.integers(0, 2), "where": optional["where"]},
        )
        return plain | page

    @_once
    def include(self, terms: Terms, depth: int) -> Strategy:
        def one(link: Link) -> Strategy:
            target = self.vocabulary[link.target]
            return st.just(True) | self.slice(target, depth) if link.is_list else st.just(True)

        links = {link.name: one(link) for link in terms.links.values()}
        counts = st.just({"_count": True}) if any(k.is_list for k in terms.links.values()) else st.just({})
        few = st.lists(st.sampled_from(sorted(links)), min_size=1, max_size=2, unique=True)
        chosen = few.flatmap(lambda names: st.fixed_dictionaries({n: links[n] for n in names}))
        return st.builds(lambda a, b: a | b, chosen, counts)

    # Programs

    @_once
    def call(self, terms: Terms) -> Strategy:
        unique, where, new, edit = self.unique(terms), self.where(terms), self.new(terms), self.edit(terms)
        arguments: dict[str, Strategy] = {
            "create": st.fixed_dictionaries({"data": new}),
            "create_many": st.fixed_dictionaries(
                {"data": st.lists(self.row(terms), max_size=_MEMBERS), "skip_duplicates": st.booleans()}
            ),
            "update": st.fixed_dictionaries({"where": unique, "data": edit}),
            "update_many_and_return": st.fixed_dictionaries({"where": where, "data": self.change(terms)}),
            "upsert": st.fixed_dictionaries({"where": unique, "create": new, "update": edit}),
            "delete": st.fixed_dictionaries({"where": unique}),
            "delete_many": st.fixed_dictionaries({"where": where}),
            "find_unique": st.fixed_dictionaries({"where": unique}),
            "find_many": self.slice(terms, 2),
            "count": st.fixed_dictionaries({}, optional={"where": where}),
        }
        # Data has to be there before it can be lost.
        names = ["create"] * 6 + ["create_many"] * 3 + ["find_many"] * 6 + sorted(arguments)
        return st.sampled_from(names).flatmap(
            lambda name: st.builds(lambda a: Call(terms.name, name, a), arguments[name])
        )

    @_once
    def beginning(self) -> st.SearchStrategy[list[Step]]:
        """Three records of each model, parents first, most of which can be made."""
        return st.tuples(*(self._three(terms) for terms in self._parents_first())).map(list)

    def _parents_first(self) -> list[Terms]:
        order: dict[str, Terms] = {}

        def add(terms: Terms) -> None:
            above = [r.parent for r in self.vocabulary.datamodel.parents(terms.name)]
            if terms.name not in order and terms.name not in pending:
                pending.add(terms.name)
                for name in above:
                    add(self.vocabulary[name])
                order[terms.name] = terms

        pending: set[str] = set()
        for terms in self.all:
            add(terms)
        return list(order.values())

    def _three(self, terms: Terms) -> Strategy:
        foreign = {f for link in terms.links.values() if link.holds_key for f in link.fields}
        own = [fields[0] for fields in terms.uniques.values() if len(fields) == 1]
        own = [name for name in own if name not in foreign]

        def made(row: dict[str, Any], number: int) -> dict[str, Any]:
            pools = {name: self.pool(terms, terms.columns[name]) for name in own}
            return row | {name: pool[number] for name, pool in pools.items()}

        rows = st.tuples(*(st.builds(made, self.row(terms), st.just(n)) for n in range(3))).map(list)
        return rows.map(lambda data: Call(terms.name, "create_many", {"data": data, "skip_duplicates": True}))

    def program(self, length: int) -> st.SearchStrategy[list[Step]]:
        """Up to so many steps, on a store that may have records already."""
        call = st.sampled_from(self.all).flatmap(self.call)
        together = st.builds(Together, st.lists(call, min_size=1, max_size=4), st.booleans())
        steps: Strategy = st.one_of([call] * 6 + [together, st.just(Reopen())])
        rest = st.lists(steps, min_size=length // 2, max_size=length)
        return st.builds(lambda a, b: a + b, st.just([]) | self.beginning(), rest)


def run(program: list[Step], client: Client, reopen: Callable[[Client], Client]) -> list[Any]:
    """What each step gives, and at the end all records."""
    outcomes: list[Any] = []
    try:
        for step in program:
            if isinstance(step, Reopen):
                client = reopen(client)
            elif isinstance(step, Call):
                outcomes.append(_outcome(lambda: _do(client, step)))  # noqa: B023
            else:
                outcomes.append(_outcome(lambda: _together(client, step)))  # noqa: B023
        models = [m.name for m in client._schema.vocabulary.datamodel.models]
        return [*outcomes, {name: _plain(client[name].find_many()) for name in models}]
    finally:
        client.close()


def _do(models: Models, call: Call) -> Any:
    return _plain(getattr(models[call.model], call.operation)(**call.arguments))


def _together(client: Client, step: Together) -> list[Any]:
    done = []
    try:
        with client.tx(timeout=600) as tx:
            done += [_do(tx, call) for call in step.calls]
            if step.broken:
                raise _Broken
    except _Broken:
        done.append("broken off")
    return done


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except ConstraintError as error:
        return type(error).__name__, error.model
    except OctavoError as error:
        return type(error).__name__


def _plain(value: Any) -> Any:
    """A result to be compared: without the times that the client has set."""
    match value:
        case list():
            return [_plain(item) for item in value]
        case Counts():
            return value.to_dict()
        case Record():
            return {f.name: getattr(value, f.name) for f in model_of(value).scalars if not f.updated_at}
        case Result():
            record = object.__getattribute__(value, "_0record")
            touched = {f.name for f in model_of(record).scalars if f.updated_at}
            related: Mapping[str, Any] = object.__getattribute__(value, "_0related")
            fields = object.__getattribute__(value, "_0fields")
            own = {n: getattr(record, n) for n in fields if n not in touched}
            return own | {n: _plain(v) for n, v in related.items()}
    return value
