"""From ``where`` to a condition.

A key that is not there filters nothing; None is a test for NULL, refused where a field cannot be NULL; an
unknown key, and a field's filter without an operator, is an error.  So nothing that was meant as a filter
can silently vanish.  Empty branches of ``AND``, ``OR`` and ``NOT`` are Prisma's: they are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from octavo.query.arguments import At, FieldRef, bounded, snake
from octavo.query.plan import (
    FALSE,
    TRUE,
    And,
    Compare,
    Condition,
    IsNull,
    JsonOperator,
    JsonTest,
    Link,
    ListOperator,
    ListTest,
    Not,
    OneOf,
    Operator,
    Or,
    Other,
    Related,
    Unique,
)
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.values.json import AnyNull, DbNull, JsonNull
from octavo.values.text import string

LOGIC = ("AND", "OR", "NOT")
_EQUALITY = ("equals", "not", "in", "not_in")
_ORDER = ("lt", "lte", "gt", "gte")
_TEXT = ("contains", "starts_with", "ends_with", "mode")
_LIST = ("equals", "has", "has_every", "has_some", "is_empty")
_MANY = ("some", "every", "none")
_ONE = ("is", "is_not")
_JSON_STRING = ("string_contains", "string_starts_with", "string_ends_with")
_JSON_ARRAY = ("array_contains", "array_starts_with", "array_ends_with")
_JSON = ("path", "mode", "equals", "not", *_ORDER, *_JSON_STRING, *_JSON_ARRAY)
MODES = ("default", "insensitive")
_PATTERNS = {"equals": ("", ""), "contains": ("%", "%"), "starts_with": ("", "%"), "ends_with": ("%", "")}
"""what Prisma puts before and after a text, of which it makes a pattern of LIKE"""
_NULL_JSON = msgspec.Raw(b"null")


def _keys(terms: Terms) -> tuple[str, ...]:
    """What a ``where`` of this model may hold."""
    return (*terms.usable, *terms.links, *(u for u in terms.uniques if u not in terms.columns), *LOGIC)


def may_be_where(terms: Terms, given: Any) -> bool:
    """Whether this has the shape of a ``where`` of this model: each of its keys is known."""
    return isinstance(given, Mapping) and given.keys() <= set(_keys(terms))


def both(*conditions: Condition) -> Condition:
    """All of these, as simply as it can be said."""
    parts: list[Condition] = []
    for condition in conditions:
        parts += condition.parts if isinstance(condition, And) else (condition,)
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def negated(condition: Condition) -> Condition:
    """What is true where a condition is false.

    Over a relation to one record, a condition is unknown where it is for that record, and false without one.
    :class:`Related` is never unknown, so that ``Not`` of it alone would not do.  The negation of FALSE is not
    TRUE, which stands for no filter at all.
    """
    match condition:
        case Not():
            return condition.part
        case And():
            return Or(tuple(map(negated, condition.parts)))
        case Or() if condition != FALSE:
            return both(*map(negated, condition.parts))
        case Related() if not condition.link.is_list and condition.where != TRUE:
            none = Not(Related(condition.link, TRUE))
            return Or((none, Related(condition.link, negated(condition.where))))
    return Not(condition)


def operators(column: Column) -> tuple[str, ...]:
    """What a filter of a field may say."""
    if column.field.is_list:
        return _LIST
    if column.field.is_json:
        return _JSON
    return (*_EQUALITY, *(_ORDER if column.one.is_ordered else ()), *(_TEXT if column.one.is_text else ()))


def quantifiers(link: Link) -> tuple[str, ...]:
    """What a filter of a relation may say."""
    return _MANY if link.is_list else _ONE


class Where(Protocol):
    """Checks one branch of AND, OR or NOT."""

    def __call__(self, given: Any, at: At, *, branch: bool) -> Condition: ...


class Filters:
    """Checks filters on any model of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @bounded
    def where(self, terms: Terms, given: Any, at: At) -> Condition:
        """The condition that a ``where`` means; TRUE if it filters nothing."""
        return self._where(terms, given, at, branch=False)

    def _where(self, terms: Terms, given: Any, at: At, *, branch: bool) -> Condition:
        """The same.  ``branch``: it stands within AND, OR or NOT."""
        parts = [self._key(terms, key, value, at, branch) for key, value in at.mapping(given).items()]
        return both(*parts)

    def unique(self, terms: Terms, given: Any, at: At) -> Unique:
        """What a ``where`` means that must tell one record, by a key or unique among its keys."""
        mapping = at.mapping(given)
        for name, fields in terms.uniques.items():
            if name not in mapping:
                continue
            inner = at / name
            value = mapping[name]
            if len(fields) > 1:
                parts = inner.named(value, fields, "the fields of this unique")
                for field in fields:
                    if field not in parts:
                        inner.lacks(field)
                values = tuple((inner / f).value(terms.columns[f].operand, parts[f]) for f in fields)
            elif isinstance(value, Mapping):
                continue
            else:
                values = (inner.value(terms.columns[fields[0]].operand, value),)
            rest = {key: other for key, other in mapping.items() if key != name}
            return Unique(terms.name, fields, values, self.where(terms, rest, at) if rest else TRUE)
        at.fail(f"must name one record by {' or '.join(terms.uniques)}")

    def _key(self, terms: Terms, key: str, value: Any, at: At, branch: bool) -> Condition:
        if (column := terms.usable.get(key)) is not None:
            return self.field(column, value, at / key)
        if (link := terms.links.get(key)) is not None:
            return self._relation(link, value, at / key)
        if (found := self.logic(key, value, at, branch, partial(self._where, terms))) is not None:
            return found
        if key in terms.uniques:
            fields = terms.uniques[key]
            inner = (at / key).named(value, fields, "the fields of this unique")
            return both(*(self.field(terms.columns[f], v, at / key / f) for f, v in inner.items()))
        at.unknown(key, _keys(terms), f"{terms.name} has no such field")

    def logic(self, key: str, value: Any, at: At, branch: bool, where: Where) -> Condition | None:
        """The condition that AND, OR or NOT means; None: the key is none of them."""
        if key not in LOGIC:
            return None
        inner = at / key
        items = inner.each(inner.sequence(value) if key == "OR" else value)
        found = [where(item, place, branch=True) for item, place in items]
        # As in Prisma, a branch that filters nothing is left out.
        parts = [part for part in found if part != TRUE]
        if key == "OR":
            # Without a branch, OR finds nothing; but within another AND, OR or NOT it filters nothing.
            return Or(tuple(parts)) if parts or not branch else TRUE
        return both(*(map(negated, parts) if key == "NOT" else parts))

    def _relation(self, link: Link, value: Any, at: At) -> Condition:
        target = self.vocabulary[link.target]
        if link.is_list:
            found = at.named(value, quantifiers(link), "filters of a list of records")
            if not found:
                return self._nothing(at, f"names none of {', '.join(quantifiers(link))}")
            return both(*(self._quantified(link, target, q, v, at / q) for q, v in found.items()))
        if value is None:
            return self._none(link, at)
        given = at.mapping(value)
        if not given:
            return self._nothing(at, "filters by nothing; a record that is there at all is {'is_not': None}")
        if self._is_quantified(link, target, given):
            parts = []
            for key, inner in at.named(given, quantifiers(link)).items():
                found_one = self._one(link, target, inner, at / key)
                parts.append(found_one if key == "is" else negated(found_one))
            return both(*parts)
        return Related(link, self.where(target, given, at))

    def _is_quantified(self, link: Link, target: Terms, given: Mapping[Any, Any]) -> bool:
        """Whether a filter of one record says ``is`` or ``is_not``.  A model may have fields of these names:
        as in Prisma, they are meant where the value can be no ``where``."""
        optional = not (link.holds_key and link.required)
        return all(
            isinstance(key, str)
            and snake(key) in quantifiers(link)
            and (key not in _keys(target) or (optional if value is None else may_be_where(target, value)))
            for key, value in given.items()
        )

    def _one(self, link: Link, target: Terms, value: Any, at: At) -> Condition:
        return self._none(link, at) if value is None else Related(link, self.where(target, value, at))

    def _none(self, link: Link, at: At) -> Condition:
        if link.holds_key and link.required:
            at.fail(f"{link.name} is required: there is none without")
        columns = self.vocabulary[link.model].columns
        if link.holds_key and all(columns[name].field.nullable for name in link.fields):
            # As in Prisma, by the foreign key alone, which may point at nothing.
            return And(tuple(map(IsNull, link.fields)))
        return Not(Related(link, TRUE))

    def _quantified(self, link: Link, target: Terms, quantifier: str, value: Any, at: At) -> Condition:
        inner = self.where(target, value, at)
        if quantifier == "some":
            return Related(link, inner)
        if quantifier == "none":
            return Not(Related(link, inner))
        return Not(Related(link, negated(inner)))

    def field(self, column: Column, value: Any, at: At) -> Condition:
        """The condition on one field."""
        if column.field.is_list:
            return self._list(column, value, at)
        if column.field.is_json:
            return self._json(column, value, at)
        if isinstance(value, Mapping):
            return self._operators(column, value, at, insensitive=False)
        return self._equals(column, value, at, insensitive=False)

    def _equals(self, column: Column, value: Any, at: At, *, insensitive: bool) -> Condition:
        if value is None:
            return self._null(column, at)
        operand = self._operand(column, value, at)
        if insensitive and (pattern := self._pattern("equals", operand, at)) is not None:
            return Compare(column.name, Operator.LIKE, pattern, insensitive)
        return Compare(column.name, Operator.EQUALS, operand, insensitive)

    def _pattern(self, name: str, text: Any, at: At) -> str | None:
        """The pattern that a text is to Prisma, for which ``%``, ``_`` and ``\\`` have a meaning; None where
        it is itself."""
        if not self.vocabulary.exact or not isinstance(text, str) or not set(text) & set("%_\\"):
            return None
        before, after = _PATTERNS[name]
        pattern = f"{before}{text}{after}"
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            at.fail("ends with a backslash, which is to escape a character")
        return pattern

    def _nothing(self, at: At, reason: str) -> Condition:
        """What a filter means that filters by nothing: it is refused where that is rather a mistake."""
        if not self.vocabulary.exact:
            at.fail(reason)
        return TRUE

    def _operand(self, column: Column, given: Any, at: At, write: Callable[[Any], Any] | None = None) -> Any:
        """A value to compare with, or another field."""
        if isinstance(given, FieldRef):
            return self._other(column, given, at, is_list=False)
        return at.value(write or column.operand, given)

    def _other(self, column: Column, given: FieldRef, at: At, *, is_list: bool) -> Other:
        """Another field of the same model, whose values compare with a column's; or a list of such."""
        if not column.model:
            at.fail("takes no other field: it is about a group", code="P2019")
        found = self.vocabulary[column.model].usable.get(given.field) if given.model == column.model else None
        if found is None:
            at.fail(f"names {given.model}.{given.field}, which is no field of {column.model}", code="P2019")
        if found.field.is_list != is_list or not _are_comparable(column, found):
            at.fail(f"names {given.field}, which does not compare with {column.name}", code="P2019")
        return Other(found.name)

    def _null(self, column: Column, at: At) -> Condition:
        if not column.field.nullable:
            at.fail("is None, but this field is required and never NULL; leave the key out for no filter")
        return IsNull(column.name)

    def _operators(self, column: Column, given: Any, at: At, *, insensitive: bool) -> Condition:
        found = at.named(given, operators(column), "operators of this field")
        insensitive = _mode(found.pop("mode", None), at / "mode", insensitive)
        if not found:
            return self._nothing(at, "names no operator; leave the field out for no filter")
        parts = []
        for name, value in found.items():
            parts.append(self._operator(column, name, value, at / name, insensitive=insensitive))
        return both(*parts)

    def _operator(self, column: Column, name: str, value: Any, at: At, *, insensitive: bool) -> Condition:
        if name == "equals":
            return self._equals(column, value, at, insensitive=insensitive)
        if name == "not":
            if isinstance(value, Mapping):
                inner = self._operators(column, value, at, insensitive=insensitive)
                return TRUE if inner == TRUE else Not(inner)
            return Not(self._equals(column, value, at, insensitive=insensitive))
        if name in ("in", "not_in"):
            one: Condition = FALSE
            if isinstance(value, FieldRef):
                one = OneOf(column.name, self._other(column, value, at, is_list=True), insensitive)
            elif values := at.sequence(value):
                stored = tuple(at[n].value(column.operand, item) for n, item in enumerate(values))
                one = OneOf(column.name, stored, insensitive)
            return one if name == "in" else Not(one)
        write: Callable[[Any], Any] = column.operand if name in _ORDER else string
        operand = self._operand(column, value, at, write)
        if name in _PATTERNS and (pattern := self._pattern(name, operand, at)) is not None:
            return Compare(column.name, Operator.LIKE, pattern, insensitive)
        return Compare(column.name, Operator(name), operand, insensitive)

    def _list(self, column: Column, value: Any, at: At) -> Condition:
        if value is None:
            return IsNull(column.name)
        if not isinstance(value, Mapping):
            return self._list_test(column, ListOperator.EQUALS, value, at)
        found = at.named(value, operators(column), "operators of a list")
        if not found:
            at.fail("names no operator; leave the field out for no filter")
        parts: list[Condition] = []
        for name, given in found.items():
            inner = at / name
            if name == "is_empty":
                empty = ListTest(column.name, ListOperator.EQUALS, ())
                parts.append(empty if inner.boolean(given) else Not(empty))
            elif name == "has":
                stored = self._operand(column, given, inner)
                parts.append(ListTest(column.name, ListOperator.HAS_EVERY, (stored,)))
            elif name == "equals" and given is None:
                parts.append(IsNull(column.name))
            else:
                parts.append(self._list_test(column, ListOperator(name), given, inner))
        return both(*parts)

    def _list_test(self, column: Column, op: ListOperator, given: Any, at: At) -> Condition:
        if isinstance(given, FieldRef):
            return ListTest(column.name, op, self._other(column, given, at, is_list=True))
        stored = tuple(at[n].value(column.operand, v) for n, v in enumerate(at.sequence(given)))
        return ListTest(column.name, op, stored)

    def _json(self, column: Column, value: Any, at: At) -> Condition:
        if value in (DbNull, JsonNull, AnyNull) and not isinstance(value, Mapping):
            return self._json_equals(column, (), value, at)
        if not isinstance(value, Mapping):
            at.fail("is not a filter of a Json field; give {'equals': …}")
        found = at.named(value, operators(column), "operators of a Json field")
        insensitive = _mode(found.pop("mode", None), at / "mode", False)
        path = self._path(found.pop("path", ()), at / "path")
        if not found and not path:
            return self._nothing(at, "names no operator; leave the field out for no filter")
        if not found:
            at.fail("names no operator for the path", code="P2019")
        parts = []
        for name, given in found.items():
            inner = at / name
            if name in ("equals", "not"):
                equal = self._json_equals(column, path, given, inner)
                parts.append(equal if name == "equals" else Not(equal))
                continue
            operator = JsonOperator(name)
            if name in _JSON_STRING:
                operand: Any = inner.value(string, given)
                if (pattern := self._pattern(name.removeprefix("string_"), operand, inner)) is not None:
                    operator, operand = JsonOperator.STRING_LIKE, pattern
            else:
                wrapped = given
                if name == "array_contains" and not isinstance(given, list | tuple):
                    wrapped = [None if given is JsonNull else given]
                operand = inner.value(column.operand, wrapped)
            parts.append(JsonTest(column.name, path, operator, operand, insensitive))
        return both(*parts)

    def _path(self, given: Any, at: At) -> tuple[str, ...]:
        steps = []
        for number, step in enumerate(at.sequence(given)):
            plain = str(step) if type(step) is int else step
            steps.append(at[number].value(string, plain))
        return tuple(steps)

    def _json_equals(self, column: Column, path: tuple[str, ...], value: Any, at: At) -> Condition:
        json_null = JsonTest(column.name, path, JsonOperator.EQUALS, _NULL_JSON)
        missing = JsonTest(column.name, path, JsonOperator.MISSING) if path else IsNull(column.name)
        if value is None and not self.vocabulary.exact:
            at.fail("could be JSON's null or the database's: give octavo.JsonNull, DbNull or AnyNull")
        if value is JsonNull or value is None:
            return json_null
        if isinstance(value, FieldRef):
            other = self._other(column, value, at, is_list=False)
            return JsonTest(column.name, path, JsonOperator.EQUALS, other)
        if value is DbNull or value is AnyNull:
            return missing if value is DbNull else Or((missing, json_null))
        operand = at.value(column.operand, value)
        return JsonTest(column.name, path, JsonOperator.EQUALS, operand)


def _are_comparable(column: Column, other: Column) -> bool:
    """Whether PostgreSQL compares the values of two columns, and as Prisma's types have it."""
    one, two = column.one, other.one
    if (column.field.kind, column.field.type) != (other.field.kind, other.field.type):
        return False
    if one.sql == two.sql or (one.is_number and two.is_number):
        return True
    texts = (one, two)
    return all(t.is_text and not t.is_caseless for t in texts) or all(
        t.across is not None and not t.is_number for t in texts
    )


def _mode(given: Any, at: At, inherited: bool) -> bool:
    if given is None:
        return inherited
    if given not in MODES:
        at.fail("is neither 'default' nor 'insensitive'")
    return bool(given == "insensitive")
