"""The page in a real browser without a network: whole, readable, and no wider than the window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import PROGRAM, Browser, browser
from octavo.move.checklist import Item
from octavo.report.facts import Facts
from octavo.report.page import render
from report_world import HOSTILE, checklist, facts, hostile_facts

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no browser: Debian's package chromium is not installed"
)
SCHEMES = ("light", "dark")
WIDTHS = (320, 390, 768, 1280, 1920)

# Text whose contrast with what is behind it is too low, by the definition of WCAG.
PALE = """(() => {
  const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const c = parts(getComputedStyle(node).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  while (walker.nextNode()) {
    const around = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || around.closest('svg') || !around.offsetParent) continue;
    const [high, low] = [light(parts(getComputedStyle(around).color)), light(ground(around))]
      .sort((a, b) => b - a);
    if ((high + 0.05) / (low + 0.05) < 4.5) pale.push(walker.currentNode.data.slice(0, 60));
  }
  return pale;
})()"""

# Elements that stick out of the window, other than in what scrolls by itself.
STICKING_OUT = """[...document.body.querySelectorAll('*')]
  .filter(e => !e.closest('.scroll, svg') || e.matches('.scroll, .scroll > svg:not(.er)') && !e.closest('td'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 && e.getClientRects().length)
  .map(e => e.tagName + '.' + e.className)"""

# Text of pictures that is wider than the rectangle that it stands in.
TOO_WIDE = """[...document.querySelectorAll('.er .box, .treemap g')].flatMap(g => {
  const room = g.querySelector('rect').getBBox();
  return [...g.querySelectorAll('text')].filter(t => t.getClientRects().length)
    .filter(t => t.getBBox().x + t.getBBox().width > room.x + room.width)
    .map(t => t.textContent);
})"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pages")
    for name, (gathered, items) in PAGES.items():
        (made / f"{name}.html").write_text(render(gathered, items), "utf-8")
    return made


PAGES: dict[str, tuple[Facts, list[Item]]] = {
    "rich": (facts(), checklist()),
    "hostile": (hostile_facts(), checklist(HOSTILE)),
}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, folder: Path) -> Path:
    return folder / f"{request.param}.html"


def complaints(chromium: Browser) -> list[str]:
    """What the browser complained about: in its log, on the console, as an exception."""
    wrong = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    return [str(event) for event in chromium.events if event["method"] in wrong]


def test_it_asks_for_nothing_and_complains_of_nothing(chromium: Browser, page: Path) -> None:
    chromium.events.clear()
    chromium.look(width=1280)
    chromium.open(page)
    asked = [
        e["params"]["request"]["url"] for e in chromium.events if e["method"] == "Network.requestWillBeSent"
    ]
    assert asked == [page.as_uri()]
    assert complaints(chromium) == []
    assert chromium.evaluate("document.scripts.length") == 0
    assert chromium.evaluate("document.querySelectorAll('main > section[id]').length") == 6
    assert chromium.evaluate("document.compatMode") == "CSS1Compat"


def test_a_browser_without_a_network_says_so_where_a_page_wants_one(
    chromium: Browser, tmp_path: Path
) -> None:
    """The test above can fail."""
    page = tmp_path / "wanting.html"
    page.write_text("<!doctype html><img src='https://example.org/x.png'><script>console.error(1)</script>")
    chromium.events.clear()
    chromium.open(page)
    chromium.evaluate("new Promise(done => setTimeout(done, 50))")
    assert any(
        "example.org" in e["params"]["request"]["url"]
        for e in chromium.events
        if e["method"] == "Network.requestWillBeSent"
    )
    assert complaints(chromium)


def test_its_policy_stops_whatever_would_have_slipped_in(
    chromium: Browser, folder: Path, tmp_path: Path
) -> None:
    page = tmp_path / "injected.html"
    text = (folder / "rich.html").read_text("utf-8")
    page.write_text(
        text.replace("<main>", "<main><script>document.title = 'run'</script><b style='color: red'>x</b>"),
        "utf-8",
    )
    chromium.open(page)
    assert chromium.evaluate("document.title") != "run"
    assert chromium.evaluate("getComputedStyle(document.querySelector('main > b')).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_has_its_own_colours_and_can_be_read(chromium: Browser, page: Path, scheme: str) -> None:
    chromium.look(width=1280, scheme=scheme)
    chromium.open(page)
    ground = chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert brightness > 240 if scheme == "light" else brightness < 40
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert chromium.evaluate(PALE) == []
    assert chromium.evaluate("getComputedStyle(document.querySelector('.er .body')).fill") != "rgb(0, 0, 0)"


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_never_wider_than_the_window(chromium: Browser, page: Path, width: int) -> None:
    chromium.look(width=width)
    chromium.open(page)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert chromium.evaluate(STICKING_OUT.replace("innerWidth", str(width))) == []
    assert chromium.evaluate("innerWidth") == width
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_text_in_pictures_stays_in_its_place(chromium: Browser, page: Path) -> None:
    for width in WIDTHS:
        chromium.look(width=width)
        chromium.open(page)
        assert chromium.evaluate(TOO_WIDE) == []


def test_the_diagram_can_be_read_on_any_screen(chromium: Browser, folder: Path) -> None:
    for width in WIDTHS:
        chromium.look(width=width)
        chromium.open(folder / "rich.html")
        scale = chromium.evaluate(
            "(e => e.getBoundingClientRect().width / e.viewBox.baseVal.width)(document.querySelector('.er'))"
        )
        assert 0.79 < scale < 1.11


def test_a_model_that_is_pointed_at_shows_its_own_lines_alone(chromium: Browser, folder: Path) -> None:
    chromium.look(width=1280)
    chromium.open(folder / "rich.html")
    bright = """[...document.querySelectorAll('.er .box')].filter(b => getComputedStyle(b).opacity === '1')
      .map(b => b.querySelector('.name').textContent).sort()"""
    assert len(chromium.evaluate(bright)) == 23
    chromium.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}]
    )
    x, y = chromium.evaluate(
        """(() => { const b = [...document.querySelectorAll('.er .box')]
             .find(b => b.querySelector('.name').textContent === 'ApiKey');
           b.scrollIntoView({block: 'center'}); const r = b.getBoundingClientRect();
           return [r.x + r.width / 2, r.y + 8] })()"""
    )
    chromium.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert chromium.evaluate(bright) == ["ApiKey", "ConnectionProfile", "ImageProfile", "User"]


def test_it_prints_in_ink_on_paper(chromium: Browser, folder: Path) -> None:
    chromium.look(width=1280, scheme="dark", media="print")
    chromium.open(folder / "rich.html")
    assert chromium.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chromium.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert chromium.evaluate(PALE) == []
    chromium.look(width=1280)
    printed = chromium.pdf()
    assert printed.startswith(b"%PDF-")
    sheets = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", printed)
    assert 3 <= len(sheets) <= 12
    # The diagram has a sheet across to itself.
    assert [float(w) > float(h) for w, h in sheets].count(True) == 1
