"""Which fields of a model can be searched: texts that are no secrets."""

from __future__ import annotations

from typing import Any

from octavo.schema.datamodel import Datamodel, Model, ScalarField, ScalarKind
from octavo.values.registry import value_type


def why_not_searched(field: ScalarField, datamodel: Datamodel) -> str:
    """Why a field cannot be searched; empty: it can be."""
    if field.secret is not None:
        return "is a secret, and no secret is searched"
    if field.is_list or field.kind is not ScalarKind.SCALAR or not value_type(field, datamodel).is_text:
        return "is not a field of text"
    return ""


def check_searched(model: Model, names: Any, datamodel: Datamodel) -> str:
    """What is wrong with the fields that a layout lets be searched; empty: nothing."""
    if not isinstance(names, list) or not names:
        return "search: must be a list of fields"
    for number, name in enumerate(names):
        field = next((f for f in model.scalars if f.name == name), None)
        if field is None:
            return f"search: the model has no field {name!r}"
        if reason := why_not_searched(field, datamodel):
            return f"search: {name} {reason}"
        if name in names[:number]:
            return f"search: {name} is named twice"
    return ""
