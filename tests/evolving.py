"""Random pairs of a schema and its next version, rows for the first, and the SQL that takes a database along.

The SQL is what ``prisma migrate diff`` would write, in its order, with the renames that a person puts in the
place of its DROP and ADD.  It shares nothing with :mod:`octavo.evolve` but the two Datamodels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from octavo.schema.datamodel import Arity, Datamodel, Model, RelationKind, ScalarField
from octavo.schema.ddl import ddl, default_sql, is_serial, sql_type
from octavo.schema.native import literal, qualified, quote, table_name

HEAD = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
WIDER = {
    "Int": ["BigInt"],
    "Int @db.SmallInt": ["Int", "BigInt"],
    "String @db.VarChar(6)": ["String @db.VarChar(9)", "String"],
    "Decimal @db.Decimal(6, 2)": ["Decimal @db.Decimal(9, 4)", "Decimal @db.Decimal(7, 2)"],
    "DateTime": ["DateTime @db.Timestamp(6)"],
    "DateTime @db.Timestamptz(2)": ["DateTime @db.Timestamptz(6)"],
    "DateTime @db.Time(1)": ["DateTime @db.Time(3)"],
}
NARROWER = {wide: narrow for narrow, wides in WIDER.items() for wide in wides}
VALUES = {
    "Int": ("0", "-7", "42", "2147483647"),
    "Int @db.SmallInt": ("0", "-7", "42"),
    "BigInt": ("0", "9007199254740993", "12"),
    "Float": ("1.5", "-0.25", "1e30"),
    "Boolean": ("true", "false"),
    "String": ("'a'", "'Ω \"q\" \\'", "''", "'long enough to be long'"),
    "String @db.VarChar(6)": ("'a'", "'bcd'", "''"),
    "String @db.VarChar(9)": ("'a'", "'bcdefghi'"),
    "Decimal @db.Decimal(6, 2)": ("1.50", "-0.01", "1234"),
    "Decimal @db.Decimal(7, 2)": ("1.50", "12345.67"),
    "Decimal @db.Decimal(9, 4)": ("1.5", "0.0001"),
    "DateTime": ("'2025-01-02 03:04:05.678'", "'0044-03-15 12:00:00 BC'", "'infinity'"),
    "DateTime @db.Timestamp(6)": ("'2025-01-02 03:04:05.678901'", "'2025-01-02 03:04:05'"),
    "DateTime @db.Timestamptz(2)": ("'2025-01-02 03:04:05.67+02'", "'-infinity'"),
    "DateTime @db.Timestamptz(6)": ("'2025-01-02 03:04:05.678901+00'", "'2025-01-02 03:04:05+00'"),
    "DateTime @db.Time(1)": ("'12:34:56.7'", "'00:00:00'"),
    "DateTime @db.Time(3)": ("'12:34:56.789'", "'12:34:56.7'"),
    "Json": ("""'{"b": [1.50, null], "a": "x"}'""", "'null'", "'[]'"),
    "Bytes": (r"'\x0102'", "''"),
    "Kind": ("'ONE'", "'TWO'"),
}
DEFAULTS = {
    "Int": "7",
    "BigInt": "9007199254740993",
    "Float": "1.5",
    "Boolean": "true",
    "String": '"new \\"one\\""',
    "Decimal @db.Decimal(6, 2)": "1.5",
    "Json": '"{\\"z\\": 1, \\"a\\": [1.50]}"',
    "Bytes": '"aGk="',
    "Kind": "ONE",
    "DateTime": '"2024-02-29T23:59:59.120Z"',
}


@dataclass
class Column:
    """A scalar field: ``type`` is written as in a schema, without ``?`` and ``[]``."""

    name: str
    type: str
    arity: str = ""
    default: str = ""
    unique: bool = False

    def line(self) -> str:
        kind, _, native = self.type.partition(" ")
        given = f" @default({self.default})" if self.default else ""
        return f"  {self.name} {kind}{self.arity} {native}{given}{' @unique' if self.unique else ''}\n"


@dataclass
class Table:
    """A model with the key ``id`` and, perhaps, a parent."""

    name: str
    columns: list[Column]
    parent: str = ""
    """the model that ``parentId`` points at"""
    parent_key: str = "parentId"
    optional_parent: bool = False
    on_delete: str = "Cascade"
    friends: str = ""
    """the model that it has an implicit many-to-many relation with"""


@dataclass
class World:
    """A schema."""

    tables: list[Table]
    labels: list[str] = field(default_factory=lambda: ["ONE", "TWO", "THREE"])

    def text(self) -> str:
        return HEAD + "".join(map(self._model, self.tables)) + self._enum()

    def _enum(self) -> str:
        return "enum Kind {\n" + "".join(f"  {label}\n" for label in self.labels) + "}\n"

    def _model(self, table: Table) -> str:
        lines = ["  id String @id\n", *(column.line() for column in table.columns)]
        if table.parent:
            mark = "?" if table.optional_parent else ""
            lines.append(f"  {table.parent_key} String{mark}\n")
            lines.append(
                f'  parent {table.parent}{mark} @relation("of{table.name}", fields: [{table.parent_key}],'
                f" references: [id], onDelete: {table.on_delete})\n"
            )
        for other in self.tables:
            if other.parent == table.name:
                lines.append(f'  all{other.name} {other.name}[] @relation("of{other.name}")\n')
            if other.friends == table.name:
                lines.append(f"  friendOf{other.name} {other.name}[]\n")
        if table.friends:
            lines.append(f"  friends{table.friends} {table.friends}[]\n")
        return f"model {table.name} {{\n{''.join(lines)}}}\n"


@dataclass
class Step:
    """The next version of a schema, with the renames that lead to it."""

    world: World
    models: dict[str, str] = field(default_factory=dict)
    members: dict[tuple[str, str], str] = field(default_factory=dict)


def world(rng: random.Random) -> World:
    """A schema of three to five models."""
    names = rng.sample(["Alpha", "Beta", "Gamma", "Delta", "Zeta"], rng.randint(3, 5))
    tables: list[Table] = []
    for number, name in enumerate(names):
        columns = [_column(rng, f"f{n}") for n in range(rng.randint(1, 5))]
        if rng.random() < 0.6:
            columns.append(Column("createdAt", "DateTime"))
        table = Table(name, columns)
        if number and rng.random() < 0.8:
            table.parent = tables[rng.randrange(number)].name
            table.optional_parent = rng.random() < 0.2
        if number and rng.random() < 0.3:
            table.friends = tables[rng.randrange(number)].name
        tables.append(table)
    return World(tables)


def _column(rng: random.Random, name: str) -> Column:
    kind = rng.choice(list(VALUES))
    return Column(name, kind, rng.choice(("", "", "?", "?", "[]")))


def layout(rng: random.Random, of: World) -> str:
    """A layout for a schema, as TOML."""
    tables: dict[str, list[str]] = {
        k: [] for k in ("documents", "files", "logs", "logs_per_parent", "embedded")
    }
    hosts: set[str] = set()
    for table in of.tables:
        low = table.name.lower()
        kind = rng.choice(("documents", "files", "logs"))
        if table.parent and not table.optional_parent and table.parent in hosts and rng.random() < 0.7:
            kind = rng.choice(("embedded", "logs_per_parent"))
        if kind == "embedded":
            tables[kind].append(f'{table.name} = "{table.parent}.all{table.name}"')
            continue
        if kind != "logs_per_parent":
            hosts.add(table.name)
        tables[kind].append(
            {
                "documents": f'"doc/{low}.json" = {{ all = "{table.name}" }}',
                "files": f'"{low}/{{id}}.json" = "{table.name}"',
                "logs": f'"{low}.jsonl" = ["{table.name}"]',
                "logs_per_parent": f'"{low}/{{{table.parent_key}}}.jsonl" = "{table.name}"',
            }[kind]
        )
    for table in of.tables:
        if table.friends:
            a, b = sorted((table.name, table.friends))
            ends = ((table.name, f"friends{table.friends}"), (table.friends, f"friendOf{table.name}"))
            free = [(host, array) for host, array in ends if host in hosts]
            if free and rng.random() < 0.6:
                host, array = rng.choice(free)
                tables["embedded"].append(f'_{a}To{b} = "{host}.{array}"')
            else:
                tables["logs"].append(f'"join-{a.lower()}-{b.lower()}.jsonl" = ["_{a}To{b}"]')
    parts = ["version = 1\n"]
    parts += [f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in tables.items() if lines]
    return "\n".join(parts)


def evolved(rng: random.Random, old: World) -> Step:
    """The next version: one to five changes."""
    tables = [replace(t, columns=[replace(c) for c in t.columns]) for t in old.tables]
    step = Step(World(tables, list(old.labels)))
    for _ in range(rng.randint(1, 5)):
        rng.choice(_CHANGES)(rng, step)
    return step


def _some(rng: random.Random, step: Step) -> Table:
    return rng.choice(step.world.tables)


def _add(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    kind, arity = rng.choice(list(DEFAULTS)), rng.choice(("", "", "?"))
    name = f"n{len(table.columns)}"
    if any(c.name == name for c in table.columns):
        return
    given = DEFAULTS[kind] if arity == "" or rng.random() < 0.5 else ""
    if kind == "DateTime" and given and rng.random() < 0.5:
        given = "now()"
    if kind == "Int" and arity == "" and rng.random() < 0.4:
        given = "autoincrement()"
    table.columns.insert(rng.randint(0, len(table.columns)), Column(name, kind, arity, given))


def _add_list(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if not any(c.name == "many" for c in table.columns):
        table.columns.append(Column("many", "Int", "[]", rng.choice(("", "[1, 2]", "[]"))))


def _drop(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if movable := [c for c in table.columns if c.name not in step.members.values()]:
        table.columns.remove(rng.choice(movable))


def _arity(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if plain := [c for c in table.columns if c.arity != "[]" and c.name != "createdAt"]:
        column = rng.choice(plain)
        column.arity = "" if column.arity else "?"


def _retype(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if found := [c for c in table.columns if c.type in WIDER and not c.default]:
        column = rng.choice(found)
        column.type = rng.choice(WIDER[column.type])
    elif found := [c for c in table.columns if c.type in NARROWER and not c.default]:
        column = rng.choice(found)
        column.type = NARROWER[column.type]


def _rename(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    fresh = [c for c in table.columns if c.name.startswith("f") and not c.name.endswith("r")]
    if fresh and table.name != "Fresh":
        column = rng.choice(fresh)
        before, column.name = column.name, f"{column.name}r"
        old = next((o for o, n in step.models.items() if n == table.name), table.name)
        step.members[old, before] = column.name


def _rename_model(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if table.name in step.models.values() or table.name.startswith(("Other", "Fresh")):
        return
    name = f"Other{table.name}"
    step.models[table.name] = name
    for other in step.world.tables:
        if other.parent == table.name:
            other.parent = name
        if other.friends == table.name:
            other.friends = name
    table.name = name


def _rename_key(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if table.parent and table.parent_key == "parentId":
        old = next((o for o, n in step.models.items() if n == table.name), table.name)
        step.members[old, "parentId"] = table.parent_key = "ownerId"


def _labels(rng: random.Random, step: Step) -> None:
    labels = step.world.labels
    choice = rng.randrange(3)
    if choice == 0 and "FOUR" not in labels:
        labels.append("FOUR")
    elif choice == 1 and "TWO" in labels:
        labels[labels.index("TWO")] = "SECOND"
        step.members["Kind", "TWO"] = "SECOND"
    elif "THREE" in labels:
        labels.remove("THREE")


def _unique(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    if found := [c for c in table.columns if c.type in ("Int", "String", "BigInt") and c.arity != "[]"]:
        column = rng.choice(found)
        column.unique = not column.unique


def _action(rng: random.Random, step: Step) -> None:
    table = _some(rng, step)
    table.on_delete = rng.choice(("Cascade", "Restrict", "NoAction"))


def _add_model(rng: random.Random, step: Step) -> None:
    if not any(t.name == "Fresh" for t in step.world.tables):
        parent = rng.choice([t.name for t in step.world.tables])
        step.world.tables.append(Table("Fresh", [Column("f0", "Int")], parent=parent))


def _drop_model(rng: random.Random, step: Step) -> None:
    used = {t.parent for t in step.world.tables} | {t.friends for t in step.world.tables}
    found = [t for t in step.world.tables if t.name not in used and t.name not in step.models.values()]
    if len(step.world.tables) > 2 and found:
        gone = rng.choice(found)
        if not any(owner == gone.name for owner, _ in step.members):
            step.world.tables.remove(gone)


_CHANGES = (
    *(_add, _add, _add, _add_list, _drop, _arity, _arity, _retype, _retype, _rename, _rename_model),
    *(_rename_key, _labels, _unique, _action, _add_model, _drop_model),
)


def rows(rng: random.Random, of: World, datamodel: Datamodel, most: int) -> Iterator[str]:
    """The statements that fill a database, each table in the order of its file."""
    for table in of.tables:
        model = datamodel.model(table.name)
        for number in range(rng.randint(0, most)):
            cells = {"id": literal(f"{table.name}/{number:03}")}
            for column in table.columns:
                cells[column.name] = _cell(rng, column, number)
            if table.parent:
                options = f"(SELECT id FROM {quote(table.parent)} ORDER BY id OFFSET {number % 3} LIMIT 1)"
                cells[table.parent_key] = "NULL" if table.optional_parent and number % 2 else options
            yield _insert(model, cells, table)
    for table in of.tables:
        if table.friends:
            a, b = sorted((table.name, table.friends))
            yield (
                f'INSERT INTO "_{a}To{b}" SELECT x.id, y.id FROM "{a}" x, "{b}" y'
                " WHERE right(x.id, 1) <= right(y.id, 1)"
            )


def _insert(model: Model, cells: dict[str, str], table: Table) -> str:
    names = ", ".join(quote(model.scalar(name).column) for name in cells)
    where = ""
    if table.parent and not table.optional_parent:
        where = f" WHERE {cells[table.parent_key]} IS NOT NULL"
    return f"INSERT INTO {table_name(model)} ({names}) SELECT {', '.join(cells.values())}{where}"


def _cell(rng: random.Random, column: Column, number: int) -> str:
    if column.name == "createdAt":
        return f"TIMESTAMP '2025-01-01' + interval '{number} minutes'"
    cast = {"Kind": '::"Kind"', "Json": "::jsonb", "Bytes": "::bytea"}.get(column.type, "")
    if column.type.startswith("DateTime"):
        native = column.type.partition("@db.")[2].partition("(")[0].lower() or "timestamp"
        cast = f"::{native}"
    if column.arity == "[]":
        chosen = rng.sample(VALUES[column.type], rng.randint(0, 2))
        if column.type == "Json" or not chosen:
            chosen = []
        kind = {"Kind": '"Kind"'}.get(column.type, cast.removeprefix("::") or _sql(column.type))
        return f"ARRAY[{', '.join(chosen)}]::{kind}[]"
    if column.arity == "?" and rng.random() < 0.3:
        return "NULL"
    return rng.choice(VALUES[column.type]) + cast


def _sql(kind: str) -> str:
    base = kind.partition(" ")[0]
    return {"Int": "int", "BigInt": "bigint", "Float": "float8", "Boolean": "bool", "Decimal": "numeric"}.get(
        base, "text"
    )


class Alters:
    """The statements that take a database from one schema to the next."""

    def __init__(self, old: Datamodel, new: Datamodel, step: Step, moment: str) -> None:
        """``moment``: what ``now()`` is for existing rows."""
        self.old, self.new, self.step, self.moment = old, new, step, moment
        self._after = {m.name: step.models.get(m.name, m.name) for m in old.models}

    def statements(self) -> Iterator[str]:
        old, new = self.old, self.new
        for relation in old.foreign_keys:
            table = table_name(old.model(relation.child))
            yield f"ALTER TABLE {table} DROP CONSTRAINT {quote(relation.constraint)}"
        for model in old.tables:
            for index in (*model.uniques, *model.indexes):
                yield f"DROP INDEX {qualified(model.schema, index.constraint)}"
        yield from self._enums()
        kept = [m for m in old.models if self._after[m.name] in new]
        for model in old.models:
            if model not in kept:
                yield f"DROP TABLE {table_name(model)}"
        for model in kept:
            after = new.model(self._after[model.name])
            if model.table != after.table:
                yield f"ALTER TABLE {table_name(model)} RENAME TO {quote(after.table)}"
            yield from self._columns(model, after)
        yield from self._joins()
        made = {self._after[m.name] for m in kept}
        there = ddl(new)
        for model, statement in zip(new.tables, there.tables, strict=True):
            if model.name not in made and not model.is_join:
                yield statement
        yield from there.indexes
        yield from there.foreign_keys

    def _enums(self) -> Iterator[str]:
        before, after = self.old.enum("Kind"), self.new.enum("Kind")
        renamed = {o: n for (owner, o), n in self.step.members.items() if owner == "Kind"}
        for was, now in renamed.items():
            yield f'ALTER TYPE "Kind" RENAME VALUE {literal(was)} TO {literal(now)}'
        labels = [renamed.get(label, label) for label in before.labels]
        gone = [label for label in labels if label not in after.labels]
        if gone:
            # Prisma makes the type anew and casts each column by its text.
            values = ", ".join(map(literal, after.labels))
            yield f'CREATE TYPE "Kind_new" AS ENUM ({values})'
            for model in self.old.models:
                for f in model.scalars:
                    if f.type == "Kind":
                        many = "[]" if f.is_list else ""
                        column = quote(f.column)
                        yield f"ALTER TABLE {table_name(model)} ALTER COLUMN {column} DROP DEFAULT"
                        yield (
                            f"ALTER TABLE {table_name(model)} ALTER COLUMN {column}"
                            f' TYPE "Kind_new"{many} USING ({column}::text{many}::"Kind_new"{many})'
                        )
            yield 'ALTER TYPE "Kind" RENAME TO "Kind_old"'
            yield 'ALTER TYPE "Kind_new" RENAME TO "Kind"'
            yield 'DROP TYPE "Kind_old"'
        else:
            for label in after.labels:
                if label not in labels:
                    yield f'ALTER TYPE "Kind" ADD VALUE {literal(label)}'

    def _columns(self, before: Model, after: Model) -> Iterator[str]:
        alter = f"ALTER TABLE {table_name(after)}"
        names = {f.name: self.step.members.get((before.name, f.name), f.name) for f in before.scalars}
        for name, now in names.items():
            if name != now:
                yield f"{alter} RENAME COLUMN {quote(name)} TO {quote(now)}"
        there = {f.name for f in after.scalars}
        for f in before.scalars:
            if names[f.name] not in there:
                yield f"{alter} DROP COLUMN {quote(names[f.name])}"
        olds = {names[f.name]: f for f in before.scalars}
        for f in after.scalars:
            yield from self._added(alter, f) if f.name not in olds else self._altered(alter, olds[f.name], f)

    def _added(self, alter: str, f: ScalarField) -> Iterator[str]:
        required = " NOT NULL" if f.arity is Arity.REQUIRED else ""
        default = default_sql(self.new, f)
        kind = "SERIAL" if is_serial(f) else sql_type(self.new, f)
        if default == "CURRENT_TIMESTAMP":
            default = literal(self.moment)
        given = f" DEFAULT {default}" if default is not None else ""
        yield f"{alter} ADD COLUMN {quote(f.column)} {kind}{required}{given}"
        if default == literal(self.moment):
            yield f"{alter} ALTER COLUMN {quote(f.column)} SET DEFAULT CURRENT_TIMESTAMP"

    def _altered(self, alter: str, was: ScalarField, f: ScalarField) -> Iterator[str]:
        column = f"{alter} ALTER COLUMN {quote(f.column)}"
        if sql_type(self.old, was) != sql_type(self.new, f):
            yield f"{column} SET DATA TYPE {sql_type(self.new, f)}"
        if was.arity is Arity.REQUIRED and f.arity is Arity.OPTIONAL:
            yield f"{column} DROP NOT NULL"
        if was.arity is Arity.OPTIONAL and f.arity is Arity.REQUIRED:
            yield f"{column} SET NOT NULL"

    def _joins(self) -> Iterator[str]:
        olds = [r for r in self.old.relations if r.kind is RelationKind.MANY_TO_MANY]
        for relation in (r for r in self.new.relations if r.kind is RelationKind.MANY_TO_MANY):
            ends = {relation.child, relation.parent}
            found = next((r for r in olds if {self._after[r.child], self._after[r.parent]} == ends), None)
            if found is None:
                yield next(
                    statement
                    for model, statement in zip(self.new.tables, ddl(self.new).tables, strict=True)
                    if model.name == relation.constraint
                )
                continue
            table = quote(found.constraint)
            if self._after[found.child] != relation.child:
                yield f'ALTER TABLE {table} RENAME COLUMN "A" TO "C"'
                yield f'ALTER TABLE {table} RENAME COLUMN "B" TO "A"'
                yield f'ALTER TABLE {table} RENAME COLUMN "C" TO "B"'
            if found.constraint != relation.constraint:
                yield f"ALTER TABLE {table} DROP CONSTRAINT {quote(f'{found.constraint}_AB_pkey')}"
                yield f"ALTER TABLE {table} RENAME TO {quote(relation.constraint)}"
                table = quote(relation.constraint)
                key = quote(f"{relation.constraint}_AB_pkey")
                yield f'ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY ("A", "B")'
        for relation in olds:
            ends = {self._after[relation.child], self._after[relation.parent]}
            still = {
                frozenset((r.child, r.parent))
                for r in self.new.relations
                if r.kind is RelationKind.MANY_TO_MANY
            }
            if frozenset(ends) not in still:
                yield f"DROP TABLE IF EXISTS {quote(relation.constraint)} CASCADE"
