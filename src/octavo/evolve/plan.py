"""What a migration does to the models, as steps, and the changes that carry it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

from octavo.evolve.change import ModelChange
from octavo.evolve.checks import Checks
from octavo.evolve.functions import Function
from octavo.evolve.matching import Matching
from octavo.evolve.places import moves
from octavo.evolve.steps import How, Step
from octavo.layout.codec import Codecs
from octavo.layout.layout import Layout
from octavo.schema.datamodel import Enum, IndexKind, Model, Relation


class Plan:
    """The steps from one schema and layout to the next, and what becomes of each model's records."""

    def __init__(
        self,
        layouts: tuple[Layout, Layout],
        matching: Matching,
        functions: Mapping[str, Function],
        moment: datetime,
    ) -> None:
        """``functions``: by new model; ``moment``: what ``now()`` gives."""
        self.old, self.new = layouts
        self.matching, self.functions, self.moment = matching, functions, moment
        codecs = Codecs.of(self.old)
        self.changes = {
            name: ModelChange(matching, name, codecs[before], functions.get(name), moment)
            for name, before in matching.models.items()
        }
        self.checks = Checks(matching, layouts, self.changes)
        self._models = {m.name: Step(subject=m.name, change="is added") for m in self._added()}
        self.dropped = {
            m.name: Step(subject=m.name, change="is dropped", means="records are left out")
            for m in matching.old.tables
            if m.name not in matching.after
        }
        """the steps of the models that go, by name"""
        self._others = [*self._enums(), *moves(self.old, self.new, matching), *self._rest()]
        for name, step in self._models.items():
            step.means = f"lives in {self.new.host(name).path}"

    def _added(self) -> Iterator[Model]:
        return (m for m in self.matching.new.tables if m.name not in self.matching.models)

    @property
    def steps(self) -> list[Step]:
        """All of them, in the order of the new schema."""
        found: list[Step] = list(self.dropped.values())
        for model in self.matching.new.tables:
            name = model.name
            if name in self._models:
                found.append(self._models[name])
                continue
            if self.matching.models[name] != name:
                found.append(self._renamed(name))
            found += self.changes[name].steps
        return [*found, *self.checks.steps, *self._others]

    def _renamed(self, name: str) -> Step:
        before = self.matching.models[name]
        declared = self.matching.renames.models.get(before) == name
        how = How.DECLARED if declared or self.matching.new.model(name).is_join else How.AUTOMATIC
        return Step(
            subject=name,
            change=f"was {before}",
            means="records stay",
            planned=how,
            records=self.changes[name].count,
        )

    def settle(self, before: Counter[str]) -> None:
        """Note, after a pass, how many records each step concerns; ``before``: those of each old model."""
        for name, step in self.dropped.items():
            step.records = before[name]
            if before[name] and name in self.matching.new.complete:
                step.refuse(f"{name}: nothing identifies its records any more, so no file can hold them")
        for change in self.changes.values():
            change.settle()
        after = {name: before[old] for name, old in self.matching.models.items()}
        for enum in self.matching.new.enums:
            users = [m.name for m in self.matching.new.models if any(f.type == enum.name for f in m.scalars)]
            after.setdefault(enum.name, sum(after.get(name, 0) for name in users))
        for step in (*self.checks.steps, *self._others):
            step.records = after.get(step.subject.partition("(")[0].partition(".")[0], 0)

    # What changes no record by itself

    def _enums(self) -> Iterator[Step]:
        olds = {e.name: e for e in self.matching.old.enums}
        for enum in self.matching.new.enums:
            if (before := olds.get(enum.name)) is not None:
                yield from self._labels(before, enum)

    def _labels(self, before: Enum, enum: Enum) -> Iterator[Step]:
        after = self.matching.labels(before, enum)
        for member in before.members:
            name = f"{enum.name}.{member.name}"
            if member.name not in after:
                yield Step(subject=name, change="is removed", means="refused where a record has it")
            elif after[member.name] != member.name:
                now = f"{enum.name}.{after[member.name]}"
                yield Step(
                    subject=now, change=f"was {member.name}", means="records follow", planned=How.DECLARED
                )
        for member in enum.members:
            if member.name not in after.values():
                yield Step(
                    subject=f"{enum.name}.{member.name}", change="is added", means="no record has it yet"
                )

    def _rest(self) -> Iterator[Step]:
        """Rules that bind what is written from now on."""
        for name, before in self.matching.models.items():
            old, new = self.matching.old.model(before), self.matching.new.model(name)
            names = self.matching.fields[name]
            shapes = {(i.kind, i.field_names) for i in old.all_indexes}
            kept = {(i.kind, tuple(names.get(f, "") for f in i.field_names)) for i in new.all_indexes}
            for index in new.all_indexes:
                shape = index.kind, tuple(names.get(f, "") for f in index.field_names)
                if shape not in shapes and index.kind is IndexKind.NORMAL:
                    yield _rule(f"{name}({', '.join(index.field_names)})", "has an index")
            for kind, fields in sorted(shapes - kept):
                yield _rule(
                    f"{before}({', '.join(fields)})",
                    "has no index" if kind is IndexKind.NORMAL else "may repeat",
                )
            for after, was in names.items():
                if old.scalar(was).default != new.scalar(after).default:
                    yield _rule(f"{name}.{after}", "has another default")
        for relation in self.matching.new.foreign_keys:
            was_relation = self.matching.relation_before(relation)
            if was_relation is not None and _actions(was_relation) != _actions(relation):
                on_delete, on_update = _actions(relation)
                yield _rule(
                    f"{relation.child}.{relation.child_field}", f"onDelete {on_delete}, onUpdate {on_update}"
                )
        for relation in self.matching.old.foreign_keys:
            is_gone = relation.child in self.matching.after and self.matching.relation_after(relation) is None
            if is_gone and relation.parent in self.matching.after:
                yield _rule(
                    f"{self.matching.after[relation.child]}.{relation.child_field}", "refers to nothing"
                )


def _rule(subject: str, change: str) -> Step:
    return Step(subject=subject, change=change, means="values stay")


def _actions(relation: Relation) -> tuple[str, str]:
    return relation.on_delete, relation.on_update
