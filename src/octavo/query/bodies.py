"""A schema's types at run time: its records, its enums, and what a request may bring to make or change one.

``ChatCreate`` and ``ChatUpdate`` are dicts.  Pydantic, and so FastAPI, checks them against the Prisma schema:
fields only, by their names, each of a value that its column can hold.  What passed is the ``data`` of a
``create`` or an ``update``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from threading import Lock
from typing import Any, ClassVar, Literal

from octavo.layout.record import record_type
from octavo.layout.spelled import json_value
from octavo.query.vocabulary import Column, Terms, Vocabulary
from octavo.schema.datamodel import Datamodel
from octavo.values.json import DbNull, JsonNull
from octavo.values.registry import reader

_CREATE, _UPDATE = "Create", "Update"


class Body(dict[str, Any]):
    """The data of a new record, or of a change, as a request gives it.

    Nested writes, arithmetic and ``{"set": …}`` are for the program alone: nothing in a request can reach
    another record.  What the program adds (``{**body, "userId": user.id}``) it gives to the client itself.
    """

    _terms: ClassVar[Terms]
    _datamodel: ClassVar[Datamodel]
    _required: ClassVar[frozenset[str]]

    def __getattr__(self, name: str) -> Any:
        """A field; None where it was not given."""
        if name not in self._terms.usable:
            raise AttributeError(f"{type(self).__name__} has no {name}")
        return self.get(name)

    def model_dump(
        self,
        *,
        mode: str = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        """A plain dict, as Pydantic's models give.  It has what was given, with ``exclude_unset`` or not."""
        columns = self._terms.columns
        return {
            name: _spelled(columns[name], value) if mode == "json" else value
            for name, value in self.items()
            if (include is None or name in include)
            and (exclude is None or name not in exclude)
            and not (exclude_none and value is None)
        }

    def __repr__(self) -> str:
        shown = {name: "…" if name in self._secret() else value for name, value in self.items()}
        return f"{type(self).__name__}({shown!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    @classmethod
    def _secret(cls) -> set[str]:
        return {name for name, column in cls._terms.usable.items() if column.field.secret is not None}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticKnownError, core_schema

        from octavo.layout import pydantic as ours

        terms, datamodel = cls._terms, cls._datamodel

        def validate(given: Any) -> Any:
            if isinstance(given, cls):
                return given
            if not isinstance(given, Mapping):
                raise PydanticKnownError("dict_type")
            errors, found = [], cls()
            for name, value in given.items():
                column = terms.usable.get(name)
                if column is None:
                    errors.append(ours.extra(name, value))
                    continue
                try:
                    stored = ours.checked(column.field, datamodel, value, null_json=DbNull)
                    found[name] = _value(column, datamodel, stored, value)
                except ValueError as error:
                    errors.append(ours.wrong(column.field, value, str(error)))
            errors += [ours.missing(name) for name in sorted(cls._required - given.keys())]
            ours.refuse(cls.__name__, errors)
            return found

        validate.__name__ = validate.__qualname__ = cls.__name__
        fields = {
            name: ours.member(column.field, datamodel, required=name in cls._required)
            for name, column in terms.usable.items()
        }
        shape = core_schema.typed_dict_schema(
            fields,
            extra_behavior="forbid",
            ref=f"octavo.bodies.{cls.__name__}:{id(datamodel)}",
            metadata=ours.described(cls.__name__, terms.model.documentation, additionalProperties=False),
        )
        return core_schema.no_info_plain_validator_function(
            validate,
            json_schema_input_schema=shape,
            serialization=core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True),
        )


def _dumped(body: Any, info: Any) -> Any:
    """As Pydantic writes a body: a response that repeats one repeats no secret."""
    if not isinstance(body, Body):
        return body
    return body.model_dump(mode=info.mode, exclude=body._secret() if info.mode == "json" else None)


def _value(column: Column, datamodel: Datamodel, stored: Any, given: Any) -> Any:
    """Python's value of what a request gave."""
    field = column.field
    if field.is_json and not field.is_list:
        return given if given is not None else DbNull if field.nullable else JsonNull
    read = reader(field, datamodel)
    return stored if read is None else read(stored)


def _spelled(column: Column, value: Any) -> Any:
    if value is None or value is DbNull or value is JsonNull:
        return None
    return json_value(column.write(value))


class Types:
    """A schema's types, as attributes: ``Chat`` (a record), ``ChatCreate``, ``ChatUpdate``, and each enum."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._made: dict[str, Any] = {}
        self._making = Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        with self._making:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def __dir__(self) -> list[str]:
        models, enums = self._models(), self._vocabulary.datamodel.enums
        bodies = [model + kind for model in models for kind in (_CREATE, _UPDATE)]
        return [*models, *bodies, *(enum.name for enum in enums)]

    def _models(self) -> list[str]:
        return [m.name for m in self._vocabulary.datamodel.models if not m.ignored]

    def _make(self, name: str) -> Any:
        datamodel = self._vocabulary.datamodel
        models = self._models()
        if name in models:
            return record_type(datamodel.model(name), datamodel)
        for enum in datamodel.enums:
            if enum.name == name:
                return Literal[tuple(m.name for m in enum.members)]
        model, kind = name[:-6], name[-6:]
        if model in models and kind in (_CREATE, _UPDATE):
            return _body(name, self._vocabulary[model], datamodel, partial=kind == _UPDATE)
        raise AttributeError(f"the schema has no type {name}")


def _body(name: str, terms: Terms, datamodel: Datamodel, *, partial: bool) -> type[Body]:
    """As in the typed stub, a foreign key is not required: the program may give the relation."""
    linked = {field for link in terms.links.values() if link.holds_key for field in link.fields}
    required = frozenset() if partial else frozenset(terms.needed) - linked
    namespace = {
        "__doc__": terms.model.documentation,
        "__module__": "octavo.typed",
        "_terms": terms,
        "_datamodel": datamodel,
        "_required": required,
    }
    return type(name, (Body,), namespace)
