"""The sections about the data: which model lives in which file, how large each is, how each grew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from octavo.layout.layout import Kind, Layout
from octavo.report.charts import Part, sparkline, treemap
from octavo.report.facts import Facts, Holding, Store
from octavo.report.markup import Child, Element, data, el, moment, number, table
from octavo.text import size, some

_COLOURS = 8
_KINDS = {
    Kind.DOCUMENT: "a document",
    Kind.FILE: "a file for each record",
    Kind.LOG: "a log, a line for each record",
    Kind.LOG_PER_PARENT: "a log for each parent",
}


def colours(layout: Layout) -> dict[str, int]:
    """A number for each model's colour: that of its folder.  Empty where there are too many, or one."""
    folders = {p.model.name: layout.host(p.model.name).path.rpartition("/")[0] for p in layout.places}
    distinct = list(dict.fromkeys(folders.values()))
    if not 1 < len(distinct) <= _COLOURS:
        return {}
    return {name: distinct.index(folder) for name, folder in folders.items()}


def section(facts: Facts) -> Iterator[Element]:
    """The map from models to files: a picture of the bytes, and a table of everything."""
    store, layout = facts.files, facts.layout
    if store is None:
        yield el("p", "There is no data folder yet; this is where each model will live.", class_="soft")
    else:
        stray = f" {some(store.strays, 'file')} among them belong to nothing." if store.strays else ""
        yield el("p", f"{some(store.files, 'file')}, {size(store.size)}.{stray}")
        if store.size:
            parts = list(_parts(layout, store))
            label = f"The shares of {size(store.size)}"
            yield el(
                "div",
                treemap(parts, 1100, 260, label, class_="broad"),
                treemap(parts, 340, 320, label, class_="narrow"),
                class_="figure",
            )
    most = max([1, *(h.size for h in _all(store))])
    yield table(
        ("file", "models", "files", "size", ""),
        _rows(facts, most),
        "Which model lives in which file",
        numbers=(2, 3),
    )


def _all(store: Store | None) -> list[Holding]:
    if store is None:
        return []
    return [*store.holdings, *([store.payloads] if store.payloads else [])]


def _parts(layout: Layout, store: Store) -> Iterator[Part]:
    chosen = colours(layout)
    for family, holding in zip(layout.families, store.holdings, strict=True):
        share = f"{size(holding.size)}, {holding.size / store.size:.1%}"
        yield Part(family.path, holding.size, share, _colour(chosen, family.places[0].model.name))
    if store.payloads is not None:
        share = f"{size(store.payloads.size)}, {store.payloads.size / store.size:.1%}"
        yield Part(store.payloads.path, store.payloads.size, f"payloads, {share}", "gp")


def _colour(chosen: dict[str, int], model: str) -> str:
    return f"g{chosen.get(model, 'x')}"


def _rows(facts: Facts, most: int) -> Iterator[tuple[Child, ...]]:
    layout, store = facts.layout, facts.files
    chosen = colours(layout)
    sizes = {} if store is None else {h.path: h for h in store.holdings}
    for family in layout.families:
        holding = sizes.get(family.path)
        colour = _colour(chosen, family.places[0].model.name)
        yield (
            el("div", data(family.path, "code"), el("p", _KINDS[family.kind], class_="soft")),
            el("ul", *_models(facts, [p.model.name for p in family.places]), class_="plain"),
            "–" if holding is None else f"{holding.files:,}",
            "–" if holding is None else size(holding.size),
            _bar(holding, most, colour),
        )
    if layout.payload_folder:
        payloads = store.payloads if store else None
        named = [p.model.name for p in layout.places if p.payload]
        yield (
            el(
                "div",
                data(f"{layout.payload_folder}/<2 hex>/<sha256>", "code"),
                el("p", "payloads, once per content", class_="soft"),
            ),
            el("ul", *(el("li", "of ", data(name)) for name in named), class_="plain"),
            "–" if payloads is None else f"{payloads.files:,}",
            "–" if payloads is None else size(payloads.size),
            _bar(payloads, most, "gp"),
        )


def _bar(holding: Holding | None, most: int, colour: str) -> Element | None:
    """How large a file is beside the largest one."""
    if holding is None or not holding.size:
        return None
    width = max(1.5, holding.size / most * 120)
    return el(
        "svg",
        el("rect", x=0, y=0, width=width, height=12, rx=2, class_=colour),
        viewBox="0 0 120 12",
        width=120,
        height=12,
        class_="bar",
        aria_hidden="true",
    )


def _models(facts: Facts, names: list[str], *, inside: str = "") -> Iterator[Element]:
    """The models of a file with their counts, each followed by what is embedded in its records."""
    counts = facts.counted("files")
    for name in names:
        count = None if counts is None else el("span", f"{counts.get(name, 0):,}", class_="soft")
        array = facts.layout.place(name).array
        where = el("span", f" in {inside}.", data(array), class_="soft") if inside else None
        yield el("li", data(name), " ", count, where, class_="inner" if inside else None)
        embedded = [p.model.name for p in facts.layout.embedded(name)]
        yield from _models(facts, embedded, inside=name)


def growth(facts: Facts) -> Iterator[Element]:
    """How many records each model had at each inventory, and has now."""
    points = facts.snapshots
    if not points:
        yield el(
            "p",
            "There are no counts yet: ",
            el("code", "octavo inventory"),
            " takes the first ones.",
            class_="soft",
        )
        return
    first, last = points[0], points[-1]
    yield el("p", *_told(len(points), first.time, last.time), data(last.source), ".")
    cards = []
    for model in facts.layout.datamodel.tables:
        numbers = [(p.time, p.counts[model.name]) for p in points if model.name in p.counts]
        if not numbers:
            continue
        change = numbers[-1][1] - numbers[0][1]
        said = f"{numbers[0][1]:,} → {numbers[-1][1]:,}"
        cards.append(
            el(
                "li",
                data(model.name, "b"),
                sparkline(numbers, f"{model.name}: {said}"),
                el("span", f"{numbers[-1][1]:,}", class_="value"),
                el("span", f"{change:+,}".replace("-", "−") if change else "±0", class_="soft"),
            )
        )
    yield el("ul", *cards, class_="growth")


def _told(many: int, first: datetime, last: datetime) -> Iterator[Child]:
    if many == 1:
        yield "One count so far, of "
        yield moment(last)
        yield ": "
        return
    yield f"{number(many)} counts from "
    yield moment(first)
    yield " to "
    yield moment(last)
    yield "; the last one is of "
