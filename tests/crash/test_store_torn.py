"""Logs and the journal, torn at every byte or with a byte changed: read as far as they are whole, or an error
that names the place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from octavo.errors import DamagedError
from octavo.store.changes import Append, Remove, Replace
from octavo.store.journal import Entry, Journal, encode_entry, read_entries
from octavo.store.store import Store
from octavo.store.system import SYSTEM
from small_store import chat, layout, message, row, state_of, state_on_disk

Copy = Callable[[Path], Path]
LOG, INDEX = "chats/chat-1.jsonl", "chats/index.jsonl"


def messages(root: Path) -> list[str]:
    """The ids of the messages of the first chat."""
    with Store.open(root, layout()) as store:
        rows = store.read(lambda view: view.find("Message", ("chatId",), "chat-1"))
    return sorted(str(r.id) for r in rows)


def appended(root: Path) -> list[str]:
    """The same after one more was stored, as others read it."""
    with Store.open(root, layout()) as store, store.transaction() as tx:
        tx.insert([message(9)])
    found = state_on_disk(root)["Message"].values()
    return sorted(values[0].decode() for values in found if values[0] and values[1] == b"chat-1")


def lines(root: Path, file: str = LOG) -> list[bytes]:
    return (root / file).read_bytes().splitlines(keepends=True)


def test_a_line_torn_at_any_byte_does_not_count_and_the_next_stands_by_itself(
    small: Path, copied: Copy
) -> None:
    root = copied(small)
    *whole, last = lines(root)
    for cut in range(1, len(last) - 1, 2):
        (root / LOG).write_bytes(b"".join(whole) + last[:cut])
        assert messages(root) == ["m0", "m1"], cut
    for cut in (1, len(last) // 2, last.index("ß".encode()) + 1, len(last) - 2):
        (root / LOG).write_bytes(b"".join(whole) + last[:cut])
        assert appended(root) == ["m0", "m1", "m9"]
        assert len(lines(root)) == 3


def test_what_was_torn_is_kept(small: Path, copied: Copy) -> None:
    root = copied(small)
    *whole, last = lines(root)
    (root / LOG).write_bytes(b"".join(whole) + last[:50])
    appended(root)
    (kept,) = (root / "cache" / "torn").iterdir()
    assert kept.read_bytes() == last[:50]


@pytest.mark.parametrize("which", ["first", "middle", "last", "all but one"])
def test_a_line_with_blocks_that_never_reached_the_disk_does_not_count(
    which: str, small: Path, copied: Copy
) -> None:
    root = copied(small)
    with Store.open(root, layout()) as store, store.transaction() as tx:
        tx.insert([message(9, content="long " * 900)])
    data = bytearray((root / LOG).read_bytes())
    start = data.rindex(b"\n", 0, -1) + 1
    boundary = (start // 512 + 2) * 512
    if which == "all but one":
        data[boundary + 1024 :] = bytes(len(data) - boundary - 1024)
        which = "first"
    hole = {
        "first": slice(start, boundary),
        "middle": slice(boundary, boundary + 1024),
        "last": slice(len(data) // 512 * 512, len(data)),
    }[which]
    data[hole] = bytes(len(data[hole]))
    (root / LOG).write_bytes(data)
    assert messages(root) == ["m0", "m1", "m2"]
    assert appended(root) == ["m0", "m1", "m2", "m9"]


def test_zeros_that_are_no_missing_block_are_an_error_with_their_place(small: Path, copied: Copy) -> None:
    root = copied(small)
    *whole, last = lines(root)
    (root / LOG).write_bytes(b"".join(whole) + last[:40] + bytes(3) + last[43:])
    with pytest.raises(DamagedError) as caught:
        messages(root)
    assert (caught.value.file, caught.value.line) == (LOG, 3)


def test_a_last_line_without_its_end_counts(small: Path, copied: Copy) -> None:
    root = copied(small)
    (root / LOG).write_bytes((root / LOG).read_bytes()[:-1])
    assert messages(root) == ["m0", "m1", "m2"]
    assert appended(root) == ["m0", "m1", "m2", "m9"]


def test_lines_that_end_as_on_another_system_count(small: Path, copied: Copy) -> None:
    root = copied(small)
    (root / LOG).write_bytes((root / LOG).read_bytes().replace(b"\n", b"\r\n"))
    assert messages(root) == ["m0", "m1", "m2"]
    assert appended(root) == ["m0", "m1", "m2", "m9"]


BROKEN: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut in the middle": lambda found: [found[0], found[1][:40] + b"\n", found[2]],
    "cut in a character": lambda found: [
        found[0],
        found[1][: found[1].index("ß".encode()) + 1] + b"\n",
        found[2],
    ],
    "glued": lambda found: [found[0], found[1][:-1] + found[2]],
    "swallowed": lambda found: [found[0], found[1][:40] + found[2]],
    "zeros": lambda found: [found[0], bytes(64) + b"\n", found[2]],
    "zeros in a line": lambda found: [found[0], found[1][:20] + bytes(9) + found[1][29:], found[2]],
    "not JSON": lambda found: [found[0], b"what is this\n", found[2]],
    "not JSON at the end": lambda found: [*found[:1], b"what is this\n"],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_line_elsewhere_is_an_error_with_its_place(
    broken: Callable[[list[bytes]], list[bytes]], small: Path, copied: Copy
) -> None:
    root = copied(small)
    content = b"".join(broken(lines(root)))
    (root / LOG).write_bytes(content)
    with pytest.raises(DamagedError) as caught:
        messages(root)
    assert (caught.value.file, caught.value.line) == (LOG, 2)
    assert (root / LOG).read_bytes() == content


def test_a_byte_order_mark_is_an_error_with_its_place(small: Path, copied: Copy) -> None:
    root = copied(small)
    (root / LOG).write_bytes(b"\xef\xbb\xbf" + (root / LOG).read_bytes())
    with pytest.raises(DamagedError) as caught:
        messages(root)
    assert (caught.value.file, caught.value.line) == (LOG, 1)


def test_a_log_in_memory_torn_at_any_byte(small: Path, copied: Copy) -> None:
    """The same for a log that several kinds of parents share, which is read as a whole."""
    root = copied(small)
    *whole, last = lines(root, INDEX)
    (root / "chats/chat-3.jsonl").unlink()
    for cut in range(1, len(last) - 1, 7):
        (root / INDEX).write_bytes(b"".join(whole) + last[:cut])
        with Store.open(root, layout()) as store:
            assert sorted(state_of(store)["Chat"]) == [(b"chat-1",), (b"chat-2",)]
            with store.transaction() as tx:
                tx.insert([chat(f"new-{cut}")])
        assert len(lines(root, INDEX)) == 3
        (root / f"chats/new-{cut}.jsonl").unlink()


ENTRIES = [
    Entry(1, (Append("chats/chat-1.jsonl", 0, "Grüße\n"), Replace("tags/tags.json", "{}\n"))),
    Entry(2, (Remove("chats/chat-2.jsonl"),)),
    Entry(3, (Append("chats/index.jsonl", 7, "…\n", 2),)),
]


def test_a_journal_torn_at_any_byte_has_the_entries_that_are_whole() -> None:
    written = [encode_entry(entry) for entry in ENTRIES]
    data = b"".join(written)
    ends = [0, len(written[0]), len(written[0] + written[1]), len(data)]
    for cut in range(len(data) + 1):
        whole = max(n for n, end in enumerate(ends) if end <= cut)
        assert read_entries(data[:cut]) == (ENTRIES[:whole], ends[whole])
        # The size can be there, and not what was written.
        assert read_entries(data[:cut].ljust(ends[min(whole + 1, 3)], b"\0")) == (
            ENTRIES[:whole],
            ends[whole],
        )


def test_a_changed_byte_in_front_of_a_whole_entry_is_an_error() -> None:
    written = [encode_entry(entry) for entry in ENTRIES]
    data = b"".join(written)
    for at in range(len(written[0] + written[1])):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(DamagedError) as caught:
            read_entries(changed)
        assert caught.value.file == "journal/changes.jsonl"


def test_a_changed_byte_in_the_last_entry_is_an_error_and_not_taken_for_torn() -> None:
    """A crash leaves a part, and zeros: never a whole line with other bytes."""
    data = encode_entry(ENTRIES[0])
    for at in range(len(data) - 1):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(DamagedError):
            read_entries(changed)


def test_a_damaged_journal_keeps_the_store_from_opening_and_is_kept(small: Path, copied: Copy) -> None:
    root = copied(small)
    journal = Journal(str(root), SYSTEM)
    for entry in ENTRIES:
        journal.add(entry)
    path = root / "journal" / "changes.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Gr", b"gr"))
    with pytest.raises(DamagedError, match=r"journal/changes\.jsonl"):
        Store.open(root, layout())
    assert path.read_bytes() == data.replace(b"Gr", b"gr")


def test_a_document_that_was_cut_is_an_error_and_never_overwritten(small: Path, copied: Copy) -> None:
    root = copied(small)
    path = root / "tags" / "tags.json"
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 1, 11):
        path.write_bytes(whole[:cut])
        with Store.open(root, layout()) as store:
            with pytest.raises(DamagedError) as caught, store.transaction() as tx:
                tx.insert([row("Tag", id="new", userId="user-1", nameLower="new")])
            assert caught.value.file == "tags/tags.json"
        assert path.read_bytes() == whole[:cut]
