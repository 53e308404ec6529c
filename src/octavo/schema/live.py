"""What a live database has that its schema does not say, and that its data depend on.

The order of an enum's labels decides how PostgreSQL sorts them, and a generated column is computed by it.  An
export keeps both beside the schema (``schema/store.json``), so that the files sort as the database did, and a
restore makes the columns as they were.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from octavo.schema.datamodel import Datamodel, Enum, Function, Model, ScalarField
from octavo.schema.meaning import fingerprint, know

T = TypeVar("T")


class Live(Struct, frozen=True, omit_defaults=True):
    """What was found in a database."""

    enums: Mapping[str, tuple[str, ...]] = {}
    """by enum, the names of its values in the order of the database"""
    generated: Mapping[str, Mapping[str, str]] = {}
    """by model and field, what follows ``GENERATED ALWAYS AS``: ``(upper(first)) STORED``"""


def as_live(datamodel: Datamodel, live: Live) -> Datamodel:
    """The same schema, as the database has it.  What it does not know any more is left out."""
    enums = tuple(_ordered(enum, live.enums.get(enum.name, ())) for enum in datamodel.enums)
    models = tuple(_generated(model, live.generated.get(model.name, {})) for model in datamodel.models)
    if enums == datamodel.enums and models == datamodel.models:
        return datamodel
    found = replace(datamodel, enums=enums, models=models)
    know(found, fingerprint(datamodel))
    return found if datamodel.source is None else found.parsed_from(datamodel.source)


def live_of(datamodel: Datamodel) -> Live:
    """What :func:`as_live` was given."""
    generated = {m.name: {f.name: f.generated for f in m.scalars if f.generated} for m in datamodel.models}
    return Live(
        {enum.name: enum.order for enum in datamodel.enums if enum.order},
        {model: fields for model, fields in generated.items() if fields},
    )


def _ordered(enum: Enum, order: tuple[str, ...]) -> Enum:
    names = [m.name for m in enum.members]
    known = [name for name in order if name in names]
    every = (*known, *(name for name in names if name not in known))
    return replace(enum, order=() if list(every) == names else every)


def _generated(model: Model, found: Mapping[str, str]) -> Model:
    fields = tuple(
        replace(f, generated=found.get(f.name)) if isinstance(f, ScalarField) else f for f in model.fields
    )
    return model if fields == model.fields else replace(model, fields=fields)


def generation(model: Model, field: ScalarField) -> str | None:
    """What follows ``GENERATED ALWAYS AS`` of a field's column; None: it is no generated one.

    A default cannot name a column, so a ``dbgenerated("…")`` that does is the expression of a generated one.
    """
    if field.generated is not None:
        return field.generated
    match field.default:
        case Function("dbgenerated", (str(expression),)) if _names_a_column(expression, model, field):
            return f"({expression}) STORED"
    return None


_TOKEN = r"""'(?:[^']|'')*' | \$(\w*)\$.*?\$\1\$ | "(?P<quoted>(?:[^"]|"")+)" | (?P<cast>::\s*"?\w+"?)
    | (?P<word>[A-Za-z_\x80-\uffff][\w$]*)(?P<call>\s*[('.])? | ."""


def _names_a_column(expression: str, model: Model, field: ScalarField) -> bool:
    """Whether an expression names a column of the model other than the field's own."""
    columns = {f.column for f in model.scalars} - {field.column}
    for token in re.finditer(_TOKEN, expression, re.VERBOSE | re.DOTALL):
        word = token["word"]
        if token["quoted"] is not None and token["quoted"].replace('""', '"') in columns:
            return True
        if word is not None and token["call"] is None and word.lower() in columns:
            return True
    return False
