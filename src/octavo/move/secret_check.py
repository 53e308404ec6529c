"""The secrets of a verification: each opens with the pepper, or is well-formed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from octavo.inspect.findings import Difference, DifferenceKind, Differences, shown_key
from octavo.inspect.observers import Inspector, Rows
from octavo.layout.layout import Layout
from octavo.layout.listing import File
from octavo.schema.datamodel import Model


def holders(layout: Layout) -> dict[str, Model]:
    """The models with secrets that can be opened or looked at."""
    return {m.name: m for m in layout.datamodel.tables if any(_checkable(m))}


def check_secrets(inspector: Inspector, files: Iterable[File], pepper: str, found: Differences) -> int:
    """Look at each secret in these files, which ``inspector`` reads; differences go to ``found``.

    Gives the number of secrets.
    """
    from octavo.crypto import check_record

    layout = inspector.layout
    models = holders(layout)
    opened = 0

    def look(file: str, name: str, rows: Rows) -> None:
        nonlocal opened
        if (model := models.get(name)) is None:
            return
        for row, _ in rows:
            raw = dict(zip((f.name for f in model.scalars), row, strict=True))
            values = {n: None if v is None else v.decode() for n, v in raw.items()}
            opened += sum(values[n] is not None for n in _checkable(model))
            if broken := check_record(model, values, pepper):
                found.add(
                    Difference(
                        model=name,
                        kind=DifferenceKind.DAMAGED,
                        key=shown_key(model, raw),
                        fields=tuple(broken),
                        reason="does not decrypt with this pepper, or is not well-formed",
                        file=file,
                    )
                )

    hosts = {layout.host(name).path for name in models}
    for file in files:
        if file.family.path in hosts:
            # What is damaged has been reported by now.
            inspector.observe(file, partial(look, file.path))
    return opened


def _checkable(model: Model) -> list[str]:
    return [f.name for f in model.scalars if f.secret is not None and f.secret.is_checkable]
