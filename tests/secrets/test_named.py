"""What is named as a secret: no command, report, error or file of ``cache/`` shows a value of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import octavo
from command import octavo as command
from octavo.errors import OctavoError
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Session {
  token  String  @id
  note   String
  visits Visit[]
}

model Visit {
  session  String
  number   Int
  path     String
  apiKey   String  @unique
  of       Session @relation(fields: [session], references: [token])

  @@id([session, number])
}
"""
LAYOUT = """
version = 1

[logs]
"session.jsonl" = ["Session"]
"visit.jsonl" = ["Visit"]
"""
HIDDEN = "hunter2"
"""is in every value of a secret"""
ROWS = f"""
    INSERT INTO "Session" VALUES ('{HIDDEN}-a', 'x'), ('{HIDDEN}-b', 'x'), ('{HIDDEN}-c', 'x');
    INSERT INTO "Visit" VALUES ('{HIDDEN}-a', 1, '/', '{HIDDEN}-k1'), ('{HIDDEN}-b', 1, '/', '{HIDDEN}-k2');
"""


def spoil(log: Path) -> None:
    """A record differs, one is missing, one is extra, one is damaged, one refers to nothing."""
    lines = log.read_text("utf-8").splitlines()
    lines[0] = lines[0].replace('"x"', '"y"')
    lines[2:] = [lines[2].replace("-c", "-d"), '{"_model":"Session","token":"hunter2-e","note":5}']
    log.write_text("\n".join(lines) + "\n", "utf-8")


def test_no_command_shows_a_secret_key(database: str, tmp_path: Path) -> None:
    schema, data = tmp_path / "schema.prisma", tmp_path / "data"
    schema.write_text(SCHEMA)
    with connect(database) as connection:
        connection.execute(ddl(parse_schema(SCHEMA)).script().encode())
        connection.execute(ROWS.encode())
    layout = tmp_path / "layout.toml"
    layout.write_text(LAYOUT)
    common = ("--data-dir", data, "--schema", schema, "--layout", layout)
    said = [
        command(*arguments, *common, *as_json, DATABASE_URL=database)
        for arguments, *as_json in (
            [("inventory",)],
            [("export",)],
            [("verify",), "--json"],
        )
    ]
    assert [done.code for done in said] == [0, 0, 0], said
    gates = command("cutover", "--dry-run", *common, "--json", DATABASE_URL=database).answer["gates"]
    [gate] = [gate for gate in gates if gate["gate"] == "secrets"]
    assert (gate["open"], gate["reason"]) == (True, "there are none to look at")
    spoil(data / "session.jsonl")
    visits = data / "visit.jsonl"
    visits.write_text(visits.read_text("utf-8").replace('-b"', '-z"'), "utf-8")
    for name in ("verify", "doctor", "status"):
        said += [command(name, *common, *more, DATABASE_URL=database) for more in ((), ("--json",))]
    said += [command("restore", *common, DATABASE_URL=database), command("backup", tmp_path / "x", *common)]
    for done in said:
        assert HIDDEN not in done.out + done.err
    verified = command("verify", *common, "--json", DATABASE_URL=database).answer
    assert len(verified["differences"]) > 3
    assert all(d["key"].get("token", "sha256:").startswith("sha256:") for d in verified["differences"])
    for path in (data / "cache").rglob("*"):
        if path.is_file():
            assert HIDDEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("backend", ["json", "prisma", "dual"])
def test_no_record_and_no_error_of_the_client_shows_one(database: str, tmp_path: Path, backend: str) -> None:
    schema, data = tmp_path / "schema.prisma", tmp_path / "data"
    schema.write_text(SCHEMA)
    with connect(database) as connection:
        connection.execute(ddl(parse_schema(SCHEMA)).script().encode())
        connection.execute(ROWS.encode())
    assert command("export", "--data-dir", data, "--schema", schema, DATABASE_URL=database).code == 0
    with octavo.connect(backend, database_url=database, data_dir=data, schema=schema) as db:
        session = db.session.find_unique_or_raise(where={"token": f"{HIDDEN}-a"}, include={"visits": True})
        said = [repr(session), json.dumps(session.to_dict("json")), octavo.dumps(session)]
        visit = {"session": f"{HIDDEN}-a", "number": 1, "path": "/", "apiKey": f"{HIDDEN}-k1"}
        calls: list[Callable[[], object]] = [
            lambda: db.session.create(data={"token": f"{HIDDEN}-a", "note": "again"}),
            lambda: db.visit.create(data={**visit, "number": 2}),
            lambda: db.visit.create(data={**visit, "session": f"{HIDDEN}-none", "apiKey": "other"}),
            lambda: db.session.find_unique_or_raise(where={"token": f"{HIDDEN}-none"}),
            lambda: db.session.update(where={"token": f"{HIDDEN}-none"}, data={"note": "y"}),
            lambda: db.session.delete(where={"token": f"{HIDDEN}-a"}),
            lambda: db.visit.update(where={"session_number": f"{HIDDEN}-a"}, data={}),
            lambda: db.session.create(data={"token": [f"{HIDDEN}-a"], "note": "x"}),
        ]
        for call in calls:
            with pytest.raises(OctavoError) as caught:
                call()
            said.append(f"{caught.value!r} {caught.value} {vars(caught.value)}")
    for text in said:
        assert HIDDEN not in text
