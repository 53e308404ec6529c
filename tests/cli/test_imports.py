"""What a command does not use, it does not import: that is most of the time of a short command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from command import SETTINGS

HEAVY = {
    *(
        "asyncio",
        "concurrent.futures",
        "cryptography",
        "email",
        "http",
        "importlib.metadata",
        "lark",
        "logging",
    ),
    *(
        "msgspec",
        "multiprocessing",
        "psycopg",
        "pydantic",
        "rich",
        "sqlite3",
        "ssl",
        "tomllib",
        "urllib.request",
    ),
}
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
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=True)
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("export", "--help"), ("schema", "--help")]
)
def test_help_and_version_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) & HEAVY == set()


def test_a_command_loads_no_other_module_of_commands() -> None:
    modules = imported("export", "--help")
    assert {m for m in modules if m.startswith("octavo.cli.")} == {
        *(f"octavo.cli.{name}" for name in ("app", "console", "failures", "fold", "parameters", "runner"))
    }
