"""A layout as the text of its file: TOML that loads to the same layout, whatever it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from octavo.layout.layout import VERSION, FileFamily, Kind, Layout

_TABLES = {
    Kind.DOCUMENT: ("documents", "In a document: arrays under keys of one JSON file."),
    Kind.FILE: ("files", "In a file of its own, named by its key."),
    Kind.LOG: ("logs", "In a log: a line of a JSONL file."),
    Kind.LOG_PER_PARENT: ("logs_per_parent", "In a log per parent, named by the foreign key."),
}
_EMBEDDED = "Embedded: an array inside the parent's record, under the relation's name."
_PAYLOADS = "Files that records point at, kept once per content as <folder>/<2 hex>/<sha256>."
_SEARCH = "Texts that are searched: an index of them is kept below cache/."

_NO_REASONS: Mapping[str, str] = {}


def layout_text(layout: Layout, reasons: Mapping[str, str] = _NO_REASONS) -> str:
    """The whole layout as TOML, which :func:`octavo.layout.load.parse_layout` reads as the same layout.

    ``reasons`` says, by model, why it is placed so; each becomes a comment at the end of its line.
    """
    return "".join(f"{line}\n" for line in _lines(layout, reasons))


def _lines(layout: Layout, reasons: Mapping[str, str]) -> Iterator[str]:
    yield f"version = {VERSION}"
    if excluded := [model.name for model in layout.datamodel.excluded]:
        names = ", ".join(map(_string, excluded))
        said = [f"{name} {reasons[name]}" for name in excluded if name in reasons]
        yield from ("", "# Left out of the store.", _with_reason(f"exclude = [{names}]", "; ".join(said)))
    for kind, (table, comment) in _TABLES.items():
        families = [family for family in layout.families if family.kind is kind]
        if families:
            yield from ("", f"# {comment}", f"[{table}]")
        for family in families:
            said = [reasons[p.model.name] for p in family.places if p.model.name in reasons]
            yield _with_reason(f"{_string(family.path)} = {_models(family)}", "; ".join(dict.fromkeys(said)))
    if embedded := [place for place in layout.places if place.kind is Kind.EMBEDDED and place.relation]:
        yield from ("", f"# {_EMBEDDED}", "[embedded]")
    for place in embedded:
        parent = place.relation.parent if place.relation else ""
        line = f"{_key(place.model.name)} = {_string(f'{parent}.{place.array}')}"
        yield _with_reason(line, reasons.get(place.model.name, ""))
    if paths := {p.model.name: p.payload for p in layout.places if p.payload}:
        sizes = {p.model.name: p.payload_size for p in layout.places if p.payload_size}
        yield from ("", f"# {_PAYLOADS}", "[payloads]", f"folder = {_string(layout.payload_folder)}")
        yield f"path = {_table(paths)}"
        if sizes:
            yield f"size = {_table(sizes)}"
    if searched := [place for place in layout.places if place.search]:
        yield from ("", f"# {_SEARCH}", "[search]")
    for place in searched:
        yield f"{_key(place.model.name)} = [{', '.join(map(_string, place.search))}]"


def _models(family: FileFamily) -> str:
    names = [place.model.name for place in family.places]
    if family.kind is Kind.DOCUMENT:
        return _table({place.array: place.model.name for place in family.places})
    return f"[{', '.join(map(_string, names))}]" if family.kind is Kind.LOG else _string(names[0])


def _table(members: Mapping[str, str]) -> str:
    return f"{{ {', '.join(f'{_key(key)} = {_string(value)}' for key, value in members.items())} }}"


def _with_reason(line: str, reason: str) -> str:
    return f"{line}  # {reason}" if reason else line


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _string(text)


def _string(text: str) -> str:
    # A basic string of TOML has the escapes of JSON, but for the surrogates of characters beyond U+FFFF.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
