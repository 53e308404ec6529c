"""The layout of schema 0.7: its TOML, and beside it the layout ready-made, as every process begins with it.

After a change to the layout, or to what a layout holds, ``make frozen`` makes the file anew.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from octavo.layout.layout import Kind, Layout, Place, parse_layout
from octavo.schema.datamodel import Datamodel
from octavo.schema.frozen import frozen_schema

FOLDER = os.path.dirname(__file__)
FILE = "layout-0.7.toml"
READY_FILE = "layout-0.7.json"


def ready_layout() -> Layout:
    """The layout, from the ready-made file."""
    datamodel = frozen_schema()
    relations = {relation.constraint: relation for relation in datamodel.foreign_keys}

    def place(line: dict[str, Any]) -> Place:
        linked = {"model": datamodel.model(line["model"]), "relation": relations.get(line["relation"])}
        return Place(**{**line, **linked, "kind": Kind(line["kind"])})

    ready = msgspec.json.decode(_read(READY_FILE))
    return Layout(datamodel, tuple(map(place, ready["places"])), ready["payload_folder"], ready["source"])


def parsed_layout(datamodel: Datamodel) -> Layout:
    """The layout, from its TOML."""
    return parse_layout(_read(FILE).decode(), datamodel, source=FILE)


def made_ready(layout: Layout) -> bytes:
    """A layout as JSON: models by their names, relations by their constraints'."""

    def line(place: Place) -> dict[str, Any]:
        relation = place.relation and place.relation.constraint
        return {**msgspec.structs.asdict(place), "model": place.model.name, "relation": relation}

    ready = {
        "source": layout.source,
        "payload_folder": layout.payload_folder,
        "places": list(map(line, layout.places)),
    }
    return msgspec.json.format(msgspec.json.encode(ready), indent=1) + b"\n"


def _read(file: str) -> bytes:
    with open(os.path.join(FOLDER, file), "rb") as opened:
        return opened.read()


if __name__ == "__main__":
    from pathlib import Path

    Path(FOLDER, READY_FILE).write_bytes(made_ready(parsed_layout(frozen_schema())))
