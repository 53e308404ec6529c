"""What of a live database is not as the schema says.

A *finding* could lose or change data, and refuses an export until it is waived by its kind
(``--allow-drift``).  A *note* cannot: the order of columns, a missing index, a stricter rule, a trigger,
Prisma's own table.  Some notes *end* with PostgreSQL: what they name has no counterpart once the files
are of record.  Names are those of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from octavo.errors import DriftError, UsageError
from octavo.postgres.catalog import Catalog, CatalogObject, ObjectKind, introspect
from octavo.postgres.expressions import words
from octavo.postgres.facts import ANY, Column, Facts, ForeignKey, Key, Place, stored
from octavo.postgres.failures import FENCE
from octavo.schema.datamodel import Datamodel, Enum, Model
from octavo.schema.live import Live
from octavo.schema.native import NATIVE_TYPES
from octavo.schema.texts import is_frozen
from octavo.text import some

if TYPE_CHECKING:
    import psycopg


class FindingKind(StrEnum):
    """How the database differs: it lacks something, has something more, or has it otherwise."""

    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"


class Finding(Struct, frozen=True):
    """One difference that could lose or change data.  ``what`` is ``table``, ``foreign table``, ``column``,
    ``type``, ``precision``, ``nullability``, ``primary key``, ``unique``, ``foreign key``,
    ``referential action``, ``enum`` or ``row-level security``; ``expected`` and ``found`` are empty on the
    side where there is nothing.
    """

    kind: FindingKind
    what: str
    name: str
    expected: str = ""
    found: str = ""

    @property
    def allowed_as(self) -> str:
        """The kind by which it can be waived, such as ``extra-table``."""
        return f"{self.kind} {self.what}".replace(" ", "-")

    def __str__(self) -> str:
        match self.kind:
            case FindingKind.MISSING:
                detail = f" ({self.expected})" if self.expected else ""
                return f"missing {self.what} {self.name}{detail}"
            case FindingKind.EXTRA:
                detail = f" ({self.found})" if self.found else ""
                return f"extra {self.what} {self.name}{detail}"
        return (
            f"different {self.what} of {self.name}: expected {self.expected or 'none'}, "
            f"found {self.found or 'none'}"
        )


class Note(Struct, frozen=True):
    """Something other than the schema says that cannot hurt an export."""

    what: str
    name: str
    text: str = ""
    ends: bool = False
    """whether PostgreSQL does something by it that the files do not"""

    def __str__(self) -> str:
        return f"{self.what} {self.name}{f': {self.text}' if self.text else ''}"


_KINDS = """
    extra-table extra-foreign-table extra-column different-precision different-nullability
    missing-primary-key extra-primary-key different-primary-key missing-unique different-unique
    missing-foreign-key extra-foreign-key different-foreign-key different-referential-action
    different-row-level-security
"""
ALLOWABLE = tuple(_KINDS.split())
"""the kinds of findings that can be waived: with any other the data cannot be read as the schema says"""


class Drift(Struct, frozen=True):
    """The result of a comparison, in the schema's order."""

    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]
    allowed: tuple[Finding, ...] = ()
    """those that are waived"""
    live: Live = field(default_factory=Live)
    """what the files keep of the database"""
    loose: Mapping[str, tuple[str, str]] = {}
    """model and field of each column that may be NULL, where the schema says that it may not, by its name"""
    cause: str = ""
    """what most probably explains the findings, and what to do"""

    @property
    def refuses(self) -> bool:
        """Whether an export would be at risk."""
        return bool(self.findings)

    def settled(self, has_null: Callable[[str, str], bool]) -> Drift:
        """The same, with a note for a column that may be NULL, but never is.

        ``has_null`` tells of a model's field whether a row has NULL in it.
        """
        tight = {name: place for name, place in self.loose.items() if not has_null(*place)}
        left = tuple(f for f in self.findings if f.what != "nullability" or f.name not in tight)
        notes = (Note("column that may be NULL", name, "no row has NULL in it") for name in tight)
        return replace(self, findings=left, notes=(*self.notes, *notes), loose={})

    def allowing(self, kinds: Collection[str]) -> Drift:
        """The same, with the findings of these kinds waived."""
        left = tuple(f for f in self.findings if f.allowed_as not in kinds)
        allowed = tuple(f for f in self.findings if f.allowed_as in kinds)
        return replace(self, findings=left, allowed=(*self.allowed, *allowed))

    @property
    def waived(self) -> list[str]:
        """What is waived, a line each."""
        return [f"drift that is allowed: {finding}" for finding in self.allowed]

    @property
    def ending(self) -> list[str]:
        """What PostgreSQL does that the files will not."""
        return [str(note) for note in self.notes if note.ends]

    def raise_if_any(self) -> None:
        """Raise DriftError, which names every finding, if there is any."""
        if self.findings:
            differences = some(len(self.findings), "difference")
            kinds = sorted({f.allowed_as for f in self.findings})
            hint = (
                self.cause
                or "bring the database or the schema up to date; octavo schema check shows this list"
            )
            if set(kinds) <= set(ALLOWABLE):
                hint += f"; to go on without it:{''.join(f' --allow-drift {kind}' for kind in kinds)}"
            raise DriftError(
                f"the database is not as the schema says ({differences}):",
                [str(finding) for finding in self.findings],
                hint=hint,
            )


def require_allowable(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds of drift to waive, each once.  Raises UsageError for one that cannot be waived."""
    given = tuple(dict.fromkeys(kind for each in kinds for kind in each.replace(",", " ").split()))
    for kind in given:
        if kind not in ALLOWABLE:
            raise UsageError(
                f"drift of the kind {kind!r} cannot be allowed", hint=f"these can: {', '.join(ALLOWABLE)}"
            )
    return given


def collapsed(notes: Sequence[Note]) -> list[str]:
    """Notes of one kind in one line, if there are several."""
    kinds: dict[str, list[Note]] = {}
    for note in notes:
        kinds.setdefault(note.what, []).append(note)
    return [
        str(found[0]) if len(found) == 1 else f"{what} ({len(found):,}): {_listed(n.name for n in found)}"
        for what, found in kinds.items()
    ]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED:,} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more


_LISTED = 5


def compare(expected: Datamodel, catalog: Catalog) -> Drift:
    """Hold a live database against the schema that it should have."""
    comparison = _Comparison(expected.complete, catalog)
    comparison.run()
    live = Live(comparison.orders, comparison.generated)
    found = tuple(comparison.findings), tuple(comparison.notes)
    return Drift(*found, live=live, loose=comparison.loose, cause=_cause(expected, comparison.findings))


def _cause(expected: Datamodel, findings: Sequence[Finding]) -> str:
    missing = sum(f.kind is FindingKind.MISSING and f.what == "table" for f in findings)
    if missing < len(expected.complete.tables):
        return ""
    if is_frozen(expected):
        return "the schema is the one that Octavo ships, and none of its tables exist: --schema names yours"
    return "none of the schema's tables exist: DATABASE_URL may name another database or schema"


def check(
    connection: psycopg.Connection[Any], expected: Datamodel, schema: str | Sequence[str] = "public"
) -> Drift:
    """Read the live database and hold it against the schema; ``schema`` gives way to those the schema
    names.
    """
    return compare(expected, introspect(connection, expected.datasource.schemas or schema))


class _Comparison:
    """Walks both tables of facts; a thing inside another that is missing is not named again by itself."""

    def __init__(self, expected: Datamodel, catalog: Catalog) -> None:
        self.expected, self.catalog = expected, catalog
        home = expected.datasource.schemas[0] if expected.datasource.schemas else catalog.schemas[0]
        self.ours = Facts(expected, home, self.shown)
        self.theirs = Facts(catalog.datamodel, catalog.schemas[0], self.shown)
        self.theirs.catalog = catalog
        self.findings: list[Finding] = []
        self.notes: list[Note] = []
        self.said: set[tuple[Place, str]] = set()
        """foreign keys of tables that are compared: by table and name"""
        self.orders: dict[str, tuple[str, ...]] = {}
        self.generated: dict[str, dict[str, str]] = {}
        self.loose: dict[str, tuple[str, str]] = {}
        self.reordered: list[str] = []
        """tables whose columns have another order"""

    def run(self) -> None:
        self.enums()
        for model, live in self.tables():
            columns = self.columns(model, live)
            self.primary_key(model, live, columns)
            self.indexes(model, live, columns)
            self.foreign_keys(model, live, columns)
        if self.reordered:
            tables = some(len(self.reordered), "table")
            self.note("order of columns", f"in {tables}", ", ".join(self.reordered))
        self.objects()
        self.migrations()

    def missing(self, what: str, name: str, expected: str = "") -> None:
        self.findings.append(Finding(FindingKind.MISSING, what, name, expected))

    def extra(self, what: str, name: str, found: str = "") -> None:
        self.findings.append(Finding(FindingKind.EXTRA, what, name, found=found))

    def different(self, what: str, name: str, expected: str, found: str) -> None:
        self.findings.append(Finding(FindingKind.DIFFERENT, what, name, expected, found))

    def note(self, what: str, name: str, text: str = "", *, ends: bool = False) -> None:
        self.notes.append(Note(what, name, text, ends))

    def shown(self, place: Place) -> str:
        return place[1] if len(self.catalog.schemas) == 1 else ".".join(place)

    def table(self, model: Model) -> str:
        return self.shown(self.ours.place(model))

    def enums(self) -> None:
        live = self.theirs.enums()
        names = {self.ours.place_of(enum): enum for enum in self.expected.enums}
        for place, labels in self.ours.enums().items():
            found = live.pop(place, None)
            if found is None:
                self.missing("enum", self.shown(place), ", ".join(labels))
            elif set(found) - set(labels):
                self.different("enum", self.shown(place), ", ".join(labels), ", ".join(found))
            elif found != labels:
                self.labels(names[place], self.shown(place), found)
        for place in live:
            self.note("extra enum", self.shown(place))

    def labels(self, enum: Enum, name: str, found: tuple[str, ...]) -> None:
        """Labels that are missing cannot be in a row; the order of the others is kept."""
        if lacking := [label for label in enum.labels if label not in found]:
            self.note("enum without labels of the schema", name, ", ".join(lacking))
        if [label for label in enum.labels if label in found] != list(found):
            self.note("order of an enum's labels", name, f"{', '.join(found)} (kept, for sorting)")
            by_label = {m.label: m.name for m in enum.members}
            self.orders[enum.name] = tuple(by_label[label] for label in found)

    def tables(self) -> list[tuple[Model, Model]]:
        """The tables that are there, on both sides."""
        live = {self.theirs.place(model): model for model in self.catalog.datamodel.models}
        others = {(o.schema, o.name): o for o in self.catalog.of_kind(*_IN_PLACE_OF_TABLES)}
        wanted = {self.ours.place(model): model for model in self.expected.tables}
        views = {self.ours.place(model): model for model in self.expected.models if model.is_view}
        for place in wanted:
            if place in live:
                continue
            if place in others:
                self.different("table", self.shown(place), "table", others[place].kind)
            else:
                self.missing("table", self.shown(place))
        for place in views:
            if place not in live and place not in others:
                self.note("missing view", self.shown(place))
        for place in live:
            if place not in wanted:
                self.extra("table", self.shown(place))
        for other in self.catalog.of_kind(ObjectKind.FOREIGN_TABLE):
            if (other.schema, other.name) not in wanted.keys() | views.keys():
                self.extra("foreign table", self.shown((other.schema, other.name)))
        return [(model, live[place]) for place, model in wanted.items() if place in live]

    def columns(self, model: Model, live: Model) -> Collection[str]:
        """Compare the columns; gives the names of those that are there."""
        wanted, found = self.ours.columns(model), self.theirs.columns(live)
        fields = {stored(scalar.column): scalar for scalar in model.scalars}
        for name, column in wanted.items():
            if name in found:
                self.column(f"{self.table(model)}.{name}", column, found[name])
                if (column.null, found[name].null) == ("NOT NULL", "NULL"):
                    self.loose[f"{self.table(model)}.{name}"] = model.name, fields[name].name
                if generated := found[name].generated:
                    self.generated.setdefault(model.name, {})[fields[name].name] = generated
            else:
                self.missing("column", f"{self.table(model)}.{name}", column.shown)
        for name, column in found.items():
            if name not in wanted:
                self.extra("column", f"{self.table(model)}.{name}", column.shown)
        order = [name for name in found if name in wanted]
        if len(order) == len(wanted) and order != list(wanted):
            self.reordered.append(self.table(model))
        return found

    def column(self, name: str, wanted: Column, found: Column) -> None:
        same = wanted.which == found.which
        if wanted.plain and wanted.plain == found.plain:
            same, found = True, found._replace(precision=wanted.precision)
        if not same or wanted.precision != found.precision:
            if _takes_text(wanted, found):
                self.note("other type of text", name, f"{found.shown}, not {wanted.shown}")
            else:
                self.different("precision" if same else "type", name, wanted.shown, found.shown)
        # A SERIAL column is NOT NULL, whatever its field says.
        free = not wanted.null or not found.null or (wanted.serial and found.null == "NOT NULL")
        if wanted.null == "NULL" and not free and found.null == "NOT NULL":
            self.note("column that may not be NULL", name, "the schema says that it may", ends=True)
        elif wanted.null != found.null and not free:
            self.different("nullability", name, wanted.null, found.null)
        if found.generated:
            if wanted.generated and words(wanted.generated) != words(found.generated):
                self.note("other expression of a generated column", name, f"expected {wanted.generated}")
        elif same and (wanted.generated or wanted.defaults[0] not in (ANY, *found.defaults)):
            text = f"expected {wanted.default or 'none'}, found {found.default or 'none'}"
            self.note("other default", name, text, ends=bool(found.default))

    def primary_key(self, model: Model, live: Model, columns: Collection[str]) -> None:
        name = self.table(model)
        wanted, found = self.ours.primary_key(model), self.theirs.primary_key(live)
        if wanted is None:
            if found is not None:
                self.extra("primary key", name, ", ".join(found.columns))
            return
        known = set(wanted.columns).issubset(columns)
        if found is None:
            if self.old_join_keys(model, live):
                self.note("unique index as the key", name, "made by a Prisma before version 6")
            elif known:
                self.missing("primary key", name, ", ".join(wanted.columns))
        elif set(wanted.columns) == set(found.columns) and wanted.columns != found.columns:
            self.note("order of the primary key", name, ", ".join(found.columns))
        elif wanted.columns != found.columns and known:
            self.different("primary key", name, ", ".join(wanted.columns), ", ".join(found.columns))
        elif wanted.name != found.name:
            self.note("name of the primary key", name, found.name)

    def old_join_keys(self, model: Model, live: Model) -> set[str]:
        """The uniques that stand for the key of a join table which a Prisma before version 6 made."""
        key = self.ours.primary_key(model)
        if not model.is_join or key is None or live.primary_key is not None:
            return set()
        columns = set(key.columns)
        return {k.name for k in self.theirs.keys(live) if k.word == "unique" and set(k.columns) == columns}

    def indexes(self, model: Model, live: Model, columns: Collection[str]) -> None:
        table = self.table(model)
        remaining = {key.name: key for key in self.theirs.keys(live)}
        wanted = self.ours.keys(model)
        for key in wanted:
            found = remaining.get(key.name)
            if found is None:
                continue
            if not _same_key(key, found) and set(key.columns).issubset(columns):
                self.other_key(key, found)
        unmatched = [key for key in wanted if remaining.pop(key.name, None) is None]
        for key in unmatched:
            twin = next((other for other in remaining.values() if _same_key(key, other)), None)
            if twin is not None:
                del remaining[twin.name]
                self.note(f"name of the {key.word}", f"{table}.{key.name}", twin.name)
            elif set(key.columns).issubset(columns):
                if key.word == "unique":
                    self.missing(key.word, key.name, f"on {table}: {key.shown}")
                else:
                    self.note("missing index", key.name, f"on {table}: {key.shown}")
        known = self.old_join_keys(model, live)
        for name, key in remaining.items():
            if name not in known:
                self.note(f"extra {key.word}", name, f"on {table}", ends=key.word == "unique")

    def other_key(self, key: Key, found: Key) -> None:
        """An index of the right name that is another one.  A unique has to be of the same columns."""
        if key.word == "index" or (found.word == "unique" and set(key.columns) == set(found.columns)):
            self.note(f"other {key.word}", key.name, f"expected {key.shown}, found {found.shown}")
        else:
            self.different(key.word, key.name, key.shown, found.shown)

    def foreign_keys(self, model: Model, live: Model, columns: Collection[str]) -> None:
        place, table = self.ours.place(model), self.table(model)
        remaining = {key.name: key for key in self.theirs.foreign_keys(live)}
        self.said |= {(place, name) for name in remaining}
        virtual = self.expected.datasource.relation_mode == "prisma"
        unmatched = []
        for key in [] if virtual else self.ours.foreign_keys(model):
            found = remaining.get(key.name)
            if found is not None and found.ends == key.ends:
                self.rules(place, key, remaining.pop(key.name))
            else:
                unmatched.append(key)
        there = {self.theirs.place(other) for other in self.catalog.datamodel.models}
        for key in unmatched:
            twin = next((other for other in remaining.values() if other.ends == key.ends), None)
            namesake = remaining.pop(key.name, None)
            if twin is not None:
                remaining.pop(twin.name, None)
                self.note("name of the foreign key", f"{table}.{key.name}", twin.name)
                self.rules(place, key, twin)
            elif not set(key.columns).issubset(columns) or key.parent not in there:
                continue
            elif namesake is not None:
                self.different("foreign key", key.name, key.shown, namesake.shown)
            else:
                self.missing("foreign key", key.name, key.shown)
        for key in remaining.values():
            if key.parent in there and not (virtual and _as_wanted(key, self.ours.foreign_keys(model))):
                self.extra("foreign key", key.name, f"{key.shown} {' '.join(key.actions)}")
            else:
                self.note("extra foreign key", key.name, key.shown, ends=True)

    def rules(self, place: Place, key: ForeignKey, found: ForeignKey) -> None:
        for wanted, has in zip(key.actions, found.actions, strict=True):
            if wanted != has:
                self.different("referential action", key.name, wanted, has)
        for other in self.catalog.of_kind(ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL):
            if ((other.schema, other.table), other.name) == (place, found.name):
                wanted = "valid for every row, with plain rules"
                self.different("foreign key", key.name, wanted, other.detail)

    def objects(self) -> None:
        wanted = {self.ours.place(model) for model in self.expected.tables}
        partial = {
            (self.ours.place(model), stored(index.constraint)): f"on {self.table(model)}"
            for model in self.expected.tables
            for index in model.partial_indexes
        }
        for other in self.catalog.objects:
            name = self.object_name(other)
            table = other.schema, other.table
            if other.kind is ObjectKind.PARTIAL_INDEX and partial.pop((table, other.name), ""):
                if other.detail.startswith("CREATE UNIQUE "):
                    self.note("partial unique", name, "held to by PostgreSQL alone", ends=True)
                continue
            if other.kind is ObjectKind.HIDDEN_ROWS and table in wanted:
                self.different("row-level security", name, "every row visible", "rows hidden from this user")
            elif other.kind not in _SAID_ALREADY and not (
                other.kind in (ObjectKind.NOT_VALID, ObjectKind.FOREIGN_KEY_DETAIL)
                and (table, other.name) in self.said
            ):
                is_unique = other.detail.startswith("CREATE UNIQUE ")
                ends = other.kind in _ENDING or (other.kind in _ENDING_IF_UNIQUE and is_unique)
                ends = ends and other.name != FENCE
                self.note(other.kind, name, other.detail, ends=ends)
        for (_, name), where in partial.items():
            self.note("missing partial index", name, where)

    def object_name(self, other: CatalogObject) -> str:
        home = other.schema in ("", self.catalog.schemas[0]) and len(self.catalog.schemas) == 1
        parts = ("" if home else other.schema, other.table, other.name)
        return ".".join(part for at, part in enumerate(parts) if part and part not in parts[:at])

    def migrations(self) -> None:
        catalog = self.catalog
        if not catalog.has_migrations_table:
            return
        if catalog.migrations is None:
            self.note("table", "_prisma_migrations", "Prisma's own; this user may not read it")
            return
        self.note("table", "_prisma_migrations", f"Prisma's own, {len(catalog.migrations)} migrations")
        for migration in catalog.migrations:
            if not migration.finished and not migration.rolled_back:
                self.note("migration that did not finish", migration.name)


def _same_key(wanted: Key, found: Key) -> bool:
    """Whether an index is the one that is wanted, whatever its name: a class left open is the default."""
    return wanted[1:4] == found[1:4] and all(
        is_default if open_ else name == other
        for (name, open_), (other, is_default) in zip(wanted.classes, found.classes, strict=True)
    )


_IN_PLACE_OF_TABLES = (
    ObjectKind.VIEW,
    ObjectKind.MATERIALIZED_VIEW,
    ObjectKind.FOREIGN_TABLE,
    ObjectKind.PARTITION,
    ObjectKind.EXTENSION_TABLE,
)
_SAID_ALREADY = frozenset((ObjectKind.FOREIGN_TABLE,))
_ENDING = frozenset(
    (
        ObjectKind.CHECK,
        ObjectKind.EXCLUSION,
        ObjectKind.GENERATED_COLUMN,
        ObjectKind.NULLS_NOT_DISTINCT,
        ObjectKind.ROW_SECURITY,
        ObjectKind.RULE,
        ObjectKind.TRIGGER,
    )
)
"""what PostgreSQL does by itself"""
_ENDING_IF_UNIQUE = frozenset((ObjectKind.PARTIAL_INDEX, ObjectKind.EXPRESSION_INDEX))


def _as_wanted(key: ForeignKey, wanted: Iterable[ForeignKey]) -> bool:
    """Whether a foreign key does what Prisma does without it."""
    return any((key.ends, key.actions) == (other.ends, other.actions) for other in wanted)


def _takes_text(wanted: Column, found: Column) -> bool:
    """Whether both are texts, of which PostgreSQL keeps every character, and each that is found is short
    enough."""
    texts = {(name, False) for name, rule in NATIVE_TYPES.items() if rule.catalog in ("text", "varchar")}
    if not {wanted.which, found.which} <= texts:
        return False
    return not wanted.precision or (bool(found.precision) and found.precision <= wanted.precision)
