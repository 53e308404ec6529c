"""What Prisma's client calls an error: its code, its message, and the facts beside them (``meta``).

Octavo's own messages stay as they are; these are for who speaks Prisma's protocol.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from octavo.errors import (
    BusyError,
    ConflictError,
    ConstraintError,
    DatabaseError,
    ForeignKeyViolation,
    NullViolation,
    OctavoError,
    OwnTransaction,
    RawQueryError,
    RecordNotFound,
    RequiredRelationViolation,
    TransactionFailed,
    UniqueViolation,
    ValidationError,
    ValueOutOfRange,
)
from octavo.query.plan import Link
from octavo.query.vocabulary import Vocabulary


class KnownError(NamedTuple):
    """An error as Prisma's client tells it."""

    code: str
    message: str
    meta: Mapping[str, Any]


_NEEDED = "An operation failed because it depends on one or more records that were required but not found. "
_STATES: Mapping[str, tuple[str, str]] = {
    "28P01": ("P1000", "Authentication failed against the database server"),
    "28000": ("P1000", "Authentication failed against the database server"),
    "3D000": ("P1003", "Database does not exist on the database server"),
    "42501": ("P1010", "User was denied access on the database"),
    "42P01": ("P2021", "The table does not exist in the current database."),
    "42703": ("P2022", "The column does not exist in the current database."),
    "53300": ("P2037", "Too many database connections opened"),
    "": ("P1001", "Can't reach database server"),
}
"""by PostgreSQL's code; empty: it did not answer"""


def known_error(error: OctavoError, vocabulary: Vocabulary, operation: str = "query") -> KnownError | None:
    """The same error in Prisma's words; None: Prisma has no code for it.

    ``operation`` is what was asked of a transaction that has ended: ``query``, ``commit``, ``rollback``.
    """
    match error:
        case RecordNotFound():
            return _not_found(error, vocabulary)
        case ConstraintError():
            return _constraint(error, vocabulary)
        case ValidationError():
            return _invalid(error, vocabulary)
        case TransactionFailed() | OwnTransaction():
            return _transaction(error, operation)
        case ConflictError():
            message = (
                "Transaction failed due to a write conflict or a deadlock. Please retry your transaction"
            )
            return KnownError("P2034", message, {})
        case RawQueryError():
            state = error.sqlstate or "N/A"
            meta = {"code": state, "message": error.reason}
            message = f"Raw query failed. Code: `{state}`. Message: `{error.reason}`"
            return KnownError("P2010", message, meta)
        case DatabaseError() if error.sqlstate in _STATES:
            code, said = _STATES[error.sqlstate]
            return KnownError(code, f"{said}: {error.message}", {})
    return None


def _columns(error: ConstraintError, vocabulary: Vocabulary) -> list[str]:
    """The columns of the fields that an error is about."""
    try:
        columns = vocabulary[error.model].columns
    except KeyError:
        return list(error.fields)
    return [columns[name].field.column if name in columns else name for name in error.fields]


def _constraint(error: ConstraintError, vocabulary: Vocabulary) -> KnownError:
    columns = _columns(error, vocabulary)
    fields = "fields: ({})".format(", ".join(f"`{column}`" for column in columns))
    match error:
        case UniqueViolation():
            return KnownError("P2002", f"Unique constraint failed on the {fields}", {"target": columns})
        case NullViolation():
            meta = {"constraint": columns}
            return KnownError("P2011", f"Null constraint violation on the {fields}", meta)
        case ForeignKeyViolation():
            message = f"Foreign key constraint violated on the constraint: `{error.constraint}`"
            meta_ = {"constraint": error.constraint, "field_name": f"{error.constraint} (index)"}
            return KnownError("P2003", message, meta_)
        case RequiredRelationViolation():
            return _broken(error, vocabulary)
        case ValueOutOfRange():
            said = f"a value of {', '.join(columns)} is out of range"
            return KnownError("P2020", f"Value out of range for the type: {said}", {"details": said})
    raise AssertionError("every constraint is one of these")


def _broken(error: RequiredRelationViolation, vocabulary: Vocabulary) -> KnownError:
    link = vocabulary[error.model].links.get(error.relation)
    relation, other = (link.relation, link.target) if link is not None else (error.relation, error.model)
    meta = {"relation_name": relation, "model_a_name": error.model, "model_b_name": other}
    message = (
        f"The change you are trying to make would violate the required relation '{relation}' between the"
        f" `{error.model}` and `{other}` models."
    )
    return KnownError("P2014", message, meta)


def _not_found(error: RecordNotFound, vocabulary: Vocabulary) -> KnownError:
    operation = error.operation
    link = None
    if error.over is not None:
        model, name = error.over
        link = vocabulary[model].links.get(name)
    if link is None:
        operation = operation if operation.startswith(("a ", "an ")) else "a query"
        message = f"{_NEEDED}No record was found for {operation}."
        return KnownError("P2025", message, {"cause": _cause(message), "operation": operation})
    if operation == "a nested delete" and link.is_list:
        message = (
            f"The records for relation `{link.relation}` between the `{link.model}` and `{link.target}`"
            " models are not connected."
        )
        return KnownError(
            "P2017", message, {"relation": link.relation, "parent": link.model, "child": link.target}
        )
    return _not_linked(operation.replace("a connect", "a nested connect"), link, vocabulary)


def _not_linked(operation: str, link: Link, vocabulary: Vocabulary) -> KnownError:
    kind = _kind(link, vocabulary)
    about = {"relation": link.relation, "relationType": kind}
    if operation == "a nested connect" and link.is_list:
        if link.join:
            message = f"{_NEEDED}Expected 1 records to be connected, found only 0."
            return KnownError("P2025", message, {"cause": _cause(message), "expectedRows": 1})
        message = (
            "The required connected records were not found. Expected 1 records to be connected after connect"
            f" operation on {kind} relation '{link.relation}', found 0."
        )
        return KnownError("P2018", message, {"expectedRows": 1, **about})
    meta = {"model": link.target, "operation": operation, **about}
    hint = ""
    if operation == "a nested connect" and link.holds_key:
        meta["neededFor"] = f"inline the relation on '{link.model}' record(s)"
        hint = f" (needed to {meta['neededFor']})"
    message = (
        f"{_NEEDED}No '{link.target}' record{hint} was found for {operation} on {kind} relation"
        f" '{link.relation}'."
    )
    return KnownError("P2025", message, {"cause": _cause(message), **meta})


def _cause(message: str) -> str:
    return message.removeprefix(_NEEDED)


def _kind(link: Link, vocabulary: Vocabulary) -> str:
    if link.join:
        return "many-to-many"
    return "one-to-many" if link.is_list or vocabulary.opposite(link).is_list else "one-to-one"


def _invalid(error: ValidationError, vocabulary: Vocabulary) -> KnownError:
    """Of a value that does not fit its column PostgreSQL speaks, not Prisma's own validation."""
    field = error.path.rpartition("data.")[2].partition(".")[0].partition("[")[0]
    column = "(not available)"
    if error.model and field in (columns := vocabulary[error.model].columns):
        column = columns[field].field.column
    match error.code:
        case "P2000":
            message = "The provided value for the column is too long for the column's type. Column: " + column
            return KnownError("P2000", message, {"column_name": column})
        case "P2020":
            message = f"Value out of range for the type: {error.reason}"
            return KnownError("P2020", message, {"details": error.reason, "column_name": column})
        case "P2019":
            return KnownError("P2019", f"Input error. {error.reason}", {"details": error.reason})
        case "P2012":
            return KnownError("P2012", f"`{error.path}`: A value is required but not set", {})
    return KnownError("P2009", error.message, {})


def _transaction(error: TransactionFailed | OwnTransaction, operation: str) -> KnownError:
    meta: dict[str, Any] = {}
    said = error.message
    if isinstance(error, TransactionFailed):
        if error.timeout is not None:
            timeout, taken = (math.ceil(1000 * part) for part in (error.timeout, error.taken))
            meta = {"operation": operation, "timeout": timeout, "timeTaken": taken}
            said = (
                f"A {operation} cannot be executed on an expired transaction. The timeout for this"
                f" transaction was {timeout} ms, however {taken} ms passed since the start of the"
                " transaction. Consider increasing the interactive transaction timeout or doing less work"
                " in the transaction."
            )
        elif error.end:
            which = (
                "a committed transaction"
                if error.end == "committed"
                else ("a transaction that was rolled back")
            )
            said = f"Transaction already closed: A {operation} cannot be executed on {which}."
        elif isinstance(error, BusyError):
            said = f"Unable to start a transaction in the given time: {said}"
    return KnownError("P2028", f"Transaction API error: {said}", meta)
