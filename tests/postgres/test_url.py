"""A DATABASE_URL is read as Prisma reads it, and its password is shown to nobody."""

from __future__ import annotations

import contextlib
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.errors import UsageError
from octavo.url import DEFAULT_CONNECT_TIMEOUT, DatabaseUrl

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=texts, password=texts, database=texts, schema=texts)
def test_percent_encoded_parts_come_back_as_they_were(
    user: str, password: str, database: str, schema: str
) -> None:
    u, p, d, s = (quote(part, safe="") for part in (user, password, database, schema))
    url = DatabaseUrl.parse(f"postgresql://{u}:{p}@db.example:6543/{d}?schema={s}")
    assert (url.user, url.password, url.database, url.schema) == (user, password, database, schema)
    assert url.hosts == (("db.example", 6543),)


@given(password=st.text(st.sampled_from("hunter2#/?@:%&[] é"), min_size=6, max_size=12))
def test_a_password_is_in_no_text_whether_the_url_is_accepted_or_not(password: str) -> None:
    marked = f"s3cr3t{password}"
    said: object
    try:
        said = DatabaseUrl.parse(f"postgresql://u:{marked}@h/d")
    except UsageError as error:
        said = error, error.hint, error.__cause__
    assert "s3cr3t" not in f"{said} {said!r}"


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        DatabaseUrl.parse(text)


def test_what_is_left_out_has_prismas_defaults() -> None:
    url = DatabaseUrl.parse("postgresql://localhost")
    assert url.hosts == (("localhost", 5432),)
    assert (url.database, url.schema, url.user, url.password) == ("postgres", "public", "", None)
    assert url.connect_timeout == DEFAULT_CONNECT_TIMEOUT
    assert "user" not in url.conninfo()


@pytest.mark.parametrize("wrapped", ["'{}'", '"{}"', "  {}\n", '"{}" ', "`{}`"])
def test_quotes_and_blanks_of_an_env_file_are_taken_off(wrapped: str) -> None:
    url = DatabaseUrl.parse(wrapped.format("postgres://u@h/d"))
    assert (url.user, url.hosts, url.database) == ("u", (("h", 5432),), "d")


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("postgresql://u@[::1]:5433/d", (("::1", 5433),)),
        ("postgresql://u@[fe80::1%25eth0]/d", (("fe80::1%eth0", 5432),)),
        ("postgresql://u@/d?host=/var/run/postgresql", (("/var/run/postgresql", 5432),)),
        ("postgresql://u@localhost:6000/d?host=/tmp/s", (("/tmp/s", 6000),)),
        ("postgresql://u@%2Ftmp%2Fs/d", (("/tmp/s", 5432),)),
        ("postgresql:///d", (("localhost", 5432),)),
        ("postgresql://a:1,b,[::1]:3/d", (("a", 1), ("b", 5432), ("::1", 3))),
        ("postgresql://u@/d?host=a,b&port=1,2", (("a", 1), ("b", 2))),
    ],
)
def test_hosts_and_sockets(address: str, hosts: tuple[tuple[str, int], ...]) -> None:
    url = DatabaseUrl.parse(address)
    assert url.hosts == hosts
    assert url.socket == (hosts[0][0] if hosts[0][0].startswith("/") else "")
    assert DatabaseUrl.parse(url.display).hosts == hosts


def test_prismas_parameters_are_understood_or_ignored() -> None:
    url = DatabaseUrl.parse(
        "postgresql://u:p@h/d?schema=app&connection_limit=5&pool_timeout=10&pgbouncer=true&socket_timeout=3"
        "&statement_cache_size=0&single_use_connections=true&connect_timeout=0&application_name=a+b"
        "&options=-c%20geqo%3Doff&channel_binding=require&whatever=1"
    )
    assert (url.schema, url.connection_limit, url.pgbouncer, url.connect_timeout) == ("app", 5, True, 0)
    info = url.conninfo()
    assert info["application_name"] == "a b"
    assert (info["options"], info["channel_binding"], info["password"]) == ("-c geqo=off", "require", "p")
    assert set(url.ignored) == {
        "pool_timeout",
        "socket_timeout",
        "statement_cache_size",
        "single_use_connections",
        "whatever",
    }
    assert not {"schema", "connection_limit", "pgbouncer", "whatever"} & set(info)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"sslmode": "prefer"}),
        ("sslmode=require", {"sslmode": "require"}),
        ("sslmode=nonsense", {"sslmode": "prefer"}),
        ("sslmode=verify-full&sslrootcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ("sslmode=require&sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("sslaccept=strict&sslcert=/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ("sslmode=require&sslcert=/ca.pem&sslaccept=accept_invalid_certs", {"sslmode": "require"}),
        ("sslmode=disable&sslaccept=strict", {"sslmode": "disable"}),
        (
            "sslmode=require&sslcert=/me.pem&sslkey=/me.key",
            {"sslmode": "require", "sslcert": "/me.pem", "sslkey": "/me.key"},
        ),
    ],
)
def test_tls_in_prismas_words_becomes_libpqs(query: str, expected: dict[str, str]) -> None:
    info = DatabaseUrl.parse(f"postgresql://h/d?{query}").conninfo()
    assert {name: value for name, value in info.items() if name.startswith("ssl")} == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("prisma://accelerate.prisma-data.net/?api_key=KEY", "Accelerate"),
        ("prisma+postgres://localhost:51213/?api_key=KEY", "Prisma Postgres"),
        ("mysql://u:KEY@h/d", "MySQL"),
        ("file:./dev.db", "SQLite"),
        ("KEY", "not the address of a PostgreSQL database"),
        ("postgresql:u@h/d", "//"),
        ("postgresql://u:KEY#x@h/d", "%23"),
        ("postgresql://u:KEY?x@h/d", "%3F"),
        ("postgresql://u:KEY/x@h/d", "percent-encoded"),
        ("postgresql://u@h:KEY/d", "port"),
        ("postgresql://u@h:99999/d", "port"),
        ("postgresql://u@[::1/d", "host"),
        ("postgresql://u:%FFKEY@h/d", "UTF-8"),
        ("postgresql://u@h/d%00", "NUL"),
        ("postgresql://u@h/d?connection_limit=KEY", "connection_limit"),
        ("postgresql://u@a,b/d?port=1,2,3", "ports"),
    ],
)
def test_anything_else_is_a_usage_error_that_says_why_and_keeps_the_secret(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        DatabaseUrl.parse(text)
    assert said in str(caught.value)
    assert "KEY" not in f"{caught.value} {caught.value.hint}"


def test_a_url_is_a_value_that_worker_processes_can_be_given() -> None:
    url = DatabaseUrl.parse("postgresql://u:p@h/d?options=-c%20geqo%3Doff")
    copy = pickle.loads(pickle.dumps(url))
    assert copy == url
    assert hash(copy) == hash(url)
    assert copy.conninfo() == url.conninfo()


def test_postgresqls_own_programs_get_the_same_by_environment() -> None:
    variables = DatabaseUrl.parse("postgresql://u:p@/d?host=/s&schema=x").environment()
    assert variables["PGHOST"] == "/s"
    assert (variables["PGUSER"], variables["PGPASSWORD"], variables["PGDATABASE"]) == ("u", "p", "d")
