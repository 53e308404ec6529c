"""The stub of a schema's typed client: its models, fields, filters, relations and inputs, for type checkers.

What is the same for every model stands in ``octavo/typed/shapes.pyi``, by hand; here, each model gives its
names to those shapes.  A model ``Tag`` has the record ``Tag`` and, as far as something refers to them:

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

A name that is taken (by Python, by a shape, by another model) gives way: the record of a model ``Client`` is
``ClientRecord``, and the parts of a model ``Tag`` beside a model ``TagWhere`` are ``Tag_Where`` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from octavo.generate.names import TYPING, Names, is_attribute, shapes, shapes_text
from octavo.layout.record import BareRecord
from octavo.query.arguments import ALIASES, camel
from octavo.query.filters import operators
from octavo.query.plan import Link
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Arity, Datamodel, Enum, ScalarKind

WIDTH = 110

SHIPPED = """The types of the client's records and arguments, made from the frozen schema by ``make stub``.

``octavo.connect()`` gives a :class:`Client`, ``octavo.connect_async()`` an :class:`AsyncClient`.  A record's
relations are there where a call includes them, and its fields where it does not select others; Python's types
cannot tell the one case from the other."""

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
_OF_RECORDS = frozenset(name for name in dir(BareRecord) if not name.startswith("_"))
"""what a record has beside its fields"""
_CONNECTING = '''
def connect(backend: str | None = None, **settings: Unpack[Connecting]) -> Client:
    """Open the data, as :func:`octavo.connect` does, of this package's schema.

    Raises SchemaMismatch if the store has another one.
    """

def connect_async(
    backend: str | None = None, *, threads: int | None = None, **settings: Unpack[Connecting]
) -> Opening[AsyncClient]:
    """The same for asyncio, as :func:`octavo.connect_async` does."""
'''


def stub(datamodel: Datamodel, said: str = SHIPPED, *, connecting: bool = False) -> str:
    """The stub of a schema's types.  ``said`` is its docstring; with ``connecting`` it has ``connect``."""
    return _Stub(Names(Vocabulary(datamodel))).text(datamodel, said, connecting)


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


class _Stub:
    """Writes one stub."""

    def __init__(self, names: Names) -> None:
        self.names, self.record, self.of = names, names.record, names.of
        self.aliases: set[str] = set()
        """types that a class has a field of the same name for"""

    def text(self, datamodel: Datamodel, said: str, connecting: bool) -> str:
        """The whole stub."""
        models = self.names.models
        parts = [*map(self.enum, datamodel.enums), *self.scalar_filters()]
        for terms in models:
            parts += self.model(terms, _Uses(terms, models))
        parts += [*self.clients(), *self.clients("Async"), *([_CONNECTING.lstrip()] * connecting)]
        parts[:0] = [f"_{name}: TypeAlias = {name}\n" for name in sorted(self.aliases)]
        body = ""
        for part in parts:
            both_empty = body.endswith("): ...\n") and part.endswith("): ...\n")
            body += part if both_empty else f"\n{part}"
        return f'"""{said}\n"""\n\n' + _imports(body) + body

    def enum(self, enum: Enum) -> str:
        """The type of an enum's values."""
        return _literal(self.names.enum[enum.name], [m.name for m in enum.members])

    def scalar_filters(self) -> Iterator[str]:
        """A filter for each type of field, and where it may be NULL another."""
        made: set[str] = set()
        for column in (c for terms in self.names.models for c in terms.usable.values()):
            if column.field.is_json or column.field.is_list or (name := self.filter_name(column)) in made:
                continue
            made.add(name)
            value, null = self.written(column), " | None" if column.field.nullable else ""
            keys: dict[str, str] = {}
            for operator in operators(column):
                kind = f"{value} | OtherField"
                if operator == "equals":
                    kind += null
                elif operator == "not":
                    kind = f"{kind} | {name}{null}"
                elif operator in ("in", "not_in"):
                    kind = f"Sequence[{value}] | OtherField"
                elif operator == "mode":
                    kind = "Mode"
                also = [alias for alias, name in ALIASES.items() if name == operator]
                keys |= dict.fromkeys((operator, camel(operator), *also), kind)
            yield _functional(name, keys)

    def filter_name(self, column: Column) -> str:
        """The name of the filter of a column."""
        kind = column.field.type
        stem = self.names.of_enum[kind] if column.field.kind is ScalarKind.ENUM else kind
        return f"{stem}{'OrNullFilter' if column.field.nullable else 'Filter'}"

    def model(self, terms: Terms, uses: _Uses) -> Iterator[str]:
        """All types of a model."""
        name = self.of[terms.name]
        yield self.records(terms)
        yield _literal(f"{name}Field", terms.usable)
        yield from self.filters(terms, uses)
        yield from self.data(terms)
        yield from self.nested(name, uses)
        yield from self.shown(terms, uses)
        parts = [name + p for p in ("Field", "Where", "Unique", "Create", "Data", "Update", "Changes")]
        parts += [name + part for part in ("Order", "Include", "Select")]
        for kind in ("Actions", "AsyncActions"):
            yield self.typed(name + kind, [_generic(kind, [self.record[terms.name], *parts])], {})

    def records(self, terms: Terms) -> str:
        """The type of a model's records."""
        lines = {}
        for column in terms.usable.values():
            kind = self.value(column, _READ)
            lines[column.name] = f"list[{kind}]" if column.field.is_list else _or_none(column, kind)
        for link in terms.links.values():
            target = self.record[link.target]
            lines[link.name] = f"list[{target}]" if link.is_list else target
            if not link.is_list and not _is_required(link):
                lines[link.name] += " | None"
        # Any other name is for getattr() and to_dict().
        lines = {n: kind for n, kind in lines.items() if is_attribute(n) and n not in _OF_RECORDS}
        if any(link.is_list for link in terms.links.values()):
            lines["_count"] = "Counts"
        said = _quotable(re.split(r"[.;]", terms.model.documentation or "")[0])
        return self.typed(
            self.record[terms.name], ["BareRecord", "frozen=True", "kw_only=True"], lines, said and f"{said}."
        )

    def filters(self, terms: Terms, uses: _Uses) -> Iterator[str]:
        """The filters of a model's records."""
        name = self.of[terms.name]
        singles = {u for u, fields in terms.uniques.items() if len(fields) == 1}
        rest = dict.fromkeys(("AND", "NOT"), f"{name}Where | Sequence[{name}Where]")
        rest["OR"] = f"Sequence[{name}Where]"
        where, unique = {}, {}
        for column in terms.usable.values():
            kind = self.field_filter(column)
            if column.name not in singles:
                rest[column.name] = kind
                continue
            where[column.name] = kind
            unique[column.name] = self.written(column) if len(terms.uniques) == 1 else kind
        for link in terms.links.values():
            target, optional = self.of[link.target], "" if _is_required(link) else " | None"
            rest[link.name] = f"ListFilter[{target}Where]" if link.is_list else f"{target}One{optional}"
        for compound, fields in terms.uniques.items():
            if len(fields) > 1:
                key = f"{name}_{compound}"
                yield self.typed(key, ["TypedDict"], {f: self.written(terms.columns[f]) for f in fields})
                where[compound] = unique[compound] = key
        only_one = [] if len(terms.uniques) == 1 else ["total=False"]
        yield self.typed(f"{name}Rest", ["TypedDict", "total=False"], rest)
        yield self.typed(f"{name}Where", [f"{name}Rest", "total=False"], where)
        yield self.typed(f"{name}Unique", [f"{name}Rest", *only_one], unique)
        if uses.one:
            kind = f"{name}Where | None"
            yield _functional(f"{name}Is", {"is": kind, "is_not": kind, "isNot": kind})
            yield self.typed(f"{name}One", [f"{name}Where", f"{name}Is", "total=False"], {})

    def field_filter(self, column: Column) -> str:
        """The type of what a ``where`` takes for a column."""
        if column.field.is_json and not column.field.is_list:
            return "JsonFilter"
        value = self.written(column)
        if column.field.is_list:
            return f"Sequence[{value}] | OtherField | ListTest[{value}] | None"
        return _or_none(column, f"{value} | OtherField | {self.filter_name(column)}")

    def data(self, terms: Terms) -> Iterator[str]:
        """New records and changes.  A foreign key may be given by its relation too, so neither is
        required."""
        name = self.of[terms.name]
        linked = {field for link in terms.links.values() if link.holds_key for field in link.fields}
        data, changes = {}, {}
        for column in terms.usable.values():
            value = self.written(column)
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
            target, kind = self.of[link.target], "Many" if link.is_list else "One"
            new[link.name] = f"{target}New{kind}"
            edit[link.name] = f"{target}Edit{kind if link.is_list or _is_required(link) else 'Optional'}"
        yield self.typed(f"{name}Data", ["TypedDict"], data)
        yield self.typed(f"{name}Create", [f"{name}Data", "total=False"], new)
        yield self.typed(f"{name}Changes", ["TypedDict", "total=False"], changes)
        yield self.typed(f"{name}Update", [f"{name}Changes", "total=False"], edit)

    def nested(self, name: str, uses: _Uses) -> Iterator[str]:
        """What a write takes for a relation to a model."""
        create, data, update, changes, unique, where = (
            name + part for part in ("Create", "Data", "Update", "Changes", "Unique", "Where")
        )
        made = {
            "NewOne": (uses.one, [create, unique]),
            "NewMany": (uses.many, [create, data, unique]),
            "EditOne": (uses.required, [create, update, unique, where]),
            "EditOptional": (uses.optional, [create, update, unique, where]),
            "EditMany": (uses.many, [create, data, update, changes, unique, where]),
        }
        for shape, (used, parts) in made.items():
            if used:
                yield self.typed(name + shape, [_generic(shape, parts), "total=False"], {})

    def shown(self, terms: Terms, uses: _Uses) -> Iterator[str]:
        """The types of ``include``, ``select`` and ``order``."""
        name = self.of[terms.name]
        tail = [name + part for part in ("Include", "Select", "Field")]
        if uses.one:
            shape = _generic("ShownOne", [f"{name}Where", *tail])
            yield self.typed(f"{name}ShownOne", [shape, "total=False"], {})
        if uses.many:
            head = [name + part for part in ("Where", "Unique", "Order")]
            yield self.typed(f"{name}ShownMany", [_generic("ShownMany", [*head, *tail]), "total=False"], {})
        include, counts, order = {}, {}, {}
        for column in terms.usable.values():
            order[column.name] = "Sort | SortNulls" if column.field.nullable else "Sort"
        for link in terms.links.values():
            target = self.of[link.target]
            include[link.name] = f"bool | {target}Shown{'Many' if link.is_list else 'One'}"
            order[link.name] = "SortCount" if link.is_list else f"{target}Order"
            if link.is_list:
                counts[link.name] = f"bool | CountWhere[{target}Where]"
        if counts:
            include["_count"] = f"bool | CountSelect[{name}Counted]"
            yield self.typed(f"{name}Counted", ["TypedDict", "total=False"], counts)
        yield self.typed(f"{name}Include", ["TypedDict", "total=False"], include)
        yield self.typed(
            f"{name}Select", [f"{name}Include", "total=False"], dict.fromkeys(terms.usable, "bool")
        )
        yield self.typed(f"{name}Order", ["TypedDict", "total=False"], order)

    def clients(self, kind: str = "") -> Iterator[str]:
        """The clients of a kind: ``Async`` or none."""
        lines = [f"{n}: {self.of[model]}{kind}Actions" for n, model in self.names.accessors.items()]
        for terms in self.names.models:
            lines += [
                "@overload",
                f'def __getitem__(self, model: Literal["{terms.name}"]) -> '
                f"{self.of[terms.name]}{kind}Actions: ...",
            ]
        lines += [
            *(["@overload"] if self.names.models else []),
            "def __getitem__(self, model: str) -> Any: ...",
        ]
        yield _block(
            f"class {kind}Models({kind}Scope):", lines, "Accessors of the models, as a transaction has them."
        )
        head = f"class {kind}Client({kind}Models, {kind}Connection[{kind}Models]):"
        yield _block(head, [], "A connection to the data, wherever it lives.")

    def written(self, column: Column) -> str:
        """The type of a value, not NULL, or of an element of a list."""
        return self.value(column, _WRITTEN)

    def value(self, column: Column, scalars: Mapping[str, str]) -> str:
        """The type of one value of a column."""
        kind = column.field.type
        return self.names.enum[kind] if column.field.kind is ScalarKind.ENUM else scalars[kind]

    def typed(self, name: str, bases: Sequence[str], fields: Mapping[str, str], said: str = "") -> str:
        """A class of fields that have a type and no value.

        Fields that are words which Python reserves come from a base that is made by a call.  Within the
        class, a field hides the type of its name, which has another name then.
        """
        words = {key: kind for key, kind in fields.items() if not is_attribute(key)}
        fields = {key: kind for key, kind in fields.items() if is_attribute(key)}
        for key, kind in fields.items():
            found = set(re.findall(r"\w+", re.sub(r"\"[^\"]*\"", "", kind))) & fields.keys()
            for hidden in found:
                self.aliases.add(hidden)
                fields = fields | {key: re.sub(rf"\b{hidden}\b", f"_{hidden}", fields[key])}
        before = ""
        if words:
            base, *rest = bases
            before = _functional(f"_{name}Words", words, total="total=False" not in rest) + "\n"
            bases = [*([] if base == "TypedDict" else [base]), f"_{name}Words", *rest]
        head = f"class {name}({', '.join(bases)}):"
        if len(head) + len(" ...") > WIDTH or "\n" in head:
            head = f"class {name}({_each(_indented(base) for base in bases)}):"
        return before + _block(head, [f"{key}: {kind}" for key, kind in fields.items()], said)


def awaited() -> str:
    """The stub of the operations for asyncio, made from that of the others."""
    text = shapes_text()
    found = re.search(r"^class Actions\(.*?(?=^\S)", text.partition("# Operations\n")[2], re.M | re.S)
    if found is None:
        raise AssertionError("shapes.pyi has no operations")
    body = re.sub(r"^    def ", "    async def ", found[0], flags=re.MULTILINE).rstrip() + "\n"
    body = body.replace("class Actions(", "class AsyncActions(", 1)
    body = body.replace(":class:`octavo.client.ModelClient`", ":class:`octavo.aio.AsyncModelClient`")

    def used(names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b", body)]

    imports = ""
    for module, names in re.findall(r"^from (\S+) import (.+)$", text, re.MULTILINE):
        if wanted := used(names.split(", ")):
            imports += f"from {module} import {', '.join(wanted)}\n"
            imports += "\n" if module == "typing" else ""
    own = set(shapes()) - {"Actions"}
    return (
        '"""The operations for asyncio, made from those in ``shapes.pyi`` by ``make stub``."""\n\n'
        f"{imports}from octavo.typed.shapes import ({_each(used(sorted(own)))})\n\n{body}"
    )


def _or_none(column: Column, kind: str) -> str:
    return f"{kind} | None" if column.field.arity is Arity.OPTIONAL and kind != "Any" else kind


# Python's text


def _imports(body: str) -> str:
    def used(*names: str) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b", body)]

    def line(module: str, *names: str) -> list[str]:
        found = used(*names)
        return [f"from {module} import {', '.join(found)}"] * bool(found)

    lines = [
        *line("collections.abc", "Sequence"),
        *line("datetime", "datetime"),
        *line("decimal", "Decimal"),
        *line("typing", *TYPING),
        "",
        *line("octavo.aio", "Opening"),
        *line("octavo.layout.record", "BareRecord"),
        *line("octavo.opening", "Connecting"),
        *line("octavo.query.result", "Counts"),
        *line("octavo.typed.awaited", "AsyncActions"),
        f"from octavo.typed.shapes import ({_each(used(*sorted(shapes())))})",
    ]
    return "\n".join(lines) + "\n"


def _quotable(text: str) -> str:
    """A text that can stand in a docstring."""
    return " ".join(text.replace("\\", "\\\\").replace('"', "'").split())


def _block(head: str, lines: Sequence[str], said: str = "") -> str:
    body = ([f'"""{said}"""', ""] if said else []) + list(lines)
    if not lines:
        return f'{head}\n    """{said}"""\n' if said else f"{head} ...\n"
    return "\n".join([head, *(f"    {line}".rstrip() for line in body)]) + "\n"


def _functional(name: str, keys: Mapping[str, str], *, total: bool = False) -> str:
    """A dict some of whose keys are words that Python reserves."""
    lines = "".join(f'        "{key}": {kind},\n' for key, kind in keys.items())
    ending = "" if total else "    total=False,\n"
    return f'{name} = TypedDict(\n    "{name}",\n    {{\n{lines}    }},\n{ending})\n'


def _literal(name: str, values: Iterable[str]) -> str:
    quoted = [f'"{value}"' for value in values]
    return f"{name}: TypeAlias = {_generic('Literal', quoted) if quoted else 'str'}\n"


def _generic(name: str, arguments: Sequence[str]) -> str:
    short = f"{name}[{', '.join(arguments)}]"
    return short if len(short) <= WIDTH - 52 else f"{name}[{_each(arguments)}]"


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _each(items: Iterable[str]) -> str:
    """One item on a line, as what stands between brackets."""
    return "\n" + "".join(f"    {item},\n" for item in items)
