"""Elements of HTML and SVG, built as a tree: writing the tree escapes the text, never the caller."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Child: TypeAlias = "Element | str | int | Iterable[Element | str | int | None] | None"
Attribute: TypeAlias = "str | float | bool | None"

_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")

__all__ = ["Child", "Element", "data", "document", "el", "number"]


def el(tag: str, *children: Child, **attributes: Attribute) -> Element:
    """An element with its children; None is no child.

    An attribute's ``_`` stands for ``-``, one at its end for nothing (``class_``); one that is None or False
    is left out, one that is True is empty.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        shown = "" if value is True else value if isinstance(value, str) else number(value)
        made.set(name.rstrip("_").replace("_", "-"), clean(shown))
    for child in children:
        if isinstance(child, Element | str | int) or child is None:
            _add(made, child)
        else:
            for part in child:
                _add(made, part)
    return made


def _add(parent: Element, child: Element | str | int | None) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif child is not None:
        text = clean(str(child))
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text


def data(text: str, tag: str = "bdi", **attributes: Attribute) -> Element:
    """Text that comes from data, set apart so that its direction of writing ends where it ends."""
    return el(tag, text, dir=None if tag == "bdi" else "auto", **attributes)


def clean(text: str) -> str:
    """Text with control characters as escapes: those that no page can hold, and those that turn the direction
    of writing, which an element around them cannot contain."""
    return "".join(ascii(c)[1:-1] if _is_control(c) and c not in "\n\t" else c for c in text)


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or unicodedata.bidirectional(character) in _TURNS


def moment(time: datetime) -> Element:
    """A moment in UTC, for people and for machines."""
    return el("time", f"{time:%Y-%m-%d %H:%M} UTC", datetime=time.isoformat())


def number(value: float) -> str:
    """A coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


_SIGNS = {
    "good": ("M4 9 L8 13 L14 5", "good"),
    "bad": ("M5 5 L13 13 M13 5 L5 13", "bad"),
    "unknown": ("M5 9 H13", "unknown"),
}


def mark(verdict: str, words: str = "") -> Element:
    """A verdict as a sign in its colour, and in words."""
    path, name = _SIGNS.get(verdict, _SIGNS["unknown"])
    return el(
        "span",
        el("svg", el("path", d=path), viewBox="0 0 18 18", width=18, height=18, aria_hidden="true"),
        el("span", words or verdict),
        class_=f"mark {name}",
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[Child]], label: str, *, numbers: Sequence[int] = ()
) -> Element:
    """A table that scrolls by itself where the page is too narrow; ``numbers`` stand to the right."""

    def cell(column: int, child: Child, tag: str) -> Element:
        return el(tag, child, class_="number" if column in numbers else None)

    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", *(cell(n, title, "th") for n, title in enumerate(head)))),
            el("tbody", *(el("tr", *(cell(n, child, "td") for n, child in enumerate(row))) for row in rows)),
        ),
        class_="scroll",
        role="region",
        aria_label=label,
        tabindex="0",
    )


def folded(title: str, *children: Child, printed: bool = False) -> Element:
    """Details that are opened on demand; on paper they are there if they are to be ``printed``."""
    return el("details", el("summary", title), *children, class_="printed" if printed else None)


def document(root: Element) -> str:
    """The page's text."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
