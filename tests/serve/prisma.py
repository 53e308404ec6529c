"""Prisma's real clients, of several versions, run by Node against a server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from serve.serving import Served

NODE = Path(__file__).parent / "node"
SETS = tuple(sorted(path.stem for path in (NODE / "calls").glob("*.mjs")))
SCHEMA = dict.fromkeys(("types", "edges"), NODE / "schemas" / "types.prisma")
"""the schema of a set of calls, where it is not schema 0.7"""


def needs(version: str = "prisma-6") -> pytest.MarkDecorator:
    """Leave a test out where Node, or this version of Prisma's client, is not installed."""
    installed = shutil.which("node") is not None and (NODE / version / "generated").is_dir()
    return pytest.mark.skipif(
        not installed, reason=f"Node with {version} is not installed: make node_modules/.ready"
    )


def run(
    script: str, *arguments: str, served: Served | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What a script prints; its exit code must be 0."""
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", **(env or {})}
    if served is not None and "DATABASE_URL" in served.told:
        environment.setdefault("DATABASE_URL", served.url)
    done = subprocess.run(
        ["node", str(NODE / script), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script} {' '.join(arguments)}\n{done.stdout}"
    return done.stdout


def by_engine(served: Served, version: str) -> dict[str, str]:
    """The environment in which a version's engine is exchanged for the server."""
    place = {"OCTAVO_SOCKET": served.told["socket"]} if "socket" in served.told else {}
    return {
        "DATABASE_URL": "postgresql://unused",
        "OCTAVO_URL": served.told.get("url", ""),
        "OCTAVO_TOKEN": served.token,
        "PRISMA": version,
        **place,
    }
