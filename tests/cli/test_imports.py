"""What a command does not use, it does not import: imports are most of the time of a short command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command import SETTINGS
from octavo.postgres.embedded import EmbeddedServer

_HEAVY = """
    asyncio concurrent.futures cryptography email http importlib.metadata lark lmdb logging msgspec
    multiprocessing psycopg pydantic rich sqlite3 ssl tarfile tomllib urllib.request
"""
HEAVY = frozenset(_HEAVY.split())
DRIVER = {"psycopg", "asyncio", "concurrent.futures", "email", "importlib.metadata", "logging", "ssl"}
"""the driver of PostgreSQL, and what it loads"""
LIBRARY = {"octavo.client", "octavo.aio", "octavo.serve", "octavo.report", "octavo.evolve", "octavo.follow"}
"""what an application imports, and what other commands do"""
BACKENDS = {"octavo.backends.json", "octavo.backends.prisma", "octavo.backends.dual", "octavo.query.run"}
CODE = """
import sys
from octavo.cli.app import run
code = run(sys.argv[1:])
print(code, *sys.modules, file=sys.stderr)
"""


def imported(*arguments: object) -> set[str]:
    """The modules that a process has when it has run a command, which must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", ["--version", "--help", "export --help", "schema --help"])
def test_help_and_version_load_nothing_heavy(arguments: str) -> None:
    assert imported(*arguments.split()) & (HEAVY | LIBRARY) == set()


def test_a_command_loads_no_other_module_of_commands() -> None:
    modules = {name for name in imported("export", "--help") if name.startswith("octavo.cli.")}
    assert {name.rpartition(".")[2] for name in modules} == {
        *("app", "console", "failures", "fold", "parameters", "runner")
    }


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("schema show", {"msgspec"}),
        ("scaffold --data-dir new", {"msgspec"}),
        ("compact", {"msgspec"}),
        ("doctor", {"msgspec", "multiprocessing", "concurrent.futures", "logging", "sqlite3"}),
        ("backup", {"msgspec", "multiprocessing", "concurrent.futures", "logging", "sqlite3", "tarfile"}),
    ],
)
def test_a_command_about_files_loads_no_driver(
    arguments: str, allowed: set[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    assert imported(*arguments.split()) & (HEAVY | LIBRARY | BACKENDS) <= allowed


def test_a_first_export_loads_no_backend_and_no_parser(
    server: EmbeddedServer, sample: tuple[str, Path], tmp_path: Path
) -> None:
    database, files = sample
    where = ("--data-dir", tmp_path / "data", "--files-root", files)
    modules = imported("export", "--database-url", server.url(database), *where)
    assert modules & (HEAVY | LIBRARY | BACKENDS) <= {"msgspec", *DRIVER}
