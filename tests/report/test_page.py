"""The page: whole without a network, the same for the same facts, and where text is due nothing but text."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from octavo.backend import DataBackend
from octavo.layout.load import flat_layout, frozen_layout
from octavo.move.status import Status
from octavo.report.facts import Facts
from octavo.report.markup import clean, document, el, squarified
from octavo.report.page import render
from octavo.schema.parser import parse_schema
from report_world import HOSTILE, NOW, checklist, facts, hostile_facts

STYLE = files("octavo.report").joinpath("style.css").read_text("utf-8")
VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """What stands in a page: its elements with their attributes, and its text outside of the style sheet."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.style: list[str] = []
        self.comments: list[str] = []
        self.around: list[tuple[str, dict[str, str]]] = []
        """the element that each piece of text stands in"""
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "style":
            self.style.append(data)
        else:
            self.text.append(data)
            self.around.append(self._open[-1] if self._open else ("", {}))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pages() -> list[tuple[str, Facts, list[object]]]:
    empty = Status(DataBackend.PRISMA, Path("data"))
    return [
        ("rich", facts(), list(checklist())),
        ("hostile", hostile_facts(), list(checklist(HOSTILE))),
        ("bare", Facts(NOW, "data", frozen_layout(), {}, empty), []),
    ]


@pytest.fixture(params=pages(), ids=lambda made: made[0])
def page(request: pytest.FixtureRequest) -> str:
    _, gathered, items = request.param
    return render(gathered, items)


def test_nothing_in_it_is_fetched_or_run(page: str) -> None:
    found = Page(page)
    assert not {tag for tag, _ in found.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
    }
    for _, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            assert name not in ("src", "srcset", "action", "formaction", "xlink:href", "background", "poster")
            if name == "href":
                assert value.startswith("#")
            if name not in ("xmlns", "title", "aria-label"):
                assert "url(" not in value
    assert not re.search(r"url\(|@import|https?:|expression", "".join(found.style))
    assert not found.comments


def test_its_policy_allows_its_own_style_and_nothing_else(page: str) -> None:
    found = Page(page)
    (policy,) = [m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256("".join(found.style).encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert len(found.all("style")) == 1


def test_hostile_words_are_text_and_nothing_but_text() -> None:
    page = render(hostile_facts(), checklist(HOSTILE))
    found = Page(page)
    harmless = Page(render(facts(hostile_facts().layout, ("alice",)), checklist()))
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in harmless.elements}
    for word in HOSTILE:
        # In the map, the counts, the growth, and wherever else a word stands.
        assert found.text.count(clean(word)) > 5


def test_what_no_page_can_hold_is_shown_as_such() -> None:
    found = Page(document(el("p", "a\0b\x1b\ud800\x85\r\n", title='\0<">&')))
    assert found.elements == [("p", {"title": '\\x00<">&'})]
    assert "".join(found.text).strip() == "a\\x00b\\x1b\\ud800\\x85\\r"


def test_words_that_run_from_right_to_left_end_where_they_end() -> None:
    found = Page(render(hostile_facts(), checklist(HOSTILE)))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", "".join(found.text))
    for word in map(clean, HOSTILE):
        around = [found.around[n] for n, text in enumerate(found.text) if word in text]
        assert len(around) > 5
        for tag, attributes in around:
            # A title is plain text; a text of a picture stands for itself.
            assert tag in ("bdi", "title", "text") or attributes.get("dir") == "auto", tag


def test_the_same_facts_give_the_same_page(exported: Path) -> None:
    script = (
        "import sys, hashlib; from datetime import datetime, UTC; from pathlib import Path;"
        "from octavo.backend import DataBackend; from octavo.layout.load import frozen_layout;"
        "from octavo.move.status import Status; from octavo.report.facts import gather;"
        "from octavo.report.page import render;"
        "found = gather(Status(DataBackend.JSON, Path(sys.argv[1])), frozen_layout(),"
        " now=datetime(2026, 1, 1, tzinfo=UTC));"
        "print(hashlib.sha256(render(found).encode()).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", script, str(exported)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1


def test_every_anchor_leads_somewhere_and_no_name_is_given_twice(page: str) -> None:
    found = Page(page)
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"].removeprefix("#") for a in found.all("a")]
    assert links == ["verification", "checklist", "schema", "files", "growth", "timeline"]
    named = {
        name for _, a in found.elements for key in ("aria-labelledby",) for name in a.get(key, "").split()
    }
    assert {*links, *named} <= set(ids)


def test_pictures_say_what_they_show(page: str) -> None:
    for svg in Page(page).all("svg"):
        assert svg.get("aria-hidden") == "true" or (
            svg["role"] == "img" and (svg.get("aria-label") or svg.get("aria-labelledby"))
        )


def test_it_says_what_there_is() -> None:
    text = " ".join(Page(render(facts(), checklist())).text)
    for said in (
        "not equal",
        "Not equal.",
        "The files",
        "cutover",
        "VerificationToken",
        "chats/{chatId}.jsonl",
        "5 hours earlier",
        "not in the files",
        "bad",
        "since",
        "CharacterTag",
        "payloads, once per content",
    ):
        assert said.lower() in text.lower(), said


def test_it_says_what_there_is_not() -> None:
    text = " ".join(Page(render(pages()[2][1])).text)
    for said in ("never", "There is no data folder yet", "No step has been recorded yet", "no counts yet"):
        assert said in text


def test_one_model_alone() -> None:
    layout = flat_layout(
        parse_schema(
            'datasource db {\n  provider = "postgresql"\n  url = "x"\n}\nmodel A {\n  id Int @id\n}\n'
        )
    )
    page = render(facts(layout))
    assert "1 table and 0 foreign keys." in page
    assert "Every foreign key" not in page


def test_a_store_of_nothing_draws_no_shares() -> None:
    found = facts()
    assert found.files is not None
    nothing = replace(
        found.files, holdings=tuple(replace(h, size=0) for h in found.files.holdings), payloads=None
    )
    assert "treemap" in render(found).partition("</style>")[2]
    assert "treemap" not in render(replace(found, files=nothing)).partition("</style>")[2]


@pytest.mark.parametrize("sizes", [[1], [5, 5], [100, 1, 1, 1], [8, 7, 6, 5, 4, 3, 2, 1], [10**9, 1], []])
def test_shares_fill_their_area_without_overlap(sizes: list[float]) -> None:
    width, height = 300.0, 120.0
    cells = list(squarified(sizes, width, height))
    assert len(cells) == len(sizes)
    for (x, y, w, h), size in zip(cells, sizes, strict=True):
        assert w * h == pytest.approx(size / sum(sizes) * width * height, rel=1e-6)
        assert x >= 0
        assert y >= 0
        assert x + w <= width * (1 + 1e-6)
        assert y + h <= height * (1 + 1e-6)
    for n, (x, y, w, h) in enumerate(cells):
        for ox, oy, ow, oh in cells[:n]:
            apart = 1e-6
            assert x >= ox + ow - apart or ox >= x + w - apart or y >= oy + oh - apart or oy >= y + h - apart


def schemes() -> dict[str, dict[str, str]]:
    """The colours of each scheme, by name."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    light, dark, paper = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in blocks)
    return {"light": light, "dark": dark, "print": paper}


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_colours_have_contrast_enough(scheme: str) -> None:
    colours = schemes()[scheme]
    assert set(colours) == set(schemes()["light"])
    tints = [name for name in colours if re.fullmatch(r"g[0-7xp]", name)]
    for ground in ("paper", "card"):
        for text in ("ink", "soft", "good", "bad", "unknown", "accent"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for line in ("cascade", "setnull", "restrict", "noaction", "setdefault"):
            assert contrast(colours[line], colours[ground]) >= 4.5, (line, ground)
    for tint in tints:
        assert contrast(colours["ink"], colours[tint]) >= 4.5, tint
