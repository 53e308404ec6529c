"""Raw SQL on PostgreSQL: a statement run as it is, and the types of what it gives."""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg

from octavo.errors import ConflictError, OctavoError, RawQueryError, TransactionFailed, UsageError
from octavo.postgres.failures import database_error
from octavo.postgres.session import Session
from octavo.query.raw import RawResult, RawStatement
from octavo.url import DatabaseUrl

READ_ONLY = "25006"
"""read_only_sql_transaction"""
_PLAIN = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "EXPLAIN", "SHOW"}
"""the commands that leave nothing behind in the session"""
_ELSEWHERE = re.compile(r"08...|57P0.|53...|")
"""the codes of failures that are not the statement's: of the connection, of the server"""
_TYPES: Mapping[str, tuple[int, ...]] = {
    "int": (21, 23, 1005, 1007),
    "bigint": (20, 26, 1016, 1028),
    "float": (700, 1021),
    "double": (701, 1022),
    "decimal": (1700, 790, 1231, 791),
    "bool": (16, 1000),
    "char": (18, 1002),
    "bytes": (17, 1001),
    "datetime": (1114, 1184, 1115, 1185),
    "date": (1082, 1182),
    "time": (1083, 1266, 1183, 1270),
    "json": (114, 3802, 199, 3807),
    "uuid": (2950, 2951),
    "xml": (142, 143),
    "string": (
        *(19, 25, 1042, 1043, 1003, 1009, 1014, 1015),
        *(869, 650, 829, 1560, 1562, 1041, 651, 1040, 1561, 1563),
    ),
}
_ARRAYS = {
    *(199, 143, 791, 651, 1040, 1041, 1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021),
    *(1022, 1028, 1115, 1182, 1183, 1185, 1231, 1270, 1561, 1563, 2951, 3807),
}
_BY_OID = {oid: f"{name}-array" if oid in _ARRAYS else name for name, oids in _TYPES.items() for oid in oids}
_ASK = """
    SELECT t.typtype = 'e', t.typelem <> 0 AND t.typcategory = 'A', coalesce(e.typtype = 'e', false),
           CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE t.typbasetype END::text
    FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid = $1::oid"""


class RawTypes:
    """Prisma's names of a database's types.  Those that it has made are asked for once."""

    def __init__(self) -> None:
        self._known = dict(_BY_OID)

    def of(self, session: Session, oid: int) -> str:
        """Raises psycopg.Error."""
        found = self._known.get(oid)
        if found is None:
            found = self._known[oid] = self._asked(session, oid)
        return found

    def _asked(self, session: Session, oid: int) -> str:
        answer = session.execute(_ASK, [str(oid)])
        if not answer.ntuples:
            return "string"
        is_enum, is_array, of_enums, base = (answer.get_value(0, n) for n in range(4))
        if is_enum == b"t":
            return "enum"
        if is_array == b"t":
            inner = "enum" if of_enums == b"t" else _BY_OID.get(int(base or b"0"), "string")
            return f"{inner}-array"
        return _BY_OID.get(int(base or b"0"), "string")


def run_raw(session: Session, statement: RawStatement, types: RawTypes) -> RawResult:
    """Run a statement.  Raises psycopg.Error."""
    answer = session.execute(statement.text, statement.parameters)
    command = (answer.command_status or b"").partition(b" ")[0].decode()
    if command not in _PLAIN or "set_config" in statement.text.lower():
        session.is_tainted = True
    columns = range(answer.nfields)
    names = tuple((answer.fname(n) or b"").decode() for n in columns)
    value = answer.get_value
    rows = [
        tuple(None if (v := value(row, n)) is None else v.decode() for n in columns)
        for row in range(answer.ntuples)
    ]
    kinds = tuple(types.of(session, answer.ftype(n)) for n in columns)
    return RawResult(names, kinds, rows, answer.command_tuples or 0)


def raw_error(
    error: psycopg.Error, known: OctavoError, url: DatabaseUrl, *, read_only: bool = False
) -> OctavoError:
    """What to raise for an error of a raw statement; ``known`` is what it would be of one of ours."""
    state = error.sqlstate or ""
    if isinstance(known, ConflictError | TransactionFailed) or _ELSEWHERE.fullmatch(state):
        return known
    if read_only and state == READ_ONLY:
        return UsageError("raw SQL may only read here: what it writes, the files would not have")
    said = database_error(error, url)
    return RawQueryError(said.message.removeprefix("PostgreSQL: "), sqlstate=state, hint=said.hint)
