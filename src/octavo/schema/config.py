"""``datasource`` and ``generator`` blocks: what they say about the data, and that the rest is well-formed."""

from __future__ import annotations

from octavo.schema.arguments import Values
from octavo.schema.datamodel import Datasource
from octavo.schema.draft import SchemaDraft
from octavo.schema.syntax import Block, Call, ConfigNode, Expression, Sources, StringLiteral

_PROVIDERS = ("postgresql", "postgres")
_RELATION_MODES = ("foreignKeys", "prisma")

_FEATURES = """
    fullTextSearchPostgres metrics nativeDistinct postgresqlExtensions relationJoins
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


def read_config(sources: Sources, blocks: tuple[Block, ...]) -> SchemaDraft:
    """A draft with the datasource and the preview features.  Raises SchemaError."""
    draft = SchemaDraft(sources, Datasource())
    features: set[str] = set()
    seen: set[tuple[str, str]] = set()
    datasources = 0
    for block in blocks:
        if not isinstance(block, ConfigNode):
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
    draft.preview_features = frozenset(features)
    return draft


def _properties(sources: Sources, block: ConfigNode) -> dict[str, Expression]:
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


def _datasource(draft: SchemaDraft, block: ConfigNode, properties: dict[str, Expression]) -> None:
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
        fail(f"there is no relationMode {relation_mode!r}", mode.at, _RELATION_MODES)
    if "url" not in properties:
        fail(f"the datasource {block.name} has no url", block.at, ("url",))
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


def _extensions(values: Values, value: Expression | None) -> tuple[str, ...]:
    if value is None:
        return ()

    def item(part: Expression) -> str:
        if not isinstance(part, Call):
            return values.constant(part)
        for arg in part.args:
            if arg.name not in ("map", "schema", "version"):
                values.sources.fail(f"an extension has no {arg.name or 'argument without a name'}", arg.at)
            values.string(arg.value)
        return part.name

    return tuple(values.array(value, item))


def _generator(sources: Sources, block: ConfigNode, properties: dict[str, Expression]) -> set[str]:
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
        return set()
    names = set(values.array(features, values.string))
    for name in sorted(names - PREVIEW_FEATURES):
        sources.fail(f"there is no preview feature {name}", features.at)
    return names
