"""The journal of somebody else's store: what it may make Octavo do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from folders import tree
from octavo.errors import ConflictError, DamagedError, DifferenceError
from octavo.inspect.doctor import examine
from octavo.inspect.findings import Kind
from octavo.store import offline as rest
from octavo.store.changes import Append, Change, Remove, Replace
from octavo.store.journal import Entry, Journal, digest, encode_entry, read_entries
from octavo.store.store import Store
from octavo.store.system import SYSTEM
from octavo.store.writer import Decision
from small_store import build, layout, message
from stores import copied

JOURNAL = "journal/changes.jsonl"
FORBIDDEN = (
    "../mine/file",
    "chats/../../mine/file",
    "{outside}/mine/file",
    "folder/file",
    "folder/new",
    "chats/folder/file",
    "chats/link.jsonl",
    "loop/file",
    "./tags/tags.json",
    "tags//tags.json",
    "tags/./tags.json",
    "tags/tags.json/",
    "",
    "chats/\0.jsonl",
    "journal/changes.jsonl",
    "cache/write.lock",
)
"""names that Octavo gives no file, with links to a folder and to a file outside"""
CHANGES: dict[str, Callable[[str], Change]] = {
    "append": lambda name: Append(name, 4, "yours\n"),
    "replace": lambda name: Replace(name, "yours"),
    "remove": Remove,
}


@pytest.fixture
def inside(tmp_path: Path, built: Path) -> Path:
    """A store with links that lead out of it."""
    data = copied(built, tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine")
    for link in ("folder", "chats/folder"):
        (data / link).symlink_to(tmp_path / "mine")
    (data / "chats/link.jsonl").symlink_to(tmp_path / "mine/file")
    (data / "loop").symlink_to("loop")
    return data


def a_store(data: Path) -> object:
    return Store.open(data, layout())


def one_that_is_open(data: Path) -> None:
    """It reads what another process has added."""
    entry = (data / JOURNAL).read_bytes()
    (data / JOURNAL).unlink()
    with Store.open(data, layout()) as store:
        (data / JOURNAL).write_bytes(entry)
        state = store.engine.world.state
        assert state is not None
        state.note_journal(len(entry))
        store.checkpoint()


def at_rest(data: Path) -> None:
    with rest.at_rest(data):
        raise AssertionError("it was emptied")


def doctor(data: Path) -> None:
    found = examine(data, layout()).findings.all()
    assert [finding.kind for finding in found if finding.kind is Kind.JOURNAL], found
    raise DamagedError("said so")


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize(
    ("read", "kind"),
    [(a_store, kind) for kind in CHANGES]
    + [(read, "replace") for read in (one_that_is_open, at_rest, doctor)],
)
def test_no_name_in_it_leads_out_of_the_data_folder(
    inside: Path, name: str, kind: str, read: Callable[[Path], object]
) -> None:
    root = inside.parent
    entry = Entry(1, (CHANGES[kind](name.format(outside=root)),))
    (inside / JOURNAL).write_bytes(encode_entry(entry))
    before = tree(root)
    with pytest.raises(DifferenceError):
        read(inside)
    assert {path: text for path, text in tree(root).items() if not path.startswith("data/cache/")} == before


def test_writers_in_turn_take_over_a_journal_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads what the other has added, and writes into the room that is left, or makes more."""
    monkeypatch.setattr("octavo.store.store.IDLE_INTERVAL", 3600.0)
    root = tmp_path / "data"
    build(root)
    stores = [Store.open(root, layout()) for _ in range(2)]
    for store in stores:
        store.engine.writer.burst = 3600.0
    sizes = set()
    for number in range(120):
        store = stores[number // 3 % 2]
        with store.transaction() as tx:
            tx.insert([message(1000 + number, content="so it goes " * 100)])
        if number > 10:
            sizes.add((root / JOURNAL).stat().st_size)
    assert len(sizes) > 1
    assert all(size % 4096 == 0 for size in sizes)
    with stores[0].transaction() as tx:
        assert tx.get("Message", "m1119") is not None
    stores[1].checkpoint()
    with stores[0].transaction() as tx:
        tx.insert([message(2000), message(2001)])
    for store in stores:
        store.close()
    assert not (root / JOURNAL).exists()
    with Store.open(root, layout()) as store:
        found = store.read(lambda view: {row.id for row in view.rows("Message")})
    assert found >= {f"m{1000 + n}" for n in range(120)} | {"m2000", "m2001"}


def test_what_a_crash_left_in_the_room_is_cut_before_anything_is_written_there(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), SYSTEM)
    (tmp_path / "journal").mkdir()
    for number in range(1, 4):
        journal.add(Entry(number, (Append("chats/chat-1.jsonl", 7, "x\n"),)))
    path = tmp_path / JOURNAL
    data = path.read_bytes()
    torn = encode_entry(Entry(4, (Append("chats/chat-1.jsonl", 9, "y\n" * 50),)))[:90]
    path.write_bytes(data[: journal.end] + torn + data[journal.end + len(torn) :])
    again = Journal(str(tmp_path), SYSTEM)
    again.catch_up(None)
    assert (len(again.entries), again.end, again.torn) == (3, journal.end, len(torn))
    again.add(Entry(4, kept=True))
    assert len(read_entries(path.read_bytes())[0]) == 4


def test_nothing_is_left_of_a_journal_whose_only_entry_was_dropped(tmp_path: Path) -> None:
    root = tmp_path / "data"
    build(root)
    with Store.open(root, layout()) as store:
        decision = Decision({"ask": "nobody"}, lambda: ConflictError("decided against it"))
        with (
            pytest.raises(ConflictError, match="decided against"),
            store.transaction(prepare=lambda: decision) as tx,
        ):
            tx.insert([message(20)])
        assert not (root / JOURNAL).exists()
        with store.transaction() as tx:
            tx.insert([message(21), message(22)])
        assert store.read(lambda view: view.get("Message", "m20")) is None
        assert store.read(lambda view: view.get("Message", "m22")) is not None


def recovered(data: Path, entries: list[Entry], file: str, content: bytes) -> list[bytes]:
    """What is kept beside a file with some content after a recovery with these entries."""
    (data / "journal" / "changes.jsonl").write_bytes(b"".join(map(encode_entry, entries)))
    (data / file).write_bytes(content)
    with Store.open(data, layout()):
        pass
    path = data / file
    return [p.read_bytes() for p in sorted(path.parent.glob(f"{path.name}.edited*"))]


class TestEdits:
    """What a recovery finds edited since the journal has had changes for it is kept, each time."""

    file = "chats/chat-1.jsonl"

    def line(self, number: int) -> bytes:
        return b'{"_model":"Message","id":"m%d"}\n' % number

    def entries(self, before: bytes) -> list[Entry]:
        """A line is appended, then the log is compacted."""
        line = self.line(70).decode()
        found = digest(before + line.encode())
        appended, replaced = Append(self.file, len(before), line), Replace(self.file, before.decode(), found)
        return [Entry(1, (appended,)), Entry(2, (replaced,))]

    def test_a_line_that_was_added_by_hand(self, tmp_path: Path) -> None:
        build(tmp_path / "data")
        before = (tmp_path / "data" / self.file).read_bytes()
        edited = before + self.line(70) + b'{"by": "hand"}\n'
        assert recovered(tmp_path / "data", self.entries(before), self.file, edited) == [edited]
        again = before + b'{"by": "hand", "again": true}\n'
        assert recovered(tmp_path / "data", self.entries(before), self.file, again) == [edited, again]
        assert recovered(tmp_path / "data", self.entries(before), self.file, again) == [edited, again]

    @pytest.mark.parametrize("length", [0, 10, None])
    def test_what_a_crash_may_leave_is_no_edit(self, tmp_path: Path, length: int | None) -> None:
        build(tmp_path / "data")
        before = (tmp_path / "data" / self.file).read_bytes()
        left = before + self.line(70)[:length]
        assert recovered(tmp_path / "data", self.entries(before), self.file, left) == []
        assert (tmp_path / "data" / self.file).read_bytes() == before
