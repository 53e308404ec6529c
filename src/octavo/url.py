"""A Prisma application's ``DATABASE_URL``, as it stands, and what of it means something to libpq.

The format is that of Prisma's PostgreSQL connector: a URL whose parts are percent-encoded, and parameters of
which some are Prisma's own (``schema``, ``connection_limit``, ``sslaccept`` …).  Parameters that libpq knows
are handed on; what concerns only Prisma's connection pool is ignored; a name that neither knows is ignored
too, as Prisma does, and listed in :attr:`DatabaseUrl.ignored`.

A password is in no message, no ``str()`` and no ``repr()`` of anything here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote, unquote_to_bytes

from octavo.errors import UsageError

DEFAULT_PORT = 5432
DEFAULT_CONNECT_TIMEOUT = 10
"""Seconds; an address that swallows packets must end in an error, not in waiting."""

EXPECTED = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=public"

_LIBPQ = """
    application_name channel_binding fallback_application_name gssdelegation gssencmode gsslib hostaddr
    keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname load_balance_hosts options
    passfile require_auth requirepeer service ssl_max_protocol_version ssl_min_protocol_version sslcertmode
    sslcompression sslcrl sslcrldir sslkey sslnegotiation sslsni target_session_attrs tcp_user_timeout
"""
_PASSED_ON = frozenset(_LIBPQ.split())
"""the parameters that libpq is given as they are"""
_SSL_MODES = frozenset(("disable", "allow", "prefer", "require", "verify-ca", "verify-full"))
_OTHER_SCHEMES = {
    "prisma": "the address of Prisma Accelerate",
    "prisma+postgres": "the address of Prisma Accelerate or of a local Prisma Postgres",
    "mysql": "a MySQL address",
    "mariadb": "a MariaDB address",
    "file": "a SQLite file",
    "sqlite": "a SQLite file",
    "sqlserver": "a SQL Server address",
    "mongodb": "a MongoDB address",
    "mongodb+srv": "a MongoDB address",
    "cockroachdb": "a CockroachDB address",
    "http": "a web address",
    "https": "a web address",
    "jdbc": "a Java address",
}
_TRUE = frozenset(("true", "1", "yes", "on"))


@dataclass(frozen=True, repr=False, kw_only=True)
class DatabaseUrl:
    """Where a database is and how to speak to it.

    ``hosts`` holds (name, port) pairs, tried in order; a name that starts with ``/`` or ``@`` is the folder
    of a Unix socket.  ``user`` empty: libpq's default, the system's user.
    """

    hosts: tuple[tuple[str, int], ...]
    database: str
    user: str = ""
    password: str | None = None
    schema: str = "public"
    """the PostgreSQL schema that holds the application's tables"""
    pgbouncer: bool = False
    """a pooler hands each transaction to another server connection"""
    connection_limit: int | None = None
    """how many connections the application allows itself"""
    connect_timeout: int = DEFAULT_CONNECT_TIMEOUT
    """seconds; 0: wait as long as it takes"""
    ssl_mode: str = "prefer"
    ssl_strict: bool = False
    """``sslaccept=strict``: the server's certificate must be valid for its name"""
    ssl_root: str = ""
    """file of the authorities trusted, PEM"""
    ssl_certificate: str = ""
    """file of the client's certificate, PEM (libpq's way)"""
    ssl_identity: str = ""
    """file of the client's certificate and key, PKCS #12 (Prisma's way)"""
    ssl_password: str | None = None
    """opens the client's key"""
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """further parameters, by libpq's names"""
    ignored: tuple[str, ...] = ()
    """names of parameters without a meaning here"""

    @classmethod
    def parse(cls, text: str) -> DatabaseUrl:
        """Read a ``DATABASE_URL``; white space and quotes around it, as in ``.env`` files, are taken off.

        Raises UsageError, which never repeats a part that might be secret.
        """
        return _parse(_unquoted(text))

    @property
    def display(self) -> str:
        """The address for messages: everything that says where, nothing that lets in."""
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        name = quote(self.database, safe="")
        if self.socket:
            return (
                f"postgresql://{user}localhost:{self.hosts[0][1]}/{name}?host={quote(self.socket, safe='/@')}"
            )
        return f"postgresql://{user}{','.join(_authority(*host) for host in self.hosts)}/{name}"

    @property
    def socket(self) -> str:
        """The folder of the Unix socket; empty if the first host is reached over the network."""
        return self.hosts[0][0] if self.hosts[0][0].startswith(("/", "@")) else ""

    def __str__(self) -> str:
        return self.display

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.display!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """Worker processes get a URL by pickle, which knows no read-only mappings."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuilt, (state | {"parameters": dict(self.parameters)},)

    def __hash__(self) -> int:
        return hash((self.hosts, self.database, self.user, self.schema))

    def conninfo(self) -> dict[str, str]:
        """libpq's connection parameters, the password among them.

        A PKCS #12 identity is not among them: :mod:`octavo.postgres.connection` unpacks it.
        """
        info = {
            "host": ",".join(host for host, _ in self.hosts),
            "port": ",".join(str(port) for _, port in self.hosts),
            "dbname": self.database,
            "connect_timeout": str(self.connect_timeout),
            "application_name": "octavo",
            **self.parameters,
            **self._tls(),
        }
        optional = {"user": self.user, "password": self.password, "sslpassword": self.ssl_password}
        return info | {name: value for name, value in optional.items() if value}

    def environment(self) -> dict[str, str]:
        """The same for PostgreSQL's own programs (``pg_dump``, ``psql``), as environment variables.

        Unlike arguments they are not shown to other users of the machine.
        """
        variables = {
            "host": "PGHOST",
            "port": "PGPORT",
            "dbname": "PGDATABASE",
            "user": "PGUSER",
            "password": "PGPASSWORD",
            "connect_timeout": "PGCONNECT_TIMEOUT",
            "application_name": "PGAPPNAME",
            "options": "PGOPTIONS",
            "sslmode": "PGSSLMODE",
            "sslrootcert": "PGSSLROOTCERT",
            "sslcert": "PGSSLCERT",
            "sslkey": "PGSSLKEY",
            "channel_binding": "PGCHANNELBINDING",
            "target_session_attrs": "PGTARGETSESSIONATTRS",
            "gssencmode": "PGGSSENCMODE",
        }
        info = self.conninfo()
        return {variable: info[name] for name, variable in variables.items() if name in info}

    def _tls(self) -> dict[str, str]:
        """Prisma's sslmode, sslaccept and sslcert in libpq's words.

        Without ``sslaccept=strict`` Prisma checks no certificate, whatever ``sslcert`` says; with it, it
        checks authority and host name, against the system's authorities unless ``sslcert`` names others.
        """
        client = {"sslcert": self.ssl_certificate} if self.ssl_certificate else {}
        if self.socket or self.ssl_mode == "disable":
            return {"sslmode": "disable"} if self.ssl_mode == "disable" else {}
        if self.ssl_strict:
            return {"sslmode": "verify-full", "sslrootcert": self.ssl_root or "system", **client}
        checked = self.ssl_mode.startswith("verify")
        root = {"sslrootcert": self.ssl_root} if self.ssl_root and checked else {}
        return {"sslmode": self.ssl_mode, **root, **client}


def _rebuilt(state: dict[str, object]) -> DatabaseUrl:
    return DatabaseUrl(**state)  # type: ignore[arg-type]


def _unquoted(text: str) -> str:
    text = text.strip()
    while len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`":
        text = text[1:-1].strip()
    return text


def _parse(text: str) -> DatabaseUrl:
    if not text:
        raise UsageError("DATABASE_URL is empty", hint=f"expected {EXPECTED}")
    scheme, separator, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme not in ("postgresql", "postgres"):
        what = f"{scheme}: is {_OTHER_SCHEMES[scheme]}" if separator and scheme in _OTHER_SCHEMES else ""
        raise UsageError(
            f"DATABASE_URL is not the address of a PostgreSQL database{f': {what}' if what else ''}",
            hint=f"expected {EXPECTED}",
        )
    if not rest.startswith("//"):
        raise UsageError(f"DATABASE_URL lacks the // after {scheme}:", hint=f"expected {EXPECTED}")
    body, _, fragment = rest[2:].partition("#")
    if "@" in fragment:
        raise UsageError("DATABASE_URL: a # in the user name or password must be written as %23")
    address, _, query = body.partition("?")
    if "@" in query.partition("&")[0].partition("=")[0]:
        raise UsageError("DATABASE_URL: a ? in the user name or password must be written as %3F")
    parameters = _query(query)
    authority, _, path = address.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if "@" in path:
        raise UsageError(
            "DATABASE_URL: a / or @ in the user name, password or database must be percent-encoded"
        )
    user, colon, password = credentials.partition(":")
    return _assemble(
        hosts=_hosts(parameters.pop("host", ""), parameters.pop("port", ""), hosts),
        user=_decoded(user, "user name") or parameters.pop("user", ""),
        password=_decoded(password, "password") if colon and password else parameters.pop("password", None),
        database=_decoded(path.rstrip("/"), "database") or parameters.pop("dbname", "") or "postgres",
        parameters=parameters,
    )


def _assemble(
    *,
    hosts: tuple[tuple[str, int], ...],
    user: str,
    password: str | None,
    database: str,
    parameters: dict[str, str],
) -> DatabaseUrl:
    take = parameters.pop
    mode = take("sslmode", "prefer")
    accept = take("sslaccept", "accept_invalid_certs")
    root, certificate = take("sslrootcert", ""), take("sslcert", "")
    if not root and "sslkey" not in parameters:
        # Prisma's sslcert is the authority's certificate; libpq's, which comes with an sslkey, the client's
        # own.
        root, certificate = certificate, ""
    schema = take("schema", "") or "public"
    bouncer = take("pgbouncer", "").lower() in _TRUE
    limit = _count("connection_limit", take("connection_limit", ""))
    timeout = _count("connect_timeout", take("connect_timeout", ""))
    identity, key_password = take("sslidentity", ""), take("sslpassword", None)
    known = {name: value for name, value in parameters.items() if name in _PASSED_ON and value}
    return DatabaseUrl(
        hosts=hosts,
        user=user,
        password=password,
        database=database,
        schema=schema,
        pgbouncer=bouncer,
        connection_limit=limit or None,
        connect_timeout=DEFAULT_CONNECT_TIMEOUT if timeout is None else timeout,
        # Prisma takes a mode that it does not know for its default, and any sslaccept but this one as strict.
        ssl_mode=mode if mode in _SSL_MODES else "prefer",
        ssl_strict=accept != "accept_invalid_certs",
        ssl_root=root,
        ssl_certificate=certificate,
        ssl_identity=identity,
        ssl_password=key_password,
        parameters=MappingProxyType(known),
        ignored=tuple(name for name in parameters if name not in known),
    )


def _query(text: str) -> dict[str, str]:
    """The parameters; of one given twice, the last, as Prisma takes it."""
    found: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.replace("+", " ").partition("=")
        if name:
            name = _decoded(name, "parameters")
            found[name] = _decoded(value, "password" if "password" in name else f"parameter {name}")
    return found


def _hosts(parameter: str, ports: str, authority: str) -> tuple[tuple[str, int], ...]:
    """Where to connect: ``?host=`` before the address's own; several are separated by commas."""
    own = [_host(part) for part in authority.split(",")]
    names = parameter.split(",") if parameter else [name for name, _ in own]
    numbers = ports.split(",") if ports else []
    if len(numbers) > 1 and len(numbers) != len(names):
        raise UsageError("DATABASE_URL names more or fewer ports than hosts")
    found = []
    for position, name in enumerate(names):
        given = numbers[position if len(numbers) > 1 else 0] if numbers else ""
        fallback = own[position if position < len(own) else -1][1]
        found.append((name or "localhost", _port(given) if given else fallback))
    return tuple(found)


_HOST = re.compile(r"(?P<name>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)


def _host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise UsageError(
            "DATABASE_URL: the host is not readable (an IPv6 address stands in brackets, and special "
            "characters of the user name and password are percent-encoded)"
        )
    name = match["name"]
    name = name[1:-1].replace("%25", "%") if name.startswith("[") else _decoded(name, "host")
    if re.search(r"[\s\x00-\x1f]", name):
        raise UsageError("DATABASE_URL: the host holds white space or a control character")
    return name, _port(match["port"]) if match["port"] else DEFAULT_PORT


def _port(text: str) -> int:
    # The text may be a piece of a password that was not percent-encoded: it is not repeated.
    if not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise UsageError(
            "DATABASE_URL: the port is no number from 1 to 65535 (special characters in the user name or "
            "password must be percent-encoded)"
        )
    return int(text)


def _count(name: str, text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"DATABASE_URL: {name} must be a whole number")
    return int(text)


def _decoded(text: str, what: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:
        raise UsageError(f"DATABASE_URL: the {what} is not UTF-8 when percent-decoded") from None
    if "\0" in decoded:
        raise UsageError(f"DATABASE_URL: the {what} holds a NUL character")
    return decoded


def _authority(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"
