"""Keys, passwords and codes: encrypting and decrypting, checking, using up.

Where a secret's parts stand and whose key it takes, the schema says.  The pepper is
``ENCRYPTION_MASTER_PEPPER`` unless one is given.  What cannot be decrypted raises SecretError, which never
says with what.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from octavo import crypto
from octavo.crypto import PEPPER_VARIABLE, Sealed, SecretError, pepper_from_env
from octavo.errors import RecordNotFound, UsageError
from octavo.schema.texts import frozen_schema
from octavo.typed import Models

if TYPE_CHECKING:
    from octavo.typed import ApiKey, User

TOTP_STEP = 30
"""seconds for which a code of an authenticator lasts"""
_TOTP_DIGITS = 6


def encrypt_api_key(user_id: str, key: str, *, pepper: str | None = None) -> Sealed:
    """A provider's key as an ApiKey of this user holds it: ``keyEncrypted``, ``keyIv`` and ``keyAuthTag``."""
    return crypto.encrypt(key, user_id, _pepper(pepper))


def decrypt_api_key(api_key: ApiKey, *, pepper: str | None = None) -> str:
    """The provider's key.  Raises SecretError."""
    found = _open("ApiKey", "keyEncrypted", api_key, pepper)
    if found is None:
        raise SecretError("the API key is empty")
    return found


def encrypt_totp_secret(user_id: str, secret: str, *, pepper: str | None = None) -> Sealed:
    """An authenticator's secret as its User holds it.  Raises SecretError if it is not base32."""
    _base32(secret)
    return crypto.encrypt(secret, user_id, _pepper(pepper))


def encrypt_backup_codes(user_id: str, codes: Sequence[str], *, pepper: str | None = None) -> Sealed:
    """Backup codes as their User holds them."""
    return crypto.encrypt(json.dumps(list(codes)), user_id, _pepper(pepper))


def check_password(user: User | None, password: str) -> bool:
    """Whether this is the user's password.  Without a user, or a password of theirs, it is not; finding that
    out takes as long, so that it does not tell who has an account.  Raises SecretError for a damaged hash."""
    hashed = None if user is None else user.passwordHash
    if hashed is None:
        crypto.check_password(password, _unused_hash())
        return False
    return crypto.check_password(password, hashed)


@cache
def _unused_hash() -> str:
    return crypto.hash_password("")


def check_totp(user: User, code: str, *, at: datetime | None = None, pepper: str | None = None) -> bool:
    """Whether a code is the one that the user's authenticator shows (RFC 6238), now or ``at`` a moment.

    The code before and the one after pass as well, for clocks that differ.  A user without a secret has no
    code; whether the second factor is switched on (``totpEnabled``) is for the caller to ask.
    """
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    secret = _open("User", "totpSecret", user, pepper)
    if secret is None:
        return False
    # Secrets of 80 bits are in use, though new ones should have more.
    totp = TOTP(_base32(secret), _TOTP_DIGITS, SHA1(), TOTP_STEP, enforce_key_length=False)
    moment = int((at or datetime.now(UTC)).timestamp())
    given = crypto.as_given(code.replace(" ", ""))
    steps = [max(0, moment + TOTP_STEP * step) for step in (-1, 0, 1)]
    same = [hmac.compare_digest(totp.generate(step), given) for step in steps]
    return any(same)


def use_backup_code(db: Models, user_id: str, code: str, *, pepper: str | None = None) -> bool:
    """Whether a code is one of the user's backup codes; if so it is used up.

    Of two that use the same code at once, one succeeds.  Raises RecordNotFound if there is no such user.
    """
    given = crypto.as_given(code.strip())
    while True:
        user = db.user.find_unique(where={"id": user_id})
        if user is None:
            raise RecordNotFound("User", "a backup code")
        text = _open("User", "backupCodes", user, pepper)
        codes = _codes(text)
        left = [c for c in codes if not hmac.compare_digest(crypto.as_given(c), given)]
        if len(left) == len(codes):
            return False
        # Only what was read is replaced: if another code was used meanwhile, it is read again.
        fewer = encrypt_backup_codes(user_id, left, pepper=pepper)
        changed = db.user.update_many(
            where={"id": user_id, "backupCodes": user.backupCodes},
            data={
                "backupCodes": fewer.ciphertext,
                "backupCodesIv": fewer.iv,
                "backupCodesAuthTag": fewer.tag,
            },
        )
        if changed:
            return True


def _codes(text: str | None) -> list[str]:
    try:
        codes = [] if text is None else json.loads(text)
    except ValueError:
        codes = None
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise SecretError("the backup codes are not a list of strings")
    return codes


def _base32(secret: str) -> bytes:
    bare = "".join(secret.split()).rstrip("=").upper()
    try:
        return base64.b32decode(bare + "=" * (-len(bare) % 8))
    except binascii.Error:
        raise SecretError("the TOTP secret is not base32") from None


def _open(model: str, field: str, record: Any, pepper: str | None) -> str | None:
    """The plaintext of an encrypted field; None where it is NULL."""
    secret = frozen_schema().model(model).scalar(field).secret
    assert secret is not None
    value, iv, tag, owner = (getattr(record, n) for n in (field, secret.iv, secret.tag, secret.owner))
    if value is None:
        return None
    if iv is None or tag is None:
        raise SecretError(f"{model}.{field} lacks its IV or its tag")
    return crypto.decrypt(Sealed(value, iv, tag), owner, _pepper(pepper))


def _pepper(given: str | None) -> str:
    pepper = given or pepper_from_env()
    if not pepper:
        raise UsageError(f"{PEPPER_VARIABLE} is not set")
    return pepper
