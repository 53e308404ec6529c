"""A transaction on a store, as its ``with`` block has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from octavo.errors import ConflictError, UsageError
from octavo.layout.stored import Key
from octavo.store.integrity import Writable
from octavo.store.layers import Overlay
from octavo.store.world import Behind
from octavo.store.writer import Decision

if TYPE_CHECKING:
    from octavo.store.store import Store

Prepare: TypeAlias = "Callable[[], Decision | None]"
"""Tells, when a transaction's block has ended, who decides whether it happens; None: nobody else does."""


class Transaction(Writable):
    """Rows that can be read and changed; see :meth:`Store.transaction`."""

    def __init__(self, store: Store, layer: Overlay) -> None:
        super().__init__(store.rules, layer)
        self._store = store

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by the digest that :meth:`Store.put_payload` gave; None: it
        has none.  Raises UsageError if there is no such payload, which somebody may have removed again."""
        if sha256 is not None and not self._store.payloads.has(sha256):
            raise UsageError("the payload is not in the store: put it there first")
        super().set_payload(model, key, sha256)

    def wait_for_earlier(self) -> None:
        """Wait until all that this transaction was built on is stored.  Raises ConflictError if it could not
        be: then this one cannot be kept either."""
        self._store._committer.settle()
        self.layer.check()

    def set_position(self, text: str) -> None:
        """Let the position's file hold this text if the transaction happens, and as it was if it does not.

        That is for whoever brings changes from elsewhere, and has to know which of them are here.
        """
        self.layer.position = text

    def __getattr__(self, name: str) -> Any:
        if name == "layer":
            raise UsageError("the transaction has ended")
        raise AttributeError(name)


class Begun:
    """A transaction's ``with`` block."""

    __slots__ = ("_committer", "_overlay", "_prepare", "_store", "_timeout", "_transaction")

    def __init__(self, store: Store, timeout: float | None, prepare: Prepare | None) -> None:
        self._store, self._timeout, self._prepare = store, timeout, prepare

    def __enter__(self) -> Transaction:
        self._committer = self._store._committer
        self._overlay = self._committer.begin(self._timeout)
        self._transaction = Transaction(self._store, self._overlay)
        return self._transaction

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        store = self._store
        if store._committer is not self._committer:
            # A child of fork has come out of its parent's block.
            del self._transaction.layer
            if error is None:
                raise UsageError("the transaction is that of another process")
            return
        if error is None:
            try:
                decision = None if self._prepare is None else self._prepare()
            except Behind:
                store._committer.abandon()
                raise unlocked() from None
            except BaseException:
                store._committer.abandon()
                raise
            finally:
                del self._transaction.layer
            store._committer.commit(self._overlay, decision)
            store._committed()
            return
        del self._transaction.layer
        store._committer.abandon()
        if isinstance(error, Behind):
            raise unlocked() from None


def unlocked() -> ConflictError:
    """The error of whoever holds the write lock and finds that somebody else has committed."""
    return ConflictError("the store was changed by somebody who does not hold its lock")
