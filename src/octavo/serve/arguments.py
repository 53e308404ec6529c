"""From Prisma's JSON protocol to the arguments of the client's calls.

Values are tagged where JSON has no type of its own (``{"$type": "DateTime", "value": …}``), names are those
of the client's schema.  What a name or a structure gets wrong is refused here, in the protocol's terms;
values are checked where the client's calls are.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Raw

from octavo.query.arguments import FieldRef, camel, snake
from octavo.query.filters import LOGIC, operators, quantifiers
from octavo.query.writes import steps
from octavo.serve.refusals import (
    Place,
    data_fields,
    either,
    operator_fields,
    quantifier_fields,
    where_fields,
)
from octavo.serve.view import SeenField, SeenLink, SeenModel, View
from octavo.values.json import AnyNull, DbNull, JsonNull

_NULLS = {"DbNull": DbNull, "JsonNull": JsonNull, "AnyNull": AnyNull}
_TEXTS = ("DateTime", "BigInt", "Decimal", "Bytes")
"""tags of what Json has no type for: their texts stand for them"""
_AGGREGATES = ("_count", "_avg", "_sum", "_min", "_max")


def _text(given: Any) -> str:
    if type(given) is not str:
        raise TypeError
    return given


def _integer(given: Any) -> int:
    if type(given) not in (int, str):
        raise TypeError
    return int(given)


class Arguments:
    """Reads the arguments of queries on a view."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._tagged: dict[str, Callable[[Any], Any]] = {
            "DateTime": _text,
            "BigInt": _integer,
            "Decimal": Decimal,
            "Bytes": b64decode,
            "Enum": lambda value: _NULLS.get(value, _text(value)),
            "Json": lambda value: Raw(_text(value).encode()),
            "Raw": lambda value: value,
            "FieldRef": self._field_reference,
        }
        """how the value of each tag is read"""

    def plain(self, given: Any, at: Place) -> Any:
        """A value as the client's calls take it."""
        if type(given) is dict:
            if "$type" in given:
                return self._value_of(given, at)
            return {key: self.plain(value, at / key) for key, value in given.items()}
        if type(given) is list:
            return [self.plain(item, at / n) for n, item in enumerate(given)]
        return given

    def json(self, given: Any, at: Place) -> Any:
        """The value of a Json field: as it is, with what JSON has no type for in its usual spelling."""
        if type(given) is dict:
            if "$type" in given:
                value = self._value_of(given, at)
                return given["value"] if given["$type"] in _TEXTS else value
            return {key: self.json(value, at / key) for key, value in given.items()}
        return [self.json(item, at / n) for n, item in enumerate(given)] if type(given) is list else given

    def _value_of(self, given: dict[str, Any], at: Place) -> Any:
        """The value that stands with its tag."""
        kind = given["$type"]
        if type(kind) is not str or kind not in self._tagged or given.keys() != {"$type", "value"}:
            raise at.wrong_value(f"a value of type {kind} is not understood")
        try:
            return self._tagged[kind](given["value"])
        except (ArithmeticError, ValueError, TypeError, KeyError) as error:
            raise at.wrong_type(given, kind) from error

    def _field_reference(self, given: Mapping[str, str]) -> FieldRef:
        model = self.view[given["_container"]]
        return FieldRef(model.store_name, model.fields[given["_ref"]].name)

    # Filters.

    def where(self, model: SeenModel, given: Any, at: Place) -> Any:
        """A ``where``, also one that names a single record."""
        found = {}
        for key, value in at.object(given, f"{model.name}WhereInput").items():
            if (field := model.fields.get(key)) is not None:
                found[field.name] = self._filter(model, field, value, at / key)
            elif key in LOGIC:
                found[key] = self._logic(model, key, value, at / key)
            elif (link := model.links.get(key)) is not None:
                found[link.name] = self._related(link, value, at / key)
            elif key in model.uniques:
                name, _ = model.uniques[key]
                found[name] = self._compound(model, key, value, at / key)
            else:
                raise (at / key).unknown_field(f"{model.name}WhereInput", where_fields(model))
        return found

    def unique(self, model: SeenModel, given: Any, at: Place) -> Any:
        """A ``where`` that must name one record."""
        found = self.where(model, given, at)
        uniques = model.terms.uniques
        if not any(name in found for name in uniques):
            raise at.no_unique(model)
        return found

    def _logic(self, model: SeenModel, key: str, given: Any, at: Place) -> Any:
        if type(given) is list:
            return [self.where(model, item, at / n) for n, item in enumerate(given)]
        if key == "OR":
            raise at.wrong_type(given, f"{model.name}WhereInput[]")
        return self.where(model, given, at)

    def _compound(self, model: SeenModel, key: str, given: Any, at: Place) -> dict[str, Any]:
        _, fields = model.uniques[key]
        at.object(given, f"{model.name}{key[:1].upper()}{key[1:]}CompoundUniqueInput")
        for name in given:
            if name not in fields:
                raise (at / name).unknown_field(f"{model.name}{key}CompoundUniqueInput", ())
        for name in fields:
            if given.get(name) is None:
                raise (at / name).missing(model.fields[name].field.type)
        return {model.fields[name].name: self.plain(value, at / name) for name, value in given.items()}

    def _filter(self, model: SeenModel, field: SeenField, given: Any, at: Place) -> Any:
        if type(given) is not dict or "$type" in given:
            if field.field.is_json and given is None:
                raise at.missing(f"{field.field.type}Filter")
            return self.json(given, at) if field.field.is_json else self.plain(given, at)
        known = operators(model.terms.columns[field.name])
        found = {}
        for key, value in given.items():
            if snake(key) not in known and key not in _AGGREGATES:
                raise (at / key).unknown_field(f"{field.field.type}Filter", operator_fields(field, model))
            if field.field.is_json and key not in ("path", "mode"):
                found[key] = JsonNull if value is None else self.json(value, at / key)
            elif key == "not" and type(value) is dict and "$type" not in value:
                found[key] = self._filter(model, field, value, at / key)
            elif key == "has" and value is None:
                # No list has NULL for an element.
                found["has_some"] = []
            else:
                found[key] = self.plain(value, at / key)
        return found

    def _related(self, link: SeenLink, given: Any, at: Place) -> Any:
        if given is None:
            return None
        at.object(given, f"{link.field.model}WhereInput")
        known, target = quantifiers(link.link), link.target
        if not link.field.is_list and not all(snake(key) in known for key in given):
            # A filter of the record itself, whose record must be there.
            return {"is": self.where(target, given, at)}
        found = {}
        for key, value in given.items():
            if snake(key) not in known:
                raise (at / key).unknown_field(f"{target.name}ListRelationFilter", quantifier_fields(link))
            found[key] = None if value is None else self.where(target, value, at / key)
        return found

    # Orders and names.

    def order(self, model: SeenModel, given: Any, at: Place) -> Any:
        """An ``orderBy``: one term or a list of them."""
        if type(given) is list:
            return [self._term(model, item, at / n) for n, item in enumerate(given)]
        return self._term(model, given, at)

    def _term(self, model: SeenModel, given: Any, at: Place) -> Any:
        at.object(given, f"{model.name}OrderByWithRelationInput")
        if len(given) > 1:
            raise at.too_many(f"{model.name}OrderByWithRelationInput", given)
        found: dict[str, Any] = {}
        for key, value in given.items():
            if (field := model.fields.get(key)) is not None:
                found[field.name] = value
            elif key in _AGGREGATES:
                found[key] = self.renamed(model, value, at / key) if type(value) is dict else value
            elif (link := model.links.get(key)) is not None:
                found[link.name] = self._term(link.target, value, at / key)
            else:
                known = [(name, ["SortOrder"]) for name in (*model.fields, *model.links)]
                raise (at / key).unknown_field(f"{model.name}OrderByWithRelationInput", known)
        return found

    def renamed(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        """An object whose keys are fields."""
        return {self.field(model, key, at / key): value for key, value in given.items()}

    def field(self, model: SeenModel, name: Any, at: Place) -> str:
        """A field by its name."""
        if type(name) is not str:
            raise at.wrong_type(name, f"{model.name}ScalarFieldEnum")
        if (found := model.fields.get(name)) is None:
            raise at.wrong_value("unknown field", f"{model.name}ScalarFieldEnum")
        return found.name

    def names(self, model: SeenModel, given: Any, at: Place) -> list[str]:
        """A list of fields; one may stand for itself."""
        listed = given if type(given) is list else [given]
        return [self.field(model, name, at / n) for n, name in enumerate(listed)]

    def having(self, model: SeenModel, given: Any, at: Place) -> Any:
        """A ``having``: a filter of groups."""
        found: dict[str, Any] = {}
        for key, value in at.object(given, f"{model.name}ScalarWhereWithAggregatesInput").items():
            if key in LOGIC:
                several = type(value) is list
                found[key] = (
                    [self.having(model, item, at / key / n) for n, item in enumerate(value)]
                    if several
                    else self.having(model, value, at / key)
                )
            else:
                found[self.field(model, key, at / key)] = self.plain(value, at / key)
        return found

    # Data.

    def data(
        self, model: SeenModel, given: Any, at: Place, *, over: SeenLink | None = None, new: bool
    ) -> Any:
        """The data of a record that is made (``new``; perhaps in another one, over a relation) or changed."""
        found: dict[str, Any] = {}
        for key, value in at.object(given, f"{model.name}{'Create' if new else 'Update'}Input").items():
            if (field := model.fields.get(key)) is not None:
                found[field.name] = self._value(field, value, at / key)
            elif (link := model.links.get(key)) is not None:
                found[link.name] = self._nested(link, value, at / key, new=new)
            else:
                name = f"{model.name}{'Create' if new else 'Update'}Input"
                raise (at / key).unknown_field(name, data_fields(model))
        if new:
            self._check_needed(model, found, at, over)
        return found

    def _value(self, field: SeenField, given: Any, at: Place) -> Any:
        if not field.field.is_json:
            return self.plain(given, at)
        if not field.field.is_list:
            return JsonNull if given is None else self.json(given, at)
        if type(given) is dict:
            # A list that is pushed is one value, as any other Json.
            read = {key: self.json(value, at / key) for key, value in given.items()}
            return {key: [value] if key == "push" else value for key, value in read.items()}
        return self.json(given, at)

    def _check_needed(
        self, model: SeenModel, given: Mapping[str, Any], at: Place, over: SeenLink | None
    ) -> None:
        terms = model.terms
        supplied: set[str] = set()
        if over is not None and not over.link.holds_key and not over.link.join:
            supplied |= {*over.link.references}
        for link in terms.links.values():
            if link.holds_key and link.name in given:
                supplied |= {*link.fields}
        missing = [name for name in terms.needed if name not in given and name not in supplied]
        if not missing:
            return
        names = {field.name: name for name, field in model.fields.items()}
        keys = {
            name: link for link in model.links.values() if link.link.holds_key for name in link.link.fields
        }
        # As the engine tries both ways to spell a record: with relations, and with their keys.
        plain = [name for name in missing if name not in keys]
        relation = next((n for n, s in model.links.items() if keys.get(missing[0]) is s), None)
        unchecked = (at / names.get(missing[0], missing[0])).missing(
            model.terms.columns[missing[0]].field.type
        )
        if plain:
            checked = (at / names.get(plain[0], plain[0])).missing(model.terms.columns[plain[0]].field.type)
            raise checked if plain[0] == missing[0] else either(checked, unchecked)
        assert relation is not None
        raise either(
            (at / relation).missing(f"{model.links[relation].field.model}CreateNestedInput"), unchecked
        )

    def _nested(self, link: SeenLink, given: Any, at: Place, *, new: bool) -> Any:
        known = steps(link.link, new=new)
        found: dict[str, Any] = {}
        for key, value in at.object(given, f"{link.field.model}NestedInput").items():
            if (name := snake(key)) not in known:
                options = [(camel(step), [link.field.model]) for step in known]
                raise (at / key).unknown_field(f"{link.field.model}NestedInput", options)
            found[name] = self._step(link, name, value, at / key)
        return found

    def _step(self, link: SeenLink, name: str, given: Any, at: Place) -> Any:
        if name == "create_many":
            return self.rows(link.target, given, at, over=link)
        if type(given) is list:
            return [self._step(link, name, item, at / n) for n, item in enumerate(given)]
        if name == "create":
            return self.data(link.target, given, at, over=link, new=True)
        if name in ("disconnect", "delete") and type(given) is bool:
            return given
        if name in ("connect", "set", "disconnect", "delete", "delete_many"):
            one = name in ("connect", "set") or (link.field.is_list and name != "delete_many")
            return (self.unique if one else self.where)(link.target, given, at)
        return self._parted(link, name, given, at)

    def _parted(self, link: SeenLink, name: str, given: Any, at: Place) -> dict[str, Any]:
        """A step that consists of a ``where`` and data."""
        target = link.target
        parts = self._parts(link, name, given, at)
        if parts is None:
            found: dict[str, Any] = self.data(target, given, at, new=False)
            return found
        found = {}
        for key, value in parts.items():
            if key == "where":
                one = (link.field.is_list and name != "update_many") or name == "connect_or_create"
                found[key] = (self.unique if one else self.where)(target, value, at / key)
            else:
                new = key == "create"
                found[key] = self.data(target, value, at / key, over=link if new else None, new=new)
        return found

    def _parts(self, link: SeenLink, name: str, given: Any, at: Place) -> dict[str, Any] | None:
        """The named parts of a step; None of an update that is its data alone."""
        known = {
            "connect_or_create": ("where", "create"),
            "update": ("where", "data"),
            "update_many": ("where", "data"),
            "upsert": ("where", "create", "update"),
        }[name]
        parts = at.object(given, f"{link.field.model}NestedInput")
        if name == "update" and not link.field.is_list:
            names = (*link.target.fields, *link.target.links)
            wrapped = type(parts.get("data")) is dict and parts.keys() <= {"where", "data"}
            if not wrapped or ("data" in names and not parts["data"].keys() <= set(names)):
                return None
        for key in parts:
            if key not in known:
                raise (at / key).unknown_field(f"{link.field.model}NestedInput", [(k, []) for k in known])
        optional = () if link.field.is_list or name == "connect_or_create" else ("where",)
        for key in known:
            if key not in parts and key not in optional:
                raise (at / key).missing(link.field.model)
        return parts

    def rows(
        self, model: SeenModel, given: Any, at: Place, *, over: SeenLink | None = None
    ) -> dict[str, Any]:
        """What a ``createMany`` takes."""
        at.object(given, f"{model.name}CreateManyInputEnvelope")
        if "data" not in given:
            raise (at / "data").missing(f"{model.name}CreateManyInput")
        rows = given["data"] if type(given["data"]) is list else [given["data"]]
        found: dict[str, Any] = {
            "data": [self._row(model, row, at / "data" / n, over) for n, row in enumerate(rows)]
        }
        for key, value in given.items():
            if key == "skipDuplicates":
                found["skip_duplicates"] = value
            elif key != "data":
                raise (at / key).unknown_argument(("data", "skipDuplicates"))
        return found

    def _row(self, model: SeenModel, given: Any, at: Place, over: SeenLink | None) -> Any:
        if type(given) is dict:
            for key in given:
                if key not in model.fields:
                    known = [(name, [f.field.type]) for name, f in model.fields.items()]
                    raise (at / key).unknown_field(f"{model.name}CreateManyInput", known)
        return self.data(model, given, at, over=over, new=True)
