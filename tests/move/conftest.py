"""A move of the sample data, not begun, ready to be cut over, or cut over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from moves import Move


@pytest.fixture
def move(sample_database: str, sample: tuple[str, Path], exported: Path, tmp_path: Path) -> Move:
    """Sample data, exported and not yet verified."""
    shutil.copytree(exported, tmp_path / "data", symlinks=True)
    shutil.copytree(sample[1], tmp_path / "public")
    return Move(sample_database, tmp_path / "data", tmp_path / "public")


@pytest.fixture
def ready(move: Move) -> Move:
    """The same, with all that the gates ask for."""
    move.prepare()
    return move


@pytest.fixture
def over(ready: Move) -> Move:
    """The same, cut over."""
    assert ready.cutover().done
    return ready
