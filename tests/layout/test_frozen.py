"""The layout of schema 0.7 is there ready-made, and loading it loads little else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from octavo.layout import frozen
from octavo.layout.layout import frozen_layout
from octavo.schema.frozen import frozen_schema


def test_the_ready_made_layout_is_what_its_toml_says() -> None:
    parsed = frozen.parsed_layout(frozen_schema())
    assert frozen_layout() == parsed
    shipped = Path(frozen.__file__).with_name(frozen.READY_FILE).read_bytes()
    assert frozen.made_ready(parsed) == shipped, "make frozen"


def test_it_is_made_of_the_frozen_schema_itself() -> None:
    layout, schema = frozen_layout(), frozen_schema()
    assert layout.datamodel is schema
    assert all(place.model is schema.model(place.model.name) for place in layout.places)
    assert all(place.relation in (None, *schema.foreign_keys) for place in layout.places)


def test_a_process_that_begins_with_it_imports_msgspec_and_octavo_alone() -> None:
    script = (
        "import sys, msgspec; before = set(sys.modules)\n"
        "from octavo.layout.layout import frozen_layout; frozen_layout()\n"
        "print(*sorted(m for m in set(sys.modules) - before if m.split('.')[0] != 'octavo'))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
