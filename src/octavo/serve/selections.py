"""From a selection of Prisma's JSON protocol to what a call includes, and what an answer shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavo.serve.arguments import Arguments
from octavo.serve.refusals import Place, Refused, input_error
from octavo.serve.results import Shape
from octavo.serve.view import SeenField, SeenLink, SeenModel

_WHOLE = {"$composites", "$scalars"}
MANY = ("where", "orderBy", "cursor", "take", "skip", "distinct", "relationLoadStrategy")


def whole(given: Any, at: Place) -> int:
    """A number of records.  Raises Refused."""
    if type(given) not in (int, float):
        raise at.wrong_type(given, "Int")
    number = int(given)
    if number < 0 and at.arguments[-1] == "skip":
        said = f"Invalid value for skip argument: Value can only be positive, found: {number}"
        raise Refused(said, {}, "")
    if number < 0 and at.arguments[-1] == "limit":
        raise input_error(f"Provided limit ({number}) must be a positive integer.")
    return number


class Selections:
    """Reads selections, and the arguments that they contain."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self._whole: dict[str, Shape] = {}
        """how whole records are shown, by model"""

    def records(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> tuple[dict[str, Any], Shape]:
        """What is included with records, and how they are shown."""
        if given.keys() == _WHOLE and given["$scalars"] is True:
            if (known := self._whole.get(model.name)) is None:
                known = self._whole[model.name] = self._records(model, given, at)[1]
            return {}, known
        return self._records(model, given, at)

    def _records(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> tuple[dict[str, Any], Shape]:
        fields: dict[str, SeenField] = {}
        include: dict[str, Any] = {}
        relations: list[tuple[str, str, Shape, bool]] = []
        counts: list[tuple[str, str]] | None = None
        if given.get("$scalars"):
            fields = {
                name: field for name, field in model.fields.items() if field.field.kind != "unsupported"
            }
        for name, wanted in given.items():
            if name in ("$scalars", "$composites"):
                continue
            if (field := model.fields.get(name)) is not None:
                if wanted is False:
                    fields.pop(name, None)
                elif wanted is True:
                    fields[name] = field
                else:
                    inner = at.within(name)
                    selected = inner.part(inner.object(wanted, "Boolean"), "selection")
                    raise inner.unknown_selection(next(iter(selected), ""), model)
            elif name == "_count":
                if wanted is not False:
                    include["_count"], counts = self._counts(model, wanted, at.within(name))
            elif (link := model.links.get(name)) is None:
                raise at.unknown_selection(name, model)
            elif wanted is not False:
                query = {} if wanted is True else at.within(name).object(wanted, "Boolean", "Object")
                include[link.name], shape = self._related(link, query, at.within(name))
                relations.append((name, link.name, shape, link.field.is_list))
        if not (fields or relations or counts):
            raise at.empty_selection(model)
        related = {name for name, *_ in relations} | ({"_count"} if counts else set())
        order = [name for name in given if name in related or (name in fields and "$scalars" not in given)]
        if "$scalars" in given:
            order = [*fields, *order]
        return include, Shape(model.name, list(fields.items()), relations, counts, order)

    def _related(self, link: SeenLink, query: Mapping[str, Any], at: Place) -> tuple[Any, Shape]:
        target, given = link.target, at.part(query, "arguments")
        found = self.finding(target, given, at) if link.field.is_list else self._one(target, given, at)
        selection = at.part(query, "selection") or {"$scalars": True}
        include, shape = self.records(target, selection, at)
        if include:
            found["include"] = include
        return found or True, shape

    def _one(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        for name in given:
            if name != "where":
                raise (at / name).unknown_argument(("where",))
        return self._where(model, given, at)

    def _where(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        if "where" not in given:
            return {}
        return {"where": self.arguments.where(model, given["where"], at / "where")}

    def finding(self, model: SeenModel, given: Mapping[str, Any], at: Place) -> dict[str, Any]:
        """The arguments of a reading of many records."""
        read, found = self.arguments, {}
        for name, value in given.items():
            match name:
                case "where":
                    found["where"] = read.where(model, value, at / name)
                case "orderBy":
                    found["order_by"] = read.order(model, value, at / name)
                case "cursor":
                    found["cursor"] = read.unique(model, value, at / name)
                case "take" | "skip":
                    found[name] = whole(value, at / name)
                case "distinct":
                    found["distinct"] = read.names(model, value, at / name)
                case "relationLoadStrategy":
                    pass
                case _:
                    raise (at / name).unknown_argument(MANY)
        return found

    def _counts(self, model: SeenModel, wanted: Any, at: Place) -> tuple[Any, list[tuple[str, str]]]:
        lists = {name: link for name, link in model.links.items() if link.field.is_list}
        asked = {} if wanted is True else at.object(wanted, "Boolean", "Object")
        selection: Mapping[str, Any] = at.part(asked, "selection")
        if wanted is True or selection.get("$scalars"):
            selection = {**dict.fromkeys(lists, True), **selection}
        select: dict[str, Any] = {}
        shown: list[tuple[str, str]] = []
        for name, value in selection.items():
            if name in ("$scalars", "$composites") or value is False:
                continue
            if (link := lists.get(name)) is None:
                raise at.unknown_selection(name, model)
            inner = at.within(name)
            given = {} if value is True else inner.part(inner.object(value, "Boolean", "Object"), "arguments")
            select[link.name] = self._where(link.target, given, inner) or True
            shown.append((name, link.name))
        if not shown:
            raise at.empty_selection(model)
        return {"select": select}, shown
