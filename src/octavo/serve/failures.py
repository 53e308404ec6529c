"""From Octavo's errors to those of Prisma's JSON protocol."""

from __future__ import annotations

from typing import Any

from octavo.errors import OctavoError, ValidationError
from octavo.query.arguments import camel
from octavo.query.known_errors import KnownError, known_error
from octavo.query.vocabulary import Vocabulary
from octavo.serve.calls import Call
from octavo.serve.refusals import REQUEST, Place, Refused, nested_too_deeply
from octavo.serve.view import SeenModel


def failure(
    error: Exception,
    vocabulary: Vocabulary,
    call: Call | None = None,
    *,
    index: int | None = None,
    operation: str = "query",
) -> dict[str, Any]:
    """An error as an answer holds it.

    ``index`` is the place of its query in a batch; ``operation`` what was asked of a transaction.
    """
    if isinstance(error, RecursionError):
        error = nested_too_deeply(REQUEST if call is None else call.name)
    if isinstance(error, ValidationError) and error.code in ("P2009", "P2012") and call is not None:
        error = _invalid(error, call.name, call.model)
    told = _told(error, vocabulary, operation)
    user = {"is_panic": False, "message": told.message, "meta": told.meta, "batch_request_idx": index}
    if told.code:
        user["error_code"] = told.code
    return {"error": told.message, "user_facing_error": user}


def _told(error: Exception, vocabulary: Vocabulary, operation: str) -> KnownError:
    if isinstance(error, Refused):
        return KnownError(error.code, error.message, error.meta)
    if isinstance(error, OctavoError):
        hint = f" ({error.hint})" if error.hint else ""
        return known_error(error, vocabulary, operation) or KnownError("", error.message + hint, {})
    return KnownError("", f"the server failed: {type(error).__name__}", {})


def _invalid(error: ValidationError, root: str, model: SeenModel | None) -> Refused:
    """A value that the client's call has refused, with its place in the query."""
    selection: list[str] = [root]
    arguments: list[str] = []
    steps = error.path.replace("[", ".").replace("]", "").split(".") if error.path else []
    seen = model
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
