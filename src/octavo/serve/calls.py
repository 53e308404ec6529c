"""From a query of Prisma's JSON protocol to a call of the client, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from octavo.query.raw import RawResult
from octavo.serve.arguments import Arguments
from octavo.serve.raw import parameters, rows
from octavo.serve.refusals import REQUEST, Place, Refused, input_error
from octavo.serve.results import Shape, value_of
from octavo.serve.selections import Selections, whole
from octavo.serve.view import SeenField, SeenModel, View

_OPERATIONS = {
    "findUnique": "find_unique",
    "findUniqueOrThrow": "find_unique_or_raise",
    "findFirst": "find_first",
    "findFirstOrThrow": "find_first_or_raise",
    "findMany": "find_many",
    "createOne": "create",
    "createMany": "create_many",
    "createManyAndReturn": "create_many_and_return",
    "updateOne": "update",
    "updateMany": "update_many",
    "updateManyAndReturn": "update_many_and_return",
    "upsertOne": "upsert",
    "deleteOne": "delete",
    "deleteMany": "delete_many",
}
_AGGREGATES = ("_count", "_avg", "_sum", "_min", "_max")


class Call(NamedTuple):
    """A call of the client: ``db[model].operation(**arguments)``."""

    name: str
    """the query as answers and logs name it: ``findManyChat``"""
    model: SeenModel | None
    operation: str
    arguments: dict[str, Any]
    answer: Callable[[Any], Any]
    """from what the call gives to what goes out"""
    shape: Shape | None = None
    """of an answer of many records"""

    @property
    def key(self) -> str:
        """The member of the answer, by which the client tells results of raw queries."""
        return self.operation if self.model is None else self.name


class Calls:
    """Reads the queries of one view."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._arguments = Arguments(view)
        self._selections = Selections(self._arguments)

    def read(self, query: Any) -> Call:
        """The call that a query means.  Raises Refused."""
        named = Place((REQUEST,)).object(query)
        action, model_name = named.get("action"), named.get("modelName")
        if type(action) is not str:
            raise Place((REQUEST,), ("action",)).wrong_type(action, "String")
        if model_name is not None and type(model_name) is not str:
            raise Place((REQUEST,), ("modelName",)).wrong_type(model_name, "String")
        name = f"{action}{model_name or ''}"
        at = Place((name,))
        asked = named.get("query")
        if type(asked) is not dict:
            raise (at / "query").wrong_type(asked, "Object")
        given, selection = at.part(asked, "arguments"), at.part(asked, "selection")
        if model_name is None:
            return self._raw(action, given)
        if model_name not in self.view:
            raise Refused(f"Operation '{action}' for model '{model_name}' does not match any query.", {}, "")
        model = self.view[model_name]
        if action in ("aggregate", "groupBy"):
            return self._aggregate(name, action, model, (given, selection), at)
        if action not in _OPERATIONS:
            raise Refused(f"Operation '{action}' for model '{model_name}' does not match any query.", {}, "")
        arguments = self._read(action, model, given, at)
        operation = _OPERATIONS[action]
        if action in ("createMany", "updateMany", "deleteMany"):
            return Call(name, model, operation, arguments, _count)
        include, shape = self._selections.records(model, selection, at)
        if include:
            arguments["include"] = include
        if action in ("findMany", "createManyAndReturn", "updateManyAndReturn"):
            return Call(name, model, operation, arguments, partial(_many, shape), shape)
        return Call(name, model, operation, arguments, shape.shown)

    def _read(self, action: str, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        if action in ("findMany", "findFirst", "findFirstOrThrow"):
            found = self._selections.finding(model, given, at)
            if action != "findMany" and found.get("take") not in (None, 1, -1):
                said = "cannot be used with a 'take' argument that isn't 1 or -1"
                raise input_error(f"The '{action}' operation {said}")
            return found
        if action in ("createMany", "createManyAndReturn"):
            return self._arguments.rows(model, given, at)
        read = self._arguments
        known: dict[str, Callable[[Any, Place], Any]] = {
            "where": partial(
                read.where if action.startswith(("updateMany", "deleteMany")) else read.unique, model
            ),
            "data": partial(read.data, model, new=action == "createOne"),
            "create": partial(read.data, model, new=True),
            "update": partial(read.data, model, new=False),
            "limit": whole,
        }
        wanted = _TAKEN[action]
        found = {}
        for name, value in given.items():
            if name in wanted:
                found[name] = known[name](value, at / name)
            elif name != "relationLoadStrategy":
                raise (at / name).unknown_argument(wanted)
        for name in _NEEDED.get(action, ()):
            if name not in found:
                missing = (at / name).missing(f"{model.name}{name.title()}Input")
                missing.code = "P2012"
                raise missing
        return found

    def _aggregate(self, name: str, action: str, model: SeenModel, query: tuple[Any, Any], at: Place) -> Call:
        given, selection = query
        plain = {key: value for key, value in given.items() if key not in ("by", "having")}
        arguments = self._selections.finding(model, plain, at)
        by = self._by(model, given, at) if action == "groupBy" else {}
        shown: dict[str, dict[str, SeenField | None]] = {}
        for key, wanted in selection.items():
            if key in _AGGREGATES:
                shown[key] = self._computed(model, wanted, at.within(key))
                arguments[key] = {"_all" if f is None else f.name: True for f in shown[key].values()}
        if action == "aggregate":
            if not shown:
                raise at.empty_selection(model, f"Aggregate{model.name}")
            return Call(name, model, "aggregate", arguments, partial(_aggregated, shown))
        arguments["by"] = [field.name for field in by.values()]
        if "having" in given:
            arguments["having"] = self._arguments.having(model, given["having"], at / "having")
        keys = {key: by[key] for key in selection if key in by}
        order = [key for key in selection if key in keys or key in shown]
        return Call(name, model, "group_by", arguments, partial(_groups, order, keys, shown))

    def _by(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, SeenField]:
        """The fields by whose values records are grouped.  Raises Refused."""
        names = given.get("by", [])
        listed = names if type(names) is list else [names]
        self._arguments.names(model, listed, at / "by")
        if not listed:
            raise input_error("At least one selection is required for the `by` argument.")
        order = given.get("orderBy") or []
        terms = [key for term in (order if type(order) is list else [order]) for key in term]
        missing = [key for key in terms if key in model.fields and key not in listed]
        if not terms and ("take" in given or "skip" in given):
            missing = [name for name, field in model.fields.items() if field.name in model.terms.key]
        if missing:
            said = "Every field used for orderBy must be included in the by-arguments of the query."
            raise input_error(f"{said} Missing fields: {', '.join(missing)}")
        return {name: model.fields[name] for name in listed}

    def _computed(self, model: SeenModel, wanted: Any, at: Place) -> dict[str, SeenField | None]:
        """The fields that something is computed of; None: all records together."""
        found: dict[str, SeenField | None] = {}
        for name, on in at.part(at.object(wanted), "selection").items():
            if on and name != "_all" and name not in model.fields:
                raise at.unknown_selection(name, model)
            if on:
                found[name] = None if name == "_all" else model.fields[name]
        if not found:
            raise at.empty_selection(
                model, f"{model.name}{at.selection[-1].strip('_').title()}AggregateOutputType"
            )
        return found

    def _raw(self, action: str, given: Mapping[str, Any]) -> Call:
        if action not in ("queryRaw", "executeRaw"):
            raise Refused(f"Operation '{action}' does not match any query.", {}, "")
        asked = {"query": given.get("query"), "parameters": parameters(given.get("parameters"))}
        answer = rows if action == "queryRaw" else _affected
        return Call(action, None, action, {**asked, "writes": action == "executeRaw"}, answer)


_TAKEN = {
    "findUnique": ("where",),
    "findUniqueOrThrow": ("where",),
    "createOne": ("data",),
    "updateOne": ("data", "where"),
    "updateMany": ("data", "where", "limit"),
    "updateManyAndReturn": ("data", "where", "limit"),
    "upsertOne": ("where", "create", "update"),
    "deleteOne": ("where",),
    "deleteMany": ("where", "limit"),
}
_NEEDED = {
    "findUnique": ("where",),
    "findUniqueOrThrow": ("where",),
    "updateOne": ("data", "where"),
    "updateMany": ("data",),
    "updateManyAndReturn": ("data",),
    "upsertOne": ("where", "create", "update"),
    "deleteOne": ("where",),
}


def _affected(result: RawResult) -> int:
    return result.affected


def _count(number: int) -> dict[str, int]:
    return {"count": number}


def _many(shape: Shape, records: list[Any]) -> list[Any]:
    return [shape.shown(record) for record in records]


def _aggregated(shown: Mapping[str, Mapping[str, SeenField | None]], found: Any) -> dict[str, Any]:
    return {
        kind: {
            name: found[kind]["_all"] if field is None else _computed(kind, field, found[kind][field.name])
            for name, field in fields.items()
        }
        for kind, fields in shown.items()
    }


def _computed(kind: str, field: SeenField, value: Any) -> Any:
    return value if kind in ("_count", "_avg") and type(value) is not Decimal else value_of(value, field)


def _groups(
    order: Sequence[str],
    by: Mapping[str, SeenField],
    shown: Mapping[str, Mapping[str, SeenField | None]],
    found: list[Any],
) -> list[dict[str, Any]]:
    groups = []
    for group in found:
        keys = {name: value_of(group[field.name], field) for name, field in by.items()}
        members = {**keys, **_aggregated(shown, group)}
        groups.append({name: members[name] for name in order})
    return groups
