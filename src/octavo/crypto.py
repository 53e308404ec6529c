"""The application's secrets: what is encrypted, how it opens, and whether a record's secrets are whole.

Two schemes are in use.  Encrypted values are AES-256-GCM under a key derived from the user's id and the
application's pepper, with ciphertext, IV and tag as three lower-case hex texts; passwords are bcrypt hashes.
Neither keys, peppers, ids nor plaintexts appear in an error's message or in a ``repr``.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from octavo.errors import DifferenceError, UsageError
from octavo.schema.datamodel import Model, Secret

PEPPER_VARIABLE: Final = "ENCRYPTION_MASTER_PEPPER"
"""The environment variable in which the application keeps its pepper."""

_ITERATIONS: Final = 100_000
_KEY_BYTES: Final = 32
_IV_BYTES: Final = 16
_TAG_BYTES: Final = 16
_KEPT_KEYS: Final = 16_384

BCRYPT_LIMIT: Final = 72
"""How many bytes of a password bcrypt looks at."""

_BCRYPT = re.compile(r"\$2[abxy]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{22}[./A-Za-z0-9]{31}")
_BCRYPT_DIGITS: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


class SecretError(DifferenceError):
    """A secret does not open or is not well-formed.  Says why, never with what."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value as the database holds it: three hex texts."""

    ciphertext: str = field(repr=False)
    iv: str = field(repr=False)
    tag: str = field(repr=False)


def pepper_from_env(environ: Mapping[str, str] | None = None, variable: str = PEPPER_VARIABLE) -> str | None:
    """The application's pepper from ``ENCRYPTION_MASTER_PEPPER``; None where it is unset or empty.

    Raises UsageError if it is not UTF-8: the key would differ from the application's without a word.
    """
    pepper = (os.environ if environ is None else environ).get(variable, "")
    try:
        pepper.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{variable} is not valid UTF-8") from None
    return pepper or None


class _Keys:
    """The last derived keys, found by a digest of what they were derived from.

    Deriving one takes tens of milliseconds by design, and a user has many secrets.  The digest keeps ids and
    peppers out of the cache.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, user_id: str, pepper: str) -> bytes:
        user, salt = user_id.encode(), pepper.encode()
        origin = hashlib.sha256(len(user).to_bytes(8) + user + salt).digest()
        with self._lock:
            known = self._keys.get(origin)
            if known is not None:
                self._keys.move_to_end(origin)
                return known
        key = hashlib.pbkdf2_hmac("sha256", user, salt, _ITERATIONS, _KEY_BYTES)
        with self._lock:
            self._keys[origin] = key
            if len(self._keys) > _KEPT_KEYS:
                self._keys.popitem(last=False)
        return key


_keys = _Keys()


def derive_key(user_id: str, pepper: str) -> bytes:
    """The 32-byte key of a user's secrets: PBKDF2-HMAC-SHA256 of the id, salted with the pepper."""
    return _keys.get(user_id, pepper)


def encrypt(plaintext: str, user_id: str, pepper: str, *, iv: bytes | None = None) -> Sealed:
    """Encrypt a text for a user as the application does.

    ``iv`` is for data that has to come out the same every time; left out, it is 16 random bytes.  Using one
    twice under one key breaks the encryption.  Raises UsageError if it does not have 16 bytes.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if iv is None:
        iv = os.urandom(_IV_BYTES)
    if len(iv) != _IV_BYTES:
        raise UsageError(f"an IV has {_IV_BYTES} bytes, not {len(iv)}")
    whole = AESGCM(derive_key(user_id, pepper)).encrypt(iv, plaintext.encode(), None)
    return Sealed(whole[:-_TAG_BYTES].hex(), iv.hex(), whole[-_TAG_BYTES:].hex())


def decrypt(sealed: Sealed, user_id: str, pepper: str) -> str:
    """The text that was encrypted.

    Raises SecretError if a part is not hex or has the wrong length, if the value was made for another user or
    with another pepper, or if any bit of it changed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ciphertext = _unhex(sealed.ciphertext, "ciphertext")
    iv = _unhex(sealed.iv, "IV", _IV_BYTES)
    tag = _unhex(sealed.tag, "tag", _TAG_BYTES)
    try:
        return AESGCM(derive_key(user_id, pepper)).decrypt(iv, ciphertext + tag, None).decode()
    except InvalidTag:
        raise SecretError("does not decrypt: another pepper, another user, or a changed value") from None
    except UnicodeDecodeError:
        raise SecretError("decrypts to something that is not UTF-8") from None


def _unhex(text: str, part: str, size: int | None = None) -> bytes:
    if not _HEX.fullmatch(text):
        raise SecretError(f"the {part} is not hexadecimal")
    found = bytes.fromhex(text)
    if size is not None and len(found) != size:
        raise SecretError(f"the {part} has {len(found)} bytes, not {size}")
    return found


def is_bcrypt(text: str) -> bool:
    """Whether a text is a well-formed bcrypt hash: prefix, cost 4 to 31, 22 digits of salt, 31 of hash."""
    return _BCRYPT.fullmatch(text) is not None


def hash_password(password: str, *, rounds: int = 10, salt: bytes | None = None) -> str:
    """The bcrypt hash of a password, with cost ``rounds`` (4 to 31).

    ``salt`` (16 bytes) is for data that has to come out the same every time.  Raises UsageError for a
    password longer than 72 bytes in UTF-8, whose end bcrypt would ignore, and for an impossible cost or salt.
    """
    import bcrypt

    raw = password.encode()
    if len(raw) > BCRYPT_LIMIT:
        raise UsageError(f"a password has at most {BCRYPT_LIMIT} bytes, this one has {len(raw)}")
    if not 4 <= rounds <= 31:
        raise UsageError(f"a bcrypt cost lies between 4 and 31, not at {rounds}")
    if salt is None:
        salt = os.urandom(16)
    if len(salt) != 16:
        raise UsageError(f"a bcrypt salt has 16 bytes, not {len(salt)}")
    return bcrypt.hashpw(raw, f"$2b${rounds:02}${_bcrypt_base64(salt)}".encode()).decode()


def check_password(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed.

    Of a longer password the first 72 bytes are compared, as the library that made the application's hashes
    does.  Raises SecretError if ``hashed`` is not a well-formed hash: that is damage, not a wrong password.
    """
    import bcrypt

    if not is_bcrypt(hashed):
        raise SecretError("not a well-formed bcrypt hash")
    try:
        return bcrypt.checkpw(as_given(password)[:BCRYPT_LIMIT], hashed.encode())
    except ValueError:  # well-formed, but its salt has bits that no encoder writes
        raise SecretError("a bcrypt hash whose salt cannot be") from None


def as_given(text: str) -> bytes:
    """The bytes of what a user has typed; half a surrogate pair, which no form sends, is no password
    and no error."""
    return text.encode("utf-8", "surrogatepass")


def _bcrypt_base64(raw: bytes) -> str:
    """bcrypt's own base64: another alphabet, no padding, the last digit filled up with zero bits."""
    digits = -(-len(raw) * 8 // 6)
    number = int.from_bytes(raw) << (digits * 6 - len(raw) * 8)
    return "".join(_BCRYPT_DIGITS[number >> shift & 63] for shift in range(digits * 6 - 6, -1, -6))


def check_record(model: Model, record: Mapping[str, object], pepper: str) -> list[str]:
    """The secret fields of a record that do not decrypt or are not well-formed, in the schema's order.

    Raises as :func:`troubles`.
    """
    return list(troubles(model, record, pepper))


def troubles(model: Model, record: Mapping[str, object], pepper: str) -> dict[str, str]:
    """Why secret fields of a record do not decrypt or are not well-formed, by field, in the schema's order.

    ``record`` maps field names to values; a field that is absent counts as NULL.  A secret that is NULL with
    its IV and tag is whole.  Raises UsageError for a scheme that has no check.
    """
    found = {}
    for f in model.scalars:
        if f.secret is not None and f.secret.is_checkable:
            try:
                _check(f"{model.name}.{f.name}", f.secret, record.get(f.name), record, pepper)
            except SecretError as error:
                found[f.name] = str(error)
    return found


def _check(name: str, secret: Secret, value: object, record: Mapping[str, object], pepper: str) -> None:
    if secret.scheme == "bcrypt":
        if value is not None and not (isinstance(value, str) and is_bcrypt(value)):
            raise SecretError("not a well-formed bcrypt hash")
    elif secret.scheme == "aes-256-gcm":
        if found := sealed_in(secret, value, record):
            decrypt(*found, pepper)
    else:
        raise UsageError(f"{name}: no check for the scheme {secret.scheme!r}")


def sealed_in(secret: Secret, value: object, record: Mapping[str, object]) -> tuple[Sealed, str] | None:
    """A record's encrypted value, and the id of the user whose key it takes; None if it is NULL with its IV
    and tag.  ``value`` is that of the field itself.  Raises SecretError if only some of it is there."""
    parts = [value, record.get(secret.iv), record.get(secret.tag)]
    if all(part is None for part in parts):
        return None
    texts = [part for part in (*parts, record.get(secret.owner)) if isinstance(part, str)]
    if len(texts) < 4:
        raise SecretError("its ciphertext, IV, tag or owner is missing")
    ciphertext, iv, tag, owner = texts
    return Sealed(ciphertext, iv, tag), owner
