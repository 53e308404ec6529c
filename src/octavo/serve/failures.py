"""From Octavo's errors to those of Prisma's JSON protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from octavo.errors import (
    ConflictError,
    ForeignKeyViolation,
    NullViolation,
    OctavoError,
    RecordNotFound,
    RequiredRelationViolation,
    TransactionFailed,
    UniqueViolation,
    ValidationError,
    ValueOutOfRange,
)
from octavo.query.arguments import camel
from octavo.serve.calls import Call
from octavo.serve.refusals import Place, Refused
from octavo.serve.view import SeenModel

Told: TypeAlias = tuple[str, dict[str, Any]]
"""message and meta"""


def failure(error: Exception, call: Call | None = None, index: int | None = None) -> dict[str, Any]:
    """An error as an answer holds it; ``index`` is the place of its query in a batch."""
    if isinstance(error, ValidationError) and call is not None and call.model is not None:
        error = _invalid(error, call.name, call.model)
    message, code, meta = _told(error)
    user = {"is_panic": False, "message": message, "meta": meta, "batch_request_idx": index}
    if code:
        user["error_code"] = code
    return {"error": message, "user_facing_error": user}


def _told(error: Exception) -> tuple[str, str, dict[str, Any] | None]:
    """Message, code and meta, as Prisma's engine has them for PostgreSQL."""
    if isinstance(error, Refused):
        return error.message, error.code, error.meta
    for kind, tell in _TELL.items():
        if isinstance(error, kind):
            message, meta = tell(error)
            return message, getattr(error, "code", ""), meta
    if isinstance(error, OctavoError):
        return error.message, getattr(error, "code", ""), None
    return f"the server failed: {type(error).__name__}", "", None


def _quoted(names: Sequence[str]) -> str:
    return f"({','.join(f'`{name}`' for name in names)})"


def _unique(error: UniqueViolation) -> Told:
    meta = {"modelName": error.model, "target": list(error.fields)}
    return f"Unique constraint failed on the fields: {_quoted(error.fields)}", meta


def _foreign_key(error: ForeignKeyViolation) -> Told:
    name = getattr(error, "constraint", "")
    meta = {"modelName": error.model, "constraint": name, "field_name": name}
    return f"Foreign key constraint violated on the constraint: `{name}`", meta


def _null(error: NullViolation) -> Told:
    meta = {"modelName": error.model, "constraint": list(error.fields)}
    return f"Null constraint violation on the fields: {_quoted(error.fields)}", meta


def _required(error: RequiredRelationViolation) -> Told:
    return (
        f"The change you are trying to make would violate the required relation '{error.relation}'.",
        {"relation_name": error.relation, "model_a_name": error.model},
    )


def _out_of_range(error: ValueOutOfRange) -> Told:
    return f"Value out of range for the type: {error.message}", {"details": error.message}


def _not_found(error: RecordNotFound) -> Told:
    cause = f"No record was found for {error.doing}."
    text = "An operation failed because it depends on one or more records that were required but not found."
    return f"{text} {cause}", {"modelName": error.model, "cause": cause}


def _transaction(error: TransactionFailed) -> Told:
    return f"Transaction API error: {error.message}", {"error": error.message}


def _conflict(error: ConflictError) -> Told:
    return "Transaction failed due to a write conflict or a deadlock. Please retry your transaction", {}


_TELL: dict[type[Exception], Callable[[Any], Told]] = {
    UniqueViolation: _unique,
    ForeignKeyViolation: _foreign_key,
    NullViolation: _null,
    RequiredRelationViolation: _required,
    ValueOutOfRange: _out_of_range,
    RecordNotFound: _not_found,
    TransactionFailed: _transaction,
    ConflictError: _conflict,
}


def _invalid(error: ValidationError, root: str, model: SeenModel) -> Refused:
    """A value that the client's call has refused, with its place in the query."""
    selection: list[str] = [root]
    arguments: list[str] = []
    steps = error.path.replace("[", ".").replace("]", "").split(".") if error.path else []
    seen: SeenModel | None = model
    field = None
    inside = False
    for step in steps:
        if step in ("include", "select") and not inside:
            continue
        if not inside and seen is not None and (link := _link(seen, step)) is not None:
            selection.append(link)
            seen = seen.links[link].target
            continue
        inside = True
        name = camel(step)
        if seen is not None and (found := _field(seen, step)) is not None:
            field, name = seen.fields[found], found
        elif seen is not None and (link := _link(seen, step)) is not None:
            seen, name = seen.links[link].target, link
        arguments.append(name)
    at = Place(tuple(selection), tuple(arguments))
    return at.wrong_value(error.reason, *([field.field.type] if field is not None else []))


def _link(model: SeenModel, stored: str) -> str | None:
    return next((name for name, link in model.links.items() if link.name == stored), None)


def _field(model: SeenModel, stored: str) -> str | None:
    return next((name for name, field in model.fields.items() if field.name == stored), None)
