"""What the tests of archives share: a store to back up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def data(exported: Path, tmp_path: Path) -> Path:
    """A store of the sample data."""
    return Path(shutil.copytree(exported, tmp_path / "data"))
