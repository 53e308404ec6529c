"""Whatever a program does, it gives the same on PostgreSQL, on the files, on both and in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import every_type
from conftest import COVERAGE
from octavo.layout.load import default_layout, frozen_layout
from octavo.postgres.embedded import EmbeddedServer
from octavo.query.vocabulary import Vocabulary
from octavo.schema.texts import frozen_schema
from parity import actions
from parity.alike import Alike, Place, place_of
from parity.coverage import Coverage
from parity.covering import Covering
from parity.programs import Programs
from query import blog

EVERY_TYPE = every_type.layout()
SCHEMAS = {
    "0.7": (Vocabulary(frozen_schema()), frozen_layout()),
    "actions": (actions.VOCABULARY, actions.layout()),
    "blog": (blog.VOCABULARY, default_layout(blog.VOCABULARY.datamodel)),
    "every type": (Vocabulary(EVERY_TYPE.datamodel), EVERY_TYPE),
}
_numbers = itertools.count()


@pytest.fixture(scope="module", params=SCHEMAS)
def place(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Place]:
    """Two empty databases with a schema."""
    with place_of(server, *SCHEMAS[request.param]) as made:
        yield made


@pytest.fixture
def coverage(
    place: Place, request: pytest.FixtureRequest, record_property: Callable[..., None]
) -> Iterator[Coverage]:
    """What a test does, which is shown when all is over."""
    found = Coverage(place.vocabulary)
    yield found
    record_property(COVERAGE + request.node.callspec.id, found.to_json())


def test_nothing_is_left_out(place: Place, coverage: Coverage) -> None:
    """Each operation, operator, nested write and referential action gives the same everywhere."""
    alike = Alike(place._replace(folder=place.folder / "all"), coverage)
    try:
        for step in Covering(Programs(place.vocabulary)).all():
            alike.do(step)
        alike.conclude()
    finally:
        alike.close()
    assert coverage.missing() == []


class Machine(RuleBasedStateMachine):
    """All clients at once."""

    def __init__(self, place: Place, programs: Programs, coverage: Coverage) -> None:
        super().__init__()
        self.programs = programs
        self.alike = Alike(place._replace(folder=place.folder / str(next(_numbers))), coverage)

    @initialize(filled=st.sampled_from([True, True, True, False]))
    def begin(self, filled: bool) -> None:
        for step in self.programs.beginning() if filled else []:
            self.alike.do(step)

    @rule(data=st.data())
    def do(self, data: Any) -> None:
        self.alike.do(data.draw(self.programs.step()))

    def teardown(self) -> None:
        try:
            if not self.alike.differs:
                self.alike.conclude()
        finally:
            self.alike.close()


def run(place: Place, coverage: Coverage, *, examples: int, steps: int) -> None:
    """Random programs on all clients."""
    programs = Programs(place.vocabulary)
    run_state_machine_as_test(
        lambda: Machine(place, programs, coverage),  # type: ignore[arg-type]
        settings=settings(
            # Without it, most examples are much like the one before, or like the simplest.
            backend="hypothesis-urandom",
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_programs_give_the_same(place: Place, coverage: Coverage) -> None:
    run(place, coverage, examples=8, steps=12)


@pytest.mark.slow
def test_long_programs_give_the_same(place: Place, coverage: Coverage) -> None:
    run(place, coverage, examples=100, steps=40)
