"""``octavo schema`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from command import octavo
from octavo.cli.app import app
from octavo.errors import DatabaseError, SchemaError, UsageError
from octavo.postgres.connection import connect
from octavo.schema import texts
from octavo.schema.ddl import ddl
from octavo.schema.dmmf import dmmf
from octavo.schema.texts import FINGERPRINT, VERSION, fingerprint, frozen_schema

SMALL = (
    'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
    "model A {\n  id Int @id @default(autoincrement())\n  b String? @unique\n}\n"
)


def run(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
    return CliRunner().invoke(app, ["schema", *arguments], env=env or {"DATABASE_URL": None})


def test_show_names_version_fingerprint_and_every_field() -> None:
    shown = run("show")
    assert shown.exit_code == 0
    assert VERSION in shown.stdout
    assert f"{FINGERPRINT} (as it was shipped)" in shown.stdout
    for model in frozen_schema().models:
        assert f"model {model.name} ({model.table})" in shown.stdout
        for field in model.fields:
            assert f"\n  {field.name} " in shown.stdout


def test_show_as_json_and_in_prismas_shape() -> None:
    answer = json.loads(run("show", "--json").stdout)
    assert (answer["version"], answer["fingerprint"], answer["intact"]) == (VERSION, FINGERPRINT, True)
    assert [model["name"] for model in answer["models"]] == [model.name for model in frozen_schema().models]
    assert json.loads(run("show", "--dmmf").stdout) == dmmf(frozen_schema())


def test_show_another_schema(tmp_path: Path) -> None:
    file = tmp_path / "schema.prisma"
    file.write_text(SMALL, "utf-8")
    shown = run("show", "--schema", str(file))
    assert shown.exit_code == 0
    assert "counts by itself" in shown.stdout
    assert json.loads(run("show", "--schema", str(file), "--json").stdout)["version"] is None
    file.write_text(SMALL.replace("Int", "Itn"), "utf-8")
    assert isinstance(run("show", "--schema", str(file)).exception, SchemaError)


def test_a_schema_folder_is_what_its_files_are(tmp_path: Path, schema_database: str) -> None:
    lines = texts.frozen_text().splitlines(keepends=True)
    folder = tmp_path / "prisma"
    folder.mkdir()
    cut = next(n for n in range(len(lines) - 1, 0, -1) if lines[n].startswith("model "))
    for name, part in (("a.prisma", lines[:cut]), ("b.prisma", ["// of ours\n", *lines[cut:]])):
        (folder / name).write_text("".join(part), "utf-8")
    shown = json.loads(run("show", "--schema", str(folder), "--json").stdout)
    expected = fingerprint("".join([*lines[:cut], "// of ours\n", *lines[cut:]]))
    assert shown["fingerprint"] == expected
    done = octavo(
        "inventory",
        "--schema",
        folder,
        "--data-dir",
        tmp_path / "data",
        "--json",
        DATABASE_URL=schema_database,
    )
    assert done.answer["schema"] == {"version": None, "fingerprint": expected}


def test_show_ends_with_1_if_the_frozen_file_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen_schema()
    monkeypatch.setattr(texts, "frozen_text", lambda: SMALL)
    shown = run("show")
    assert shown.exit_code == 1
    assert "was changed" in shown.stderr


def test_check_ends_with_0_where_nothing_differs(schema_database: str) -> None:
    checked = run("check", "--database-url", schema_database)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert "is as the schema says" in checked.stdout
    assert run("check", "--quiet", env={"DATABASE_URL": schema_database}).stdout == ""


def test_check_ends_with_1_and_names_what_differs(schema_database: str) -> None:
    with connect(schema_database) as connection:
        connection.execute("CREATE TABLE surprise (n int)")
        connection.execute("CREATE VIEW sight AS SELECT 1 AS n")
    checked = run("check", "--database-url", schema_database)
    assert checked.exit_code == 1
    assert "drift: extra table surprise" in checked.stderr
    assert "note: view sight" in checked.stdout
    answer = json.loads(run("check", "--json", "--database-url", schema_database).stdout)
    assert not answer["equal"]
    assert answer["findings"] == [
        {"kind": "extra", "what": "table", "name": "surprise", "expected": "", "found": ""}
    ]
    assert [note["name"] for note in answer["notes"]] == ["sight"]


def test_check_another_schema_in_another_postgresql_schema(database: str, tmp_path: Path) -> None:
    file = tmp_path / "schema.prisma"
    file.write_text(SMALL, "utf-8")
    with connect(database) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute('CREATE TABLE app."A" (id serial, b text, CONSTRAINT "A_pkey" PRIMARY KEY (id))')
        connection.execute('CREATE UNIQUE INDEX "A_b_key" ON app."A" (b)')
    url = database.replace("schema=public", "schema=app")
    assert run("check", "--schema", str(file), "--database-url", url).exit_code == 0
    assert run("check", "--schema", str(file), "--database-url", database).exit_code == 1


def test_check_says_what_is_wrong_with_the_address(database: str) -> None:
    assert isinstance(run("check").exception, UsageError)
    assert isinstance(run("check", "--database-url", "mysql://h/d").exception, UsageError)
    unreachable = run("check", "--database-url", "postgresql://u@localhost/d?host=/nowhere")
    assert isinstance(unreachable.exception, DatabaseError)


def test_ddl_prints_the_sql_that_makes_the_tables(tmp_path: Path) -> None:
    done = octavo("schema", "ddl", "--data-dir", tmp_path / "none")
    assert done.out == ddl(frozen_schema()).script()
    elsewhere = octavo("schema", "ddl", "--in-schema", "app", "--json", "--data-dir", tmp_path / "none")
    assert elsewhere.answer["sql"].startswith('-- CreateSchema\nCREATE SCHEMA IF NOT EXISTS "app";\n')


def test_json_schemas_are_written(tmp_path: Path) -> None:
    written = run("json-schema", "--out", str(tmp_path / "out"))
    assert written.exit_code == 0
    for name in written.stdout.split():
        assert json.loads(Path(name).read_text("utf-8"))["$schema"].endswith("2020-12/schema")
