"""From rows to JSON, as SQL: PostgreSQL itself writes the lines, records and embedded arrays.

A :func:`fold` is one query whose rows are ready pieces of files, to be copied in binary format: that sends
a text as it is, where the others look at each of its characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from octavo.layout.layout import VERSION, Kind, Layout, Place
from octavo.schema.datamodel import Datamodel, Model, ScalarField, ScalarKind
from octavo.schema.native import literal, quote, table_name
from octavo.values.registry import is_exact, value_type

_INEXACT = r"E'[\n\r]|^[ \t]|[ \t]$'"
"""a pattern for the text of a ``json`` that does not stand in a line as it is"""
_MOST_ARGUMENTS = 90
"""in one call; PostgreSQL is built for 100"""
LARGE = 1 << 22
"""bytes of a log that is not read as a whole"""
_SHORT = ("Int", "BigInt", "Float", "Boolean", "DateTime")
_COMPRESSED = 4
"""how much larger than its stored form a value is that may be compressed"""


@dataclass(frozen=True, slots=True)
class Slice:
    """The part ``number`` of ``of`` parts, cut so that records with one parent stay together."""

    number: int
    of: int


WHOLE = Slice(0, 1)


def fold(layout: Layout, place: Place, part: Slice = WHOLE, among: Sequence[Sequence[str]] = ()) -> str:
    """The query for a model that is not embedded, in the order of its file.

    The columns are texts: the values of :func:`heads`; then the piece, which is a line (logs), a file's
    content (``Kind.FILE``), or an element of the document's array.  Of logs per parent it gives only those of
    the parents ``among``, if there are such.
    """
    condition = _is_one_of(layout, place, among) if among else ""
    if place.kind is Kind.FILE:
        return _pieces(layout, place, part, condition, _texts(layout, place))
    shown, by, pieces = _in_order(layout, place, part, condition)
    return f"SELECT {', '.join([*shown, 'piece'])} FROM ({pieces}) AS s ORDER BY {', '.join(by)}"


def logs(layout: Layout, place: Place, part: Slice = WHOLE, without: Sequence[Sequence[str]] = ()) -> str:
    """The query for the logs of parents, each as a whole; not for those of the parents ``without``.

    The columns are the values of :func:`heads`, the number of lines, and all lines in their order.
    """
    condition = f"NOT {_is_one_of(layout, place, without)}" if without else ""
    shown, by, pieces = _in_order(layout, place, part, condition)
    keys, order = by[: len(shown)], by[len(shown) :]
    # With an order of their own they are never joined from what several parallel workers have joined.
    lines = f"string_agg(piece, '' ORDER BY {', '.join(order)})"
    return f"SELECT {', '.join([*shown, 'count(*)', lines])} FROM ({pieces}) AS s GROUP BY {', '.join(keys)}"


def parents(layout: Layout, place: Place, part: Slice = WHOLE) -> str:
    """The query for the parents whose logs are special.

    The columns are the values of :func:`heads`, and what the log is: ``empty``; ``large`` (its records have
    more than ``LARGE`` bytes); or that of a parent that is ``missing``.
    """
    relation = place.relation
    assert relation is not None, "a log per parent has a parent"
    parent = layout.datamodel.model(relation.parent)
    own = [place.model.scalar(name) for name in relation.fields]
    theirs = [parent.scalar(name) for name in relation.references]
    keys = [f"k{n}" for n in range(len(own))]

    def side(model: Model, fields: Sequence[ScalarField], *more: str) -> str:
        named = [f"{_identity(layout, f)} AS {key}" for f, key in zip(fields, keys, strict=True)]
        where = f" WHERE {_in_part(fields, part)}" if part.of > 1 else ""
        return f"SELECT {', '.join([*named, *more])} FROM {table_name(model)} AS t{where}"

    # What is grouped is narrow, also where it goes to disk: OFFSET keeps it a query of its own.
    sizes = f"{side(place.model, own, f'{_size(place)} AS size')} OFFSET 0"
    grouped = ", ".join(keys)
    either = [_shown(layout, f, f"coalesce(c.{key}, p.{key})") for f, key in zip(own, keys, strict=True)]
    lacks_parent, lacks_records = f"p.{keys[0]} IS NULL", f"c.{keys[0]} IS NULL"
    state = f"CASE WHEN {lacks_parent} THEN 'missing' WHEN {lacks_records} THEN 'empty' ELSE 'large' END"
    return (
        f"SELECT {', '.join([*either, state])}"
        f" FROM (SELECT {grouped}, sum(size) AS size FROM ({sizes}) AS s GROUP BY {grouped}) AS c"
        f" FULL JOIN ({side(parent, theirs)}) AS p ON {' AND '.join(f'p.{key} = c.{key}' for key in keys)}"
        f" WHERE {lacks_parent} OR {lacks_records} OR size > {LARGE}"
    )


def names(layout: Layout, place: Place, part: Slice = WHOLE) -> str:
    """The query for what names the files of records, or of parents that have records, once each."""
    fields = [place.model.scalar(name) for name in place.name_fields]
    columns = ", ".join(value_type(f, layout.datamodel).text_sql(_column("t", f)) for f in fields)
    where = f" WHERE {_in_part(fields, part)}" if part.of > 1 else ""
    return f"SELECT DISTINCT {columns} FROM {table_name(place.model)} AS t{where}"


def heads(layout: Layout, place: Place) -> tuple[ScalarField, ...]:
    """What a row tells beside its JSON: what names its file; or, where it has a payload, its key, and the
    path and size of that."""
    names = place.name_fields
    if not names and place.payload:
        names = place.model.key.field_names
    payload = [name for name in (place.payload, place.payload_size) if name]
    return tuple(place.model.scalar(name) for name in (*names, *payload))


def logs_of(layout: Layout, model: Model) -> list[Place]:
    """The logs that each record of this model owns."""
    return [
        p
        for p in layout.places
        if p.kind is Kind.LOG_PER_PARENT and p.relation is not None and p.relation.parent == model.name
    ]


class Unkeepable(NamedTuple):
    """Why values of a field cannot be kept, and an SQL condition (on ``t``) that finds them."""

    field: str
    reason: str
    condition: str


def unkeepable(layout: Layout, place: Place) -> list[Unkeepable]:
    """What no JSON here can stand for."""
    found = []
    for f in place.model.scalars:
        column = _column("t", f)
        if f.is_list:
            many = f"array_ndims({column}) > 1 OR array_lower({column}, 1) <> 1"
            found.append(Unkeepable(f.name, "arrays with several dimensions, or not counted from 1", many))
        if f.is_list and f.is_json:
            null = f"EXISTS (SELECT FROM unnest({column}) AS u(e) WHERE e IS NULL)"
            found.append(Unkeepable(f.name, "NULL among Json, where null is JSON's own", null))
        if f.is_list and is_exact(f):
            broken = f"EXISTS (SELECT FROM unnest({column}) AS u(e) WHERE e::text ~ {_INEXACT})"
            found.append(Unkeepable(f.name, "lists of json with line breaks or outer blanks", broken))
    relation = place.relation
    if place.kind is Kind.EMBEDDED and relation is not None:
        parent = layout.datamodel.model(relation.parent)
        for own, theirs in zip(relation.fields, relation.references, strict=True):
            f = place.model.scalar(own)
            if value_type(f, layout.datamodel).equal_spellings:
                key, theirs_key = _column("t", f), _column("p", parent.scalar(theirs))
                other = (
                    f"EXISTS (SELECT FROM {table_name(parent)} AS p"
                    f" WHERE {theirs_key} = {key} AND {theirs_key}::text <> {key}::text)"
                )
                found.append(Unkeepable(own, "spelled otherwise than in the parent's key", other))
    return found


def _column(alias: str, field: ScalarField) -> str:
    return f"{alias}.{quote(field.column)}"


def _in_part(fields: Sequence[ScalarField], part: Slice) -> str:
    texts = [f"{_column('t', f)}::text" for f in fields]
    hashed = texts[0] if len(texts) == 1 else f"concat_ws('/', {', '.join(texts)})"
    # PostgreSQL expects half of all rows to pass, where the comparison alone would let it expect very few.
    return f"coalesce(mod(hashtext({hashed})::bigint + 2147483648, {part.of}) = {part.number}, false)"


def _is_one_of(layout: Layout, place: Place, keys: Sequence[Sequence[str]]) -> str:
    """Whether the names of a row's log are one of these."""
    fields = [place.model.scalar(name) for name in place.name_fields]
    texts = [f'({_shown(layout, f, _identity(layout, f))})::text COLLATE "C"' for f in fields]
    values = ", ".join(f"({', '.join(map(literal, key))})" for key in keys)
    return f"({', '.join(texts)}) IN (SELECT * FROM (VALUES {values}) AS v)"


def _texts(layout: Layout, place: Place) -> list[str]:
    """The values of :func:`heads`."""
    return [value_type(f, layout.datamodel).text_sql(_column("t", f)) for f in heads(layout, place)]


def _identity(layout: Layout, field: ScalarField) -> str:
    """An expression of a field's value that is equal for equal texts, and only for them."""
    kind, column = value_type(field, layout.datamodel), _column("t", field)
    if kind.collated:
        return kind.order_sql(column)
    # Comparing bytes is quicker than a collation; casting what has none is not.
    return f'({kind.text_sql(column)})::text COLLATE "C"' if kind.equal_spellings else column


def _shown(layout: Layout, field: ScalarField, identity: str) -> str:
    """The text of a value, by its :func:`_identity`."""
    kind = value_type(field, layout.datamodel)
    return identity if kind.collated or kind.equal_spellings else kind.text_sql(identity)


def _size(place: Place) -> str:
    """About how many bytes a row's line has, at least."""
    names = sum(len(f.name) + len('"":,') for f in place.fields)
    sizes = [f"{names}::bigint"]
    for f in place.fields:
        column = _column("t", f)
        if f.name in place.name_fields or f.name in place.model.key.field_names:
            # An index holds it: it is short.
            continue
        if f.type == "String" and not f.is_list:
            sizes.append(f"coalesce(octet_length({column}::text), 0)")
        elif f.is_list or not (f.type in _SHORT or f.kind is ScalarKind.ENUM):
            # Which may be compressed.
            sizes.append(f"coalesce(pg_column_size({column}), 0) * {_COMPRESSED}::bigint")
    return " + ".join(sizes)


def _in_order(layout: Layout, place: Place, part: Slice, condition: str) -> tuple[list[str], list[str], str]:
    """The query for the pieces of a model in the order of its file.

    Gives what shows the :func:`heads`, what the pieces are ordered by, and the query, all by names.
    """
    named = [place.model.scalar(name) for name in place.name_fields]
    by = [_identity(layout, f) for f in named] + _order(layout, place)
    created = place.model.created
    # Columns of fixed width, then short ones: PostgreSQL finds them more quickly when it compares rows.
    first = len(named) if created is not None else 0
    columns = [f"{sql} AS o{n}" for n, sql in enumerate(by)]
    columns.insert(0, columns.pop(first))
    if named:
        shown = [_shown(layout, f, f"o{n}") for n, f in enumerate(named)]
    else:
        texts = _texts(layout, place)
        shown = [f"h{n}" for n in range(len(texts))]
        columns += [f"{text} AS {name}" for text, name in zip(texts, shown, strict=True)]
    order = [f"o{n}" for n in range(len(by))]
    # Without an order of its own, the query would be made one with the one around it, and would sort other
    # columns.
    pieces = f"{_pieces(layout, place, part, condition, columns)} ORDER BY {', '.join(order)}"
    return shown, order, pieces


def _pieces(layout: Layout, place: Place, part: Slice, condition: str, columns: Sequence[str]) -> str:
    """The query for these columns of a model's rows, and for their pieces."""
    writer = _Writer(layout, indented=place.kind in (Kind.FILE, Kind.DOCUMENT))
    in_array = place.kind is Kind.DOCUMENT
    piece = writer.record(place, "t", depth=2 if in_array else 0, end="" if in_array else "\n")
    conditions = [condition] if condition else []
    if part.of > 1:
        conditions.append(_in_part(list(map(place.model.scalar, place.name_fields)), part))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    selected = ", ".join([*columns, f"{piece} AS piece"])
    return f"SELECT {selected} FROM {table_name(place.model)} AS t{''.join(writer.joins)}{where}"


def _order(layout: Layout, place: Place, alias: str = "t") -> list[str]:
    """By ``createdAt``, then key, text by its bytes."""
    model = place.model
    by = [] if model.created is None else [_column(alias, model.created)]
    by += [value_type(f, layout.datamodel).order_sql(_column(alias, f)) for f in model.key_fields]
    return by


class _Writer:
    """Builds the SQL expression of a record, and the joins that gather what is embedded in it."""

    def __init__(self, layout: Layout, *, indented: bool) -> None:
        self.layout, self.indented = layout, indented
        self.joins: list[str] = []

    def line(self, depth: int) -> str:
        """What separates tokens that stand on lines of their own."""
        return "\n" + "  " * depth if self.indented else ""

    def record(self, place: Place, alias: str, depth: int, end: str = "") -> str:
        """A record as a text, with ``end`` after it."""
        if place.is_array_of_keys:
            (key,) = place.fields
            return concat([value_type(key, self.layout.datamodel).json_sql(_column(alias, key))])
        colon = ": " if self.indented else ":"
        inner = self.line(depth + 1)
        comma = f",{inner}"
        parts: list[str] = []
        if place.kind in (Kind.LOG, Kind.LOG_PER_PARENT):
            parts.append(literal(f'{comma}"_model"{colon}"{place.model.name}"'))
        elif place.kind is Kind.FILE:
            parts.append(literal(f'{comma}"_version"{colon}{VERSION}'))
        for f in place.fields:
            parts += member(self.layout.datamodel, f, alias, f'{comma}"{f.name}"{colon}')
        for number, child in enumerate(self.layout.embedded(place.model.name)):
            joined = self.embed(child, place, alias, f"e{number}", depth + 1)
            parts += [literal(f'{comma}"{child.array}"{colon}'), f"coalesce({joined}, '[]')"]
        parts += self.exact_text(place.fields, alias, f'{comma}"_text"{colon}')
        if not parts:
            return literal("{}" + end)
        # Each member brings the comma before it; the first one's is dropped.
        if parts[0].startswith("'"):
            parts[0] = "'{" + inner + parts[0][1 + len(comma) :]
        else:
            parts = [literal("{" + inner), f"substr({concat(parts)}, {len(comma) + 1})"]
        return concat([*parts, literal(self.line(depth) + "}" + end)])

    def embed(self, child: Place, parent: Place, alias: str, name: str, depth: int) -> str:
        """Joins the child's records, gathered by parent, and gives the expression of their array."""
        relation = child.relation
        if relation is None:
            raise AssertionError(f"{child.model.name} is embedded without a parent")
        inner, outer = self.line(depth + 1), self.line(depth)
        record = self.record(child, "c", depth + 1)
        order = ", ".join(_order(self.layout, child, "c"))
        keys = [_column("c", child.model.scalar(f)) for f in relation.fields]
        gathered = f"string_agg({record}, {literal(',' + inner)} ORDER BY {order})"
        array = f"concat({literal('[' + inner)}, {gathered}, {literal(outer + ']')})"
        selected = ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys))
        on = " AND ".join(
            f"{name}.k{i} = {_column(alias, parent.model.scalar(r))}"
            for i, r in enumerate(relation.references)
        )
        self.joins.append(
            f" LEFT JOIN (SELECT {selected}, {array} AS j FROM {table_name(child.model)} AS c"
            f" GROUP BY {', '.join(keys)}) AS {name} ON {on}"
        )
        return f"{name}.j"

    def exact_text(self, fields: Iterable[ScalarField], alias: str, opening: str) -> list[str]:
        """``json`` columns whose text breaks its line or has blanks around it, once more as exact strings."""
        kept = [f for f in fields if is_exact(f) and not f.is_list]
        if not kept:
            return []
        rows = ", ".join(f"({literal(f.name)}, {_column(alias, f)}::text)" for f in kept)
        texts = "string_agg(concat(to_json(k), ':', to_json(v)), ',')"
        return [
            f"(SELECT {literal(opening + '{')} || {texts} || '}}'"
            f" FROM (VALUES {rows}) AS x(k, v) WHERE v ~ {_INEXACT})"
        ]


def member(datamodel: Datamodel, field: ScalarField, alias: str, opening: str) -> list[str]:
    """The SQL of a field's member in its record, after ``opening`` (a separator and its key), in parts for
    :func:`concat`."""
    column = _column(alias, field)
    kind = value_type(field, datamodel)
    if not field.nullable:
        return [literal(opening), kind.json_sql(column)]
    if field.is_json and not field.is_list:
        # NULL is left out, since null is JSON's own.
        return [
            f"CASE WHEN {column} IS NOT NULL THEN concat({literal(opening)}, {kind.json_sql(column)}) END"
        ]
    return [literal(opening), kind.nullable_sql(column)]


def concat(parts: Sequence[str]) -> str:
    """One expression of all parts, neighbouring literals as one, in calls that PostgreSQL can take."""
    merged: list[str] = []
    for part in parts:
        if merged and part.startswith("'") and merged[-1].startswith("'"):
            merged[-1] = merged[-1][:-1] + part[1:]
        else:
            merged.append(part)
    while len(merged) > _MOST_ARGUMENTS:
        merged = [
            f"concat({', '.join(merged[i : i + _MOST_ARGUMENTS])})"
            for i in range(0, len(merged), _MOST_ARGUMENTS)
        ]
    return f"concat({', '.join(merged)})"
