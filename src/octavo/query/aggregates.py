"""What many records give together: ``aggregate``, ``group_by``, and ``count`` with ``select``.

What was asked is checked here and becomes a :class:`~octavo.query.plan.Grouping`.  Its groups are rows of
columns (:func:`group_columns`), so that ``having`` and the order of groups are conditions and orders like any
other; :class:`Grouper` makes groups of records in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from octavo.errors import ValueOutOfRange
from octavo.layout.record import Record
from octavo.query.arguments import At, bounded
from octavo.query.evaluate import Evaluator, mark
from octavo.query.filters import Filters, both
from octavo.query.plan import (
    TRUE,
    Aggregate,
    AggregateFunction,
    And,
    Condition,
    Find,
    Group,
    Grouping,
    Order,
    Query,
    named_fields,
)
from octavo.query.reads import Reads, direction
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Arity, ScalarField
from octavo.schema.native import native_type
from octavo.values.registry import of_native
from octavo.values.totals import Total, totals

_COUNT = AggregateFunction.COUNT
_ENDS = (AggregateFunction.MIN, AggregateFunction.MAX)
FUNCTIONS = tuple(map(str, AggregateFunction))
"""the arguments that name what is computed"""
AGGREGATE = ("where", "order_by", "cursor", "take", "skip", *FUNCTIONS)
GROUP_BY = ("by", "where", "having", "order_by", "take", "skip", *FUNCTIONS)
ALL = "_all"
_INT = ScalarField(name="", column="", type="Int")


class Asked(Struct, frozen=True):
    """What a call asks for: which records, which groups of them, and what is shown of a group."""

    find: Find
    grouping: Grouping
    """its query is :attr:`find`'s without the cursor"""
    shown: Mapping[str, tuple[str, ...] | None]
    """by function the fields, in the caller's order; None: ``_count: True``, which is a number"""


def total_of(column: Column, function: AggregateFunction) -> Total | None:
    """How a column is summed or averaged; None where it cannot be."""
    found = totals(column.type)
    if found is None:
        return None
    return found.sum if function is AggregateFunction.SUM else found.average


def fields_of(terms: Terms, function: AggregateFunction) -> tuple[str, ...]:
    """The fields that a function can be asked of."""
    if function is _COUNT:
        return (ALL, *terms.usable)
    if function in (AggregateFunction.MIN, AggregateFunction.MAX):
        return tuple(n for n, c in terms.usable.items() if not c.field.is_list and not c.field.is_json)
    return tuple(n for n, c in terms.usable.items() if total_of(c, function) is not None)


def group_columns(vocabulary: Vocabulary, grouping: Grouping) -> dict[str, Column]:
    """The columns of a grouping's groups, by the names that its conditions and orders have for them."""
    terms, datamodel = vocabulary[grouping.query.model], vocabulary.datamodel
    found: dict[str, Column] = {}
    for name in grouping.by:
        column, place = terms.columns[name], len(found)
        field = replace(column.field, column=f"c{place}")
        found[name] = Column("", field, datamodel, column.type, place)
    for aggregate in grouping.aggregates:
        name, place = aggregate.name, len(found)
        field = replace(_INT, name=name, column=f"c{place}")
        kind = of_native(native_type(_INT))
        if aggregate.field is not None and aggregate.function is not _COUNT:
            column = terms.columns[aggregate.field]
            field = replace(column.field, name=name, column=f"c{place}", arity=Arity.OPTIONAL)
            total = total_of(column, aggregate.function)
            kind = column.type if total is None or aggregate.function in _ENDS else total.kind
        found[name] = Column("", field, datamodel, kind, place)
    if vocabulary.exact:
        for column in found.values():
            column.loosen()
    return found


def computed_fields(terms: Terms, grouping: Grouping) -> tuple[str, ...]:
    """The fields whose sum or average may be out of range."""
    names = (
        a.field for a in grouping.aggregates if a.function not in (*_ENDS, _COUNT) and a.field is not None
    )
    return tuple(dict.fromkeys(names))


def is_respelled(column: Column) -> bool:
    """Whether values of a column may be equal and print differently."""
    return column.one.equal_spellings or column.field.is_json


def _needs_order(terms: Terms, by: Iterable[str], aggregates: Iterable[Aggregate]) -> bool:
    """Whether the order of the records can be seen in what is made of them."""
    if any(is_respelled(terms.columns[name]) for name in by):
        return True
    for aggregate in aggregates:
        column = None if aggregate.field is None else terms.columns[aggregate.field]
        if column is None or aggregate.function is _COUNT:
            continue
        if aggregate.function in _ENDS:
            if is_respelled(column):
                return True
        elif (total := total_of(column, aggregate.function)) is not None and total.is_ordered:
            return True
    return False


class Aggregates:
    """Checks the arguments of aggregating calls on any model of a vocabulary."""

    def __init__(self, reads: Reads) -> None:
        self.reads, self.filters = reads, reads.filters

    def count(self, terms: Terms, given: Mapping[str, Any], select: Any, at: At) -> Asked:
        """What ``count`` with a ``select`` asks for."""
        fields = self._fields(terms, _COUNT, select, at / "select")
        if not fields:
            (at / "select").fail("selects nothing")
        return self._asked(terms, self.reads.many(terms, given, at), {str(_COUNT): fields})

    def aggregate(self, terms: Terms, given: Mapping[str, Any], at: At) -> Asked:
        """What ``aggregate`` asks for."""
        found = at.named(given, AGGREGATE, "arguments")
        shown = self._shown(terms, found, at)
        if not any(fields is None or fields for fields in shown.values()):
            at.fail(f"asks for nothing: name one of {', '.join(FUNCTIONS)}")
        rest = {name: value for name, value in found.items() if name not in FUNCTIONS}
        return self._asked(terms, self.reads.many(terms, rest, at), shown)

    @bounded
    def group_by(self, terms: Terms, given: Mapping[str, Any], at: At) -> Asked:
        """What ``group_by`` asks for."""
        found = at.named(given, GROUP_BY, "arguments")
        shown = self._shown(terms, found, at)
        by = self._by(terms, found.get("by"), at / "by")
        used: dict[str, Aggregate] = {}
        asked_for = _Having(self.filters, terms, by, used).where(found.get("having", {}), at / "having")
        among, having = _split(asked_for, by)
        order = self._order(terms, by, found.get("order_by"), at / "order_by", used)
        take = None if found.get("take") is None else (at / "take").whole(found["take"])
        skip = 0 if found.get("skip") is None else (at / "skip").whole(found["skip"], lowest=0)
        if take is not None and take < 0:
            order = tuple(_flipped(term) for term in order)
        rest = {"where": found["where"]} if "where" in found else {}
        asked = self._asked(terms, self.reads.many(terms, rest, at), shown, by, used)
        grouping = replace(
            asked.grouping,
            among=among,
            having=having,
            order=order,
            skip=skip,
            take=None if take is None else abs(take),
        )
        backwards = take is not None and take < 0
        return replace(asked, grouping=grouping, find=replace(asked.find, backwards=backwards))

    def _asked(
        self,
        terms: Terms,
        find: Find,
        shown: Mapping[str, tuple[str, ...] | None],
        by: tuple[str, ...] = (),
        used: Mapping[str, Aggregate] | None = None,
    ) -> Asked:
        wanted = {
            aggregate.name: aggregate
            for function, fields in shown.items()
            for name in ((ALL,) if fields is None else fields)
            for aggregate in (Aggregate(AggregateFunction(function), None if name == ALL else name),)
        }
        aggregates = tuple((wanted | dict(used or {})).values())
        query = find.query
        cut = query.take is not None or query.skip or find.cursor is not None
        if not cut and not _needs_order(terms, by, aggregates):
            find = replace(find, query=replace(query, order=()))
        return Asked(find, Grouping(query=find.query, by=by, aggregates=aggregates), shown)

    def _shown(self, terms: Terms, found: Mapping[str, Any], at: At) -> dict[str, tuple[str, ...] | None]:
        shown: dict[str, tuple[str, ...] | None] = {}
        for name, value in found.items():
            if name not in FUNCTIONS or value is None or value is False:
                continue
            if name == _COUNT and value is True:
                shown[name] = None
            else:
                shown[name] = self._fields(terms, AggregateFunction(name), value, at / name)
        return shown

    def _fields(self, terms: Terms, function: AggregateFunction, given: Any, at: At) -> tuple[str, ...]:
        known = fields_of(terms, function)
        for name in at.mapping(given):
            if name not in known:
                at.unknown(name, known, f"{terms.name} has no such field to ask {function} of")
        return tuple(name for name, wanted in given.items() if (at / name).boolean(wanted))

    def _by(self, terms: Terms, given: Any, at: At) -> tuple[str, ...]:
        by = self.reads.fields(terms, given, at)
        if not by:
            at.fail("names no field")
        return tuple(dict.fromkeys(by))

    def _order(
        self, terms: Terms, by: tuple[str, ...], given: Any, at: At, used: dict[str, Aggregate]
    ) -> tuple[Order, ...]:
        order: list[Order] = []
        for item, inner in [] if given is None else at.each(given):
            for name, value in inner.mapping(item).items():
                if name in FUNCTIONS:
                    order += self._aggregates_order(terms, name, value, inner / name, used)
                elif name in by:
                    nullable = terms.columns[name].field.nullable
                    order.append(Order(name, *direction(value, inner / name, nullable)))
                elif name in terms.usable:
                    (inner / name).fail("is not one of the fields in by", code="P2019")
                else:
                    inner.unknown(name, (*by, *FUNCTIONS), "groups have no such field")
        named = {term.field for term in order}
        return (*order, *(Order(name) for name in by if name not in named))

    def _aggregates_order(
        self, terms: Terms, function: str, given: Any, at: At, used: dict[str, Aggregate]
    ) -> list[Order]:
        known = fields_of(terms, AggregateFunction(function))
        for field in at.mapping(given):
            if field not in known:
                at.unknown(field, known, f"{terms.name} has no such field to ask {function} of")
        return [
            Order(_used(used, function, field).name, *direction(sort, at / field, True))
            for field, sort in given.items()
        ]


def _used(used: dict[str, Aggregate], function: str, field: str) -> Aggregate:
    aggregate = Aggregate(AggregateFunction(function), None if field == ALL else field)
    return used.setdefault(aggregate.name, aggregate)


def _flipped(order: Order) -> Order:
    return replace(order, descending=not order.descending, nulls_first=not order.nulls_first)


def _split(having: Condition, by: tuple[str, ...]) -> tuple[Condition, Condition]:
    """The parts of ``having`` that name no aggregate, and the others."""
    parts = having.parts if isinstance(having, And) else (having,)
    # Without ``by`` there is a group whatever the records are.
    among = [part for part in parts if by and {*by}.issuperset(named_fields(part))]
    return both(*among), both(*(part for part in parts if part not in among))


class _Having:
    """Checks one ``having``."""

    def __init__(
        self, filters: Filters, terms: Terms, by: tuple[str, ...], used: dict[str, Aggregate]
    ) -> None:
        """``used`` gets the aggregates that are named."""
        self._filters, self._terms, self._used = filters, terms, used
        self._by = self._columns(by)

    def where(self, given: Any, at: At, *, branch: bool = False) -> Condition:
        parts: list[Condition] = []
        for key, value in at.mapping(given).items():
            if key in self._terms.usable:
                parts.append(self._field(key, value, at / key))
            elif (found := self._filters.logic(key, value, at, branch, self.where)) is not None:
                parts.append(found)
            else:
                at.unknown(key, self._terms.usable, f"{self._terms.name} has no such field")
        return both(*parts)

    def _field(self, name: str, value: Any, at: At) -> Condition:
        parts: list[Condition] = []
        rest = value
        if isinstance(value, Mapping):
            rest = {key: given for key, given in value.items() if key not in FUNCTIONS}
            for key, given in value.items():
                if key in FUNCTIONS:
                    parts.append(self._aggregated(name, AggregateFunction(key), given, at / key))
        if rest or not parts:
            if name not in self._by and rest != {}:
                at.fail("is neither aggregated nor one of the fields in by", code="P2019")
            column = self._by.get(name) or self._terms.columns[name]
            parts.append(self._filters.field(column, rest, at))
        return both(*parts)

    def _aggregated(self, name: str, function: AggregateFunction, given: Any, at: At) -> Condition:
        if name not in fields_of(self._terms, function):
            at.fail(f"cannot be asked of {name}")
        aggregate = _used(self._used, function, name)
        return self._filters.field(self._columns(aggregates=(aggregate,))[aggregate.name], given, at)

    def _columns(self, by: tuple[str, ...] = (), aggregates: tuple[Aggregate, ...] = ()) -> dict[str, Column]:
        grouping = Grouping(query=Query(model=self._terms.name), by=by, aggregates=aggregates)
        return group_columns(self._filters.vocabulary, grouping)


class Grouper:
    """Makes groups of records in memory."""

    def __init__(self, evaluator: Evaluator, grouping: Grouping) -> None:
        self._evaluator, self._grouping = evaluator, grouping
        self._terms = evaluator.vocabulary[grouping.query.model]

    def of(self, records: Iterable[Record]) -> list[Group]:
        """The groups of the records that the grouping's query gives, in its order."""
        grouping = self._grouping
        if grouping.take == 0:
            # As in PostgreSQL, no group is computed then.
            return []
        columns = group_columns(self._evaluator.vocabulary, grouping)
        if grouping.among != TRUE:
            test = self._evaluator.test(self._terms.columns, grouping.among)
            records = [record for record in records if test(record) is True]
        groups = [self._group(members) for members in self._members(records)]
        if grouping.having != TRUE:
            test = self._evaluator.test(columns, grouping.having)
            groups = [group for group in groups if test(group) is True]
        self._evaluator.sorting(columns, grouping.order)(groups)
        return groups[grouping.skip :][: grouping.take]

    def _members(self, records: Iterable[Record]) -> list[list[Record]]:
        if not self._grouping.by:
            return [list(records)]
        by = [self._terms.columns[name] for name in self._grouping.by]
        found: dict[Any, list[Record]] = {}
        for record in records:
            found.setdefault(tuple(mark(c, c.stored(record)) for c in by), []).append(record)
        return list(found.values())

    def _group(self, members: list[Record]) -> Group:
        by = (self._terms.columns[name].stored(members[0]) for name in self._grouping.by)
        return (*by, *(self._aggregate(aggregate, members) for aggregate in self._grouping.aggregates))

    def _aggregate(self, aggregate: Aggregate, members: Sequence[Record]) -> Any:
        if aggregate.field is None:
            return len(members)
        column, function = self._terms.columns[aggregate.field], aggregate.function
        values = [value for value in map(column.stored, members) if not column.is_null(value)]
        if function is _COUNT:
            return len(values)
        if function in _ENDS:
            if not values:
                return column.null
            return (min if function is AggregateFunction.MIN else max)(values, key=column.comparable)
        total = total_of(column, function)
        assert total is not None, "the arguments were checked"
        if not values:
            return total.kind.null
        try:
            return total.of(values)
        except ValueError as error:
            raise ValueOutOfRange(self._terms.name, computed_fields(self._terms, self._grouping)) from error


def shown(vocabulary: Vocabulary, asked: Asked, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Groups as the caller gets them."""
    columns = group_columns(vocabulary, asked.grouping)

    def one(group: Group) -> dict[str, Any]:
        found = {name: _plain(columns[name], group) for name in asked.grouping.by}
        for function, fields in asked.shown.items():
            if fields is None:
                found[function] = _plain(columns[f"{function}.{ALL}"], group)
            else:
                found[function] = {name: _plain(columns[f"{function}.{name}"], group) for name in fields}
        return found

    return [one(group) for group in groups]


def _plain(column: Column, group: Group) -> Any:
    stored, read = column.stored(group), column.type.read
    if column.is_null(stored):
        return [] if column.field.is_list else None
    return stored if read is None else read(stored)
