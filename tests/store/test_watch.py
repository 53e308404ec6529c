"""What somebody else changes is noticed, by whichever thread asks."""

from __future__ import annotations

import threading
from pathlib import Path

from octavo.store.watch import watch


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
