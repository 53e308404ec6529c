"""The command line called in this process, as the shell would call it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from octavo.cli import failures
from octavo.cli.app import app

SETTINGS = (
    "DATABASE_URL",
    "DATA_DIR",
    "FILES_ROOT",
    "DATA_BACKEND",
    "ENCRYPTION_MASTER_PEPPER",
    "ENCRYPTION_NEW_PEPPER",
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """What it answered as JSON: everything on stdout."""
        return json.loads(self.out)


def octavo(*arguments: object, **settings: str) -> Done:
    """Run a command with these settings in the environment, and none of the caller's own."""
    given = [str(argument) for argument in arguments]
    out, err = io.BytesIO(), io.BytesIO()
    clean = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    with patch.dict(os.environ, {**clean, **settings}, clear=True), _into(out, err):
        code = failures.exit_code(lambda: app(given, standalone_mode=False), as_json="--json" in given)
    return Done(code, out.getvalue().decode(), err.getvalue().decode())


@contextmanager
def _into(out: io.BytesIO, err: io.BytesIO) -> Iterator[None]:
    texts = io.TextIOWrapper(out, "utf-8"), io.TextIOWrapper(err, "utf-8")
    with redirect_stdout(texts[0]), redirect_stderr(texts[1]):
        yield
    for text in texts:
        # Flushes, and leaves what is below open to be read.
        text.detach()
