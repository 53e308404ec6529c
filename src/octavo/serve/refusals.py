"""What Prisma's engine says of an invalid query: the errors of its JSON protocol.

The client makes a ``PrismaClientValidationError`` of them, and shows from ``meta`` where in the arguments the
mistake is, and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from octavo.query.arguments import camel
from octavo.query.filters import operators, quantifiers
from octavo.schema.datamodel import Arity
from octavo.serve.view import SeenField, SeenLink, SeenModel

Path: TypeAlias = tuple[str, ...]
REQUEST = "request"
"""what stands in a path for a request whose query is not known"""


class Refused(Exception):
    """An error in the protocol's own terms: a query that is invalid, or a transaction that is over."""

    def __init__(self, message: str, meta: dict[str, Any], code: str = "P2009") -> None:
        super().__init__(message)
        self.message, self.meta, self.code = message, meta, code


class Place:
    """Where in a query something stands: the path of selections, and that of arguments within it."""

    __slots__ = ("arguments", "selection")

    def __init__(self, selection: Path, arguments: Path = ()) -> None:
        self.selection, self.arguments = selection, arguments

    def __truediv__(self, name: str | int) -> Place:
        return Place(self.selection, (*self.arguments, str(name)))

    def within(self, selected: str) -> Place:
        """The place of a selection within this one."""
        return Place((*self.selection, selected))

    def _meta(self, kind: str, **more: Any) -> dict[str, Any]:
        return {
            "kind": kind,
            "selectionPath": list(self.selection),
            "argumentPath": list(self.arguments),
            **more,
        }

    @property
    def _text(self) -> str:
        return ".".join((*self.selection, *self.arguments))

    def object(self, given: Any, *expected: str) -> dict[str, Any]:
        """A value that must be an object; ``expected`` is what its type is called.  Raises Refused."""
        if type(given) is not dict:
            raise self.wrong_type(given, *(expected or ("Object",)))
        return given

    def part(self, given: Mapping[str, Any], name: str) -> dict[str, Any]:
        """An object under a name, which is empty if it is left out.  Raises Refused."""
        found = given.get(name)
        if type(found) is dict:
            return found
        return {} if found is None else (self / name).object(found)

    # One function for each kind of error.

    def unknown_argument(self, known: Iterable[str]) -> Refused:
        """An operation has no argument of this name."""
        options = [{"name": name, "typeNames": []} for name in known]
        return Refused(
            "Argument does not exist in enclosing type", self._meta("UnknownArgument", arguments=options)
        )

    def unknown_field(self, type_name: str, known: Iterable[tuple[str, Sequence[str]]]) -> Refused:
        """An input object has no key of this name; ``known``: its keys, with their types."""
        fields = [{"name": name, "typeNames": list(types), "required": False} for name, types in known]
        described = {"kind": "object", "name": type_name, "fields": fields}
        return Refused(
            f"`{self._text}`: Field does not exist in enclosing type.",
            self._meta("UnknownInputField", inputType=described),
        )

    def unknown_selection(self, name: str, model: SeenModel) -> Refused:
        """A field is selected that a model does not have."""
        meta = self.within(name)._meta("UnknownSelectionField", outputType=output_type(model))
        return Refused(f"Field '{name}' not found in enclosing type '{model.name}'", meta)

    def empty_selection(self, model: SeenModel, name: str = "") -> Refused:
        """Nothing of a model is selected, or (``name``) of what is computed over its records."""
        shown = output_type(model)
        meta = self._meta("EmptySelection", outputType={**shown, "name": name or shown["name"]})
        return Refused("Expected a minimum of 1 field to be present, got 0", meta)

    def missing(self, *kinds: str) -> Refused:
        """A required argument is not given, or null."""
        types = [{"kind": "scalar", "name": kind} for kind in kinds]
        meta = self._meta("RequiredArgumentMissing", inputTypes=types)
        return Refused(f"`{'.'.join(self.arguments)}`: A value is required but not set", meta)

    def wrong_type(self, given: Any, *expected: str) -> Refused:
        """A value is of none of the expected types."""
        name = self.arguments[-1] if self.arguments else self.selection[-1]
        types = ", ".join(f"`{kind}`" for kind in expected)
        return Refused(
            f"Invalid argument type. `{name}` should be of any of the following types: {types}",
            self._meta(
                "InvalidArgumentType",
                argument={"name": name, "typeNames": list(expected)},
                inferredType=inferred(given),
            ),
        )

    def wrong_value(self, reason: str, *expected: str) -> Refused:
        """A value of a possible type is invalid."""
        name = self.arguments[-1] if self.arguments else self.selection[-1]
        return Refused(
            f"Invalid argument value. `{name}`: {reason}",
            self._meta(
                "InvalidArgumentValue",
                argument={"name": name, "typeNames": list(expected)},
                underlyingError=reason,
            ),
        )

    def no_unique(self, model: SeenModel) -> Refused:
        """A ``where`` that must name one record names no unique."""
        names = tuple(unique_names(model))
        fields = [{"name": n, "typeNames": t, "required": False} for n, t in where_fields(model)]
        described = {"kind": "object", "name": f"{model.name}WhereUniqueInput", "fields": fields}
        limits = {"minFieldCount": 1, "maxFieldCount": None, "requiredFields": list(names)}
        return Refused(
            f"Some fields are missing: Expected a minimum of 1 fields of ({', '.join(names)})"
            " to be present, got 0.",
            self._meta("SomeFieldsMissing", inputType=described, constraints=limits),
        )

    def too_many(self, type_name: str, given: Iterable[str]) -> Refused:
        """An input object that takes one key has several."""
        fields = [{"name": name, "typeNames": [], "required": False} for name in given]
        described = {"kind": "object", "name": type_name, "fields": fields}
        limits = {"minFieldCount": 0, "maxFieldCount": 1, "requiredFields": None}
        return Refused(
            f"`{self._text}`: Too many fields given",
            self._meta("TooManyFieldsGiven", inputType=described, constraints=limits),
        )


def input_error(details: str) -> Refused:
    """The error of a query that is well formed and has no meaning."""
    return Refused(f"Input error. {details}", {"details": details}, "P2019")


def nested_too_deeply(name: str = REQUEST) -> Refused:
    """The error of a query that is nested beyond what can be read."""
    return Place((name,)).wrong_value("is nested too deeply")


def either(*errors: Refused) -> Refused:
    """The error of a value that fits none of the possible types."""
    if len(errors) == 1:
        return errors[0]
    said = ", ".join(error.message for error in errors)
    return Refused(
        f"Unable to match input value to any allowed input type for the field. Parse errors: [{said}]",
        {"kind": "Union", "errors": [error.meta for error in errors]},
    )


def unique_names(model: SeenModel) -> Iterable[str]:
    """What a ``where`` can tell one record by, in the client's names."""
    stored = {fields[0] for fields in model.terms.uniques.values() if len(fields) == 1}
    return (*(n for n, f in model.fields.items() if f.name in stored), *model.uniques)


def filter_types(field: SeenField) -> list[str]:
    """The types of a filter of a field."""
    kind = field.field.type
    null = "Nullable" if field.field.arity is Arity.OPTIONAL else ""
    if field.field.is_list:
        return [f"{kind}{null}ListFilter"]
    if field.field.is_json:
        return [f"Json{null}Filter"]
    name = f"Enum{kind}{null}Filter" if field.field.kind == "enum" else f"{kind}{null}Filter"
    return [name, kind, *(["Null"] if null else [])]


def where_fields(model: SeenModel) -> list[tuple[str, list[str]]]:
    """The names of a ``where``, and the types of their values."""
    own = f"{model.name}WhereInput"
    found = [("AND", [own, f"{own}[]"]), ("OR", [f"{own}[]"]), ("NOT", [own, f"{own}[]"])]
    found += [(name, filter_types(field)) for name, field in model.fields.items()]
    for name, link in model.links.items():
        target = link.field.model
        found.append(
            (name, [f"{target}ListRelationFilter"] if link.field.is_list else [f"{target}WhereInput"])
        )
    return found


def data_fields(model: SeenModel) -> list[tuple[str, list[str]]]:
    """The names of ``data``, and the types of their values."""
    found = [(name, [field.field.type]) for name, field in model.fields.items()]
    return [*found, *((name, [link.field.model]) for name, link in model.links.items())]


def operator_fields(field: SeenField, model: SeenModel) -> list[tuple[str, list[str]]]:
    """The operators of a filter of a field, and the types of their values."""
    kind = field.field.type
    names = operators(model.terms.columns[field.name])
    listed = ("in", "not_in", "has_every", "has_some")
    return [(camel(name), [f"{kind}[]" if name in listed else kind]) for name in names]


def quantifier_fields(link: SeenLink) -> list[tuple[str, list[str]]]:
    """The quantifiers of a filter of a relation, and the types of their values."""
    return [(camel(name), [f"{link.field.model}WhereInput"]) for name in quantifiers(link.link)]


def output_type(model: SeenModel) -> dict[str, Any]:
    """A model as the protocol describes what can be selected of it."""
    fields = [
        {"name": name, "typeName": field.field.type, "isRelation": False}
        for name, field in model.fields.items()
    ]
    fields += [
        {
            "name": name,
            "typeName": f"{link.field.model}{'[]' if link.field.is_list else ''}",
            "isRelation": True,
        }
        for name, link in model.links.items()
    ]
    if any(link.field.is_list for link in model.links.values()):
        counted = f"{model.name}CountOutputType"
        fields.append({"name": "_count", "typeName": counted, "isRelation": False})
    return {"name": model.name, "fields": fields}


def inferred(given: Any) -> str:
    """What the engine calls the type of a value."""
    if isinstance(given, dict) and isinstance(given.get("$type"), str):
        return str(given["$type"])
    if isinstance(given, list):
        kinds = list(dict.fromkeys(inferred(item) for item in given))
        return f"({', '.join(kinds)})[]" if len(kinds) > 1 else f"{kinds[0] if kinds else ''}[]"
    names = {bool: "Boolean", str: "String", int: "Int", float: "Float", type(None): "Null", dict: "Object"}
    return names.get(type(given), "Object")
