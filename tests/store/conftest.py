"""What the tests of the store share."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_store import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store.  Not to be changed: copy it."""
    root = tmp_path_factory.mktemp("built") / "data"
    build(root)
    return root
