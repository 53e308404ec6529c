"""Random programs made from the schema give the same by the server as by Prisma's engine on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.conftest import empty_store
from serve.prisma import needs, run
from serve.serving import Served


@needs("prisma-6")
@pytest.mark.parametrize(
    ("seed", "calls"),
    [(1, 60), *(pytest.param(seed, 400, marks=pytest.mark.slow) for seed in range(2, 42))],
)
def test_random_programs_answer_and_end_the_same(
    seed: int, calls: int, database: str, tmp_path: Path
) -> None:
    with Served(empty_store(tmp_path / "data")) as server:
        env = {"REFERENCE_URL": database.partition("&schema")[0]}
        run("random.mjs", str(seed), str(calls), served=server, env=env)
