"""Each kind of damage, planted in a copy of an exported folder: reported as what it is, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import octavo
from both_ways import verify_both
from folders import edit_json, edit_line, parse, records, spell, tree
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import DriftError, UsageError
from octavo.fold.export import ExportOptions, export
from octavo.inspect import observers
from octavo.layout.layout import Kind, Place
from octavo.layout.listing import contents
from octavo.layout.load import frozen_layout
from octavo.layout.reader import Reader, live_records
from octavo.move.verify import VerifyOptions, VerifyReport, verify
from octavo.postgres.connection import connect
from octavo.schema.datamodel import ScalarField, ScalarKind
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
Found = list[tuple[str, str, tuple[str, ...]]]


@pytest.fixture(scope="session")
def sample_url(server: Any, sample: tuple[str, Path]) -> str:
    """The sample database itself: for verifications that leave it as it is."""
    return str(server.url(sample[0], schema="public"))


class Check:
    """Verifies a folder, and tells what was found in short."""

    def __init__(self, url: str, data: Path, files_root: Path, sound: Path | None = None) -> None:
        self.url, self.data, self.files_root, self.sound = url, data, files_root, sound

    def report(self, pepper: str | None = None) -> VerifyReport:
        # Only logs are compared by lines.
        run = verify if self.sound is not None and logs(self.data) == logs(self.sound) else verify_both
        return run(DatabaseUrl.parse(self.url), self.data, LAYOUT, VerifyOptions(self.files_root, pepper))

    def found(self, pepper: str | None = None) -> Found:
        """Model, kind and fields of each difference."""
        report = self.report(pepper)
        assert report.total == len(report.differences)
        assert report.equal == (report.total == 0 and not report.violations)
        assert not (report.violations and not report.total)
        return [(d.model, d.kind.value, tuple(d.fields)) for d in report.differences]


def logs(data: Path) -> dict[Path, tuple[int, bytes]]:
    """The logs of a folder, their kind and what they contain."""
    found = (p for p in data.rglob("*.jsonl") if "cache" not in p.parts)
    return {
        p.relative_to(data): (
            p.lstat().st_mode,
            p.read_bytes() if os.access(p, os.R_OK) and p.is_file() else b"",
        )
        for p in found
    }


@pytest.fixture
def check(sample_url: str, data: Path, sample: tuple[str, Path], exported: Path) -> Check:
    return Check(sample_url, data, sample[1], exported)


def log(place: Place, data: Path) -> Path:
    """A file that holds records of a model that lives in logs."""
    family = next(f for f in LAYOUT.families if f.path == place.path)
    paths = [p for p in sorted(tree(data)) if family.pattern.fullmatch(p) and (data / p).stat().st_size]
    return data / paths[0]


def host_file(place: Place, data: Path) -> tuple[Path, Callable[[Callable[[Any], None]], None]]:
    """A file that holds a record of this model, and how to change the first such record."""
    host = LAYOUT.host(place.model.name)

    def inner(record: Any, change: Callable[[Any], None]) -> bool:
        if place is host:
            change(record)
            return True
        if record[place.array]:
            change(record[place.array][0])
            return True
        return False

    if host.kind is Kind.DOCUMENT:
        path = data / host.path

        def edit(change: Callable[[Any], None]) -> None:
            edit_json(path, lambda d: next(r for r in d[host.array] if inner(r, change)))

    elif host.kind is Kind.FILE:
        family = next(f for f in LAYOUT.families if f.path == host.path)
        path = next(
            data / p
            for p in sorted(tree(data))
            if family.pattern.fullmatch(p)
            and (place is host or json.loads((data / p).read_text())[place.array])
        )

        def edit(change: Callable[[Any], None]) -> None:
            edit_json(path, lambda d: inner(d, change))

    else:
        path = log(host, data)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        number = next(
            n
            for n, d in enumerate(lines)
            if d["_model"] == host.model.name and (place is host or d[place.array])
        )

        def edit(change: Callable[[Any], None]) -> None:
            edit_line(path, number, lambda d: inner(d, change))

    return path, edit


def other(f: ScalarField, value: Any) -> Any:
    """Another value of a field, as little different as can be."""
    if f.kind is ScalarKind.ENUM:
        names = [m.name for m in LAYOUT.datamodel.enum(f.type).members]
        return names[(names.index(value) + 1) % len(names)]
    if value is None:
        return {"DateTime": "2025-01-01T00:00:00.000Z", "Int": 0, "Boolean": False}.get(f.type, "")
    if f.type == "DateTime":
        return value[:-2] + str((int(value[-2]) + 1) % 10) + "Z"
    if f.type == "Int":
        return value + 1
    if f.type == "Boolean":
        return not value
    if f.type == "Json":
        return [value]
    return value + " "


def put_other(f: ScalarField, record: Any) -> None:
    record[f.name] = other(f, record.get(f.name))


FIELDS = {
    place: [f for f in place.fields if f.name not in {*place.model.key.field_names, *place.name_fields}]
    for place in LAYOUT.places
}


def test_a_fresh_export_is_equal(check: Check) -> None:
    assert check.found(DEMO_PEPPER) == []
    report = check.report(DEMO_PEPPER)
    assert report.equal
    assert report.left_out == []
    assert report.secrets
    assert report.payloads == report.payloads_compared > 0


def test_the_report_has_the_shape_of_the_contract(check: Check) -> None:
    answer = check.report().to_dict()
    assert answer["equal"] is True
    assert answer["differences"] == []
    assert set(answer["counts"]) == {m.name for m in LAYOUT.datamodel.models}
    assert all(set(count) == {"database", "files"} for count in answer["counts"].values())
    json.dumps(answer)


def test_a_difference_has_the_shape_of_the_contract(check: Check) -> None:
    edit_json(check.data / "tags/tags.json", lambda d: d["tags"][0].update(name="another"))
    key = json.loads((check.data / "tags/tags.json").read_text())["tags"][0]["id"]
    (difference,) = json.loads(json.dumps(check.report().to_dict()))["differences"]
    assert difference["model"] == "Tag"
    assert difference["key"] == {"id": key}
    assert difference["kind"] == "different"
    assert difference["fields"] == ["name"]


@pytest.mark.parametrize("number", range(max(map(len, FIELDS.values()))))
def test_one_changed_field_is_one_difference(check: Check, number: int) -> None:
    """In one record of each model, the field of this number."""
    changed = [(place, fields[number]) for place, fields in FIELDS.items() if number < len(fields)]
    for place, field in changed:
        _, edit = host_file(place, check.data)
        edit(partial(put_other, field))
    assert sorted(check.found()) == sorted(
        (place.model.name, "different", (field.name,)) for place, field in changed
    )


@pytest.mark.parametrize("place", LAYOUT.places, ids=lambda p: p.model.name)
def test_a_changed_key_is_one_missing_and_one_extra(check: Check, place: Place) -> None:
    """Where the name of a file or of a log hangs on the key, it is the file that is wrong."""
    name = next(n for n in place.model.key.field_names if n in {f.name for f in place.fields})
    _, edit = host_file(place, check.data)
    edit(lambda record: record.update({name: record[name] + "x"}))
    found = check.found()
    if place.kind is Kind.FILE:
        assert found == [(place.model.name, "damaged", ())]
        return
    own = [item for item in found if item[0] == place.model.name]
    assert sorted(own) == [(place.model.name, "extra", ()), (place.model.name, "missing", ())]


@pytest.mark.parametrize("place", LAYOUT.places, ids=lambda p: p.model.name)
def test_a_field_that_is_gone_or_of_another_type_is_damage(check: Check, place: Place) -> None:
    field = (
        next(f for f in place.fields if not f.is_json and f.name not in place.model.key.field_names)
        if any(not f.is_json and f.name not in place.model.key.field_names for f in place.fields)
        else None
    )
    if field is None:
        pytest.skip("nothing but its key")
    path, edit = host_file(place, check.data)
    before = path.read_bytes()
    edit(lambda record: record.pop(field.name))
    assert check.found() == [(place.model.name, "damaged", (field.name,))]
    path.write_bytes(before)
    edit(lambda record: record.update({field.name: {"not": "a value"}}))
    (difference,) = check.report().differences
    assert (difference.model, difference.kind.value, difference.fields) == (
        place.model.name,
        "damaged",
        (field.name,),
    )
    assert difference.file == str(path.relative_to(check.data))
    assert difference.line > 0


@pytest.mark.parametrize("place", LAYOUT.places, ids=lambda p: p.model.name)
def test_a_key_that_the_schema_does_not_know_is_reported_and_no_difference(
    check: Check, place: Place
) -> None:
    path, edit = host_file(place, check.data)
    edit(lambda record: record.update(aNote="mine", _ours=1))
    report = check.report()
    assert report.equal
    name, file = place.model.name, str(path.relative_to(check.data))
    assert report.unknown_keys == [(f"{file} ({name})", "_ours"), (f"{file} ({name})", "aNote")]


class TestOneCharacter:
    @pytest.fixture
    def text(self, sample_database: str, sample: tuple[str, Path], tmp_path: Path) -> Any:
        """Changes one message, in the database and in a folder, and tells whether they are equal."""
        with connect(sample_database) as connection:
            connection.execute("DELETE FROM chat_files")
            connection.execute(
                "DELETE FROM messages WHERE id NOT IN (SELECT id FROM messages ORDER BY id LIMIT 1)"
            )
        checks = Check(sample_database, tmp_path / "one", sample[1])

        def compare(column: str, theirs: str, ours: str) -> Found:
            shutil.rmtree(checks.data, ignore_errors=True)
            with connect(sample_database) as connection:
                connection.execute(f'UPDATE messages SET "{column}" = {theirs}'.encode())
            options = ExportOptions(sample[1])
            export(DatabaseUrl.parse(sample_database), checks.data, LAYOUT, options)
            path = next(p for p in (checks.data / "chats").iterdir() if b'"Message"' in p.read_bytes())
            line = path.read_text("utf-8")
            members = json.JSONDecoder().raw_decode
            start = line.index(f'"{column}":') + len(column) + 3
            _, length = members(line[start:])
            path.write_text(line[:start] + ours + line[start + length :], "utf-8")
            return checks.found()

        return compare

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("'a'", '"b"'),
            ("'a'", '"A"'),
            ("'a'", '"a "'),
            ("'a '", '"a"'),
            ("''", '" "'),
            ("'é'", '"e\u0301"'),
            ("E'a\\nb'", '"a\\r\\nb"'),
            ("'\\n'", '"\\n"'),
            ("'null'", '"NULL"'),
            ("'\\N'", '"N"'),
        ],
    )
    def test_of_a_text_is_told(self, text: Any, theirs: str, ours: str) -> None:
        assert text("content", theirs, ours) == [("Message", "different", ("content",))]

    @pytest.mark.parametrize("ours", ['"a\\u0062\\/"', '"ab/"', '"\\u0061b/"'])
    def test_may_be_escaped_another_way(self, text: Any, ours: str) -> None:
        assert text("content", "'ab/'", ours) == []

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("'1.50'", "1.5"),
            ("'1.5'", "1.50"),
            ("'9007199254740993'", "9007199254740992"),
            ("'1e400'", "1" + "0" * 399),
            ("'{\"a\": 1}'", '{"a": 1, "b": null}'),
            ("'{\"a\": null}'", "{}"),
            ("'[1, 2]'", "[2, 1]"),
            ("'\"a\"'", '"a "'),
            ("'0.1'", "0.1000000000000000055511151231257827"),
            ("'null'", '"null"'),
            ('\'{"a": "x"}\'', '{"A": "x"}'),
            ("'[]'", "{}"),
            ("'{}'", "null"),
        ],
    )
    def test_of_a_json_value_is_told(self, text: Any, theirs: str, ours: str) -> None:
        assert text("rawResponse", theirs, ours) == [("Message", "different", ("rawResponse",))]

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ('\'{"a": 1, "b": [1.50, null]}\'', '{"b":[1.50,null],"a":1}'),
            ('\'{"a": 1, "b": [1.50, null]}\'', '{ "b" : [ 1.50 , null ] , "a" : 1 }'),
            ("'\"é\"'", '"\\u00e9"'),
            ("'1e400'", "1" + "0" * 400),
        ],
    )
    def test_a_json_value_may_be_spelled_another_way(self, text: Any, theirs: str, ours: str) -> None:
        assert text("rawResponse", theirs, ours) == []

    def test_json_null_is_not_sql_null(self, text: Any) -> None:
        assert text("rawResponse", "'null'", "null") == []
        found = text("rawResponse", "'null'", 'null,"rawRésponse":0')
        assert found == []
        with pytest.raises(ValueError, match="substring"):
            text("rawResponse", "NULL", "null")

    @pytest.mark.parametrize("ours", ["1.0", "1e0", "01", '"1"', "true", "2147483648"])
    def test_a_number_is_written_in_one_way(self, text: Any, ours: str) -> None:
        assert [(m, f) for m, _, f in text("tokenCount", "1", ours)] == [("Message", ("tokenCount",))] or (
            ours == "01"
        )

    @pytest.mark.parametrize(
        "ours", ['"2025-01-01T00:00:00.001Z"', '"2025-01-01T00:00:00Z"', '"2025-01-01 00:00:00.000"', "0"]
    )
    def test_a_time_is_written_in_one_way(self, text: Any, ours: str) -> None:
        ((model, _, fields),) = text("createdAt", "'2025-01-01'", ours)
        assert (model, fields) == ("Message", ("createdAt",))


class TestForm:
    def test_white_space_and_key_order_make_no_difference(self, check: Check) -> None:
        for path, content in tree(check.data).items():
            if path.endswith(".json") and content:
                text = spell(parse(content), indent="\t", sort_keys=True, ensure_ascii=True)
                (check.data / path).write_text(text.replace("\n", "\r\n"))
            elif path.endswith(".jsonl") and content:
                lines = content.decode().splitlines()
                spaced = []
                for line in lines:
                    text = spell(dict(reversed(parse(line).items())), ensure_ascii=True)
                    spaced.append(f" {text}\t\r\n\n")
                (check.data / path).write_text("".join(spaced)[:-2])
        assert check.found(DEMO_PEPPER) == []

    def test_the_order_of_records_makes_no_difference(self, check: Check) -> None:
        def turn(data: Any) -> None:
            for value in data.values():
                if isinstance(value, list):
                    value.reverse()

        for path in ("tags/tags.json", "settings/general.json"):
            edit_json(check.data / path, turn)
        for path in ("chats/index.jsonl", "binaries/index.jsonl"):
            lines = (check.data / path).read_text().splitlines(keepends=True)
            (check.data / path).write_text("".join(reversed(lines)))
        assert check.found() == []


class TestDocuments:
    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"null", b"[]", b"\0" * 100, b"\xef\xbb\xbf{}", b'{"_version": 2}', b"{}", b"\xff\xfe"],
    )
    def test_that_cannot_be_read(self, check: Check, content: bytes) -> None:
        (check.data / "tags/tags.json").write_bytes(content)
        assert [(m, k) for m, k, _ in check.found()] == [("Tag", "damaged")]
        report = check.report()
        assert report.counts["Tag"]["files"] == 0
        assert report.differences[0].file == "tags/tags.json"

    def test_that_is_of_a_newer_version(self, check: Check) -> None:
        edit_json(check.data / "settings/general.json", lambda d: d.update(_version=2))
        assert check.found() == [
            ("User", "damaged", ("_version",)),
            ("ChatSettings", "damaged", ("_version",)),
        ]
        assert "version 2" in check.report().differences[0].reason

    def test_without_one_of_its_arrays(self, check: Check) -> None:
        edit_json(check.data / "settings/general.json", lambda d: d.pop("chatSettings"))
        assert check.found() == [("ChatSettings", "damaged", ("chatSettings",))]

    def test_with_another_key(self, check: Check) -> None:
        edit_json(check.data / "tags/tags.json", lambda d: d.update(note=[1]))
        report = check.report()
        assert report.equal
        assert report.unknown_keys == [("tags/tags.json", "note")]

    def test_with_a_key_twice(self, check: Check) -> None:
        path = check.data / "tags/tags.json"
        path.write_text(path.read_text().replace('"name":', '"name": "x", "name":', 1))
        ((model, kind, _),) = check.found()
        assert (model, kind) == ("Tag", "damaged")

    def test_cut_anywhere(self, check: Check) -> None:
        path = check.data / "image-profiles/image-profiles.json"
        content = path.read_bytes()
        for length in {0, 1, len(content) // 3, len(content) // 2, len(content) - 3}:
            path.write_bytes(content[:length])
            assert [(m, k) for m, k, _ in check.found()] == [("ImageProfile", "damaged")]
        path.write_bytes(content[:-1])
        assert check.found() == []

    def test_that_are_missing(self, check: Check) -> None:
        (check.data / "tags/tags.json").unlink()
        tags = check.report().counts["Tag"]["database"]
        found = check.found()
        assert found.count(("Tag", "damaged", ())) == 1
        assert found.count(("Tag", "missing", ())) == tags
        assert len(found) == 1 + tags


class TestRecordFiles:
    def path(self, check: Check) -> Path:
        return next(
            p
            for p in sorted((check.data / "characters").iterdir())
            if json.loads(p.read_text())["tags"] and json.loads(p.read_text())["personas"]
        )

    def embedded(self, path: Path) -> int:
        data = json.loads(path.read_text())
        return len(data["tags"]) + len(data["personas"])

    def test_that_cannot_be_read(self, check: Check) -> None:
        path = self.path(check)
        for content in (b"", b"{", path.read_bytes()[:-3], b"\0\0"):
            path.write_bytes(content)
            assert check.found() == [("Character", "damaged", ())]
            assert check.report().differences[0].key == {"id": path.stem}

    def test_that_are_removed(self, check: Check) -> None:
        path = self.path(check)
        inner = self.embedded(path)
        path.unlink()
        found = check.found()
        assert ("Character", "missing", ()) in found
        assert len(found) == 1 + inner
        assert {kind for _, kind, _ in found} == {"missing"}

    def test_that_are_renamed_or_copied(self, check: Check) -> None:
        path = self.path(check)
        shutil.copy(path, path.with_name("copy.json"))
        assert check.found() == [("Character", "damaged", ())]
        path.unlink()
        assert check.found() == [("Character", "damaged", ())]

    def test_whose_names_are_no_names(self, check: Check) -> None:
        for name in ("%FF.json", "~.json", "A.json"):
            (check.data / "characters" / name).write_text("{")
        assert check.found() == [("Character", "damaged", ())]
        assert check.report().strays == ["characters/A.json", "characters/~.json"]

    def test_that_are_links_or_pipes_are_not_read(self, check: Check) -> None:
        path = self.path(check)
        path.rename(check.data.parent / "elsewhere.json")
        path.symlink_to(check.data.parent / "elsewhere.json")
        os.mkfifo(check.data / "characters" / "pipe.json")
        found = check.found()
        assert ("Character", "missing", ()) in found
        assert set(check.report().strays) == {"characters/pipe.json", str(path.relative_to(check.data))}

    def test_embedded_records(self, check: Check) -> None:
        path = self.path(check)
        original = path.read_bytes()
        edit_json(path, lambda d: d["tags"].append(d["tags"][0]))
        assert check.found() == [("CharacterTag", "damaged", ())]
        path.write_bytes(original)
        edit_json(path, lambda d: d["tags"].pop())
        assert check.found() == [("CharacterTag", "missing", ())]
        path.write_bytes(original)
        edit_json(path, lambda d: d["tags"].append(d["tags"][0] | {"id": "new", "tagId": "none"}))
        assert check.found() == [("CharacterTag", "extra", ())]
        (violation,) = check.report().violations
        assert (violation.model, violation.fields) == ("CharacterTag", ("tagId",))
        path.write_bytes(original)
        edit_json(path, lambda d: d.pop("tags"))
        assert check.found() == [("Character", "damaged", ("tags",))]


class TestLogs:
    @pytest.fixture
    def messages(self, check: Check) -> Path:
        return max((check.data / "chats").iterdir(), key=lambda p: p.stat().st_size * (p.stem != "index"))

    def rewrite(self, path: Path, change: Callable[[list[str]], None]) -> None:
        lines = path.read_text().splitlines(keepends=True)
        change(lines)
        path.write_text("".join(lines))

    def test_a_line_removed_added_or_repeated(self, check: Check, messages: Path) -> None:
        original = messages.read_text()
        self.rewrite(messages, lambda lines: lines.__delitem__(2))
        assert check.found() == [("Message", "missing", ())]
        messages.write_text(original + original.splitlines(keepends=True)[2])
        assert check.found() == []
        added = json.loads(original.splitlines()[2]) | {"id": "new"}
        messages.write_text(original + json.dumps(added) + "\n")
        assert check.found() == [("Message", "extra", ())]
        report = check.report()
        assert report.counts["Message"]["files"] == report.counts["Message"]["database"] + 1

    def test_the_last_line_of_a_key_wins(self, check: Check, messages: Path) -> None:
        original = messages.read_text()
        line = original.splitlines()[1]
        changed = json.dumps(json.loads(line) | {"content": "changed"})
        messages.write_text(f"{original}{changed}\n")
        assert check.found() == [("Message", "different", ("content",))]
        messages.write_text(f"{original}{changed}\n{line}\n")
        report = check.report()
        assert report.equal
        assert report.counts["Message"]["files"] == report.counts["Message"]["database"]

    def test_tombstones(self, check: Check, messages: Path) -> None:
        original = messages.read_text()
        line = original.splitlines()[1]
        gone = json.dumps({"_model": "Message", "id": json.loads(line)["id"], "_deleted": True})
        messages.write_text(f"{original}{gone}\n")
        assert check.found() == [("Message", "missing", ())]
        report = check.report()
        assert report.counts["Message"]["files"] == report.counts["Message"]["database"] - 1
        messages.write_text(f"{original}{gone}\n{line}\n")
        assert check.found() == []
        unknown = json.dumps({"_model": "Message", "id": "nobody", "_deleted": True})
        messages.write_text(f"{unknown}\n{original}")
        assert check.found() == []

    def test_what_a_later_line_does_not_embed_is_gone(self, check: Check) -> None:
        index = check.data / "chats/index.jsonl"
        original = index.read_text()
        line = next(x for x in original.splitlines() if json.loads(x)["tags"])
        bare = json.loads(line) | {"tags": []}
        index.write_text(f"{original}{json.dumps(bare)}\n")
        assert check.found() == [("ChatTag", "missing", ())] * len(json.loads(line)["tags"])
        index.write_text(f"{json.dumps(bare)}\n{original}")
        assert check.found() == []

    def test_a_record_that_moved_to_another_log(self, check: Check, messages: Path) -> None:
        other = next(
            p for p in (check.data / "chats").iterdir() if p not in (messages,) and p.stem != "index"
        )
        line = messages.read_text().splitlines()[0]
        with open(other, "a") as file:
            file.write(line + "\n")
        assert check.found() == [("Message", "damaged", ())]
        with open(messages, "a") as file:
            file.write(
                json.dumps({"_model": "Message", "id": json.loads(line)["id"], "_deleted": True}) + "\n"
            )
        assert [kind for _, kind, _ in check.found()] == ["damaged"]

    def test_torn_at_the_end(self, check: Check, messages: Path) -> None:
        content = messages.read_bytes()
        messages.write_bytes(content[:-1])
        assert check.found() == []
        messages.write_bytes(content[:-5])
        assert check.found() == [("Message", "damaged", ())]
        difference = check.report().differences[0]
        last = json.loads(content.splitlines()[-1])
        assert difference.key == {"id": last["id"]}
        assert difference.line == len(content.splitlines())
        start = content.rindex(b"\n", 0, -1) + 1
        messages.write_bytes(content[: start + 20])
        assert sorted(check.found()) == [("Message", "damaged", ()), ("Message", "missing", ())]

    @pytest.mark.parametrize(
        "line", ["{}", '{"_model": "Tag"}', '{"_model": "User", "id": "x"}', "[]", "x", '"', "\0\0\0"]
    )
    def test_a_line_that_is_no_record(self, check: Check, line: str) -> None:
        index = check.data / "binaries/index.jsonl"
        self.rewrite(index, lambda lines: lines.insert(1, line + "\n"))
        ((_, kind, _),) = check.found()
        assert kind == "damaged"
        difference = check.report().differences[0]
        assert (difference.file, difference.line) == ("binaries/index.jsonl", 2)

    def test_two_lines_glued(self, check: Check, messages: Path) -> None:
        self.rewrite(messages, lambda lines: lines.insert(0, lines.pop(0).rstrip("\n")))
        assert sorted(check.found()) == [("Message", "damaged", ()), ("Message", "missing", ())]

    def test_a_log_that_is_empty_or_gone(self, check: Check, messages: Path) -> None:
        number = len(messages.read_text().splitlines())
        messages.write_bytes(b"")
        assert check.found() == [("Message", "missing", ())] * number
        messages.unlink()
        found = check.found()
        assert sorted(found) == [("Message", "damaged", ())] + [("Message", "missing", ())] * number

    def test_an_empty_log_that_is_gone_is_damage(self, check: Check) -> None:
        empty = next(p for p in (check.data / "chats").iterdir() if p.stat().st_size == 0)
        empty.unlink()
        assert check.found() == [("Message", "damaged", ())]
        assert "missing" in check.report().differences[0].reason

    def test_a_log_without_its_parent(self, check: Check) -> None:
        (check.data / "chats" / "nobody.jsonl").touch()
        assert check.found() == [("Message", "damaged", ())]

    def test_a_parent_that_cannot_be_read_keeps_its_log(self, check: Check) -> None:
        index = check.data / "chats/index.jsonl"
        edit_line(index, 0, lambda d: d.pop("title"))
        assert check.found() == [("Chat", "damaged", ("title",))]
        self.rewrite(index, lambda lines: lines.__setitem__(0, "{\n"))
        found = check.found()
        assert ("Chat", "damaged", ()) in found
        assert not any(model == "Message" for model, _, _ in found)

    def test_an_enum_that_is_none(self, check: Check, messages: Path) -> None:
        edit_line(messages, 0, lambda d: d.update(role="JUDGE"))
        assert check.found() == [("Message", "damaged", ("role",))]

    def test_long_logs_are_read_in_pieces(
        self, check: Check, messages: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from octavo.layout import reader

        monkeypatch.setattr(reader, "_AT_ONCE", 3)
        original = messages.read_text()
        first = original.splitlines()[0]
        changed = json.dumps(json.loads(first) | {"content": "changed"})
        messages.write_text(f"{changed}\n{original}{original}")
        assert check.found() == []
        messages.write_text(f"{original}{changed}\n")
        assert check.found() == [("Message", "different", ("content",))]


class TestIntegrity:
    def test_a_broken_foreign_key(self, check: Check) -> None:
        edit_line(check.data / "chats/index.jsonl", 0, lambda d: d.update(characterId="nobody"))
        assert check.found() == [("Chat", "different", ("characterId",))]
        (violation,) = check.report().violations
        assert (violation.model, violation.fields) == ("Chat", ("characterId",))

    def test_a_broken_unique(self, check: Check) -> None:
        def copy_email(data: Any) -> None:
            data["users"][1]["email"] = data["users"][0]["email"]

        edit_json(check.data / "settings/general.json", copy_email)
        assert check.found() == [("User", "different", ("email",))]
        assert [(v.model, v.fields) for v in check.report().violations] == [("User", ("email",))] * 2

    def test_two_records_with_one_key(self, check: Check) -> None:
        edit_json(check.data / "tags/tags.json", lambda d: d["tags"].append(d["tags"][0]))
        assert check.found() == [("Tag", "damaged", ())]
        assert "2 records" in check.report().differences[0].reason

    def test_superseded_lines_break_nothing(self, check: Check) -> None:
        index = check.data / "chats/index.jsonl"
        original = index.read_text()
        older = json.loads(original.splitlines()[0]) | {"characterId": "nobody"}
        index.write_text(json.dumps(older) + "\n" + original)
        edit_json(check.data / "tags/tags.json", lambda d: d["tags"][0].update(createdAt="infinity"))
        assert check.found() == [("Tag", "different", ("createdAt",))]
        assert check.report().violations == []


class TestPayloads:
    @pytest.fixture
    def line(self, check: Check) -> dict[str, Any]:
        found = next(r for r in records(check.data, "binaries/index.jsonl") if "_sha256" in r)
        assert isinstance(found, dict)
        return found

    def payload(self, check: Check, line: dict[str, Any]) -> Path:
        digest = str(line["_sha256"])
        return check.data / "binaries" / digest[:2] / digest

    def test_changed(self, check: Check, line: dict[str, Any]) -> None:
        content = bytearray(self.payload(check, line).read_bytes())
        content[0] ^= 1
        self.payload(check, line).write_bytes(content)
        assert {(k, f) for _, k, f in check.found()} == {("damaged", ("_sha256",))}

    def test_removed(self, check: Check, line: dict[str, Any]) -> None:
        self.payload(check, line).unlink()
        assert {(k, f) for _, k, f in check.found()} == {("damaged", ("_sha256",))}
        assert "missing" in check.report().differences[0].reason

    def test_extra(self, check: Check, line: dict[str, Any]) -> None:
        other = "0" * 64
        (check.data / "binaries" / "00").mkdir(exist_ok=True)
        (check.data / "binaries" / "00" / other).write_bytes(b"x")
        report = check.report()
        assert report.equal
        assert report.strays == [f"binaries/00/{other}"]

    def test_changed_or_removed_below_the_files_root(
        self, check: Check, line: dict[str, Any], tmp_path: Path
    ) -> None:
        check.files_root = Path(shutil.copytree(check.files_root, tmp_path / "public"))
        (check.files_root / line["filepath"]).write_bytes(b"another")
        assert {(k, f) for _, k, f in check.found()} == {("different", ("_sha256",))}
        (check.files_root / line["filepath"]).unlink()
        report = check.report()
        assert report.equal
        assert any(line["filepath"] in note for note in report.payload_notes)

    def test_not_compared_without_a_files_root(self, check: Check, line: dict[str, Any]) -> None:
        check.files_root = check.data / "nowhere"
        report = check.report()
        assert report.equal
        assert any("files root" in note for note in report.left_out)
        self.payload(check, line).write_bytes(b"another")
        assert check.found() != []

    def test_there_but_not_kept(self, check: Check) -> None:
        path = check.data / "binaries/index.jsonl"
        model = records(check.data, "binaries/index.jsonl")[0]["_model"]
        edit_line(path, 0, lambda d: d.pop("_sha256"))
        assert check.found() == [(model, "different", ("_sha256",))]
        edit_line(path, 0, lambda d: d.update(_sha256="x"))
        assert [k for _, k, _ in check.found()] == ["damaged"]


class TestDatabaseSide:
    def test_rows_changed_added_and_removed(
        self, sample_database: str, data: Path, sample: tuple[str, Path]
    ) -> None:
        with connect(sample_database) as connection:
            connection.execute("UPDATE users SET name = 'x' WHERE id = (SELECT min(id) FROM users)")
            connection.execute(
                "INSERT INTO tags SELECT 'new', \"userId\", 'n', 'n', now(), now() FROM tags LIMIT 1"
            )
            connection.execute("DELETE FROM sessions WHERE id = (SELECT min(id) FROM sessions)")
        assert sorted(Check(sample_database, data, sample[1]).found()) == [
            ("Session", "extra", ()),
            ("Tag", "missing", ()),
            ("User", "different", ("name",)),
        ]

    def test_many_differences_are_bounded_and_all_in_the_report(
        self, sample_database: str, data: Path, sample: tuple[str, Path]
    ) -> None:
        with connect(sample_database) as connection:
            connection.execute(
                'INSERT INTO messages (id, "chatId", role, content)'
                " SELECT 'm' || n, id, 'USER', 'x' FROM generate_series(1, 3000) AS n,"
                " (SELECT id FROM chats LIMIT 1) AS c"
            )
        report = Check(sample_database, data, sample[1]).report()
        assert report.total == 3000
        assert len(report.differences) == 1000
        assert report.by_model == {"Message": {"missing": 3000}}
        assert report.report is not None
        lines = [json.loads(line) for line in report.report.read_text().splitlines()]
        assert len({line["difference"]["key"]["id"] for line in lines[:-1]}) == 3000
        assert lines[-1]["summary"]["differencesTotal"] == 3000
        assert report.report.parent == data / "cache"
        assert report.report.stat().st_mode & 0o777 == 0o600

    def test_drift_is_refused(self, schema_database: str, exported: Path, tmp_path: Path) -> None:
        with connect(schema_database) as connection:
            connection.execute("CREATE TABLE notes (id text)")
        with pytest.raises(DriftError, match="notes"):
            Check(schema_database, exported, tmp_path).report()

    def test_no_folder(self, schema_database: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is no store"):
            Check(schema_database, tmp_path / "nothing", tmp_path).report()


class TestSecrets:
    def secrets(self, data: Path) -> list[str]:
        """Every value of a secret field, as the files hold them."""
        reader, found = Reader(LAYOUT, data), []
        for file in contents(LAYOUT, data).files:
            for record in live_records(reader, file):
                for f, value in zip(record.place.model.scalars, record.values, strict=True):
                    if f.secret is not None and value:
                        found.append(value.decode())
        return found

    def test_the_wrong_pepper_is_told(self, check: Check) -> None:
        found = check.found("another pepper")
        assert {model for model, _, _ in found} == {"User", "ApiKey"}
        assert {kind for _, kind, _ in found} == {"damaged"}

    def test_one_broken_ciphertext(self, check: Check) -> None:
        path = check.data / "settings/connection-profiles.json"

        def flip(data: Any) -> None:
            tag = data["apiKeys"][0]["keyAuthTag"]
            data["apiKeys"][0]["keyAuthTag"] = ("0" if tag[0] != "0" else "1") + tag[1:]

        edit_json(path, flip)
        assert check.found() == [("ApiKey", "different", ("keyAuthTag",))]
        found = check.found(DEMO_PEPPER)
        assert [k for _, k, _ in found] == ["different", "damaged"]
        assert found[1][0] == "ApiKey"

    def test_a_hash_that_is_none(self, check: Check) -> None:
        edit_json(check.data / "settings/general.json", lambda d: d["users"][0].update(passwordHash="$2b$x"))
        assert ("User", "damaged", ("passwordHash",)) in check.found(DEMO_PEPPER)

    def test_no_value_of_a_secret_is_ever_shown(self, check: Check) -> None:
        values = self.secrets(check.data)
        assert values
        for path, content in tree(check.data).items():
            if content and path.startswith(("settings", "auth")):
                text = content.decode()
                for value in values:
                    text = text.replace(f'"{value}"', f'"{value}0"')
                (check.data / path).write_text(text)
        report = check.report("another pepper")
        assert report.total > 0
        assert report.report is not None
        shown = json.dumps(report.to_dict()) + report.report.read_text() + repr(report)
        assert [value for value in values if len(value) > 8 and value in shown] == []

    def test_a_damaged_secret_is_not_shown(self, check: Check) -> None:
        edit_line(check.data / "auth/verification-tokens.jsonl", 0, lambda d: d.update(expires="sometime"))
        token = records(check.data, "auth/verification-tokens.jsonl")[0]["token"]
        report = check.report()
        assert [d.fields for d in report.differences] == [("expires",)]
        shown = json.dumps(report.to_dict())
        assert token not in shown
        assert report.differences[0].key["token"].startswith("sha256:")


def test_a_folder_that_cannot_be_written_is_verified(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only file system."""
    shutil.rmtree(check.data / "cache")
    (check.data / "cache").write_text("in the way")
    edit_json(check.data / "tags/tags.json", lambda d: d["tags"][0].update(name="x"))
    assert check.found() == [("Tag", "different", ("name",))]
    report = check.report()
    assert report.report is None
    assert any("full report" in note for note in report.left_out)


def test_nothing_is_left_in_the_cache_but_the_report_and_the_state(check: Check) -> None:
    edit_json(check.data / "tags/tags.json", lambda d: d["tags"][0].update(name="x"))
    before = set(os.listdir(check.data / "cache"))
    report = check.report()
    assert report.report is not None
    assert set(os.listdir(check.data / "cache")) - before == {report.report.name, "migration"}


def test_several_processes_find_the_same(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_json(check.data / "tags/tags.json", lambda d: d["tags"][0].update(name="x"))
    edit_line(check.data / "chats/index.jsonl", 0, lambda d: d.pop("title"))
    alone = sorted(check.found())
    monkeypatch.setattr(observers, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(observers, "_CHUNK", 1)
    assert (
        sorted(check.found())
        == alone
        == [
            ("Chat", "damaged", ("title",)),
            ("Tag", "different", ("name",)),
        ]
    )


def test_a_store_that_is_written_to_meanwhile_is_not_taken_for_a_different_one(
    sample_database: str, sample: tuple[str, Path], exported: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(exported, data, symlinks=True)
    stop, written = threading.Event(), []
    with octavo.connect(backend="dual", database_url=sample_database, data_dir=data) as db:
        chat = db.chat.find_first_or_raise()

        def talk() -> None:
            while not stop.is_set():
                written.append(db.message.create(data={"chatId": chat.id, "role": "USER", "content": "x"}))
                time.sleep(0.002)

        talker = threading.Thread(target=talk)
        talker.start()
        try:
            for _ in range(3):
                report = verify(DatabaseUrl.parse(sample_database), data, LAYOUT, VerifyOptions(sample[1]))
                assert report.equal
        finally:
            stop.set()
            talker.join()
    assert written
