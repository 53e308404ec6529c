"""A verification by lines: what goes this way, that it proves by itself, and that it finds what fields do."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from applications.rows import Rows
from applications.schemas import APPLICATIONS, datamodel_of
from both_ways import verdict, verify_both
from octavo.demo.sample import load_sample
from octavo.fold.export import ExportOptions, export
from octavo.layout import fold
from octavo.layout.load import frozen_layout
from octavo.layout.propose import propose
from octavo.move import by_lines, expected
from octavo.move.expected import Lines, NotPrinted
from octavo.move.verify import VerifyOptions, VerifyReport, Way, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.url import DatabaseUrl
from octavo.values.registry import value_type

LAYOUT = frozen_layout()
BY_LINES = {"Session", "VerificationToken", "Chat", "ChatTag", "ChatAvatarOverride", "Message"}


class Folder:
    """A copy of an export, and its database."""

    def __init__(self, url: DatabaseUrl, root: Path) -> None:
        self.url, self.root = url, root

    def copy(self, where: Path) -> Folder:
        shutil.copytree(self.root, where)
        return Folder(self.url, where)

    @property
    def logs(self) -> list[Path]:
        """The logs of chats with some messages."""
        found = [p for p in (self.root / "chats").glob("*.jsonl") if p.name != "index.jsonl"]
        return sorted(p for p in found if p.read_bytes().count(b"\n") > 4)

    def verify(self, *, thorough: bool = False) -> VerifyReport:
        return verify(self.url, self.root, LAYOUT, VerifyOptions(self.root / "none", thorough=thorough))

    def verify_both(self) -> VerifyReport:
        return verify_both(self.url, self.root, LAYOUT, VerifyOptions(self.root / "none"))


@pytest.fixture(scope="module")
def sound(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Folder]:
    root = tmp_path_factory.mktemp("lines")
    url = server.create_database("lines", template=schema_template)
    with connect(url) as connection:
        load_sample(connection, root / "files", messages=300)
    export(DatabaseUrl.parse(url), root / "data", LAYOUT, ExportOptions(root / "none"))
    yield Folder(DatabaseUrl.parse(url), root / "data")
    server.drop_database("lines")


@pytest.fixture
def folder(sound: Folder, tmp_path: Path) -> Folder:
    return sound.copy(tmp_path / "data")


def test_logs_without_payloads_go_by_lines_and_all_else_by_fields(folder: Folder) -> None:
    report = folder.verify()
    assert report.equal
    assert {name for name, way in report.ways.items() if way is Way.LINES} == BY_LINES
    assert {way for name, way in report.ways.items() if name not in BY_LINES} == {Way.FIELDS}
    assert report.to_dict()["way"]["Message"] == "lines"


def test_thorough_takes_every_model_by_fields(folder: Folder) -> None:
    report = folder.verify(thorough=True)
    assert set(report.ways.values()) == {Way.FIELDS}
    assert verdict(report) == verdict(folder.verify())


def test_only_the_files_with_other_lines_go_by_fields(folder: Folder) -> None:
    log = folder.logs[0]
    first = log.read_bytes().splitlines(True)[0]
    log.write_bytes(first.replace(b'"content":"', b'"content":"before ') + log.read_bytes())
    report = folder.verify_both()
    assert report.equal
    assert report.ways["Message"] is Way.BOTH
    assert report.ways["Chat"] is Way.LINES
    assert report.counts["Message"]["files"] == 300


def test_a_line_counts_with_the_file_that_it_is_in(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_lines, "_BUCKETS", 1)
    one, other = folder.logs[:2]
    first, second = one.read_bytes().splitlines(True), other.read_bytes().splitlines(True)
    for n in range(5):
        one.write_bytes(b"".join([*first[:n], second[n], *first[n + 1 :]]))
        other.write_bytes(b"".join([*second[:n], first[n], *second[n + 1 :]]))
        assert folder.verify().by_model == {"Message": {"damaged": 2}}


def test_a_missing_empty_log_is_found_by_the_chats_lines(folder: Folder) -> None:
    chats = {p.stem for p in (folder.root / "chats").glob("*.jsonl")}
    empty = next(p for p in (folder.root / "chats").glob("*.jsonl") if p.stat().st_size == 0)
    empty.unlink()
    (folder.root / "chats" / "not-a-chat.jsonl").touch()
    assert "not-a-chat" not in chats
    report = folder.verify_both()
    assert sorted(d.reason for d in report.differences) == [
        "a log whose parent does not exist",
        "the log of an existing record is missing",
    ]


def test_the_expected_lines_share_nothing_with_the_export(
    sound: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(*_: object, **__: object) -> str:
        raise AssertionError("the oracle uses what it is to prove")

    shared = dict.fromkeys(("json_sql", "order_sql", "null_sql", "text_sql"), used)
    monkeypatch.setattr(expected, "value_type", lambda *a: structs.replace(value_type(*a), **shared))
    for name in ("fold", "heads", "member", "concat", "unkeepable"):
        monkeypatch.setattr(fold, name, used)
    statements = [
        Lines(LAYOUT, place).copy_out() for place in LAYOUT.places if place.kind.is_log and not place.payload
    ]
    assert len(statements) == len(BY_LINES - {"ChatTag", "ChatAvatarOverride"})
    assert all(b"row_to_json" in statement and b"to_char" not in statement for statement in statements)


def test_the_expected_lines_import_nothing_of_the_export() -> None:
    names = set(
        re.findall(r"^from (\S+) import|^import (\S+)", Path(expected.__file__).read_text(), re.MULTILINE)
    )
    assert not {name for found in names for name in found} & {"octavo.layout.fold", "octavo.layout.codec"}


def _spelled_otherwise(line: bytes) -> bytes:
    return json.dumps(json.loads(line)).encode() + b"\n"


def _lines_changed(rng: random.Random, lines: list[bytes], others: list[bytes]) -> list[bytes]:
    """Lines of a log after something that happens to logs."""
    at = rng.randrange(len(lines))
    one = json.loads(lines[at])
    removal = {name: one[name] for name in ("_model", "id")} | {"_deleted": True}
    changed: list[bytes] = rng.choice(
        [
            [lines[at], lines[at]],
            [],
            [lines[at].replace(b'"createdAt":"2', b'"createdAt":"1')],
            [lines[at].rstrip(b"\n") + b"\r\n"],
            [b"\xef\xbb\xbf" + lines[at]],
            [lines[at].replace(b'{"_model"', b'{"id":"x","_model"')],
            [lines[at].replace(b'{"_model"', b'{"mine":1,"_model"')],
            [_spelled_otherwise(lines[at])],
            [b"\n", b"  \n", lines[at]],
            [lines[at], json.dumps(removal).encode() + b"\n"],
            [json.dumps(removal).encode() + b"\n", lines[at]],
            [lines[at][: rng.randrange(len(lines[at]))] + b"\n"],
            [rng.choice(others)],
            [lines[at], rng.choice(others)],
            [lines[at].replace(b'"role":"USER"', b'"role":"user"')],
            [bytes(rng.randrange(256) if rng.random() < 0.01 else byte for byte in lines[at])],
        ]
    )
    result = [*lines[:at], *changed, *lines[at + 1 :]]
    if rng.random() < 0.2:
        rng.shuffle(result)
    return result


def damage(rng: random.Random, folder: Folder) -> None:
    """Do something to a few files of a store."""
    *logs, last = folder.logs
    logs += [folder.root / "chats" / "index.jsonl", folder.root / "auth" / "sessions.jsonl"]
    for one in rng.sample(logs, rng.randint(1, 3)):
        other = rng.choice([p for p in folder.logs if p != one] or [last])
        match rng.randrange(8):
            case 0:
                one.unlink()
            case 1:
                one.write_bytes(one.read_bytes()[: rng.randrange(one.stat().st_size)])
            case 2:
                text = one.read_bytes()
                one.write_bytes(other.read_bytes())
                other.write_bytes(text)
            case _:
                lines, others = (p.read_bytes().splitlines(True) for p in (one, other))
                one.write_bytes(b"".join(_lines_changed(rng, lines, others)))


@pytest.mark.parametrize(
    "seeds", [range(6), pytest.param(range(6, 150), marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_random_damage_is_found_both_ways(sound: Folder, tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        folder = sound.copy(tmp_path / str(seed))
        damage(random.Random(seed), folder)
        folder.verify_both()
        shutil.rmtree(folder.root)


@pytest.mark.parametrize(
    "name",
    ["analytics", *(pytest.param(n, marks=pytest.mark.slow) for n in APPLICATIONS if n != "analytics")],
)
def test_the_logs_of_any_schema_go_by_lines(name: str, new_database: Any, tmp_path: Path) -> None:
    """Equal both ways; and no line that PostgreSQL prints is another than the export's."""
    url, datamodel = DatabaseUrl.parse(new_database()), datamodel_of(name)
    layout = propose(datamodel).layout
    with connect(url) as connection:
        connection.execute(ddl(datamodel).script().encode())
        Rows(datamodel, 1).fill(connection, 3)
    export(url, tmp_path / "data", layout, ExportOptions(tmp_path / "none", jobs=1))
    report = verify_both(url, tmp_path / "data", layout, VerifyOptions(tmp_path / "none", jobs=1))
    assert report.equal
    for place in layout.places:
        if place.kind.is_log:
            with suppress(NotPrinted):
                Lines(layout, place)
                # A file whose name is a digest is read by fields.
                assert report.ways[place.model.name] in (Way.LINES, Way.BOTH)
