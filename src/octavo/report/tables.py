"""Tables and marks that several sections use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from octavo.report.markup import Child, Element, el

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
