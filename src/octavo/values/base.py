"""What a value type is: all that Octavo knows of the values of a column.

A value has four forms:

- *SQL*: an expression of the column's own type;
- *text*: what PostgreSQL prints for it, as bytes;
- *stored*: what msgspec decodes its JSON as; files and records in memory hold this;
- *Python*: what a caller gives and gets.

``json_sql`` makes JSON of a column inside PostgreSQL (the export's direction); ``decoded`` and ``text`` make
PostgreSQL's text of the JSON in a file (the direction of verify and restore).  The two share nothing, so that
a mistake in one shows against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET

Sql: TypeAlias = Callable[[str], str]
"""From an SQL expression to another."""
LineSql: TypeAlias = Callable[[str, str], str]
"""From an SQL expression, and a literal that is no value, to another expression."""
Text: TypeAlias = Callable[[Any], bytes]
"""From a stored value that is not NULL to PostgreSQL's text.  Raises ValueError with the reason."""
Read: TypeAlias = Callable[[Any], Any]
"""From a stored value to Python's."""
Write: TypeAlias = Callable[[Any], Any]
"""From Python's value to the stored one, checked.  Raises ValueError with the reason."""
Key: TypeAlias = Callable[[Any], Any]
"""From a stored value that is not NULL to one that sorts, is equal or hashes as asked."""
Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema."""


def as_it_is(value: str) -> str:
    return value


def cast_text(column: str) -> str:
    return f"{column}::text"


def line_as_printed(column: str, _: str) -> str:
    return column


def line_as_text(column: str, _: str) -> str:
    return f"{column}::text"


def quoted(column: str) -> str:
    """JSON of a text that holds nothing to escape."""
    return f"""concat('"', {column}, '"')"""


def null_is_none(stored: Any) -> bool:
    return stored is None or stored is UNSET


class ValueType(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one column.  A list's type is made from its element's (:mod:`octavo.values.lists`)."""

    # In SQL.
    sql: str = ""
    """the type's name without a length, so that a cast does not cut a value that is compared"""
    json_sql: Sql
    """to one that yields JSON text, for a value that is not NULL"""
    text_sql: Sql = cast_text
    """to one that yields PostgreSQL's text, in a COPY"""
    line_sql: LineSql | None = None
    """to one of which ``row_to_json`` makes the JSON of a file, or the literal where that is not certain.  It
    shares nothing with ``json_sql``, which it is to prove, and never gives the same JSON to two values whose
    texts differ.  None: a verification compares the fields of the models that have such a column."""
    order_sql: Sql = as_it_is
    """to one that sorts as records follow each other in a file: JSON strings by their UTF-8 bytes"""
    null_sql: Sql = lambda column: f"{column} IS NULL"
    """to the condition that it is NULL"""
    search_sql: Sql = cast_text
    """to the text in which a search looks"""
    compared_as: str = ""
    """the type in whose terms its values are compared, where it is not its own"""
    computed_as: str = ""
    """the type in whose terms its values are computed, where it is not its own"""
    collated: bool = False
    """whether a comparison in SQL must say that it goes by bytes"""
    array_cast: str = ""
    """what an array is cast to where its text would print the elements otherwise than alone"""
    delimiter: bytes = b","
    """between the elements of an array"""

    # Between JSON and PostgreSQL's text.
    decoded: Any = str
    """the type that msgspec decodes the JSON as"""
    text: Text
    array_text: Text | None = None
    """the text within an array, where that is another"""
    null: Any = None
    """NULL in stored form"""
    is_null: Callable[[Any], bool] = null_is_none
    """whether a stored value is NULL (and not JSON's null)"""
    strict: bool = False
    """whether ``text`` refuses values that the decoder accepts, even if they contain no escapes"""
    printed: bool = False
    """whether Python prints a stored value as ``text`` does, if that does not refuse it"""
    width: int = 0
    """the length of the JSON's string in years of four digits, if the type is an instant"""
    schema: Schema
    """the JSON Schema of one value"""

    # Between the stored form and Python's values.
    read: Read | None = None
    """from a stored value that is not NULL; None: it is Python's value"""
    write: Write
    """of a value that is not NULL"""
    write_operand: Write | None = None
    """of a value to compare with, where a value that the column could not hold is simply not equal"""

    # In memory as PostgreSQL does it.
    key: Key | None = None
    """to one that sorts, is equal and hashes as PostgreSQL would have it; None: the stored value does"""
    across: Key | None = None
    """the same for values of another column too, whose length or precision may be another; None: ``key``"""
    identity: Key | None = None
    """to one that is equal and hashes as PostgreSQL would have it; None: the stored value does"""
    file_key: Key | None = None
    """to one that sorts as ``order_sql`` does; None: the stored value does"""
    compute: Callable[[str, Any, Any], Any] | None = None
    """``increment``, ``decrement``, ``multiply`` or ``divide`` by an operand; None: it is no number"""
    summed: Literal["", "whole", "big", "decimal", "double", "single"] = ""
    """how its values are summed (:mod:`octavo.values.totals`); empty: they are no numbers"""
    is_ordered: bool = False
    """whether filters may ask for what is less or greater"""
    is_text: bool = False
    """whether filters may search in it"""
    is_caseless: bool = False
    equal_spellings: bool = False
    """whether PostgreSQL takes values for equal that it prints differently: ``A`` and ``a``, 1.0 and 1.00"""
    respelled: bool = False
    """whether a file may spell a value otherwise than PostgreSQL prints it"""
    exact: bool = False
    """whether it keeps a JSON text as it was given, with white space"""

    default_key: Callable[[str], Any] = as_it_is
    """from a default, as the schema or the catalog spells it, to one that is equal for equal values"""

    element: ValueType | None = None
    """of a list"""

    @property
    def one(self) -> ValueType:
        """The type of a single value: the element's, where this is a list."""
        return self.element or self

    @property
    def across_key(self) -> Key:
        """The key by which a value compares with another column's."""
        return self.across or self.key or as_it_is

    @property
    def is_number(self) -> bool:
        return self.compute is not None

    @property
    def operand(self) -> Write:
        """From Python's value to compare with to a stored one."""
        return self.write_operand or self.write

    def nullable_sql(self, column: str) -> str:
        """An SQL expression that yields JSON text, ``null`` for NULL."""
        return f"CASE WHEN {self.null_sql(column)} THEN 'null' ELSE ({self.json_sql(column)})::text END"

    def changed(self, kind: str, stored: Any, operand: Any) -> Any:
        """A stored value after a change (``octavo.query.plan.ChangeKind``) whose operand is in stored form.

        Raises ValueError where the outcome does not fit the column.
        """
        if kind == "set":
            return operand
        if kind == "push":
            return [*(stored or ()), *operand]
        assert self.compute is not None, "the arguments were checked"
        return stored if self.is_null(stored) else self.compute(kind, stored, operand)


TYPES: dict[str, ValueType | Callable[[tuple[int, ...]], ValueType]] = {}
"""By the native type's name: the type, or what makes it from the arguments (``@db.VarChar(20)``)."""


class Unfit(ValueError):
    """A value of the right type for which its column has no room; ``code`` is Prisma's."""

    code = "P2020"


class TooLong(Unfit):
    """A text that is longer than its column."""

    code = "P2000"


def wrong(value: Any, wanted: str) -> ValueError:
    return ValueError(f"must be {wanted}, not {'None' if value is None else type(value).__name__}")


def matching(pattern: str) -> Schema:
    """The JSON Schema of a string that matches as a whole."""
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def or_null(decoded: Any) -> Any:
    """The type, in msgspec's terms, of a value that may be ``null``; raw text can hold that by itself."""
    return decoded if decoded is msgspec.Raw else decoded | None
