"""What the new records are checked for: the keys, uniques and foreign keys that a change touches.

What was so before and is not touched was checked when it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from octavo.evolve.change import ModelChange
from octavo.evolve.matching import Matching
from octavo.evolve.steps import Step
from octavo.inspect.integrity import Gathered, Rule, Violation
from octavo.layout.codec import Values
from octavo.layout.layout import Layout
from octavo.layout.record import Record, attribute
from octavo.schema.datamodel import IndexKind, Model, Relation
from octavo.values.registry import value_type

_Name: TypeAlias = tuple[Rule, str, tuple[str, ...]]


class Checks:
    """The rules that are checked, each with the step that it belongs to."""

    def __init__(
        self, matching: Matching, layouts: tuple[Layout, Layout], changes: Mapping[str, ModelChange]
    ) -> None:
        """``layouts``: the old one and the new one; a record that moves to its parent needs one."""
        self._matching, (self._old, self._layout), self._changes = matching, layouts, changes
        self._rules: dict[_Name, Step] = {}
        self.models: set[str] = set()
        """the models whose records are gathered"""
        self.steps: list[Step] = []
        """those that only these rules are about"""
        for name in changes:
            self._uniques(matching.new.model(name))
        for relation in matching.new.foreign_keys:
            self._reference(relation)

    def _touched(self, model: str, fields: Iterable[str]) -> bool:
        change = self._changes.get(model)
        return change is not None and not change.touched.isdisjoint(fields)

    def _add(self, name: _Name, change: str, means: str, *, is_new: bool) -> None:
        _, model, fields = name
        step = Step(subject=f"{model}({', '.join(fields)})", change=change, means=means)
        self._rules[name] = step
        self.models.add(model)
        if is_new:
            self.steps.append(step)

    def _before(self, model: Model, fields: Iterable[str]) -> set[str]:
        names = self._matching.fields[model.name]
        return {names.get(name, "") for name in fields}

    def _uniques(self, model: Model) -> None:
        old = self._matching.old.model(self._matching.models[model.name])
        kinds = (IndexKind.ID, IndexKind.UNIQUE)
        had = [set(i.field_names) for i in old.all_indexes if i.kind in kinds]
        for index in model.all_indexes:
            if index.kind not in kinds:
                continue
            is_key = index.field_names == model.key.field_names
            is_new = self._before(model, index.field_names) not in had
            if is_new or self._touched(model.name, index.field_names):
                rule = Rule.KEY if is_key else Rule.UNIQUE
                change = "becomes the key" if is_key else "becomes unique"
                means = "checked: no two records may have the same"
                self._add((rule, model.name, index.field_names), change, means, is_new=is_new)

    def _reference(self, relation: Relation) -> None:
        if relation.child not in self._changes:
            return
        place = self._layout.place(relation.child)
        before = self._matching.relation_before(relation)
        is_enforced = self._matching.new.datasource.relation_mode == "foreignKeys"
        is_place = place.relation == relation
        is_new = is_enforced and before is None
        touched = self._touched(relation.child, relation.fields) or self._touched(
            relation.parent, relation.references
        )
        was = self._old.place(self._matching.models[relation.child])
        has_moved = was.kind is not place.kind or was.relation != before
        if is_new or (is_place and (has_moved or touched)) or (is_enforced and touched):
            name = (Rule.REFERENCE, relation.child, relation.fields)
            means = f"checked: its {relation.parent} must be there"
            self._add(name, f"refers to {relation.parent}", means, is_new=is_new)
            self.models.add(relation.parent)

    def same(self, model: str) -> list[tuple[int, str, Callable[[Any], Any]]]:
        """The fields of a model's uniques of which values can be equal that are spelled otherwise: where they
        stand in a row, and what equal ones have in common."""
        rules = [name for name in self._rules if name[1] == model]
        uniques = {f for rule, _, fields in rules if rule is Rule.UNIQUE for f in fields}
        others = {f for rule, _, fields in rules if rule is not Rule.UNIQUE for f in fields}
        datamodel = self._matching.new
        others |= {f for r in datamodel.children(model) for f in r.references}
        others |= set(datamodel.model(model).key.field_names)
        return [
            (number, attribute(f), kind.identity)
            for number, f in enumerate(datamodel.model(model).scalars)
            if f.name in uniques - others and (kind := value_type(f, datamodel)).identity is not None
        ]

    def judge(self, violations: Iterable[Violation]) -> None:
        """Refuse the steps that records break."""
        for violation in violations:
            step = self._rules.get((violation.rule, violation.model, violation.fields))
            if step is None:
                continue
            if not step.refusals and not any(step is known for known in self.steps):
                self.steps.append(step)
            key = ", ".join(f"{name} {value}" for name, value in violation.key.items())
            step.refuse(f"{violation.model} {key}: {violation.reason}")


class Gathering:
    """The records of one pass, for the checks."""

    def __init__(self, gathered: Gathered, checks: Checks) -> None:
        self._gathered, self._checks = gathered, checks
        self._put = gathered.visit("")
        for model in gathered.datamodel.tables:
            if model.name not in checks.models:
                # Nothing is asked of what points at records that are not gathered.
                gathered.unread(model.name, None)
        self._same = {model: checks.same(model) for model in checks.models}
        self._waiting: dict[str, list[tuple[Values, int]]] = {}

    def add(self, model: str, values: Values, row: Record) -> None:
        """Take a row, given as PostgreSQL's texts too."""
        if model not in self._checks.models:
            return
        if same := self._same[model]:
            values = list(values)
            for number, name, identity in same:
                if values[number] is not None:
                    values[number] = _spelled(identity(getattr(row, name))).encode()
        waiting = self._waiting.setdefault(model, [])
        waiting.append((values, 0))
        if len(waiting) >= 500:
            self._put(model, waiting)
            waiting.clear()

    def judge(self) -> None:
        """Look at all of them."""
        for model, waiting in self._waiting.items():
            self._put(model, waiting)
        self._waiting = {}
        if self._checks.models:
            self._checks.judge(self._gathered.violations(keys=True))


def _spelled(value: Any) -> str:
    """One text for equal values."""
    if isinstance(value, tuple):
        return f"({','.join(map(_spelled, value))})"
    if isinstance(value, Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        text = "".join(map(str, digits)).lstrip("0")
        stripped = text.rstrip("0")
        return f"{'-' * sign}{stripped}e{int(exponent) + len(text) - len(stripped)}" if stripped else "0"
    return repr(value + 0.0) if isinstance(value, float) else repr(value)
