"""The bytes of a file are understood to the last, or refused with the place and the reason."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octavo.errors import DamagedError
from octavo.fold.scaffold import scaffold
from octavo.layout import reader, scan
from octavo.layout.codec import Codecs
from octavo.layout.found import Many
from octavo.layout.keys import Key
from octavo.layout.layout import Kind, Layout
from octavo.layout.listing import File, contents
from octavo.layout.load import flat_layout, frozen_layout
from octavo.layout.reader import Reader, live_records, live_together
from octavo.layout.record import Noted, Row, encode, plain
from octavo.layout.scan import Log, Scanner, torn_at
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from parity.keyed import keyed
from parity.worlds import World
from small_store import build, layout


def scanner(path: str, found: Layout | None = None) -> Scanner:
    chosen = found or layout()
    family = next(f for f in chosen.families if f.path == path)
    return Scanner(family, Codecs(chosen))


CHATS, MESSAGES, IMAGES = "chats/index.jsonl", "chats/{chatId}.jsonl", "binaries/index.jsonl"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("content") / "data"
    build(root)
    return root


@pytest.fixture(scope="module")
def lines(data: Path) -> list[bytes]:
    """Three messages, a line each."""
    return (data / "chats/chat-1.jsonl").read_bytes().splitlines(keepends=True)


def log(*parts: bytes, path: str = MESSAGES) -> Log:
    return scanner(path).log("chats/chat-1.jsonl", b"".join(parts))


def keys(found: Log, model: str = "Message") -> list[str]:
    return list(found.live[model])


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps(json.loads(line) | values, separators=(",", ":")).encode() + b"\n"


def tombstone(key: str, **more: Any) -> bytes:
    return json.dumps({"_model": "Message", "id": key, **more, "_deleted": True}).encode() + b"\n"


class TestLogs:
    def test_the_last_line_of_a_key_counts(self, lines: list[bytes]) -> None:
        found = log(*lines, changed(lines[0], content="later"))
        assert sorted(keys(found)) == ["m0", "m1", "m2"]
        assert found.live["Message"]["m0"].content == "later"
        assert found.lines == 4

    def test_a_tombstone_removes_and_a_later_line_brings_back(self, lines: list[bytes]) -> None:
        assert keys(log(*lines, tombstone("m1"))) == ["m0", "m2"]
        assert sorted(keys(log(*lines, tombstone("m1"), lines[1]))) == ["m0", "m1", "m2"]
        assert keys(log(*lines, tombstone("m1", note="unknown"))) == ["m0", "m2"]
        assert keys(log(*lines, tombstone("nobody"))) == ["m0", "m1", "m2"]

    def test_a_text_that_looks_like_a_tombstone_is_none(self, lines: list[bytes]) -> None:
        found = log(*lines, changed(lines[1], content='x","_deleted":true}'))
        assert found.live["Message"]["m1"].content == 'x","_deleted":true}'

    @pytest.mark.parametrize("whole", [True, False], ids=["with its end", "without its end"])
    def test_lines_as_an_editor_leaves_them(self, lines: list[bytes], whole: bool) -> None:
        spaced = json.dumps(json.loads(lines[2])).encode() + b"\n" * whole
        found = log(lines[0], b"\n", b"  \n", lines[1].replace(b"\n", b"\r\n"), spaced)
        assert keys(found) == ["m0", "m1", "m2"]
        assert found.ended is whole
        assert found.torn == b""

    def test_unknown_keys_are_kept_and_written_again(self, lines: list[bytes]) -> None:
        found = scanner(MESSAGES)
        noted = changed(lines[1], note={"mine": [1, "\u00e9"]})
        stored = found.log("chats/chat-1.jsonl", noted).live["Message"]["m1"]
        assert json.loads(found.codecs["Message"].encode(stored)) == json.loads(noted)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda line: line.replace(b'"id"', b'"ID"'), "Message.id: is missing"),
            (lambda line: line.replace(b'"content":"', b'"content":1,"x":"'), "Message.content"),
            (lambda line: changed(line, role="KING"), "Message.role"),
            (lambda line: changed(line, createdAt="2025-11-22T12:34:56Z"), "is not a UTC time"),
            (lambda line: changed(line, createdAt="2025-11-31T12:34:56.789Z"), "createdAt: is not a valid"),
            (lambda line: changed(line, createdAt="2025-11-22t12:34:56.789Z"), "Message.createdAt"),
            (lambda line: changed(line, createdAt="2025-11-22T12:34:56,789Z"), "Message.createdAt"),
            (lambda line: changed(line, createdAt="2025-11-22T24:00:00.000Z"), "Message.createdAt"),
            (lambda line: changed(line, content="a\0b"), "Message.content: contains U\\+0000"),
            (lambda line: changed(line, tokenCount=2**31), "Message.tokenCount"),
            (lambda line: changed(line, _model="Chat"), "_model is 'Chat', which does not live here"),
            (lambda line: line.replace(b'"_model":"Message",', b""), "has no _model"),
            (lambda line: line.replace(b'"id":', b'"id":"m1","id":'), "duplicate key 'id'"),
            (lambda line: line[: len(line) // 2] + b"\n", "cut|broken"),
            (lambda line: line.replace(b"\n", b"x\n"), "unexpected text after the end"),
            (lambda line: b"[]\n", "is not an object"),
            (lambda line: line.replace(b'"content"', b'"con\0ent"'), "NUL"),
            (lambda line: line.replace(b'"content":"', b'"content":"\xff'), "UTF-8|utf-8"),
            (lambda line: b'{"_model":"Message","_deleted":true}\n', "Message.id: is missing"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_what_is_wrong_is_named(
        self, lines: list[bytes], change: Callable[[bytes], bytes], reason: str, at: int
    ) -> None:
        whole = [*lines[:at], change(changed(lines[1], id="m9")), *lines[at:]]
        with pytest.raises(DamagedError, match=reason) as caught:
            log(*whole)
        assert (caught.value.file, caught.value.line) == ("chats/chat-1.jsonl", at + 1)

    def test_two_models_share_a_log(self, data: Path) -> None:
        whole = (data / IMAGES).read_bytes()
        found = log(whole, path=IMAGES)
        assert (keys(found, "Image"), keys(found, "ChatFile")) == (["image-1"], ["file-1"])


def test_a_required_number_is_not_null() -> None:
    found = flat_layout(parse_schema("model M {\n  id Int @id\n  ratio Float\n  maybe Float?\n}\n"))
    line = b'{"_model":"M","id":1,"ratio":%b,"maybe":null}\n'
    assert list(scanner("m.jsonl", found).log("m.jsonl", line % b"0.5").live["M"]) == [1]
    with pytest.raises(DamagedError, match=r"m\.jsonl:1: M\.ratio: is neither a number"):
        scanner("m.jsonl", found).log("m.jsonl", line % b"null")


class TestTornLines:
    """What a crash leaves of the last line does not count; everything in front of it does."""

    def test_cut_anywhere(self, lines: list[bytes]) -> None:
        whole = b"".join(lines)
        start = len(whole) - len(lines[-1])
        for cut in range(start, len(whole)):
            found = log(whole[:cut])
            if cut == len(whole) - 1:
                assert (keys(found), found.ended, found.torn) == (["m0", "m1", "m2"], False, b"")
            else:
                assert (keys(found), found.size) == (["m0", "m1"], start)
                assert found.torn == whole[start:cut]

    def test_zeros_in_the_place_of_blocks(self, lines: list[bytes]) -> None:
        whole = b"".join(lines)
        start = len(whole) - len(lines[-1])
        for cut in range(start, len(whole)):
            zeros = whole[:cut] + bytes(len(whole) - cut)
            found = log(zeros)
            assert zeros[: found.size] + found.torn == zeros
            assert keys(found) == (["m0", "m1", "m2"] if cut == len(whole) - 1 else ["m0", "m1"])
        hole = whole[:start] + bytes(512 - start % 512) + whole[start + 512 - start % 512 :]
        if len(hole) == len(whole):
            assert torn_at(hole) == start

    def test_a_lonely_nul_is_damage(self, lines: list[bytes]) -> None:
        whole = b"".join(lines)
        start = len(whole) - len(lines[-1])
        for at in range(start + 1, len(whole) - 1):
            if at % 256 and (at + 1) % 256:
                with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:3: .*NUL"):
                    log(whole[:at] + b"\0" + whole[at + 1 :])

    def test_whole_lines_behind_a_broken_one_are_damage(self, lines: list[bytes]) -> None:
        with pytest.raises(DamagedError, match=r"chats/chat-1.jsonl:2"):
            log(lines[0], lines[1][:40], b"\n", lines[2])

    def test_where_a_part_of_a_log_begins_is_taken_into_account(self, lines: list[bytes]) -> None:
        line = lines[-1][:10] + bytes(100) + lines[-1][10:]
        assert torn_at(line, 256 - 10) == len(line)
        hole = lines[-1][:10] + bytes(256) + lines[-1][10:]
        assert torn_at(hole, 256 - 10) == 0


class TestDocuments:
    path = "tags/tags.json"

    @pytest.fixture
    def text(self, data: Path) -> bytes:
        return (data / self.path).read_bytes()

    @pytest.mark.parametrize(
        ("old", "new", "reason", "line"),
        [
            (b'"_version": 1', b'"_version": 2', "is format version 2", 1),
            (b'"_version": 1,', b"", "_version: is missing", 1),
            (b'"tags": [', b'"tugs": [', "Tag.tags: is missing", 0),
            (b'"id": "tag-2"', b'"id": "tag-1"', "its key stands twice", 13),
            (b'"id": "tag-2"', b'"ID": "tag-2"', "Tag.id: is missing", 13),
            (b'"id": "tag-2"', b'"id": 2', "Tag.id", 14),
            (b'"userId": "user-1"', b'"userId": null', "Tag.userId", 6),
            (b'"userId": "user-1"', b'"userId": "user-1", "userId": "user-1"', "duplicate key", 6),
            (b"]\n}", b"]", "cut", 22),
            (b"]\n}", b"]]\n}", "a comma is missing", 20),
            (b'"tags": [', b'"tags": {', "Tag.tags|a key is missing or broken", 3),
            (b'{\n  "_v', b'\xef\xbb\xbf{\n  "_v', "byte order mark", 1),
            (b'"tags": [', b'"tags": [], "tags": [', "duplicate key 'tags'", 3),
        ],
    )
    def test_what_is_wrong_is_named(
        self, text: bytes, old: bytes, new: bytes, reason: str, line: int
    ) -> None:
        assert old in text
        with pytest.raises(DamagedError, match=reason) as caught:
            scanner(self.path).document(self.path, text.replace(old, new, 1))
        assert caught.value.file == self.path
        assert abs(caught.value.line - line) <= 1, caught.value

    @pytest.mark.parametrize("text", [b"", b"\n", b"\0\0\0", b"null", b"[]", b"{}"])
    def test_nothing_is_no_empty_document(self, text: bytes) -> None:
        with pytest.raises(DamagedError):
            scanner(self.path).document(self.path, text)

    def test_other_members_are_kept(self, text: bytes) -> None:
        noted = text.replace(b'"tags": [', b'"note": [1, {"a": "\\u00e9"}],\n  "tags": [')
        found = scanner(self.path).document(self.path, noted)
        assert found.unknown == [("note", b'[1, {"a": "\\u00e9"}]')]
        assert list(found.live["Tag"]) == ["tag-1", "tag-2"]

    def test_records_as_an_editor_leaves_them(self, text: bytes) -> None:
        for edited in (text.replace(b"\n", b"\r\n"), json.dumps(json.loads(text)).encode()):
            found = scanner(self.path).document(self.path, edited)
            assert list(found.live["Tag"]) == ["tag-1", "tag-2"]


class TestRecordFiles:
    path = "characters/{id}.json"

    @pytest.mark.parametrize(
        ("old", "new", "reason", "line"),
        [
            (b'"_version": 1', b'"_version": 2', "is format version 2", 2),
            (b'"name":', b'"nome":', "Character.name: is missing", 1),
            (b'"tagId": "tag-1"', b'"tagId": 1', "CharacterTag.tagId", 23),
            (b'"tags": [', b'"tugs": [', "Character.tags: is missing", 1),
            (b'"isFavorite": false', b'"isFavorite": "no"', "Character.isFavorite", 15),
            (b'"createdAt": "2025', b'"createdAt": "2O25', "createdAt", 0),
        ],
    )
    def test_what_is_wrong_is_named(self, data: Path, old: bytes, new: bytes, reason: str, line: int) -> None:
        text = (data / "characters/hero-1.json").read_bytes()
        assert old in text
        with pytest.raises(DamagedError, match=reason) as caught:
            scanner(self.path).record_file("characters/hero-1.json", text.replace(old, new, 1))
        assert caught.value.file == "characters/hero-1.json"
        assert not line or abs(caught.value.line - line) <= 1, caught.value

    @pytest.mark.parametrize("text", [b"", b"\n", b"\0\0", b"{", b"{}", b"null"])
    def test_nothing_is_no_record(self, text: bytes) -> None:
        with pytest.raises(DamagedError, match=r"x.json"):
            scanner(self.path).record_file("x.json", text)


# The rows that a store has and those that a check sees are the same, whatever stands in a file

PIECES = [
    *(
        b"null",
        b"true",
        b'""',
        b"0",
        b"-0",
        b"1e400",
        b"[]",
        b"{}",
        b"{",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b" ",
    ),
    *(b"\r", b"\n", b"\0", b"\xff", b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b'"_deleted":true', b'"id":"x"'),
    *(b"infinity", b"NaN", b"24:00", b"[" * 3000, b"2025-02-30", b'"_version":2', b'"unknown":[1]'),
]


_VALUE = re.compile(rb"(?<=[:\\[,])(?:\"(?:[^\"\\\\]|\\\\.)*\"|[^][{},:\" \n]+)")


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with one to three changes: tokens, characters and lines that go, come, change or repeat."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        until = min(at + rng.choice((0, 1, 1, 4, 20)), len(data))
        match rng.randrange(4):
            case 0:
                data = data[:at] + rng.choice(PIECES) + data[until:]
            case 1:
                values = list(_VALUE.finditer(data))
                if values:
                    start, end = rng.choice(values).span()
                    data = data[:start] + rng.choice(PIECES) + data[end:]
            case 2:
                lines = data.splitlines(keepends=True)
                lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines or [b"\n"]))
                data = b"".join(lines)
            case 3:
                data = data[:at] + data[until:]
    return data


def random_store(seed: int, root: Path) -> Layout:
    """A store with records of random keys, and of every type that a key can have."""
    layout = flat_layout(keyed(seed).datamodel)
    scaffold(root, layout)
    world = World(Vocabulary(layout.datamodel), records=4, seed=seed)
    for place in layout.places:
        records = world.backend.rows[place.model.name].values()
        (root / place.path).write_bytes(b"".join(encode(record) + b"\n" for record in records))
    return layout


def live(layout: Layout, root: Path, file: File) -> dict[str, dict[Key, Row]] | None:
    """The rows that count, as checks of the files read them; None: there is damage."""
    codecs = Codecs(layout)
    found: dict[str, dict[Key, Row]] = {}
    damage: list[DamagedError] = []
    for entry in live_records(Reader(layout, root), file, damage.append):
        assert entry.found is not None
        found.setdefault(entry.codec.name, {})[entry.stored_key] = entry.found.row
        for name, rows in entry.found.embedded.items():
            for row in rows:
                found.setdefault(name, {})[codecs[name].key_of(row)] = row
    return None if damage else found


def stored(layout: Layout, root: Path, file: File) -> dict[str, dict[Key, Row]] | None:
    """The same, as a store reads them."""
    scanned, data = Scanner(file.family, Codecs(layout)), (root / file.path).read_bytes()
    found: dict[str, dict[Key, Row]]
    try:
        if file.family.kind is Kind.DOCUMENT:
            found = scanned.document(file.path, data).live
        elif file.family.kind is Kind.FILE:
            (codec,) = scanned.codecs.values()
            key, record = scanned.record_file(file.path, data)
            found = {codec.name: {key: record.row}, **codec.by_key([record], file.path)}
        else:
            log = scanned.log(file.path, data)
            found = log.live | log.embedded
    except DamagedError:
        return None
    return {name: rows for name, rows in found.items() if rows}


def shown(rows: dict[str, dict[Key, Row]] | None) -> Any:
    return rows and {n: {k: (plain(r), repr(note_of(r))) for k, r in own.items()} for n, own in rows.items()}


def note_of(row: Row) -> Any:
    return (row.sha256, row.unknown) if isinstance(row, Noted) else None


@pytest.mark.parametrize("piece", [1, 300, 1 << 16])
@pytest.mark.parametrize("seed", range(4))
def test_a_store_reads_what_a_check_sees_whatever_stands_in_a_file(
    seed: int, piece: int, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PIECE", piece)
    rng, root = random.Random(seed), tmp_path / "data"
    if seed:
        layout = random_store(seed, root)
    else:
        layout = frozen_layout()
        shutil.copytree(exported, root, ignore=shutil.ignore_patterns("cache"))
    sound = 0
    for family in layout.families:
        files = [file for file in contents(layout, root).files if file.family is family]
        file = max(files, key=lambda file: file.size)
        before = (root / file.path).read_bytes()
        for _ in range(20):
            changed = damaged(rng, before)
            (root / file.path).write_bytes(changed)
            file = File(file.path, family, len(changed))
            expected = live(layout, root, file)
            if expected is None:
                continue
            found = stored(layout, root, file)
            if found is None:
                # The store refuses a key that stands twice; a check of keys tells.
                with pytest.raises(AssertionError):
                    unique(layout, root, file)
                continue
            assert shown(found) == shown(expected), changed
            sound += 1
        (root / file.path).write_bytes(before)
    assert sound > 10


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_many_records_at_once_are_what_each_line_gives_whatever_stands_in_a_file(
    seed: int, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_PIECE", 300)
    rng, root = random.Random(seed), tmp_path / "data"
    layout = random_store(seed, root) if seed else frozen_layout()
    if not seed:
        shutil.copytree(exported, root, ignore=shutil.ignore_patterns("cache"))
    sound = 0
    for family in layout.families:
        file = max(contents(layout, root).files.of(family.path), key=lambda file: file.size)
        before = (root / file.path).read_bytes()
        for number in range(20 if family.kind.is_log else 0):
            changed = damaged(rng, before) if number else before
            (root / file.path).write_bytes(changed)
            file = File(file.path, family, len(changed))
            monkeypatch.setattr(reader, "_AT_ONCE", rng.choice((0, 1 << 22)))
            many = told(layout, root, file)
            with monkeypatch.context() as alone:
                alone.setattr(Scanner, "_quickly", lambda *_: None)
                assert many == told(layout, root, file), changed
            sound += not many[1]
        (root / file.path).write_bytes(before)
    assert sound > 10


@pytest.mark.parametrize("seed", range(3))
def test_small_logs_read_together_give_the_records_of_each(seed: int, exported: Path, tmp_path: Path) -> None:
    rng, root, layout = random.Random(seed), tmp_path / "data", frozen_layout()
    shutil.copytree(exported, root, ignore=shutil.ignore_patterns("cache"))
    for number in range(15):
        files = contents(layout, root).files.of(MESSAGES)
        chosen = root / rng.choice([file for file in files if file.size]).path
        before = chosen.read_bytes()
        if number:
            chosen.write_bytes(damaged(rng, before))
        files = contents(layout, root).files.of(MESSAGES)
        alone, together = [], []
        damages: tuple[list[DamagedError], ...] = [], []
        for file in files:
            alone += [entry.values for entry in live_records(Reader(layout, root), file, damages[0].append)]
        groups = 0
        for _, records in live_together(Reader(layout, root), files, damages[1].append):
            groups += 1
            for found in records:
                rows = [plain(row) for row in found.rows] if isinstance(found, Many) else []
                together += [*map(found.codec.texts, rows)] if isinstance(found, Many) else [found.values]
        assert together == alone
        assert [str(error) for error in damages[1]] == [str(error) for error in damages[0]]
        assert number or groups < len(files)
        chosen.write_bytes(before)


def told(layout: Layout, root: Path, file: File) -> tuple[list[Any], list[Any]]:
    """The records of a file that count, with their places, and the damage."""
    damage: list[DamagedError] = []
    records = [
        (e.identity, e.values, e.embedded, e.sha256, e.unknown, e.line, e.span)
        for e in live_records(Reader(layout, root), file, damage.append)
    ]
    return records, [(e.file, e.line, e.model, e.field, e.reason, e.key_values) for e in damage]


def unique(layout: Layout, root: Path, file: File) -> None:
    """Fail if a key stands twice."""
    codecs = Codecs(layout)
    keys = []
    for entry in live_records(Reader(layout, root), file):
        assert entry.found is not None
        keys.append((entry.codec.name, entry.stored_key))
        for name, rows in entry.found.embedded.items():
            keys += [(name, codecs[name].key_of(row)) for row in rows]
    assert len(keys) == len(set(keys))
