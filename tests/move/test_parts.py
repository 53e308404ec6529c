"""A verification in parts: they and their merged report say what a whole verification says."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import every_type
from awkward import load_awkward
from both_ways import verdict
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.errors import UsageError
from octavo.fold.export import ExportOptions, export
from octavo.fold.parts import Part
from octavo.inspect.findings import Differences
from octavo.layout.layout import Layout
from octavo.layout.listing import contents
from octavo.layout.load import frozen_layout
from octavo.move.merging import merge
from octavo.move.share import Share
from octavo.move.verify import VerifyOptions, VerifyReport, _Verification, verify
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.store import phase
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()


class Store:
    """A store and the database that it was made from."""

    def __init__(self, url: str, root: Path, files_root: Path, layout: Layout = LAYOUT) -> None:
        self.url, self.root, self.layout = DatabaseUrl.parse(url), root, layout
        self.options = VerifyOptions(files_root, jobs=1)

    def whole(self) -> VerifyReport:
        return verify(self.url, self.root, self.layout, self.options)

    def part(self, number: int, of: int, out: Path | None = None) -> VerifyReport:
        options = replace(self.options, part=Part(number, of), out=out)
        return verify(self.url, self.root, self.layout, options)

    def merged(self, of: int) -> VerifyReport:
        parts = [self.part(number, of) for number in range(1, of + 1)]
        found = merge(self.root, self.layout)
        assert found.equal == all(part.equal for part in parts)
        return found


@pytest.fixture(scope="module")
def sound(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    root = tmp_path_factory.mktemp("parts")
    url = server.create_database("parts", template=schema_template)
    with connect(url) as connection:
        load_sample(connection, root / "files", messages=300)
    export(DatabaseUrl.parse(url), root / "data", LAYOUT, ExportOptions(root / "files"))
    yield Store(url, root / "data", root / "files")
    server.drop_database("parts")


@pytest.fixture
def store(sound: Store, tmp_path: Path) -> Store:
    shutil.copytree(sound.root, tmp_path / "data")
    found = Store(str(sound.url), tmp_path / "data", sound.options.files_root)
    found.options = replace(found.options, pepper=DEMO_PEPPER)
    return found


def said(report: VerifyReport) -> dict[str, Any]:
    """What a report says, in an order that does not depend on the parts."""
    found = verdict(report)
    for name in ("strayFiles", "integrity", "leftOut"):
        found[name] = sorted(found[name], key=str)
    found["unknownKeys"].sort(key=str)
    found["payloads"]["notes"].sort()
    return found


def logs(data: Path) -> list[Path]:
    found = [p for p in (data / "chats").glob("*.jsonl") if p.name != "index.jsonl"]
    return sorted(p for p in found if p.read_bytes().count(b"\n") > 4)


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


def add_strays(data: Path) -> None:
    (data / "characters" / "Draft.json").touch()
    (data / "binaries" / "aa").mkdir(exist_ok=True)
    (data / "binaries" / "aa" / ("a" * 64)).touch()
    replace_in(min((data / "personas").glob("*.json")), b'"_version": 1', b'"_version": 1, "note": 1')


DAMAGE: dict[str, Callable[[Path], object]] = {
    "none": lambda data: None,
    "a superseded line": lambda d: logs(d)[0].write_bytes(logs(d)[0].read_bytes() * 2),
    "a message gone": lambda d: logs(d)[1].write_bytes(logs(d)[1].read_bytes().partition(b"\n")[2]),
    "a message of another chat": lambda d: logs(d)[0].write_bytes(
        logs(d)[0].read_bytes() + logs(d)[1].read_bytes().partition(b"\n")[0] + b"\n"
    ),
    "a log gone": lambda d: logs(d)[0].unlink(),
    "a log of no chat": lambda d: (d / "chats" / "none.jsonl").touch(),
    "a character changed": lambda d: replace_in(
        min((d / "characters").glob("*.json")), b'"name": "', b'"name": "x'
    ),
    "a tag of a character gone": lambda d: replace_in(
        next(p for p in sorted((d / "characters").glob("*.json")) if b'"tagId"' in p.read_bytes()),
        b'"tagId": "',
        b'"tagId": "x',
    ),
    "a document gone": lambda d: (d / "tags" / "tags.json").unlink(),
    "a payload changed": lambda d: min((d / "binaries").glob("??/*")).write_bytes(b"other"),
    "strays and notes": add_strays,
}


QUICK = ("none", "a message of another chat", "a log gone", "strays and notes")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DAMAGE]
)
def test_parts_together_say_what_the_whole_says(store: Store, name: str) -> None:
    DAMAGE[name](store.root)
    whole = store.whole()
    assert whole.equal == (name in ("none", "a superseded line", "strays and notes"))
    assert said(store.merged(3)) == said(whole)


@pytest.mark.slow
def test_one_part_is_the_whole(store: Store) -> None:
    assert said(store.merged(1)) == said(store.whole())


def test_a_part_beyond_all_files_is_equal_and_empty(store: Store) -> None:
    empty = [report for n in range(1, 60, 9) if not (report := store.part(n, 200)).counts]
    assert all(report.equal for report in empty)


def test_awkward_keys_are_in_one_part(schema_database: str, tmp_path: Path) -> None:
    with connect(schema_database) as connection:
        rows = load_awkward(connection)
    self = Store(schema_database, tmp_path / "data", tmp_path / "none")
    export(self.url, self.root, LAYOUT, ExportOptions(tmp_path / "none", jobs=1))
    shares = [Share(LAYOUT, part) for part in Part(1, 2).all]
    files = contents(LAYOUT, self.root).files
    assert all(sum(share.holds(file) for share in shares) == 1 for file in files)
    merged = self.merged(2)
    assert merged.equal
    assert merged.counts == {name: {"database": n, "files": n} for name, n in rows.items()}


def test_any_type_of_key_is_in_one_part(new_database: Callable[..., str], tmp_path: Path) -> None:
    url, layout = new_database(), every_type.layout()
    with connect(url) as connection:
        connection.execute(ddl(every_type.datamodel()).script().encode())
        every_type.load(connection)
    self = Store(url, tmp_path / "data", tmp_path / "none", layout)
    export(self.url, self.root, layout, ExportOptions(tmp_path / "none", jobs=1))
    whole, merged = self.whole(), self.merged(2)
    assert merged.equal
    assert merged.counts == whole.counts


def test_the_state_is_as_old_as_the_oldest_part(store: Store) -> None:
    store.part(2, 2)
    second = phase.now()
    store.part(1, 2)
    assert phase.read(store.root).verified is None
    merged = merge(store.root, LAYOUT)
    verified = phase.read(store.root).verified
    assert verified is not None
    assert verified.equal
    assert verified.time < second
    assert verified.time in merged.merged
    assert verified.records == sum(count["database"] for count in merged.counts.values())


def test_a_newer_verification_stays_in_the_state(store: Store) -> None:
    store.part(1, 2)
    store.part(2, 2)
    store.whole()
    before = phase.read(store.root).verified
    merge(store.root, LAYOUT)
    assert phase.read(store.root).verified == before


@pytest.fixture(scope="module")
def origin(sound: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("merging")
    shutil.copytree(sound.root, root / "data")
    return Store(str(sound.url), root / "data", sound.options.files_root)


@pytest.fixture(scope="module")
def made(origin: Store) -> list[Path]:
    """The reports of two parts."""
    paths = [origin.root.with_name(f"{number}.jsonl") for number in (1, 2)]
    for number, path in enumerate(paths, 1):
        assert origin.part(number, 2, path).report == path
    return paths


@pytest.fixture
def reports(made: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of these."""
    return [Path(shutil.copy(path, tmp_path)) for path in made]


@pytest.mark.parametrize("part", [None, Part(1, 2)])
def test_an_interrupted_verification_leaves_the_reports_that_were_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, part: Part | None
) -> None:
    def reports() -> dict[str, bytes]:
        cache = store.root / "cache"
        return {
            str(p.relative_to(cache)): p.read_bytes()
            for p in cache.rglob("*")
            if "verification" in str(p) and p.is_file()
        }

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for document in store.root.glob("[a-z]*/*s.json"):
        document.unlink()
    assert not store.part(1, 2).equal
    before = reports()
    assert before
    monkeypatch.setattr(_Verification, "_conclude", interrupted)
    with pytest.raises(KeyboardInterrupt):
        verify(store.url, store.root, LAYOUT, replace(store.options, part=part))
    assert reports() == before


class TestMerging:
    """What does not belong together is refused by its name."""

    def test_takes_reports_from_anywhere(self, origin: Store, reports: list[Path]) -> None:
        assert not (origin.root / "cache" / "verification").exists()
        assert merge(origin.root, LAYOUT, reports).equal

    def test_refuses_a_missing_part(self, origin: Store, reports: list[Path]) -> None:
        with pytest.raises(UsageError, match="part 2/2") as refused:
            merge(origin.root, LAYOUT, reports[:1])
        assert refused.value.hint == "octavo verify --part 2/2"
        with pytest.raises(UsageError, match="no reports"):
            merge(origin.root, LAYOUT)

    def test_refuses_a_part_twice(self, origin: Store, reports: list[Path], tmp_path: Path) -> None:
        again = Path(shutil.copy(reports[0], tmp_path / "again.jsonl"))
        with pytest.raises(UsageError, match=r"again.jsonl and .*1.jsonl are both part 1/2"):
            merge(origin.root, LAYOUT, [*reports, again])

    def test_refuses_a_part_of_another_division(
        self, origin: Store, reports: list[Path], tmp_path: Path
    ) -> None:
        origin.part(2, 3, tmp_path / "third.jsonl")
        with pytest.raises(UsageError, match=r"third.jsonl is part 2/3, and .*1.jsonl part 1/2"):
            merge(origin.root, LAYOUT, [reports[0], tmp_path / "third.jsonl"])

    @pytest.mark.parametrize("what", ["database", "schema", "layout", "store"])
    def test_refuses_a_part_of_something_else(self, origin: Store, reports: list[Path], what: str) -> None:
        summary = json.loads(reports[1].read_bytes().splitlines()[-1])["summary"]
        part = summary["part"]
        part[what] = {**part[what], "name": "other"} if what == "database" else "other"
        with closing(Differences(reports[1])) as other:
            other.finish(summary)
        with pytest.raises(UsageError, match=f"2.jsonl is of another {what} than .*1.jsonl"):
            merge(origin.root, LAYOUT, reports)

    def test_refuses_what_was_made_of_another_store(
        self, origin: Store, reports: list[Path], tmp_path: Path
    ) -> None:
        export(origin.url, tmp_path / "other", LAYOUT, ExportOptions(tmp_path / "none"))
        made = tmp_path / "other" / "schema" / "store.json"
        os.utime(made, (1, 1))
        with pytest.raises(UsageError, match=r"1.jsonl is of another store than .*other"):
            merge(tmp_path / "other", LAYOUT, reports)

    @pytest.mark.parametrize(
        "text", [b"", b'{"difference":{}}\n', b'{"summ', b"\xff\n", b'{"summary":{"a":1}}']
    )
    def test_refuses_what_is_no_whole_report(self, origin: Store, reports: list[Path], text: bytes) -> None:
        reports[1].write_bytes(text)
        with pytest.raises(UsageError, match=r"2.jsonl is (unfinished|not the report of a part)"):
            merge(origin.root, LAYOUT, reports)

    @pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 2000), marks=pytest.mark.slow)])
    def test_refuses_what_is_not_as_it_was_written(
        self, store: Store, made: list[Path], tmp_path: Path, seeds: range
    ) -> None:
        for log in logs(store.root):
            log.unlink()
        sound = made[0].read_bytes()
        report = store.part(2, 2, tmp_path / "2.jsonl").report
        assert report is not None
        text = report.read_bytes()
        assert text.count(b"\n") > 2
        for seed in seeds:
            report.write_bytes(changed(random.Random(seed), text, sound))
            with pytest.raises(UsageError, match=r"2.jsonl (is unfinished|was changed)"):
                merge(store.root, LAYOUT, [made[0], report])
        report.write_bytes(text)
        assert merge(store.root, LAYOUT, [made[0], report]).total > 1


def changed(rng: random.Random, text: bytes, other: bytes) -> bytes:
    """A report after something that happens to files."""
    lines = text.splitlines(True)
    at, until = sorted(rng.sample(range(len(text) - 1), 2))
    number = rng.randrange(len(lines))
    return rng.choice(
        [
            text[:at],
            text[:at] + text[until:],
            text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :],
            text[:until] + bytes(512) + text[until:],
            b"".join(lines[:number] + lines[number + 1 :]),
            b"".join([*lines[:number], lines[number], *lines[number:]]),
            text + lines[number],
            b"".join([*lines[:-1], *other.splitlines(True)]),
            text.replace(b'"equal":false', b'"equal":true'),
            text.replace(b'"missing"', b'"extra"', 1),
        ]
    )


def test_a_part_is_refused_while_another_process_writes_its_report(store: Store) -> None:
    report = store.part(1, 2).report
    assert report is not None
    before = report.read_bytes()
    with closing(Differences(report)), pytest.raises(UsageError, match="being written by another process"):
        store.part(1, 2)
    assert report.read_bytes() == before
    assert store.part(1, 2).equal


def test_what_killed_verifications_have_left_is_removed(store: Store) -> None:
    store.part(1, 2)
    cache = store.root / "cache"
    before = {path for path in cache.rglob("*") if path.is_file()}
    (cache / "verification-2025-01-01T000000.jsonl").touch()
    (cache / "verification-2025-01-01T000000.jsonl.unfinished").write_text("{")
    (cache / "verification" / "part-1-of-2.jsonl.unfinished").write_text("{")
    store.part(2, 2)
    after = {path for path in cache.rglob("*") if path.is_file()}
    assert after - before == {cache / "verification" / "part-2-of-2.jsonl"}
