"""The migrations that a store went through, as ``schema/store.json`` lists them: each with the way back.

An entry keeps the texts of the schema and the layout that the store had, what the migration declared, and
what it cannot give back.  The last entry is taken off the list when its migration is taken back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from octavo.errors import DamagedError, UsageError
from octavo.evolve.matching import Renames
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.layout.written import layout_text
from octavo.schema.datamodel import Source
from octavo.schema.parser import parse_source
from octavo.store.identity import LAYOUT, NAME, Identity, SchemaName


class Renamed(msgspec.Struct, frozen=True):
    """``Model.old=new``."""

    owner: str
    old: str
    new: str


class Migration(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One migration."""

    at: datetime
    """when it was made: the time that its ``now()`` was"""
    before: SchemaName = msgspec.field(name="from")
    after: SchemaName = msgspec.field(name="to")
    models: dict[str, str] = {}
    """the models that were renamed"""
    members: tuple[Renamed, ...] = ()
    lost: tuple[str, ...] = ()
    """the fields, and models, of which it could not give back what they had"""
    filled: dict[str, str] = {}
    """of each field that it added the sum of the values that are not its default"""
    schema: dict[str, str] = {}
    """the texts of the schema before it, by the names of their files"""
    layout: str = ""
    """the text of the layout before it"""

    @property
    def renames(self) -> Renames:
        """The renames that it declared."""
        return Renames(self.models, {(m.owner, m.old): m.new for m in self.members})

    def to_dict(self) -> dict[str, Any]:
        """As the store lists it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def former_layout(self) -> Layout:
        """The layout before it, with the schema.  Raises SchemaError, LayoutError."""
        datamodel = parse_source(Source(self.before.name, tuple(self.schema.items())))
        return parse_layout(self.layout, datamodel, source=LAYOUT)


def migration(
    old: Layout, new: Layout, renames: Renames, at: datetime, found: tuple[list[str], dict[str, str]]
) -> Migration:
    """The entry of a migration; ``found``: what was lost, and the sums of what was filled."""
    source = old.datamodel.source
    return Migration(
        at=at,
        before=SchemaName.of(old.datamodel),
        after=SchemaName.of(new.datamodel),
        models=dict(renames.models),
        members=tuple(Renamed(owner, before, after) for (owner, before), after in renames.members.items()),
        lost=tuple(found[0]),
        filled=found[1],
        schema={} if source is None else dict(source.files),
        layout=old.text or layout_text(old),
    )


def last_migration(identity: Identity | None) -> Migration:
    """The migration that a way back takes back.  Raises UsageError if there is none, DamagedError."""
    if identity is None or not identity.migrations:
        raise UsageError("the store was not migrated: there is nothing to take back")
    try:
        return msgspec.convert(identity.migrations[-1], Migration)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"its last migration is not what Octavo writes: {error}", file=NAME) from error
