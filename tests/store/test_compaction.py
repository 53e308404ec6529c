"""Compaction: logs as an export writes them, whatever has happened to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from folders import tree
from octavo.errors import DiskError, OctavoError
from octavo.fold.export import ExportOptions, export
from octavo.fold.restore import restore
from octavo.layout.load import frozen_layout
from octavo.store.store import Store, Transaction
from octavo.store.system import FileSystem
from octavo.url import DatabaseUrl
from stores import Unsynced

LAYOUT = frozen_layout()


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with Store.open(data, LAYOUT) as opened:
        yield opened


def changed(row: Any, **values: Any) -> Any:
    return msgspec.structs.replace(row, **values)


def busy_day(store: Store) -> None:
    """Changes of every kind, which leave superseded lines, tombstones and another order behind."""
    with store.transaction() as tx:
        chats = sorted(tx.rows("Chat"), key=lambda c: c.id)
        tx.update([(c, changed(c, title=f"{c.title} again")) for c in chats[:3]])
        tx.delete([chats[-1]])
    for chat in chats[:2]:
        with store.transaction() as tx:
            messages = tx.find("Message", ("chatId",), chat.id)
            tx.insert([changed(messages[0], id=f"earliest-{chat.id}", _createdAt="1999-01-01T00:00:00.000Z")])
            tx.update([(m, changed(m, content=m.content + "!")) for m in messages[:2]])
        with store.transaction() as tx:
            tx.delete(tx.find("Message", ("chatId",), chat.id)[-1:])
    with store.transaction() as tx:
        user = next(tx.rows("User"))
        tag = next(tx.rows("Tag"))
        tx.insert([changed(tag, id="new-tag", name="New", nameLower="new", userId=user.id)])
        link = next(tx.rows("ChatTag"))
        tx.insert([changed(link, id="new-link", tagId="new-tag", chatId=chats[0].id)])
        persona = next(tx.rows("Persona"))
        tx.update([(persona, changed(persona, name="Another"))])


def test_the_files_are_then_what_an_export_of_the_same_data_gives(
    store: Store, data: Path, database: str, tmp_path: Path
) -> None:
    busy_day(store)
    before = {name: text for name, text in tree(data).items() if name.endswith(".jsonl")}
    report = store.compact()
    assert report.damaged == []
    assert {log.file for log in report.logs if log.rewritten} == {
        name for name, text in before.items() if (data / name).exists() and tree(data)[name] != text
    } - {"journal/changes.jsonl"}
    assert report.lines[0] > report.lines[1]
    url = DatabaseUrl.parse(database)
    restore(url, data, LAYOUT, tmp_path / "public")
    export(url, tmp_path / "again", LAYOUT, ExportOptions(tmp_path / "public"))
    assert tree(data) == tree(tmp_path / "again")


def test_it_says_of_each_log_what_there_was(store: Store, data: Path) -> None:
    busy_day(store)
    lines = {p: p.read_bytes() for p in data.glob("*/*.jsonl") if p.parent.name != "journal"}
    report = store.compact()
    assert {data / log.file for log in report.logs} == lines.keys()
    for log in report.logs:
        text, now = lines[data / log.file], (data / log.file).read_bytes()
        assert (log.lines_before, log.bytes_before) == (text.count(b"\n"), len(text))
        assert (log.lines_after, log.bytes_after) == (now.count(b"\n"), len(now))
        assert log.rewritten == (text != now)


def test_done_again_it_does_nothing(store: Store, data: Path) -> None:
    busy_day(store)
    store.compact()
    inodes = {path: path.stat().st_ino for path in data.glob("*/*.jsonl")}
    assert not any(log.rewritten for log in store.compact().logs)
    assert {path: path.stat().st_ino for path in data.glob("*/*.jsonl")} == inodes


def test_a_log_that_cannot_be_read_stays_as_it_is(store: Store, data: Path) -> None:
    busy_day(store)
    broken = data / "auth" / "sessions.jsonl"
    broken.write_bytes(broken.read_bytes() + b"what is this\n")
    before = broken.read_bytes()
    report = store.compact()
    assert [(e.file, e.line) for e in report.damaged] == [("auth/sessions.jsonl", before.count(b"\n"))]
    assert broken.read_bytes() == before
    assert any(log.rewritten for log in report.logs)


def test_what_is_torn_is_kept_aside(store: Store, data: Path) -> None:
    log = min(p for p in data.glob("chats/*.jsonl") if p.name != "index.jsonl" and p.stat().st_size)
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"_model":"Message","id":"to')
    store.compact()
    assert log.read_bytes() == whole
    assert [p.read_bytes() for p in (data / "cache" / "torn").iterdir()] == [b'{"_model":"Message","id":"to']


def test_writers_and_readers_go_on(store: Store) -> None:
    chat = store.read(lambda view: min(view.rows("Chat"), key=lambda c: c.id))
    stop, failures = threading.Event(), []
    counted = len(store.read(lambda view: view.find("Message", ("chatId",), chat.id)))

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                with store.transaction() as tx:
                    _touch(tx, chat.id, number)
        except Exception as error:
            failures.append(error)

    def look() -> None:
        try:
            while not stop.is_set():
                messages = store.read(lambda view: view.find("Message", ("chatId",), chat.id))
                assert len(messages) == counted
                assert len({m.content for m in messages[:2]}) == 1
        except Exception as error:
            failures.append(error)

    with store.transaction() as tx:
        _touch(tx, chat.id, 0)
    threads = [threading.Thread(target=write), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        store.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def _touch(tx: Transaction, chat: str, number: int) -> None:
    messages = sorted(tx.find("Message", ("chatId",), chat), key=lambda m: (m._createdAt, m.id))
    tx.update([(m, changed(m, content=f"edit {number}")) for m in messages[:2]])


def test_on_a_full_disk_the_logs_stay_as_they_are(data: Path) -> None:
    class Full(FileSystem):
        full = False

        def create(self, path: str) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().create(path)

    system = Full()
    with Store.open(data, LAYOUT, system=system) as store:
        busy_day(store)
        store.checkpoint()
        before = tree(data)
        system.full = True
        with pytest.raises(DiskError, match="No space left"):
            store.compact()
        system.full = False
        assert tree(data) == before
        store.compact()
    records = [json.loads(line) for line in (data / "chats" / "index.jsonl").read_bytes().splitlines()]
    assert len({r["id"] for r in records}) == len(records)


def test_another_process_may_write_between_two_logs(store: Store, data: Path) -> None:
    """The next logs are as of a commit that this process has not seen yet."""
    with Store.open(data, LAYOUT, system=Unsynced()) as other:

        def write(_: int) -> None:
            with other.transaction() as tx:
                user = next(tx.rows("User"))
                tx.update([(user, changed(user, name="again"))])

        report = store.compact(write)
    assert report.damaged == []
    assert {log.file for log in report.logs} >= {f"chats/{path.name}" for path in (data / "chats").iterdir()}


def test_others_may_write_all_the_time(store: Store, data: Path) -> None:
    """Logs come and go while it goes on."""
    stop, failures = threading.Event(), []

    def write(number: int) -> None:
        try:
            with Store.open(data, LAYOUT, system=Unsynced()) as other:
                while not stop.is_set():
                    with other.transaction() as tx:
                        chat = min(tx.rows("Chat"), key=lambda c: c.id)
                        tx.insert([changed(chat, id=f"new-{number}")])
                    with other.transaction() as tx:
                        tx.delete([row for row in [tx.get("Chat", f"new-{number}")] if row is not None])
        except OctavoError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert store.compact().damaged == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
