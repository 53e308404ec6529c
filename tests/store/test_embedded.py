"""Embedded rows are rows like any others, wherever the record lives that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from octavo.errors import DamagedError, ForeignKeyViolation
from octavo.fold.scaffold import scaffold
from octavo.layout.layout import Layout
from octavo.layout.load import parse_layout
from octavo.layout.record import Record, record_type
from octavo.schema.parser import parse_schema
from octavo.store.store import Store

SCHEMA = """
model User {
  id    String @id
  posts Post[]
}
model Post {
  id     String @id
  userId String
  user   User   @relation(fields: [userId], references: [id], onDelete: Cascade, onUpdate: Cascade)
  items  Item[]
}
model Item {
  n      Int    @id
  postId String
  text   String
  post   Post   @relation(fields: [postId], references: [id], onDelete: Cascade, onUpdate: Cascade)
}
"""
WAYS = {
    "document": '[documents]\n"posts.json" = { posts = "Post" }\n',
    "file": '[files]\n"posts/{id}.json" = "Post"\n',
    "log": '[logs]\n"posts.jsonl" = ["Post"]\n',
    "log per parent": '[logs_per_parent]\n"posts/{userId}.jsonl" = "Post"\n',
}


class World:
    """A store, and the texts of its posts."""

    def __init__(self, root: Path, way: str) -> None:
        text = f"version = 1\n{WAYS[way]}"
        users = '"users.jsonl" = ["User"]\n'
        text = text.replace("[logs]\n", f"[logs]\n{users}") if way == "log" else f"{text}[logs]\n{users}"
        self.layout: Layout = parse_layout(f'{text}[embedded]\nItem = "Post.items"\n', parse_schema(SCHEMA))
        self.root, self.way = root, way
        scaffold(root, self.layout)
        with self.open() as store, store.transaction() as tx:
            tx.insert([self.row("User", id="u")])
            tx.insert([self.row("Post", id=post, userId="u") for post in ("a", "b")])

    def open(self) -> Store:
        return Store.open(self.root, self.layout)

    def row(self, model: str, **values: Any) -> Record:
        return record_type(self.layout.datamodel.model(model), self.layout.datamodel)(**values)

    def item(self, n: int, post: str = "a", text: str = "") -> Record:
        return self.row("Item", n=n, postId=post, text=text)

    @property
    def _files(self) -> list[Path]:
        pattern = {"document": "posts.json", "log": "posts.jsonl"}.get(self.way, "posts/*")
        return sorted(self.root.glob(pattern))

    def posts(self) -> dict[str, dict[str, Any]]:
        """Each post as it stands in its file."""
        texts: list[dict[str, Any]] = []
        for file in self._files:
            if file.suffix == ".jsonl":
                texts += map(json.loads, file.read_text().splitlines())
            else:
                found = json.loads(file.read_text())
                texts += found["posts"] if self.way == "document" else [found]
        return {
            p["id"]: {k: v for k, v in p.items() if k != "_version"} for p in texts if "_deleted" not in p
        }

    def edit(self, old: str, new: str) -> None:
        """Replace a text in the files of posts."""
        for file in self._files:
            file.write_text(file.read_text().replace(old, new))

    def items(self, post: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.posts()[post]["items"]
        return found


@pytest.fixture(params=WAYS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path / "data", request.param)


def test_an_array_is_in_order_and_empty_where_there_is_nothing(world: World) -> None:
    with world.open() as store, store.transaction() as tx:
        tx.insert([world.item(n) for n in (3, 1, 2)])
    assert [item["n"] for item in world.items("a")] == [1, 2, 3]
    assert world.items("b") == []


def test_an_embedded_row_is_found_by_its_key_and_its_parents(world: World) -> None:
    with world.open() as store, store.transaction() as tx:
        tx.insert([world.item(1), world.item(2, "b")])
        assert tx.get("Item", 2) == world.item(2, "b")
    with world.open() as store:
        assert store.read(lambda view: view.get("Item", 2)) == world.item(2, "b")
        assert store.read(lambda view: view.get("Item", 9)) is None
        assert store.read(lambda view: view.find("Item", ("postId",), "a")) == [world.item(1)]
        assert store.read(lambda view: view.find("Item", ("postId",), "x")) == []
        assert store.read(lambda view: view.count("Item")) == 2


def test_what_the_schema_does_not_know_stays_with_its_row(world: World) -> None:
    with world.open() as store, store.transaction() as tx:
        tx.insert([world.item(1, text="one"), world.item(2, text="two")])
    world.edit('"one"', '"one", "mine": [1]')
    world.edit('"u"', '"u", "note": 2')
    with world.open() as store:
        with store.transaction() as tx:
            tx.update([(world.item(2, text="two"), world.item(2, text="other"))])
        kept = world.posts()["a"]
        assert kept["note"] == 2
        assert kept["items"] == [{"n": 1, "text": "one", "mine": [1]}, {"n": 2, "text": "other"}]
        with store.transaction() as tx:
            tx.update([(world.item(1, text="one"), world.item(1, "b", text="one"))])
        assert world.items("a") == [{"n": 2, "text": "other"}]
        assert world.items("b") == [{"n": 1, "text": "one", "mine": [1]}]
        with store.transaction() as tx:
            post = tx.get("Post", "b")
            assert post is not None
            tx.update([(post, replace(post, id="c"))])
        assert world.posts()["c"]["note"] == 2
        assert world.items("c") == [{"n": 1, "text": "one", "mine": [1]}]
        assert store.read(lambda view: view.get("Item", 1)) == world.item(1, "c", text="one")


def test_embedded_rows_go_with_their_parent(world: World) -> None:
    with world.open() as store:
        with store.transaction() as tx:
            tx.insert([world.item(1), world.item(2, "b")])
        with store.transaction() as tx:
            tx.delete([world.row("Post", id="a", userId="u")])
            assert [row.n for row in tx.rows("Item")] == [2]
        assert [row.n for row in store.read(lambda view: list(view.rows("Item")))] == [2]
    with world.open() as store:
        assert [row.n for row in store.read(lambda view: list(view.rows("Item")))] == [2]
        with store.transaction() as tx:
            tx.delete([world.row("User", id="u")])
        assert store.read(lambda view: view.count("Item")) == 0


def test_an_embedded_row_needs_its_parent(world: World) -> None:
    with world.open() as store:
        with pytest.raises(ForeignKeyViolation), store.transaction() as tx:
            tx.insert([world.item(1, "nowhere")])
        with store.transaction() as tx:
            tx.insert([world.row("Post", id="new", userId="u")])
            tx.insert([world.item(1, "new")])
        assert world.items("new") == [{"n": 1, "text": ""}]


def test_a_key_that_stands_twice_is_damage(world: World) -> None:
    with world.open() as store, store.transaction() as tx:
        tx.insert([world.item(1), world.item(2)])
    world.edit('"n": 2', '"n": 1')
    world.edit('"n":2', '"n":1')
    with world.open() as store, pytest.raises(DamagedError, match="its key stands twice"):
        store.read(lambda view: list(view.rows("Item")))


def test_a_key_that_stands_in_two_files_is_damage(tmp_path: Path) -> None:
    world = World(tmp_path / "data", "file")
    with world.open() as store, store.transaction() as tx:
        tx.insert([world.item(1), world.item(2, "b")])
    copied = (world.root / "posts/b.json").read_text().replace('"n": 2', '"n": 1')
    with world.open() as store:
        assert store.read(lambda view: view.count("Item")) == 2
        (world.root / "posts/b.json").write_text(copied)
        for _ in range(2):
            with pytest.raises(DamagedError, match=r"posts/b.json: Item: its key stands twice"):
                store.read(lambda view: list(view.rows("Item")))
        (world.root / "posts/b.json").write_text(copied.replace('"n": 1', '"n": 3'))
        assert sorted(row.n for row in store.read(lambda view: list(view.rows("Item")))) == [1, 3]


def test_an_edit_of_one_row_is_no_conflict_for_another(world: World) -> None:
    with world.open() as store:
        with store.transaction() as tx:
            tx.insert([world.item(1), world.item(2, text="two")])
        world.edit('"two"', '"mine"')
        with store.transaction() as tx:
            tx.update([(world.item(1), world.item(1, text="changed"))])
        assert [item["text"] for item in world.items("a")] == ["changed", "mine"]
        assert store.read(lambda view: view.get("Item", 2)) == world.item(2, text="mine")
