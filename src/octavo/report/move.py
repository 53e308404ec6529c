"""The sections about the move: where it stands, whether both sides are equal, what is left, how it went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from octavo.backend import DataBackend
from octavo.report.charts import Stretch, bands
from octavo.report.facts import Facts, Verification
from octavo.report.markup import Child, Element, data, el, folded, mark, moment, table
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
    """Each item with its verdict and reason."""
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
