"""A message is found by its id alone, whatever has become of the index that tells where it stands."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import DamagedError, UniqueViolation
from octavo.layout.layout import Layout
from octavo.layout.record import attribute
from octavo.store.families.parents import ParentLogs
from octavo.store.indexfile import FOLDER, environment
from octavo.store.store import Store
from small_store import build, chat, erase, layout, message, revise, row
from small_store import chat as make_chat
from stores import Held, Unsynced

ALL = ["m0", "m1", "m10", "m11", "m2"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "data")
    return tmp_path / "data"


def opened(data: Path) -> Store:
    return Store.open(data, layout(), system=Unsynced())


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with opened(data) as found:
        yield found


def found(store: Store, *more: str) -> list[str]:
    """The ids under which something is found, and that it is that."""
    there = [key for key in (*ALL, *more) if (row := store.get("Message", key)) is not None and row.id == key]
    assert store.get("Message", "nowhere") is None
    return there


def index(data: Path) -> Path:
    (only,) = (data / FOLDER).iterdir()
    return only


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_it_is_made_when_it_is_needed_first(store: Store, data: Path) -> None:
    assert store.get("Chat", "chat-1") is not None
    assert not (data / FOLDER).exists()
    assert found(store) == ALL
    assert index(data).is_dir()


@pytest.mark.parametrize(
    "change",
    [
        shutil.rmtree,
        lambda path: (path / "data.mdb").write_bytes(b"x" * 10_000),
        lambda path: (path / "data.mdb").write_bytes(b""),
        lambda path: (path / "data.mdb").write_bytes(bytes(8192)),
        lambda path: path.rename(path.with_name("0" * 16)),
    ],
    ids=["gone", "garbage", "empty", "zeros", "of another boot"],
)
def test_it_is_made_anew(data: Path, change: Callable[[Path], object]) -> None:
    with opened(data) as store:
        assert found(store) == ALL
        old = index(data)
    change(old)
    with opened(data) as store:
        assert found(store) == ALL
        with store.transaction() as tx:
            tx.insert([message(5)])
        assert found(store, "m5") == [*ALL, "m5"]
    assert index(data).name == old.name


def test_an_old_one_is_not_believed(data: Path, tmp_path: Path) -> None:
    """Put back as it was before the logs were changed, as from a backup."""
    with opened(data) as store:
        assert found(store) == ALL
    shutil.copytree(index(data), tmp_path / "old")
    with opened(data) as store, store.transaction() as tx:
        revise(tx, "Message", "m0", content="longer than before " * 20)
        erase(tx, "Message", "m1")
        revise(tx, "Message", "m2", chatId="chat-2")
    name = index(data)
    shutil.rmtree(name)
    shutil.copytree(tmp_path / "old", name)
    with opened(data) as store:
        assert found(store) == ["m0", "m10", "m11", "m2"]
        there = store.get("Message", "m0")
        assert there is not None
        assert there.content.startswith("longer")


def test_it_follows_what_is_committed(store: Store) -> None:
    assert found(store) == ALL
    with store.transaction() as tx:
        tx.insert([message(20), message(21, "chat-3")])
        erase(tx, "Message", "m0")
        revise(tx, "Message", "m10", chatId="chat-1")
        revise(tx, "Message", "m1", chatId="chat-2", id="m99")
    assert found(store, "m20", "m21", "m99") == ["m10", "m11", "m2", "m20", "m21", "m99"]
    with store.transaction() as tx:
        erase(tx, "Chat", "chat-1")
    assert found(store, "m20", "m21", "m99") == ["m11", "m21", "m99"]


def test_messages_that_change_places(store: Store) -> None:
    """Each leaves a log that the other enters; neither is lost on the way."""
    assert found(store) == ALL
    for one, other in (("chat-2", "chat-1"), ("chat-1", "chat-2"), ("chat-3", "chat-2")):
        with store.transaction() as tx:
            revise(tx, "Message", "m0", chatId=one)
            revise(tx, "Message", "m10", chatId=other)
        assert found(store) == ALL


def test_it_survives_compaction(store: Store) -> None:
    assert found(store) == ALL
    for number in range(200):
        with store.transaction() as tx:
            revise(tx, "Message", "m1", content=f"number {number}")
    store.compact()
    there = store.get("Message", "m1")
    assert there is not None
    assert there.content == "number 199"
    assert found(store) == ALL


def test_what_others_write_is_followed(store: Store, data: Path) -> None:
    assert found(store) == ALL
    with opened(data) as other, other.transaction() as tx:
        tx.insert([message(30)])
        revise(tx, "Message", "m2", chatId="chat-3")
        erase(tx, "Message", "m0")
    assert found(store, "m30") == ["m1", "m10", "m11", "m2", "m30"]


def test_a_record_of_a_large_log_is_found_without_reading_the_log(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo.store.families.log._LARGE", 0)

    def title(store: Store, key: str) -> Any:
        found = store.get("Chat", key)
        assert store.engine.base.family("Chat")._all is None, "the log was read"
        return None if found is None else found.title

    with opened(data) as other, opened(data) as store:
        assert title(store, "chat-1") is not None
        with other.transaction() as tx:
            revise(tx, "Chat", "chat-1", title="neu")
            tx.insert([row("ChatTag", id="ct-9", chatId="chat-2", tagId="tag-1")])
            erase(tx, "Chat", "chat-3")
        assert title(store, "chat-1") == "neu"
        assert title(store, "chat-3") is None
        with other.transaction() as tx:
            revise(tx, "Chat", "chat-2", title="auch neu")
        assert title(store, "chat-2") == "auch neu"
        other.compact()
        assert title(store, "chat-1") == "neu"
        with open(data / "chats/index.jsonl", "ab") as log:
            log.write(b'{"_model":"Chat","id":"chat-1",\n')
        with pytest.raises(DamagedError):
            title(store, "chat-1")


@pytest.mark.parametrize("watched", [False, True], ids=["looking at every file", "watching"])
def test_a_log_that_another_store_compacts_is_read_anew(store: Store, data: Path, watched: bool) -> None:
    for _ in range(40 if watched else 1):
        assert found(store) == ALL
    with opened(data) as other:
        for turn in range(3):
            with other.transaction() as tx:
                revise(tx, "Message", "m1", content=f"turn {turn}")
                tx.insert([message(50 + turn)])
            other.compact()
            # What it finds for the absent key must not hide what the log holds by now.
            assert store.get("Message", "nowhere") is None
            assert found(store, *(f"m{50 + n}" for n in range(turn + 1))) == [
                *ALL,
                *(f"m{50 + n}" for n in range(turn + 1)),
            ]


class TestAhead:
    """A store that no other process has open lets the index note many commits at once."""

    @staticmethod
    def changes(data: Path) -> int:
        """How often the index was changed."""
        return int(environment(str(index(data))).lmdb.info()["last_txnid"])

    def test_the_index_is_changed_once_for_many_commits(self, store: Store, data: Path) -> None:
        assert found(store) == ALL
        before, index_file = self.changes(data), environment(str(index(data)))
        for number in range(40, 60):
            with store.transaction() as tx:
                tx.insert([message(number)])
        names = [f"m{number}" for number in range(40, 60)]
        assert found(store, *names) == [*ALL, *names]
        assert self.changes(data) == before
        store.close()
        assert index_file.lmdb.info()["last_txnid"] == before + 1

    def test_at_once_where_another_store_may_ask_it(self, store: Store, data: Path) -> None:
        assert found(store) == ALL
        with opened(data):
            before = self.changes(data)
            for number in range(40, 60):
                with store.transaction() as tx:
                    tx.insert([message(number)])
            assert self.changes(data) == before + 20

    @pytest.mark.parametrize(
        "seed", [pytest.param(n, marks=pytest.mark.slow if n >= 4 else ()) for n in range(40)]
    )
    def test_any_order_of_changes_and_stores(
        self, data: Path, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """What is found is what was committed: here, in a store that is opened meanwhile, and afterwards."""
        rng = random.Random(seed)
        monkeypatch.setattr("octavo.store.locations._FEW_PLACES", rng.choice([1, 4, 500]))
        expected = {key: "chat-2" if key in ("m10", "m11") else "chat-1" for key in ALL}

        def check(store: Store) -> None:
            for key in rng.choices([*expected, "nowhere", "m0"], k=4):
                there = store.get("Message", key)
                assert (there and there.chatId) == expected.get(key), key

        def change(store: Store) -> None:
            with store.transaction() as tx:
                for _ in range(rng.randint(1, 3)):
                    chat, key = f"chat-{rng.randint(1, 3)}", rng.choice([*expected, "new"])
                    if key in rng.choices(["", key], [9, 1]):
                        # With all its messages.
                        erase(tx, "Chat", chat)
                        tx.insert([make_chat(chat)])
                        for name in [name for name, at in expected.items() if at == chat]:
                            del expected[name]
                    elif key == "new":
                        number = rng.randrange(100, 10_000)
                        key = f"m{number}"
                        if key not in expected:
                            tx.insert([message(number, chat)])
                            expected[key] = chat
                    elif rng.random() < 0.3 and len(expected) > 3:
                        erase(tx, "Message", key)
                        del expected[key]
                    else:
                        revise(tx, "Message", key, chatId=chat)
                        expected[key] = chat

        stores = [opened(data)]
        for _ in range(60):
            acted = rng.random()
            if acted < 0.1 and len(stores) < 3:
                stores.append(opened(data))
            elif acted < 0.2 and len(stores) > 1:
                stores.pop(rng.randrange(len(stores))).close()
            elif acted < 0.25:
                rng.choice(stores).compact()
            else:
                change(rng.choice(stores))
            check(rng.choice(stores))
        for store in stores:
            store.close()
        with opened(data) as store:
            for key, chat in expected.items():
                there = store.get("Message", key)
                assert (there and there.chatId) == chat, key
            assert sum(1 for _ in store.read(lambda view: list(view.rows("Message")))) == len(expected)


class TestEdits:
    """Somebody edits a log while the store is open."""

    @pytest.fixture
    def log(self, store: Store, data: Path) -> Path:
        assert found(store) == ALL
        return data / "chats" / "chat-1.jsonl"

    def test_lines_in_another_order(self, store: Store, log: Path) -> None:
        log.write_bytes(b"".join(reversed(lines(log))))
        assert found(store) == ALL

    def test_a_line_that_was_removed(self, store: Store, log: Path) -> None:
        log.write_bytes(b"".join(lines(log)[1:]))
        assert found(store) == ["m1", "m10", "m11", "m2"]

    def test_a_line_that_came(self, store: Store, log: Path) -> None:
        line = json.loads(lines(log)[0]) | {"id": "new"}
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line))
        assert found(store, "new") == [*ALL, "new"]
        with store.transaction() as tx:
            tx.insert([message(40)])
        assert found(store, "new", "m40") == [*ALL, "new", "m40"]

    def test_a_line_that_is_nested_deeper_than_the_decoder_goes(self, store: Store, log: Path) -> None:
        deep = b"[" * 5000 + b"]" * 5000
        first = lines(log)[0].replace(b'"id":"m0"', b'"id":"deep"').rstrip(b"}\n")
        removed = b'{"_model":"Message","id":"m1","note":' + deep + b',"_deleted":true}\n'
        log.write_bytes(log.read_bytes() + first + b',"note":' + deep + b"}\n" + removed)
        assert found(store, "deep") == ["m0", "m10", "m11", "m2", "deep"]

    def test_in_place_and_of_the_same_size(self, store: Store, log: Path) -> None:
        data = log.read_bytes()
        with open(log, "r+b") as file:
            file.write(data.replace(b'"id":"m1"', b'"id":"m9"').replace(b'"id":"m2"', b'"id":"m1"'))
        assert found(store, "m9") == ["m0", "m1", "m10", "m11", "m9"]

    def test_a_broken_line_is_damage_for_all_that_may_be_in_it(self, store: Store, log: Path) -> None:
        whole = log.read_bytes()
        log.write_bytes(whole.replace(b'"id":"m1"', b'"id":m1"'))
        for key in ("m0", "m1", "nowhere"):
            with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:2"):
                store.get("Message", key)
        assert store.get("Message", "m10") is not None
        with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:2"), store.transaction() as tx:
            tx.insert([message(1)])
        log.write_bytes(whole)
        assert found(store) == ALL

    def test_a_torn_line_is_not(self, store: Store, log: Path) -> None:
        with open(log, "ab") as file:
            file.write(b'{"_model":"Message","id":"torn')
        assert found(store, "torn") == ALL

    def test_a_record_in_the_wrong_log(self, store: Store, log: Path) -> None:
        with open(log, "ab") as file:
            file.write(lines(log.with_name("chat-2.jsonl"))[-1].replace(b'"id":"m1', b'"id":"x1'))
        with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:4: .* belongs in another file"):
            store.get("Message", "x10")

    def test_a_log_that_is_gone(self, store: Store, log: Path) -> None:
        whole = log.read_bytes()
        log.unlink()
        with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl: is missing"):
            store.get("Message", "m0")
        log.write_bytes(whole)
        assert found(store) == ALL

    def test_a_log_that_is_gone_before_anybody_looks(self, data: Path, store: Store, log: Path) -> None:
        store.close()
        log.unlink()
        shutil.rmtree(data / "cache")
        with opened(data) as anew, pytest.raises(DamagedError, match=r"chats/chat-1.jsonl: is missing"):
            anew.get("Message", "m0")


class TestCopies:
    """A line that an edit has put into another log, and another edit has taken out again, hides no record."""

    @pytest.fixture
    def one(self, data: Path) -> Path:
        return data / "chats" / "chat-1.jsonl"

    @pytest.fixture
    def other(self, data: Path) -> Path:
        return data / "chats" / "chat-2.jsonl"

    @staticmethod
    def edit(path: Path, content: bytes) -> None:
        """As an editor does it."""
        beside = path.parent.parent.parent / "edited"
        beside.write_bytes(content)
        beside.chmod(0o600)
        beside.replace(path)

    def check(self, data: Path) -> None:
        for _ in range(2):
            with opened(data) as store:
                assert found(store) == ALL
                there = store.get("Message", "m0")
                assert there is not None
                assert there.chatId == "chat-1"
                with pytest.raises(UniqueViolation), store.transaction() as tx:
                    tx.insert([message(0, "chat-3")])

    def paste(self, one: Path, other: Path) -> bytes:
        """Copy a line into another log; what that held before."""
        before = other.read_bytes()
        self.edit(other, before + lines(one)[0].replace(b'"chatId":"chat-1"', b'"chatId":"chat-2"'))
        return before

    def test_while_a_store_is_open(self, store: Store, data: Path, one: Path, other: Path) -> None:
        for _ in range(40):
            assert found(store) == ALL
        before = self.paste(one, other)
        assert store.get("Message", "nowhere") is None
        self.edit(other, before)
        assert found(store) == ALL
        store.close()
        self.check(data)

    def test_while_none_is(self, data: Path, one: Path, other: Path) -> None:
        with opened(data) as store:
            assert found(store) == ALL
        before = self.paste(one, other)
        with opened(data) as store:
            assert store.get("Message", "nowhere") is None
        self.edit(other, before)
        self.check(data)

    def test_from_a_backup_of_the_log_that_it_had_left(self, data: Path, one: Path, other: Path) -> None:
        with opened(data) as store:
            backup = one.read_bytes()
            with store.transaction() as tx:
                revise(tx, "Message", "m0", chatId="chat-2")
            assert found(store) == ALL
        now = one.read_bytes()
        with opened(data) as store:
            self.edit(one, backup)
            assert store.get("Message", "nowhere") is None
            self.edit(one, now)
            assert found(store) == ALL
            there = store.get("Message", "m0")
            assert there is not None
            assert there.chatId == "chat-2"

    def test_a_deleted_line_is_looked_for_once(
        self, data: Path, one: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with opened(data) as store:
            assert found(store) == ALL
            left = [line for line in lines(one) if b'"id":"m0"' not in line]
            self.edit(one, b"".join(left))
            asked: list[Any] = []
            look_for = ParentLogs.look_for

            def noted(logs: ParentLogs, key: Any) -> Any:
                asked.append(key)
                return look_for(logs, key)

            monkeypatch.setattr(ParentLogs, "look_for", noted)
            for _ in range(3):
                assert store.get("Message", "m0") is None
            assert asked in ([], ["m0"])


def test_records_that_commits_have_moved_and_removed_are_not_looked_for_in_every_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(store) == ALL
    with store.transaction() as tx:
        tx.insert([chat("chat-9")])
        for name in ("m0", "m1", "m2"):
            revise(tx, "Message", name, chatId="chat-9")
    with store.transaction() as tx:
        erase(tx, "Chat", "chat-9")
    monkeypatch.setattr(ParentLogs, "look_for", None)
    assert found(store) == ["m10", "m11"]


def test_an_index_that_is_given_up_is_made_of_all_logs(store: Store) -> None:
    """Also where a commit is what makes the next one."""
    assert found(store) == ALL
    store.engine.base.family("Message")._locations._give_up()  # type: ignore[attr-defined]
    with store.transaction() as tx:
        tx.insert([message(20, "chat-3")], known_new=["id"])
    assert found(store, "m20") == [*ALL, "m20"]


class TestSeveralStores:
    """Several stores use one index, and each has read from the logs that it leads to."""

    @pytest.fixture
    def other(self, data: Path) -> Iterator[Store]:
        with opened(data) as found:
            yield found

    @pytest.fixture
    def store(self, data: Path, other: Store) -> Iterator[Store]:
        with opened(data) as store:
            for asked in (store, other):
                # From some answers on, the kernel tells what has changed.
                for _ in range(40):
                    assert found(asked) == ALL
            yield store

    def test_a_log_that_another_store_compacts(self, store: Store, other: Store) -> None:
        """Its lines are of one length, so that an old one stands where a new one does."""
        for content in ("old", "new"):
            for key in ALL:
                with other.transaction() as tx:
                    revise(tx, "Message", key, content=content)
            other.compact()
            assert store.get("Message", "nowhere") is None
            there = [store.get("Message", key) for key in ALL]
            assert [row and row.content for row in there] == [content] * len(ALL)

    def test_a_log_that_another_store_removes(self, store: Store, other: Store) -> None:
        with other.transaction() as tx:
            erase(tx, "Chat", "chat-1")
        for _ in range(2):
            assert found(store) == ["m10", "m11"]
        with other.transaction() as tx:
            tx.insert([chat("chat-1")])
        with other.transaction() as tx:
            tx.insert([message(1)])
        assert found(store) == ["m1", "m10", "m11"]

    def test_what_was_read_for_the_index_is_old_when_it_gets_there(
        self, data: Path, store: Store, other: Store
    ) -> None:
        """The index leads to a newer state by then, which other stores rely on."""
        log = data / "chats" / "chat-1.jsonl"
        with open(log, "ab") as file:
            file.write(lines(log)[0].replace(b'"id":"m0"', b'"id":"m3"'))
        with environment(str(index(data))).changing:
            indexing = threading.Thread(target=store.get, args=["Message", "m3"])
            indexing.start()
            _wait_until_at(indexing, "writing")
            erasing, moving = "erase(tx, 'Message', 'm1')", "revise(tx, 'Message', 'm2', chatId='chat-2')"
            in_another_process(data, f"{erasing}; {moving}")
            # This one has looked at the log, and has no reason to look again.
            there = [other.get("Message", key) for key in ("m0", "m2")]
            assert [row and row.chatId for row in there] == ["chat-1", "chat-2"]
        indexing.join(30)
        assert not indexing.is_alive()
        for asked in (other, store):
            assert found(asked, "m3") == ["m0", "m10", "m11", "m2", "m3"]
            assert asked.get("Message", "m2").chatId == "chat-2"  # type: ignore[union-attr]


def in_another_process(data: Path, change: str) -> None:
    """Commit a change there, having looked into the index."""
    code = (
        "import sys\nfrom octavo.store.store import Store\nfrom small_store import *\n"
        "with Store.open(sys.argv[1], layout()) as store, store.transaction() as tx: " + change
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    command = [sys.executable, "-c", code, str(data)]
    subprocess.run(command, check=True, timeout=60, env=os.environ | {"PYTHONPATH": path})


def _wait_until_at(thread: threading.Thread, function: str) -> None:
    """Wait until a thread waits in a function of this name."""
    for _ in range(3000):
        frame = sys._current_frames().get(thread.ident or 0)
        while frame is not None and frame.f_code.co_name != function:
            frame = frame.f_back
        if frame is not None:
            return
        time.sleep(0.01)
    raise AssertionError(f"it never came to {function}")


def test_long_and_awkward_ids(store: Store) -> None:
    ids = ["", "x" * 5000, "é" * 300, 'a"\\\n\u2028', "../../up", "~", "X" * 401]
    with store.transaction() as tx:
        tx.insert([message(n, id=key) for n, key in enumerate(ids)])
    assert found(store, *ids) == [*ALL, *ids]
    with store.transaction() as tx:
        for key in ids:
            erase(tx, "Message", key)
    assert found(store, *ids) == ALL


def test_chats_with_awkward_ids(store: Store, data: Path) -> None:
    """No id leads out of the folder, or to the file of another one."""
    ids = ["index", "INDEX", "../escaped", "a/b", ".", "..", "con", "ü", "x" * 500, "A", "a", "~", "%41"]
    with store.transaction() as tx:
        tx.insert([chat(key) for key in ids])
        tx.insert([message(n, key, id=f"in {key}") for n, key in enumerate(ids)])
    names = sorted(p.name for p in (data / "chats").iterdir())
    assert len({name.lower() for name in names}) == len(names) == len(ids) + 4
    assert sorted(os.listdir(data.parent)) == ["data"]
    for key in ids:
        there = store.read(lambda view, k=key: view.find("Message", ("chatId",), k))  # type: ignore[misc]
        assert [m.id for m in there] == [f"in {key}"]
        assert store.get("Message", f"in {key}") is not None


def test_a_store_with_other_keys_than_texts(tmp_path: Path) -> None:
    """Numbers and compound keys find their way too."""
    from octavo.fold.scaffold import scaffold
    from octavo.layout.load import parse_layout
    from octavo.schema.parser import parse_schema

    datamodel = parse_schema(
        """
        datasource db {
          provider = "postgresql"
          url      = env("DATABASE_URL")
        }
        model Owner {
          a     Int
          b     String
          lines Line[]
          @@id([a, b])
        }
        model Line {
          x     BigInt
          y     Int
          a     Int
          b     String
          owner Owner @relation(fields: [a, b], references: [a, b], onDelete: Cascade)
          @@id([y, x])
        }
        """
    )
    text = (
        'version = 1\n[logs]\n"owners.jsonl" = ["Owner"]\n[logs_per_parent]\n"lines/{a,b}.jsonl" = "Line"\n'
    )
    found: Layout = parse_layout(text, datamodel)
    scaffold(tmp_path / "data", found)
    with Store.open(tmp_path / "data", found) as store:

        def new(model: str, **values: object) -> object:
            fields = {attribute(datamodel.model(model).scalar(n)): v for n, v in values.items()}
            return store.rules.codecs[model].record_type(**fields)

        with store.transaction() as tx:
            tx.insert([new("Owner", a=n, b=b) for n in (1, -1) for b in ("", ".", "x")])  # type: ignore[misc]
            tx.insert([new("Line", x=str(10**15 + n), y=n, a=1, b=".") for n in range(3)])  # type: ignore[misc]
        with store.transaction() as tx:
            before = tx.get("Owner", (1, "."))
            assert before is not None
            tx.update([(before, new("Owner", a=2, b="/"))])  # type: ignore[list-item]
        assert [getattr(store.get("Line", (n, str(10**15 + n))), "b", None) for n in range(4)] == [
            "/"
        ] * 3 + [None]
        assert sorted(p.name for p in (tmp_path / "data/lines").iterdir())[-1] == "2.%2F.jsonl"


class _HeldBehindRename(Unsynced):
    """Stops whoever has just put another file in a log's place, until told to go on."""

    def __init__(self, log: str) -> None:
        self.log = log
        self.reached, self.go_on = threading.Event(), threading.Event()

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        if target.endswith(self.log):
            self.reached.set()
            assert self.go_on.wait(30)


def test_it_is_not_absent_while_its_log_is_replaced(data: Path) -> None:
    system, seen = _HeldBehindRename("chats/chat-1.jsonl"), []
    with Store.open(data, layout(), system=system) as store:
        for content in ("much longer " * 50, "short"):
            with store.transaction() as tx:
                revise(tx, "Message", "m1", content=content)
        compacting = threading.Thread(target=store.compact)
        assert found(store) == ALL
        compacting.start()
        assert system.reached.wait(30)
        reading = threading.Thread(target=lambda: seen.extend(found(store)))
        reading.start()
        # As long as the new log is not the store's, whoever reads has to wait or to find the old one.
        reading.join(0.2)
        system.go_on.set()
        for thread in (reading, compacting):
            thread.join(30)
            assert not thread.is_alive()
    assert seen == ALL


def test_a_log_that_was_edited_and_is_written_to(data: Path) -> None:
    """What stands in it is not known before it was looked at again, which has to wait for the commit."""
    system, seen = Held(), []
    with Store.open(data, layout(), system=system) as store:
        system.store = store
        for _ in range(40):
            assert found(store) == ALL
        log = data / "chats" / "chat-1.jsonl"
        with open(log, "ab") as file:
            file.write(json.dumps(json.loads(lines(log)[0]) | {"content": "edited"}).encode() + b"\n")

        def write() -> None:
            with store.transaction() as tx:
                tx.insert([message(7)], known_new={"id"})

        def look() -> None:
            with store.transaction() as tx:
                there = tx.get("Message", "m0")
                seen.append(there and there.content)

        system.hold = True
        writing, looking = threading.Thread(target=write), threading.Thread(target=look)
        writing.start()
        assert system.reached.wait(30)
        looking.start()
        looking.join(0.2)
        system.go_on.set()
        for thread in (writing, looking):
            thread.join(30)
            assert not thread.is_alive()
    assert seen == ["edited"]


_WITHOUT_INDEX = """
import sys, threading, time
from octavo.store.store import Store
from small_store import layout, message, revise

sys.setswitchinterval(1e-5)
over = threading.Event()
with Store.open(sys.argv[1], layout()) as store:

    def look():
        while not over.is_set():
            assert store.get("Message", "m1").id == "m1"

    looking = [threading.Thread(target=look) for _ in range(4)]
    for thread in looking:
        thread.start()
    for number in range(50):
        with store.transaction() as tx:
            revise(tx, "Message", "m10", content=f"number {number}")
    over.set()
    for thread in looking:
        thread.join()
"""


def test_threads_that_do_without_an_index_all_go_on(data: Path) -> None:
    """They could wait for each other for ever, so another process does it."""
    place = data / FOLDER
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        command = [sys.executable, "-c", _WITHOUT_INDEX, str(data)]
        subprocess.run(command, check=True, timeout=60, env=os.environ | {"PYTHONPATH": path})
    finally:
        subprocess.run(["umount", str(place)], check=True)


_AT_ONCE = """
import sys, threading
from octavo.store.families.parents import ParentLogs
from octavo.store.indexfile import environment

sys.setswitchinterval(1e-5)
index = environment(sys.argv[1])
tables = [index.table("places"), index.table("logs")]
over = threading.Event()

def change():
    while not over.is_set():
        with index.writing(tables[0]) as transaction:
            transaction.put(b"key", b"value")
            transaction.put(b"key", b"value", db=tables[1])

changing = threading.Thread(target=change)
changing.start()
for number in range(500):
    with index.writing(index.table(f"table {number % 50}")) as transaction:
        transaction.put(b"key", b"value")
over.set()
changing.join()
"""


def test_threads_that_change_the_index_at_once_all_go_on(tmp_path: Path) -> None:
    """They could stop the whole process, so another one does it."""
    command = [sys.executable, "-c", _AT_ONCE, str(tmp_path / "index")]
    subprocess.run(command, check=True, timeout=120)


@pytest.mark.parametrize("name", [b"../mine.jsonl", b"/etc/passwd", b"chats/../../mine.jsonl", b"\xff", b""])
def test_one_that_names_another_file_is_made_anew(data: Path, name: bytes) -> None:
    """What the index holds never makes the store read outside its logs."""
    with opened(data) as store:
        assert found(store) == ALL
        opened_index = environment(str(index(data)))
        with opened_index.writing(opened_index.table("Message numbers")) as transaction:
            for key, _ in list(transaction.cursor()):
                transaction.put(key, name)
        del opened_index, transaction
    with opened(data) as store:
        assert found(store) == ALL
