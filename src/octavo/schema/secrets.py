"""The fields that are taken for secrets by their names (see :mod:`octavo.schema.secret_fields`)."""

from __future__ import annotations

from octavo.schema.datamodel import Datamodel


def named_secrets(datamodel: Datamodel) -> list[str]:
    """The fields that are taken for secrets without a line of the schema, as ``User.password``."""
    return [
        f"{model.name}.{f.name}"
        for model in datamodel.models
        for f in model.scalars
        if f.secret is not None and f.secret.named
    ]


def told(datamodel: Datamodel) -> str:
    """One line on them; empty if there are none."""
    named = named_secrets(datamodel)
    if not named:
        return ""
    return (
        f"taken for secrets by their names, and never shown: {', '.join(named)}"
        " (a line `/// @public` above a field in the schema shows it)"
    )
