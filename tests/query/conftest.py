from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import BACKENDS, client
from octavo.client import Client
from query.blog import VOCABULARY


@pytest.fixture(params=BACKENDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """An empty blog, on each backend in turn."""
    with client(request.param, VOCABULARY, tmp_path) as made:
        yield made


@pytest.fixture
def people(db: Client) -> Client:
    """A blog with four users."""
    for email, name, age in (
        ("a@x", "Ann", 30),
        ("b@x", "bob", None),
        ("c@x", None, 30),
        ("d@x", "Émile", 5),
    ):
        db.user.create(data={"email": email, "name": name, "age": age})
    return db
