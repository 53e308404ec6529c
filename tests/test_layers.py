"""Which package may import which, and that no files import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import octavo

ROOT = Path(octavo.__file__).parent
ORDER = [
    *(
        "version",
        "errors",
        "text",
        "url",
        "backend",
        "schema",
        "crypto",
        "values",
        "layout",
        "store",
        "query",
    ),
    *("query", "postgres", "backends", "sessions", "client", "awaiting", "aio", "typed", "opening"),
    *("generate", "app", "inspect", "fold", "evolve", "follow", "care", "secrets", "move", "report"),
    *("demo", "testing", "serve", "cli"),
    "__main__",
]
"""lowest first: each imports only from itself and from those before it"""


def name_of(module: Path) -> str:
    """``octavo.store.lock``; a package has the name of its ``__init__``."""
    parts = ["octavo", *module.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(name: str) -> Iterator[str]:
    """The modules of Octavo that a module imports: for type checkers and within functions, too."""
    for node in ast.walk(ast.parse(MODULES[name].read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield from {module if module in MODULES else str(node.module)} & (MODULES.keys() - {name})


IMPORTS = {name: set(imported(name)) for name in MODULES}


def package(name: str) -> str:
    """The part of a module's name by which the order has it; empty for ``octavo`` itself."""
    return name.split(".")[1] if "." in name else ""


def test_a_package_imports_only_from_those_before_it() -> None:
    found = {
        (name, other)
        for name, others in IMPORTS.items()
        for other in others
        if package(name) and package(other) and ORDER.index(package(name)) < ORDER.index(package(other))
    }
    assert found == set()


def test_the_order_names_every_package() -> None:
    assert {package(name) for name in MODULES} - {""} == set(ORDER)


def circles() -> list[set[str]]:
    """The sets of modules that reach each other by imports (Tarjan's algorithm)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(IMPORTS[name]):
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            members = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(members) > 1:
                found.append(members)

    for name in MODULES:
        if name not in numbers:
            visit(name)
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles() == []
