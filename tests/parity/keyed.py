"""Random schemas about keys: how many fields, in which order, of which types, under which column names.

A model's key is a random choice of its fields in a random order, wherever they are declared.  Other models
point at it by foreign keys, which may be part of their own keys, and records live in every way that a layout
allows for their key.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.schema.datamodel import Datamodel, Relation
from octavo.schema.parser import parse_schema
from octavo.values.registry import value_type

TYPES = (
    *("String", "String @db.VarChar(20)", "String @db.Char(3)", "String @db.Uuid", "String @db.Inet"),
    *("String @db.VarBit(8)", "Int", "Int @db.SmallInt", "Int @db.Oid", "BigInt", "Boolean", "Shade"),
    *("Float", "Float @db.Real", "Decimal", "Decimal @db.Decimal(10, 2)", "Decimal @db.Money", "Bytes"),
    *("DateTime", "DateTime @db.Timestamptz(6)", "DateTime @db.Date", "DateTime @db.Time(6)"),
    *("DateTime @db.Timetz(3)", "Json"),
)
"""those that PostgreSQL makes a key of"""
_WIDE = ("String", "Int", "BigInt", "String @db.VarChar(20)", "DateTime")
"""those with many values: each key has one of them, so that there are several records"""
HEAD = """datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

enum Shade {
  DARK  @map("pale")
  PALE  @map("dark")
  NONE
}
"""
MODELS = 5


@dataclass
class _Model:
    name: str
    fields: dict[str, str] = field(default_factory=dict)
    """type by name"""
    key: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """relations, and what concerns the whole model"""
    on_field: str = ""
    """the attribute of a key that is written at its only field"""


class _Schema:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.models = [_Model(f"M{n}") for n in range(MODELS)]

    def text(self) -> str:
        for number, model in enumerate(self.models):
            self._fields(model)
            for _ in range(self.rng.choice((0, 1, 1, 2)) if number else 0):
                self._relation(model, self.rng.choice(self.models[:number]))
            self._key(model)
        self._join()
        return HEAD + "".join(self._written(model) for model in self.models)

    def _fields(self, model: _Model) -> None:
        types = [self.rng.choice(_WIDE), *self.rng.choices(TYPES, k=self.rng.randrange(4))]
        model.fields |= {f"k{n}": kind for n, kind in enumerate(types)}
        model.fields |= {"note": "String?", "number": "Int?"}

    def _relation(self, child: _Model, parent: _Model) -> None:
        rng, number = self.rng, len(child.lines)
        pairs = [(f"{parent.name.lower()}_{number}{name}", name) for name in parent.key]
        optional = "?" if rng.random() < 0.2 else ""
        child.fields |= {own: parent.fields[theirs] + optional for own, theirs in pairs}
        if rng.random() < 0.2:
            rng.shuffle(pairs)
        own, theirs = (", ".join(names) for names in zip(*pairs, strict=True))
        name = f'"{child.name}{number}"'
        actions = [f"{when}: {rng.choice(_ACTIONS[optional])}" for when in ("onDelete", "onUpdate")]
        arguments = ", ".join([name, f"fields: [{own}]", f"references: [{theirs}]", *actions])
        child.lines.append(f"up{number} {parent.name}{optional} @relation({arguments})")
        parent.lines.append(f"down{child.name}{number} {child.name}[] @relation({name})")

    def _key(self, model: _Model) -> None:
        rng = self.rng
        able = [name for name, kind in model.fields.items() if not kind.endswith("?")]
        wide = rng.choice([name for name in able if model.fields[name] in _WIDE])
        rest = [name for name in able if name != wide]
        model.key = [wide, *rng.sample(rest, min(len(rest), rng.choice((0, 1, 1, 2, 3))))]
        rng.shuffle(model.key)
        kind = rng.choice(("id", "id", "unique"))
        if len(model.key) == 1 and rng.random() < 0.7:
            model.on_field = f" @{kind}"
            return
        name = rng.choice(("", "", ', name: "told"')) if len(model.key) > 1 else ""
        model.lines.append(f"@@{kind}([{', '.join(model.key)}]{name})")

    def _join(self) -> None:
        """Implicit many-to-many relations, of a model with itself too; Prisma asks for a key of one field."""
        rng, able = self.rng, [model for model in self.models if model.on_field == " @id"]
        for number in range(rng.choice((1, 2)) if able else 0):
            one, other = rng.choice(able), rng.choice(able)
            one.lines.append(f'to{number} {other.name}[] @relation("Joined{number}")')
            other.lines.append(f'from{number} {one.name}[] @relation("Joined{number}")')

    def _written(self, model: _Model) -> str:
        rng, columns = self.rng, self._columns(model)
        lines = []
        for name, declared in model.fields.items():
            kind, _, native = declared.removesuffix("?").partition(" ")
            optional = "?" if declared.endswith("?") else ""
            unique = model.on_field if [name] == model.key else ""
            mapped = f" @map({json.dumps(columns[name])})" if name in columns else ""
            lines.append(f"{name} {kind}{optional} {native}{unique}{mapped}")
        rng.shuffle(lines)
        if rng.random() < 0.3:
            model.lines.append(f'@@map("the {model.name.lower()}")')
        return f"\nmodel {model.name} {{\n" + "".join(f"  {s}\n" for s in [*lines, *model.lines]) + "}\n"

    def _columns(self, model: _Model) -> dict[str, str]:
        """Column names of some fields, in another alphabetical order."""
        rng, names = self.rng, list(model.fields)
        turned = sorted(names, reverse=True)
        return {a: f"{b} of {model.name}" for a, b in zip(names, turned, strict=True) if rng.random() < 0.4}


_ACTIONS = {"": ("Cascade", "Cascade", "Restrict", "NoAction"), "?": ("Cascade", "SetNull", "NoAction")}


def keyed(seed: int) -> Layout:
    """A schema, and where its records live."""
    rng = random.Random(seed)
    datamodel = parse_schema(_Schema(rng).text())
    return parse_layout(_layout(rng, datamodel), datamodel)


def _layout(rng: random.Random, datamodel: Datamodel) -> str:
    tables: dict[str, list[str]] = {}
    hosts: set[str] = set()
    """the models whose records others may hang on"""
    for model in datamodel.tables:
        name, exact = model.name, all(value_type(f, datamodel).identity is None for f in model.key_fields)
        above = [r for r in datamodel.parents(name) if r.parent in hosts and _may_host(r, datamodel)]
        ways = ["documents", "files", "logs", "logs"]
        if above:
            ways += ["embedded"] * 3 + (["logs_per_parent"] * 3 if exact else [])
        way = rng.choice(ways)
        if way not in ("embedded", "logs_per_parent"):
            hosts.add(name)
        relation = rng.choice(above) if above else None
        tables.setdefault(way, []).append(_LINES[way](name, ",".join(model.key.field_names), relation))
    parts = [f"[{way}]\n{''.join(lines)}" for way, lines in tables.items()]
    return "version = 1\n" + "".join(parts)


def _may_host(relation: Relation, datamodel: Datamodel) -> bool:
    parent, child = datamodel.model(relation.parent), datamodel.model(relation.child)
    return (
        relation.required
        and relation.references == parent.key.field_names
        and all(value_type(child.scalar(name), datamodel).identity is None for name in relation.fields)
    )


_LINES = {
    "documents": lambda name, key, up: f'"{name.lower()}.json" = {{ records = "{name}" }}\n',
    "files": lambda name, key, up: f'"{name.lower()}/{{{key}}}.json" = "{name}"\n',
    "logs": lambda name, key, up: f'"{name.lower()}.jsonl" = ["{name}"]\n',
    "logs_per_parent": lambda name, key, up: f'"{name.lower()}/{{{",".join(up.fields)}}}.jsonl" = "{name}"\n',
    "embedded": lambda name, key, up: f'{name} = "{up.parent}.{up.parent_field}"\n',
}
