"""Fixtures of pytest for the tests of applications; pytest finds them by itself where Octavo is installed.

``octavo_store`` is a client of a fresh store in a temporary folder, ``octavo_postgres`` one of an empty
database of an embedded PostgreSQL.  ``octavo_data_dir`` and ``octavo_database_url`` say where their data
lies, for an application that connects by itself.  ``octavo_schema`` and ``octavo_layout`` are there to be
overridden.  Each process of pytest-xdist has folders and a server of its own.

pytest imports this module in every run, so that Octavo itself is only imported by what the fixtures use.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from octavo.client import Client
    from octavo.testing.run import Prepared, Run


@pytest.fixture(scope="session")
def octavo_schema() -> Path | None:
    """The Prisma schema of octavo_store and octavo_postgres, a file or a folder; None: the one that Octavo
    ships.  Override this fixture to use another one."""
    return None


@pytest.fixture(scope="session")
def octavo_layout() -> Path | None:
    """The layout file of octavo_store; None: the one that goes with octavo_schema.  Override this fixture to
    use another one."""
    return None


@pytest.fixture(scope="session")
def _octavo_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    from octavo.testing.run import Run

    with ExitStack() as closing:
        yield Run(tmp_path_factory.mktemp("octavo"), closing)


@pytest.fixture
def _octavo_prepared(_octavo_run: Run, octavo_schema: Path | None, octavo_layout: Path | None) -> Prepared:
    return _octavo_run.prepared(octavo_schema, octavo_layout)


@pytest.fixture
def octavo_data_dir(_octavo_run: Run, _octavo_prepared: Prepared) -> Path:
    """The data folder of a fresh, empty store.  Beside it is the store's files root, ``public``."""
    data_dir = _octavo_run.new_folder() / "data"
    _octavo_prepared.fill(data_dir)
    return data_dir


@pytest.fixture
def octavo_store(octavo_data_dir: Path, _octavo_prepared: Prepared) -> Iterator[Client]:
    """A client of the fresh, empty store in octavo_data_dir.  It does not sync what it writes."""
    from octavo.testing.run import store_client

    with store_client(octavo_data_dir, _octavo_prepared) as db:
        yield db


@pytest.fixture
def octavo_database_url(_octavo_run: Run, _octavo_prepared: Prepared) -> str:
    """The URL of an empty database with the tables of octavo_schema, on an embedded PostgreSQL that is
    started once."""
    from octavo.errors import UsageError

    try:
        server = _octavo_run.server
    except UsageError as error:
        missing = "; ".join(filter(None, (error.message, error.hint)))
    else:
        return _octavo_run.database(_octavo_prepared, server).url
    pytest.fail(missing, pytrace=False)


@pytest.fixture
def octavo_postgres(
    octavo_database_url: str, _octavo_run: Run, _octavo_prepared: Prepared
) -> Iterator[Client]:
    """A client of the empty database at octavo_database_url."""
    from octavo.testing.run import postgres_client

    with postgres_client(octavo_database_url, _octavo_run.new_folder(), _octavo_prepared) as db:
        yield db
