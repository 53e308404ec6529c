"""Connections print one and the same whatever the server's settings, share snapshots, and fail in
sentences.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

from octavo.errors import DatabaseError, UsageError
from octavo.postgres.connection import (
    Connection,
    Queued,
    Rewritten,
    connect,
    join_snapshot,
    read_snapshot,
    tls_identity,
    transaction,
)
from octavo.postgres.embedded import EmbeddedServer, embedded_server
from octavo.postgres.failures import database_errors
from octavo.url import DatabaseUrl

AWKWARD_SETTINGS = {
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmloption": "document",
    "statement_timeout": "500",
    "search_path": "pg_catalog",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "lc_monetary": "C.UTF-8",
}
SHOWN = (
    "SELECT '2020-01-02 03:04:05+00'::timestamptz::text, '1 day 2 hours'::interval::text, "
    "(0.1::float8 + 0.2)::text, '\\x00ff'::bytea::text, pg_sleep(0.6)::text, current_setting('search_path')"
)
EXPECTED = (
    *("2020-01-02 03:04:05+00", "1 day 02:00:00", "0.30000000000000004", "\\x00ff", ""),
    '"pu""b", pg_temp',
)


@pytest.fixture
def awkward(database: str) -> str:
    """A database whose settings change how everything is printed, with a schema named pu"b."""
    url = DatabaseUrl.parse(database)
    with connect(database) as connection:
        for name, value in AWKWARD_SETTINGS.items():
            connection.execute(f"ALTER DATABASE {url.database} SET {name} = '{value}'".encode())
        connection.execute("SET default_transaction_read_only = off")
        connection.execute('CREATE SCHEMA "pu""b"')
    return database.replace("schema=public", "schema=pu%22b")


@pytest.mark.parametrize("pooler", ["", "&pgbouncer=true"])
def test_every_transaction_pins_what_decides_how_values_are_printed(awkward: str, pooler: str) -> None:
    url = DatabaseUrl.parse(awkward + pooler)
    with connect(url) as connection, transaction(connection, url.schema):
        assert connection.execute(SHOWN).fetchone() == EXPECTED
        connection.execute("CREATE TABLE here (n int)")
        place = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'here'"
        assert connection.execute(place).fetchone() == ('"pu""b"',)
        isolation = connection.execute("SHOW transaction_isolation").fetchone()
        assert isolation == ("read committed",)


def test_a_session_of_our_own_is_pinned_and_a_poolers_is_left_alone(awkward: str) -> None:
    with connect(awkward) as connection:
        assert connection.execute(SHOWN).fetchone() == EXPECTED
    with connect(awkward + "&pgbouncer=true") as connection:
        assert connection.execute("SHOW TimeZone").fetchone() == ("Asia/Kolkata",)
        with transaction(connection, "public"):
            assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)
        assert connection.execute("SHOW TimeZone").fetchone() == ("Asia/Kolkata",)


def test_a_transaction_is_kept_whole_or_not_at_all(database: str) -> None:
    with connect(database) as connection:
        with transaction(connection):
            connection.execute("CREATE TABLE t (n int)")
        for failing in ("INSERT INTO t VALUES (1/0)", "SELECT * FROM nowhere", "nonsense"):
            with pytest.raises(DatabaseError):
                _insert_and(connection, failing)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_transaction_in_which_an_error_was_swallowed_does_not_pass_for_committed(database: str) -> None:
    with connect(database) as connection:
        connection.execute("CREATE TABLE t (n int)")
        with pytest.raises(DatabaseError, match="nothing was committed"), transaction(connection):
            _swallow(connection)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def _swallow(connection: Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1)")
    with suppress(psycopg.Error):
        connection.execute("SELECT 1/0")


def _insert_and(connection: Connection, failing: str) -> None:
    with transaction(connection):
        connection.execute("INSERT INTO t VALUES (2)")
        connection.execute(failing.encode())


def test_a_snapshot_is_one_state_for_all_who_join(database: str) -> None:
    with connect(database) as writer:
        writer.execute("CREATE TABLE t (n int)")
        writer.execute("INSERT INTO t VALUES (1)")
        with read_snapshot(database) as snapshot:
            writer.execute("INSERT INTO t VALUES (2)")
            count = "SELECT count(*) FROM t"
            assert snapshot.connection.execute(count).fetchone() == (1,)
            with closing(snapshot.join()) as other:
                assert other.execute(count).fetchone() == (1,)
            assert snapshot.id is not None
            with closing(join_snapshot(database, snapshot.id)) as third:
                assert third.execute(count).fetchone() == (1,)
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    third.execute("INSERT INTO t VALUES (3)")
        with pytest.raises(DatabaseError, match="snapshot"):
            join_snapshot(database, snapshot.id)


def test_a_table_under_a_snapshot_cannot_be_emptied_behind_its_back(database: str) -> None:
    with connect(database) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS n")
        with read_snapshot(database) as snapshot:
            writer.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                writer.execute("TRUNCATE t")
            assert snapshot.connection.execute("SELECT n FROM t").fetchone() == (1,)


def test_nobody_joins_behind_who_waits_for_the_table(database: str) -> None:
    """He would wait for us, and we for him."""
    with connect(database) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS n")
        with ThreadPoolExecutor(1) as pool:
            with read_snapshot(database) as snapshot, connect(database) as looking:
                emptied = pool.submit(writer.execute, "TRUNCATE t")
                waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"
                while looking.execute(waiting).fetchone() != (1,):
                    assert not emptied.done()
                with pytest.raises(Queued):
                    snapshot.join()
                assert snapshot.connection.execute("SELECT n FROM t").fetchone() == (1,)
            emptied.result()


def test_a_table_that_was_emptied_since_a_snapshot_is_not_taken_for_an_empty_one(database: str) -> None:
    with connect(database) as writer, connect(database) as holder:
        writer.execute("CREATE TABLE t AS SELECT 1 AS n")
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        [taken] = holder.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        with read_snapshot(database, snapshot=taken) as snapshot:
            assert snapshot.connection.execute("SELECT n FROM t").fetchone() == (1,)
        writer.execute("INSERT INTO t VALUES (2)")
        with read_snapshot(database, snapshot=taken) as snapshot:
            assert snapshot.connection.execute("SELECT n FROM t").fetchall() == [(1,)]
        writer.execute("TRUNCATE t")
        with pytest.raises(Rewritten), read_snapshot(database, snapshot=taken):
            pass
        holder.execute("ROLLBACK")


def test_where_no_snapshot_can_be_exported_one_connection_still_reads(database: str) -> None:
    with connect(database) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        connection.execute("GRANT SELECT ON t TO PUBLIC")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_export_snapshot() FROM PUBLIC")
        connection.execute("CREATE ROLE no_export LOGIN")
    try:
        with read_snapshot(database.replace("postgres@", "no_export@")) as snapshot:
            assert not snapshot.shareable
            assert snapshot.connection.execute("SELECT n FROM t").fetchone() == (1,)
            with pytest.raises(DatabaseError) as caught:
                snapshot.join()
            assert "--jobs 1" in caught.value.hint
    finally:
        with connect(database) as connection:
            connection.execute("DROP OWNED BY no_export")
            connection.execute("DROP ROLE no_export")


def test_a_database_without_an_alphabet_is_refused(server: EmbeddedServer) -> None:
    server.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with pytest.raises(DatabaseError, match="SQL_ASCII"):
        connect(server.url("ascii"))


def test_a_database_in_another_alphabet_is_read_as_utf8(server: EmbeddedServer) -> None:
    server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with connect(server.url("latin")) as connection:
        assert connection.execute("SELECT chr(233)").fetchone() == ("é",)


def test_an_address_where_nothing_listens() -> None:
    port = _unused_port()
    with pytest.raises(DatabaseError, match=rf"127\.0\.0\.1:{port}/d cannot be reached") as caught:
        connect(f"postgresql://u:s3cr3t@127.0.0.1:{port}/d")
    assert caught.value.exit_code == 3
    assert "s3cr3t" not in f"{caught.value}{caught.value.hint}"


def test_a_socket_that_is_not_there_and_a_name_that_is_unknown() -> None:
    with pytest.raises(DatabaseError, match="no such socket"):
        connect("postgresql://u@localhost/d?host=/nowhere/at/all")
    with pytest.raises(DatabaseError, match="name is unknown"):
        connect("postgresql://u@no-such-host.invalid/d")


def test_missing_database_and_missing_user(server: EmbeddedServer) -> None:
    with pytest.raises(DatabaseError, match="no database named nowhere"):
        connect(server.url("nowhere"))
    with pytest.raises(DatabaseError, match="user nobody_here does not exist"):
        connect(server.url(user="nobody_here"))


def test_wrong_missing_and_right_password(guarded_server: EmbeddedServer) -> None:
    url = guarded_server.url(user="app")
    with pytest.raises(DatabaseError, match="refused the password of user app") as caught:
        connect(url.replace("app@", "app:wr0ng@"))
    assert "wr0ng" not in f"{caught.value}{caught.value.hint}"
    with pytest.raises(DatabaseError, match="asks for a password"):
        connect(url)
    with connect(url.replace("app@", "app:s3cr3t@")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("app",)


def _unused_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_tls_that_is_insisted_on_where_there_is_none() -> None:
    settings = [("listen_addresses", "127.0.0.1"), ("port", str(_unused_port()))]
    with embedded_server(throwaway=True, settings=settings) as tcp:
        plain = f"postgresql://postgres@127.0.0.1:{tcp.port}/postgres"
        with pytest.raises(DatabaseError, match="does not speak TLS"):
            connect(f"{plain}?sslmode=require")
        with pytest.raises(DatabaseError, match="does not speak TLS"):
            connect(f"{plain}?sslmode=require&sslaccept=strict")
        with connect(f"{plain}?sslmode=prefer&sslaccept=strict") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def reader(server: EmbeddedServer, database: str) -> Iterator[Callable[[], str]]:
    """The URL of a role without rights, in a database with a guarded and a forbidden table."""
    with connect(database) as connection:
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("CREATE TABLE forbidden (n int)")
        connection.execute("CREATE TABLE guarded (n int)")
        connection.execute("INSERT INTO guarded VALUES (1), (2)")
        connection.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY the_first ON guarded USING (n = 1)")
        connection.execute("GRANT SELECT ON guarded TO reader")
    yield lambda: database.replace("postgres@", "reader@")
    with connect(database) as connection:
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")


def test_hidden_rows_and_forbidden_tables_are_errors(reader: Callable[[], str]) -> None:
    with connect(reader()) as connection:
        with pytest.raises(DatabaseError, match="row-level security on table guarded hides rows") as caught:
            _read(connection, "guarded")
        assert caught.value.sqlstate == "42501"
        with pytest.raises(DatabaseError, match="permission denied for table forbidden"):
            _read(connection, "forbidden")


def _read(connection: Connection, table: str) -> None:
    with transaction(connection, read_only=True):
        connection.execute(f"SELECT * FROM {table}".encode())


def test_a_refused_value_is_placed_but_not_shown(database: str) -> None:
    with connect(database) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('happy')")
        connection.execute('CREATE TABLE "T" (n int UNIQUE, m mood)')
        connection.execute("INSERT INTO \"T\" VALUES (1, 'happy')")
        statements = {
            "INSERT INTO \"T\" VALUES ('s3cr3t')": "22P02",
            "INSERT INTO \"T\" (m) VALUES ('s3cr3t')": "22P02",
            "INSERT INTO \"T\" VALUES ('99999999998888888888')": "22003",
            'INSERT INTO "T" VALUES (1)': "23505",
        }
        for statement, state in statements.items():
            with pytest.raises(DatabaseError) as caught, database_errors():
                connection.execute(statement.encode())
            assert caught.value.sqlstate == state
            assert "s3cr3t" not in str(caught.value)
            assert "9999" not in str(caught.value)
        with pytest.raises(DatabaseError, match=r"T\.n, line 2 of the copy") as caught:
            _copy(connection, "2\ns3cr3t\n")
        assert "s3cr3t" not in str(caught.value)


def _copy(connection: Connection, rows: str) -> None:
    with database_errors(), connection.cursor() as cursor, cursor.copy('COPY "T" (n) FROM STDIN') as copy:
        copy.write(rows)


def test_a_server_that_goes_away() -> None:
    with embedded_server(throwaway=True) as server, closing(connect(server.url())) as connection:
        server.stop()
        with (
            pytest.raises(DatabaseError, match=r"shut down|was lost"),
            database_errors(doing="reading users"),
        ):
            connection.execute("SELECT 1")
        with pytest.raises(DatabaseError, match=r"no such socket|nothing listens"):
            connect(server.url())


def test_a_client_certificate_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UsageError, match="sslidentity"):
        connect("postgresql://u@127.0.0.1:1/d?sslmode=require&sslidentity=/nowhere.p12")


@pytest.mark.parametrize("password", [None, "opens it"])
def test_prismas_pkcs12_identity_is_given_to_libpq_as_pem_for_the_moment(
    tmp_path: Path, password: str | None
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, SHA256())
    )
    guard = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    file = tmp_path / "client.p12"
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"client", key, certificate, None, guard))
    secret = f"&sslpassword={quote(password)}" if password else ""
    url = DatabaseUrl.parse(f"postgresql://u@h/d?sslmode=require&sslidentity={quote(str(file))}{secret}")
    with tls_identity(url) as parameters:
        assert x509.load_pem_x509_certificate(Path(parameters["sslcert"]).read_bytes()) == certificate
        assert Path(parameters["sslkey"]).stat().st_mode & 0o777 == 0o600
    assert not Path(parameters["sslkey"]).exists()
    wrong = DatabaseUrl.parse(f"postgresql://u@h/d?sslidentity={quote(str(file))}&sslpassword=wr0ng")
    with pytest.raises(UsageError, match="does not open it") as caught, tls_identity(wrong):
        pass
    assert "wr0ng" not in str(caught.value)
