"""Every secret is looked at, on each side; what does not open is named, and nothing of it shown."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import octavo
from backends import on_files
from octavo.backend import DataBackend, Settings
from octavo.crypto import encrypt
from octavo.query.paging import pages
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema
from octavo.secrets import check as secrets
from octavo.secrets.check import SecretsReport, check
from vaults import OLD, VOCABULARY, Vault, new_vault

SIDES = {
    DataBackend.PRISMA: ["database"],
    DataBackend.JSON: ["files"],
    DataBackend.DUAL: ["database", "files"],
}


@pytest.fixture(params=DataBackend, ids=str)
def vault(request: pytest.FixtureRequest, tmp_path: Path, exported: Path, sample: tuple[str, Path]) -> Vault:
    return new_vault(
        request.param, tmp_path, exported, lambda: request.getfixturevalue("new_database")(sample[0])
    )


def checked(vault: Vault, pepper: str = OLD) -> SecretsReport:
    return check(vault.kind, VOCABULARY, vault.settings, pepper)


def found(vault: Vault) -> list[tuple[Any, ...]]:
    """Side, model, key, field and reason of what does not open."""
    unopened = checked(vault).unopened
    return [(u.side, u.model, u.key["id"], u.field, u.reason) for u in unopened.first]


def test_everything_opens(vault: Vault) -> None:
    report = checked(vault)
    assert report.good
    assert list(report.sides) == SIDES[vault.kind]
    rows, plain = vault.rows(), vault.told(OLD)
    for side, counts in report.sides.items():
        hashes = [r for (s, _, _), r in rows.items() if s == side and r.get("passwordHash")]
        assert counts == {"aes-256-gcm": sum(s == side for s, *_ in plain), "bcrypt": len(hashes)}
        assert all(counts.values())


def test_another_pepper_opens_no_ciphertext_and_every_hash(vault: Vault) -> None:
    report = checked(vault, "another")
    assert not report.good
    wanted = {(side, model, key, field) for side, model, key, field in vault.told(OLD)}
    assert {(u.side, u.model, u.key["id"], u.field) for u in report.unopened.first} == wanted
    assert report.unopened.total == len(wanted)
    assert {u.reason for u in report.unopened.first} == {
        "does not decrypt: another pepper, another user, or a changed value"
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"totpSecretAuthTag": "00" * 16},
            "does not decrypt: another pepper, another user, or a changed value",
        ),
        ({"totpSecret": "no hex"}, "the ciphertext is not hexadecimal"),
        ({"totpSecretIv": "00"}, "the IV has 1 bytes, not 16"),
        ({"totpSecretIv": None}, "its ciphertext, IV, tag or owner is missing"),
        ({"totpSecret": None}, "its ciphertext, IV, tag or owner is missing"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_way_not_to_open(vault: Vault, change: dict[str, Any], reason: str) -> None:
    with octavo.connect(vault.kind, **vault.place) as db:
        user = db.user.find_first(where={"totpSecret": {"not": None}}, order_by={"id": "asc"})
        assert user is not None
        db["User"].update(where={"id": user.id}, data=change)
    assert found(vault) == [(side, "User", user.id, "totpSecret", reason) for side in SIDES[vault.kind]]


def test_a_hash_that_is_none(vault: Vault) -> None:
    with octavo.connect(vault.kind, **vault.place) as db:
        user = db.user.find_first(order_by={"id": "asc"})
        assert user is not None
        db.user.update(where={"id": user.id}, data={"passwordHash": "$2b$10$short"})
    reason = "not a well-formed bcrypt hash"
    assert found(vault) == [(side, "User", user.id, "passwordHash", reason) for side in SIDES[vault.kind]]


def test_a_key_that_was_made_for_another_user(vault: Vault) -> None:
    with octavo.connect(vault.kind, **vault.place) as db:
        key = db.api_key.find_first(order_by={"id": "asc"})
        assert key is not None
        other = db.user.find_first(where={"id": {"not": key.userId}})
        assert other is not None
        db.api_key.update(where={"id": key.id}, data={"userId": other.id})
    assert [f[:4] for f in found(vault)] == [
        (side, "ApiKey", key.id, "keyEncrypted") for side in SIDES[vault.kind]
    ]


def test_nothing_of_a_value_is_shown(vault: Vault) -> None:
    report = checked(vault, "pfeffer")
    shown = json.dumps(report.to_dict()) + repr(report) + "".join(map(str, report.unopened.first))
    assert [value for value in (*vault.values(), "pfeffer", OLD) if value in shown] == []


def test_many_pages_and_a_report_that_does_not_grow(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checked(vault)
    monkeypatch.setattr(secrets, "pages", partial(pages, size=2))
    monkeypatch.setattr(secrets, "KEPT", 3)
    assert checked(vault).sides == whole.sides
    report = checked(vault, "another")
    assert len(report.unopened.first) == 3
    assert report.unopened.total == len(vault.told(OLD))


def test_a_key_that_is_a_secret_itself_is_a_digest(tmp_path: Path) -> None:
    schema = tmp_path / "schema.prisma"
    schema.write_text("""
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Safe {
  /// @secret token
  token   String  @id
  number  Int
  /// @secret aes-256-gcm(owner: number, iv: iv, tag: tag)
  content String?
  iv      String?
  tag     String?
}
""")
    vocabulary = Vocabulary(parse_schema(schema.read_text()))
    sealed = encrypt("inside", "7", OLD)
    row = {"content": sealed.ciphertext, "iv": sealed.iv, "tag": sealed.tag}
    with on_files(vocabulary, tmp_path / "data") as db:
        db["Safe"].create(data={"token": "let me in", "number": 7, **row})
        db["Safe"].create(data={"token": "let me in too", "number": 8, **row})
    settings = Settings(database_url="", data_dir=tmp_path / "data", layout=None)
    report = check(DataBackend.JSON, vocabulary, settings, OLD)
    assert report.sides == {"files": {"aes-256-gcm": 2}}
    (unopened,) = report.unopened.first
    assert unopened.key["token"].startswith("sha256:")
    assert "let me in" not in str(unopened)


def test_a_schema_without_secrets(database: str) -> None:
    schema = 'datasource db {\nprovider = "postgresql"\nurl = "x"\n}\nmodel A {\nid Int @id\n}'
    vocabulary = Vocabulary(parse_schema(schema))
    settings = Settings(database_url=database, data_dir=Path("nowhere"), layout=None)
    report = check(DataBackend.PRISMA, vocabulary, settings, OLD)
    assert report.good
    assert report.values == 0
