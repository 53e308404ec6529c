"""The inventory as a page for people, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

_SPECIAL = re.compile(r"[\\`*<>\[\]~&]|(?<!\w)_|_(?!\w)|^[#+=-]|^\d+(?=[.)])")
_BACKTICKS = re.compile(r"`+")

Facts: TypeAlias = dict[str, Any]
"""An inventory, or a part of it, as plain JSON values."""


def report(metadata: Facts, baseline: str | None, changes: Sequence[str]) -> str:
    """The page.  ``baseline`` says which earlier inventory ``changes`` refer to; None: there is none."""
    parts = (
        _head(metadata),
        _changes(baseline, changes),
        _drift(metadata),
        _counts(metadata),
        _mapping(metadata),
        _secrets(metadata),
        _relations(metadata),
        _integrity(metadata),
        _checklist(metadata),
    )
    return "\n\n".join(block for part in parts for block in part) + "\n"


def _head(metadata: Facts) -> Iterator[str]:
    schema, database = metadata["schema"], metadata["database"]
    yield "# Inventory of the database"
    yield _table(
        ("what", "found"),
        [
            ("taken", metadata["generatedAt"]),
            ("schema", f"{schema['version'] or 'without a version'}, {schema['fingerprint']}"),
            ("database", _text(f"{database['name']} (schema {', '.join(database['schemas'])})")),
            ("server", f"PostgreSQL {database['serverVersion']}"),
            ("encoding", database["encoding"]),
            (
                "collation",
                f"{database['collation']} ({database['localeProvider']}),"
                f" character type {database['characterType']}",
            ),
            ("migrations applied", len(database["migrations"])),
            ("models", len(metadata["models"])),
            ("records", metadata["totalRecords"]),
        ],
    )


def _changes(baseline: str | None, changes: Sequence[str]) -> Iterator[str]:
    yield "## Changes since the baseline"
    if baseline is None:
        yield "This inventory is the baseline: later ones are compared with it."
    elif not changes:
        yield f"None since {baseline}."
    else:
        yield f"Since {baseline}:"
        yield _listed(map(_text, changes))


def _drift(metadata: Facts) -> Iterator[str]:
    yield "## Drift"
    if metadata["drift"]:
        yield _listed(f"**{_text(finding)}**" for finding in metadata["drift"])
    else:
        yield "None: the database is what the schema says."
    if metadata["notes"]:
        yield "Notes, which cannot hurt an export:"
        yield _listed(map(_text, metadata["notes"]))
    if metadata["leftOut"]:
        yield "Left out:"
        yield _listed(map(_text, metadata["leftOut"]))


def _counts(metadata: Facts) -> Iterator[str]:
    yield "## Records"
    rows = [
        (model["name"], _code(model["table"]), metadata["counts"][model["name"]], _home(model))
        for model in metadata["models"]
    ]
    yield _table(("model", "table", "records", "lives in"), rows)


def _mapping(metadata: Facts) -> Iterator[str]:
    yield "## Fields, and the files they go to"
    for model in metadata["models"]:
        yield f"### {model['name']}"
        yield f"Table {_code(model['table'])} → {_home(model)}; key: {', '.join(model['key'])}."
        yield _table(
            (
                *("field", "in the file", "type", "PostgreSQL"),
                *("null", "default", "Json", "encryption requirement"),
            ),
            [
                (
                    f"`{f['name']}`",
                    _spot(model, f["name"]),
                    f["type"] + ("[]" if f["list"] else ""),
                    _text(f["postgres"]),
                    "yes" if f["nullable"] else "",
                    f"{_text(f['default'])} (by the {f['defaultBy']})" if f["default"] is not None else "",
                    "yes" if f["json"] else "",
                    _requirement(f) or "none",
                )
                for f in model["fields"]
            ],
        )
        yield _listed(_constraints(model))


def _spot(model: Facts, name: str) -> str:
    """Where a field stands in its file: ``users[].email``."""
    home = model["home"]
    if name in home.get("leftOut", ()):
        return f"left out: the {home['parent']} around it says it"
    return f"`{home['array']}[].{name}`" if "array" in home else f"`{name}`"


def _constraints(model: Facts) -> Iterator[str]:
    if primary := model["primaryKey"]:
        yield f"primary key {_code(primary['name'])}: {', '.join(primary['fields'])}"
    for unique in model["uniques"]:
        yield f"unique {_code(unique['name'])}: {', '.join(unique['fields'])}"
    for index in model["indexes"]:
        yield f"index {_code(index['name'])}: {', '.join(index['fields'])}"
    for key in model["foreignKeys"]:
        target = key["references"]
        yield (
            f"foreign key {_code(key['name'])}: {', '.join(key['fields'])} →"
            f" {target['model']}.{', '.join(target['fields'])},"
            f" on delete {key['onDelete']}, on update {key['onUpdate']}"
        )


def _secrets(metadata: Facts) -> Iterator[str]:
    yield "## Secrets"
    rows = [
        (f"{model['name']}.{f['name']}", _requirement(f))
        for model in metadata["models"]
        for f in model["fields"]
        if f["secret"]
    ]
    if not rows:
        yield "The schema marks no field as secret."
        return
    yield _table(("field", "requirement"), rows)


def _requirement(f: Facts) -> str:
    """What a described field's secrecy asks for, in a sentence; empty for a field that is no secret."""
    secret = f["secret"]
    if secret is None:
        return ""
    if secret.get("part"):
        return "part of an encrypted value: kept as it is"
    match secret["scheme"]:
        case "bcrypt":
            return "bcrypt hash: kept as it is, never shown"
        case "token":
            return "secret in plain text: kept as it is, never shown"
        case scheme:
            return (
                f"{scheme.upper()} ciphertext with {secret['iv']} and {secret['tag']},"
                f" key from {secret['owner']}: kept as it is, never shown"
            )


def _relations(metadata: Facts) -> Iterator[str]:
    yield "## Relationships and cascade rules"
    rows = [
        (
            r["kind"],
            r.get("parent", r.get("modelB")),
            r.get("child", r.get("modelA")),
            r.get("onDelete", "Cascade"),
            r.get("onUpdate", "Cascade"),
            _code(r["name"]),
        )
        for r in metadata["relations"]
    ]
    yield _table(("kind", "one", "other", "on delete", "on update", "constraint"), rows)
    yield _table(
        ("deleting a", "also deletes its"),
        [
            (model["name"], ", ".join(model["deletedWithIt"]))
            for model in metadata["models"]
            if model["deletedWithIt"]
        ],
    )


def _integrity(metadata: Facts) -> Iterator[str]:
    yield "## Integrity checks"
    for model in metadata["models"]:
        yield f"{model['name']}:"
        yield _listed(map(_text, _checks(metadata, model)))


def _checklist(metadata: Facts) -> Iterator[str]:
    yield f"## Validation checklist of all {len(metadata['models'])} models"
    lines = []
    for model in metadata["models"]:
        count = metadata["counts"][model["name"]]
        checks = len(list(_checks(metadata, model)))
        secrets = f", {len(model['secretFields'])} secret" if model["secretFields"] else ""
        json = f", {len(model['jsonFields'])} Json" if model["jsonFields"] else ""
        lines.append(
            f"[ ] **{model['name']}**: {count} {'record' if count == 1 else 'records'} in {_home(model)};"
            f" {len(model['fields'])} fields{json}{secrets}; {checks} checks"
        )
    yield _listed(lines)


def _checks(metadata: Facts, model: Facts) -> Iterator[str]:
    return (c["check"] for c in metadata["integrityChecks"] if c["model"] == model["name"])


def _home(model: Facts) -> str:
    home = model["home"]
    match home["kind"]:
        case "document":
            how = f"under the key `{home['array']}`"
        case "file":
            how = "one file a record"
        case "embedded":
            how = f"inside its {home['parent']}, under `{home['array']}`"
        case "log per parent":
            how = f"one log for each {home['parent']}"
        case _:
            how = "one line a record"
    payload = f", payload at {_code(home['payload'])}" if "payload" in home else ""
    return f"{_code(home['file'])} ({how}{payload})"


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    # A bar and a line break end a cell, whatever they stand in.
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(
        [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in cells)]
    )


def _text(text: str) -> str:
    """Text from the schema or the database, of which Markdown takes nothing for its own."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _code(name: str) -> str:
    """A name as it is, between as many backticks as it takes."""
    fence = "`" * (max(map(len, _BACKTICKS.findall(name)), default=0) + 1)
    room = " " if name.startswith("`") or name.endswith("`") else ""
    return f"{fence}{room}{' '.join(name.split())}{room}{fence}"
