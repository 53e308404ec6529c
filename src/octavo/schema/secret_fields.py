"""Which fields hold secrets: those that the schema says do, and texts whose names say so.

A line of a field's documentation decides (``///``)::

    @secret                                     a secret in plain text, such as a token: never shown
    @secret bcrypt                              a bcrypt hash
    @secret aes-256-gcm(owner: …, iv: …, tag: …)    a ciphertext, with the fields that open it
    @public                                     no secret, whatever the field is called

Without one, a text is taken for a secret if its name is one of a secret: ``password``, ``tokenHash``,
``apiKey``, ``notesEncrypted``.  So is a foreign key that refers to a secret.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from msgspec.structs import replace

from octavo.schema.datamodel import Datamodel, Model, ScalarField, ScalarKind, Secret
from octavo.schema.draft import ModelDraft, ScalarDraft, SchemaDraft

_LINE = re.compile(r"@(secret|public)\b(.*)")
_ENCRYPTED = re.compile(r"aes-256-gcm\s*\((.*)\)")
_ROLES = ("owner", "iv", "tag")
_FORMS = ("nothing", "bcrypt", "token", "aes-256-gcm(owner: …, iv: …, tag: …)")
_NAMED = Secret("token", named=True)

_WORDS = """
    passwords password passwd pwd passphrase passcode secrets secret tokens token jwt salt pepper otp
    credentials credential ciphertext encrypted apikey privatekey secretkey accesskey
"""
_SECRET = frozenset(_WORDS.split())
"""the last word of a secret's name"""
_SECRET_PAIRS = frozenset(
    (what, kind)
    for kind, all_ in {
        "key": "api private secret access encryption signing master session",
        "code": "backup recovery verification reset otp pin security",
    }.items()
    for what in all_.split()
)
"""its last two words, the last in the singular"""
_KEPT = frozenset(("hash", "hashed", "digest", "enc", "cipher"))
"""the last word of a secret that is kept in another form: ``passwordHash``, ``codeHash``"""
_HASHED = frozenset(("key", "code", "pin"))
"""what is no secret by its name, but is one where it is kept so"""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def read_secrets(schema: SchemaDraft, model: ModelDraft) -> dict[str, Secret]:
    """The secrets of a model by field.  Raises SchemaError for a line that is not of the form above."""
    found: dict[str, Secret] = {}
    parts: dict[str, Secret] = {}
    public: set[str] = set()
    for field in model.fields:
        documentation = (field.node.documentation or "").splitlines()
        lines = [m for line in documentation if (m := _LINE.match(line.strip()))]
        if not lines:
            continue
        if len(lines) > 1:
            schema.sources.fail(f"{model.name}.{field.name} has two lines of @secret or @public", field.at)
        if lines[0][1] == "public":
            public.add(field.name)
            continue
        if not isinstance(field, ScalarDraft) or field.kind is not ScalarKind.SCALAR:
            schema.sources.fail(f"{model.name}.{field.name} cannot be a secret", field.at)
        secret = _read(schema, model, field, lines[0][2].strip())
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
    named = {
        field.name: _NAMED
        for field in model.fields
        if isinstance(field, ScalarDraft)
        and field.name not in public
        and field.kind is ScalarKind.SCALAR
        and field.type == "String"
        and is_named_as_secret(model.name, field.name)
    }
    return named | found | parts


def _read(schema: SchemaDraft, model: ModelDraft, field: ScalarDraft, text: str) -> Secret:
    where = f"@secret of {model.name}.{field.name}"
    if text in ("", "bcrypt", "token"):
        return Secret(text or "token")
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
            schema.sources.fail(f"{where} names {name!r}, which is not a column of {model.name}", field.at)
        if target is field:
            schema.sources.fail(f"{where} names the field itself", field.at)
        named[role] = name
    if set(named) != set(_ROLES) or len(set(named.values())) < len(named):
        schema.sources.fail(f"{where} is malformed", field.at, _FORMS)
    return Secret("aes-256-gcm", iv=named["iv"], tag=named["tag"], owner=named["owner"])


def is_named_as_secret(model: str, field: str) -> bool:
    """Whether a text's name says that it is a secret.  One called ``key`` or ``value`` is what its model is
    called: ``ApiKey.key``, ``Secret.value``."""
    words = [word.lower() for word in _WORD.findall(field)]
    if words in (["key"], ["value"]):
        words = [word.lower() for word in _WORD.findall(model)]
    if words == ["hash"] or words[:1] in (["hashed"], ["encrypted"]):
        return True
    if words[-1:] and words[-1] in _KEPT:
        words = words[:-1]
        return words[-1:] != [] and (words[-1] in _HASHED or _says_secret(words))
    return _says_secret(words)


def _says_secret(words: list[str]) -> bool:
    if not words:
        return False
    last = words[-1]
    return last in _SECRET or (*words[-2:-1], last.removesuffix("s")) in _SECRET_PAIRS


def with_references(datamodel: Datamodel) -> Datamodel:
    """The same, where a foreign key that refers to a secret is one too, unless the schema says otherwise."""
    fields = {(m.name, f.name): f for m in datamodel.models for f in m.scalars}
    secret = {place for place, f in fields.items() if f.secret is not None}
    public = {place for place, f in fields.items() if _is_public(f)}
    pairs = [
        ((r.child, own), (r.parent, theirs))
        for r in datamodel.relations
        for own, theirs in zip(r.fields, r.references, strict=True)
    ]
    found: set[tuple[str, str]] = set()
    while more := {here for here, there in pairs if there in secret} - secret - public:
        secret |= more
        found |= more
    if not found:
        return datamodel
    return replace(datamodel, models=tuple(_with(model, found) for model in datamodel.models))


def _is_public(field: ScalarField) -> bool:
    lines = (field.documentation or "").splitlines()
    return any((m := _LINE.match(line.strip())) and m[1] == "public" for line in lines)


def _with(model: Model, found: Collection[tuple[str, str]]) -> Model:
    fields = tuple(replace(f, secret=_NAMED) if (model.name, f.name) in found else f for f in model.fields)
    return replace(model, fields=fields)
