"""The index of texts only makes filters quicker: whatever becomes of it, the answers are the same."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from interrupts import Interrupter
from octavo.backends.json import JsonBackend
from octavo.client import Client
from octavo.errors import DamagedError
from octavo.layout.layout import Layout
from octavo.query.vocabulary import Vocabulary
from octavo.store import searchfile, texts
from octavo.store.searchfile import FOLDER
from octavo.store.store import Store
from small_store import chat, erase, layout, message, revise, row
from stores import Held, Unsynced

VOCABULARY = Vocabulary(layout().datamodel)


def plain_layout() -> Layout:
    """The layout without an index of texts."""
    places = tuple(replace(place, search=()) for place in layout().places)
    return Layout(layout().datamodel, places, layout().payload_folder, layout().source)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Notes how many candidates the index gave for each question; it is kept of however few files."""
    noted: list[int | None] = []
    holding = texts.TextIndex.holding

    def listening(index: texts.TextIndex, model: str, parts: Any) -> Any:
        found = holding(index, model, parts)
        noted.append(None if found is None else len(found))
        return found

    monkeypatch.setattr(texts.TextIndex, "holding", listening)
    monkeypatch.setattr(texts, "SMALLEST", 0)
    monkeypatch.setattr(texts, "PATIENCE", 60.0)
    monkeypatch.setattr(searchfile, "_LATER", 0.0)
    return noted


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "data"))


def opened(data: Path, layout: Layout) -> tuple[Client, Store]:
    store = Store.open(data, layout, system=Unsynced())
    return Client(JsonBackend(VOCABULARY, store), VOCABULARY), store


@pytest.fixture
def db(data: Path) -> Iterator[Client]:
    client, _ = opened(data, layout())
    with client:
        yield client


def ids(db: Client, value: str, op: str = "contains", mode: str = "default", model: str = "message") -> Any:
    field = "content" if model == "message" else "name"
    found = getattr(db, model).find_many(where={field: {op: value, "mode": mode}})
    return sorted(record.id for record in found)


def write(data: Path, number: int, content: str, chat: str = "chat-1") -> None:
    """Append a message as another process does."""
    with Store.open(data, layout(), system=Unsynced()) as other, other.transaction() as tx:
        tx.insert([message(number, chat, content=content)])


def index_of(data: Path) -> Path:
    (only,) = (data / FOLDER).glob("*.sqlite")
    return only


NASTY = "aAbBcCİıiIßẞſKkÅåΣσςéÉ\u0301 \x01%_\"'*\\-:^{}()𐐀𐐨😀ﬀǅǆ\ufffe\uffffкК中文字\n"
parts = st.text(alphabet=NASTY, max_size=12)
contents = st.one_of(parts, st.lists(parts, max_size=4).map("abc".join))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_filters_find_the_same_with_and_without_the_index(
    built: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("property") / "data"
    shutil.copytree(built, root)
    client, store = opened(root, layout())
    bare, _ = opened(root, plain_layout())
    there = ["m0", "m1", "m2", "m10", "m11"]
    number = 100
    with client, bare:
        for _ in range(data.draw(st.integers(1, 8))):
            content = data.draw(contents)
            match data.draw(
                st.sampled_from(
                    ["own", "own", "revise", "other", "hand", "erase", "move", "several", "damage"]
                )
            ):
                case "own":
                    with store.transaction() as tx:
                        tx.insert([message(number, data.draw(CHATS), content=content)])
                    there.append(f"m{number}")
                case "several":
                    with store.transaction() as tx:
                        tx.insert([chat(f"chat-{number}")])
                        tx.insert([message(number, f"chat-{number}", content=content)])
                        tx.insert([message(number + 1, f"chat-{number}", content=content + "x")])
                    there += [f"m{number}", f"m{number + 1}"]
                case "revise":
                    with store.transaction() as tx:
                        revise(tx, "Message", data.draw(st.sampled_from(there)), content=content)
                case "other":
                    write(root, number, content, data.draw(CHATS))
                    there.append(f"m{number}")
                case "hand":
                    edit(root / "chats" / "chat-1.jsonl", number, content)
                    there.append(f"m{number}")
                case "erase" if len(there) > 1:
                    gone = there.pop(data.draw(st.integers(0, len(there) - 1)))
                    with store.transaction() as tx:
                        erase(tx, "Message", gone)
                case "move":
                    with store.transaction() as tx:
                        revise(tx, "Message", data.draw(st.sampled_from(there)), chatId=data.draw(CHATS))
                case "damage":
                    for file in (root / FOLDER).glob("*.sqlite"):
                        damage(file, data.draw(st.integers(0, 3)))
            number += 2
            written = [m.content for m in bare.message.find_many()]
            for _ in range(data.draw(st.integers(1, 4))):
                text = data.draw(st.sampled_from(written))
                start = data.draw(st.integers(0, len(text)))
                asked = data.draw(
                    st.one_of(
                        st.just(text[start : start + data.draw(st.integers(0, 9))]), parts, st.just(text)
                    )
                )
                op = data.draw(st.sampled_from(["contains", "starts_with", "ends_with"]))
                mode = data.draw(st.sampled_from(["default", "insensitive"]))
                if data.draw(st.booleans()) and mode == "insensitive":
                    asked = asked.swapcase()
                assert ids(client, asked, op, mode) == ids(bare, asked, op, mode), (asked, op, mode)


CHATS = st.sampled_from(["chat-1", "chat-2", "chat-3"])


def edit(file: Path, number: int, content: str) -> None:
    """Add a line to a log, and change another one, as an editor does."""
    lines = file.read_text("utf-8").split("\n")
    number_of, template = next((n, json.loads(s)) for n, s in enumerate(lines) if s and '"_deleted"' not in s)
    lines[number_of] = json.dumps(template | {"content": content[::-1]}, ensure_ascii=False)
    added = json.dumps(template | {"id": f"m{number}", "content": content}, ensure_ascii=False)
    beside = file.with_suffix(".edited")
    beside.write_text("\n".join([*lines[:-1], added, ""]), "utf-8")
    if number % 4:
        beside.rename(file)
    else:
        file.write_bytes(beside.read_bytes())
        beside.unlink()


def damage(file: Path, how: int) -> None:
    size = file.stat().st_size
    with open(file, "r+b") as opened:
        if how == 0:
            opened.truncate(size // 2)
        elif how == 1:
            opened.truncate(0)
            opened.write(b"garbage" * 100)
        elif how == 2:
            opened.seek(size // 3)
            opened.write(bytes(size // 3))
        else:
            opened.truncate(0)


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ("İSTANBUL", "istanbul"),
        ("ISTANBUL", "İSTANBUL"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
        ("ΟΔΥΣΣΕΥΣ", "ΟΔΥΣΣΕΥΣ!"),
        ("STRASSE", "straße"),
        ("STRAẞE", "straße"),
        ("\u212alvin", "kLVIN"),
        ("𐐀𐐀𐐀", "𐐨𐐨𐐨"),
        ("e\u0301te\u0301", "E\u0301TE\u0301"),
        ("ＡＢＣ", "ａｂｃ"),
        ('say "red" OR door*', '"RED" or DOOR*'),
        ("a\ufffeb\uffffc", "A\ufffeB\uffffC"),
        ("50% of _ID_", "% OF _id_"),
        ("नमस्ते दुनिया", "स्ते दु"),
    ],
)
def test_case_is_folded_as_without_the_index(
    data: Path, content: str, asked: str, answers: list[int | None]
) -> None:
    client, store = opened(data, layout())
    with store.transaction() as tx:
        revise(tx, "Message", "m0", content=content)
    with client, closing(opened(data, plain_layout())[0]) as bare:
        for text in (content, asked, content[1:5], asked[-4:]):
            for mode in ("default", "insensitive"):
                assert ids(client, text, mode=mode) == ids(bare, text, mode=mode)
        assert answers[0] is not None


@pytest.mark.parametrize("how", range(4))
def test_a_damaged_index_is_made_anew(data: Path, db: Client, how: int, answers: list[int | None]) -> None:
    assert ids(db, "№ 10") == ["m10"]
    damage(index_of(data), how)
    assert ids(db, "№ 10") == ["m10"]
    assert ids(db, "GRÜSSE, № 1", mode="insensitive") == []
    assert ids(db, "grüße, № 1", mode="insensitive") == ["m1", "m10", "m11"]
    assert None not in answers


def test_a_note_that_is_damaged_or_gone_makes_the_index_anew(data: Path, db: Client) -> None:
    for content in (b"", b"\xff" * 60, None):
        assert ids(db, "№ 10") == ["m10"]
        note = index_of(data).with_suffix(".note")
        note.unlink() if content is None else note.write_bytes(content)
        assert ids(db, "№ 11") == ["m11"]


def test_a_folder_without_cache_is_indexed_anew(data: Path, db: Client) -> None:
    assert ids(db, "№ 10") == ["m10"]
    shutil.rmtree(data / FOLDER)
    assert ids(db, "№ 10") == ["m10"]
    assert index_of(data).exists()


def test_the_index_of_another_folder_is_not_believed(data: Path, db: Client, tmp_path: Path) -> None:
    assert ids(db, "№ 10") == ["m10"]
    other = Path(shutil.copytree(data, tmp_path / "other"))
    revised, store = opened(other, layout())
    with revised:
        with store.transaction() as tx:
            revise(tx, "Message", "m0", content="№ 10 too")
        assert ids(revised, "№ 10") == ["m0", "m10"]


def test_what_commits_change_is_found_at_once_and_noted_later(
    data: Path, answers: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, store = opened(data, layout())
    with client:
        assert ids(client, "needle") == []
        before = index_of(data).stat().st_mtime_ns
        for number in range(20, 40):
            with store.transaction() as tx:
                tx.insert([message(number, content=f"a needle {number}")])
            assert f"m{number}" in ids(client, "needle")
        assert index_of(data).stat().st_mtime_ns == before
        monkeypatch.setattr(texts, "_FEW_PENDING", 10)
        assert len(ids(client, "needle")) == 20
        assert index_of(data).stat().st_mtime_ns != before
        with store.transaction() as tx:
            erase(tx, "Message", "m20")
        assert len(ids(client, "needle")) == 19
        assert answers[-1] in (19, 20)
    with closing(opened(data, layout())[0]) as again:
        assert len(ids(again, "needle")) == 19
    assert None not in answers


def test_a_transaction_finds_what_it_has_changed(data: Path) -> None:
    client, _ = opened(data, layout())
    with client, client.tx() as tx:
        tx.message.update(where={"id": "m0"}, data={"content": "a needle"})
        assert [m.id for m in tx.message.find_many(where={"content": {"contains": "needle"}})] == ["m0"]
        assert tx.message.count(where={"content": {"contains": "№ 0"}}) == 0
        assert [hit.record.id for hit in tx.message.search("needle")] == ["m0"]
        tx.message.delete(where={"id": "m0"})
        assert tx.message.find_many(where={"content": {"contains": "needle"}}) == []


def test_other_models_and_documents_are_searched(db: Client, answers: list[int | None]) -> None:
    db.character.update(where={"id": "hero-1"}, data={"name": "Ada Lovelace"})
    assert ids(db, "lovel", mode="insensitive", model="character") == ["hero-1"]
    where = {"character": {"name": {"contains": "Lovelace"}}}
    assert [c.id for c in db.chat.find_many(where=where)] == ["chat-1"]
    either = {"OR": [{"name": {"contains": "Lovelace"}}, {"description": {"contains": "nothing like it"}}]}
    assert [c.id for c in db.character.find_many(where=either)] == ["hero-1"]
    assert answers
    assert None not in answers


def test_what_the_index_cannot_tell_is_looked_for_without_it(db: Client, answers: list[int | None]) -> None:
    assert len(ids(db, "№ ")) == 5
    assert len(ids(db, "")) == 5
    assert ids(db, "ü") == ids(db, "ü")
    assert set(answers) == {None}


def test_u0000_in_a_file_hides_nothing(data: Path, db: Client) -> None:
    assert ids(db, "needle") == []
    edit(data / "chats" / "chat-1.jsonl", 50, "before\0 a needle")
    try:
        expected = ids(opened(data, plain_layout())[0], "needle")
    except DamagedError:
        with pytest.raises(DamagedError):
            ids(db, "needle")
    else:
        assert ids(db, "needle") == expected == ["m50"]


def test_a_damaged_or_missing_log_is_an_error_as_without_the_index(data: Path, db: Client) -> None:
    assert ids(db, "№ 10") == ["m10"]
    log = data / "chats" / "chat-2.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"{", b"[", 1))
    with pytest.raises(DamagedError, match="chat-2"):
        ids(db, "№ 10")
    log.unlink()
    with pytest.raises(DamagedError, match="chat-2"):
        ids(db, "№ 10")
    log.write_bytes(whole)
    assert ids(db, "№ 10") == ["m10"]


def test_a_record_that_an_edit_has_put_into_two_logs_is_found_in_both(data: Path, db: Client) -> None:
    assert ids(db, "№ 10") == ["m10"]
    first, second = data / "chats" / "chat-1.jsonl", data / "chats" / "chat-2.jsonl"
    line = json.loads(first.read_text("utf-8").splitlines()[0]) | {"chatId": "chat-2", "content": "a needle"}
    second.write_text(second.read_text("utf-8") + json.dumps(line) + "\n", "utf-8")
    with closing(opened(data, plain_layout())[0]) as bare:
        for text in ("needle", line["id"][1:], "№ 0", "grüße"):
            assert ids(db, text, mode="insensitive") == ids(bare, text, mode="insensitive")


def test_a_cache_that_cannot_be_written_to_costs_nothing_but_time(
    db: Client, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    real = os.open

    def refusing(path: Any, *more: Any, **options: Any) -> int:
        if FOLDER in os.fspath(path):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing)
        assert ids(db, "№ 10") == ["m10"]
        assert answers == [None]
    assert ids(db, "№ 10") == ["m10"]
    assert answers[-1] == 1


def test_a_full_disk_costs_nothing_but_time(
    db: Client, data: Path, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    connected = searchfile.SearchFile._connection

    def cramped(self: searchfile.SearchFile, *, changes: bool = False) -> Any:
        connection = connected(self, changes=changes)
        connection.execute("PRAGMA max_page_count = 3").fetchall()
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(searchfile.SearchFile, "_connection", cramped)
        assert ids(db, "№ 10") == ["m10"]
        assert answers == [None]
        assert not list((data / FOLDER).glob("*.sqlite"))
    assert ids(db, "№ 10") == ["m10"]
    assert answers[-1] == 1


def test_without_fts5_everything_is_found(
    data: Path, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    monkeypatch.setattr(texts, "is_there", lambda: False)
    with closing(opened(data, layout())[0]) as db:
        assert ids(db, "№ 10") == ["m10"]
        assert [hit.record.id for hit in db.message.search("10")] == ["m10"]
    assert set(answers) == {None}
    assert not (data / FOLDER).exists()


def test_an_index_that_is_locked_is_done_without(
    data: Path, db: Client, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    import fcntl

    assert ids(db, "№ 10") == ["m10"]
    monkeypatch.setattr(searchfile, "_WAIT", 0.05)
    with open(index_of(data).with_suffix(".note"), "rb") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        assert ids(db, "№ 10") == ["m10"]
        assert answers[-1] is None
    assert ids(db, "№ 10") == ["m10"]
    assert answers[-1] == 1


def test_a_process_that_dies_while_it_indexes_leaves_no_gap(data: Path) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2])\n"
        "from octavo.store import texts\n"
        "import store.test_texts as t\n"
        "texts.SMALLEST = 0; texts._BATCH = 1\n"
        "put, count = texts.TextIndex._put, [0]\n"
        "def dying(*a):\n"
        "    count[0] += 1\n"
        "    if count[0] == 3: os.kill(os.getpid(), 9)\n"
        "    put(*a)\n"
        "texts.TextIndex._put = staticmethod(dying)\n"
        "from pathlib import Path\n"
        "t.ids(t.opened(Path(sys.argv[1]), t.layout())[0], 'needle')\n"
    )
    tests = str(Path(__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", script, str(data), tests], check=False)
    assert run.returncode == -9
    with closing(opened(data, layout())[0]) as db:
        assert ids(db, "№ 10") == ["m10"]
        assert ids(db, "grüße", mode="insensitive") == ["m0", "m1", "m10", "m11", "m2"]


def test_two_processes_index_and_write_at_the_same_time(data: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "import store.test_texts as t\n"
        "t.texts.SMALLEST, t.texts.PATIENCE = 0, 60\n"
        "client, store = t.opened(Path(sys.argv[1]), t.layout())\n"
        "me = int(sys.argv[3])\n"
        "for n in range(30):\n"
        "    with store.transaction() as tx:\n"
        "        tx.insert([t.message(me + n, f'chat-{n % 3 + 1}', content=f'needle {me + n} of {me}')])\n"
        "    found = t.ids(client, f'of {me}')\n"
        "    assert len(found) == n + 1, (n, found)\n"
        "client.close()\n"
    )
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", script, str(data), tests]
    running = [subprocess.Popen([*command, str(number)]) for number in (1000, 2000)]
    assert [process.wait(120) for process in running] == [0, 0]
    with closing(opened(data, layout())[0]) as db:
        assert len(ids(db, "needle")) == 60
        assert len(db.message.search("needle", take=100)) == 60


def test_threads_search_and_write_at_the_same_time(data: Path) -> None:
    client, store = opened(data, layout())
    failed: list[BaseException] = []

    def work(me: int) -> None:
        try:
            for n in range(15):
                with store.transaction() as tx:
                    tx.insert([message(me + n, f"chat-{n % 3 + 1}", content=f"needle of {me}")])
                assert len(ids(client, f"of {me}")) == n + 1
        except BaseException as error:
            failed.append(error)

    with client:
        threads = [threading.Thread(target=work, args=(number,)) for number in (1000, 2000, 3000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert len(ids(client, "needle")) == 45


def test_a_commit_under_way_is_not_seen_before_it_is_over(data: Path) -> None:
    held = Held()
    store = Store.open(data, layout(), system=held)
    held.store = store
    with Client(JsonBackend(VOCABULARY, store), VOCABULARY) as db:
        assert ids(db, "needle") == []

        def commit() -> None:
            with store.transaction() as tx:
                revise(tx, "Message", "m0", content="a needle")

        held.hold = True
        writer = threading.Thread(target=commit)
        writer.start()
        assert held.reached.wait(10)
        found: list[Any] = []
        reader = threading.Thread(target=lambda: found.append(ids(db, "№ 0")))
        reader.start()
        reader.join(0.3)
        held.go_on.set()
        writer.join(10)
        reader.join(10)
        assert found in ([["m0"]], [[]])
        assert ids(db, "needle") == ["m0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_searches_by_itself(data: Path, db: Client) -> None:
    assert ids(db, "№ 10") == ["m10"]
    child = os.fork()
    if not child:
        code = 1
        try:
            assert ids(db, "№ 10") == ["m10"]
            db.message.update(where={"id": "m0"}, data={"content": "of a child"})
            assert ids(db, "of a child") == ["m0"]
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert ids(db, "of a child") == ["m0"]


def test_a_question_that_is_interrupted_anywhere_leaves_no_gap(
    built: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_FEW_PENDING", 0)

    def work(root: Path, interrupter: Interrupter) -> bool:
        client, store = opened(root, layout())
        with client:
            assert ids(client, "№ 11") == ["m11"]
            with store.transaction() as tx:
                revise(tx, "Message", "m0", content="a needle")
                tx.insert([message(60, content="another needle")])
            interrupted = interrupter.run(lambda: ids(client, "needle"))
            assert ids(client, "needle") == ["m0", "m60"]
            assert ids(client, "№ 11") == ["m11"]
        return interrupted

    def fresh() -> Path:
        return Path(shutil.copytree(built, tmp_path_factory.mktemp("interrupted") / "data"))

    counting = Interrupter()
    work(fresh(), counting)
    moments = len(counting.moments)
    assert moments > 500
    for at in range(1, moments, moments // 40):
        work(root := fresh(), Interrupter(at))
        with closing(opened(root, layout())[0]) as again:
            assert ids(again, "needle") == ["m0", "m60"]


def test_a_large_log_is_indexed_piece_by_piece(
    data: Path, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    client, store = opened(data, layout())
    monkeypatch.setattr(texts, "_BATCH", 7)
    monkeypatch.setattr(texts, "_FEW", 1_000)
    with client:
        with store.transaction() as tx:
            tx.insert([message(n, content=f"needle {n}") for n in range(100, 200)])
        assert len(ids(client, "needle")) == 100
        with store.transaction() as tx:
            for number in range(100, 150):
                erase(tx, "Message", f"m{number}")
        with store.transaction() as tx:
            tx.insert([message(n, content=f"needle {n}") for n in range(300, 420)])
        assert len(ids(client, "needle")) == 170
        edit(data / "chats" / "chat-1.jsonl", 500, "a needle by hand")
        assert len(ids(client, "needle")) == 171
        assert len(client.message.search("needle", take=500)) == 171
    assert None not in answers


def test_what_stands_for_nothing_does_not_grow_without_end(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "_GARBAGE", 20)
    monkeypatch.setattr(texts, "_FEW_PENDING", 0)
    client, store = opened(data, layout())
    with client:
        for number in range(60):
            with store.transaction() as tx:
                revise(tx, "Message", "m0", content=f"needle {number}")
            assert ids(client, f"needle {number}") == ["m0"]
    for _ in range(3):
        with closing(opened(data, layout())[0]) as db:
            assert ids(db, "needle 59") == ["m0"]
            assert ids(db, "needle 58") == []
    import sqlite3

    with closing(sqlite3.connect(index_of(data))) as connection:
        [(last,)] = connection.execute("SELECT max(id) FROM docs")
    assert last < 60


def test_a_note_says_nothing_of_another_boot_unless_it_was_synced(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = opened(data, layout())
    assert ids(client, "№ 10") == ["m10"]
    note = index_of(data).with_suffix(".note")
    unsynced = note.read_bytes()
    client.close()
    settled = note.read_bytes()
    assert settled != unsynced
    monkeypatch.setattr(searchfile, "boot_id", lambda: 12345)
    with closing(opened(data, layout())[0]) as db:
        assert ids(db, "№ 10") == ["m10"]
        assert note.read_bytes() == settled
        note.write_bytes(unsynced)
        assert ids(db, "№ 10") == ["m10"]
        assert note.read_bytes()[8:16] != unsynced[8:16]


def test_small_files_are_not_indexed(data: Path, db: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SMALLEST", 1 << 20)
    assert ids(db, "№ 10") == ["m10"]
    assert not list((data / FOLDER).glob("*.sqlite"))


def test_the_index_is_its_owners_alone(data: Path, db: Client) -> None:
    assert ids(db, "№ 10") == ["m10"]
    assert {path.stat().st_mode & 0o777 for path in (data / FOLDER).iterdir()} == {0o600}
    assert (data / FOLDER).stat().st_mode & 0o777 == 0o700
    assert row("Message").content == "content"
