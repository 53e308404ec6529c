"""Random programs for a client of any schema.

A program is a list of steps: calls of operations, transactions of several calls that may be broken off, and
the store being opened again.  Whatever the client makes up by itself (ids, times) is given, or left out of
what is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import isfunction
from typing import Any, NamedTuple, TypeAlias

from hypothesis import strategies as st

from octavo.client import ModelClient
from octavo.query.aggregates import ALL
from octavo.query.filters import LOGIC, quantifiers
from octavo.query.plan import AggregateFunction, Link
from octavo.query.reads import DIRECTIONS, NULLS
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.query.writes import changes, steps
from parity.pools import COMMON, FRESH, Pools
from parity.worlds import parents_first

Strategy: TypeAlias = st.SearchStrategy[Any]


class Call(NamedTuple):
    model: str
    operation: str
    arguments: dict[str, Any]


class Together(NamedTuple):
    """Calls in one transaction.

    ``broken``: it is left by an exception.  ``stubborn``: errors are caught, and it goes on as far as it can.
    """

    calls: list[Call]
    broken: bool
    stubborn: bool = False


class Reopen(NamedTuple):
    """The store is closed and opened again."""


Step: TypeAlias = Call | Together | Reopen

OPERATIONS = tuple(
    name
    for name, value in vars(ModelClient).items()
    if isfunction(value) and not name.startswith("_") and name != "search"
)
"""PostgreSQL ranks hits otherwise (docs/search.md): tests/query/test_search.py compares what is found."""
_OFTEN = {"create": 4, "create_many": 2, "update": 4, "find_many": 4}
"""data has to be there before it can be lost"""
_MEMBERS = 3
"""records that one argument names at most"""


def _once(make: Callable[..., Strategy]) -> Callable[..., Strategy]:
    """A method's strategies made once: there are many, and they are made of each other."""

    def strategy(self: Programs, *arguments: Any, **named: Any) -> Strategy:
        key = (make.__name__, *arguments, *named.items())
        if key not in self.made:
            self.made[key] = make(self, *arguments, **named)
        return self.made[key]

    return strategy


def _perhaps(strategies: dict[str, Strategy]) -> Strategy:
    return st.fixed_dictionaries({}, optional=strategies)


def _one_of_these(strategies: dict[str, Strategy], most: int = 2) -> Strategy:
    """A dict of one key, and now and then two."""
    names = st.lists(st.sampled_from(sorted(strategies)), min_size=1, max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: strategies[n] for n in chosen}))


def _merged(*parts: Strategy) -> Strategy:
    return st.tuples(*parts).map(lambda dicts: {k: v for part in dicts for k, v in part.items()})


class Programs:
    """Strategies for the models of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary, self.pools = vocabulary, Pools(vocabulary)
        self.made: dict[Any, Strategy] = {}
        self.all = [vocabulary[m.name] for m in vocabulary.datamodel.models if not m.ignored]

    # Writing

    def value(self, terms: Terms, column: Column) -> Strategy:
        """A value to be written.  What is pointed at is mostly there, and a key is mostly another one."""
        pool = self.pools.values(terms, column)
        common, rest = pool[: FRESH[0]], pool[FRESH[0] :]
        if column.name in self.pools.foreign(terms):
            pool = [*common * 3, *rest[:1]]
        elif column.name in self.pools.keyed(terms):
            pool = [*common[:1], *rest]
        one = st.sampled_from(pool)
        if column.field.is_list:
            return st.lists(one, max_size=3)
        return one | st.just(self.pools.null(column)) if column.field.nullable else one

    @_once
    def row(self, terms: Terms, supplied: tuple[str, ...] = ()) -> Strategy:
        """Data of a new record, with all that would otherwise be made up."""
        needed: dict[str, Strategy] = {}
        optional: dict[str, Strategy] = {}
        for column in self.pools.stable(terms):
            if column.name not in supplied:
                here = needed if self.pools.must_be_given(column) else optional
                here[column.name] = self.value(terms, column)
        return st.fixed_dictionaries(needed, optional=optional)

    @_once
    def new(
        self, terms: Terms, depth: int = 1, supplied: tuple[str, ...] = (), via: Link | None = None
    ) -> Strategy:
        """The same, perhaps with records that hang on it.  ``via`` leads back to where it is made."""
        plain = self.row(terms, supplied)
        links = [k for k in terms.links.values() if k != via and not set(k.fields) & set(supplied)]
        if not depth or not links:
            return plain

        def with_link(link: Link) -> Strategy:
            given = (*supplied, *(link.fields if link.holds_key else ()))
            nested = st.fixed_dictionaries({link.name: self.nested(link, depth - 1, new=True)})
            return _merged(self.row(terms, given), nested)

        return plain | st.sampled_from(links).flatmap(with_link)

    @_once
    def nested(self, link: Link, depth: int, *, new: bool) -> Strategy:
        """What is done over a relation."""
        found = {name: self._step(link, name, depth) for name in steps(link, new=new)}
        return _one_of_these(found, most=2 if link.is_list else 1)

    def _step(self, link: Link, name: str, depth: int) -> Strategy:
        target = self.vocabulary[link.target]
        supplied = () if link.join or link.holds_key else link.references
        unique, where = self.unique(target), self.where(target, 0)
        new = self.new(target, depth, supplied, self.vocabulary.opposite(link))
        edit = self.edit(target, depth) if depth else self.change(target)
        which = {"where": unique} if link.is_list else {}
        one: Strategy = unique if link.is_list else st.just(True) | where
        match name:
            case "create":
                found = new
            case "connect":
                found = unique
            case "connect_or_create":
                found = st.fixed_dictionaries({"where": unique, "create": new})
            case "disconnect" | "delete":
                found = one
            case "update":
                data = st.fixed_dictionaries({**which, "data": edit})
                found = data if link.is_list else edit | _merged(data, _perhaps({"where": where}))
            case "upsert":
                found = st.fixed_dictionaries({**which, "create": new, "update": edit})
            case "delete_many":
                found = where
            case "update_many":
                found = st.fixed_dictionaries({"where": where, "data": self.change(target)})
            case "create_many":
                rows = st.lists(self.row(target, supplied), max_size=_MEMBERS)
                return _merged(
                    st.fixed_dictionaries({"data": rows}), _perhaps({"skip_duplicates": st.booleans()})
                )
            case "set":
                return st.lists(unique, max_size=2)
            case _:
                raise NotImplementedError(name)
        return found | st.lists(found, min_size=1, max_size=2) if link.is_list else found

    @_once
    def change(self, terms: Terms) -> Strategy:
        """Data of an update of fields that nothing hangs on."""
        keyed = self.pools.keyed(terms)
        return _perhaps(
            {c.name: self._changed(terms, c) for c in self.pools.stable(terms) if c.name not in keyed}
        )

    def _changed(self, terms: Terms, column: Column) -> Strategy:
        value = self.value(terms, column)
        if column.field.is_json and not column.field.is_list:
            return value
        kinds: list[Strategy] = [st.fixed_dictionaries({"set": value})]
        for kind in (k for k in changes(column) if k != "set"):
            operand = st.sampled_from(self.pools.values(terms, column))
            if kind == "divide":
                operand = operand.filter(bool)
            kinds.append(st.fixed_dictionaries({kind: value if column.field.is_list else operand}))
        return value | st.one_of(kinds)

    @_once
    def edit(self, terms: Terms, depth: int = 1) -> Strategy:
        """Data of an update of one record: keys, and what hangs on it, too."""
        one = st.sampled_from(self.pools.stable(terms))
        key = one.flatmap(lambda c: st.fixed_dictionaries({c.name: self._changed(terms, c)}))
        if not terms.links:
            return self.change(terms) | key
        over = st.sampled_from(list(terms.links.values())).flatmap(
            lambda link: st.fixed_dictionaries({link.name: self.nested(link, depth - 1, new=False)})
        )
        return self.change(terms) | key | over | _merged(self.change(terms), over)

    # Finding

    @_once
    def unique(self, terms: Terms) -> Strategy:
        """One record by a key or unique; it is mostly there."""
        there = [name for n in COMMON for name in self.pools.named(terms, self.pools.row(terms, n))]

        def by(item: tuple[str, tuple[str, ...]]) -> Strategy:
            name, fields = item
            inner = st.fixed_dictionaries(
                {f: st.sampled_from(self.pools.values(terms, terms.columns[f])) for f in fields}
            )
            return inner if len(fields) == 1 else st.fixed_dictionaries({name: inner})

        likely = st.sampled_from(there)
        return likely | likely | st.sampled_from(sorted(terms.uniques.items())).flatmap(by)

    @_once
    def where(self, terms: Terms, depth: int = 2) -> Strategy:
        """A filter that filters by something."""
        fields = st.sampled_from(self.pools.stable(terms)).flatmap(
            lambda c: st.fixed_dictionaries({c.name: self.filter(terms, c)})
        )
        if not depth:
            return fields
        inner = st.lists(self.where(terms, depth - 1), min_size=1, max_size=2)
        logic = st.sampled_from(LOGIC).flatmap(lambda n: st.fixed_dictionaries({n: inner}))
        found = fields | logic | _merged(fields, logic)
        if terms.links:
            found |= st.sampled_from(list(terms.links.values())).flatmap(
                lambda link: st.fixed_dictionaries({link.name: self.over(link, depth - 1)})
            )
        return found

    @_once
    def over(self, link: Link, depth: int) -> Strategy:
        """A filter of a relation."""
        nobody = not link.is_list and not (link.holds_key and link.required)
        inner = self.where(self.vocabulary[link.target], depth)
        if nobody:
            inner = inner | st.none()
        return _one_of_these(dict.fromkeys(quantifiers(link), inner))

    @_once
    def filter(self, terms: Terms, column: Column) -> Strategy:
        """A filter of one field."""
        found = self.pools.filters(terms, column)
        one: Strategy = st.sampled_from(sorted(found)).flatmap(lambda name: st.sampled_from(found[name]))
        if column.field.is_json or column.field.is_list:
            return one
        negated = one.map(lambda inner: {"not": inner})
        shorthand = self.value(terms, column)
        return one | negated | shorthand

    @_once
    def order(self, terms: Terms, *, placed: bool = False) -> Strategy:
        """An order; ``placed``: with which a cursor may go."""
        direction = st.sampled_from(DIRECTIONS)

        def by(name: str) -> Strategy:
            how: Strategy = direction
            if terms.columns[name].field.nullable:
                nulls = st.sampled_from(NULLS)
                how |= st.fixed_dictionaries({"sort": direction, "nulls": nulls})
            return st.fixed_dictionaries({name: how})

        names = self.pools.plain(terms)
        if not placed:
            names = [c.name for c in self.pools.stable(terms)]
        found = st.sampled_from(names).flatmap(by)
        lists = [link.name for link in terms.links.values() if link.is_list]
        ones = [link for link in terms.links.values() if not link.is_list]
        if lists:
            found |= st.builds(lambda n, d: {n: {"_count": d}}, st.sampled_from(lists), direction)
        if ones:
            found |= st.sampled_from(ones).flatmap(lambda link: self._order_over(link, direction))
        return found | st.lists(found, min_size=1, max_size=3)

    def _order_over(self, link: Link, direction: Strategy) -> Strategy:
        field = st.sampled_from(self.pools.plain(self.vocabulary[link.target]))
        return st.builds(lambda f, d: {link.name: {f: d}}, field, direction)

    @_once
    def slice(self, terms: Terms, depth: int) -> Strategy:
        """The arguments of ``find_many``, or of an included list."""
        fields = st.sampled_from([c.name for c in self.pools.stable(terms)])
        window = {
            "where": self.where(terms, depth),
            "take": st.integers(-3, 3),
            "skip": st.integers(0, 2),
            "distinct": fields | st.lists(fields, min_size=1, max_size=2, unique=True),
        }
        plain = _perhaps({**window, "order_by": self.order(terms)})
        page = _merged(
            st.fixed_dictionaries({"cursor": self.unique(terms)}),
            _perhaps({**window, "order_by": self.order(terms, placed=True)}),
        )
        return _merged(plain | plain | page, self.shown(terms, depth - 1) if depth else st.just({}))

    @_once
    def shown(self, terms: Terms, depth: int) -> Strategy:
        """What is shown of a record: all, or ``include``, ``select``, ``omit``."""
        fields = {c.name: st.just(True) for c in self.pools.stable(terms)}
        omit = st.fixed_dictionaries({"omit": _one_of_these(fields)})
        relations = {link.name: self._included(link, depth) for link in terms.links.values()}
        lists = {link.name: self._counted(link) for link in terms.links.values() if link.is_list}
        if lists:
            counts = _one_of_these(lists).map(lambda chosen: {"select": chosen})
            relations["_count"] = st.just(True) | counts
        select = st.fixed_dictionaries({"select": _one_of_these({**fields, **relations})})
        if not relations:
            return st.just({}) | omit | select
        include = st.fixed_dictionaries({"include": _one_of_these(relations)})
        return st.just({}) | include | include | select | omit | _merged(include, omit)

    def _included(self, link: Link, depth: int) -> Strategy:
        target = self.vocabulary[link.target]
        if depth <= 0:
            return st.just(True)
        if link.is_list:
            return st.just(True) | self.slice(target, depth)
        shown = self.shown(target, depth - 1)
        if link.holds_key and link.required:
            return st.just(True) | shown
        return st.just(True) | _merged(shown, _perhaps({"where": self.where(target, 0)}))

    def _counted(self, link: Link) -> Strategy:
        where = st.fixed_dictionaries({"where": self.where(self.vocabulary[link.target], 0)})
        return st.just(True) | where

    @_once
    def aggregates(self, terms: Terms) -> Strategy:
        """What is aggregated, as the arguments say it."""
        shown: dict[str, Strategy] = {}
        for function in AggregateFunction:
            if names := self.pools.aggregated(terms, function):
                shown[function] = _one_of_these(dict.fromkeys(names, st.just(True)))
        return _one_of_these(shown, most=3)

    @_once
    def groups(self, terms: Terms) -> Strategy:
        """The arguments of ``group_by``."""
        names = st.sampled_from([c.name for c in self.pools.stable(terms)])
        by = st.lists(names, min_size=1, max_size=2, unique=True)
        return _merged(
            by.flatmap(lambda chosen: self._grouped(terms, chosen)), st.just({}) | self.aggregates(terms)
        )

    def _grouped(self, terms: Terms, by: list[str]) -> Strategy:
        direction = st.sampled_from(DIRECTIONS)
        order: Strategy = st.sampled_from(by).flatmap(lambda n: st.fixed_dictionaries({n: direction}))
        having: Strategy = st.sampled_from(by).flatmap(
            lambda n: st.fixed_dictionaries({n: self.filter(terms, terms.columns[n])})
        )
        for function in AggregateFunction:
            names = [n for n in self.pools.aggregated(terms, function) if n != ALL]
            for name in names[:2]:
                order |= st.fixed_dictionaries({function: st.fixed_dictionaries({name: direction})})
                filters = st.sampled_from(self.pools.having(terms, function, name))
                having |= st.fixed_dictionaries({name: st.fixed_dictionaries({str(function): filters})})
        logic = st.lists(having, min_size=1, max_size=2)
        having |= st.sampled_from(LOGIC).flatmap(lambda n: st.fixed_dictionaries({n: logic}))
        window = {"where": self.where(terms, 1), "take": st.integers(-3, 3), "skip": st.integers(0, 2)}
        rest = {"having": having, "order_by": order | st.lists(order, min_size=1, max_size=2)}
        return _merged(st.fixed_dictionaries({"by": st.just(by)}), _perhaps({**window, **rest}))

    # Programs

    @_once
    def call(self, terms: Terms) -> Strategy:
        """A call of any operation."""
        names = [n for n in OPERATIONS for _ in range(_OFTEN.get(n, 1))]
        return st.sampled_from(names).flatmap(
            lambda name: self._arguments(terms, name).map(lambda given: Call(terms.name, name, given))
        )

    def _arguments(self, terms: Terms, operation: str) -> Strategy:
        unique, where, shown = self.unique(terms), self.where(terms), self.shown(terms, 1)
        match operation:
            case "find_unique" | "find_unique_or_raise" | "delete":
                return _merged(st.fixed_dictionaries({"where": unique}), shown)
            case "find_first" | "find_first_or_raise" | "find_many" | "count" | "aggregate" | "group_by":
                return self._many(terms, operation)
            case "create":
                return _merged(st.fixed_dictionaries({"data": self.new(terms)}), shown)
            case "create_many" | "create_many_and_return":
                rows = st.lists(self.row(terms), max_size=_MEMBERS)
                given = st.fixed_dictionaries({"data": rows, "skip_duplicates": st.booleans()})
            case "update":
                return _merged(st.fixed_dictionaries({"where": unique, "data": self.edit(terms)}), shown)
            case "update_many" | "update_many_and_return":
                given = _merged(
                    st.fixed_dictionaries({"data": self.change(terms)}),
                    _perhaps({"where": where, "limit": st.integers(0, 3)}),
                )
            case "upsert":
                upsert = {"where": unique, "create": self.new(terms), "update": self.edit(terms)}
                return _merged(st.fixed_dictionaries(upsert), shown)
            case "delete_many":
                return _merged(
                    st.fixed_dictionaries({"where": where}), _perhaps({"limit": st.integers(0, 3)})
                )
            case _:
                raise NotImplementedError(operation)
        return _merged(given, shown) if operation.endswith("_and_return") else given

    def _many(self, terms: Terms, operation: str) -> Strategy:
        """The arguments of a reading of many records."""
        window = {"where": self.where(terms), "take": st.integers(-3, 3), "skip": st.integers(0, 2)}
        page = {"cursor": self.unique(terms), "order_by": self.order(terms, placed=True)}
        match operation:
            case "count":
                fields = {c.name: st.just(True) for c in self.pools.stable(terms)}
                fields["_all"] = st.just(True)
                return _perhaps({**window, **page, "select": _one_of_these(fields)})
            case "aggregate":
                return _merged(_perhaps({**window, **page}), self.aggregates(terms))
            case "group_by":
                return self.groups(terms)
        return self.slice(terms, 2)

    @_once
    def step(self) -> Strategy:
        """One step of a program."""
        call = st.sampled_from(self.all).flatmap(self.call)
        together = st.builds(Together, st.lists(call, min_size=1, max_size=4), st.booleans(), st.booleans())
        return st.one_of([call] * 6 + [together, st.just(Reopen())])

    def program(self, length: int) -> st.SearchStrategy[list[Step]]:
        """Up to so many steps, which may begin with some records."""
        steps = st.lists(self.step(), min_size=length // 2, max_size=length)
        return st.booleans().flatmap(
            lambda filled: steps.map(lambda rest: [*(self.beginning() if filled else ()), *rest])
        )

    def beginning(self, *, again: bool = False) -> Iterator[Step]:
        """Some records of each model, parents first; ``again``: those that are gone."""
        later: list[tuple[Terms, dict[str, Any]]] = []
        made: set[str] = set()
        for model in parents_first(self.vocabulary):
            if model.is_join:
                continue
            terms = self.vocabulary[model.name]
            made.add(model.name)
            absent = {
                field
                for key in self.vocabulary.datamodel.parents(model.name)
                for field in key.fields
                if key.parent not in made and terms.columns[field].field.nullable
            }
            rows = [self.pools.row(terms, number) for number in COMMON]
            data = [{name: None if name in absent else row[name] for name in row} for row in rows]
            yield Call(model.name, "create_many", {"data": data, "skip_duplicates": again})
            later += [(terms, row) for row in rows if absent]
        for terms, row in later:
            yield Call(terms.name, "update", {"where": self.pools.named(terms, row)[0], "data": row})
