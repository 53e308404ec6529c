"""Writes the stubs of the shipped typed client (``make stub``), by the code of ``octavo generate``."""

from __future__ import annotations

from pathlib import Path

from octavo.generate.stub import awaited, stub
from octavo.schema.texts import frozen_schema

TYPED = Path(__file__).parents[1] / "src/octavo/typed"
FILE, AWAITED = TYPED / "__init__.pyi", TYPED / "awaited.pyi"

if __name__ == "__main__":
    FILE.write_text(stub(frozen_schema()), "utf-8", newline="\n")
    AWAITED.write_text(awaited(), "utf-8", newline="\n")
