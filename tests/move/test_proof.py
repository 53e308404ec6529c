"""Two databases are equal as their dumps are, and what differs is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octavo.demo.sample import load_sample
from octavo.errors import DatabaseError, UsageError
from octavo.move.proof import SHOWN, Proof, prove
from octavo.postgres.connection import connect
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.texts import frozen_schema
from octavo.url import DatabaseUrl


@pytest.fixture(scope="module")
def template(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with connect(server.create_database("proven", template=schema_template)) as connection:
        load_sample(connection, tmp_path_factory.mktemp("public"), messages=100)
    yield "proven"
    server.drop_database("proven")


@pytest.fixture
def compared(
    server: EmbeddedServer, template: str, new_database: Callable[..., str]
) -> Callable[[str], Proof]:
    """The proof of two twins of which the second was changed by a statement."""

    def compare(statement: str) -> Proof:
        first, second = new_database(template), new_database(template)
        with connect(second) as connection:
            connection.execute(statement.encode())
        one, other = DatabaseUrl.parse(first), DatabaseUrl.parse(second)
        return prove(one, other, server.bin, datamodel=frozen_schema())

    return compare


def test_twins_are_equal(compared: Callable[[str], Proof]) -> None:
    proof = compared("SELECT 1")
    assert proof.equal
    assert proof.findings == []
    assert len(proof.rows) == len(frozen_schema().tables)
    assert proof.rows["public.messages"] == (100, 100)
    assert proof.left_out


def test_the_order_of_rows_is_nothing(compared: Callable[[str], Proof]) -> None:
    assert compared("UPDATE messages SET role = role WHERE id > (SELECT min(id) FROM messages)").equal


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE tags SET name = name || ' ' WHERE id = (SELECT min(id) FROM tags)",
            ("public.tags id=", "in name"),
        ),
        (
            "DELETE FROM messages WHERE id = (SELECT min(id) FROM messages)",
            ("public.messages id=", "only in the first"),
        ),
        (
            """INSERT INTO users (id, email, "updatedAt") VALUES (E'a\\tb\\\\', 'x', now())""",
            ("public.users id=a\tb\\: only in the second",),
        ),
        ("ALTER TABLE tags ADD COLUMN more text", ("TABLE tags: ", "more text", "public.tags: ")),
        ("ALTER TABLE tags ALTER name SET DEFAULT 'x'", ("TABLE tags: ", "DEFAULT 'x'")),
        ("DROP INDEX users_email_key", ("INDEX users_email_key: only in the first database",)),
        ("CREATE TABLE mine (n int)", ("TABLE mine: only in the second database", "public.mine: 0 rows")),
        ("ALTER TYPE \"Role\" ADD VALUE 'GUEST'", ("TYPE Role: ",)),
        ("GRANT SELECT ON users TO PUBLIC", ("ACL TABLE users: only in the second",)),
    ],
)
def test_what_differs_is_named(
    compared: Callable[[str], Proof], statement: str, words: tuple[str, ...]
) -> None:
    proof = compared(statement)
    assert not proof.equal
    told = "\n".join(proof.findings)
    assert all(word in told for word in words), told


def test_secrets_are_not_named(compared: Callable[[str], Proof]) -> None:
    proof = compared(
        """UPDATE verification_tokens SET token = token || 'x'; UPDATE users SET "passwordHash" = 's3cr3t'"""
    )
    told = "\n".join(proof.findings)
    assert "token=sha256:" in told
    assert "in passwordHash" in told
    assert "s3cr3t" not in told


def test_only_the_first_of_many_are_named(compared: Callable[[str], Proof]) -> None:
    proof = compared("UPDATE messages SET content = content || '!'")
    assert proof.unequal == ("public.messages",)
    assert len(proof.row_differences) == SHOWN


def test_the_same_rows_another_number_of_times(
    server: EmbeddedServer, new_database: Callable[..., str]
) -> None:
    first, second = new_database(), new_database()
    for url, twice in ((first, "a"), (second, "b")):
        with connect(url) as connection:
            connection.execute(b'CREATE TABLE "odd name, (x)" ("a, b" text, "say ""hi""" text)')
            for value in ("a", "b", twice):
                connection.execute(f"""INSERT INTO "odd name, (x)" VALUES ('{value}', NULL)""".encode())
    proof = prove(DatabaseUrl.parse(first), DatabaseUrl.parse(second), server.bin)
    assert proof.unequal == ("public.odd name, (x)",)
    assert {d.side for d in proof.row_differences} == {"first", "second"}


def test_counters_are_told_and_no_difference(
    server: EmbeddedServer, new_database: Callable[..., str]
) -> None:
    urls = [new_database(), new_database()]
    for url in urls:
        with connect(url) as connection:
            connection.execute(b"CREATE TABLE t (id serial PRIMARY KEY)")
    with connect(urls[1]) as connection:
        connection.execute(b"SELECT nextval('t_id_seq'), nextval('t_id_seq')")
    proof = prove(DatabaseUrl.parse(urls[0]), DatabaseUrl.parse(urls[1]), server.bin)
    assert proof.equal
    assert len(proof.counters) == 1


def test_without_a_program_or_a_database(server: EmbeddedServer, database: str, tmp_path: Path) -> None:
    url = DatabaseUrl.parse(database)
    with pytest.raises(UsageError, match="no pg_dump"):
        prove(url, url, tmp_path)
    missing = DatabaseUrl.parse(server.url("not_there").replace("postgres@", "postgres:s3cr3t@"))
    with pytest.raises(DatabaseError, match="not_there") as caught:
        prove(url, missing, server.bin)
    assert "s3cr3t" not in str(caught.value)
