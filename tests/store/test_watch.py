"""What somebody else changes is noticed, by whichever thread asks."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from octavo.store.freshness import watch


def test_what_changed_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    watching = watch(str(tmp_path), ["chats"])
    try:
        assert watching.take() in (set(), None)
        (tmp_path / "chats" / "a.jsonl").write_text("x")
        assert watching.changed()
        assert watching.take() in ({"chats/a.jsonl"}, None)
    finally:
        watching.close()


def test_threads_may_ask_at_the_same_time(tmp_path: Path) -> None:
    watching = watch(str(tmp_path), [])
    failures: list[Exception] = []

    def ask() -> None:
        try:
            for _ in range(5000):
                watching.changed()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watching.close()
    assert failures == []


def test_a_folder_that_was_replaced_is_no_longer_relied_on(tmp_path: Path) -> None:
    """Any file may have changed from then on: the watch is on a folder that is elsewhere."""
    (tmp_path / "chats").mkdir()
    watching = watch(str(tmp_path), ["chats"])
    (tmp_path / "chats").rename(tmp_path / "old")
    (tmp_path / "chats").mkdir()
    for _ in range(2):
        assert watching.changed()
        assert watching.take() is None
    (tmp_path / "chats" / "a.jsonl").write_text("x")
    assert watching.changed()
    assert watching.take() is None
    watching.close()


def test_every_folder_of_a_layout_is_watched_but_our_own(tmp_path: Path) -> None:
    from octavo.fold.scaffold import scaffold
    from octavo.layout.load import parse_layout
    from octavo.schema.parser import parse_schema
    from octavo.store.store import Store

    datamodel = parse_schema(
        'datasource db {\n provider = "postgresql"\n url = env("DATABASE_URL")\n}\n'
        "model Entry {\n id String @id\n text String\n}\n"
    )
    found = parse_layout('version = 1\n[files]\n"journals/{id}.json" = "Entry"\n', datamodel)
    scaffold(tmp_path / "data", found)
    path = tmp_path / "data/journals/a.json"
    with Store.open(tmp_path / "data", found) as store:
        for text in ("one", "two"):
            path.write_text(json.dumps({"_version": 1, "id": "a", "text": text}))
            row = store.get("Entry", "a")
            assert row is not None
            assert row.text == text
