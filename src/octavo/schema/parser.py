"""The Prisma schema language: text in, Datamodel out.

It accepts any schema that Prisma 6.19 or Prisma 7 accepts for PostgreSQL, and refuses what both refuse.  A
``url`` in the datasource tells which of the two a schema is written for.  On the way::

    text ─syntax→ blocks ─draft→ names, relations ─attributes→ ─checks→ ─build→ Datamodel
"""

from __future__ import annotations

from collections.abc import Sequence

from octavo.schema.attributes import Values, read_attributes
from octavo.schema.checks import validate
from octavo.schema.datamodel import (
    Action,
    Arity,
    Datamodel,
    Datasource,
    Enum,
    EnumMember,
    Extension,
    Field,
    Index,
    IndexField,
    IndexKind,
    Model,
    Number,
    Relation,
    RelationField,
    RelationKind,
    ScalarField,
    Secret,
    Source,
)
from octavo.schema.draft import (
    Condition,
    EnumDraft,
    IndexDraft,
    ModelDraft,
    RelationDraft,
    RelationPair,
    ScalarDraft,
    SchemaDraft,
    Shape,
    foreign_key_constraint,
    index_constraint,
    on_delete,
    on_update,
    pair_relations,
    read_names,
)
from octavo.schema.identifiers import cut_name
from octavo.schema.native import literal, quote
from octavo.schema.secret_fields import read_secrets, with_references
from octavo.schema.syntax import Block, Call, Expression, Sources, StringLiteral, read_blocks


def parse_schema(text: str, file: str = "schema.prisma") -> Datamodel:
    """The Datamodel of one schema.  ``file`` is its name in messages.  Raises SchemaError."""
    return parse_files([(file, text)])


def parse_files(files: Sequence[tuple[str, str]], root: str = "") -> Datamodel:
    """The Datamodel of a schema in several files: names and texts, in order.

    ``root`` is the schema folder that they lie in; empty: the schema is one file.  Raises SchemaError.
    """
    sources = Sources(files)
    blocks = read_blocks(sources)
    draft = read_config(sources, blocks)
    read_names(draft, blocks)
    read_attributes(draft)
    pair_relations(draft)
    validate(draft)
    return build(draft).parsed_from(Source.of(files, root))


def parse_source(source: Source) -> Datamodel:
    """The Datamodel of some texts.  Raises SchemaError."""
    names = source.paths or [name for name, _ in source.files]
    texts = (text for _, text in source.files)
    return parse_files(list(zip(names, texts, strict=True))).parsed_from(source)


_PROVIDERS = ("postgresql", "postgres")
_RELATION_MODES = ("foreignKeys", "prisma")

_FEATURES = """
    fullTextSearchPostgres nativeDistinct postgresqlExtensions relationJoins
    schemaEngineDriverAdapters shardKeys strictUndefinedChecks views

    aggregateApi atomicNumberOperations clientExtensions cockroachDb cockroachdb connectOrCreate createMany
    dataProxy deno distinct driverAdapters extendedIndexes extendedWhereUnique fieldReference filterJson
    filteredRelationCount fullTextIndex fullTextSearch groupBy improvedQueryRaw interactiveTransactions
    jsonProtocol microsoftSqlServer middlewares mongoDb mongodb multiSchema nApi namedConstraints napi
    nativeTypes omitApi orderByAggregateGroup orderByNulls orderByRelation prismaSchemaFolder queryCompiler
    reactNative referentialActions referentialIntegrity selectRelationCount tracing transactionApi typedSQL
    typedSql uncheckedScalarInputs
"""
PREVIEW_FEATURES = frozenset(_FEATURES.split())
"""What ``previewFeatures`` may name: what is in preview, then what once was."""
_FEATURES_OF_6 = frozenset(["metrics"])
_FEATURES_OF_7 = frozenset(["partialIndexes"])


def read_config(sources: Sources, blocks: tuple[Block, ...]) -> SchemaDraft:
    """A draft with the datasource and the preview features.  Raises SchemaError."""
    draft = SchemaDraft(sources, Datasource())
    features: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    datasources = 0
    for block in blocks:
        if not block.is_config:
            continue
        if (block.keyword, block.name) in seen:
            sources.fail(f"there are two {block.keyword}s {block.name}", block.at)
        seen.add((block.keyword, block.name))
        properties = _properties(sources, block)
        if block.keyword == "datasource":
            datasources += 1
            if datasources > 1:
                sources.fail("a schema has one datasource", block.at)
            _datasource(draft, block, properties)
        else:
            features |= _generator(sources, block, properties)
    _check_features(draft, features)
    draft.preview_features = frozenset(features)
    return draft


def _check_features(draft: SchemaDraft, features: dict[str, int]) -> None:
    """Refuse preview features that neither Prisma has, or not the one that the datasource is written for."""
    if not draft.has_datasource:
        of_other: frozenset[str] = frozenset()
    else:
        of_other = _FEATURES_OF_7 if draft.has_url else _FEATURES_OF_6
    for name, at in sorted(features.items()):
        if name not in PREVIEW_FEATURES | _FEATURES_OF_6 | _FEATURES_OF_7:
            draft.sources.fail(f"unknown preview feature {name}", at)
        if name in of_other:
            which = "7, whose datasource has no url" if draft.has_url else "6, whose datasource has a url"
            draft.sources.fail(f"{name} is a preview feature of Prisma {which}", at)


def _properties(sources: Sources, block: Block) -> dict[str, Expression]:
    found: dict[str, Expression] = {}
    for prop in block.properties:
        if prop.name in found:
            sources.fail(f"{prop.name} is set twice", prop.at)
        if prop.value is None:
            sources.fail(f"{prop.name} has no value", prop.at, ("a value",))
        found[prop.name] = prop.value
    return found


def _text_or_env(values: Values, value: Expression) -> tuple[str, str]:
    """``("text", …)`` or ``("env", name)``.  No variable is read: a schema means the same everywhere."""
    if isinstance(value, Call) and value.name == "env":
        match value.args:
            case [arg] if isinstance(arg.value, StringLiteral):
                return "env", arg.value.value
        values.sources.fail("env() takes the name of one variable", value.at)
    return "text", values.string(value)


def _datasource(draft: SchemaDraft, block: Block, properties: dict[str, Expression]) -> None:
    values = Values(draft.sources)
    fail = draft.sources.fail
    provider = properties.pop("provider", None)
    if provider is None:
        fail(f"the datasource {block.name} names no provider", block.at, ("provider",))
    name = values.string(provider)
    if name not in _PROVIDERS:
        fail(f"Octavo reads schemas for PostgreSQL, not for {name!r}", provider.at, _PROVIDERS)
    if "relationMode" in properties and "referentialIntegrity" in properties:
        fail("referentialIntegrity is an old name of relationMode; only one can be set", block.at)
    mode = properties.pop("relationMode", None) or properties.pop("referentialIntegrity", None)
    relation_mode = values.string(mode) if mode is not None else "foreignKeys"
    if mode is not None and relation_mode not in _RELATION_MODES:
        fail(f"unknown relationMode {relation_mode!r}", mode.at, _RELATION_MODES)
    draft.has_url = "url" in properties
    if not draft.has_url and (other := properties.get("directUrl") or properties.get("shadowDatabaseUrl")):
        fail(
            f"the datasource {block.name} has no url; in Prisma 7 no other address either", other.at, ("url",)
        )
    urls = {
        key: _text_or_env(values, value)
        for key in ("url", "shadowDatabaseUrl", "directUrl")
        if (value := properties.pop(key, None)) is not None
    }
    shadow = urls.pop("shadowDatabaseUrl", None)
    if shadow is not None and shadow[1] and shadow in urls.values():
        fail("the shadow database is the database itself", block.at, ("another shadowDatabaseUrl",))
    draft.has_datasource, draft.datasource_at = True, block.at
    draft.datasource = Datasource(
        name=block.name,
        provider="postgresql",
        relation_mode=relation_mode,
        schemas=_schemas(draft, values, properties.pop("schemas", None)),
        extensions=_extensions(values, properties.pop("extensions", None)),
    )
    for prop in block.properties:
        if prop.name in properties:
            fail(f"a datasource has no property {prop.name}", prop.at)


def _schemas(draft: SchemaDraft, values: Values, value: Expression | None) -> tuple[str, ...]:
    if value is None:
        return ()
    draft.schemas_at = value.at
    names = values.array(value, values.string)
    if not names:
        draft.sources.fail("the list of schemas is empty", value.at)
    if len(set(names)) < len(names):
        draft.sources.fail("a schema is named twice", value.at)
    return tuple(names)


def _extensions(values: Values, value: Expression | None) -> tuple[Extension, ...]:
    if value is None:
        return ()

    def item(part: Expression) -> Extension:
        if not isinstance(part, Call):
            return Extension(values.constant(part))
        given: dict[str, str] = {}
        for arg in part.args:
            if arg.name not in ("map", "schema", "version"):
                values.sources.fail(f"an extension has no {arg.name or 'argument without a name'}", arg.at)
            given[arg.name] = values.string(arg.value)
        return Extension(given.get("map", part.name), given.get("schema"), given.get("version"))

    return tuple(values.array(value, item))


def _generator(sources: Sources, block: Block, properties: dict[str, Expression]) -> dict[str, int]:
    """The preview features that a generator names, each with its place."""
    values = Values(sources)
    provider = properties.pop("provider", None)
    if provider is None:
        sources.fail(f"the generator {block.name} names no provider", block.at, ("provider",))
    _text_or_env(values, provider)
    if (engine := properties.pop("engineType", None)) is not None:
        values.string(engine)
    if (output := properties.pop("output", None)) is not None:
        _text_or_env(values, output)
    if (targets := properties.pop("binaryTargets", None)) is not None:
        values.array(targets, lambda part: _text_or_env(values, part))
    features = properties.pop("previewFeatures", None)
    if features is None:
        return {}
    return dict.fromkeys(values.array(features, values.string), features.at)


def build(schema: SchemaDraft) -> Datamodel:
    """The Datamodel of a checked draft.  Raises SchemaError for a malformed ``@secret`` line."""
    built = Datamodel(
        models=tuple(_model(schema, model) for model in schema.models),
        enums=tuple(_enum(enum) for enum in schema.enums),
        relations=tuple(_relation(schema, pair) for pair in schema.pairs),
        datasource=schema.datasource,
    )
    return with_references(built)


def _enum(draft: EnumDraft) -> Enum:
    return Enum(
        name=draft.name,
        type=draft.type,
        members=tuple(
            EnumMember(
                value.name,
                draft.written_labels.get(value.name, value.name),
                draft.written_labels.get(value.name),
                value.documentation,
            )
            for value in draft.node.members
        ),
        schema=draft.schema,
        written_type=draft.written_type,
        documentation=draft.node.documentation,
    )


def _model(schema: SchemaDraft, draft: ModelDraft) -> Model:
    secrets = read_secrets(schema, draft)
    indexes = [_index(schema, draft, index) for index in draft.indexes]
    whole = [index for index in indexes if index.predicate is None]
    return Model(
        name=draft.name,
        table=draft.table,
        fields=tuple(_field(f, secrets.get(f.name)) for f in draft.fields),
        primary_key=_index(schema, draft, draft.primary_key) if draft.primary_key else None,
        uniques=tuple(index for index in whole if index.kind is IndexKind.UNIQUE),
        indexes=tuple(index for index in whole if index.kind is IndexKind.NORMAL),
        partial_indexes=tuple(index for index in indexes if index.predicate is not None),
        index_order=tuple(indexes),
        schema=draft.schema,
        written_table=draft.written_table,
        is_view=draft.is_view,
        ignored=draft.ignored,
        documentation=draft.node.documentation,
    )


def _field(draft: ScalarDraft | RelationDraft, secret: Secret | None) -> Field:
    if isinstance(draft, RelationDraft):
        return RelationField(
            name=draft.name,
            model=draft.target.name,
            arity=draft.arity,
            relation=draft.relation_name,
            fields=tuple(f.name for f in draft.fields or ()),
            references=tuple(f.name for f in draft.references or ()),
            written_on_delete=draft.on_delete,
            written_on_update=draft.on_update,
            ignored=draft.ignored,
            documentation=draft.node.documentation,
        )
    return ScalarField(
        name=draft.name,
        column=draft.column,
        type=draft.type,
        kind=draft.kind,
        arity=draft.arity,
        written_column=draft.written_column,
        native=draft.native,
        default=draft.default,
        updated_at=draft.updated_at,
        ignored=draft.ignored,
        documentation=draft.node.documentation,
        secret=secret,
    )


def _index(schema: SchemaDraft, model: ModelDraft, draft: IndexDraft) -> Index:
    return Index(
        kind=draft.kind,
        fields=tuple(
            IndexField(f.field.name, f.sort.lower() if f.sort else None, f.ops, f.raw_ops)
            for f in draft.fields
        ),
        constraint=index_constraint(model, draft),
        name=draft.name,
        written_constraint=draft.map,
        algorithm=draft.algorithm if draft.algorithm != "BTree" else None,
        written_algorithm=draft.algorithm,
        on_field=draft.on_field,
        predicate=_predicate(schema, draft.where),
    )


def _predicate(schema: SchemaDraft, where: str | tuple[Condition, ...] | None) -> str | None:
    """Which rows a partial index is of, in SQL."""
    if where is None or isinstance(where, str):
        return where
    return " AND ".join(f"{quote(c.field.column)} {_comparison(schema, c)}" for c in where)


def _comparison(schema: SchemaDraft, condition: Condition) -> str:
    value, sign = condition.value, "!=" if condition.negated else "="
    match value:
        case None:
            return f"IS{' NOT' * condition.negated} NULL"
        case bool():
            return f"{sign} {'true' if value else 'false'}"
        case Number():
            return f"{sign} {value.text}"
    enum = schema.enums_by_name.get(condition.field.type)
    return f"{sign} {literal(value if enum is None else enum.written_labels.get(value, value))}"


def _relation(schema: SchemaDraft, pair: RelationPair) -> Relation:
    forward, back = pair.forward, pair.back
    assert forward, "a relation without its child is refused before"
    assert back, "a relation without its parent is refused before"
    if pair.shape is Shape.MANY_TO_MANY:
        return Relation(
            name=forward.relation_name,
            kind=RelationKind.MANY_TO_MANY,
            child=forward.model.name,
            parent=back.model.name,
            child_field=forward.name,
            parent_field=back.name,
            on_delete=Action.CASCADE,
            on_update=Action.CASCADE,
            constraint=cut_name(f"_{forward.relation_name}"),
        )
    return Relation(
        name=forward.relation_name,
        kind=RelationKind.ONE_TO_ONE if pair.shape is Shape.ONE_TO_ONE else RelationKind.ONE_TO_MANY,
        child=forward.model.name,
        parent=back.model.name,
        child_field=forward.name,
        parent_field=back.name,
        fields=tuple(f.name for f in forward.fields or ()),
        references=tuple(f.name for f in forward.references or ()),
        on_delete=on_delete(pair),
        on_update=on_update(pair),
        constraint=foreign_key_constraint(forward),
        written_constraint=forward.map,
        required=forward.arity is Arity.REQUIRED,
    )
