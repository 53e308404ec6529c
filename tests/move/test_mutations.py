"""Whatever is wrong in the SQL of an export, a verification finds: neither of its ways has any of that.

The SQL is changed in one place at a time: a literal, a column, a function, a comparison, a cast, a join.  An
export is made with it, of rows that need every expression.  Some changes make no difference to the files, or
only to their spelling and order, as Python's own parser tells.  All others must be found, both ways.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import every_type
from both_ways import verify_both
from folders import parse, tree
from octavo.errors import OctavoError
from octavo.fold import writer
from octavo.fold.export import ExportOptions, export
from octavo.layout.fold import fold, logs
from octavo.layout.layout import Kind, Layout, Place
from octavo.layout.load import flat_layout
from octavo.move.verify import VerifyOptions
from octavo.url import DatabaseUrl

LAYOUTS = {"folders": every_type.layout(), "logs": flat_layout(every_type.datamodel())}
TOKEN = re.compile(
    r"""(?P<literal>E?'(?:[^']|'')*') | (?P<column>\b\w+\."(?:[^"]|"")+") | (?P<number>\b\d+\b)
    | (?P<other>\bIS(?:\ NOT)?\ NULL\b | <> | <= | >= | < | > | =
        | \b(?:to_json|concat|coalesce|abs|lpad|greatest|to_char)\( | extract\(\w+
        | ::text\b(?!\[) | \b(?:AND|OR|LEFT\ JOIN)\b)""",
    re.VERBOSE,
)
OTHERS = {
    "IS NULL": "IS NOT NULL",
    "IS NOT NULL": "IS NULL",
    "<": ">=",
    ">": "<=",
    "<=": ">",
    ">=": "<",
    "=": "<>",
    "<>": "=",
    "to_json(": "to_json('x' || ",
    "concat(": "concat('x', ",
    "coalesce(": "nullif(",
    "abs(": "(",
    "lpad(": "rpad(",
    "greatest(": "least(",
    "to_char(": "concat(",
    "extract(year": "extract(month",
    "::text": "::text || '1'",
    "AND": "OR",
    "OR": "AND",
    "LEFT JOIN": "JOIN",
}


def mutants(query: str) -> Iterator[str]:
    """The query with one of its tokens changed, for each of them."""
    columns = sorted({found["column"] for found in TOKEN.finditer(query) if found["column"]})
    for found in TOKEN.finditer(query):
        token = found[0]
        if found["literal"]:
            # Without its first letters, without its last one, without what is last.
            changed = {re.sub(r"\w", "", token, count=2), re.sub(r"\w(?=\W*'$)", "", token)}
            changed |= {token[:-2] + "'"} if token != "''" else set()
        elif found["column"]:
            alias = token.partition(".")[0]
            own = [column for column in columns if column.startswith(f"{alias}.")]
            changed = {own[(own.index(token) + 1) % len(own)]}
        elif found["number"]:
            changed = {str(int(token) + 1)}
        else:
            changed = {OTHERS.get(token, token)}
        for other in sorted(changed - {token}):
            yield query[: found.start()] + other + query[found.end() :]


def meaning(root: Path) -> dict[str, Any]:
    """What the files say, whatever the order of records and of keys."""

    def sortable(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: sortable(inner) for key, inner in value.items()}
        if isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
            return sorted(map(sortable, value), key=repr)
        return value

    found: dict[str, Any] = {}
    for path, content in tree(root).items():
        if content is not None and path.endswith((".json", ".jsonl")) and not path.startswith("schema/"):
            texts = content.decode().split("\n")[:-1] if path.endswith("l") else [content.decode()]
            found[path] = sorted((sortable(parse(text)) for text in texts), key=repr)
    return found


class Mutated:
    """A database, exported with one query changed."""

    def __init__(self, url: str, root: Path, layout: Layout) -> None:
        self.url, self.root, self.layout = DatabaseUrl.parse(url), root, layout
        self.export(root / "right")
        self.right = meaning(root / "right")

    def export(self, target: Path) -> None:
        export(self.url, target, self.layout, ExportOptions(self.root / "none", 1))

    @staticmethod
    def query(
        right: Callable[..., str], place: Place, wrong: str, layout: Layout, p: Place, *more: Any
    ) -> str:
        return wrong if p is place else right(layout, p, *more)

    def differs(self, place: Place, query: str, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Whether the changed query makes another export; then a verification must find it, each way."""
        target = self.root / "wrong"
        shutil.rmtree(target, ignore_errors=True)
        with monkeypatch.context() as patched:
            for name, right in (("fold", fold), ("logs", logs)):
                patched.setattr(writer, name, partial(self.query, right, place, query))
            try:
                self.export(target)
            except OctavoError:
                return False
        try:
            if meaning(target) == self.right:
                return False
        except (ValueError, RecursionError):
            pass
        report = verify_both(self.url, target, self.layout, VerifyOptions(self.root / "none"))
        assert not report.equal, f"not found: {query}"
        return True


def written_by(layout: Layout, place: Place) -> str:
    """The query that writes a model's records."""
    as_wholes = place.kind is Kind.LOG_PER_PARENT and not layout.embedded(place.model.name)
    return logs(layout, place) if as_wholes else fold(layout, place)


def places(layout: Layout) -> list[Place]:
    return [place for place in layout.places if place.kind is not Kind.EMBEDDED]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_change_of_the_sql_is_found(
    every: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutated = Mutated(every, tmp_path, LAYOUTS[name])
    found = 0
    for place in places(mutated.layout):
        changed = list(mutants(written_by(mutated.layout, place)))
        found += sum(mutated.differs(place, query, monkeypatch) for query in changed[:: len(changed) // 3])
    assert found >= 3


AT_ONCE = 100


def every_change() -> Iterator[tuple[str, str, int]]:
    for name, layout in LAYOUTS.items():
        for place in places(layout):
            for start in range(0, len(list(mutants(written_by(layout, place)))), AT_ONCE):
                yield name, place.model.name, start


@pytest.mark.slow
@pytest.mark.parametrize(("name", "model", "start"), [*every_change()])
def test_every_change_of_the_sql_is_found(
    every: str,
    tmp_path: Path,
    name: str,
    model: str,
    start: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutated = Mutated(every, tmp_path, LAYOUTS[name])
    place = mutated.layout.place(model)
    changed = list(mutants(written_by(mutated.layout, place)))[start : start + AT_ONCE]
    found = sum(mutated.differs(place, query, monkeypatch) for query in changed)
    assert found > 0
