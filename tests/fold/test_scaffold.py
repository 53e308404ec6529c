"""The scaffold makes a store without records, once, and never touches what is there."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from octavo.cli.fold import scaffold as command
from octavo.errors import DamagedError, DiskError, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.jsonschema import file_schemas, schema_names
from octavo.layout.layout import Kind, Layout
from octavo.layout.load import flat_layout, frozen_layout
from octavo.schema.parser import parse_schema


@pytest.fixture
def layout() -> Layout:
    return frozen_layout()


def tree(root: Path) -> dict[str, tuple[int, bytes | None, int]]:
    """Mode, content and time of everything below a folder."""
    return {
        str(path.relative_to(root)): (
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in (root, *root.rglob("*"))
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_and_files_are_there_and_closed_to_others(layout: Layout, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        report = scaffold(tmp_path / "deep" / "data", layout)
    finally:
        os.umask(before)
    found = tree(tmp_path / "deep" / "data")
    fixed = {family.path for family in layout.families if not family.varies}
    fixed |= {"schema/schema.prisma", "schema/layout.toml", "schema/store.json"}
    assert {path for path, (_, content, _) in found.items() if content is not None} == fixed
    assert {path for path, (_, content, _) in found.items() if content is None} == {".", *layout.folders}
    assert {mode for mode, content, _ in found.values() if content is None} == {0o700}
    assert {mode for mode, content, _ in found.values() if content is not None} == {0o600}
    assert set(report.files_made) == fixed
    assert set(report.folders_made) == {".", *layout.folders}
    assert report.warnings == []


def test_the_files_are_valid(layout: Layout, tmp_path: Path) -> None:
    scaffold(tmp_path, layout)
    schemas, names = file_schemas(layout.datamodel, layout), schema_names(layout)
    for family in layout.families:
        if family.kind is Kind.DOCUMENT:
            document = json.loads((tmp_path / family.path).read_text())
            Draft202012Validator(schemas[names[family.path]]).validate(document)
            assert set(document) == {"_version", *(place.array for place in family.places)}
        elif family.kind is Kind.LOG:
            assert (tmp_path / family.path).read_bytes() == b""


def test_done_again_nothing_changes(layout: Layout, tmp_path: Path) -> None:
    scaffold(tmp_path / "data", layout)
    before = tree(tmp_path / "data")
    report = scaffold(tmp_path / "data", layout)
    assert tree(tmp_path / "data") == before
    assert not report.changed
    assert report.kept == []


def test_what_has_content_stays(layout: Layout, tmp_path: Path) -> None:
    scaffold(tmp_path, layout)
    fixed = [family.path for family in layout.families if not family.varies]
    for path in fixed:
        (tmp_path / path).write_bytes(b'{"anything": "at all, even broken\n')
    (tmp_path / fixed[0]).unlink()
    (tmp_path / "characters" / "somebody.json").write_text("{}")
    before = tree(tmp_path)
    report = scaffold(tmp_path, layout)
    after = tree(tmp_path)
    assert all(after[path] == before[path] for path in before if path != str(Path(fixed[0]).parent))
    assert report.kept == fixed[1:]
    assert report.files_made == [fixed[0]]
    assert [warning for warning in report.warnings if fixed[0] in warning], (
        "a file was missing beside records"
    )


def test_a_folder_that_was_open_is_closed_and_an_open_file_named(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth").chmod(0o755)
    (tmp_path / "auth" / "sessions.jsonl").write_bytes(b'{"_model": "Session"}\n')
    (tmp_path / "auth" / "sessions.jsonl").chmod(0o644)
    report = scaffold(tmp_path, layout)
    assert "auth" in report.tightened
    assert stat.S_IMODE((tmp_path / "auth").stat().st_mode) == 0o700
    assert report.open_to_others == ["auth/sessions.jsonl"]
    assert stat.S_IMODE((tmp_path / "auth" / "sessions.jsonl").stat().st_mode) == 0o644
    assert any("auth/sessions.jsonl" in warning for warning in report.warnings)


def test_a_document_that_lost_its_content_is_damage(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "tags.json").touch()
    with pytest.raises(DamagedError, match=r"tags/tags\.json"):
        scaffold(tmp_path, layout)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} == {"tags", "tags/tags.json"}


@pytest.mark.parametrize(
    ("place", "folder"),
    [
        (".", False),
        ("auth", False),
        ("tags/tags.json", True),
        ("chats/index.jsonl", True),
        ("journal", False),
    ],
)
def test_something_else_in_the_way_is_named_before_anything_is_made(
    layout: Layout, tmp_path: Path, place: str, folder: bool
) -> None:
    at = tmp_path / "data" / place
    at.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        at.mkdir()
    else:
        at.write_text("in the way")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=at.name):
        scaffold(tmp_path / "data", layout)
    assert tree(tmp_path) == before


def test_a_dangling_link_is_not_taken_for_nothing(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "tags.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UsageError):
        scaffold(tmp_path, layout)
    assert not (tmp_path / "elsewhere.json").exists()


def test_a_disk_that_refuses_is_named(layout: Layout, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DiskError, match="file"):
        scaffold(blocked / "data", layout)


def test_any_layout_has_a_scaffold(tmp_path: Path) -> None:
    text = 'datasource db {\n provider = "postgresql"\n url = ""\n}\nmodel Thing {\n id Int @id\n}'
    report = scaffold(tmp_path / "data", flat_layout(parse_schema(text, "thing.prisma")))
    own = ["schema/schema.prisma", "schema/layout.toml", "schema/store.json"]
    assert report.files_made == ["thing.jsonl", *own]


@pytest.fixture
def run() -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(command, [str(a) for a in arguments])


def test_the_command_says_what_it_made(tmp_path: Path, run: Callable[..., Any]) -> None:
    first = run("--data-dir", tmp_path / "data")
    assert first.exit_code == 0
    assert "made settings/general.json" in first.output
    again = run("--data-dir", tmp_path / "data")
    assert again.exit_code == 0
    assert "nothing to do" in again.output
    answer = json.loads(run("--data-dir", tmp_path / "data", "--json").stdout)
    assert answer["filesMade"] == []
    assert run("--data-dir", tmp_path / "data", "--quiet").output == ""


def test_the_command_takes_the_folder_from_the_environment(
    tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "there"))
    assert run().exit_code == 0
    assert (tmp_path / "there" / "chats" / "index.jsonl").exists()
