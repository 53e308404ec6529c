"""Which package may import which: each only from those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import octavo

ROOT = Path(octavo.__file__).parent
CORE = ("schema", "layout", "store", "query", "backends", "client")
"""from what the data is to what an application imports"""
TOOLS = ("app", "migrate", "follow", "care", "report", "demo", "cli")
"""what stands on all of these"""


def imported(module: Path) -> Iterator[str]:
    """The packages of Octavo from which a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("octavo."))


@pytest.mark.parametrize("package", CORE)
def test_a_package_imports_only_from_those_above_it(package: str) -> None:
    below = {*CORE[CORE.index(package) + 1 :], *TOOLS}
    place = ROOT / package
    modules = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    found = {(str(m.relative_to(ROOT)), name) for m in modules for name in imported(m) if name in below}
    assert found == set()
