"""Prisma's own schema engines, asked through Node: what they accept, their DMMF, their SQL.

There are two: that of Prisma 6.19 and that of the newest Prisma 7, which takes no ``url``.  A schema is right
if either accepts it.  They are versions of the npm packages ``@prisma/prisma-schema-wasm`` and
``@prisma/schema-engine-wasm``, which ``make`` puts into the checkout's ``node_modules`` under names of their
own; the environment variable ``OCTAVO_PRISMA_WASM`` names another folder that has them.
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

PACKAGES = ("prisma-schema-6", "prisma-schema-7")
MIGRATE = "prisma-migrate-7"
_URL = re.compile(r"^\s*(url|directUrl|shadowDatabaseUrl)\s*=.*\n", re.MULTILINE)

_SCRIPT = """
const engines = process.argv.slice(1).map(require);
const lines = require('readline').createInterface({input: process.stdin});
function ask(engine, schema) {
  try { return {dmmf: engine.get_dmmf(schema)}; }
  catch (error) {
    try { engine.validate(schema); return {panic: true}; }
    catch (refusal) { return {error: String(refusal.message || refusal)}; }
  }
}
lines.on('line', line => {
  const schema = JSON.stringify({prismaSchema: JSON.parse(line)});
  process.stdout.write(JSON.stringify(engines.map(engine => ask(engine, schema))) + '\\n');
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


def without_url(text: str) -> str:
    """A schema as Prisma 7 has it: the address of the database is elsewhere."""
    return _URL.sub("", text)


def find_packages() -> list[Path] | None:
    """The folders of the two engines, if Node and both of them are there."""
    found = [_package(name) for name in PACKAGES]
    return [path for path in found if path is not None] if all(found) else None


def _package(name: str) -> Path | None:
    if shutil.which("node") is None:
        return None
    checkout = Path(__file__).resolve().parent.parent
    path = Path(os.environ.get("OCTAVO_PRISMA_WASM") or checkout / "node_modules") / name
    return path if (path / "package.json").is_file() else None


def migrations(texts: Sequence[str]) -> list[str | None] | None:
    """The SQL by which Prisma Migrate makes each schema; None where it refuses.  None without the engine."""
    package = _package(MIGRATE)
    if package is None:
        return None
    command = ["node", str(Path(__file__).with_name("prisma_migrate.mjs")), str(package)]
    answers: list[str | None] = []
    while len(answers) < len(texts):
        # After a panic it starts anew with the next.
        asked = "".join(json.dumps(without_url(text)) + "\n" for text in texts[len(answers) :])
        result = subprocess.run(command, input=asked, capture_output=True, encoding="utf-8", check=False)
        answers += [json.loads(line) for line in result.stdout.splitlines()]
    return answers


class Oracle:
    """One Node process that answers for many schemas.  After a panic it starts anew."""

    def __init__(self, packages: Sequence[Path]) -> None:
        self._packages = packages
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
        """What the engines say of a text, or of several files (names and texts).

        Of a schema that neither accepts: what the one says that it is written for.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                ["node", "-e", _SCRIPT, *map(str, self._packages)],
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
        verdicts = [_verdict(answer) for answer in json.loads(self._process.stdout.readline())]
        if any(verdict.panicked for verdict in verdicts):
            self.close()
        for verdict in verdicts:
            if verdict.accepted:
                return verdict
        text = schema if isinstance(schema, str) else "".join(text for _, text in schema)
        return verdicts[0 if _URL.search(text) else 1]


def _verdict(answer: dict[str, str]) -> Verdict:
    if "dmmf" in answer:
        return Verdict(True, json.loads(answer["dmmf"])["datamodel"])
    if "panic" in answer or not answer["error"].startswith("{"):
        return Verdict(False, panicked=True)
    message = re.sub(r"\x1b\[[0-9;]*m", "", json.loads(answer["error"])["message"])
    lines = tuple(int(line) for line in re.findall(r"-->  [^\n]*?:(\d+)", message))
    return Verdict(False, lines=lines, message=message)
