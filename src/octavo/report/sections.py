"""The sections of the page: the move, verification, checklist, schema, the files and their growth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from octavo.backend import DataBackend
from octavo.layout.layout import Kind, Layout
from octavo.report.diagram import Diagram, drawn, legend
from octavo.report.facts import Facts, Holding, Store, Verification
from octavo.report.markup import (
    Child,
    Part,
    Stretch,
    bands,
    data,
    el,
    folded,
    mark,
    moment,
    number,
    sparkline,
    table,
    treemap,
)
from octavo.store.phase import Phase
from octavo.text import age, size, some

if TYPE_CHECKING:
    from octavo.move.checklist import Item
    from octavo.move.status import Status

_MOST = 20
"""divergences that are named"""

_SIDES = {DataBackend.PRISMA: "PostgreSQL", DataBackend.JSON: "the files", DataBackend.DUAL: "both"}
_PHASES = {
    Phase.INVENTORY: "what there is has been counted",
    Phase.SCAFFOLD: "the folders are there",
    Phase.DUAL_WRITE: "the files are seeded and kept in step",
    Phase.VERIFICATION: "both sides were found equal",
    Phase.CUTOVER: "the files are the database",
    Phase.CLEANUP: "the way back was given up",
}
_KINDS = {
    "missing": "not in the files",
    "extra": "only in the files",
    "different": "different",
    "damaged": "damaged",
}


def overview(facts: Facts) -> Iterator[Element]:
    """The state at a glance: four figures, and the phases."""
    yield el(
        "div",
        _figure("Backend of record", *_backend(facts)),
        _figure("Last full verification", *_verdict(facts)),
        _figure("Records", *_records(facts)),
        _figure("On disk", *_disk(facts)),
        class_="figures",
    )
    now = facts.status.phase
    reached = list(Phase).index(now) if now is not None else -1
    steps = [
        el(
            "li",
            el("b", phase.value),
            el("span", meaning),
            class_="done" if n < reached else "now" if n == reached else "ahead",
            aria_current="step" if n == reached else None,
        )
        for n, (phase, meaning) in enumerate(_PHASES.items())
    ]
    yield el("ol", *steps, class_="phases", aria_label="Phases of the move")
    if facts.state.phase is None:
        yield el("p", "No step of a move has been recorded for this folder.", class_="soft")
    if rows := list(_standing(facts)):
        yield el("dl", *(part for row in rows for part in row), class_="standing")


def _standing(facts: Facts) -> Iterator[tuple[Element, Element]]:
    """What is to be known of both sides just now: a term, and what is to be said about it."""

    def told(term: str, verdict: str, words: str, *more: Child) -> tuple[Element, Element]:
        return el("dt", term), el("dd", mark(verdict, words), *more)

    found = facts.status
    if found.database is not None or found.fenced:
        reason = found.database or ""
        fenced = ", takes no writes" if found.fenced else ""
        yield told(
            "PostgreSQL",
            "bad" if reason else "good",
            "not there" if reason else f"there{fenced}",
            *_why(reason),
        )
    if found.store is not None:
        yield told(
            "Files",
            "bad" if found.store else "good",
            "not there" if found.store else "there",
            *_why(found.store),
        )
    if found.store == "":
        waits = (found.in_doubt or found.lagging) and not found.writing
        words = some(found.entries, "entry", "entries") if found.entries else "empty"
        doubt = f", {found.in_doubt:,} in doubt" if found.in_doubt else ""
        lag = ", to be recovered" if found.lagging else ""
        yield told("Journal", "bad" if waits else "good", f"{words}{doubt}{lag}")
        yield _divergences(found)
    if facts.state.following is not None:
        lag = "how far behind is not known" if found.lag is None else f"{size(found.lag)} of log behind"
        yield el("dt", "Following"), el("dd", f"since {facts.state.following.since}: {lag}")
    if (backup := facts.state.backup) is not None:
        yield el("dt", "Last backup"), el("dd", moment(_time(backup.time)), " ", data(backup.archive, "code"))


def _why(reason: str) -> tuple[Child, ...]:
    return (" ", data(reason)) if reason else ()


def _divergences(found: Status) -> tuple[Element, Element]:
    if not found.divergences:
        return el("dt", "Divergences"), el("dd", mark("good", "none open"))
    listed = [
        el("li", data(" ".join(filter(None, (d.kind, *d.about, ", ".join(d.fields), d.reason)))))
        for d in found.divergences[:_MOST]
    ]
    if len(found.divergences) > _MOST:
        listed.append(el("li", f"… and {len(found.divergences) - _MOST:,} more"))
    words = f"{len(found.divergences):,} open"
    return el("dt", "Divergences"), el("dd", mark("bad", words), el("ul", *listed, class_="plain"))


def _figure(title: str, value: Child, *notes: Child) -> Element:
    return el("div", el("h3", title), el("p", value, class_="value"), el("p", *notes, class_="soft"))


def _backend(facts: Facts) -> tuple[Child, ...]:
    state = facts.state
    name = _SIDES[state.backend]
    since: tuple[Child, ...] = ("from the beginning",)
    if state.since is not None:
        since = ("since ", moment(_time(state.since)))
    following = (" · the files follow it",) if state.following is not None else ()
    return (name[0].upper() + name[1:], *since, *following)


def _verdict(facts: Facts) -> tuple[Child, ...]:
    found = facts.verification
    if found is None:
        return mark("unknown", "never"), "octavo verify has left no report here"
    if found.equal and not found.holds:
        return mark("unknown", "equal then"), age(facts.made - found.time), _written(found)
    words = "equal" if found.equal else some(found.total, "difference")
    return mark("good" if found.equal else "bad", words), age(facts.made - found.time)


def _written(found: Verification) -> str:
    """Which side was written to since a verification, or may have been."""
    names = {"database": _SIDES[DataBackend.PRISMA], "files": _SIDES[DataBackend.JSON]}
    if sure := [name for side, name in names.items() if found.written[side]]:
        return f"{' and '.join(sure)} written to since"
    unsure = [name for side, name in names.items() if found.written[side] is None]
    return f"not known whether {' or '.join(unsure)} were written to since"


def _records(facts: Facts) -> tuple[Child, ...]:
    models = some(len(facts.layout.places), "model")
    files, database = (facts.counted(side) for side in ("files", "database"))
    if files is None and database is None:
        return "–", f"of {models}; neither side could be counted"
    first, second = (files, database) if files is not None else (database, None)
    notes = f"in {'the files' if files is not None else 'PostgreSQL'}, of {models}"
    if second is not None:
        notes += f"; {sum(second.values()):,} in PostgreSQL"
    return f"{sum((first or {}).values()):,}", notes


def _disk(facts: Facts) -> tuple[Child, ...]:
    if facts.files is None:
        return "–", "there is no data folder yet"
    return size(facts.files.size), f"in {some(facts.files.files, 'file')}"


def verification(facts: Facts) -> Iterator[Element]:
    """The last full verification: its verdict, and each model on both sides."""
    found = facts.verification
    if found is None:
        yield el(
            "p",
            "The files have not been held against PostgreSQL yet: ",
            el("code", "octavo verify"),
            " does.",
        )
        return
    yield el("p", *_sentence(facts, found), class_="lead")
    if found.left_out:
        yield el("p", mark("unknown", "left out:"), class_="gap")
        yield el("ul", *(el("li", data(reason)) for reason in found.left_out))
    if found.by_model:
        kinds = [k for k in _KINDS if any(k in by for by in found.by_model.values())]
        yield el("h3", "Differences by model")
        yield table(
            ("model", *(_KINDS[k] for k in kinds), "all"),
            (
                (data(model), *(_count(by.get(k, 0)) for k in kinds), f"{sum(by.values()):,}")
                for model, by in found.by_model.items()
            ),
            "Differences by model and kind",
            numbers=range(1, len(kinds) + 2),
        )
    if found.broken:
        yield el("p", f"Uniques and foreign keys that the files break: {found.broken:,}.")
    if found.differences:
        more = found.total - found.broken - len(found.differences)
        last = [el("li", f"… and {more:,} more, in the report")] if more > 0 else []
        yield folded(
            f"{some(len(found.differences), 'difference')}, one by one",
            el("ul", *(el("li", data(text)) for text in found.differences), *last, class_="plain"),
        )
    if found.counts:
        counts = table(
            ("model", "PostgreSQL", "files", ""),
            (_sides(found, model) for model in found.counts),
            "Records of each model on both sides",
            numbers=(1, 2),
        )
        title = f"{some(found.records, 'record')} of {some(len(found.counts), 'model')}, on both sides"
        yield folded(title, counts, printed=True)


def _sentence(facts: Facts, found: Verification) -> Iterator[Child]:
    if found.equal:
        yield mark("good", "Equal.") if found.holds else mark("unknown", "Equal then.")
        yield " Every field of every record was the same on both sides, "
    else:
        yield mark("bad", "Not equal.")
        yield f" {some(found.total, 'difference')} between PostgreSQL and the files, "
    yield moment(found.time)
    yield f" ({age(facts.made - found.time)}), in {found.seconds:,.1f} s."
    if found.equal and not found.holds:
        said = _written(found)
        yield f" {said[0].upper()}{said[1:]}."
    if found.secrets is not None:
        yield f" {some(found.secrets, 'secret')} decrypted."
    if found.payloads:
        yield f" {some(found.payloads, 'payload')} held against their digests."
    if found.report:
        yield " All of it: "
        yield data(found.report, "code")


def _sides(found: Verification, model: str) -> tuple[Child, ...]:
    there = found.counts[model]
    database, in_files = there.get("database", 0), there.get("files", 0)
    differs = sum(found.by_model.get(model, {}).values())
    good = database == in_files and not differs
    equal = "equal" if found.holds else "equal then"
    words = equal if good else some(differs, "difference") if differs else "not as many"
    verdict = "bad" if not good else "good" if found.holds else "unknown"
    return data(model), f"{database:,}", f"{in_files:,}", mark(verdict, words)


def _count(number: int) -> str:
    return f"{number:,}" if number else "–"


def checklist(items: Sequence[Item]) -> Iterator[Element]:
    if not items:
        yield el("p", "There is nothing to check yet.", class_="soft")
        return
    numbers = {
        verdict: sum(item.verdict == verdict for item in items) for verdict in ("good", "bad", "unknown")
    }
    yield el("p", *(mark(v, f"{n:,} {v}") for v, n in numbers.items() if n), class_="tally")
    yield el(
        "ul",
        *(
            el(
                "li",
                mark(item.verdict),
                el("div", data(item.title, "b"), data(item.reason, "p") if item.reason else None),
            )
            for item in items
        ),
        class_="checklist",
    )


def timeline(facts: Facts) -> Iterator[Element]:
    """Every step of the move: when, by whom, why."""
    steps = facts.state.transitions
    if not steps:
        yield el("p", "No step has been recorded yet.", class_="soft")
        return
    times = [_time(step.time) for step in steps]
    ends = [*times[1:], max(facts.made, times[-1])]
    phases = [
        Stretch(s.phase, a, b, f"p{_number(s.phase)}") for s, a, b in zip(steps, times, ends, strict=True)
    ]
    sides = [
        Stretch(_SIDES[s.backend], a, b, f"side-{s.backend}")
        for s, a, b in zip(steps, times, ends, strict=True)
    ]
    if ends[-1] > times[0]:
        yield el(
            "div",
            bands(
                {"phase": phases, "of record": _joined(sides)},
                1100,
                "How long each phase was, and which backend was of record",
            ),
            class_="wide",
        )
    yield el(
        "ol",
        *(
            el(
                "li",
                moment(time),
                el(
                    "div",
                    el("b", step.phase.value),
                    el("span", f"of record: {_SIDES[step.backend]}", class_="chip"),
                    el("p", data(step.why)),
                    el("p", "by ", data(step.who), class_="soft"),
                ),
            )
            for step, time in zip(steps, times, strict=True)
        ),
        class_="timeline",
    )


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches of the same name that follow each other, as one."""
    joined: list[Stretch] = []
    for s in stretches:
        if joined and joined[-1].name == s.name:
            joined[-1] = Stretch(s.name, joined[-1].begin, s.end, s.colour)
        else:
            joined.append(s)
    return joined


def _number(phase: Phase) -> int:
    return list(Phase).index(phase)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


_COLOURS = 8
_FILES = {
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


def files(facts: Facts) -> Iterator[Element]:
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
            el("div", data(family.path, "code"), el("p", _FILES[family.kind], class_="soft")),
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


def schema(facts: Facts, made: Diagram) -> Iterator[Element]:
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
