from __future__ import annotations

import pytest

from octavo.client import Client
from query.blog import blog


@pytest.fixture
def db() -> Client:
    """An empty blog."""
    return blog()


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
