"""The validation checklist: what has to hold of a move, each item looked at now and never remembered.

An item is derived from the Datamodel, the layout, and what has just been found in the database and in the
files; where one of the two is not there to be looked at, its verdict says so.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octavo.inspect.findings import Kind as Found
from octavo.layout.layout import Layout
from octavo.schema.datamodel import Datamodel, ScalarField, ScalarKind
from octavo.schema.texts import frozen_schema
from octavo.text import some

if TYPE_CHECKING:
    from octavo.inspect.doctor import Diagnosis
    from octavo.postgres.drift import Drift
    from octavo.secrets.check import SecretsReport

SECRETS_TITLE = "encrypted fields readable"
BACKEND_VARIABLE = "DATA_BACKEND"
_ENVIRONMENT_FILES = (".env", ".env.example", ".env.local", "README.md")
_UNTOLD = (
    Found.UNREADABLE,
    Found.NEWER,
    Found.MISSING_FOLDER,
    Found.MISSING_FILE,
    Found.MISSING_LOG,
    Found.IN_THE_WAY,
)
"""findings that may hide records"""
_NAMED = 3
"""findings that a reason names"""


class Verdict(StrEnum):
    """What looking at an item gave."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """it could not be looked at"""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the checklist."""

    title: str
    verdict: Verdict
    reason: str
    of_data: bool = True
    """whether it is the data that are not right where the verdict is bad"""

    def to_dict(self) -> dict[str, Any]:
        return {"title": self.title, "verdict": self.verdict.value, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found just now; None: it could not be looked at, and ``unseen`` says why."""

    layout: Layout
    diagnosis: Diagnosis | None = None
    """of the files"""
    drift: Drift | None = None
    """of the database"""
    unchecked: Sequence[str] | None = None
    """foreign keys of the database that are not known to hold for every row"""
    secrets: SecretsReport | None = None
    unseen: Mapping[str, str] = field(default_factory=dict)
    """by ``files``, ``database`` and ``secrets``: why not"""

    @property
    def datamodel(self) -> Datamodel:
        return self.layout.datamodel


def checklist(evidence: Evidence, folder: Path | None = None) -> list[Item]:
    """Every item, in the order in which a move comes upon them.  ``folder``: the application's, in which
    ``DATA_BACKEND`` is to be documented; by default the current one."""
    return [
        _models(evidence),
        _mapping(evidence),
        _secrets(evidence),
        _references(evidence),
        _found(evidence, "uniques", _uniques(evidence), Found.SAME_KEY, Found.NOT_UNIQUE),
        _values(evidence, "enums", lambda f: f.kind is ScalarKind.ENUM),
        _values(evidence, "timestamps", lambda f: f.kind is ScalarKind.SCALAR and f.type == "DateTime"),
        _values(evidence, "JSON fields", lambda f: f.is_json),
        _payloads(evidence),
        _schema(evidence),
        _documented(folder or Path.cwd()),
    ]


def _models(evidence: Evidence) -> Item:
    tables = evidence.datamodel.tables
    title = f"all {len(tables)} models"
    if evidence.diagnosis is None:
        return _unseen(title, evidence, "files")
    counted = evidence.diagnosis.counts
    lacking = [f"{m.name} is not counted" for m in tables if m.name not in counted]
    lacking += _named(evidence.diagnosis, _UNTOLD)
    records = sum(counted.values())
    return _item(
        title, lacking, f"each has its files, with {records:,} records in {evidence.diagnosis.files:,} files"
    )


def _mapping(evidence: Evidence) -> Item:
    """Every field of every model has its spot in a file; and every column is there that it comes from."""
    lacking, fields = [], 0
    for place in evidence.layout.places:
        spots = {f.name for f in place.fields}
        if place.relation is not None:
            # The record around it says these.
            spots |= set(place.relation.fields)
        fields += len(place.model.scalars)
        lacking += [
            f"{place.model.name}.{f.name} has no spot" for f in place.model.scalars if f.name not in spots
        ]
    columns = "; the database was not looked at"
    if evidence.drift is not None:
        lacking += [str(f) for f in evidence.drift.findings if f.what == "column"]
        columns = ", and each has its column"
    return _item("field mapping complete", lacking, f"all {fields} fields have their spot in a file{columns}")


def _secrets(evidence: Evidence) -> Item:
    title, report = SECRETS_TITLE, evidence.secrets
    if report is None:
        return _unseen(title, evidence, "secrets")
    lacking = [str(unopened) for unopened in report.unopened.first]
    good = f"{report.values:,} looked at, all hold" if report.values else "there are none to look at"
    return _item(title, lacking, good, total=report.unopened.total)


def _references(evidence: Evidence) -> Item:
    keys = evidence.datamodel.held_keys
    item = _found(
        evidence,
        "referential integrity",
        f"{len(keys)} foreign keys hold",
        Found.BROKEN_REFERENCE,
        Found.UNOWNED_LOG,
    )
    if item.verdict is not Verdict.BAD and evidence.unchecked:
        return _item(item.title, [f"{name} of the database is NOT VALID" for name in evidence.unchecked], "")
    return item


def _uniques(evidence: Evidence) -> str:
    number = sum(1 + len(m.uniques) for m in evidence.datamodel.tables)
    return f"{number} keys and uniques hold"


def _payloads(evidence: Evidence) -> Item:
    good = "each is what its digest says"
    if evidence.diagnosis is not None:
        good = f"{evidence.diagnosis.payloads:,} are what their digests say"
        if without := evidence.diagnosis.findings.counted[Found.PAYLOAD_NOT_KEPT]:
            good += f"; {without:,} records came without one"
    return _found(evidence, "payloads", good, Found.PAYLOAD_MISSING, Found.PAYLOAD_DIFFERENT)


def _schema(evidence: Evidence) -> Item:
    is_frozen = evidence.datamodel == frozen_schema()
    which = "the frozen schema" if is_frozen else "a schema of one's own"
    title = "schema frozen and without drift"
    if evidence.drift is None:
        return _unseen(title, evidence, "database")
    allowed = "".join(f"; allowed: {finding}" for finding in evidence.drift.allowed)
    good = f"the database is what {which} says{allowed}"
    return _item(title, [str(f) for f in evidence.drift.findings], good)


def _documented(folder: Path) -> Item:
    """The set-up files of the application say where its data lives."""
    title = f"{BACKEND_VARIABLE} documented"
    if value := os.environ.get(BACKEND_VARIABLE):
        return Item(title, Verdict.GOOD, f"the environment says {BACKEND_VARIABLE}={value}")
    for name in _ENVIRONMENT_FILES:
        try:
            text = (folder / name).read_text("utf-8", "replace")
        except OSError:
            continue
        if re.search(rf"\b{BACKEND_VARIABLE}\b", text):
            return Item(title, Verdict.GOOD, f"{name} names it")
    where = ", ".join(_ENVIRONMENT_FILES)
    return Item(title, Verdict.BAD, f"neither the environment nor {where} here names it", of_data=False)


def _values(evidence: Evidence, title: str, of_kind: Callable[[ScalarField], bool]) -> Item:
    """Every value of the fields of one kind can be read."""
    if evidence.diagnosis is None:
        return _unseen(title, evidence, "files")
    fields = {(m.name, f.name) for m in evidence.datamodel.tables for f in m.scalars if of_kind(f)}
    broken = [f for f in evidence.diagnosis.findings.kept[Found.UNREADABLE] if (f.model, f.field) in fields]
    whole = [f for f in evidence.diagnosis.findings.kept[Found.UNREADABLE] if not f.field]
    if not broken and whole:
        return Item(title, Verdict.UNKNOWN, f"{whole[0]}, and what is in it cannot be told")
    return _item(title, [str(f) for f in broken], f"every value of {some(len(fields), 'field')} can be read")


def _found(evidence: Evidence, title: str, good: str, *kinds: Found) -> Item:
    """An item that is good if none of these kinds is among the findings."""
    if evidence.diagnosis is None:
        return _unseen(title, evidence, "files")
    total = sum(evidence.diagnosis.findings.counted[kind] for kind in kinds)
    return _item(title, _named(evidence.diagnosis, kinds), good, total=total)


def _named(diagnosis: Diagnosis, kinds: Iterable[Found]) -> list[str]:
    return [str(finding) for kind in kinds for finding in diagnosis.findings.kept[kind]]


def _item(title: str, lacking: Sequence[str], good: str, *, total: int | None = None) -> Item:
    if not lacking:
        return Item(title, Verdict.GOOD, good)
    more = (len(lacking) if total is None else total) - _NAMED
    text = "; ".join(lacking[:_NAMED]) + (f"; and {more:,} more" if more > 0 else "")
    return Item(title, Verdict.BAD, text)


def _unseen(title: str, evidence: Evidence, what: str) -> Item:
    return Item(title, Verdict.UNKNOWN, evidence.unseen.get(what, f"the {what} were not looked at"))


def summary(items: Iterable[Item]) -> Counter[Verdict]:
    """How many items have each verdict."""
    return Counter(item.verdict for item in items)
