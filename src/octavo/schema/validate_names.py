"""Names that must be one of a kind: of constraints in the database, and of compound keys in a client."""

from __future__ import annotations

from collections import Counter

from octavo.schema.draft import FieldDraft, IndexDraft, ModelDraft, RelationPair, SchemaDraft, Shape
from octavo.schema.names import MAX_BYTES, foreign_key_constraint, index_constraint


class ConstraintNames:
    """How often each name is used, where it may be used once.

    PostgreSQL keeps primary keys and indexes of a schema in one namespace, and all constraints of a table
    in another.
    """

    def __init__(self, schema: SchemaDraft) -> None:
        self.schema = schema
        self.in_schema: Counter[tuple[str | None, str]] = Counter()
        self.in_table: Counter[tuple[str, str]] = Counter()
        self.in_client: Counter[tuple[str, str]] = Counter()
        for model in schema.models:
            for index in _keys(model):
                name = index_constraint(model, index)
                self.in_schema[model.schema, name] += 1
                self.in_table[model.name, name] += 1
                if index.name is not None:
                    self.in_client[model.name, index.name] += 1
        for pair in schema.pairs:
            if pair.forward is not None and _is_inline(pair):
                self.in_table[pair.forward.model.name, foreign_key_constraint(pair.forward)] += 1

    def _check(self, model: ModelDraft, name: str, at: int) -> None:
        if len(name.encode()) > MAX_BYTES:
            self.schema.sources.fail(f"the name {name} is longer than {MAX_BYTES} bytes", at)

    def _check_index(self, model: ModelDraft, index: IndexDraft) -> None:
        name = index_constraint(model, index)
        at = index.argument_at("map", "name")
        self._check(model, name, at)
        if self.in_schema[model.schema, name] > 1 or self.in_table[model.name, name] > 1:
            self.schema.sources.fail(
                f"the name {name} is used twice in the database; 'map' gives {index.label} another", at
            )
        if index.name is not None and self.in_client[model.name, index.name] > 1:
            self.schema.sources.fail(
                f"{model.name} has the name {index.name} twice", index.argument_at("name")
            )

    def check_primary_key(self, model: ModelDraft) -> None:
        if model.primary_key is not None:
            self._check_index(model, model.primary_key)

    def check_indexes(self, model: ModelDraft) -> None:
        for index in model.indexes:
            self._check_index(model, index)

    def check_foreign_key(self, pair: RelationPair) -> None:
        field = pair.forward
        if field is None or not _is_inline(pair):
            return
        name = foreign_key_constraint(field)
        if self.in_table[field.model.name, name] > 1:
            self.schema.sources.fail(
                f"the name {name} is used twice in {field.model.table}; 'map' gives the foreign key another",
                field.argument_at("map"),
            )

    def check_client_name(self, model: ModelDraft, field: FieldDraft) -> None:
        """A compound key's name in the client is not a field's."""
        if self.in_client[model.name, field.name]:
            self.schema.sources.fail(
                f"{model.name} has the field {field.name}, which is also the name of a key", model.at
            )


def _is_inline(pair: RelationPair) -> bool:
    return pair.shape in (Shape.ONE_TO_ONE, Shape.ONE_TO_MANY)


def _keys(model: ModelDraft) -> list[IndexDraft]:
    return [*([model.primary_key] if model.primary_key else []), *model.indexes]
