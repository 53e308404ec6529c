"""``/// @secret …``: how a field's value is protected, Octavo's own convention in documentation.

A line of its own, in one of three forms::

    @secret bcrypt
    @secret token
    @secret aes-256-gcm(owner: <field>, iv: <field>, tag: <field>)

The fields named are of the same model: the user's id that the key derives from, the IV and the
authentication tag.  IV and tag are marked as parts of the secret themselves.
"""

from __future__ import annotations

import re

from octavo.schema.datamodel import ScalarKind, Secret
from octavo.schema.draft import ModelDraft, ScalarDraft, SchemaDraft

_LINE = re.compile(r"@secret\b(.*)")
_ENCRYPTED = re.compile(r"aes-256-gcm\s*\((.*)\)")
_ROLES = ("owner", "iv", "tag")
_FORMS = ("bcrypt", "token", "aes-256-gcm(owner: …, iv: …, tag: …)")


def read_secrets(schema: SchemaDraft, model: ModelDraft) -> dict[str, Secret]:
    """The secrets of a model by field.  Raises SchemaError for a line that is not of the form above."""
    found: dict[str, Secret] = {}
    parts: dict[str, Secret] = {}
    for field in model.fields:
        lines = [
            m for line in (field.node.documentation or "").splitlines() if (m := _LINE.match(line.strip()))
        ]
        if not lines:
            continue
        if not isinstance(field, ScalarDraft) or field.kind is not ScalarKind.SCALAR:
            schema.sources.fail(f"{model.name}.{field.name} cannot be a secret", field.at)
        if len(lines) > 1:
            schema.sources.fail(f"{model.name}.{field.name} has two @secret lines", field.at)
        secret = _read(schema, model, field, lines[0].group(1).strip())
        found[field.name] = secret
        for part in (secret.iv, secret.tag):
            if part in parts:
                schema.sources.fail(f"{model.name}.{part} is part of two secrets", field.at)
            if part:
                parts[part] = Secret(secret.scheme, part=True)
    for name in parts.keys() & found.keys():
        schema.sources.fail(
            f"{model.name}.{name} is a secret and part of another", model.fields_by_name[name].at
        )
    return found | parts


def _read(schema: SchemaDraft, model: ModelDraft, field: ScalarDraft, text: str) -> Secret:
    where = f"@secret of {model.name}.{field.name}"
    if text in ("bcrypt", "token"):
        return Secret(text)
    match = _ENCRYPTED.fullmatch(text)
    if match is None:
        schema.sources.fail(f"{where} is malformed", field.at, _FORMS)
    named: dict[str, str] = {}
    for item in match.group(1).split(","):
        role, colon, name = (part.strip() for part in item.partition(":"))
        if role not in _ROLES or not colon or role in named:
            schema.sources.fail(f"{where} is malformed", field.at, _FORMS)
        target = model.fields_by_name.get(name)
        if not isinstance(target, ScalarDraft):
            schema.sources.fail(f"{where} names {name!r}, which is no column of {model.name}", field.at)
        if target is field:
            schema.sources.fail(f"{where} names the field itself", field.at)
        named[role] = name
    if set(named) != set(_ROLES) or len(set(named.values())) < len(named):
        schema.sources.fail(f"{where} is malformed", field.at, _FORMS)
    return Secret("aes-256-gcm", iv=named["iv"], tag=named["tag"], owner=named["owner"])
