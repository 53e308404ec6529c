"""The section about the schema: the diagram, what its lines mean, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.report.diagram import Diagram, drawn, legend
from octavo.report.facts import Facts
from octavo.report.markup import Element, data, el, folded, table
from octavo.report.store import colours
from octavo.text import some


def section(facts: Facts, made: Diagram) -> Iterator[Element]:
    """The diagram and its table."""
    datamodel, groups = facts.layout.datamodel, colours(facts.layout)
    enums = f", {some(len(datamodel.enums), 'enum')}" if datamodel.enums else ""
    coloured = " The colour of a model is that of the folder it lives in." if groups else ""
    hint = " Point at a model to see its own lines alone." if made.keys else ""
    yield el(
        "p",
        f"{some(len(made.boxes), 'table')} and {some(len(made.keys), 'foreign key')}{enums}.{coloured}",
        el("span", hint, class_="screen"),
    )
    yield el(
        "div",
        drawn(made, groups),
        class_="scroll figure",
        role="region",
        aria_label="Diagram",
        tabindex="0",
    )
    if not made.keys:
        return
    yield legend(made)
    yield folded(
        "Every foreign key, as a table",
        table(
            ("model", "fields", "points at", "on delete", "on update"),
            (
                (
                    data(key.child),
                    data(", ".join(key.fields), "code"),
                    data(f"{key.parent}.{', '.join(key.references)}", "code"),
                    el("span", str(key.on_delete), class_=f"action {key.on_delete.lower()}"),
                    str(key.on_update),
                )
                for key in made.keys
            ),
            "Foreign keys",
        ),
    )
