"""Schema 0.7 is frozen: its fingerprint is of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from octavo.schema import texts
from octavo.schema.texts import fingerprint


def test_fingerprint_is_that_of_the_shipped_file() -> None:
    shipped = Path(texts.__file__).with_name(f"octavo-{texts.VERSION}.prisma").read_bytes()
    assert f"sha256:{hashlib.sha256(shipped).hexdigest()}" == texts.FINGERPRINT
    assert fingerprint(texts.frozen_text()) == texts.FINGERPRINT


def test_a_changed_byte_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert texts.is_intact()
    (tmp_path / texts.FILE).write_text(texts.frozen_text() + "\n", "utf-8")
    monkeypatch.setattr(texts, "FOLDER", str(tmp_path))
    texts.frozen_text.cache_clear()
    try:
        assert not texts.is_intact()
    finally:
        texts.frozen_text.cache_clear()


def test_schema_0_7_has_its_models_and_enums() -> None:
    schema = texts.frozen_schema()
    assert len(schema.models) == 23
    assert len(schema.enums) == 5
    assert schema is texts.frozen_schema()


def test_every_model_of_schema_0_7_has_a_key() -> None:
    assert all(model.has_key for model in texts.frozen_schema().models)


def test_names_in_the_database_follow_prisma() -> None:
    chat = texts.frozen_schema().model("Chat")
    assert chat.primary_key is not None
    assert chat.primary_key.constraint == "chats_pkey"
    message = texts.frozen_schema().model("Message")
    assert [i.constraint for i in message.indexes] == [
        "messages_chatId_createdAt_idx",
        "messages_swipeGroupId_idx",
    ]
    keys = {fk.constraint: (fk.on_delete, fk.on_update) for fk in texts.frozen_schema().parents("Chat")}
    assert keys["chats_connectionProfileId_fkey"] == ("Restrict", "Cascade")
    assert keys["chats_personaId_fkey"] == ("SetNull", "Cascade")


def test_secrets_are_marked_with_their_parts() -> None:
    api_key = texts.frozen_schema().model("ApiKey")
    secret = api_key.scalar("keyEncrypted").secret
    assert secret is not None
    assert (secret.scheme, secret.owner, secret.iv, secret.tag) == (
        "aes-256-gcm",
        "userId",
        "keyIv",
        "keyAuthTag",
    )
    part = api_key.scalar("keyIv").secret
    assert part is not None
    assert part.part
    assert api_key.scalar("userId").secret is None
