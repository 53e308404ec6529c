"""Prisma's own schema engine, asked through Node: what it accepts, where it complains, its DMMF.

The engine is the npm package ``@prisma/prisma-schema-wasm``.  It is found in the folder that the environment
variable ``OCTAVO_PRISMA_WASM`` names (the package's own, or the ``node_modules`` that holds it), else in the
checkout's ``node_modules``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PACKAGE = "@prisma/prisma-schema-wasm"
VERSION = "7.1.1-3.c2990dca591cba766e3b7ef5d9e8a84796e47ab7"

_SCRIPT = """
const engine = require(process.argv[1]);
const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', line => {
  const schema = JSON.stringify({prismaSchema: JSON.parse(line)});
  let answer = {};
  try { answer.dmmf = engine.get_dmmf(schema); }
  catch (error) {
    try { engine.validate(schema); answer.panic = true; }
    catch (refusal) { answer.error = String(refusal.message || refusal); }
  }
  process.stdout.write(JSON.stringify(answer) + '\\n');
});
"""


@dataclass(frozen=True)
class Verdict:
    """``lines`` are those that the engine complains of; ``panicked``: it broke down and said nothing."""

    accepted: bool
    datamodel: dict[str, Any] | None = None
    lines: tuple[int, ...] = ()
    message: str = ""
    panicked: bool = False


def find_package() -> Path | None:
    """The package's folder, if Node and the package are there."""
    if shutil.which("node") is None:
        return None
    checkout = Path(__file__).resolve().parent.parent
    roots = [Path(p) for p in (os.environ.get("OCTAVO_PRISMA_WASM"), checkout / "node_modules") if p]
    candidates = [c for root in roots for c in (root, root / PACKAGE, root / "node_modules" / PACKAGE)]
    for candidate in candidates:
        manifest = candidate / "package.json"
        if manifest.is_file() and json.loads(manifest.read_text()).get("name") == PACKAGE:
            return candidate
    return None


class Oracle:
    """One Node process that answers for many schemas.  After a panic it starts anew."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, schema: str | Sequence[tuple[str, str]]) -> Verdict:
        """What the engine says of a text, or of several files (names and texts)."""
        if self._process is None:
            self._process = subprocess.Popen(
                ["node", "-e", _SCRIPT, str(self._package)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(schema) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "dmmf" in answer:
            return Verdict(True, json.loads(answer["dmmf"])["datamodel"])
        if "panic" in answer or not answer["error"].startswith("{"):
            self.close()
            return Verdict(False, panicked=True)
        message = re.sub(r"\x1b\[[0-9;]*m", "", json.loads(answer["error"])["message"])
        lines = tuple(int(line) for line in re.findall(r"-->  [^\n]*?:(\d+)", message))
        return Verdict(False, lines=lines, message=message)
