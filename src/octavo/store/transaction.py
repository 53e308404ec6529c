"""A transaction on a store, as its ``with`` block has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from octavo.errors import UsageError
from octavo.layout.stored import Key
from octavo.store.commit import Committer, Lost
from octavo.store.engine import unlocked
from octavo.store.freshness import Behind
from octavo.store.integrity import Writable
from octavo.store.overlay import Overlay
from octavo.store.writer import Decision

if TYPE_CHECKING:
    from octavo.store.store import Store

Prepare: TypeAlias = "Callable[[], Decision | None]"
"""Tells, when a transaction's block has ended, who decides whether it happens; None: nobody else does."""


class Transaction(Writable):
    """Rows that can be read and changed; see :meth:`Store.transaction`."""

    def __init__(self, store: Store, committer: Committer, layer: Overlay) -> None:
        super().__init__(store.rules, layer)
        self._store, self._committer = store, committer

    def set_payload(self, model: str, key: Key, sha256: str | None) -> None:
        """Note the payload that a record has, by the digest that :meth:`Store.put_payload` gave; None: it
        has none.  Raises UsageError if there is no such payload, which somebody may have removed again."""
        if sha256 is not None and not self._store.payloads.has(sha256):
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


class Begun:
    """A transaction's ``with`` block."""

    __slots__ = ("_block", "_engine", "_prepare", "_store", "_timeout", "_transaction")

    def __init__(self, store: Store, timeout: float | None, prepare: Prepare | None) -> None:
        self._store, self._timeout, self._prepare = store, timeout, prepare

    def __enter__(self) -> Transaction:
        while True:
            self._engine = self._store.engine
            committer = self._engine.committer
            self._block = committer.turn(self._timeout)
            try:
                self._transaction = Transaction(self._store, committer, self._block.__enter__())
                return self._transaction
            except Lost:
                continue
            except BaseException as error:
                self._block.__exit__(type(error), error, None)
                raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._engine.is_inherited:
                if error is None:
                    raise UsageError("the transaction is that of another process")
            elif error is None:
                decision = None if self._prepare is None else self._prepare()
                self._transaction.end()
                self._engine.committer.commit(self._block.turn, decision)
                self._store.committed(self._engine)
                return
        except BaseException as failed:
            self._leave(failed)
            raise
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        self._transaction.end()
        if self._engine.is_inherited:
            # A child of fork has come out of its parent's block.
            return
        self._block.__exit__(type(error), error, None)
        if isinstance(error, Behind):
            raise unlocked() from None
