"""What the types of a schema are called in Python: by their Prisma names, unless those are taken.

The record of a model ``Client`` is ``ClientRecord``, an enum ``Sort`` is ``SortEnum``; the parts of a model
``Tag`` beside a model ``TagWhere`` are ``Tag_Where``, ``Tag_Create`` and so on.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from octavo.client import accessors
from octavo.query.vocabulary import Terms, Vocabulary

_PARTS = """
    Field Rest Where Unique Is One Data Create Changes Update NewOne NewMany EditOne EditOptional EditMany
    ShownOne ShownMany Include Select Order Counted Actions AsyncActions
"""
PARTS = tuple(_PARTS.split())
"""what a model's types are called, after its own name"""

CLIENTS = ("Client", "AsyncClient", "Models", "AsyncModels", "connect", "connect_async")
FILTERS = ("Filter", "OrNullFilter")
SCALARS = ("String", "Boolean", "Int", "BigInt", "Float", "Decimal", "Bytes", "DateTime", "Json")
TYPING = ("Any", "Literal", "NotRequired", "TypeAlias", "TypedDict", "Unpack", "overload")
_IMPORTED = ("BareRecord", "Counts", "Sequence", "datetime", "Decimal", "Opening", "Connecting")


@cache
def shapes_text() -> str:
    """The stub of what is the same for every model."""
    return files("octavo.typed").joinpath("shapes.pyi").read_text("utf-8")


@cache
def shapes() -> tuple[str, ...]:
    """The names in it."""
    return tuple(re.findall(r"^(?:class )?([A-Z]\w+)", shapes_text(), re.MULTILINE))


@cache
def _of_clients() -> frozenset[str]:
    """The names of a client's own methods, which no accessor can have."""
    _, _, connection = shapes_text().partition("class Scope:")
    return frozenset(re.findall(r"^    (?:async )?def ([a-z]\w*)", connection, re.MULTILINE))


def is_attribute(name: str) -> bool:
    """Whether this can stand after a dot."""
    return not keyword.iskeyword(name)


class Names:
    """The names of one schema's types."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        datamodel = vocabulary.datamodel
        self.models = [vocabulary[m.name] for m in datamodel.models if not m.ignored]
        self._taken = {*keyword.kwlist, *dir(builtins), *shapes(), *TYPING, *CLIENTS, *_IMPORTED}
        self._taken |= {scalar + part for scalar in SCALARS for part in FILTERS}
        self.record = {terms.name: self._free(terms.name, "Record") for terms in self.models}
        """the names of records, by model"""
        self.enum = {enum.name: self._free(enum.name, "Enum") for enum in datamodel.enums}
        self.of_enum = {enum.name: self._stem(enum.name, FILTERS) for enum in datamodel.enums}
        """what the names of an enum's filters begin with"""
        self.of = {terms.name: self._stem(terms.name, (*PARTS, *_compounds(terms))) for terms in self.models}
        """what the names of a model's other types begin with"""

    def _free(self, name: str, ending: str) -> str:
        while name in self._taken:
            name += ending
        self._taken.add(name)
        return name

    def _stem(self, name: str, parts: Iterable[str]) -> str:
        while any(name + part in self._taken for part in parts):
            name += "_"
        self._taken.update(name + part for part in parts)
        return name

    @property
    def accessors(self) -> dict[str, str]:
        """The models by their accessors, where a client has one for them."""
        found = accessors(terms.name for terms in self.models)
        return {
            name: models[0]
            for name, models in found.items()
            if len(models) == 1 and is_attribute(name) and name not in _of_clients()
        }


def _compounds(terms: Terms) -> list[str]:
    return [f"_{name}" for name, fields in terms.uniques.items() if len(fields) > 1]
