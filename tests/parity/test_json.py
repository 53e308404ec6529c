"""The files answer as the model in memory does, whatever is asked of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends import on_files, on_memory
from octavo.client import Client
from octavo.query.vocabulary import Vocabulary
from octavo.schema.frozen import frozen_schema
from octavo.store.store import Durability
from parity.programs import Programs, run
from query.blog import VOCABULARY

SCHEMA_07 = Vocabulary(frozen_schema())
STORES = {"blog": Programs(VOCABULARY), "schema 0.7": Programs(SCHEMA_07)}
QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def same_on_files(
    vocabulary: Vocabulary, program: list[Any], folder: Path, durability: Durability = "batched"
) -> None:
    """A program gives the same on the files as in memory."""
    place = folder / "data"
    shutil.rmtree(place, ignore_errors=True)

    def reopen(client: Client) -> Client:
        client.close()
        return on_files(vocabulary, place, durability)

    wanted = run(program, on_memory(vocabulary), lambda client: client)
    assert run(program, on_files(vocabulary, place, durability), reopen) == wanted


@pytest.mark.parametrize("programs", STORES.values(), ids=STORES)
@settings(max_examples=25, **QUICK)  # type: ignore[arg-type]
@given(data=st.data())
def test_programs_give_the_same(programs: Programs, folder: Path, data: Any) -> None:
    durability: Durability = data.draw(st.sampled_from(["full", "batched"]))
    same_on_files(programs.vocabulary, data.draw(programs.program(12)), folder, durability)


@pytest.mark.slow
@pytest.mark.parametrize("programs", STORES.values(), ids=STORES)
@settings(max_examples=1_000, **QUICK)  # type: ignore[arg-type]
@given(data=st.data())
def test_long_programs_give_the_same(programs: Programs, folder: Path, data: Any) -> None:
    same_on_files(programs.vocabulary, data.draw(programs.program(40)), folder)
