"""Keys, passwords and codes."""

from __future__ import annotations

from base64 import b32encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from octavo.app import (
    check_password,
    check_totp,
    decrypt_api_key,
    encrypt_api_key,
    encrypt_backup_codes,
    encrypt_totp_secret,
    use_backup_code,
)
from octavo.crypto import PEPPER_VARIABLE, SecretError, hash_password
from octavo.errors import RecordNotFound, UsageError
from octavo.typed import ApiKey, Client, User

RFC_SECRET = b32encode(b"12345678901234567890").decode()
RFC_CODES = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}
"""RFC 6238, appendix B, the last six digits"""


@pytest.fixture(autouse=True)
def _pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PEPPER_VARIABLE, "a pepper")


def new_key(db: Client, key: str) -> ApiKey:
    sealed = encrypt_api_key("ada", key)
    return db.api_key.create(
        data={
            "userId": "ada",
            "provider": "OPENAI",
            "label": "mine",
            "keyEncrypted": sealed.ciphertext,
            "keyIv": sealed.iv,
            "keyAuthTag": sealed.tag,
        }
    )


def with_totp(db: Client, secret: str = RFC_SECRET) -> User:
    sealed = encrypt_totp_secret("ada", secret)
    return db.user.update(
        where={"id": "ada"},
        data={
            "totpSecret": sealed.ciphertext,
            "totpSecretIv": sealed.iv,
            "totpSecretAuthTag": sealed.tag,
        },
    )


def with_codes(db: Client, *codes: str) -> User:
    sealed = encrypt_backup_codes("ada", codes)
    return db.user.update(
        where={"id": "ada"},
        data={
            "backupCodes": sealed.ciphertext,
            "backupCodesIv": sealed.iv,
            "backupCodesAuthTag": sealed.tag,
        },
    )


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_an_api_key_is_read_back_and_never_shown(db: Client) -> None:
    made = new_key(db, "sk-secret-ñ")
    assert decrypt_api_key(made) == "sk-secret-ñ"
    assert "sk-secret" not in repr(made)
    assert "sk-secret" not in repr(encrypt_api_key("ada", "sk-secret"))
    included = db.api_key.find_unique_or_raise(where={"id": made.id}, include={"user": True})
    assert decrypt_api_key(included) == "sk-secret-ñ"


def test_another_pepper_opens_nothing_and_says_no_secret(db: Client) -> None:
    made = new_key(db, "sk-secret")
    with pytest.raises(SecretError) as refused:
        decrypt_api_key(made, pepper="another pepper!")
    said = str(refused.value)
    assert not any(secret in said for secret in ("sk-secret", "another pepper!", "ada", made.keyEncrypted))


def test_without_a_pepper_the_variable_is_named(db: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_key(db, "x")
    monkeypatch.delenv(PEPPER_VARIABLE)
    with pytest.raises(UsageError, match="ENCRYPTION_MASTER_PEPPER is not set"):
        decrypt_api_key(made)
    assert decrypt_api_key(made, pepper="a pepper") == "x"


def test_a_password(db: Client) -> None:
    user = db.user.update(where={"id": "ada"}, data={"passwordHash": hash_password("right", rounds=4)})
    assert check_password(user, "right")
    assert not check_password(user, "wrong")
    assert not check_password(db.user.find_unique(where={"id": "bob"}), "")
    assert not check_password(None, "")


@pytest.mark.parametrize(("seconds", "code"), RFC_CODES.items())
def test_the_codes_of_rfc_6238(db: Client, seconds: int, code: str) -> None:
    assert check_totp(with_totp(db), code, at=at(seconds))


def test_a_code_holds_for_one_step_before_and_after(db: Client) -> None:
    user = with_totp(db)
    passes = [check_totp(user, "081804", at=at(1111111109 + 30 * step)) for step in (-2, -1, 0, 1, 2)]
    assert passes == [False, True, True, True, False]


def test_a_code_is_six_digits_and_may_have_blanks(db: Client) -> None:
    user = with_totp(db, " ".join(RFC_SECRET.lower()))
    assert check_totp(user, "081 804", at=at(1111111109))
    for wrong in ("", "81804", "0818040", "０８１８０４", "abcdef"):
        assert not check_totp(user, wrong, at=at(1111111109))


def test_half_a_character_is_wrong_and_no_error(db: Client) -> None:
    with_codes(db, "AAAA-1111")
    user = with_totp(db)
    db.user.update(where={"id": "ada"}, data={"passwordHash": hash_password("x", rounds=4)})
    assert not check_password(db.user.find_unique(where={"id": "ada"}), "\ud800")
    assert not check_totp(user, "\ud800")
    assert not use_backup_code(db, "ada", "\ud800")


def test_nobody_has_a_code_without_a_secret(db: Client) -> None:
    assert not check_totp(db.user.find_unique_or_raise(where={"id": "ada"}), "000000")
    with pytest.raises(SecretError, match="not base32"):
        encrypt_totp_secret("ada", "0189")


def test_a_backup_code_is_used_once(db: Client) -> None:
    with_codes(db, "AAAA-1111", "BBBB-2222")
    assert not use_backup_code(db, "ada", "CCCC-3333")
    assert use_backup_code(db, "ada", " AAAA-1111 ")
    assert not use_backup_code(db, "ada", "AAAA-1111")
    assert use_backup_code(db, "ada", "BBBB-2222")
    assert not use_backup_code(db, "ada", "BBBB-2222")


def test_nobody_has_backup_codes_without_any(db: Client) -> None:
    assert not use_backup_code(db, "ada", "AAAA-1111")
    with pytest.raises(RecordNotFound):
        use_backup_code(db, "nobody", "AAAA-1111")


def test_of_several_who_use_a_code_at_once_one_succeeds(db: Client) -> None:
    with_codes(db, *"abcd")
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda code: use_backup_code(db, "ada", code), "abcdabcd"))
    assert sum(used) == 4
    assert not any(use_backup_code(db, "ada", code) for code in "abcd")


def test_codes_that_are_no_list_are_damage(db: Client) -> None:
    sealed = encrypt_api_key("ada", '{"a": 1}')
    db.user.update(
        where={"id": "ada"},
        data={
            "backupCodes": sealed.ciphertext,
            "backupCodesIv": sealed.iv,
            "backupCodesAuthTag": sealed.tag,
        },
    )
    with pytest.raises(SecretError, match="not a list of strings"):
        use_backup_code(db, "ada", "a")
    db.user.update(where={"id": "ada"}, data={"backupCodesIv": None})
    with pytest.raises(SecretError, match="lacks its IV"):
        use_backup_code(db, "ada", "a")
