"""Random Prisma schemas for PostgreSQL, from a seed: most are valid, some are wrong in one small way.

``generate(seed)`` writes a schema that uses the whole language; ``mutate(rng, text)`` damages a text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

NATIVES: dict[str, tuple[str, ...]] = {
    "Int": ("", "", "Integer", "SmallInt", "Oid"),
    "BigInt": ("", "BigInt"),
    "Float": ("", "Real", "DoublePrecision"),
    "Decimal": ("", "Decimal(10, 2)", "Decimal", "Money"),
    "Boolean": ("", "Boolean"),
    "String": (
        "",
        "",
        "Text",
        "VarChar(20)",
        "VarChar",
        "Char(3)",
        "Uuid",
        "Citext",
        "Inet",
        "Bit(4)",
        "VarBit(8)",
    ),
    "DateTime": ("", "", "Timestamp(6)", "Timestamptz(3)", "Date", "Time(0)", "Timetz"),
    "Json": ("", "Json", "JsonB"),
    "Bytes": ("", "ByteA"),
}

DEFAULTS: dict[str, tuple[str, ...]] = {
    "Int": ("0", "-7", "007", "2147483648", "autoincrement()"),
    "BigInt": ("9007199254740993", "-05", "autoincrement()"),
    "Float": ("1", "1.10", "-0.0", "22245982.0017", "123456789012345678901234567890"),
    "Decimal": ("1.10", '"1e5"', '".5"', '"1_000"', "4774.000000000000000004"),
    "Boolean": ("true", "false"),
    "String": (
        '""',
        '"a \\"quoted\\" \\\\ \\u00e9\\ud83d\\ude00 text"',
        "uuid()",
        "uuid(7)",
        "cuid()",
        "cuid(2)",
        "ulid()",
        "nanoid()",
        "nanoid(12)",
    ),
    "DateTime": ("now()", '"2024-02-29T23:59:60.1200Z"', '"0000-01-01t00:00:00-00:00"'),
    "Json": ('"{}"', '"{\\"b\\": [1.50, null], \\"a\\": \\"x\\"}"', '"[]"'),
    "Bytes": ('"aGk="', '""'),
}

BAD_DEFAULTS = (
    "foo",
    "1.5",
    '"x"',
    "[1]",
    "true",
    "now()",
    "uuid(5)",
    "nanoid(1)",
    "cuid(3)",
    "sequence()",
    "autoincrement(1)",
    'dbgenerated("")',
    "9223372036854775808",
    '"{"',
    '"aGl="',
    '"2023-02-29T00:00:00Z"',
    "",
)

ACTIONS = ("Cascade", "Restrict", "NoAction", "SetNull", "SetDefault")
OPS = (
    "JsonbOps",
    "JsonbPathOps",
    "ArrayOps",
    "InetOps",
    "TextOps",
    "TextMinMaxOps",
    "Int4BloomOps",
    "Int8MinMaxOps",
    "TimestampMinMaxMultiOps",
    "DateBloomOps",
    "UuidMinMaxOps",
    "NumericBloomOps",
    'raw("gin_trgm_ops")',
    "NoSuchOps",
)
FITTING: dict[str, dict[str, tuple[str, ...]]] = {
    "Gin": {"Json": ("", "JsonbOps", "JsonbPathOps"), "JsonB": ("", "JsonbOps"), "[]": ("", "ArrayOps")},
    "SpGist": {"String": ("", "TextOps"), "Text": ("", "TextOps"), "Inet": ("", "InetOps")},
    "Gist": {"Inet": ("InetOps",), "String": ("", 'raw("gist_trgm_ops")')},
    "Brin": {
        "Int": ("", "Int4BloomOps", "Int4MinMaxMultiOps"),
        "SmallInt": ("", "Int2MinMaxOps"),
        "String": ("", "TextBloomOps"),
        "DateTime": ("", "TimestampMinMaxMultiOps"),
        "Date": ("", "DateMinMaxOps"),
        "Uuid": ("", "UuidBloomOps"),
        "Real": ("", "Float4MinMaxOps"),
        "Bytes": ("", "ByteaMinMaxOps"),
    },
    "Hash": {"Int": ("",), "String": ("",), "Boolean": ("",)},
    "BTree": {"Int": ("",), "String": ("", 'raw("text_pattern_ops")')},
}
COMMENTS = (
    "// plain",
    "/// documented",
    "///   spaced  out  ",
    "/* block */",
    "/* two\n   lines */",
    "////four",
    "///",
)


@dataclass
class ScalarPlan:
    name: str
    type: str
    arity: str = ""
    native: str = ""


@dataclass
class ModelPlan:
    name: str
    scalars: list[ScalarPlan] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    block: list[str] = field(default_factory=list)
    key: list[ScalarPlan] = field(default_factory=list)
    single_id: bool = False

    def plain(self, *types: str) -> list[str]:
        return [s.name for s in self.scalars if not types or s.type in types]


class SchemaWriter:
    """Writes one schema.  ``spice`` is how often a choice is a wrong one."""

    def __init__(self, rng: random.Random, spice: float) -> None:
        self.rng, self.spice = rng, spice
        self.enums = [f"Kind{i}" for i in range(rng.randrange(3))]
        self.models = [ModelPlan(name) for name in self._names(rng.randint(2, 6))]
        self.multi_schema = rng.random() < 0.1
        self.prisma_mode = rng.random() < 0.15
        self.views = rng.random() < 0.3

    def _names(self, count: int) -> list[str]:
        pool = ["User", "post", "Tag", "Order_Item", "Ärger", "B2", "zebra", "Account", "X" * 40, "Team"]
        return self.rng.sample(pool if self.rng.random() < 0.1 else [n for n in pool if n != "Ärger"], count)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    @property
    def wrong(self) -> bool:
        return self.chance(self.spice)

    def write(self) -> str:
        parts = [self._generator(), self._datasource(), *(self._enum(name) for name in self.enums)]
        for model in self.models:
            self._key(model)
            for index in range(self.rng.randint(1, 5)):
                self._scalar(model, f"f{index}")
        for number in self.rng.sample(range(1000), self.rng.randint(1, 5) + len(self.models) - 2):
            self._relation(number)
        for model in self.models:
            for _ in range(self.rng.choice((0, 0, 1, 2))):
                self._index(model)
        parts.extend(self._model(model) for model in self.models)
        if self.views:
            parts.append(self._view())
        self.rng.shuffle(parts)
        return "\n".join(f"{self._comment()}{part}" for part in parts)

    def _comment(self) -> str:
        if not self.chance(0.15):
            return ""
        gap = "\n" if self.chance(0.2) else ""
        return f"{self.rng.choice(COMMENTS)}\n{gap}"

    def _trailing(self) -> str:
        return f" {self.rng.choice(COMMENTS)}" if self.chance(0.08) else ""

    def _schema(self) -> str:
        name = self.rng.choice(("base", "other", "nope" if self.wrong else "base"))
        return f'  @@schema("{name}")\n'

    def _generator(self) -> str:
        features = ['"relationJoins"', *(['"views"'] if self.views and not self.wrong else [])]
        return f'generator client {{\n  provider = "x"\n  previewFeatures = [{", ".join(features)}]\n}}\n'

    def _datasource(self) -> str:
        lines = ['  provider = "postgresql"', '  url = env("DATABASE_URL") // where']
        if self.multi_schema:
            lines.append('  schemas = ["base", "other"]')
        if self.prisma_mode:
            lines.append('  relationMode = "prisma"')
        return "datasource db {\n" + "\n".join(lines) + "\n}\n"

    def _enum(self, name: str) -> str:
        lines = []
        for index in range(self.rng.randint(0 if self.wrong else 1, 4)):
            mapped = f' @map("{self.rng.choice("abc-")}{index}")' if self.chance(0.2) else ""
            lines.append(f"{self._comment()}  V{0 if self.wrong else index}{mapped}{self._trailing()}\n")
        if self.chance(0.2):
            lines.append(f'  @@map("{name.lower()}")\n')
        if self.multi_schema:
            lines.append(self._schema())
        return f"enum {name} {{\n{''.join(lines)}}}\n"

    def _key(self, model: ModelPlan) -> None:
        kind = self.rng.choice(("id", "id", "id", "id", "@@id", "unique", "@@unique", "none"))
        if kind == "none" and not self.wrong:
            kind = "id"
        types = ("Int", "String", "BigInt") if self.chance(0.9) else ("DateTime", "Bytes", "Json", "Float")
        count = 2 if kind.startswith("@@") else 1
        for index in range(count):
            plan = ScalarPlan(f"k{index}" if count > 1 else "id", self.rng.choice(types))
            plan.arity = self.rng.choice(("?", "[]")) if self.wrong else ""
            model.scalars.append(plan)
            model.key.append(plan)
            attribute = f" @{kind}" if count == 1 and kind != "none" else ""
            if attribute and self.chance(0.15):
                attribute += '(map: "key_of_' + model.name.lower() + '")'
            if plan.type in ("Int", "String") and self.chance(0.6):
                default = "autoincrement()" if plan.type == "Int" else self.rng.choice(("uuid()", "cuid()"))
                attribute += f" @default({default})"
            model.lines.append(f"{plan.name} {plan.type}{plan.arity}{attribute}")
        if count > 1:
            named = self.rng.choice(("", "", ', name: "both"', ', map: "both_key"'))
            model.block.append(f"{kind}([k0, k1]{named})")
        model.single_id = kind == "id"

    def _scalar(self, model: ModelPlan, name: str) -> None:
        rng = self.rng
        if self.chance(0.05):
            unsupported = rng.choice(("point", "tsvector", "Uuid" if self.wrong else "box"))
            model.lines.append(f'{name} Unsupported("{unsupported}")?')
            return
        kind = rng.choice([*NATIVES, *self.enums, *(["NoSuch"] if self.wrong else [])])
        plan = ScalarPlan(name, kind, rng.choice(("", "", "", "?", "?", "[]")))
        line = f"{name} {kind}{plan.arity}"
        wrong = ("Text", "VarChar(0)", "Decimal(1, 2)", "Timestamp(7)", "Xml")
        pool = wrong if self.wrong else NATIVES.get(kind, ("",))
        plan.native = rng.choice(pool)
        attributes = [f"@db.{plan.native}"] if plan.native else []
        if self.chance(0.35):
            attributes.append(f"@default({self._default(kind, plan.arity)})")
        if self.chance(0.1):
            column = "f1" if self.wrong else rng.choice((f"{name}_col", f"straße {name}"))
            attributes.append(f'@map("{column}")')
        if (kind == "DateTime" and plan.arity != "[]" and self.chance(0.3)) or (self.wrong and self.wrong):
            attributes.append("@updatedAt")
        if self.chance(0.08):
            attributes.append(
                rng.choice(("@unique", '@unique(map: "u_' + name + '")', "@unique(sort: Desc)"))
            )
        if self.chance(0.04):
            attributes.append("@ignore")
        rng.shuffle(attributes)
        model.scalars.append(plan)
        model.lines.append(" ".join((line, *attributes)))

    def _default(self, kind: str, arity: str) -> str:
        if self.wrong:
            return self.rng.choice(BAD_DEFAULTS)
        if self.chance(0.1):
            return self.rng.choice(("dbgenerated()", 'dbgenerated("f()")'))
        pool = DEFAULTS.get(kind, ("V0",))
        if arity != "[]":
            return self.rng.choice(pool)
        literals = [value for value in pool if not value.endswith(")")]
        return f"[{', '.join(self.rng.sample(literals, self.rng.randint(0, len(literals))))}]"

    def _relation(self, number: int) -> None:
        rng = self.rng
        child, parent = rng.choice(self.models), rng.choice(self.models)
        name = f'"r{number}"' if child is parent or self.chance(0.7) else ""
        kind = rng.choice(("1-n", "1-n", "1-n", "1-1", "n-n"))
        if kind == "n-n" and not self.wrong and not (child.single_id and parent.single_id):
            kind = "1-n"
        if kind == "n-n":
            attribute = f" @relation({name})" if name else ""
            child.lines.append(f"a{number} {parent.name}[]{attribute}")
            if not self.wrong:
                parent.lines.append(f"b{number} {child.name}[]{attribute}")
            return
        optional = "?" if self.chance(0.4) and not any(k.arity for k in parent.key) else ""
        columns = []
        for index, key in enumerate(parent.key):
            column = f"c{number}_{index}"
            kept = optional if not self.wrong else rng.choice(("", "?", "[]"))
            child.lines.append(f"{column} {'String' if self.wrong else key.type}{kept}")
            child.scalars.append(ScalarPlan(column, key.type, kept))
            columns.append(column)
        references = [key.name for key in parent.key]
        if self.wrong:
            references = rng.choice((references[:-1], ["f0"], [*references, "f1"], ["nope"]))
        args = [
            *([name] if name else []),
            f"fields: [{', '.join(columns)}]",
            f"references: [{', '.join(references)}]",
        ]
        actions = ACTIONS if not self.prisma_mode or self.wrong else ("Cascade", "Restrict", "SetNull")
        for when in ("onDelete", "onUpdate"):
            if self.chance(0.3):
                args.append(f"{when}: {rng.choice(actions)}")
        if self.chance(0.08):
            args.append(f'map: "fk{number if not self.wrong else ""}"')
        back = f" @relation({name})" if name else ""
        if self.wrong:
            args.pop(rng.randrange(len(args)))
        child.lines.append(
            f"p{number} {parent.name}{optional if not self.wrong else ''} @relation({', '.join(args)})"
        )
        if kind == "1-1" and not self.wrong:
            child.block.append(f"@@unique([{', '.join(columns)}])")
        if not self.wrong:
            many = "?" if kind == "1-1" else "[]"
            parent.lines.append(f"q{number} {child.name}{many if not self.wrong else ''}{back}")

    def _index(self, model: ModelPlan) -> None:
        rng = self.rng
        names = [s.name for s in model.scalars if s.native != "Xml"]
        if self.wrong:
            names.append("nope")
        chosen = rng.sample(names, min(len(names), rng.choice((1, 1, 2, 3))))
        if self.chance(0.25):
            self._typed_index(model)
            return
        parts = [f"{n}(sort: {rng.choice(('Asc', 'Desc'))})" if self.chance(0.3) else n for n in chosen]
        if self.wrong:
            parts.append(f"{chosen[0]}(length: 3)")
        options = rng.choice(("", "", "", f', map: "i_{rng.random()}"', f', name: "n{rng.randrange(99)}"'))
        model.block.append(f"@@{rng.choice(('index', 'unique'))}([{', '.join(parts)}]{options})")

    def _typed_index(self, model: ModelPlan) -> None:
        rng = self.rng
        algorithm = rng.choice(tuple(FITTING))
        fitting = FITTING[algorithm]
        for plan in rng.sample(model.scalars, len(model.scalars)):
            native = plan.native.partition("(")[0] or plan.type
            classes = OPS if self.wrong else fitting.get("[]" if plan.arity == "[]" else native)
            if classes is None:
                continue
            ops = rng.choice(classes)
            part = f"{plan.name}(ops: {ops})" if ops else plan.name
            model.block.append(
                f'@@index([{part}], type: {algorithm}, map: "typed{len(model.block)}_{model.name}")'
            )
            return

    def _model(self, model: ModelPlan) -> str:
        lines = [f"{self._comment()}  {line}{self._trailing()}\n" for line in model.lines]
        block = [f"  {line}{self._trailing()}\n" for line in model.block]
        if self.chance(0.2):
            table = "same" if self.wrong else self.rng.choice((f"t_{model.name}", model.name + "x" * 58))
            block.append(f'  @@map("{table}")\n')
        if self.chance(0.04):
            block.append("  @@ignore\n")
        if self.multi_schema and not self.wrong:
            block.append(self._schema())
        if self.chance(0.2):
            self.rng.shuffle(lines)
        return f"model {model.name} {{\n{''.join(lines)}\n{''.join(block)}}}\n"

    def _view(self) -> str:
        schema = self._schema() if self.multi_schema else ""
        unique = self.rng.choice((" @unique", "", " @id" if self.wrong else ""))
        return f'view Seen {{\n  id Int{unique}\n  label String? @map("the_label")\n{schema}}}\n'


def generate(seed: int, spice: float | None = None) -> str:
    """A schema.  Without ``spice``, half of the seeds take only right choices."""
    rng = random.Random(seed)
    chosen = rng.choice((0.0, 0.01, 0.03)) if spice is None else spice
    return SchemaWriter(rng, chosen).write()


def part_of_larger(text: str, number: int) -> str | None:
    """The models and enums of a schema under names of their own, so that several can be joined.

    None if they cannot be.
    """
    if re.search(r"^view |schemas =|relationMode", text, re.MULTILINE):
        return None
    names = re.findall(r"^(?:model|enum) (\w+)", text, re.MULTILINE)
    text = re.sub(rf"\b(?:{'|'.join(names)})\b", lambda match: f"{match[0]}{number}", text)
    text = re.sub(r'(map: "|name: "|@@map\(")', rf"\g<1>s{number}_", text)
    return re.sub(r"^(?:generator|datasource) \w+ \{\n(?:.*\n)*?\}\n", "", text, flags=re.MULTILINE)


_WORDS = """
    String Int BigInt Boolean DateTime Json Bytes Decimal Float @id @unique @default(now()) @default(uuid())
    @default(autoincrement()) @updatedAt @map("x") @ignore ? [] @db.VarChar(20) @db.Text @db.Uuid @db.Xml
    @db.Timestamptz(3) @db.JsonB @db.SmallInt @relation(fields:[id],references:[id]) onDelete:SetNull
    onDelete:Cascade onUpdate:NoAction id @@id([id]) @@unique([id]) @@index([id]) @@map("x") @@ignore , ( )
    [ ] { } " // /// /* */ model enum type view : = . - @ @@ Hash Gin Gist Brin SpGist BTree sort: type: map:
    name: ops: raw("x") fields: references: Unsupported("x") true false null 5 -1 1.5 "x"
"""
WORDS = _WORDS.split()
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\w+|\s+|[^\w\s]')
_NAME = re.compile(r"\b[A-Z]\w*\b")


def _mutate_line(rng: random.Random, lines: Sequence[str], line: str) -> str:
    """Damage one line: remove, exchange, replace or add a token, or a character."""
    tokens = _TOKEN.findall(line)
    kind = rng.randrange(8)
    if kind == 5:
        return f"{line} {rng.choice(WORDS)}"
    if kind == 6 and line:
        at = rng.randrange(len(line))
        return line[:at] + rng.choice('@()[]{}",:?.!-_= \tax1é') + line[at + rng.randrange(2) :]
    if kind == 7:
        return re.sub(r"[?]|\[\]", lambda _: rng.choice(("", "?", "[]")), line)
    if not tokens:
        return line
    at = rng.randrange(len(tokens))
    if kind == 0:
        del tokens[at]
    elif kind == 1:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    elif kind == 2:
        tokens[at] = rng.choice(WORDS)
    elif kind == 3:
        tokens.insert(at, f" {rng.choice(WORDS)} ")
    else:
        tokens[at] = rng.choice(_TOKEN.findall(rng.choice(lines)) or [""])
    return "".join(tokens)


def mutate(rng: random.Random, text: str) -> str:
    """The text with one to three damages."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, kind = rng.randrange(len(lines)), rng.randrange(10)
        if kind == 0 and len(lines) > 1:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[at])
        elif kind == 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3 and (names := _NAME.findall(lines[at])):
            others = _NAME.findall(text)
            lines[at] = lines[at].replace(rng.choice(names), rng.choice(others))
        else:
            lines[at] = _mutate_line(rng, lines, lines[at])
    return "\n".join(lines)
