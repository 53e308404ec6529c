"""Each kind of damage, planted in a copy of a sound store, is found as what it is, and nothing else is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from both_ways import verify_both
from octavo.demo.sample import DEMO_PEPPER, load_sample
from octavo.fold.export import ExportOptions, export
from octavo.layout.layout import Kind
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, VerifyReport
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
Damage = Callable[[Path], object]


class Sound:
    """A database and its export, to be copied and damaged."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = DatabaseUrl.parse(url), root

    def damaged(self, where: Path, damage: Damage, pepper: str | None = DEMO_PEPPER) -> VerifyReport:
        shutil.copytree(self.root / "data", where)
        damage(where)
        return verify_both(self.url, where, LAYOUT, VerifyOptions(self.root / "files", pepper))


@pytest.fixture(scope="module")
def sound(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sound]:
    root = tmp_path_factory.mktemp("sound")
    url = server.create_database("sound", template=schema_template)
    with connect(url) as connection:
        load_sample(connection, root / "files", messages=400)
    export(DatabaseUrl.parse(url), root / "data", LAYOUT, ExportOptions(root / "files"))
    yield Sound(url, root)
    server.drop_database("sound")


def chat_logs(data: Path) -> list[Path]:
    """The logs with several messages."""
    return sorted(p for p in (data / "chats").glob("*.jsonl") if p.name != "index.jsonl" and _lines(p)[4:])


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(True)


def first(data: Path, pattern: str) -> Path:
    return min(data.glob(pattern))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file without Json fields as an editor would, with other white space."""
    value = json.loads(path.read_text("utf-8"))
    change(value)
    path.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


def swap(path: Path, pattern: str, put: str) -> None:
    """Change a file's text in one place."""
    text, done = re.subn(pattern, put, path.read_text("utf-8"), count=1, flags=re.DOTALL)
    assert done == 1
    path.write_text(text, "utf-8")


def relog(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(_lines(path))))


def kinds(report: VerifyReport) -> dict[str, dict[str, int]]:
    return report.by_model


def tombstone(line: bytes) -> bytes:
    record = json.loads(line)
    return json.dumps({"_model": record["_model"], "id": record["id"], "_deleted": True}).encode() + b"\n"


EQUAL: dict[str, Damage] = {
    "nothing": lambda data: None,
    "a line twice in its log": lambda d: relog(chat_logs(d)[0], lambda x: [*x, x[0]]),
    "white space and line breaks": lambda d: [
        p.write_text(re.sub(r"\n *", "\n\t ", p.read_text("utf-8")), "utf-8") for p in [*d.glob("*/*.json")]
    ],
    "the order of keys": lambda d: relog(
        chat_logs(d)[0],
        lambda x: (
            [
                *(json.dumps(dict(reversed(json.loads(x[0]).items()))).encode() + b"\n",),
                *x[1:],
            ]
            if b"rawResponse" not in x[0]
            else x
        ),
    ),
    "an empty line": lambda d: relog(chat_logs(d)[0], lambda x: [x[0], b"\n", *x[1:]]),
    "no line feed at the end": lambda d: relog(chat_logs(d)[0], lambda x: [*x[:-1], x[-1].rstrip(b"\n")]),
    "a stranger's tombstone": lambda d: relog(
        chat_logs(d)[0], lambda x: [*x, b'{"_model":"Message","id":"nobody","_deleted":true}\n']
    ),
    "lines in another order": lambda d: relog(chat_logs(d)[0], lambda x: x[::-1]),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_is_no_difference(sound: Sound, tmp_path: Path, name: str) -> None:
    report = sound.damaged(tmp_path / "data", EQUAL[name])
    assert report.differences == []
    assert report.equal
    assert all(c["database"] == c["files"] for c in report.counts.values())


DAMAGE: dict[str, tuple[Damage, dict[str, dict[str, int]]]] = {
    "a message taken out": (
        lambda d: relog(chat_logs(d)[0], lambda x: x[1:]),
        {"Message": {"missing": 1}},
    ),
    "a tombstone": (
        lambda d: relog(chat_logs(d)[0], lambda x: [*x, tombstone(x[2])]),
        {"Message": {"missing": 1}},
    ),
    "a message added": (
        lambda d: relog(chat_logs(d)[0], lambda x: [*x, x[0].replace(b'"id":"', b'"id":"new-')]),
        {"Message": {"extra": 1}},
    ),
    "a message in another chat's log": (
        lambda d: relog(chat_logs(d)[0], lambda x: [*x, _lines(chat_logs(d)[1])[0]]),
        {"Message": {"damaged": 1}},
    ),
    "a torn end": (
        lambda d: relog(chat_logs(d)[0], lambda x: [*x[:-1], x[-1][:-20]]),
        {"Message": {"damaged": 1}},
    ),
    "a field of the wrong type": (
        lambda d: edit(d / "tags" / "tags.json", lambda x: x["tags"][0].update(name=5)),
        {"Tag": {"damaged": 1}},
    ),
    "a field left out": (
        lambda d: edit(d / "tags" / "tags.json", lambda x: x["tags"][0].pop("name")),
        {"Tag": {"damaged": 1}},
    ),
    "two records with one key": (
        lambda d: edit(d / "tags" / "tags.json", lambda x: x["tags"].append(x["tags"][0])),
        {"Tag": {"damaged": 1}},
    ),
    "a record changed": (
        lambda d: swap(first(d, "personas/*.json"), r'"name": "', '"name": " '),
        {"Persona": {"different": 1}},
    ),
    "null for an empty text": (
        lambda d: swap(first(d, "characters/*.json"), r'": null', '": ""'),
        {"Character": {"different": 1}},
    ),
    "an embedded record taken out": (
        lambda d: swap(first(d, "characters/*.json"), r'"personas": \[\s*\{.*?\}(,?)', '"personas": ['),
        {"CharacterPersona": {"missing": 1}},
    ),
    "an embedded record lost in a later line": (
        lambda d: relog(d / "chats" / "index.jsonl", _without_a_tag),
        {"ChatTag": {"missing": 1}},
    ),
    "a payload changed": (
        lambda d: first(d, "binaries/??/*").write_bytes(b"other"),
        {"*": {"damaged": 1}},
    ),
    "a secret changed": (
        lambda d: swap(
            d / "settings" / "connection-profiles.json", r'"keyEncrypted": "..', '"keyEncrypted": "00'
        ),
        {"ApiKey": {"different": 1, "damaged": 1}},
    ),
    "a token changed": (
        lambda d: relog(
            d / "auth" / "verification-tokens.jsonl",
            lambda x: [x[0].replace(b'"token":"', b'"token":"zz'), *x[1:]],
        ),
        {"VerificationToken": {"missing": 1, "extra": 1}},
    ),
}


def _without_a_tag(lines: list[bytes]) -> list[bytes]:
    """The log with a later line of the first chat that has a tag: without it."""
    for line in lines:
        one = re.fullmatch(rb'(.*"tags":\[)\{[^{}]*\},?(.*\n)', line)
        if one:
            return [*lines, one[1] + one[2]]
    raise AssertionError("the sample has no chat with a tag")


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_as_what_it_is(sound: Sound, tmp_path: Path, name: str) -> None:
    damage, expected = DAMAGE[name]
    report = sound.damaged(tmp_path / "data", damage)
    assert not report.equal
    if "*" in expected:
        assert {kind for found in kinds(report).values() for kind in found} == set(expected["*"])
    else:
        assert kinds(report) == expected
    assert report.report is not None
    written = [json.loads(line) for line in report.report.read_bytes().splitlines()]
    assert [line["difference"] for line in written[:-1]] == msgspec.json.decode(
        msgspec.json.encode(report.differences)
    )
    assert written[-1]["summary"]["equal"] is False


WHOLE_FILES: dict[str, tuple[Damage, str]] = {
    "a document broken": (lambda d: (d / "tags/tags.json").write_text('{"_version": 1, "tags": [{'), "Tag"),
    "a document emptied": (lambda d: (d / "tags/tags.json").write_text(""), "Tag"),
    "a document of NULs": (lambda d: (d / "tags/tags.json").write_bytes(b"\0" * 50), "Tag"),
    "a newer version": (lambda d: edit(d / "tags/tags.json", lambda x: x.update(_version=2)), "Tag"),
    "a document gone": (lambda d: (d / "tags/tags.json").unlink(), "Tag"),
    "an array gone": (lambda d: edit(d / "tags/tags.json", lambda x: x.pop("tags")), "Tag"),
    "a log gone": (lambda d: chat_logs(d)[0].unlink(), "Message"),
    "a record file renamed": (
        lambda d: first(d, "characters/*.json").rename(d / "characters" / "other.json"),
        "Character",
    ),
    "a byte order mark": (
        lambda d: (d / "tags/tags.json").write_bytes(b"\xef\xbb\xbf" + (d / "tags/tags.json").read_bytes()),
        "Tag",
    ),
}


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_a_file_that_cannot_be_read_is_never_taken_for_empty(sound: Sound, tmp_path: Path, name: str) -> None:
    damage, model = WHOLE_FILES[name]
    report = sound.damaged(tmp_path / "data", damage)
    damaged = [d for d in report.differences if d.kind == "damaged"]
    assert [d.model for d in damaged] == [model]
    assert damaged[0].reason
    assert damaged[0].file


@pytest.mark.parametrize("name", [p.model.name for p in LAYOUT.places if p.kind is not Kind.EMBEDDED])
def test_a_change_in_any_model_names_the_field(sound: Sound, tmp_path: Path, name: str) -> None:
    place = LAYOUT.place(name)
    bound = {n for u in (place.model.key, *place.model.uniques) for n in u.field_names}
    bound |= {n for r in LAYOUT.datamodel.parents(name) for n in r.fields}
    free = [f for f in place.model.scalars if f.name not in bound and not f.nullable and not f.secret]
    texts = [f.name for f in free if (f.type, f.kind) == ("String", "scalar")]
    times = [f.name for f in free if f.type == "DateTime"]
    field = (texts or times)[0]
    family = next(f for f in LAYOUT.families if f.path == place.path)
    opening = {Kind.DOCUMENT: f'"{place.array}": \\[', Kind.FILE: ""}.get(place.kind, f'"_model":"{name}"')

    def change(data: Path) -> None:
        for path in sorted(p for p in data.rglob("*.json*") if p.is_file()):
            fits = family.pattern.fullmatch(path.relative_to(data).as_posix())
            if fits and re.search(opening, text := path.read_text("utf-8")) and text:
                pattern = rf'({opening}.*?"{field}": ?")' + (r"" if texts else r"\d\d\d\d")
                swap(path, pattern, r"\g<1>" + ("changed " if texts else "1999"))
                return
        raise AssertionError(f"no {name} in the sample")

    report = sound.damaged(tmp_path / "data", change)
    assert [(d.model, d.kind, d.fields) for d in report.differences] == [(name, "different", (field,))]


def test_unknown_keys_and_strays_are_reported_and_no_difference(sound: Sound, tmp_path: Path) -> None:
    def note(data: Path) -> None:
        edit(data / "tags" / "tags.json", lambda x: x.update(note=1))
        swap(first(data, "personas/*.json"), r'"_version": 1', '"_version": 1, "note": {"mine": true}')
        (data / "characters" / "draft.json~").write_text("mine", "utf-8")
        (data / "characters" / "Draft.json").write_text("mine", "utf-8")

    report = sound.damaged(tmp_path / "data", note)
    assert report.equal
    assert [key for _, key in report.unknown_keys] == ["note", "note"]
    assert report.strays == ["characters/Draft.json"]


def test_broken_references_are_named(sound: Sound, tmp_path: Path) -> None:
    report = sound.damaged(
        tmp_path / "data", lambda d: edit(d / "settings" / "general.json", lambda x: x["users"].pop(0))
    )
    assert kinds(report) == {"User": {"missing": 1}}
    assert {v.fields for v in report.violations} == {("userId",)}


def test_secrets_need_their_pepper_and_are_never_shown(sound: Sound, tmp_path: Path) -> None:
    wrong = sound.damaged(tmp_path / "wrong", lambda d: None, pepper="another")
    assert {d.kind.value for d in wrong.differences} == {"damaged"}
    without = sound.damaged(tmp_path / "without", lambda d: None, pepper=None)
    assert without.equal
    assert any("PEPPER" in line for line in without.left_out)
    shown = json.dumps([wrong.to_dict(), without.to_dict()])
    data = json.loads((tmp_path / "wrong" / "settings" / "connection-profiles.json").read_text("utf-8"))
    assert not any(key["keyEncrypted"] in shown for key in data["apiKeys"])


def test_changes_on_the_other_side_are_found_too(
    server: EmbeddedServer, sound: Sound, tmp_path: Path
) -> None:
    url = server.create_database("changed", template="sound")
    try:
        with connect(url) as connection:
            connection.execute(b"""DELETE FROM messages WHERE id = (SELECT min(id) FROM messages)""")
            connection.execute(b"UPDATE tags SET name = name || ' ' WHERE id = (SELECT min(id) FROM tags)")
        options = VerifyOptions(sound.root / "files", DEMO_PEPPER)
        report = verify_both(DatabaseUrl.parse(url), sound.root / "data", LAYOUT, options)
    finally:
        server.drop_database("changed")
    assert kinds(report)["Message"]["extra"] == 1
    assert kinds(report)["Tag"] == {"different": 1}
