"""Whatever identifies a record, what was deleted stays away and nothing else goes: on PostgreSQL, for the
client and for a reader of the files."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from octavo.fold.export import ExportOptions, export
from octavo.layout.layout import Kind
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.store.store import Store
from octavo.url import DatabaseUrl
from parity.alike import place_of
from parity.coverage import Coverage
from parity.keyed import TYPES, keyed
from parity.programs import Call, Programs, Reopen
from parity.test_parity import Machine
from stores import Unsynced

SEEDS = range(12)


class Deleting(Machine):
    """Programs that delete much, and open the store again."""

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        terms = data.draw(st.sampled_from(self.programs.all))
        self.alike.do(Call(terms.name, "delete", {"where": data.draw(self.programs.unique(terms))}))

    @rule()
    def reopen(self) -> None:
        self.alike.do(Reopen())

    def teardown(self) -> None:
        if not self.alike.differs:
            pools = self.programs.pools
            for terms in reversed(self.programs.all):
                where = pools.named(terms, pools.row(terms, 1))[0]
                self.alike.do(Call(terms.name, "delete", {"where": where}))
            self.alike.do(Reopen())
            self.compact()
        super().teardown()

    def compact(self) -> None:
        """Compact the files, which are then what an export gives of PostgreSQL, byte for byte."""
        place = self.alike.place
        self.alike.clients["json"].close()
        with Store.open(place.folder / "json", place.layout, system=Unsynced()) as store:
            store.compact()
        options = ExportOptions(place.folder / "none")
        export(DatabaseUrl.parse(place.prisma), place.folder / "exported", place.layout, options)
        assert files(place.folder / "json") == files(place.folder / "exported")
        self.alike.do(Reopen())


def files(root: Path) -> dict[str, bytes]:
    """The files of a store, but for what is Octavo's own."""
    own = ("cache", "journal", "schema")
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return {str(path): (root / path).read_bytes() for path in found if path.parts[0] not in own}


def run(server: EmbeddedServer, seed: int, *, examples: int, steps: int) -> None:
    layout = keyed(seed)
    with place_of(server, Vocabulary(layout.datamodel), layout) as place:
        programs, coverage = Programs(place.vocabulary), Coverage(place.vocabulary)
        run_state_machine_as_test(
            lambda: Deleting(place, programs, coverage),  # type: ignore[arg-type]
            settings=settings(
                backend="hypothesis-urandom",
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_schemas_have_keys_of_every_shape() -> None:
    layouts = [keyed(seed) for seed in SEEDS]
    kinds, shapes, sizes, references = set(), set(), set(), set()
    for layout in layouts:
        for place in layout.places:
            key = place.model.key_fields
            declared = [f for f in place.model.scalars if f in key]
            kinds |= {(f.type, f.native) for f in key}
            shapes.add((place.kind, list(key) == declared))
            sizes.add(len(key))
        for relation in layout.datamodel.foreign_keys:
            parent = layout.datamodel.model(relation.parent)
            references.add(relation.references == parent.key.field_names)
    assert len(kinds) == len(TYPES)
    assert shapes == set(product(Kind, [True, False]))
    assert sizes == {1, 2, 3, 4}
    assert references == {True, False}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_deleted_stays_away(server: EmbeddedServer, seed: int) -> None:
    run(server, seed, examples=1, steps=12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_what_was_deleted_stays_away_whatever_the_key(server: EmbeddedServer, seed: int) -> None:
    run(server, seed, examples=10, steps=30)
