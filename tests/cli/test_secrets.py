"""``octavo secrets`` as a user meets it; nothing secret is ever on a stream."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import octavo as client
from command import Done, octavo
from folders import tree
from octavo.backend import DataBackend
from octavo.postgres.connection import connect
from octavo.store import phase
from octavo.store.phase import Following
from vaults import NEW, OLD, VOCABULARY, Vault, new_vault

WRONG = "poivre de Sichuan"
DOCS = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.fixture(params=DataBackend, ids=str)
def vault(request: pytest.FixtureRequest, tmp_path: Path, exported: Path, sample: tuple[str, Path]) -> Vault:
    return new_vault(
        request.param, tmp_path, exported, lambda: request.getfixturevalue("new_database")(sample[0])
    )


@pytest.fixture
def files(tmp_path: Path, exported: Path) -> Vault:
    return new_vault(DataBackend.JSON, tmp_path, exported, str)


def call(vault: Vault, *arguments: object, pepper: str = OLD, new: str = "") -> Done:
    peppers = {"ENCRYPTION_MASTER_PEPPER": pepper, "ENCRYPTION_NEW_PEPPER": new}
    return octavo("secrets", *arguments, **vault.variables, **peppers)


def sides(vault: Vault) -> int:
    return 2 if vault.kind is DataBackend.DUAL else 1


def test_check_in_words(vault: Vault) -> None:
    done = call(vault, "check")
    assert (done.code, done.err) == (0, "")
    *lines, verdict = done.out.splitlines()
    assert len(lines) == sides(vault)
    assert all(line.endswith("13 × aes-256-gcm") for line in lines)
    assert verdict.startswith(f"ALL OPEN: {15 * sides(vault)} values, in ")
    assert call(vault, "check", "--quiet") == Done(0, "", "")


def test_check_with_another_pepper(vault: Vault) -> None:
    done = call(vault, "check", pepper=WRONG)
    assert (done.code, done.err) == (1, "")
    assert "ApiKey id=" in done.out
    assert "keyEncrypted: does not decrypt: " in done.out
    total = 13 * sides(vault)
    assert done.out.splitlines()[-1].startswith(f"NOT ALL OPEN: {total} of {15 * sides(vault)} values")
    assert ("… and 6 more" in done.out) == (total > 20)
    assert call(vault, "check", "--quiet", pepper=WRONG).code == 1


def test_check_for_a_machine(vault: Vault) -> None:
    answer = call(vault, "check", "--json").answer
    assert (answer["good"], answer["unopenedTotal"], answer["unopened"]) == (True, 0, [])
    assert answer["backend"] == vault.kind
    assert list(answer["sides"].values()) == [{"bcrypt": 2, "aes-256-gcm": 13}] * sides(vault)
    answer = call(vault, "check", "--json", pepper=WRONG).answer
    assert (answer["good"], answer["unopenedTotal"], len(answer["unopened"])) == (
        False,
        13 * sides(vault),
        answer["unopenedTotal"],
    )
    assert set(answer["unopened"][0]) == {"side", "model", "key", "field", "reason"}


def test_rotate_in_words(vault: Vault, tmp_path: Path) -> None:
    plain = vault.told(OLD)
    file = tmp_path / "the new pepper"
    assert "26 values would" in call(vault, "rotate", "--dry-run", new=NEW).out or sides(vault) == 1
    done = call(vault, "rotate", "--generate", file)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == [
        ["files", "database"][vault.kind != "json"],
        *["opened", "13", "with", "the", "old", "pepper"],
    ]
    assert lines[-4].startswith(f"ROTATED: {13 * sides(vault)} values encrypted anew, in ")
    assert lines[-3:] == [
        "passwords and tokens do not depend on the pepper; they are as they were",
        f"the new pepper is in {file}",
        "start the application with it as ENCRYPTION_MASTER_PEPPER",
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert vault.told(file.read_text().strip()) == plain
    again = call(vault, "rotate", "--generate", file)
    assert again.code == 0
    assert "NOTHING TO DO: nothing opens with the old pepper alone\n" in again.out
    assert call(vault, "check", pepper=file.read_text().strip()).code == 0
    if vault.kind is DataBackend.DUAL:
        verified = octavo(
            "verify", "--json", **vault.variables, ENCRYPTION_MASTER_PEPPER=file.read_text().strip()
        )
        assert (verified.code, verified.answer["equal"], verified.answer["secretsChecked"]) == (0, True, 15)


def test_rotate_for_a_machine(vault: Vault) -> None:
    answer = call(vault, "rotate", "--json", new=NEW).answer
    assert (answer["good"], answer["rotated"], answer["changed"]) == (True, True, 13 * sides(vault))
    assert (answer["before"]["state"], answer["after"]["state"]) == ("old", "new")
    assert list(answer["after"]["sides"].values()) == [{"old": 0, "new": 13, "neither": 0}] * sides(vault)
    assert answer["pepperFile"] is None
    assert call(vault, "rotate", "--quiet", new=NEW) == Done(0, "", "")


def test_rotate_with_an_old_pepper_that_is_none(vault: Vault) -> None:
    done = call(vault, "rotate", new=NEW, pepper=WRONG)
    assert done.code == 1
    assert "opened 13 with neither" in done.out
    assert done.out.splitlines()[-1] == (
        f"NOT ROTATED: {13 * sides(vault)} values open with neither pepper; nothing was changed"
    )


def test_what_somebody_writes_right_behind_a_rotation_is_told(
    files: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an application that still runs with the old pepper does."""
    from octavo.crypto import encrypt
    from octavo.secrets import rotate as rotation

    carry_out = rotation.carry_out

    def and_write(*arguments: Any) -> None:
        carry_out(*arguments)
        with client.connect("json", data_dir=files.settings.folder) as db:
            user = db.user.find_first(order_by={"id": "asc"})
            assert user is not None
            sealed = encrypt("sk-late", user.id, OLD)
            owned: Any = {"userId": user.id, "provider": "OPENAI", "label": "late"}
            owned |= {"keyEncrypted": sealed.ciphertext, "keyIv": sealed.iv, "keyAuthTag": sealed.tag}
            db.api_key.create(data=owned)

    monkeypatch.setattr(rotation, "carry_out", and_write)
    done = call(files, "rotate", new=NEW)
    assert done.code == 1
    assert "NOT ALL ROTATED: 13 values" in done.out
    assert done.out.rstrip().endswith("1 value that does not open with the new pepper came in meanwhile")
    monkeypatch.undo()
    assert call(files, "rotate", new=NEW).code == 0
    assert None not in files.told(NEW).values()


@pytest.mark.parametrize(
    ("arguments", "peppers", "says"),
    [
        (["check"], {"pepper": ""}, "ENCRYPTION_MASTER_PEPPER is not set"),
        (["rotate"], {"pepper": "", "new": NEW}, "ENCRYPTION_MASTER_PEPPER is not set"),
        (["rotate"], {}, "ENCRYPTION_NEW_PEPPER is not set"),
        (["rotate", "--generate", "x"], {"new": NEW}, "--generate is to make another"),
        (["rotate"], {"new": OLD}, "is the old one"),
        (["rotate", "--generate", "{data}/pepper"], {}, "does not belong"),
        (["rotate", NEW], {}, "unexpected extra argument"),
        (["rotate"], {"new": "\udcff"}, "ENCRYPTION_NEW_PEPPER is not valid UTF-8"),
    ],
)
def test_wrong_usage(files: Vault, arguments: list[str], peppers: dict[str, str], says: str) -> None:
    before = files.rows()
    done = call(files, *(a.format(data=files.settings.folder) for a in arguments), **peppers)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert files.rows() == before


def test_files_that_follow_are_rotated_by_postgresql(
    tmp_path: Path, exported: Path, sample: tuple[str, Path], new_database: Any
) -> None:
    vault = new_vault(DataBackend.PRISMA, tmp_path, exported, lambda: new_database(sample[0]), both=True)
    with phase.changing(vault.settings.folder) as state:
        state.following = Following(slot="s", publication="p", since=phase.now())
    refused = call(Vault(DataBackend.DUAL, vault.settings), "rotate", new=NEW)
    assert refused.code == 2
    assert "the files follow PostgreSQL" in refused.err
    done = call(vault, "rotate", new=NEW)
    assert done.code == 0
    assert "octavo follow brings over what was changed there" in done.out


def test_nothing_secret_is_on_a_stream_or_in_the_log(
    vault: Vault, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = vault.values() | {OLD, NEW, WRONG}
    file = tmp_path / "generated"
    with caplog.at_level(logging.DEBUG):
        shown = "".join(
            done.out + done.err
            for way in ([], ["--json"], ["--quiet"])
            for done in (
                call(vault, "check", *way),
                call(vault, "check", *way, pepper=WRONG),
                call(vault, "rotate", *way, new=NEW, pepper=WRONG),
                call(vault, "rotate", *way, new=OLD),
                call(vault, "rotate", "--dry-run", *way, new=NEW),
                call(vault, "rotate", *way, new=NEW),
                call(vault, "rotate", *way, "--generate", file, pepper=NEW),
                call(vault, "rotate", *way, new=OLD, pepper=file.read_text().strip()),
            )
        )
    values |= {file.read_text().strip()} | vault.values()
    assert [value for value in values if value in shown + caplog.text] == []


def test_nothing_secret_is_in_a_traceback(
    tmp_path: Path, exported: Path, sample: tuple[str, Path], new_database: Any
) -> None:
    vault = new_vault(DataBackend.DUAL, tmp_path, exported, lambda: new_database(sample[0]))
    with connect(vault.settings.database_url) as connection:
        connection.execute(
            b"""CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN RAISE EXCEPTION 'no: %', NEW; END$$;
            CREATE TRIGGER no BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION no()"""
        )
    peppers = {"ENCRYPTION_MASTER_PEPPER": OLD, "ENCRYPTION_NEW_PEPPER": NEW, "OCTAVO_TRACEBACK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "octavo", "secrets", "rotate"],
        env={**os.environ, **vault.variables, **peppers},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    shown = done.stdout + done.stderr
    assert "rotate.py" in shown
    assert [value for value in vault.values() | {OLD, NEW} if value in shown] == []


# What docs/operations.md says, as it stands there


def told(heading: str, language: str = "sh") -> list[str]:
    """The commands of a section."""
    text = DOCS.read_text("utf-8")
    section = re.split(r"^##", text[text.index(f"# {heading}\n") :], flags=re.MULTILINE)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    """Run it in a folder where ``octavo`` is this one; what it prints."""
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir()
        (tools / "octavo").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m octavo "$@"\n')
        (tools / "octavo").chmod(0o700)
    environment = {**os.environ, **variables, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder)}
    environment["PYTHONPATH"] = str(Path(client.__file__).parents[1])
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_docs_rotate(files: Vault, tmp_path: Path) -> None:
    plain = files.told(OLD)
    commands = "".join(told("A new pepper"))
    shown = run(["sh", "-euc", commands], tmp_path, {**files.variables, "ENCRYPTION_MASTER_PEPPER": OLD})
    assert re.findall(r"^([A-Z ]+):", shown, re.MULTILINE) == ["DRY RUN", "ROTATED", "ALL OPEN"]
    assert files.told((tmp_path / "pepper").read_text().strip()) == plain


def test_the_docs_move_a_store(files: Vault, tmp_path: Path) -> None:
    old, new = files.settings.folder.parent, tmp_path / "new machine"
    new.mkdir()
    (commands,) = told("On another machine")
    there, *here = commands.splitlines()
    variables = {"DATA_BACKEND": "json", "ENCRYPTION_MASTER_PEPPER": OLD}
    run(["sh", "-euc", there], old, variables)
    shutil.copy(old / "moving.tar.gz", new)
    shown = run(["sh", "-euc", "\n".join(here)], new, variables)
    assert "SOUND" in shown
    assert "ALL OPEN" in shown
    assert tree(new / "data") == tree(files.settings.folder)


def test_the_docs_let_go_of_what_a_lost_pepper_has_left(vault: Vault, tmp_path: Path) -> None:
    (script,) = told("When the pepper is lost", "python")
    with client.connect(vault.kind, **vault.place) as db:
        kept = {m: db[m].count() for m in (m.name for m in VOCABULARY.datamodel.models) if m != "ApiKey"}
        hashes = [u.passwordHash for u in db.user.find_many(order_by={"id": "asc"})]
    run([sys.executable, "-W", "error", "-c", script], tmp_path, vault.variables)
    assert "ALL OPEN" in call(vault, "check", pepper=WRONG).out
    with client.connect(vault.kind, **vault.place) as db:
        assert {m: db[m].count() for m in kept} == kept
        assert db.api_key.count() == 0
        assert db.user.count(where={"totpEnabled": True}) == 0
        assert [u.passwordHash for u in db.user.find_many(order_by={"id": "asc"})] == hashes
