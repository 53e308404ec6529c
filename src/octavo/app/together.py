"""Being one transaction, whether the caller has one or not; and waiting in it for others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from octavo.typed import Client, Models


@contextmanager
def together(db: Models) -> Iterator[Models]:
    """The transaction that ``db`` is; of a client, a new one."""
    if isinstance(db, Client):
        with db.tx() as tx:
            yield tx
    else:
        yield db


def hold_user(tx: Models, user_id: str) -> None:
    """Wait until no other transaction holds this user, and hold it to the end of this one.

    PostgreSQL locks a row that is written, so the user is written as it is.  Raises RecordNotFound.
    """
    while True:
        user = tx.user.find_unique_or_raise(where={"id": user_id})
        if tx.user.update_many(
            where={"id": user_id, "updatedAt": user.updatedAt}, data={"updatedAt": user.updatedAt}
        ):
            return
