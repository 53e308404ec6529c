"""Writes what is shipped and derived from the frozen schema (``make stub``): the stubs of the typed client,
by the code of ``octavo generate``, and the schema with its layout, decoded as in a store's cache."""

from __future__ import annotations

from pathlib import Path

from octavo.generate.stub import awaited, stub
from octavo.schema.texts import frozen_schema
from octavo.store.decoded import SHIPPED, shipped_content

TYPED = Path(__file__).parents[1] / "src/octavo/typed"
FILE, AWAITED = TYPED / "__init__.pyi", TYPED / "awaited.pyi"

if __name__ == "__main__":
    FILE.write_text(stub(frozen_schema()), "utf-8", newline="\n")
    AWAITED.write_text(awaited(), "utf-8", newline="\n")
    Path(SHIPPED).write_bytes(shipped_content())
