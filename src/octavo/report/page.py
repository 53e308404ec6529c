"""The page: what was gathered and drawn, put together, with nothing that would have to be fetched.

The policy that the page carries (Content-Security-Policy) allows its own style sheet, by its digest, and
nothing else: no script, no image, no font, no connection.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from octavo.backend import DataBackend
from octavo.errors import OctavoError
from octavo.report import sections
from octavo.report.diagram import diagram, fitting, highlighting
from octavo.report.facts import Facts, gather
from octavo.report.markup import data, document, el, moment
from octavo.store import disk, phase

if TYPE_CHECKING:
    from pathlib import Path

    from octavo.inspect.progress import Progress, Tell
    from octavo.layout.layout import Layout
    from octavo.move.checklist import Item
    from octavo.move.sides import MoveReport, Sides
    from octavo.move.status import Status

GENERATOR = "octavo report"


def render(facts: Facts, checklist: Sequence[Item] = ()) -> str:
    """The page as HTML.  The same facts and checklist give the same text."""
    made = diagram(facts.layout.datamodel)
    sheet = files("octavo.report").joinpath("style.css").read_text("utf-8")
    style = f"{sheet}{fitting(made)}{highlighting(made)}"
    shown = {
        "verification": ("Verification", sections.verification(facts)),
        "checklist": ("Checklist", sections.checklist(checklist)),
        "schema": ("Schema", sections.schema(facts, made)),
        "files": ("Files", sections.files(facts)),
        "growth": ("Growth", sections.growth(facts)),
        "timeline": ("Timeline", sections.timeline(facts)),
    }
    page = el(
        "html",
        _head(facts, style),
        el(
            "body",
            el(
                "header",
                el("h1", "Octavo report"),
                el("p", data(facts.data_dir, "code"), ", ", moment(facts.made), class_="soft"),
            ),
            el(
                "main",
                *_problems(facts),
                *sections.overview(facts),
                el(
                    "nav",
                    el("ul", *(el("li", el("a", t, href=f"#{name}")) for name, (t, _) in shown.items())),
                    aria_label="Contents",
                ),
                *(
                    el(
                        "section",
                        el("h2", title, id=f"{name}-title"),
                        *parts,
                        id=name,
                        aria_labelledby=f"{name}-title",
                    )
                    for name, (title, parts) in shown.items()
                ),
            ),
            _foot(facts),
        ),
        lang="en",
    )
    return document(page)


def write_page(found: Status, layout: Layout, target: Path, schema_text: str | None = None) -> Facts:
    """Write the page of what was found into a file, and give what it shows.  Raises DiskError."""
    facts = gather(found, layout, schema_text=schema_text)
    disk.write_file(target, render(facts, found.checklist).encode())
    return facts


def write_page_of_move(
    report: MoveReport, sides: Sides, pepper: str | None, progress: Progress, tell: Tell
) -> None:
    """Write the page of how everything stands after a cutover or a rollback; ``report.page`` is its file.

    What keeps the page from being written is noted: the move is done nevertheless.
    """
    from octavo.move.status import Looking, status

    path = sides.data_dir / "cache" / f"report-{phase.now()[:10]}.html"
    try:
        of_record = phase.read(sides.data_dir).backend
        kind = DataBackend.DUAL if of_record is DataBackend.PRISMA else of_record
        with report.step("report", tell) as told:
            found = status(kind, sides.vocabulary, sides.settings, Looking(pepper=pepper), progress)
            write_page(found, sides.layout, path)
            told(str(path))
    except OctavoError as error:
        report.notes.append(f"the page could not be written: {error}")
    else:
        report.page = path


def _head(facts: Facts, style: str) -> Element:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="generator", content=GENERATOR),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="robots", content="noindex"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"Octavo report: {_name(facts)}, {facts.made:%Y-%m-%d}"),
        el("style", style),
    )


def _name(facts: Facts) -> str:
    return facts.data_dir.rstrip("/").rpartition("/")[2] or facts.data_dir


def _problems(facts: Facts) -> Iterator[Element]:
    if facts.problems:
        yield el(
            "section",
            el("h2", "What could not be read"),
            el("ul", *(el("li", data(problem)) for problem in facts.problems)),
            class_="problems",
            role="alert",
        )


def _foot(facts: Facts) -> Element:
    version = facts.schema.get("version")
    return el(
        "footer",
        el(
            "p",
            f"Made by Octavo {facts.version} from ",
            data(facts.data_dir, "code"),
            f"; schema {version}" if version else "; schema",
            " ",
            data(str(facts.schema.get("fingerprint", "")), "code"),
            ".",
        ),
        el("p", "Of the records it holds numbers and, where some differ, their keys; no other value."),
    )
