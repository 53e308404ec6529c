"""Writes ``octavo/typed/__init__.pyi`` from the frozen schema: ``make stub``.

The stub tells editors and type checkers every model, field, filter and relation.  What is the same for every
model stands in ``shapes.pyi``, by hand; here, each model gives its names to those shapes.  A model ``Tag``
has the record ``Tag`` and, as far as something refers to them:

==============================  ================================================================
``TagField``                    the names of its fields
``TagRest``                     filters on all but what is unique by itself
``TagWhere``, ``TagUnique``     a filter; what names one record
``TagOne``                      a filter on a record over a relation to one, with ``is`` and ``is_not``
``TagData``, ``TagCreate``      a new record, without and with nested writes
``TagChanges``, ``TagUpdate``   a change, without and with nested writes
``TagNew…``, ``TagEdit…``       nested writes over a relation that leads to it
``TagShown…``                   how such a relation is included
``TagInclude``, ``TagSelect``   what is shown; ``TagCounted``, what ``_count`` counts
``TagOrder``                    an order
``TagActions``                  the operations; ``TagAsyncActions``, the same for asyncio
==============================  ================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from octavo.client import accessors
from octavo.query.arguments import ALIASES, camel
from octavo.query.filters import operators
from octavo.query.plan import Link
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Arity, Datamodel, Enum, ScalarKind

TYPED = Path(__file__).parents[1] / "src/octavo/typed"
FILE, SHAPES, AWAITED = TYPED / "__init__.pyi", TYPED / "shapes.pyi", TYPED / "awaited.pyi"
WIDTH = 110

_HEAD = '''"""The types of the client's records and arguments, made from the frozen schema by ``make stub``.

``octavo.connect()`` gives a :class:`Client`, ``octavo.connect_async()`` an :class:`AsyncClient`.  A record's
relations are there where a call includes them, and its fields where it does not select others; Python's types
cannot tell the one case from the other.
"""

'''
_READ = {
    "String": "str",
    "Boolean": "bool",
    "Int": "int",
    "BigInt": "int",
    "Float": "float",
    "Decimal": "Decimal",
    "Bytes": "bytes",
    "DateTime": "DateTime",
    "Json": "Any",
}
"""the type of a value that a record gives"""
_WRITTEN = _READ | {"DateTime": "datetime | str", "Decimal": "Decimal | int | str"}
"""the type of a value that a caller gives"""


def stub(datamodel: Datamodel) -> str:
    """The stub of a schema, none of whose fields is called by a word that Python reserves."""
    vocabulary = Vocabulary(datamodel)
    models = [vocabulary[m.name] for m in datamodel.models if not m.ignored]
    parts = [*map(_enum, datamodel.enums), *_scalar_filters(models)]
    for terms in models:
        parts += _model(terms, _Uses(terms, models))
    parts += [*_clients(models), *_clients(models, "Async")]
    body = ""
    for part in parts:
        both_empty = body.endswith("): ...\n") and part.endswith("): ...\n")
        body += part if both_empty else f"\n{part}"
    return _HEAD + _imports(body) + body


class _Uses:
    """How relations of any model lead to one."""

    def __init__(self, terms: Terms, models: Sequence[Terms]) -> None:
        links = [link for other in models for link in other.links.values() if link.target == terms.name]
        self.many = any(link.is_list for link in links)
        self.one = any(not link.is_list for link in links)
        self.required = any(not link.is_list and _is_required(link) for link in links)
        self.optional = any(not link.is_list and not _is_required(link) for link in links)


def _is_required(link: Link) -> bool:
    return link.holds_key and link.required


def _enum(enum: Enum) -> str:
    return _literal(enum.name, [m.name for m in enum.members])


def _scalar_filters(models: Iterable[Terms]) -> Iterator[str]:
    """A filter for each type of field, and where it may be NULL another."""
    made: set[str] = set()
    for column in (c for terms in models for c in terms.usable.values()):
        if column.field.is_json or column.field.is_list or (name := _filter_name(column)) in made:
            continue
        made.add(name)
        value, null = _written(column), " | None" if column.field.nullable else ""
        keys: dict[str, str] = {}
        for operator in operators(column):
            kind = value
            if operator == "equals":
                kind = value + null
            elif operator == "not":
                kind = f"{value} | {name}{null}"
            elif operator in ("in", "not_in"):
                kind = f"Sequence[{value}]"
            elif operator == "mode":
                kind = "Mode"
            also = [alias for alias, name in ALIASES.items() if name == operator]
            keys |= dict.fromkeys((operator, camel(operator), *also), kind)
        yield _functional(name, keys)


def _filter_name(column: Column) -> str:
    return f"{column.field.type}{'OrNull' if column.field.nullable else ''}Filter"


def _model(terms: Terms, uses: _Uses) -> Iterator[str]:
    name = terms.name
    yield _record(terms)
    yield _literal(f"{name}Field", terms.usable)
    yield from _filters(terms, uses)
    yield from _data(terms)
    yield from _nested(name, uses)
    yield from _shown(terms, uses)
    parts = ("Field", "Where", "Unique", "Create", "Data", "Update", "Changes", "Order", "Include", "Select")
    for kind in ("Actions", "AsyncActions"):
        yield _class(name + kind, [_generic(kind, [name, *(name + part for part in parts)])], {})


def _record(terms: Terms) -> str:
    lines = {}
    for column in terms.usable.values():
        kind = column.field.type if column.field.kind is ScalarKind.ENUM else _READ[column.field.type]
        lines[column.name] = f"list[{kind}]" if column.field.is_list else _or_none(column, kind)
    for link in terms.links.values():
        lines[link.name] = f"list[{link.target}]" if link.is_list else link.target
        if not link.is_list and not _is_required(link):
            lines[link.name] += " | None"
    if any(link.is_list for link in terms.links.values()):
        lines["_count"] = "Counts"
    said = re.split(r"[.;]", terms.model.documentation or "")[0]
    return _class(terms.name, ["BareRecord", "frozen=True", "kw_only=True"], lines, said and f"{said}.")


def _filters(terms: Terms, uses: _Uses) -> Iterator[str]:
    name = terms.name
    singles = {u for u, fields in terms.uniques.items() if len(fields) == 1}
    rest = dict.fromkeys(("AND", "NOT"), f"{name}Where | Sequence[{name}Where]")
    rest["OR"] = f"Sequence[{name}Where]"
    where, unique = {}, {}
    for column in terms.usable.values():
        kind = _field_filter(column)
        if column.name not in singles:
            rest[column.name] = kind
            continue
        where[column.name] = kind
        unique[column.name] = _written(column) if len(terms.uniques) == 1 else kind
    for link in terms.links.values():
        optional = "" if _is_required(link) else " | None"
        rest[link.name] = f"ListFilter[{link.target}Where]" if link.is_list else f"{link.target}One{optional}"
    for compound, fields in terms.uniques.items():
        if len(fields) > 1:
            key = f"{name}_{compound}"
            yield _class(key, ["TypedDict"], {f: _written(terms.columns[f]) for f in fields})
            where[compound] = unique[compound] = key
    only_one = [] if len(terms.uniques) == 1 else ["total=False"]
    yield _class(f"{name}Rest", ["TypedDict", "total=False"], rest)
    yield _class(f"{name}Where", [f"{name}Rest", "total=False"], where)
    yield _class(f"{name}Unique", [f"{name}Rest", *only_one], unique)
    if uses.one:
        kind = f"{name}Where | None"
        yield _functional(f"{name}Is", {"is": kind, "is_not": kind, "isNot": kind})
        yield _class(f"{name}One", [f"{name}Where", f"{name}Is", "total=False"], {})


def _field_filter(column: Column) -> str:
    if column.field.is_json and not column.field.is_list:
        return "JsonFilter"
    value = _written(column)
    if column.field.is_list:
        return f"Sequence[{value}] | ListTest[{value}] | None"
    return _or_none(column, f"{value} | {_filter_name(column)}")


def _data(terms: Terms) -> Iterator[str]:
    """New records and changes.  A foreign key may be given by its relation too, so neither is required."""
    name = terms.name
    linked = {field for link in terms.links.values() if link.holds_key for field in link.fields}
    data, changes = {}, {}
    for column in terms.usable.values():
        value = _written(column)
        needed = column.needed and column.name not in linked
        if column.field.is_list:
            data[column.name] = f"NotRequired[Sequence[{value}] | SetTo[Sequence[{value}]]]"
            changes[column.name] = f"Sequence[{value}] | SetOrPush[{value}]"
            continue
        whole = value if column.field.is_json else _or_none(column, value)
        other = f"{'Arithmetic' if column.one.is_number else 'SetTo'}[{whole}]"
        data[column.name] = whole if needed else f"NotRequired[{whole}]"
        changes[column.name] = whole if column.field.is_json else _or_none(column, f"{value} | {other}")
    new, edit = {}, {}
    for link in terms.links.values():
        kind = "Many" if link.is_list else "One"
        new[link.name] = f"{link.target}New{kind}"
        edit[link.name] = f"{link.target}Edit{kind if link.is_list or _is_required(link) else 'Optional'}"
    yield _class(f"{name}Data", ["TypedDict"], data)
    yield _class(f"{name}Create", [f"{name}Data", "total=False"], new)
    yield _class(f"{name}Changes", ["TypedDict", "total=False"], changes)
    yield _class(f"{name}Update", [f"{name}Changes", "total=False"], edit)


def _nested(name: str, uses: _Uses) -> Iterator[str]:
    create, data, update, changes, unique, where = (
        name + part for part in ("Create", "Data", "Update", "Changes", "Unique", "Where")
    )
    shapes = {
        "NewOne": (uses.one, [create, unique]),
        "NewMany": (uses.many, [create, data, unique]),
        "EditOne": (uses.required, [create, update, unique, where]),
        "EditOptional": (uses.optional, [create, update, unique, where]),
        "EditMany": (uses.many, [create, data, update, changes, unique, where]),
    }
    for shape, (used, parts) in shapes.items():
        if used:
            yield _class(name + shape, [_generic(shape, parts), "total=False"], {})


def _shown(terms: Terms, uses: _Uses) -> Iterator[str]:
    name = terms.name
    tail = [name + part for part in ("Include", "Select", "Field")]
    if uses.one:
        yield _class(f"{name}ShownOne", [_generic("ShownOne", [f"{name}Where", *tail]), "total=False"], {})
    if uses.many:
        head = [name + part for part in ("Where", "Unique", "Order")]
        yield _class(f"{name}ShownMany", [_generic("ShownMany", [*head, *tail]), "total=False"], {})
    include, counts, order = {}, {}, {}
    for column in terms.usable.values():
        order[column.name] = "Sort | SortNulls" if column.field.nullable else "Sort"
    for link in terms.links.values():
        include[link.name] = f"bool | {link.target}Shown{'Many' if link.is_list else 'One'}"
        order[link.name] = "SortCount" if link.is_list else f"{link.target}Order"
        if link.is_list:
            counts[link.name] = f"bool | CountWhere[{link.target}Where]"
    if counts:
        include["_count"] = f"bool | CountSelect[{name}Counted]"
        yield _class(f"{name}Counted", ["TypedDict", "total=False"], counts)
    yield _class(f"{name}Include", ["TypedDict", "total=False"], include)
    yield _class(f"{name}Select", [f"{name}Include", "total=False"], dict.fromkeys(terms.usable, "bool"))
    yield _class(f"{name}Order", ["TypedDict", "total=False"], order)


def _clients(models: Sequence[Terms], kind: str = "") -> Iterator[str]:
    """The clients of a kind: ``Async`` or none."""
    named = accessors(terms.name for terms in models)
    lines = [f"{name}: {model}{kind}Actions" for name, [model, *others] in named.items() if not others]
    for terms in models:
        lines += [
            "@overload",
            f'def __getitem__(self, model: Literal["{terms.name}"]) -> {terms.name}{kind}Actions: ...',
        ]
    lines += ["@overload", "def __getitem__(self, model: str) -> Any: ..."]
    yield _block(f"class {kind}Models:", lines, "Accessors of the models, as a transaction has them.")
    head = f"class {kind}Client({kind}Models, {kind}Connection[{kind}Models]):"
    yield _block(head, [], "A connection to the data, wherever it lives.")


def awaited(shapes: str) -> str:
    """The stub of the operations for asyncio, made from that of the others."""
    found = re.search(r"^class Actions\(.*?(?=^\S)", shapes.partition("# Operations\n")[2], re.M | re.S)
    if found is None:
        raise AssertionError("shapes.pyi has no operations")
    body = re.sub(r"^    def ", "    async def ", found[0], flags=re.MULTILINE).rstrip() + "\n"
    body = body.replace("class Actions(", "class AsyncActions(", 1)
    body = body.replace(":class:`octavo.client.ModelClient`", ":class:`octavo.aio.AsyncModelClient`")

    def used(names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b", body)]

    imports = ""
    for module, names in re.findall(r"^from (\S+) import (.+)$", shapes, re.MULTILINE):
        if wanted := used(names.split(", ")):
            imports += f"from {module} import {', '.join(wanted)}\n"
            imports += "\n" if module == "typing" else ""
    own = set(re.findall(r"^(?:class )?([A-Z]\w+)", shapes, re.MULTILINE)) - {"Actions"}
    return (
        '"""The operations for asyncio, made from those in ``shapes.pyi`` by ``make stub``."""\n\n'
        f"{imports}from octavo.typed.shapes import ({_each(used(sorted(own)))})\n\n{body}"
    )


def _written(column: Column) -> str:
    """The type of a value, not NULL, or of an element of a list."""
    return column.field.type if column.field.kind is ScalarKind.ENUM else _WRITTEN[column.field.type]


def _or_none(column: Column, kind: str) -> str:
    return f"{kind} | None" if column.field.arity is Arity.OPTIONAL and kind != "Any" else kind


# Python's text


def _imports(body: str) -> str:
    def used(names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b", body)]

    shapes = re.findall(r"^(?:class )?([A-Z]\w+)", SHAPES.read_text("utf-8"), re.MULTILINE)
    typing = used(["Any", "Literal", "NotRequired", "TypeAlias", "TypedDict", "overload"])
    lines = [
        "from collections.abc import Sequence",
        "from datetime import datetime",
        *(f"from decimal import {name}" for name in used(["Decimal"])),
        f"from typing import {', '.join(typing)}",
        "",
        "from octavo.layout.record import BareRecord",
        "from octavo.query.result import Counts",
        "from octavo.typed.awaited import AsyncActions",
        f"from octavo.typed.shapes import ({_each(used(sorted(shapes)))})",
    ]
    return "\n".join(lines) + "\n"


def _class(name: str, bases: Sequence[str], fields: Mapping[str, str], said: str = "") -> str:
    """A class of fields that have a type and no value."""
    head = f"class {name}({', '.join(bases)}):"
    if len(head) + len(" ...") > WIDTH or "\n" in head:
        head = f"class {name}({_each(_indented(base) for base in bases)}):"
    return _block(head, [f"{key}: {kind}" for key, kind in fields.items()], said)


def _block(head: str, lines: Sequence[str], said: str = "") -> str:
    body = ([f'"""{said}"""', ""] if said else []) + list(lines)
    if not lines:
        return f'{head}\n    """{said}"""\n' if said else f"{head} ...\n"
    return "\n".join([head, *(f"    {line}".rstrip() for line in body)]) + "\n"


def _functional(name: str, keys: Mapping[str, str]) -> str:
    """A dict some of whose keys are words that Python reserves."""
    lines = "".join(f'        "{key}": {kind},\n' for key, kind in keys.items())
    return f'{name} = TypedDict(\n    "{name}",\n    {{\n{lines}    }},\n    total=False,\n)\n'


def _literal(name: str, values: Iterable[str]) -> str:
    quoted = [f'"{value}"' for value in values]
    return f"{name}: TypeAlias = {_generic('Literal', quoted)}\n"


def _generic(name: str, arguments: Sequence[str]) -> str:
    short = f"{name}[{', '.join(arguments)}]"
    return short if len(short) <= WIDTH - 52 else f"{name}[{_each(arguments)}]"


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _each(items: Iterable[str]) -> str:
    """One item on a line, as what stands between brackets."""
    return "\n" + "".join(f"    {item},\n" for item in items)


if __name__ == "__main__":
    from octavo.schema.texts import frozen_schema

    FILE.write_text(stub(frozen_schema()), "utf-8", newline="\n")
    AWAITED.write_text(awaited(SHAPES.read_text("utf-8")), "utf-8", newline="\n")
