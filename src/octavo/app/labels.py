"""Tags, and which profile is the default.  Which models have either, the schema says."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from octavo.app.chats import hold_user, together
from octavo.errors import UsageError
from octavo.schema.datamodel import Model
from octavo.schema.texts import frozen_schema
from octavo.typed import Models

_TAG = "Tag"


class _Tagging(NamedTuple):
    """How a model is tagged: by records of ``link`` whose field ``key`` is its id, seen as a tag's
    relation ``back``."""

    link: str
    key: str
    back: str


@cache
def _taggings() -> dict[str, _Tagging]:
    """By model: every record that ties a tag to something once."""
    schema = frozen_schema()
    found = {}
    for tagged in schema.children(_TAG):
        link = schema.model(tagged.child)
        for other in schema.parents(link.name):
            fields = {*other.fields, *tagged.fields}
            if other.parent != _TAG and any(fields == set(u.field_names) for u in link.uniques):
                found[other.parent] = _Tagging(link.name, other.fields[0], tagged.parent_field)
    return found


def _tagging(model: str) -> _Tagging:
    known = _taggings()
    if model not in known:
        raise UsageError(f"{model} cannot be tagged; these can: {', '.join(known)}")
    return known[model]


def tag(db: Models, model: str, record_id: str, name: str) -> str:
    """Put a tag on a record of a model that has tags (``"Character"``, ``"Chat"``, …); the tag's id.

    The tag is its owner's of the same name, whatever its case, and is made if there is none.  A record that
    has it already keeps it.  Raises RecordNotFound if the record is not there, UsageError for a name that is
    blank or a model without tags.
    """
    tagging = _tagging(model)
    name = name.strip()
    if not name:
        raise UsageError("a tag has a name")
    with together(db) as tx:
        owner: str = tx[model].find_unique_or_raise(where={"id": record_id}).userId
        # Neither step can fail because another session does the same meanwhile.
        tx.tag.create_many(
            data={"userId": owner, "name": name, "nameLower": name.lower()}, skip_duplicates=True
        )
        wanted = tx.tag.find_unique_or_raise(
            where={"userId_nameLower": {"userId": owner, "nameLower": name.lower()}}
        )
        tx[tagging.link].create_many(data={tagging.key: record_id, "tagId": wanted.id}, skip_duplicates=True)
        return wanted.id


def untag(db: Models, model: str, record_id: str, name: str) -> bool:
    """Take a tag off a record, by its name in any case; whether it was there.  The tag itself stays."""
    tagging = _tagging(model)
    named = {"nameLower": name.strip().lower()}
    return bool(db[tagging.link].delete_many(where={tagging.key: record_id, "tag": named}))


def tags_of(db: Models, model: str, record_id: str) -> list[str]:
    """The names of a record's tags, in the order of the alphabet."""
    tagging = _tagging(model)
    found = db["Tag"].find_many(
        where={tagging.back: {"some": {tagging.key: record_id}}},  # type: ignore[misc]
        order_by={"nameLower": "asc"},
    )
    return [tag.name for tag in found]


def set_default(db: Models, model: str, profile_id: str) -> None:
    """Make a profile (``"ConnectionProfile"``, ``"ImageProfile"``) its owner's only default.

    Of two that do this at once, one comes after the other: there is exactly one default then.  Raises
    RecordNotFound if the profile is not there, UsageError for a model that has no default.
    """
    known = [m.name for m in frozen_schema().models if _has_default(m)]
    if model not in known:
        raise UsageError(f"{model} has no default; these have: {', '.join(known)}")
    with together(db) as tx:
        owner: str = tx[model].find_unique_or_raise(where={"id": profile_id}).userId
        hold_user(tx, owner)
        others = {"userId": owner, "isDefault": True, "id": {"not": profile_id}}
        tx[model].update_many(where=others, data={"isDefault": False})
        tx[model].update(where={"id": profile_id}, data={"isDefault": True})


def _has_default(model: Model) -> bool:
    return {"id", "userId", "isDefault"} <= {f.name for f in model.scalars}
