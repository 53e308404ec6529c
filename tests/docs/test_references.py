"""What our texts point at is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = (".md", ".py", ".pyi", ".toml", ".prisma", ".example", ".yml", ".css", "Makefile")
OURS = re.compile(r"\b(?:docs|examples|src|tests|benchmarks)/[\w./*-]*\w")
DOTTED = re.compile(r"`octavo\.([a-z_]+(?:\.\w+)*)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def tracked() -> list[Path]:
    """The texts of the repository, but for the tests, which make up names."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name.endswith(TEXTS) and not name.startswith("tests/")]


def test_every_document_and_source_that_is_named_is_there() -> None:
    missing = []
    for text in tracked():
        said = text.read_text("utf-8")
        named = [ROOT / name for name in OURS.findall(said)]
        if text.suffix == ".md":
            named += [text.parent / name for name in LINK.findall(said)]
        for path in named:
            if not (any(ROOT.glob(str(path.relative_to(ROOT)))) if "*" in str(path) else path.exists()):
                missing.append(f"{text.relative_to(ROOT)}: {path.relative_to(ROOT)}")
    assert [line for line in missing if not is_made(line.split(": ")[1])] == []


def is_made(name: str) -> bool:
    """Whether this is no file of the repository, but one that a command makes there, as ``make`` does."""
    return subprocess.run(["git", "check-ignore", "-q", f"{name}/"], cwd=ROOT, check=False).returncode == 0


def resolves(dotted: str) -> bool:
    """Whether this names a module of ours, or something that is defined in one."""
    place, names = ROOT / "src" / "octavo", dotted.split(".")
    while names and ((place / names[0]).is_dir() or (place / f"{names[0]}.py").exists()):
        place = place / names.pop(0)
    if not names:
        return True
    module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return re.search(rf"\b{names[0]}\b", module.read_text("utf-8")) is not None


def test_every_module_that_is_named_is_there() -> None:
    missing = []
    for text in tracked():
        if text.name != "CHANGELOG.md":
            named = set(DOTTED.findall(text.read_text("utf-8"))) - {"toml"}
            missing += [f"{text.relative_to(ROOT)}: octavo.{name}" for name in named if not resolves(name)]
    assert missing == []
