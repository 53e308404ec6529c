"""What became of a transaction in PostgreSQL whose commit was not answered.

``pg_xact_status`` knows it by the transaction's number.  A number may be given twice, though: what a server
had not yet written to disk when it crashed, it has never done, and it counts on from what it had written.
So a note also names a *witness*, a record that the transaction has written: PostgreSQL keeps with each row
the number of the transaction that wrote it.  Where that is an earlier one, the transaction that has committed
is another with the same number.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import NamedTuple

import msgspec
import psycopg

from octavo.backends.prisma import Row, Schema, execute
from octavo.backends.sql.columns import ROW
from octavo.backends.sql.statements import Ready
from octavo.errors import DatabaseError
from octavo.postgres.failures import database_error
from octavo.postgres.session import Session, is_since
from octavo.query.protocols import Key
from octavo.url import DatabaseUrl

PATIENCE = 30.0
"""seconds to wait for a database that cannot be reached, or a transaction that is still under way"""
_PAUSE = 0.1
BEGINNING = (
    "SELECT pg_current_xact_id()::text, set_config('synchronous_commit',"
    " replace(current_setting('synchronous_commit'), 'off', 'on'), true)"
)
"""What a transaction asks at its beginning: its number.  And it is made durable when it commits, since the
files must not follow what a crash of the server could take back."""


class Witness(NamedTuple):
    """A record that a transaction has changed: whether it is there afterwards."""

    model: str
    key: Key
    is_there: bool


class Outcomes:
    """Asks one database."""

    def __init__(self, schema: Schema, url: DatabaseUrl, patience: float = PATIENCE) -> None:
        self._schema, self._url, self._patience = schema, url, patience

    def note(self, xid: str, place: tuple[str, str], witness: Witness) -> dict[str, str]:
        """What to ask about a transaction that is about to commit."""
        table = self._schema.tables[witness.model]
        key = [table.columns[f].operand(v) for f, v in zip(table.terms.key, witness.key, strict=True)]
        return {
            "xid": xid,
            "system": place[0],
            "database": place[1],
            "model": witness.model,
            "key": msgspec.json.encode(key).decode(),
            "is": "there" if witness.is_there else "gone",
        }

    def _written(self, model: str) -> str:
        """The expression of the number of the transaction that wrote a record, by its key."""
        table = self._schema.tables[model]
        columns = [table.columns[f] for f in table.terms.key]
        equal = [f"{c.compared(ROW)} = ${n}::{c.operand_type}" for n, c in enumerate(columns, 1)]
        return f"(SELECT {ROW}.xmin::text FROM {table.name} AS {ROW} WHERE {' AND '.join(equal)})"

    def committed(self, note: dict[str, str]) -> bool:
        """Whether the transaction has happened.

        Waits for a while if the database cannot be reached, or has not decided it yet.  Raises DatabaseError
        if it cannot be told: no server answers, or it was too long ago, or in another database.
        """
        end = time.monotonic() + self._patience
        while True:
            try:
                with closing(Session(self._url)) as session:
                    session.begin("ISOLATION LEVEL READ COMMITTED READ ONLY")
                    self._same_database(session, note)
                    found = self._status(session, note)
                if found is not None:
                    return found
                error = _unknown("it is still under way")
            except psycopg.Error as failed:
                error = _unknown(str(database_error(failed, self._url)))
            except DatabaseError as failed:
                if isinstance(failed, _NeverKnown):
                    raise
                error = _unknown(str(failed))
            if time.monotonic() > end:
                raise error
            time.sleep(_PAUSE)

    def _same_database(self, session: Session, note: dict[str, str]) -> None:
        if session.place != (note["system"], note["database"]):
            raise _NeverKnown(
                f"a change of the files is in doubt, and was made in another database: {note['database']} of"
                f" the cluster {note['system']}",
                hint="name that one in DATABASE_URL, or make the files anew: octavo export --replace",
            )

    def _status(self, session: Session, note: dict[str, str]) -> bool | None:
        """Whether the transaction has happened; None: it is still under way."""
        try:
            [status] = _row(session, "SELECT pg_xact_status($1::xid8)", [note["xid"]])
        except psycopg.errors.InvalidParameterValue:
            # The server crashed before anything of it was on disk, or is an earlier state of itself.
            return False
        match status:
            case b"in progress":
                return None
            case b"aborted":
                return False
            case b"committed":
                return self._is_witnessed(session, note)
        raise _NeverKnown(
            f"a change of the files is in doubt, and PostgreSQL has forgotten its transaction {note['xid']}",
            hint="make the files anew: octavo export --replace",
        )

    def _is_witnessed(self, session: Session, note: dict[str, str]) -> bool:
        key = msgspec.json.decode(note["key"], type=list[str])
        [found] = _row(session, f"SELECT {self._written(note['model'])}", key)
        if not found:
            return note["is"] == "gone"
        # By a part of that transaction, or by another one since.
        return is_since(int(found), int(note["xid"]))


class _NeverKnown(DatabaseError):
    """Asking again would not help."""


def _unknown(why: str) -> DatabaseError:
    return DatabaseError(
        f"it is not known whether a transaction was committed: {why}",
        hint="the files follow as soon as PostgreSQL answers; octavo status --heal asks it",
    )


def _row(session: Session, query: str, parameters: list[str]) -> Row:
    return execute(session, Ready(query, parameters))[0][0]
