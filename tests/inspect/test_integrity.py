"""What breaks a rule is found among records that come in any portions, in any order, and more than once."""

from __future__ import annotations

import random
from collections import defaultdict
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from octavo.inspect import integrity
from octavo.inspect.integrity import Gathered, Rule, gathering
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.layout.record import attribute, record_type
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Owner {
  id   String @id
  city String
  code Int
  dogs Dog[]
  cats Cat[]

  @@unique([city, code])
}

model Dog {
  id      Int     @id
  tag     String? @unique
  ownerId String?
  owner   Owner?  @relation(fields: [ownerId], references: [id])
}

model Cat {
  id    Int     @id
  city  String?
  code  Int?
  owner Owner?  @relation(fields: [city, code], references: [city, code])
}
"""
Plain = dict[str, Any]


@pytest.fixture(scope="module")
def layout() -> Layout:
    return parse_layout("version = 1", parse_schema(SCHEMA))


def drawn(rng: random.Random, model: str) -> Plain:
    """A record, from so few values that they collide."""

    def text() -> str:
        return str(rng.choice([*"abcdefgh", "ä", "a,b", ""]))

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.2 else value

    if model == "Owner":
        return {"id": text(), "city": text(), "code": rng.randrange(3)}
    if model == "Dog":
        return {"id": rng.randrange(40), "tag": maybe(f"t{rng.randrange(40)}"), "ownerId": maybe(text())}
    return {"id": rng.randrange(40), "city": maybe(text()), "code": maybe(rng.randrange(3))}


def give(
    rng: random.Random, gathered: Gathered, layout: Layout, file: str, rows: dict[str, list[Plain]]
) -> None:
    """Visit a file, its rows in portions, each as rows or as PostgreSQL's texts."""
    gathered.forget(file)
    visit = gathered.visits.add([file])
    put = gathered.observer(visit)
    for model, records in rows.items():
        found = layout.datamodel.model(model)
        at = 0
        while at < len(records):
            some = records[at : at + rng.randrange(1, 5)]
            if rng.random() < 0.5:
                kind = record_type(found, layout.datamodel)
                made = [kind(**{attribute(f): r[f.name] for f in found.scalars}) for r in some]
                gathered.take(visit, [len(made)], model, made, at + 1)
            else:
                texts = [[None if v is None else str(v).encode() for v in r.values()] for r in some]
                put(model, [(values, at + n) for n, values in enumerate(texts, 1)])
            at += len(some)


def expected(files: dict[str, dict[str, list[Plain]]]) -> dict[tuple[Any, ...], int]:
    """What breaks a rule, counted, by what it is."""
    rows: dict[str, list[Plain]] = defaultdict(list)
    for given in files.values():
        for model, records in given.items():
            rows[model] += records
    found: dict[tuple[Any, ...], int] = defaultdict(int)
    uniques_of: dict[str, list[tuple[str, ...]]] = {"Owner": [("city", "code")], "Dog": [("tag",)], "Cat": []}
    for model, uniques in uniques_of.items():
        keys = [r["id"] for r in rows[model]]
        for key in {k for k in keys if keys.count(k) > 1}:
            found[Rule.KEY, model, str(key)] += 1
        for unique in uniques:
            of: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
            for r in rows[model]:
                value = tuple(r[name] for name in unique)
                if None not in value:
                    of[value].append(r["id"])
            for holders in of.values():
                if len(set(holders)) > 1:
                    for key in holders:
                        found[Rule.UNIQUE, model, str(key)] += 1
    owners = {r["id"] for r in rows["Owner"]}, {(r["city"], r["code"]) for r in rows["Owner"]}
    for r in rows["Dog"]:
        if r["ownerId"] is not None and r["ownerId"] not in owners[0]:
            found[Rule.REFERENCE, "Dog", str(r["id"])] += 1
    for r in rows["Cat"]:
        value = r["city"], r["code"]
        if None not in value and value not in owners[1]:
            found[Rule.REFERENCE, "Cat", str(r["id"])] += 1
    return dict(found)


@pytest.mark.parametrize("at_once", [1, 7, 1 << 18])
@pytest.mark.parametrize("seed", range(8))
def test_every_violation_is_found_and_no_other(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, at_once: int
) -> None:
    monkeypatch.setattr(integrity, "_AT_ONCE", at_once)
    rng = random.Random(seed)
    files: dict[str, dict[str, list[Plain]]] = {}
    with gathering(layout, tmp_path) as gathered:
        for _ in range(12):
            file = f"file-{rng.randrange(5)}"
            if rng.random() < 0.2:
                gathered.forget(file)
                files.pop(file, None)
                continue
            files[file] = {
                model: [drawn(rng, model) for _ in range(rng.randrange(9))]
                for model in rng.sample(["Owner", "Dog", "Cat"], 2)
            }
            give(rng, gathered, layout, file, files[file])
        found: dict[tuple[Any, ...], int] = defaultdict(int)
        for broken in gathered.violations(keys=True):
            record = files[broken.file][broken.model][broken.line - 1]
            assert str(record["id"]) == str(broken.key["id"])
            found[broken.rule, broken.model, str(broken.key["id"])] += 1
    assert found == expected(files)
    assert list(tmp_path.iterdir()) == []


def test_what_a_record_points_at_that_cannot_be_read_is_taken_to_be_there(
    layout: Layout, tmp_path: Path
) -> None:
    with gathering(layout, tmp_path) as gathered:
        give(
            random.Random(1),
            gathered,
            layout,
            "dogs",
            {"Dog": [{"id": n, "tag": None, "ownerId": name} for n, name in enumerate("ab")]},
        )
        gathered.unread("Owner", [b"a"])
        assert [broken.key for broken in gathered.violations()] == [{"id": 1}]
        gathered.unread("Owner", None)
        assert list(gathered.violations()) == []
        assert [relation.child for relation in gathered.unchecked] == ["Dog", "Cat"]


def test_values_that_share_a_hash_are_told_apart(layout: Layout, tmp_path: Path) -> None:
    """A hash that comes twice only says where to look."""
    with gathering(layout, tmp_path) as gathered:
        records = [{"id": n, "tag": f"t{n}", "ownerId": None} for n in range(20)]
        give(random.Random(2), gathered, layout, "dogs", {"Dog": records})
        for hashes in gathered._models["Dog"].hashes.values():
            hashes.take_over(deepcopy(hashes))
        assert list(gathered.violations(keys=True)) == []
