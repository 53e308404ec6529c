"""What PostgreSQL sends is understood to the byte, and nothing that is cut or unknown is guessed at."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from following import Followed
from octavo.follow import protocol
from octavo.follow.protocol import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Keepalive,
    Message,
    ProtocolError,
    Relation,
    Truncate,
    Update,
    position,
    position_text,
    received,
)
from octavo.follow.stream import Stream

TABLE = 'CREATE TABLE t (id integer PRIMARY KEY, name varchar(9), long text, "Flag" boolean)'
LONG = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)"


@pytest.fixture
def listening(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    """A table of its own, and all that is sent of it."""
    followed.sql(TABLE, "CREATE PUBLICATION heard FOR TABLE t")
    sent: list[bytes] = []

    def hear(data: bytes) -> Keepalive | Message:
        sent.append(data)
        return received(data)

    monkeypatch.setattr(protocol, "received", hear)
    with closing(Stream(followed.url)) as opened:
        slot = opened.create_slot(f"heard_{followed.url.database}")
        opened.start(f"heard_{followed.url.database}", "heard", slot.position)
        yield Listening(followed, opened, sent)
    followed.sql(f"SELECT pg_drop_replication_slot('heard_{followed.url.database}')")


class Listening:
    def __init__(self, followed: Followed, opened: Stream, sent: list[bytes]) -> None:
        self.followed, self._stream, self.sent = followed, opened, sent

    def to(self, *statements: str) -> list[Message]:
        """What is sent of a transaction."""
        self.followed.sql(*statements)
        heard: list[Message] = []
        while not (heard and isinstance(heard[-1], Commit)):
            message = self._stream.next(0.1)
            if message is not None and not isinstance(message, Keepalive):
                heard.append(message)
        return heard


def test_a_transaction_as_it_is_sent(listening: Listening) -> None:
    started = datetime.now(UTC)
    begin, relation, *rows, commit = listening.to(
        f"INSERT INTO t VALUES (1, 'é', {LONG}, true), (2, NULL, '', false)",
        "UPDATE t SET name = 'other' WHERE id = 1",
        "UPDATE t SET id = 3 WHERE id = 2",
        "DELETE FROM t WHERE id = 3",
        "TRUNCATE t",
    )
    assert isinstance(begin, Begin)
    assert isinstance(relation, Relation)
    assert isinstance(commit, Commit)
    assert (relation.schema, relation.name, relation.identity) == ("public", "t", "d")
    assert [(c.name, c.in_key, c.type, c.modifier) for c in relation.columns] == [
        ("id", True, 23, -1),
        ("name", False, 1043, 13),
        ("long", False, 25, -1),
        ("Flag", False, 16, -1),
    ]
    first = rows[0]
    assert isinstance(first, Insert)
    assert first.row[:2] == (b"1", "é".encode())
    assert isinstance(first.row[2], bytes)
    assert len(first.row[2]) == 32_000
    oid = relation.oid
    assert rows[1:] == [
        Insert(oid, (b"2", None, b"", b"f")),
        Update(oid, None, (b"1", b"other", UNCHANGED, b"t")),
        Update(oid, (b"2", None, None, None), (b"3", None, b"", b"f")),
        Delete(oid, (b"3", None, None, None)),
        relation,
        Truncate((oid,)),
    ]
    assert begin.commit < commit.end
    assert commit.time >= started.replace(microsecond=0)


def test_the_whole_old_row_where_it_is_the_identity(listening: Listening) -> None:
    listening.followed.sql("ALTER TABLE t REPLICA IDENTITY FULL")
    listening.to("INSERT INTO t VALUES (1, 'a', 'b', true)")
    *_, update, delete, _commit = listening.to("UPDATE t SET name = 'x'", "DELETE FROM t")
    assert isinstance(update, Update)
    assert update.old == (b"1", b"a", b"b", b"t")
    assert isinstance(delete, Delete)
    assert delete.old == (b"1", b"x", b"b", b"t")


def test_a_table_is_told_again_when_it_has_changed(listening: Listening) -> None:
    listening.to("INSERT INTO t VALUES (1)")
    _, relation, *_ = listening.to("ALTER TABLE t ADD COLUMN more integer", "INSERT INTO t VALUES (2)")
    assert isinstance(relation, Relation)
    assert [c.name for c in relation.columns][-1] == "more"


def test_no_message_that_is_cut_or_longer_is_taken_for_one(listening: Listening) -> None:
    listening.to(
        "INSERT INTO t VALUES (1, 'a', NULL, true)",
        "UPDATE t SET id = 2",
        "DELETE FROM t",
        "TRUNCATE t",
    )
    for data in listening.sent:
        for end in range(len(data)):
            with pytest.raises(ProtocolError):
                received(data[:end])
        if data[:1] == b"w":
            with pytest.raises(ProtocolError):
                received(data + b"x")


HEAD = struct.pack(">cQQQ", b"w", 1, 2, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        HEAD + b"?",
        HEAD + struct.pack(">cI", b"I", 1) + b"K\0\0",
        HEAD + struct.pack(">cI", b"I", 1) + b"N\0\1z",
        HEAD + struct.pack(">cI", b"D", 1) + b"N\0\0",
        HEAD + struct.pack(">cI", b"U", 1) + b"K\0\0O\0\0",
        HEAD + struct.pack(">cI", b"R", 1) + b"public",
    ],
)
def test_what_the_manual_does_not_know(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        received(data)


@given(st.binary(max_size=80))
def test_anything_at_all_is_understood_or_refused(data: bytes) -> None:
    for head in (b"", HEAD):
        with suppress(ProtocolError):
            received(head + data)


@given(st.integers(0, 2**64 - 1))
def test_positions_are_written_as_postgresql_writes_them(at: int) -> None:
    assert position(position_text(at)) == at


def test_a_position() -> None:
    assert position("16/B374D848") == 0x16_B374D848
    assert position_text(0x16_B374D848) == "16/B374D848"


def test_a_status_says_what_is_durable_in_every_way() -> None:
    now = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    found = protocol.status(7, now, reply=True)
    assert struct.unpack(">cQQQQB", found) == (b"r", 7, 7, 7, 1_000_000, 1)
