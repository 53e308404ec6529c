"""With a verification ahead, only what may have changed since is verified under the freeze: it passes exactly
where a verification of everything would, and says when it cannot tell."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from moves import LAYOUT, Move, converse
from octavo.demo.sample import DEMO_PEPPER
from octavo.fold.export import ExportOptions, export
from octavo.fold.source import open_source
from octavo.inspect.progress import SILENT, Progress
from octavo.layout.listing import contents
from octavo.layout.load import flat_layout
from octavo.move import listing, news
from octavo.move.ahead import Ahead
from octavo.move.verify import VerifyOptions, compare
from octavo.postgres.connection import connect as connect_to
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.parser import parse_schema
from octavo.store.offline import Resting
from octavo.url import DatabaseUrl

COMPUTED = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Note {
  id    Int     @id
  about String? @default(dbgenerated())
}
"""


def ahead_of(move: Move, progress: Progress = SILENT, patience: float = 30.0) -> Ahead:
    options = VerifyOptions(move.files_root, DEMO_PEPPER, 1)
    return Ahead(move.database, move.data, LAYOUT, options, Resting(move.data, patience), progress)


class Standing:
    """A move with a verification ahead, to which something happens that is undone again."""

    def __init__(self, move: Move, kept: Path) -> None:
        self.move, self.kept = move, kept
        shutil.copytree(move.data, kept)
        self.originals = {p: p.read_bytes() for p in move.files_root.rglob("*") if p.is_file()}
        self.tables = [m.table for m in LAYOUT.datamodel.tables]
        self.sql = connect_to(move.database)
        self.sql.execute("SET session_replication_role = replica; CREATE SCHEMA kept")
        for table in self.tables:
            self.sql.execute(f'CREATE TABLE kept."{table}" AS TABLE "{table}"'.encode())
        self.ahead = ahead_of(move)
        assert self.ahead.verify()

    def passes(self) -> bool:
        """Whether what has changed since is enough, and equal."""
        unsure = self.ahead.unsure
        try:
            return self.ahead.end() is not None
        finally:
            self.ahead.unsure = unsure

    def is_equal(self) -> bool:
        """Whether a verification of everything finds both sides equal."""
        move = self.move
        with open_source(move.database, LAYOUT) as source:
            options = VerifyOptions(move.files_root, DEMO_PEPPER, 1)
            return compare(source, move.data, LAYOUT, contents(LAYOUT, move.data), options).equal

    def undo(self) -> None:
        for table in self.tables:
            same = "EXISTS (SELECT FROM {} k WHERE k::text = t::text)"
            there, kept = f'"{table}"', f'kept."{table}"'
            self.sql.execute(f"DELETE FROM {there} t WHERE NOT {same.format(kept)}".encode())
            self.sql.execute(
                f"INSERT INTO {there} SELECT * FROM {kept} t WHERE NOT {same.format(there)}".encode()
            )
        for folder, _, names in os.walk(self.move.data):
            if Path(folder).relative_to(self.move.data).parts[:1] != ("cache",):
                for path in (Path(folder, name) for name in names):
                    kept_file = self.kept / path.relative_to(self.move.data)
                    if not kept_file.exists() or kept_file.read_bytes() != path.read_bytes():
                        path.unlink()
        for folder, _, names in os.walk(self.kept):
            for path in (Path(folder, name) for name in names):
                target = self.move.data / path.relative_to(self.kept)
                if not target.exists():
                    shutil.copyfile(path, target)

        for path, content in self.originals.items():
            if not path.exists() or path.read_bytes() != content:
                replaced(path, content)

    def close(self) -> None:
        self.ahead.close()
        self.sql.close()


@pytest.fixture(
    scope="module",
    params=[pytest.param(0, id="quick"), pytest.param(None, id="coarse", marks=pytest.mark.slow)],
)
def standing(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    sample: tuple[str, Path],
    exported: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standing]:
    patch = pytest.MonkeyPatch()
    if request.param is not None:
        patch.setattr(listing, "COARSEST", request.param)
    folder, name = tmp_path_factory.mktemp("ahead"), f"ahead_{request.param}".lower()
    server.create_database(name, template=sample[0])
    shutil.copytree(exported, folder / "data", symlinks=True)
    shutil.copytree(sample[1], folder / "public")
    move = Move(server.url(name, schema="public"), folder / "data", folder / "public")
    made = Standing(move, folder / "kept")
    yield made
    made.close()
    patch.undo()
    server.drop_database(name)


# What may happen to PostgreSQL


def sql(*statements: str) -> Callable[[Standing], None]:
    def happen(standing: Standing) -> None:
        for statement in statements:
            standing.sql.execute(statement.encode())

    return happen


ONE = "(SELECT min(id) FROM messages)"
OTHER = "(SELECT max(id) FROM messages)"


# What may happen to the files


def logs(data: Path) -> list[Path]:
    """The logs of chats with messages."""
    return sorted(p for p in (data / "chats").glob("*.jsonl") if p.name != "index.jsonl" and p.stat().st_size)


def in_files(change: Callable[[Path], object]) -> Callable[[Standing], object]:
    return lambda standing: change(standing.move.data)


def edit_in_place(data: Path) -> None:
    """Another content of the same size, with the time of the last change set back."""
    path = logs(data)[0]
    before = path.stat()
    with open(path, "r+b") as file:
        text = file.read()
        at = text.index(b'"content":"') + 11
        file.seek(at)
        file.write(b"~" if text[at : at + 1] != b"~" else b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def without_a_line(data: Path) -> None:
    path = logs(data)[0]
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def append(path: Path, line: bytes) -> None:
    with open(path, "ab") as file:
        file.write(line + b"\n")


def last_line(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\n").rsplit(b"\n", 1)[-1]


def tombstone(data: Path) -> None:
    path = logs(data)[0]
    key = json.loads(last_line(path))["id"]
    append(path, b'{"_model":"Message","id":"%s","_deleted":true}' % key.encode())


def changed_line(data: Path) -> None:
    path = logs(data)[0]
    line = json.loads(last_line(path)) | {"content": "another"}
    append(path, json.dumps(line, separators=(",", ":")).encode())


def in_two_logs(data: Path) -> None:
    one, other = logs(data)[:2]
    line = json.loads(last_line(one))
    line["chatId"] = json.loads(last_line(other))["chatId"]
    append(other, json.dumps(line, separators=(",", ":")).encode())


def replaced(path: Path, text: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(text)
    os.replace(new, path)


def first(data: Path, pattern: str) -> Path:
    return sorted(data.glob(pattern))[0]


def renamed_tag(data: Path) -> None:
    path = data / "tags" / "tags.json"
    found = json.loads(path.read_bytes())
    found["tags"][0]["name"] = "another"
    replaced(path, json.dumps(found, indent=2, ensure_ascii=False).encode() + b"\n")


def respelled(data: Path) -> None:
    path = data / "tags" / "tags.json"
    replaced(path, json.dumps(json.loads(path.read_bytes()), indent=3).encode())


def rewrite(pattern: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        for path in list(data.glob(pattern)):
            replaced(path, path.read_bytes())

    return change


def anothers_file(data: Path) -> None:
    one, other = sorted(data.glob("characters/*.json"))[:2]
    replaced(one, other.read_bytes())


def payload(data: Path) -> Path:
    return first(data, "binaries/??/*")


def original(change: Callable[[Path], object]) -> Callable[[Standing], object]:
    """A change of a file that a record names, and the store has a payload of."""

    def happen(standing: Standing) -> None:
        with standing.move.client("json") as db:
            for image in db.image.find_many():
                if (path := standing.move.files_root / image.filepath).is_file():
                    change(path)
                    return
        raise AssertionError

    return happen


def remove_a_chat(standing: Standing) -> None:
    """On both sides, as an application does."""
    with standing.move.client("dual") as db:
        chat = db.chat.find_first(where={"messages": {"some": {}}})
        db.chat.delete(where={"id": chat.id})


def talk(standing: Standing) -> None:
    with standing.move.client("dual") as db:
        converse(db)


class Event(NamedTuple):
    happen: Callable[[Standing], object]
    equal: bool = False
    """whether both sides are the same afterwards, and this can be told"""


NEW_MESSAGE = (
    """INSERT INTO messages (id, "chatId", role, content) SELECT 'new', "chatId", role, content"""
    f" FROM messages WHERE id = {ONE}"
)
EVENTS = {
    "nothing": Event(lambda _: None, equal=True),
    # PostgreSQL alone
    "a row is inserted": Event(sql(NEW_MESSAGE)),
    "a row is inserted and deleted again": Event(
        sql(NEW_MESSAGE, "DELETE FROM messages WHERE id = 'new'"), equal=True
    ),
    "a row is updated to what it is": Event(
        sql(f"UPDATE messages SET content = content WHERE id = {ONE}"), equal=True
    ),
    "a row is locked": Event(sql(f"SELECT FROM messages WHERE id = {ONE} FOR UPDATE"), equal=True),
    "all rows are updated to what they are": Event(
        sql("UPDATE messages SET content = content", "UPDATE tags SET name = name"), equal=True
    ),
    "rows are frozen": Event(sql("VACUUM (FREEZE) messages"), equal=True),
    "an updated row is frozen": Event(
        sql(f"UPDATE messages SET content = 'x' WHERE id = {ONE}", "VACUUM (FREEZE) messages")
    ),
    "a row is updated": Event(sql(f"UPDATE messages SET content = 'x' WHERE id = {ONE}")),
    "a row is updated in a subtransaction": Event(
        sql("BEGIN; SAVEPOINT s", f"UPDATE messages SET content = 'x' WHERE id = {ONE}", "COMMIT")
    ),
    "a row is deleted": Event(sql(f"DELETE FROM messages WHERE id = {ONE}")),
    "a row is deleted and another inserted": Event(
        sql(f"DELETE FROM messages WHERE id = {OTHER}", NEW_MESSAGE)
    ),
    "a row is deleted and inserted again": Event(
        sql(
            f"CREATE TEMP TABLE again AS SELECT * FROM messages WHERE id = {ONE}",
            f"DELETE FROM messages WHERE id = {ONE}",
            "INSERT INTO messages SELECT * FROM again",
            "DROP TABLE again",
        ),
        equal=True,
    ),
    "a row moves to another parent": Event(
        sql(
            f"""UPDATE messages SET "chatId" = (SELECT min("chatId") FROM messages WHERE "chatId" <>
            (SELECT "chatId" FROM messages WHERE id = {ONE})) WHERE id = {ONE}"""
        )
    ),
    "two rows change places": Event(
        sql(
            f"""UPDATE messages m SET "chatId" = o."chatId" FROM messages o
            WHERE (m.id = {ONE} AND o.id = {OTHER}) OR (m.id = {OTHER} AND o.id = {ONE})"""
        )
    ),
    "a row in a document is deleted": Event(sql("DELETE FROM tags WHERE id = (SELECT min(id) FROM tags)")),
    "an embedded row is deleted": Event(
        sql("DELETE FROM character_tags WHERE id = (SELECT min(id) FROM character_tags)")
    ),
    "an embedded row moves": Event(
        sql(
            """UPDATE character_tags SET "characterId" = (SELECT max(id) FROM characters)
            WHERE id = (SELECT min(id) FROM character_tags
            WHERE "characterId" <> (SELECT max(id) FROM characters))"""
        )
    ),
    "a parent is deleted": Event(sql("DELETE FROM chats WHERE id = (SELECT min(id) FROM chats)")),
    "a parent has another key": Event(
        sql("UPDATE chats SET id = 'another' WHERE id = (SELECT min(id) FROM chats)")
    ),
    # The files alone
    "a line is edited, with its time set back": Event(in_files(edit_in_place)),
    "a line is taken out": Event(in_files(without_a_line)),
    "a line is added again": Event(in_files(lambda d: append(logs(d)[0], last_line(logs(d)[0]))), equal=True),
    "a line is changed": Event(in_files(changed_line)),
    "a record is removed": Event(in_files(tombstone)),
    "a record is in two logs": Event(in_files(in_two_logs)),
    "a line is broken": Event(in_files(lambda d: append(logs(d)[0], b'{"_model":"Message","id":1}'))),
    "a log is written again as it is": Event(in_files(rewrite("chats/*.jsonl")), equal=True),
    "a log is emptied": Event(in_files(lambda d: logs(d)[0].write_bytes(b""))),
    "a log is removed": Event(in_files(lambda d: logs(d)[0].unlink())),
    "a log is of no parent": Event(in_files(lambda d: (d / "chats" / "none.jsonl").write_bytes(b""))),
    "two logs change places": Event(
        in_files(
            lambda d: [
                path.write_bytes(text)
                for path, text in zip(
                    logs(d)[:2], [p.read_bytes() for p in reversed(logs(d)[:2])], strict=True
                )
            ]
        )
    ),
    "a document says something else": Event(in_files(renamed_tag)),
    "a document is written again as it is": Event(in_files(rewrite("tags/tags.json")), equal=True),
    "a document is spelled in another way": Event(in_files(respelled), equal=True),
    "a document is removed": Event(in_files(lambda d: (d / "tags" / "tags.json").unlink())),
    "record files are written again as they are": Event(in_files(rewrite("characters/*.json")), equal=True),
    "a record file is removed": Event(in_files(lambda d: first(d, "characters/*.json").unlink())),
    "a record file is renamed": Event(
        in_files(lambda d: first(d, "characters/*.json").rename(d / "characters" / "none.json"))
    ),
    "a record file is another one's": Event(in_files(anothers_file)),
    "a payload is removed": Event(in_files(lambda d: payload(d).unlink())),
    "a payload is changed": Event(in_files(lambda d: payload(d).write_bytes(b"other"))),
    # The store has it: a verification of everything finds no difference either.
    "a file below the files root is removed": Event(original(lambda path: path.unlink()), equal=True),
    "a file below the files root is changed": Event(original(lambda path: path.write_bytes(b"other"))),
    "a file below the files root is another of its size": Event(
        original(lambda path: replaced(path, bytes(path.stat().st_size)))
    ),
    "a file below the files root is written again": Event(
        original(lambda path: replaced(path, path.read_bytes())), equal=True
    ),
    # Both
    "an application writes": Event(talk, equal=True),
    "an application removes a record with its log": Event(remove_a_chat, equal=True),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_happens_is_told(standing: Standing, name: str) -> None:
    event = EVENTS[name]
    try:
        event.happen(standing)
        assert standing.passes() is event.equal, standing.ahead.unsure
    finally:
        standing.undo()


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 300))]
)
def test_it_passes_only_where_a_verification_of_everything_would(standing: Standing, seed: int) -> None:
    chosen = random.Random(seed)
    try:
        for name in chosen.sample(sorted(EVENTS), chosen.randint(2, 4)):
            try:
                EVENTS[name].happen(standing)
            except Exception:
                # An event before it has taken away what this one is about.
                standing.sql.execute("ROLLBACK")
        if standing.passes():
            assert standing.is_equal()
    finally:
        standing.undo()


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(
            """ALTER TABLE characters RENAME description TO other;
            ALTER TABLE characters RENAME personality TO description;
            ALTER TABLE characters RENAME other TO personality""",
            id="two columns change names",
        ),
        pytest.param(
            """ALTER TABLE messages DROP content;
            ALTER TABLE messages ADD content text NOT NULL DEFAULT 'x';
            ALTER TABLE messages ALTER content DROP DEFAULT""",
            id="a column is made again",
        ),
    ],
)
def test_it_does_not_pass_where_columns_change_and_no_row_is_written(
    move: Move, monkeypatch: pytest.MonkeyPatch, statements: str
) -> None:
    monkeypatch.setattr(listing, "COARSEST", 0)
    with closing(ahead_of(move)) as ahead:
        assert ahead.verify()
        move.sql(statements)
        assert ahead.end() is None
        assert ahead.unsure == "the database's structure has changed"


def test_it_does_not_pass_where_a_virtual_column_is_computed_in_another_way(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "COARSEST", 0)
    url, layout = DatabaseUrl.parse(database), flat_layout(parse_schema(COMPUTED))
    with closing(connect_to(url)) as connection:
        if connection.info.server_version < 180000:
            pytest.skip("PostgreSQL 18 has virtual columns")
        connection.execute(
            b"""CREATE TABLE "Note" (id int PRIMARY KEY, about text GENERATED ALWAYS AS ('a' || id) VIRTUAL);
            INSERT INTO "Note" (id) VALUES (1)"""
        )
        export(url, tmp_path / "data", layout, ExportOptions(tmp_path))
        options = VerifyOptions(tmp_path, None, 1)
        resting = Resting(tmp_path / "data", 30.0)
        with closing(Ahead(url, resting.root, layout, options, resting, SILENT)) as ahead:
            assert ahead.verify()
            connection.execute(b"""ALTER TABLE "Note" ALTER about SET EXPRESSION AS ('b' || id)""")
            assert ahead.end() is None


class Writes(Progress):
    """Lets an application write once everything is being verified."""

    def __init__(self, move: Move) -> None:
        self.move, self.is_done = move, False

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if phase == "verify" and not self.is_done:
            self.is_done = True
            with self.move.client("dual") as db:
                converse(db)


def test_what_is_written_while_everything_is_verified_is_verified_next(move: Move) -> None:
    with closing(ahead_of(move, Writes(move))) as ahead:
        assert ahead.verify()
        assert ahead.unsure == ""
        assert ahead.look_again() > 0
        assert ahead.end() is not None, ahead.unsure
        assert ahead.report is not None
        assert ahead.report.equal
        assert ahead.report.counts["Tag"]["files"] == move.sql("SELECT count(*) FROM tags")[0][0]


def test_a_difference_is_told_before_the_freeze(move: Move) -> None:
    move.sql("UPDATE users SET name = 'another'")
    with closing(ahead_of(move)) as ahead:
        assert not ahead.verify()
        assert ahead.report is not None
        assert ahead.report.by_model.keys() == {"User"}


def test_a_table_that_was_rewritten_is_verified_with_all_others(move: Move) -> None:
    with closing(ahead_of(move)) as ahead:
        assert ahead.verify()
        move.sql("VACUUM FULL tags")
        assert ahead.end() is None
        assert ahead.unsure == "the database's structure has changed"


def test_so_many_changes_that_everything_is_verified_again(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(ahead_of(move)) as ahead:
        assert ahead.verify()
        monkeypatch.setattr(news, "MOST", 10)
        move.sql("UPDATE messages SET content = content")
        assert ahead.end() is None
        assert "more than 10 records" in ahead.unsure


class Righted(Progress):
    """Makes a log right when a verification begins a phase."""

    def __init__(self, path: Path, right: bytes, phase: str) -> None:
        self.path, self.right, self.phase = path, right, phase

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if phase == self.phase:
            self.path.write_bytes(self.right)


@pytest.mark.parametrize(
    ("pattern", "phase"),
    [
        pytest.param("chats/[!i]*.jsonl", "verify", id="by lines"),
        pytest.param("binaries/index.jsonl", "verify", id="by fields"),
        pytest.param("binaries/index.jsonl", "looking closer", id="in the second of two reads"),
    ],
)
def test_a_log_that_is_right_only_while_it_is_verified_does_not_pass(
    move: Move, monkeypatch: pytest.MonkeyPatch, pattern: str, phase: str
) -> None:
    monkeypatch.setattr(listing, "COARSEST", 0)
    path = max(move.data.glob(pattern), key=lambda p: p.stat().st_size)
    right = path.read_bytes()
    wrong = right.replace(b'"createdAt":"2', b'"createdAt":"1', 1)
    assert wrong != right
    path.write_bytes(wrong)
    with closing(ahead_of(move, Righted(path, right, phase))) as ahead:
        assert ahead.verify()
        assert ahead.report is not None
        assert ahead.report.equal
        path.write_bytes(wrong)
        assert ahead.end() is None
        assert path.name in ahead.unsure
