"""The application's secrets open with the application's own algorithms, and nothing else opens them."""

from __future__ import annotations

import contextlib
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.crypto import (
    PEPPER_VARIABLE,
    Sealed,
    SecretError,
    check_password,
    check_record,
    decrypt,
    derive_key,
    encrypt,
    hash_password,
    is_bcrypt,
    pepper_from_env,
)
from octavo.errors import UsageError
from octavo.schema.datamodel import Arity, Model, ScalarField, Secret

PEPPER = "sel de mer — 海塩 🧂"
USER = "9b2f6c1e-0d5a-4a6b-8f39-2f1c5d7e9a01"

# Made by Node's crypto module: pbkdf2Sync, createCipheriv("aes-256-gcm"), getAuthTag.
VECTORS = [
    (
        USER,
        "JBSWY3DPEHPK3PXP",
        "52c744162f5fbfa20c943772f4c82bcc0e46a0c248de8e8092f8ce6f0a57e2d4",
        Sealed(
            "0f1436e1e86a42f9267b324223dcddf4",
            "000102030405060708090a0b0c0d0e0f",
            "6377379e36182cb2a288dd6bde589a3c",
        ),
    ),
    (
        USER,
        '["A1B2-C3D4","é\\"\\\\\\n😀"]',
        "52c744162f5fbfa20c943772f4c82bcc0e46a0c248de8e8092f8ce6f0a57e2d4",
        Sealed(
            "91658ef845d757e27fb1f12566f14a6f17cc77bf1d343157ccd64301",
            "ffeeddccbbaa99887766554433221100",
            "0645ed2788c926a69e944c5f856ba4a0",
        ),
    ),
    (
        "Ünï/..\n😀",
        "",
        "fbc0b48caa73475104afa1567e3fa157744b75d15817a8c730ceecd7b2cc4997",
        Sealed("", "11111111111111111111111111111111", "23b0794f370b637dfc642242eb00aa21"),
    ),
    (
        "u",
        "sk-proj-\x00\u2028 Grüße 你好",
        "503fe0f9ac7ba830f917e2d6e9cc8e91f09ccf0271f3f6c47a54e4872e92d865",
        Sealed(
            "1e87ba7bdcc887a81003064fed8e378e59573ec04c5cc53aac4028",
            "0f0e0d0c0b0a09080706050403020100",
            "d3a848b25cae0636973387fc7c52ebcb",
        ),
    ),
]


@pytest.mark.parametrize(("user", "plaintext", "key", "sealed"), VECTORS)
def test_the_algorithms_are_the_applications(user: str, plaintext: str, key: str, sealed: Sealed) -> None:
    assert derive_key(user, PEPPER).hex() == key
    assert decrypt(sealed, user, PEPPER) == plaintext
    assert encrypt(plaintext, user, PEPPER, iv=bytes.fromhex(sealed.iv)) == sealed


@given(st.text())
@settings(deadline=None)
def test_what_is_encrypted_decrypts(text: str) -> None:
    sealed = encrypt(text, USER, PEPPER)
    assert decrypt(sealed, USER, PEPPER) == text
    assert len(sealed.iv) == len(sealed.tag) == 32
    assert sealed.ciphertext == sealed.ciphertext.lower()
    assert len(sealed.ciphertext) == 2 * len(text.encode())


def test_an_iv_is_never_used_twice() -> None:
    assert encrypt("x", USER, PEPPER).iv != encrypt("x", USER, PEPPER).iv
    with pytest.raises(UsageError):
        encrypt("x", USER, PEPPER, iv=bytes(12))


@given(st.data())
@settings(deadline=None)
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    sealed = encrypt("a plain text", USER, PEPPER)
    part = data.draw(st.sampled_from(["ciphertext", "iv", "tag"]))
    raw = bytearray.fromhex(getattr(sealed, part))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecretError):
        decrypt(replace(sealed, **{part: raw.hex()}), USER, PEPPER)


@pytest.mark.parametrize("part", ["ciphertext", "iv", "tag"])
@pytest.mark.parametrize("wrong", ["abc", "zz", "0x00", " 00", "00 ", "é0", "0" * 30, "0" * 34])
def test_a_part_that_is_not_hex_or_has_another_length_is_refused(part: str, wrong: str) -> None:
    with pytest.raises(SecretError):
        decrypt(replace(encrypt("text", USER, PEPPER), **{part: wrong}), USER, PEPPER)


def test_another_user_or_pepper_opens_nothing() -> None:
    sealed = encrypt("text", USER, PEPPER)
    for user, pepper in (
        (USER.upper(), PEPPER),
        (USER, PEPPER + " "),
        (USER + PEPPER, ""),
        ("", USER + PEPPER),
    ):
        with pytest.raises(SecretError):
            decrypt(sealed, user, pepper)


def test_no_secret_is_shown() -> None:
    sealed = encrypt("the plain text", USER, PEPPER)
    with pytest.raises(SecretError) as caught:
        decrypt(replace(sealed, tag="0" * 32), USER, "wrong " + PEPPER)
    shown = repr(sealed) + str(caught.value) + repr(caught.value)
    for secret in (sealed.ciphertext, sealed.iv, sealed.tag, PEPPER, USER, "plain text"):
        assert secret not in shown
    assert caught.value.__cause__ is None
    assert caught.value.exit_code == 1


def test_the_pepper_comes_from_the_environment() -> None:
    assert pepper_from_env({}) is None
    assert pepper_from_env({PEPPER_VARIABLE: ""}) is None
    assert pepper_from_env({PEPPER_VARIABLE: PEPPER}) == PEPPER
    with pytest.raises(UsageError, match=PEPPER_VARIABLE):
        pepper_from_env({PEPPER_VARIABLE: "caf\udce9"})


# From the test vectors that came with bcrypt's first public implementations.
KNOWN = ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i")


def test_a_hash_made_elsewhere_is_known() -> None:
    password, hashed = KNOWN
    assert is_bcrypt(hashed)
    assert check_password(password, hashed)
    assert not check_password(password + "d", hashed)


@pytest.mark.parametrize("password", ["", "a", "päßwörd 🔑", "a\x00b", "x" * 72])
def test_a_password_is_checked_against_its_hash(password: str) -> None:
    hashed = hash_password(password, rounds=4)
    assert is_bcrypt(hashed)
    assert check_password(password, hashed)
    assert not check_password("other", hashed)
    assert hash_password(password, rounds=4) != hashed


def test_a_hash_can_be_made_the_same_twice() -> None:
    once, twice = (hash_password("pw", rounds=4, salt=bytes(range(16))) for _ in range(2))
    assert once == twice
    assert check_password("pw", once)


def test_of_a_long_password_72_bytes_count() -> None:
    hashed = hash_password("ä" * 36, rounds=4)
    assert check_password("ä" * 36 + "and more", hashed)
    assert not check_password("ä" * 35 + "b" * 10, hashed)
    with pytest.raises(UsageError, match="72"):
        hash_password("ä" * 36 + "x", rounds=4)


@pytest.mark.parametrize(("rounds", "salt"), [(3, None), (32, None), (4, b"short")])
def test_a_cost_or_salt_that_cannot_be_is_refused(rounds: int, salt: bytes | None) -> None:
    with pytest.raises(UsageError):
        hash_password("pw", rounds=rounds, salt=salt)


GOOD = "$2b$10$" + "abcdefghijklmnopqrstu." + "./ABCDEFGHIJKLMNOPQRSTUVWXYZ012"


@pytest.mark.parametrize("version", ["2a", "2b", "2x", "2y"])
def test_every_version_of_bcrypt_is_well_formed(version: str) -> None:
    assert is_bcrypt(GOOD.replace("2b", version))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password",
        GOOD[:-1],
        GOOD + "a",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("2b", "2c"),
        GOOD.replace("$10$", "$03$"),
        GOOD.replace("$10$", "$32$"),
        GOOD.replace("$10$", "$4$"),
        GOOD.replace("$10$", "$١٠$"),
        GOOD[:-1] + "=",
        GOOD[:-1] + "é",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g",
    ],
)
def test_what_is_no_bcrypt_hash(text: str) -> None:
    assert not is_bcrypt(text)
    with pytest.raises(SecretError) as caught:
        check_password("pw", text)
    assert not text or text not in str(caught.value)


@given(st.text(alphabet=string.ascii_letters + string.digits + "./", min_size=53, max_size=53))
@settings(deadline=None)
def test_any_53_digits_are_well_formed_and_a_hash_never_fails_in_another_way(digits: str) -> None:
    text = "$2b$04$" + digits
    assert is_bcrypt(text)
    with contextlib.suppress(SecretError):  # a salt with bits that no encoder writes
        assert check_password("pw", text) is False


def column(name: str, secret: Secret | None = None, arity: Arity = Arity.OPTIONAL) -> ScalarField:
    return ScalarField(name=name, column=name, type="String", arity=arity, secret=secret)


SAFE = Model(
    name="Safe",
    table="safes",
    fields=(
        column("owner", arity=Arity.REQUIRED),
        column("sealed", Secret("aes-256-gcm", iv="nonce", tag="mark", owner="owner")),
        column("nonce", Secret("aes-256-gcm", part=True)),
        column("mark", Secret("aes-256-gcm", part=True)),
        column("hash", Secret("bcrypt")),
        column("session", Secret("token")),
        column("note"),
    ),
)


def whole() -> dict[str, object]:
    sealed = encrypt("text", USER, PEPPER)
    return {
        "owner": USER,
        "sealed": sealed.ciphertext,
        "nonce": sealed.iv,
        "mark": sealed.tag,
        "hash": GOOD,
        "session": "anything",
        "note": "not a hash",
    }


def test_a_record_with_whole_secrets_has_no_finding() -> None:
    assert check_record(SAFE, whole(), PEPPER) == []


def test_a_secret_that_is_null_is_whole() -> None:
    assert check_record(SAFE, {"owner": USER}, PEPPER) == []
    assert check_record(SAFE, dict.fromkeys(whole()), PEPPER) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"sealed": "00"}, ["sealed"]),
        ({"sealed": None}, ["sealed"]),
        ({"nonce": None}, ["sealed"]),
        ({"mark": None}, ["sealed"]),
        ({"owner": None}, ["sealed"]),
        ({"owner": "another"}, ["sealed"]),
        ({"sealed": 5}, ["sealed"]),
        ({"hash": "plain"}, ["hash"]),
        ({"hash": ""}, ["hash"]),
        ({"hash": 5, "mark": "0" * 32}, ["sealed", "hash"]),
        ({"session": None}, []),
    ],
)
def test_each_broken_secret_is_named(change: dict[str, object], found: list[str]) -> None:
    assert check_record(SAFE, whole() | change, PEPPER) == found


def test_with_another_pepper_nothing_opens() -> None:
    assert check_record(SAFE, whole(), "another") == ["sealed"]


def test_a_scheme_without_a_check_is_not_passed_over() -> None:
    model = Model(name="New", table="new", fields=(column("field", Secret("rot13")),))
    with pytest.raises(UsageError, match=r"New\.field.*rot13"):
        check_record(model, {"field": "x"}, PEPPER)
