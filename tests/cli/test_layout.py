"""``octavo layout``: a layout is proposed, counted with real rows, completed and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from applications.schemas import datamodel_of, path_of
from command import octavo
from octavo.layout.load import frozen_layout, parse_layout
from octavo.postgres.connection import connect
from octavo.schema.ddl import ddl

SCHEMA = ("--schema", str(path_of("signing")))


def test_a_proposal_is_toml_with_a_reason_for_each_line() -> None:
    done = octavo("layout", "propose", *SCHEMA)
    assert done.code == 0
    placed = [line for line in done.out.splitlines() if "=" in line and not line.startswith(("#", "version"))]
    assert all("  # " in line for line in placed)
    assert tomllib.loads(done.out)["exclude"] == ["RateLimit"]
    quiet = octavo("layout", "propose", "--quiet", *SCHEMA)
    assert quiet.out == done.out
    answer = octavo("layout", "propose", "--json", *SCHEMA).answer
    assert answer["layout"] == done.out
    assert {p["model"] for p in answer["places"]} > {"Document", "_DocumentToLabel"}


def test_the_proposal_for_the_frozen_schema_is_its_own_layout() -> None:
    done = octavo("layout", "propose")
    assert parse_layout(done.out, frozen_layout().datamodel).places == frozen_layout().places


def test_a_proposal_looks_at_real_counts(new_database: Callable[..., str]) -> None:
    url = new_database()
    with connect(url) as connection:
        connection.execute(ddl(datamodel_of("signing")).script().encode())
        connection.execute(b'DROP TABLE "Signature"')
        connection.execute(
            b'INSERT INTO "BackgroundJob" (id, "jobId", name, version, "updatedAt")'
            b" SELECT n::text, 'j', 'n', 'v', now() FROM generate_series(1, 7) n"
        )
    done = octavo("layout", "propose", "--json", "--database-url", url, *SCHEMA)
    assert done.code == 0, done.err
    answer = done.answer
    rows, reasons = answer["rows"], {p["model"]: p["reason"] for p in answer["places"]}
    assert (rows["BackgroundJob"], rows["User"], rows["RateLimit"]) == (7, 0, 0)
    assert "Signature" not in rows
    assert "7 of BackgroundJob" in reasons["BackgroundJob"]


def test_a_partial_layout_is_completed_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "layout.toml"
    file.write_text('version = 1\nexclude = ["RateLimit"]\n[logs]\n"all.jsonl" = ["User", "Team"]\n')
    done = octavo("layout", "propose", "--layout", str(file), *SCHEMA)
    assert '"all.jsonl" = ["User", "Team"]\n' in done.out
    whole = tmp_path / "whole.toml"
    whole.write_text(done.out)
    assert octavo("layout", "check", str(whole), "--json", *SCHEMA).answer["proposed"] == []
    checked = octavo("layout", "check", str(file), *SCHEMA)
    assert checked.code == 0
    assert "Document is placed by the proposal: documents.jsonl" in checked.out
    assert "RateLimit is left out" in checked.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[logs]\n"a.jsonl" = ["Nothing"]\n', "the schema has no model 'Nothing'"),
        ('[logs]\n"schema/a.jsonl" = ["User"]\n', "schema/ is Octavo's own"),
        ('[embedded]\nUser = "Team.owner"\n', "is not a relation of this model"),
        ("[logs]\n", "RateLimit: has nothing that identifies a record"),
        ("[logs\n", "is not TOML"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "layout.toml"
    file.write_text(f"version = 1\n{text}")
    done = octavo("layout", "check", str(file), *SCHEMA)
    assert done.code == 2
    assert reason in done.err
