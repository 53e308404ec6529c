"""The sample data fills every table, looks like an application's, and comes out the same every time."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from octavo.crypto import Sealed, check_password, check_record, decrypt
from octavo.demo.data import png
from octavo.demo.sample import DEMO_PEPPER, SampleSummary, copy_records, filling_order, load_sample
from octavo.errors import DatabaseError, DiskError, UsageError
from octavo.postgres.connection import Connection, connect
from octavo.schema.datamodel import Datamodel, Model
from octavo.schema.texts import frozen_schema

MESSAGES = 3_000


@pytest.fixture(scope="module")
def datamodel() -> Datamodel:
    return frozen_schema()


@pytest.fixture(scope="module")
def files_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.fixture(scope="module")
def loaded(server: Any, schema_template: str, files_root: Path) -> Iterator[tuple[Connection, SampleSummary]]:
    name = "sample_tests"
    with connect(server.create_database(name, template=schema_template)) as connection:
        yield connection, load_sample(connection, files_root, messages=MESSAGES)
    server.drop_database(name)


def rows(connection: Connection, model: Model) -> list[dict[str, Any]]:
    """Every row of a model, by field name, values as PostgreSQL's text."""
    columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(f.column)) for f in model.scalars)
    found = connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(model.table)))
    names = [f.name for f in model.scalars]
    return [dict(zip(names, row, strict=True)) for row in found]


def test_every_model_has_rows_and_they_are_counted(
    loaded: tuple[Connection, SampleSummary], datamodel: Datamodel
) -> None:
    connection, summary = loaded
    counted = {model.name: len(rows(connection, model)) for model in datamodel.tables}
    assert all(counted.values())
    assert counted == summary.counts
    assert list(counted) == list(summary.counts)
    assert counted["Message"] == MESSAGES
    assert summary.rows == sum(counted.values())


@pytest.mark.parametrize("messages", [1, 2, 17])
def test_the_smallest_samples_fill_every_model_too(
    schema_database: str, tmp_path: Path, messages: int
) -> None:
    with connect(schema_database) as connection:
        summary = load_sample(connection, tmp_path, messages=messages)
    assert all(summary.counts.values())
    assert summary.counts["Message"] == messages


def test_every_field_has_values_and_what_may_be_null_sometimes_is(
    loaded: tuple[Connection, SampleSummary], datamodel: Datamodel
) -> None:
    for model in datamodel.tables:
        found = rows(loaded[0], model)
        for f in model.scalars:
            values = {row[f.name] for row in found}
            assert values - {None}, f"{model.name}.{f.name} is never set"
            assert (None in values) == f.nullable, f"{model.name}.{f.name}"


def test_every_enum_of_the_talk_is_used(
    loaded: tuple[Connection, SampleSummary], datamodel: Datamodel
) -> None:
    used: dict[str, set[str]] = {}
    for model in datamodel.tables:
        found = rows(loaded[0], model)
        for f in model.scalars:
            if f.kind == "enum":
                used.setdefault(f.type, set()).update(str(row[f.name]) for row in found)
    assert used == {enum.name: set(enum.labels) for enum in datamodel.enums}


def test_the_secrets_open_as_the_application_would_open_them(
    loaded: tuple[Connection, SampleSummary], datamodel: Datamodel
) -> None:
    checked = 0
    for model in datamodel.tables:
        for row in rows(loaded[0], model):
            assert check_record(model, row, DEMO_PEPPER) == []
            checked += sum(row[f.name] is not None for f in model.scalars if f.secret)
    assert checked > 20
    users = rows(loaded[0], datamodel.model("User"))
    secured = next(user for user in users if user["totpEnabled"] == "true")
    assert check_password("correct horse battery staple", secured["passwordHash"])
    codes = decrypt(
        Sealed(secured["backupCodes"], secured["backupCodesIv"], secured["backupCodesAuthTag"]),
        secured["id"],
        DEMO_PEPPER,
    )
    assert all(isinstance(code, str) for code in json.loads(codes))


def test_payloads_lie_where_the_rows_say_and_have_their_size(
    loaded: tuple[Connection, SampleSummary], datamodel: Datamodel, files_root: Path
) -> None:
    paths: list[str] = []
    bodies = set()
    for name in ("Image", "ChatFile"):
        for row in rows(loaded[0], datamodel.model(name)):
            body = (files_root / row["filepath"]).read_bytes()
            assert len(body) == int(row["size"])
            if row["mimeType"] == "image/png":
                width, height = picture_size(body)
                assert (row["width"] or str(width), row["height"] or str(height)) == (str(width), str(height))
            paths.append(row["filepath"])
            bodies.add(body)
    assert len(set(paths)) < len(paths), "some file belongs to two rows"
    assert len(bodies) < len(set(paths)), "some content lies under two paths"
    on_disk = [path for path in files_root.rglob("*") if path.is_file()]
    assert {str(path.relative_to(files_root)) for path in on_disk} == set(paths)
    assert loaded[1].payloads == len(on_disk)
    assert loaded[1].payload_bytes == sum(path.stat().st_size for path in on_disk)


def picture_size(body: bytes) -> tuple[int, int]:
    """Read a PNG by its specification, checksums and pixels included; gives its size."""
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        kind, content = body[at + 4 : at + 8], body[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", body, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks[kind] = content
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)
    return width, height


def test_a_picture_has_the_size_asked_for() -> None:
    assert picture_size(png(random.Random(1), 5, 3)) == (5, 3)
    assert picture_size(png(random.Random(1), 1, 1)) == (1, 1)


def test_chats_are_long_short_and_empty_and_hold_swipes(loaded: tuple[Connection, SampleSummary]) -> None:
    connection, _ = loaded
    lengths = connection.execute(
        'SELECT count(m.id) FROM chats c LEFT JOIN messages m ON m."chatId" = c.id GROUP BY c.id ORDER BY 1'
    ).fetchall()
    assert lengths[0] == (0,)
    assert lengths[-1][0] > 300
    swipes = connection.execute(
        'SELECT array_agg("swipeIndex" ORDER BY "swipeIndex"), count(DISTINCT "chatId") FROM messages'
        ' WHERE "swipeGroupId" IS NOT NULL GROUP BY "swipeGroupId"'
    ).fetchall()
    assert max(len(indexes) for indexes, _ in swipes) >= 3
    for indexes, chats in swipes:
        assert chats == 1
        assert indexes == list(range(len(indexes)))


def test_messages_have_the_sizes_and_moments_of_real_ones(loaded: tuple[Connection, SampleSummary]) -> None:
    connection, _ = loaded
    found = connection.execute(
        "SELECT avg(octet_length(row_to_json(m)::text)), min(length(content)), max(octet_length(content))"
        " FROM messages m"
    ).fetchone()
    assert found is not None
    assert 400 <= found[0] <= 700
    assert found[1] == 1
    assert found[2] > 4_000
    ties = connection.execute(
        'SELECT count(*) FROM (SELECT 1 FROM messages GROUP BY "chatId", "createdAt" HAVING count(*) > 1) t'
    ).fetchone()
    assert ties is not None
    assert ties[0] > 5
    outside = connection.execute(
        'SELECT count(*) FROM messages m JOIN chats c ON c.id = m."chatId"'
        ' WHERE m."createdAt" NOT BETWEEN c."createdAt" AND c."updatedAt"'
    ).fetchone()
    assert outside == (0,)


def test_numbers_stand_as_providers_write_them(loaded: tuple[Connection, SampleSummary]) -> None:
    connection, _ = loaded
    for number in ("1.50", "1" + "0" * 400, "18446744073709551616"):
        found = connection.execute(
            'SELECT EXISTS (SELECT FROM messages WHERE "rawResponse"::text LIKE %(n)s)'
            ' OR EXISTS (SELECT FROM characters WHERE "sillyTavernData"::text LIKE %(n)s)'
            " OR EXISTS (SELECT FROM connection_profiles WHERE parameters::text LIKE %(n)s)",
            {"n": f"%: {number}%"},
        ).fetchone()
        assert found == (True,), number


def test_tags_of_images_point_at_what_exists(loaded: tuple[Connection, SampleSummary]) -> None:
    dangling = loaded[0].execute(
        """SELECT count(*) FROM image_tags WHERE "tagType" <> 'THEME' AND "tagId" NOT IN (
             SELECT id FROM characters UNION SELECT id FROM personas UNION SELECT id FROM chats)"""
    )
    assert dangling.fetchone() == (0,)


def test_the_same_seed_gives_the_same_data(
    new_database: Callable[..., str], schema_template: str, datamodel: Datamodel, tmp_path: Path
) -> None:
    def everything(seed: int, folder: str) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
        with connect(new_database(schema_template)) as connection:
            load_sample(connection, tmp_path / folder, messages=200, seed=seed)
            data = {model.name: rows(connection, model) for model in datamodel.tables}
        root = tmp_path / folder
        return data, {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    once, again, other = everything(5, "a"), everything(5, "b"), everything(6, "c")
    assert once == again
    assert once != other


def test_another_pepper_seals_the_secrets(schema_database: str, tmp_path: Path, datamodel: Datamodel) -> None:
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path, messages=1, pepper="Pfeffer")
        (key, *_) = rows(connection, datamodel.model("ApiKey"))
    assert check_record(datamodel.model("ApiKey"), key, "Pfeffer") == []
    assert check_record(datamodel.model("ApiKey"), key, DEMO_PEPPER) != []


def test_progress_is_told(schema_database: str, tmp_path: Path) -> None:
    heard: list[int] = []
    with connect(schema_database) as connection:
        load_sample(connection, tmp_path, messages=10_500, progress=heard.append)
    assert heard == [5_000, 10_000, 10_500]


def test_a_failure_leaves_no_row(schema_database: str, tmp_path: Path, datamodel: Datamodel) -> None:
    blocked = tmp_path / "public"
    blocked.write_text("not a folder")
    with connect(schema_database) as connection:
        with pytest.raises(DiskError):
            load_sample(connection, blocked, messages=5)
        assert not any(rows(connection, model) for model in datamodel.tables)
        load_sample(connection, tmp_path / "other", messages=5)
        with pytest.raises(DatabaseError):
            load_sample(connection, tmp_path / "other", messages=5)
        assert len(rows(connection, datamodel.model("Message"))) == 5


def test_no_message_is_no_sample(database: str, tmp_path: Path) -> None:
    with connect(database) as connection, pytest.raises(UsageError):
        load_sample(connection, tmp_path, messages=0)


def test_parents_are_filled_before_their_children(datamodel: Datamodel) -> None:
    order = [model.name for model in filling_order(datamodel)]
    assert sorted(order) == sorted(model.name for model in datamodel.tables)
    for key in datamodel.foreign_keys:
        assert order.index(key.parent) < order.index(key.child)


def test_a_row_without_a_required_value_is_refused(schema_database: str, datamodel: Datamodel) -> None:
    with connect(schema_database) as connection, pytest.raises(UsageError, match="email"):
        copy_records(connection, datamodel.model("User"), [{"id": "x"}])
