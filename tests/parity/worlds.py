"""Random data with awkward values for any schema, and random queries about it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import strategies as st

from memory import MemoryBackend
from octavo import AnyNull, DbNull, JsonNull
from octavo.errors import ForeignKeyViolation, NullViolation, UniqueViolation
from octavo.query.aggregates import ALL, fields_of, group_columns
from octavo.query.plan import Aggregate, AggregateFunction, Grouping, Insert, Link, Query
from octavo.query.vocabulary import Column, Defaults, Terms, Vocabulary, moment
from octavo.schema.datamodel import Model, ScalarKind
from octavo.schema.native import native_type

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

TEXTS = [
    *("", " ", "a", "A", "ab", "aB", "b", "é", "É", "e\u0301", "ß", "ẞ", "İ", "i", "ı", "Σ", "ς", "σ", "ΑΣ"),
    *(
        "😀",
        "%",
        "_",
        "a%b",
        "a_b",
        "\\",
        "\\\\",
        "'",
        '"',
        "null",
        "{}",
        "{a,b}",
        "\n",
        "a\tb",
        "\x7f",
        "\x01",
    ),
    *("\uffff", "\ue000", "\U00010000", "ﬁ", "ǅ", "ǆ", "Ⴀ", "x" * 300, "1", "10", "9", "ab ", "a b"),
]
JSONS = [
    *(
        JsonNull,
        True,
        False,
        0,
        1,
        -1,
        Decimal("1.0"),
        Decimal("1.50"),
        10**30,
        Decimal("1e-20"),
        "",
        "a",
        "B",
    ),
    *(
        "é",
        "1",
        "null",
        "%",
        [],
        [1],
        [1, 2],
        [2, 1],
        [[1]],
        ["a", None],
        {},
        {"a": 1},
        {"a": None},
        {"b": 1},
    ),
    *({"a": {"b": [1, "x", {"c": None}]}}, {"": 1}, {"a": "Été", "b": []}, [{"a": 1}, {"a": 2}], {"0": "a"}),
]
TIMES = [
    *("infinity", "-infinity", "-000043-03-15T12:00:00.500Z", "0000-02-29T00:00:00.000Z"),
    *("0001-01-01T00:00:00.000Z", "+012345-06-07T08:09:10.110Z", "9999-12-31T23:59:59.999Z"),
    *(datetime(2025, 11, 22, 12, 34, 56, 789000), datetime(2025, 11, 22, 12, 34, 56, 789500)),
    *(datetime(1970, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2000, 2, 29)),
]
FLOATS = [0.0, -0.0, 0.1, -1.5, 1e22, 1e300, -1e300, 5e-324, float("nan"), float("inf"), float("-inf"), 3]
DECIMALS = [Decimal(d) for d in ("0", "-0.01", "1.5", "1.50", "99999999.99", "0.005", "NaN", "-3", "1e5")]
NUMBERS = [0, 1, -1, 2, 3, 10, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
CLOCKS = ["00:00:00", "24:00:00", "12:34:56", "23:59:59", "12:34:56.5", "12:34:56+02", "12:34:56-05:30"]
_BY_TYPE: dict[str, Sequence[Any]] = {
    "String": TEXTS,
    "Boolean": (True, False),
    "Int": NUMBERS,
    "BigInt": NUMBERS,
    "Float": FLOATS,
    "Decimal": DECIMALS,
    "Bytes": (b"", b"\0", b"a", b"\xff\\", b"ab"),
    "DateTime": TIMES,
    "Json": JSONS,
}
_BY_NATIVE: dict[str, Sequence[Any]] = {
    "Uuid": ("00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    "Inet": ("10.0.0.1", "10.0.0.0/8", "::1", "9.0.0.1", "fe80::1/64"),
    "Bit": ("0101", "1111", "0000"),
    "VarBit": ("", "0", "01", "1", "10"),
    "Xml": (),
    "Time": CLOCKS,
    "Timetz": CLOCKS,
    "Date": (*TIMES[:2], "2025-11-22", "-000043-03-15", "+012345-06-07"),
}


def values(column: Column, vocabulary: Vocabulary, *, operand: bool = False) -> list[Any]:
    """What can be given for a column, or for an element of it where it is a list; as something to compare
    with, also what does not fit."""
    field = column.field
    if field.kind is ScalarKind.ENUM:
        return [m.name for m in vocabulary.datamodel.enum(field.type).members]
    if field.kind is ScalarKind.UNSUPPORTED:
        return []
    pool = _BY_NATIVE.get(native_type(field).name, _BY_TYPE[field.type])
    found = []
    for value in pool:
        with suppress(ValueError):
            (column.operand if operand else column.one.write)(value)
            found.append(value)
    return found


class World:
    """The same random records in memory for whoever asks, made from a seed."""

    def __init__(self, vocabulary: Vocabulary, *, records: int, seed: int = 1) -> None:
        self.vocabulary = vocabulary
        self.backend = MemoryBackend(vocabulary)
        self._random = random.Random(seed)
        self._now = moment()
        self.order = list(parents_first(vocabulary))
        with self.backend.transaction() as transaction:
            for model in self.order:
                for number in range(records):
                    row = self._row(vocabulary[model.name], transaction.rows, number)
                    if row is None:
                        continue
                    with suppress(UniqueViolation, NullViolation, ForeignKeyViolation):
                        transaction.insert(Insert(model.name, [row]))

    def rows(self, model: str) -> list[dict[str, Any]]:
        """The records of a model, as an insert takes them."""
        columns = self.vocabulary[model].columns
        return [{n: c.stored(r) for n, c in columns.items()} for r in self.backend.rows[model].values()]

    def _row(self, terms: Terms, there: Any, number: int) -> dict[str, Any] | None:
        unique = {f for fields in terms.uniques.values() if len(fields) == 1 for f in fields}
        given: dict[str, Any] = {}
        for name, column in terms.columns.items():
            given[name] = self._value(column, number, unique=name in unique)
        for relation in self.vocabulary.datamodel.parents(terms.name):
            parents = list(there[relation.parent].values())
            optional = all(terms.columns[f].field.nullable for f in relation.fields)
            if optional and (not parents or self._random.random() < 0.3):
                given |= {f: terms.columns[f].null for f in relation.fields}
                continue
            if not parents:
                return None
            key = self.vocabulary[relation.parent].getter(relation.references)(self._random.choice(parents))
            given |= dict(zip(relation.fields, key, strict=True))
        return Defaults(terms).fill(given, self._now)

    def _value(self, column: Column, number: int, *, unique: bool) -> Any:
        field, pool = column.field, values(column, self.vocabulary)
        if field.nullable and (not pool or self._random.random() < 0.25):
            return column.null
        if field.is_list:
            return column.write([self._random.choice(pool) for _ in range(self._random.randrange(4))])
        if unique:
            own = pool[number % len(pool)]
            if number >= len(pool) and field.type in ("String", "Int", "BigInt"):
                own = f"{own}{number}" if field.type == "String" else number + 100
            return column.write(own)
        return column.write(self._random.choice(pool))


def parents_first(vocabulary: Vocabulary) -> Iterator[Model]:
    """The tables, each behind those that it points at, as far as they do not go round in a circle."""
    datamodel = vocabulary.datamodel
    left = list(datamodel.tables)
    done: set[str] = set()
    while left:
        ready = [
            m for m in left if all(k.parent in done or k.parent == m.name for k in datamodel.parents(m.name))
        ]
        # In a circle, whoever can begin without a parent does.
        for model in ready or left[:1]:
            yield model
            done.add(model.name)
            left.remove(model)


class Questions:
    """Random arguments of reading calls on a world, drawn step by step (``draw`` is Hypothesis's)."""

    def __init__(self, world: World, draw: Draw) -> None:
        self.world, self.vocabulary, self.draw = world, world.vocabulary, draw

    def many(self, model: str, depth: int = 2) -> dict[str, Any]:
        """What ``find_many`` takes."""
        draw, terms = self.draw, self.vocabulary[model]
        order = [self.order(terms, 2) for _ in range(draw(st.integers(0, 3)))]
        given: dict[str, Any] = {"where": self.where(terms, depth), "order_by": order}
        given["take"] = draw(st.none() | st.integers(-4, 6))
        given["skip"] = draw(st.none() | st.integers(0, 4))
        names = st.lists(st.sampled_from(sorted(terms.usable)), min_size=1, max_size=2)
        given["distinct"] = draw(st.none() | st.none() | names)
        records = list(self.world.backend.rows[terms.name].values())
        if records and draw(st.integers(0, 2)) == 0 and all(self._is_plain(term, terms) for term in order):
            record = draw(st.sampled_from(records))
            given["cursor"] = draw(st.sampled_from(_uniques(terms, record)))
        if depth and terms.links:
            given["include"] = self._include(terms, depth)
        return {name: value for name, value in given.items() if value is not None}

    def aggregate(self, model: str) -> dict[str, Any]:
        """What ``aggregate`` takes."""
        given = self.many(model, 1)
        for name in ("include", "distinct"):
            given.pop(name, None)
        return given | self._aggregates(self.vocabulary[model])

    def _aggregates(self, terms: Terms) -> dict[str, Any]:
        functions = [f for f in AggregateFunction if fields_of(terms, f)]
        return {
            str(function): dict.fromkeys(self._some(fields_of(terms, function)), True)
            for function in self._some(functions)
        }

    def _some(self, names: Sequence[Any]) -> list[Any]:
        chosen: list[Any] = self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        return chosen

    def group_by(self, model: str) -> dict[str, Any]:
        """What ``group_by`` takes."""
        draw, terms = self.draw, self.vocabulary[model]
        by = self._some(sorted(terms.usable))[:2]
        given = {"by": by, "where": self.where(terms, 1), **self._aggregates(terms)}
        given["take"] = draw(st.none() | st.integers(-4, 6))
        given["skip"] = draw(st.none() | st.integers(0, 2))
        given["having"] = self._having(terms, by, 1)
        given["order_by"] = [self._group_order(terms, by) for _ in range(draw(st.integers(0, 2)))]
        return {name: value for name, value in given.items() if value is not None}

    def _aggregate_of(self, terms: Terms) -> Aggregate:
        functions = [f for f in AggregateFunction if fields_of(terms, f)]
        function = self.draw(st.sampled_from(functions))
        names = [name for name in fields_of(terms, function) if name != ALL]
        return Aggregate(function, self.draw(st.sampled_from(names)))

    def _group_order(self, terms: Terms, by: list[str]) -> dict[str, Any]:
        direction = self.draw(st.sampled_from(("asc", "desc")))
        if self.draw(st.booleans()):
            return {self.draw(st.sampled_from(by)): direction}
        aggregate = self._aggregate_of(terms)
        return {str(aggregate.function): {aggregate.field: direction}}

    def _having(self, terms: Terms, by: list[str], depth: int) -> dict[str, Any]:
        choice = self.draw(st.integers(0, 3 if depth else 2))
        if choice == 0:
            return {}
        if choice == 1:
            name = self.draw(st.sampled_from(by))
            return {name: self.draw(self.filter(terms.columns[name]))}
        if choice == 2:
            aggregate = self._aggregate_of(terms)
            grouping = Grouping(query=Query(model=terms.name), aggregates=(aggregate,))
            column = group_columns(self.vocabulary, grouping)[aggregate.name]
            return {str(aggregate.field): {str(aggregate.function): self.draw(self.filter(column))}}
        parts = [self._having(terms, by, depth - 1) for _ in range(self.draw(st.integers(0, 2)))]
        return {self.draw(st.sampled_from(("AND", "OR", "NOT"))): parts}

    def _is_plain(self, order: Mapping[str, Any], terms: Terms) -> bool:
        """Whether a cursor may go with an order."""
        [(name, value)] = order.items()
        if name == "_count":
            return True
        if name in terms.usable:
            field = terms.usable[name].field
            return not field.is_json and not field.is_list
        return self._is_plain(value, self.vocabulary[terms.links[name].target])

    def _include(self, terms: Terms, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.draw(st.lists(st.sampled_from(sorted(terms.links)), max_size=2, unique=True)):
            link = terms.links[name]
            if link.is_list:
                found[name] = self.many(link.target, depth - 1)
            elif link.required and link.holds_key:
                found[name] = True
            else:
                found[name] = {"where": self.where(self.vocabulary[link.target], depth - 1)}
        lists = sorted(n for n, link in terms.links.items() if link.is_list)
        if lists and self.draw(st.booleans()):
            name = self.draw(st.sampled_from(lists))
            where = self.where(self.vocabulary[terms.links[name].target], depth - 1)
            found["_count"] = {"select": {name: {"where": where}}}
        return found

    def order(self, terms: Terms, depth: int) -> dict[str, Any]:
        """One term of an order."""
        name = self.draw(st.sampled_from(sorted((*terms.usable, *(terms.links if depth else ())))))
        direction = st.sampled_from(("asc", "desc"))
        if name in terms.links:
            link = terms.links[name]
            if link.is_list:
                return {name: {"_count": self.draw(direction)}}
            return {name: self.order(self.vocabulary[link.target], depth - 1)}
        how: st.SearchStrategy[Any] = direction
        if terms.usable[name].field.nullable:
            nulls = st.sampled_from(("first", "last"))
            how = direction | st.fixed_dictionaries({"sort": direction, "nulls": nulls})
        return {name: self.draw(how)}

    def where(self, terms: Terms, depth: int) -> dict[str, Any]:
        """A ``where`` of at most three keys."""
        logic = ("AND", "OR", "NOT")
        known = sorted((*terms.usable, *((*terms.links, *logic, *logic) if depth else ())))
        found: dict[str, Any] = {}
        for name in self.draw(st.lists(st.sampled_from(known), max_size=3, unique=True)):
            if name in terms.usable:
                found[name] = self.draw(self.filter(terms.usable[name]))
            elif name in terms.links:
                found[name] = self._over(terms.links[name], depth - 1)
            else:
                parts = range(self.draw(st.integers(0, 3)))
                found[name] = [self.where(terms, depth - 1) for _ in parts]
        return found

    def _over(self, link: Link, depth: int) -> Any:
        names = ("some", "every", "none") if link.is_list else ("is", "is_not")
        can_be_none = not link.is_list and not (link.holds_key and link.required)
        chosen = self.draw(st.sampled_from(names))
        if can_be_none and self.draw(st.integers(0, 3)) == 0:
            return {chosen: None}
        return {chosen: self.where(self.vocabulary[link.target], depth)}

    def filter(self, column: Column) -> st.SearchStrategy[Any]:
        """The filters of one field."""
        value = st.sampled_from(values(column, self.vocabulary, operand=True) or [None])
        if column.field.is_list:
            some = st.lists(value, max_size=3)
            tests: dict[str, Any] = {"has": value, "is_empty": st.booleans()}
            tests |= dict.fromkeys(("equals", "has_every", "has_some"), some)
            return _one_of(tests) | st.none() | some if values(column, self.vocabulary) else st.none()
        if column.field.is_json:
            return self._json(column)
        if not values(column, self.vocabulary):
            return st.none()
        none = st.none() if column.field.nullable else value
        operators: dict[str, Any] = {"equals": value | none, "not": value | none}
        operators |= {name: st.lists(value, max_size=3) for name in ("in", "not_in")}
        if column.one.is_ordered:
            operators |= dict.fromkeys(("lt", "lte", "gt", "gte"), value)
        if not column.one.is_text:
            return value | none | _one_of(operators)
        operators |= {n: st.sampled_from(TEXTS) for n in ("contains", "starts_with", "ends_with")}
        mode = st.fixed_dictionaries({}, optional={"mode": st.sampled_from(("default", "insensitive"))})
        both = st.tuples(_one_of(operators), mode).map(lambda pair: {**pair[0], **pair[1]})
        return value | none | both | st.fixed_dictionaries({"not": both})

    def _json(self, column: Column) -> st.SearchStrategy[Any]:
        value = st.sampled_from(JSONS)
        null = st.sampled_from((DbNull, JsonNull, AnyNull))
        tests: dict[str, Any] = dict.fromkeys(("equals", "not"), value | null)
        tests |= dict.fromkeys(("lt", "lte", "gt", "gte", "array_starts_with", "array_ends_with"), value)
        tests["array_contains"] = value
        strings = st.sampled_from(TEXTS)
        tests |= dict.fromkeys(("string_contains", "string_starts_with", "string_ends_with"), strings)
        step = st.sampled_from(("a", "b", "c", "", "0", 0, 1, -1, "-1", " 1", "+0", "99999999999"))
        path = st.fixed_dictionaries(
            {},
            optional={
                "path": st.lists(step, max_size=3),
                "mode": st.sampled_from(("default", "insensitive")),
            },
        )
        return st.tuples(_one_of(tests), path).map(lambda pair: {**pair[0], **pair[1]})


def _one_of(choices: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of([st.fixed_dictionaries({name: value}) for name, value in choices.items()])


def _uniques(terms: Terms, record: Any) -> list[dict[str, Any]]:
    """How a record can be named."""
    found = []
    for name, fields in terms.uniques.items():
        key = {f: getattr(record, f) for f in fields}
        if all(value is not None for value in key.values()):
            found.append(key if len(fields) == 1 else {name: key})
    return found
