"""What PostgreSQL and libpq complain about, as one clear sentence each.

A server's error has a code (SQLSTATE, PostgreSQL's appendix A) and names of tables, columns and constraints;
libpq's own have only text.  The server's DETAIL and CONTEXT repeat values of rows, and so do some messages of
class 22 (``invalid input syntax … "value"``): neither is ever repeated here.

A server cannot tell what the extensions hold that it does not have: a type, an operator class, a function.
:func:`remedy` knows those that Prisma's schemas name, from PostgreSQL's own (its documentation, appendix F)
to the widespread ones of others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from octavo.errors import DatabaseError

if TYPE_CHECKING:
    import psycopg

    from octavo.url import DatabaseUrl

FENCED_STATE = "25006"
"""read_only_sql_transaction: the code that goes with it"""
FENCED = "the data of this database live in files now; it takes no more writes"
FENCED_HINT = "DATA_BACKEND=json has them; octavo rollback brings them back"
"""what a fence around the tables says once the files are of record (:mod:`octavo.postgres.fence`)"""
FENCE = "octavo_fence"
"""the fence's name, by which whatever it refuses with is known"""


@contextlib.contextmanager
def database_errors(url: DatabaseUrl | None = None, doing: str = "") -> Iterator[None]:
    """Let nothing but DatabaseError out of what speaks to PostgreSQL.

    ``url`` names the database in the sentence; ``doing`` says what was under way (``"reading users"``).
    """
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise database_error(error, url, doing) from error


def database_error(error: psycopg.Error, url: DatabaseUrl | None = None, doing: str = "") -> DatabaseError:
    """One sentence for what psycopg raised; the SQLSTATE is kept, secrets are not."""
    state = error.sqlstate or ""
    sentence, hint = _of_server(error, state) if state else _of_client(error, url)
    if not sentence:
        primary = error.diag.message_primary or _first_line(error)
        sentence, hint = f"PostgreSQL: {_without_values(primary)}", ""
    if url is not None:
        for secret in (url.password, url.ssl_password):
            sentence = sentence.replace(secret, "…") if secret else sentence
    return DatabaseError(f"{doing}: {sentence}" if doing else sentence, sqlstate=state, hint=hint)


_BY_STATE: dict[str, tuple[str, str]] = {
    "28P01": ("PostgreSQL refused the password of user {user}", "check DATABASE_URL"),
    "28000": ("PostgreSQL does not let user {user} in: {message}", "check DATABASE_URL and pg_hba.conf"),
    "3D000": ("there is no such database: {message}", "check the name in DATABASE_URL"),
    "53100": (
        "the disk of the database server is full",
        "free space there and run again; nothing was committed",
    ),
    "53200": ("the database server is out of memory", ""),
    "53300": ("the database server takes no more connections", "close some, or use fewer --jobs"),
    "57P01": ("the database server was shut down or ended the connection", "run again when it is back"),
    "57P02": ("the database server crashed or was stopped", "run again when it is back"),
    "57P03": ("the database server is starting up or shutting down", "run again in a moment"),
    "57014": ("the database server cancelled the statement: {message}", ""),
    "25006": (
        "the database takes no writes: it is read-only",
        "it is a standby, or closed by default_transaction_read_only",
    ),
    "40001": ("the data changed while they were being read or written: {message}", "run again"),
    "40P01": ("two transactions waited for each other and PostgreSQL ended this one", "run again"),
    "55P03": ("a table is locked by another session: {message}", "run again when that is done"),
    "42P01": ("a table is missing: {message}", "compare the database with the schema: octavo schema check"),
    "42703": ("a column is missing: {message}", "compare the database with the schema: octavo schema check"),
    "3F000": ("a schema is missing: {message}", "check ?schema= in DATABASE_URL"),
    "58030": ("the database server could not read or write its own files: {message}", ""),
    "XX001": ("the database server's own data are damaged: {message}", "restore it from a backup first"),
    "XX002": ("an index of the database server is damaged: {message}", "REINDEX it"),
}


def _of_server(error: psycopg.Error, state: str) -> tuple[str, str]:
    diagnosis = error.diag
    message = diagnosis.message_primary or _first_line(error)
    if hint := remedy(message):
        return f"PostgreSQL: {_without_values(message)}", hint
    if state == "42501":
        return _denied(message)
    if state == FENCED_STATE and (diagnosis.constraint_name == FENCE or message == FENCED):
        return message, diagnosis.message_hint or FENCED_HINT
    if state[:2] in ("22", "23"):
        return _refused_value(error, message), ""
    if state in _BY_STATE:
        sentence, hint = _BY_STATE[state]
        user = re.search(r'user "([^"]*)"', message)
        return sentence.format(message=_without_values(message), user=user[1] if user else "?"), hint
    if state[:2] == "08":
        return f"the connection to PostgreSQL was lost: {message}", "run again when it is back"
    return "", ""


def _denied(message: str) -> tuple[str, str]:
    hidden = re.search(r'row-level security policy for table "?([^"]*)"?', message)
    if hidden:
        return (
            f"row-level security on table {hidden[1]} hides rows from this user: nothing would show that "
            "they are missing",
            "use the table's owner or a role with BYPASSRLS",
        )
    return f"this user may not do that: {message}", "use the owner's role, or grant it the right"


def _refused_value(error: psycopg.Error, message: str) -> str:
    """For data exceptions and violated constraints: where, not what."""
    diagnosis = error.diag
    place = ".".join(part for part in (diagnosis.table_name, diagnosis.column_name) if part)
    copied = re.search(r"COPY (\S+), line (\d+)(?:, column ([^:\n]+))?", diagnosis.context or "")
    if copied and not place:
        place = f"{copied[1]}.{copied[3]}" if copied[3] else copied[1]
    line = f", line {copied[2]} of the copy" if copied else ""
    where = f" ({place}{line})" if place or line else ""
    return f"PostgreSQL refused a value: {_without_values(message)}{where}"


def _without_values(message: str) -> str:
    """A message without the values in it: what follows its colon in quotes, or ``value "…"`` within."""
    cut = re.sub(r":\s*[\"'«»„“].*", "", message, flags=re.DOTALL)
    return re.sub(r"\bvalue \"[^\"]*\"", "a value", cut)


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _of_client(error: psycopg.Error, url: DatabaseUrl | None) -> tuple[str, str]:
    """libpq gives no code for a connection that fails: what it wrote is all there is.

    The last line tells of the last host tried.
    """
    import psycopg

    text = str(error).strip()
    at = f" at {url.display}" if url is not None else ""
    if not isinstance(error, psycopg.OperationalError):
        return "", ""
    lines = text.splitlines() or [""]
    for pattern, sentence, hint in _CLIENT:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            return sentence.format(at=at, **found.groupdict(default="")), hint
    refused = re.sub(r"^.*?failed: ", "", lines[0])
    return f"PostgreSQL{at} cannot be reached: {refused}", "check DATABASE_URL and that the server runs"


_CHECK = "check DATABASE_URL and that the server runs"
_CLIENT: tuple[tuple[str, str, str], ...] = (
    (
        r'password authentication failed for user "(?P<user>[^"]*)"',
        "PostgreSQL{at} refused the password of user {user}",
        "check DATABASE_URL",
    ),
    (
        r"no password supplied|fe_sendauth",
        "PostgreSQL{at} asks for a password and DATABASE_URL has none",
        "add it: postgresql://USER:PASSWORD@…",
    ),
    (
        r'role "(?P<user>[^"]*)" (?P<why>does not exist|is not permitted to log in)',
        "PostgreSQL{at}: user {user} {why}",
        "check DATABASE_URL",
    ),
    (
        r'database "(?P<name>[^"]*)" does not exist',
        "PostgreSQL{at} has no database named {name}",
        "check DATABASE_URL, or create it",
    ),
    (
        r'permission denied for database "?(?P<name>[^"\n]*)"?',
        "PostgreSQL{at}: this user may not connect to database {name}",
        "grant it CONNECT",
    ),
    (
        r"no pg_hba\.conf entry (?P<what>[^\n]*)",
        "PostgreSQL{at} does not let this client in: no pg_hba.conf entry {what}",
        "check sslmode in DATABASE_URL and the server's pg_hba.conf",
    ),
    (
        r"server does not support SSL",
        "PostgreSQL{at} does not speak TLS, and DATABASE_URL insists on it",
        "with sslmode=prefer it is used only where it is offered",
    ),
    (
        r"(?P<why>certificate verify failed[^\n]*|[^\n:]*certificate[^\n]*|SSL error[^\n]*"
        r"|[^\n:]*root cert[^\n]*)",
        "no trusted TLS connection to PostgreSQL{at}: {why}",
        "check sslmode, sslaccept, sslcert and sslidentity in DATABASE_URL",
    ),
    (r"Connection refused", "PostgreSQL{at} cannot be reached: nothing listens there", _CHECK),
    (r"No such file or directory", "PostgreSQL{at} cannot be reached: there is no such socket", _CHECK),
    (r"timeout expired|timed out|connection timeout", "PostgreSQL{at} cannot be reached: no answer", _CHECK),
    (
        r"could not translate host name|failed to resolve|Name or service not known|No address associated",
        "PostgreSQL{at} cannot be reached: the host's name is unknown",
        _CHECK,
    ),
    (
        r"remaining connection slots|too many (?:clients|connections)",
        "PostgreSQL{at} takes no more connections",
        "close some, or use fewer --jobs",
    ),
    (
        r"the database system is (?P<what>[a-z ]+)",
        "PostgreSQL{at} is {what}",
        "run again in a moment",
    ),
    (
        r"server closed the connection unexpectedly|connection is lost|terminating connection|EOF detected"
        r"|could not receive data|the connection is closed|consuming input failed",
        "the connection to PostgreSQL{at} was lost",
        "run again when it is back",
    ),
)


_TYPES: Mapping[str, str] = {
    "citext": "citext|citexts",
    "cube": "cube",
    "hstore": "hstore",
    "intarray": "query_int",
    "isn": "ean13|isbn|isbn13|ismn|ismn13|issn|issn13|upc",
    "ltree": "ltree|lquery|ltxtquery",
    "postgis": "geometry|geography|box2d|box3d",
    "postgis_raster": "raster",
    "seg": "seg",
    "vector": "vector|halfvec|sparsevec",
}
_OPERATOR_CLASSES: Mapping[str, str] = {
    "citext": "citext_(pattern_)?ops",
    "cube": "(gist_)?cube_ops",
    "hstore": "(gin|gist|hash|btree)_hstore_ops",
    "intarray": "gi(n|st)__int(big)?_ops",
    "ltree": "(gist_|hash_)?_?ltree_ops",
    "pg_trgm": "gi(n|st)_trgm_ops",
    "postgis": "(gist|spgist|brin)_geo(metry|graphy)\\w*",
    "seg": "(gist_)?seg_ops",
    "vector": "(bit|vector|halfvec|sparsevec)_(l1|l2|ip|cosine|hamming|jaccard)_ops",
}
_FUNCTIONS: Mapping[str, str] = {
    "fuzzystrmatch": "soundex|levenshtein|metaphone|dmetaphone|daitch_mokotoff",
    "pg_trgm": "(word_|strict_word_)?similarity|show_trgm",
    "pgcrypto": "gen_random_uuid|gen_random_bytes|gen_salt|crypt|digest|hmac",
    "unaccent": "unaccent",
    "uuid-ossp": "uuid_(nil|ns_\\w+|generate_v\\w+)",
}
_DEFAULT_CLASSES: Mapping[str, str] = {"gin": "btree_gin", "gist": "btree_gist"}
"""by access method, the extension that has classes for PostgreSQL's plain types"""

_MISSING = (
    (_TYPES, re.compile(r'type "(?:[^"]*\.)?([^".]+)" does not exist')),
    (_OPERATOR_CLASSES, re.compile(r'operator class "(?:[^"]*\.)?([^".]+)" does not exist')),
    (_FUNCTIONS, re.compile(r'function (?:[^(]*\.)?"?([^(."]+)"?\(.*\) does not exist')),
    (
        {extension: method for method, extension in _DEFAULT_CLASSES.items()},
        re.compile(r'has no default operator class for access method "(\w+)"'),
    ),
)
_REFUSED = re.compile(
    r'extension "([^"]+)" is not available|permission denied to create extension "([^"]+)"'
    r'|could not open extension control file ".*/([^/"]+)\.control"'
)


def remedy(message: str) -> str:
    """What helps where a server's message says that something of an extension is missing; empty: it does not
    say so."""
    if refused := _REFUSED.search(message):
        name = next(filter(None, refused.groups()))
        needed = "a superuser has to run" if refused[2] else "install it on the server, then run"
        return f"{needed} {_create(name)} in this database"
    for names, said in _MISSING:
        if found := said.search(message):
            for extension, pattern in names.items():
                if re.fullmatch(pattern, found[1]):
                    return f"run {_create(extension)} in this database first"
            if names is not _FUNCTIONS:
                return (
                    f"{found[1]} may belong to an extension: run CREATE EXTENSION in this database first, of"
                    " those that \\dx of psql lists in a database that has it"
                )
    return ""


def _create(extension: str) -> str:
    name = extension if re.fullmatch(r"[a-z_][a-z0-9_]*", extension) else f'"{extension}"'
    return f"CREATE EXTENSION {name}"
