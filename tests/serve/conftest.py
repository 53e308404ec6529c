"""What the tests of the server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from octavo.fold.scaffold import scaffold
from octavo.layout.load import frozen_layout, layout_for
from octavo.schema.parser import parse_schema
from serve.serving import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on an empty store of schema 0.7, which knows a client's schema."""
    store = empty_store(tmp_path_factory.mktemp("serve") / "data")
    with Served(store) as made:
        made.upload()
        yield made


def empty_store(path: Path, schema: Path | None = None) -> Path:
    """An empty store of schema 0.7, or of another one."""
    layout = frozen_layout() if schema is None else layout_for(parse_schema(schema.read_text()), None)
    scaffold(path, layout)
    return path
