"""What a query means.

A query is immutable, checked, and free of any backend.  Every value is in its *stored form*
(:mod:`octavo.values.base`), every name is the schema's.  A condition is true, false or unknown as in
PostgreSQL: comparing NULL is unknown, ``Not`` of unknown is unknown, and only what is true is found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from msgspec import Struct


class Link(Struct, frozen=True, gc=False, kw_only=True):
    """A relation as seen from the model that has the relation field.

    A record of ``model`` and one of ``target`` are linked where ``fields`` of the first are equal to
    ``references`` of the second, and none of them is NULL.  In an implicit many-to-many relation they are
    linked where a row of the table ``join`` has them under ``near`` and ``far``.
    """

    name: str
    """the relation field's name"""
    model: str
    target: str
    fields: tuple[str, ...]
    references: tuple[str, ...]
    is_list: bool
    required: bool
    """whether the foreign key, on whichever side it is, may not be NULL"""
    holds_key: bool
    """whether ``fields`` are the foreign key; else ``references`` are, or the join table's columns"""
    relation: str
    """the relation's name"""
    join: str = ""
    """the join table's name in :attr:`Datamodel.join_tables`; empty: there is none"""
    near: str = ""
    """the join table's column with ``fields``: ``A`` or ``B``"""
    far: str = ""
    """the one with ``references``"""


class Operator(StrEnum):
    """How a field is compared.  Text compares by its UTF-8 bytes, enums by their declaration."""

    EQUALS = "equals"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    LIKE = "like"
    """the text matches a pattern of SQL's LIKE"""


class AggregateFunction(StrEnum):
    """What many values are made one by."""

    COUNT = "_count"
    SUM = "_sum"
    AVG = "_avg"
    MIN = "_min"
    MAX = "_max"


class ListOperator(StrEnum):
    """How a list field is tested.  The order and number of the values given matter to ``EQUALS`` alone."""

    EQUALS = "equals"
    HAS_EVERY = "has_every"
    """unknown for a NULL list; true for no values"""
    HAS_SOME = "has_some"
    """unknown for a NULL list; false for no values"""


class JsonOperator(StrEnum):
    """How the value at a path of a Json field is tested.

    Where nothing is at the path, all but ``MISSING`` are unknown.  The ``STRING_…`` operators are false for
    what is no string, ``ARRAY_…`` for what is no array, and the order of ``LT`` to ``GTE`` is false between
    different types; it is the order of jsonb.
    """

    EQUALS = "equals"
    """as jsonb: key order does not matter, 1.0 is 1"""
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    STRING_CONTAINS = "string_contains"
    STRING_STARTS_WITH = "string_starts_with"
    STRING_ENDS_WITH = "string_ends_with"
    STRING_LIKE = "string_like"
    ARRAY_CONTAINS = "array_contains"
    """the array contains each element of the array given, as jsonb's ``@>`` does"""
    ARRAY_STARTS_WITH = "array_starts_with"
    """the first element is equal to the value"""
    ARRAY_ENDS_WITH = "array_ends_with"
    MISSING = "missing"
    """nothing is there (``#>`` gives NULL), the field being NULL included; never unknown"""


class And(Struct, frozen=True):
    """All parts; with none: true."""

    parts: tuple[Condition, ...] = ()


class Or(Struct, frozen=True):
    """One of the parts; with none: false."""

    parts: tuple[Condition, ...] = ()


class Not(Struct, frozen=True):
    """Unknown where its part is."""

    part: Condition


class IsNull(Struct, frozen=True, gc=False):
    """A field is NULL; never unknown."""

    field: str


class Other(Struct, frozen=True, gc=False):
    """The value that the same record has in another field."""

    field: str


class Compare(Struct, frozen=True):
    """A field against a value that is not NULL, or against another field: unknown where that is NULL.

    The value is of the column's type but for its length: a text may be longer than ``VarChar(5)``, a decimal
    have more digits than ``Decimal(10, 2)``.  It is compared as it is, never cut or rounded to fit.
    ``CONTAINS``, ``STARTS_WITH`` and ``ENDS_WITH`` take their text literally: no character is a wildcard.
    ``insensitive``: both sides by their lower case, character by character.
    """

    field: str
    op: Operator
    value: Any
    insensitive: bool = False


class OneOf(Struct, frozen=True):
    """A field is equal to one of the values, none of which is NULL.  With none: false, also for NULL.

    Of another field, which is a list: unknown where the list is NULL, or has NULL and not the value.
    """

    field: str
    values: tuple[Any, ...] | Other
    insensitive: bool = False


class ListTest(Struct, frozen=True):
    """A list field against values, in the stored form of its elements; or against another list field.

    One of the values may be another field's, which no list has where it is NULL.
    """

    field: str
    op: ListOperator
    values: tuple[Any, ...] | Other


class JsonTest(Struct, frozen=True):
    """What stands at a path in a Json field (``()``: the whole), as PostgreSQL's ``#>`` finds it.

    ``value`` is canonical jsonb in a ``Raw``, of the ``STRING_…`` operators a string, of ``MISSING`` None;
    of ``EQUALS`` it may be another field.
    ``json`` columns (``@db.Json``) are tested as if they were jsonb.
    """

    field: str
    path: tuple[str, ...]
    op: JsonOperator
    value: Any = None
    insensitive: bool = False


class Related(Struct, frozen=True):
    """At least one record of ``link.target`` is linked and fulfils ``where``; never unknown.

    ``none`` and ``every`` are made of it: ``Not(Related(w))``, ``Not(Related(Not(w)))``.
    """

    link: Link
    where: Condition


class CompareCount(Struct, frozen=True):
    """The number of records that the last link of a path gives (:class:`Order`) against another; never
    unknown."""

    path: tuple[Link, ...]
    op: Operator
    value: int


Condition: TypeAlias = (
    And | Or | Not | IsNull | Compare | OneOf | ListTest | JsonTest | Related | CompareCount
)

TRUE, FALSE = And(), Or()


def named_fields(condition: Condition) -> Iterator[str]:
    """The fields that a condition is about, without those of related records."""
    match condition:
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from named_fields(part)
        case Not(part=part):
            yield from named_fields(part)
        case IsNull(field=field):
            yield field
        case Compare(field=field, value=value) | JsonTest(field=field, value=value):
            yield from (field, value.field) if isinstance(value, Other) else (field,)
        case OneOf(field=field, values=values) | ListTest(field=field, values=values):
            others = [values] if isinstance(values, Other) else values
            yield from (field, *(other.field for other in others if isinstance(other, Other)))


class Order(Struct, frozen=True):
    """One term of an order.

    ``path`` leads over relations; but for the last link of a count all are to-one.  ``field`` is a field of
    the model that the path ends at: NULL where a link on the way has no record.  Without a field, it is the
    number of records that the last link gives (0 where the way to it breaks off).
    """

    field: str | None
    descending: bool = False
    nulls_first: bool = False
    path: tuple[Link, ...] = ()


class Query(Struct, frozen=True, kw_only=True):
    """Which records of a model, in which order.

    The order is total: it ends with the model's key.  Records that agree in all of ``distinct`` (NULL
    agrees with NULL) count once, the first of them; after that ``skip`` are left out and at most ``take``
    are given.
    """

    model: str
    where: Condition = TRUE
    order: tuple[Order, ...] = ()
    """empty: the caller does not care"""
    skip: int = 0
    take: int | None = None
    distinct: tuple[str, ...] = ()


class Aggregate(Struct, frozen=True, gc=False):
    """A number or a value that many records give.

    ``COUNT`` is 0 of no records, all others NULL.  ``SUM`` and ``AVG`` of floats depend on the order of the
    records.  Of equal values that print differently, ``MIN`` and ``MAX`` give the first.
    """

    function: AggregateFunction
    field: str | None = None
    """NULLs of it are left out; None, of ``COUNT`` alone: all records"""

    @property
    def name(self) -> str:
        """What conditions and orders of groups call it: ``_sum.size``."""
        return f"{self.function}.{self.field or '_all'}"


class Grouping(Struct, frozen=True, kw_only=True):
    """Aggregates of the records that a query gives, for each group of those that agree in ``by``.

    NULL agrees with NULL; of values that are equal and print differently, a group has the first.  Without
    ``by`` there is one group, also of no records.  ``having`` and ``order`` name a field of ``by``, or an
    aggregate by its name; the order ends with ``by``.
    """

    query: Query
    by: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...]
    """those of ``having`` and ``order`` too"""
    among: Condition = TRUE
    """on fields of ``by`` alone: a record that does not meet it is in no group, so that a sum that would
    overflow there is no error, as in PostgreSQL"""
    having: Condition = TRUE
    order: tuple[Order, ...] = ()
    skip: int = 0
    take: int | None = None


Group: TypeAlias = tuple[Any, ...]
"""The values of a group in stored form: those of ``by``, then the aggregates'."""


class Search(Struct, frozen=True, kw_only=True):
    """Which records of a model have all of some words, in some fields taken together; best first, then by
    key."""

    model: str
    words: tuple[str, ...]
    """folded (:mod:`octavo.values.words`), each once, at least one"""
    fields: tuple[str, ...]
    """of text; none is a secret"""
    where: Condition = TRUE
    skip: int = 0
    take: int


class Unique(Struct, frozen=True):
    """One record at most: by the values, none of them NULL, of a primary key or unique; and what else it
    must fulfil."""

    model: str
    fields: tuple[str, ...]
    values: tuple[Any, ...]
    also: Condition = TRUE

    @property
    def where(self) -> Condition:
        """The same as a condition."""
        equal = equals(self.fields, self.values)
        return equal if self.also == TRUE else And((*equal.parts, self.also))


def equals(fields: tuple[str, ...], values: tuple[Any, ...]) -> And:
    """Each of the fields is equal to its value."""
    return And(tuple(Compare(f, Operator.EQUALS, v) for f, v in zip(fields, values, strict=True)))


def one_of(fields: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> Condition:
    """The fields have the values of one of these keys."""
    if len(fields) == 1 and len(keys) != 1:
        return OneOf(fields[0], tuple(key[0] for key in keys))
    found = tuple(equals(fields, key) for key in keys)
    return found[0] if len(found) == 1 else Or(found)


class Cursor(Struct, frozen=True):
    """Where to begin: at the place of the record that ``at`` finds; if there is none, nothing is found."""

    at: Unique


class Projection(Struct, frozen=True, kw_only=True):
    """What of each record is shown, relations included."""

    fields: tuple[str, ...]
    """scalar fields, in the schema's order"""
    relations: tuple[Inclusion, ...] = ()
    counts: tuple[Count, ...] = ()
    by_name: bool = False
    """whether the caller named the fields (``select``), and so asked for secrets among them"""


class Find(Struct, frozen=True, kw_only=True):
    """A query with its cursor and direction, and what is shown of what it finds."""

    query: Query
    cursor: Cursor | None = None
    backwards: bool = False
    """the query's order is turned round (a negative ``take``); so is the result, afterwards"""
    projection: Projection | None = None
    """None: the whole record, without relations"""


class Inclusion(Struct, frozen=True):
    """A relation that is shown with each record: per record, what ``find`` gives of its linked ones."""

    link: Link
    find: Find


class Count(Struct, frozen=True):
    """The number of a relation's records, as ``_count`` shows it."""

    link: Link
    where: Condition


class ChangeKind(StrEnum):
    """What an update does to a field.  Arithmetic on NULL gives NULL."""

    SET = "set"
    INCREMENT = "increment"
    DECREMENT = "decrement"
    MULTIPLY = "multiply"
    DIVIDE = "divide"
    """whole numbers: towards zero, as PostgreSQL"""
    PUSH = "push"
    """append to a list the elements given (a list); a NULL list counts as empty"""


class Change(Struct, frozen=True):
    """One field's part in an update; ``value`` is in stored form."""

    field: str
    kind: ChangeKind
    value: Any


class Insert(Struct, frozen=True):
    """New records as they are stored, of a model or a join table.

    A row has a value for every field but those that the place itself fills in: ``autoincrement()`` counts
    on after the highest number so far (gaps are normal), ``dbgenerated(…)`` is evaluated by PostgreSQL.
    """

    model: str
    rows: Sequence[Mapping[str, Any]]
    skip_duplicates: bool = False
    """leave out a row that would raise UniqueViolation, also for the sake of an earlier row"""
    known_new: Collection[str] = ()
    """fields whose values were just made to be unlike any other (``uuid()``), so that they need not be
    looked for"""


class NewRecord(Struct, frozen=True, kw_only=True):
    """A record to be made.  ``values`` holds, in stored form, what the caller gave; defaults come later."""

    model: str
    values: dict[str, Any]
    nested: tuple[Nested, ...] = ()


class Edit(Struct, frozen=True, kw_only=True):
    """What an update does to one record and to what hangs on it."""

    model: str
    changes: tuple[Change, ...]
    nested: tuple[Nested, ...] = ()


class Nested(Struct, frozen=True):
    """What a write does over one relation, in the order in which it is done."""

    link: Link
    steps: tuple[Step, ...]


class Create(Struct, frozen=True):
    """Make a record and link it."""

    record: NewRecord


class Connect(Struct, frozen=True):
    """Link a record that must be there."""

    to: Unique


class ConnectOrCreate(Struct, frozen=True):
    """Link a record if it is there, else make it."""

    to: Unique
    record: NewRecord


class Disconnect(Struct, frozen=True):
    """Unlink the linked records that fulfil this, if any."""

    where: Condition


class SetLinks(Struct, frozen=True):
    """Link exactly these; each must be there, unless not ``all_there`` need be."""

    to: tuple[Unique, ...]
    all_there: bool = True


class Delete(Struct, frozen=True):
    """Delete a linked record, which must be there."""

    where: Condition


class Update(Struct, frozen=True):
    """Change a linked record, which must be there."""

    where: Condition
    edit: Edit


class Upsert(Struct, frozen=True):
    """Change a linked record if it is there, else make and link one."""

    where: Condition
    record: NewRecord
    edit: Edit


class DeleteMany(Struct, frozen=True):
    """Delete the linked records that fulfil this."""

    where: Condition


class UpdateMany(Struct, frozen=True):
    """Change the linked records that fulfil this."""

    where: Condition
    edit: Edit


class CreateMany(Struct, frozen=True):
    """Make records and link them."""

    records: tuple[NewRecord, ...]
    skip_duplicates: bool


Step: TypeAlias = (
    Create
    | Connect
    | ConnectOrCreate
    | Disconnect
    | SetLinks
    | Delete
    | Update
    | Upsert
    | UpdateMany
    | DeleteMany
    | CreateMany
)
