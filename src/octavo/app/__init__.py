"""What the application does often, by name: built on the client alone, so it is the same on every backend.

Each function takes a client of the frozen schema, or a transaction of one that it is to be a part of::

    from octavo import app

    reply = app.append_message(db, chat.id, {"role": "ASSISTANT", "content": "Hello"})
    app.append_swipe(db, reply.id, {"role": "ASSISTANT", "content": "Good evening"})
    app.tag(db, "Chat", chat.id, "Slow Burn")

:mod:`~octavo.app.chats` are conversations, :mod:`~octavo.app.labels` tags and defaults,
:mod:`~octavo.app.secrets` keys, passwords and codes, :mod:`~octavo.app.adapter` what Auth.js asks of a
database.
"""

from __future__ import annotations

from octavo.app.adapter import AuthAdapter
from octavo.app.chats import Turn, append_message, append_swipe, conversation
from octavo.app.labels import set_default, tag, tags_of, untag
from octavo.app.secrets import (
    check_password,
    check_totp,
    decrypt_api_key,
    encrypt_api_key,
    encrypt_backup_codes,
    encrypt_totp_secret,
    use_backup_code,
)

__all__ = [
    "AuthAdapter",
    "Turn",
    "append_message",
    "append_swipe",
    "check_password",
    "check_totp",
    "conversation",
    "decrypt_api_key",
    "encrypt_api_key",
    "encrypt_backup_codes",
    "encrypt_totp_secret",
    "set_default",
    "tag",
    "tags_of",
    "untag",
    "use_backup_code",
]
