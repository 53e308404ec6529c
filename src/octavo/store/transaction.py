"""A transaction on a store, as its ``with`` block has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from octavo.errors import UsageError
from octavo.layout.keys import Key
from octavo.store.commit import Committer
from octavo.store.integrity import Writable
from octavo.store.overlay import Overlay
from octavo.store.rules import Rules
from octavo.store.writer import Decision

Prepare: TypeAlias = "Callable[[], Decision | None]"
"""Tells, when a transaction's block has ended, who decides whether it happens; None: nobody else does."""


class Transaction(Writable):
    """Rows that can be read and changed; see :meth:`Store.transaction`."""

    def __init__(
        self, rules: Rules, layer: Overlay, committer: Committer, has_payload: Callable[[str], bool]
    ) -> None:
        super().__init__(rules, layer)
        self._committer, self._has_payload = committer, has_payload

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by the digest that :meth:`Store.put_payload` gave; None: it
        has none.  Raises UsageError if there is no such payload, which somebody may have removed again."""
        if sha256 is not None and not self._has_payload(sha256):
            raise UsageError("the payload is not in the store: put it there first")
        super().set_payload(model, key, sha256)

    def wait_for_earlier(self) -> None:
        """Wait until all that this transaction was built on is stored.  Raises ConflictError if it could not
        be: then this one cannot be kept either."""
        self._committer.settle()
        self.layer.check()

    def set_position(self, text: str) -> None:
        """Let the position's file hold this text if the transaction happens, and as it was if it does not.

        That is for whoever brings changes from elsewhere, and has to know which of them are here.
        """
        self.layer.position = text

    def end(self) -> None:
        """Nothing more is read or changed."""
        vars(self).pop("layer", None)

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise UsageError("the transaction has ended")
        raise AttributeError(name)
