"""A rollback carries and verifies while writers of the files go on: whatever happens meanwhile, on either
side, it ends with both sides equal, or leaves the files of record."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from moves import Move, Writing, converse
from octavo.backend import DataBackend
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import BusyError, DamagedError, DifferenceError, OctavoError
from octavo.fold.export import ExportOptions, export
from octavo.fold.source import known_origin, leave_origin
from octavo.inspect.progress import SILENT, Progress, Step
from octavo.layout.load import flat_layout
from octavo.move import listing, news
from octavo.move.carry import Carry
from octavo.move.rollback import rollback
from octavo.move.sides import MoveOptions, MoveReport
from octavo.postgres.connection import connect as connect_to
from octavo.postgres.embedded import EmbeddedServer
from octavo.schema.ddl import ddl
from octavo.schema.parser import parse_schema
from octavo.store.offline import Resting, at_rest
from octavo.url import DatabaseUrl

STEPS = ("carry back", "verify ahead", "lock")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def base(
    server: EmbeddedServer,
    sample: tuple[str, Path],
    exported: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Path]]:
    """A move that was cut over: its database, to be copied, and its folder."""
    folder = tmp_path_factory.mktemp("rollback")
    server.create_database("rollback_base", template=sample[0])
    shutil.copytree(exported, folder / "data", symlinks=True)
    shutil.copytree(sample[1], folder / "public")
    move = Move(server.url("rollback_base", schema="public"), folder / "data", folder / "public")
    assert move.verify()
    assert move.cutover(waive=("backup",)).done
    yield "rollback_base", folder
    server.drop_database("rollback_base")


@pytest.fixture
def over(
    server: EmbeddedServer, base: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Move]:
    # Else all that was made just now would count as changed.
    monkeypatch.setattr(listing, "COARSEST", 0)
    name = f"rollback_{next(_numbers)}"
    server.create_database(name, template=base[0])
    shutil.copytree(base[1], tmp_path / "move", symlinks=True)
    yield Move(server.url(name, schema="public"), tmp_path / "move" / "data", tmp_path / "move" / "public")
    server.drop_database(name)


def at(step: str, happen: Callable[[], object]) -> Callable[[Step], None]:
    """What lets something happen when a step is done for the first time."""
    done: list[str] = []

    def tell(made: Step) -> None:
        if made.name == step and not done:
            done.append(step)
            happen()

    return tell


def outcome(report: MoveReport, step: str) -> str:
    return {made.name: made.outcome for made in report.steps}[step]


def was_quick(report: MoveReport) -> bool:
    """Whether only what had changed was carried and verified while writers waited."""
    return "that may have changed since" in outcome(report, "verify")


# What may happen


class Event(NamedTuple):
    happen: Callable[[Move], object]
    quick: bool = False
    """whether it is told without looking at everything while writers wait"""
    refused: bool = False
    """whether the files cannot be carried"""


def application(change: Callable[[Any], object]) -> Callable[[Move], object]:
    def happen(move: Move) -> None:
        with move.client("json") as db:
            change(db)

    return happen


def move_a_message(db: Any) -> None:
    message = db.message.find_first()
    other = db.chat.find_first(where={"id": {"not": message.chatId}})
    db.message.update(where={"id": message.id}, data={"chatId": other.id})


def exchange_two_names(db: Any) -> None:
    """Each has for a moment the unique value of the other."""
    one, other = db.tag.find_many(take=2)
    names = {
        one.id: {"name": other.name, "nameLower": other.nameLower},
        other.id: {"name": one.name, "nameLower": one.nameLower},
    }
    with db.tx() as tx:
        tx.tag.update(where={"id": one.id}, data={"name": "between", "nameLower": "between"})
        tx.tag.update(where={"id": other.id}, data=names[other.id])
        tx.tag.update(where={"id": one.id}, data=names[one.id])


def remove_a_character(db: Any) -> None:
    db.character.delete(where={"id": db.character.find_first(where={"chats": {"some": {}}}).id})


def sql(statement: str) -> Callable[[Move], object]:
    """By an owner who has gone around the fence."""

    def happen(move: Move) -> None:
        with closing(connect_to(move.database)) as connection:
            connection.execute(f"SET session_replication_role = replica; {statement}".encode())

    return happen


def chats(move: Move) -> list[Path]:
    """The logs of chats, the longest first."""
    found = [path for path in (move.data / "chats").glob("*.jsonl") if path.name != "index.jsonl"]
    return sorted(found, key=lambda path: -path.stat().st_size)


def edited(move: Move) -> None:
    """By an editor, in place: as many bytes as before."""
    path = chats(move)[0]
    text = path.read_bytes()
    at = text.index(b'"content":"') + 11
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"~" if text[at : at + 1] != b"~" else b"!")


def edited_beside(move: Move) -> None:
    """By an editor that writes another file and renames it."""
    path = move.data / "tags" / "tags.json"
    found = json.loads(path.read_bytes())
    found["tags"][0]["color"] = "#123456"
    path.with_name("new").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    os.replace(path.with_name("new"), path)


def without_a_line(move: Move) -> None:
    path = chats(move)[0]
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def added_twice(move: Move) -> None:
    """One message in two chats."""
    one, other = chats(move)[:2]
    line = json.loads(one.read_bytes().splitlines()[0])
    line["chatId"] = json.loads(other.read_bytes().splitlines()[0])["chatId"]
    with open(other, "ab") as file:
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def cut(move: Move) -> None:
    path = move.data / "tags" / "tags.json"
    path.write_bytes(path.read_bytes()[:-20])


EVENTS = {
    "nothing": Event(lambda _: None, quick=True),
    "the application writes": Event(application(converse), quick=True),
    "a message moves": Event(application(move_a_message), quick=True),
    "two records exchange unique values": Event(application(exchange_two_names), quick=True),
    "a record goes with all that belongs to it": Event(application(remove_a_character), quick=True),
    "a log is edited in place": Event(edited),
    "a document is edited": Event(edited_beside, quick=True),
    "a line is taken out": Event(without_a_line, quick=True),
    "a row is updated": Event(sql("UPDATE users SET name = 'x'")),
    "a row is deleted": Event(sql("DELETE FROM messages WHERE id = (SELECT min(id) FROM messages)")),
    "a row moves": Event(
        sql(
            """UPDATE messages SET "chatId" = (SELECT max(id) FROM chats)
            WHERE id = (SELECT min(id) FROM messages WHERE "chatId" <> (SELECT max(id) FROM chats))"""
        )
    ),
    "a row is inserted": Event(
        sql(
            """INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")
            SELECT 'new', min(id), 'new', 'new', now() FROM users"""
        )
    ),
    "a table is truncated": Event(sql("TRUNCATE messages CASCADE")),
    "a document is cut": Event(cut, refused=True),
    "a message is in two logs": Event(added_twice, refused=True),
    "a log is removed": Event(lambda move: chats(move)[0].unlink(), refused=True),
}
QUICKLY = [
    ("verify ahead", "the application writes"),
    ("carry back", "two records exchange unique values"),
    ("lock", "a log is edited in place"),
    ("verify ahead", "a row is deleted"),
    ("lock", "a log is removed"),
]
BY_APPLICATION = [
    name for name, event in EVENTS.items() if event.happen.__qualname__.startswith("application")
]
"""what has to wait for the lock"""
ALL = [
    (step, name)
    for step in STEPS
    for name in EVENTS
    if (step, name) not in QUICKLY and not (step == "lock" and name in BY_APPLICATION)
]


@pytest.mark.parametrize(
    ("step", "name"), [*QUICKLY, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL)]
)
def test_whatever_happens_meanwhile_both_sides_are_equal_or_nothing_is_switched(
    over: Move, step: str, name: str
) -> None:
    event = EVENTS[name]
    before = over.sql("SELECT count(*) FROM messages")
    if event.refused:
        with pytest.raises(OctavoError):
            over.rollback(at(step, lambda: event.happen(over)))
        assert over.state.backend is DataBackend.JSON
        assert over.is_fenced
        assert over.sql("SELECT count(*) FROM messages") == before, "what cannot be read stays in PostgreSQL"
        return
    report = over.rollback(at(step, lambda: event.happen(over)))
    assert report.done
    assert not over.is_fenced
    assert over.verify()
    if event.quick:
        assert was_quick(report), outcome(report, "verify")


def test_writers_of_the_files_go_on_and_nothing_of_theirs_is_lost(over: Move) -> None:
    writing = Writing(over, ("json",))
    report = over.rollback()
    written = writing.end()
    assert report.done
    assert was_quick(report), outcome(report, "verify")
    with over.client("prisma") as db:
        assert db.tag.count(where={"id": {"in": written}}) == len(written)
    assert over.verify()


@pytest.mark.parametrize(
    "step",
    ["verify ahead", *(pytest.param(s, marks=pytest.mark.slow) for s in ("carry back", "lock", "verify"))],
)
def test_killed_while_writers_go_on_it_is_simply_done_again(over: Move, step: str) -> None:
    writing = Writing(over, ("json",))
    with over.paused("rollback", step) as run:
        run.kill()
    assert over.state.backend is DataBackend.JSON
    assert over.is_fenced
    report = over.rollback()
    written = writing.end()
    assert report.done
    with over.client("prisma") as db:
        assert db.tag.count(where={"id": {"in": written}}) == len(written)
    assert over.verify()


@pytest.mark.parametrize(
    "step",
    ["verify ahead", *(pytest.param(name, marks=pytest.mark.slow) for name in ("carry back", "verify"))],
)
def test_interrupted_it_leaves_the_files_of_record(over: Move, step: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        over.rollback(at(step, interrupt))
    assert over.state.backend is DataBackend.JSON
    with over.client("json") as db:
        converse(db)
    assert over.rollback().done
    assert over.verify()


def test_more_than_can_be_looked_at_is_carried_and_verified_with_everything(
    over: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many() -> None:
        monkeypatch.setattr(news, "MOST", 3)
        application(converse)(over)

    report = over.rollback(at("verify ahead", many))
    assert "all of it: more than 3 records" in outcome(report, "carry back")
    assert over.verify()


def test_a_file_that_is_damaged_from_the_beginning_leaves_postgresql_as_it_is(over: Move) -> None:
    cut(over)
    before = over.sql("SELECT xmin, id FROM tags ORDER BY 2")
    with pytest.raises(DamagedError, match=r"tags\.json"):
        over.rollback()
    assert over.sql("SELECT xmin, id FROM tags ORDER BY 2") == before


class Removes(Progress):
    """Lets the application remove a chat between the listing and the reading."""

    def __init__(self, move: Move) -> None:
        self.move, self.times = move, 0

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if phase == "carrying back" and not self.times:
            self.times += 1
            with self.move.client("json") as db:
                chat = db.chat.find_first(where={"messages": {"some": {}}})
                db.chat.delete(where={"id": chat.id})


def test_a_log_that_is_removed_while_it_is_read_is_no_damage(over: Move) -> None:
    options = MoveOptions(files_root=over.files_root, pepper=DEMO_PEPPER, jobs=1)
    report = rollback(over.sides, options, progress=Removes(over))
    assert report.done
    assert was_quick(report), outcome(report, "verify")
    assert over.verify()


class Disturbs(Progress):
    """Lets the application remove a character between each listing and reading, unless it has to wait."""

    def __init__(self, move: Move) -> None:
        self.move, self.times = move, 0

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        if phase == "carrying back" and not is_locked(self.move.data):
            self.times += 1
            application(remove_a_character)(self.move)


def is_locked(data: Path) -> bool:
    try:
        with at_rest(data, timeout=0):
            return False
    except BusyError:
        return True


def test_what_never_fits_together_is_carried_under_the_write_lock_ahead_of_the_freeze(over: Move) -> None:
    options = MoveOptions(files_root=over.files_root, pepper=DEMO_PEPPER, jobs=1)
    disturbs = Disturbs(over)
    report = rollback(over.sides, options, progress=disturbs)
    assert disturbs.times > 1
    assert was_quick(report), outcome(report, "verify")
    assert over.verify()


def test_a_round_in_doubt_leaves_it_to_the_next(over: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    class Writes(Progress):
        def begin(self, phase: str, total: int, unit: str = "rows") -> None:
            if phase == "carrying back":
                application(converse)(over)

    options = MoveOptions(files_root=over.files_root, pepper=DEMO_PEPPER, jobs=1)
    most = news.MOST
    monkeypatch.setattr(news, "MOST", 3)
    tell = at("carry back", lambda: monkeypatch.setattr(news, "MOST", most))
    report = rollback(over.sides, options, progress=Writes(), tell=tell)
    assert was_quick(report), outcome(report, "verify")
    assert over.verify()


def test_the_time_that_writers_waited_is_also_that_before_the_freeze(
    over: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry, taken = Carry.since, list[float]()

    def slowly(self: Carry, now: listing.Listing) -> int:
        started = time.monotonic()
        if is_slow := not taken and is_locked(over.data):
            time.sleep(1)
        number = carry(self, now)
        taken.extend([time.monotonic() - started] * is_slow)
        return number

    monkeypatch.setattr(Carry, "since", slowly)
    report = over.rollback()
    assert report.waited >= taken[0]


PARTED = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Note {
  id   Int    @id
  text String
}
"""
TABLES = """
CREATE TABLE "Note" (id int NOT NULL, text text NOT NULL, CONSTRAINT "Note_pkey" PRIMARY KEY (id))
  PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF "Note" FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF "Note" FOR VALUES FROM (10) TO (20);
INSERT INTO "Note" SELECT n, 'as it was' FROM generate_series(0, 19) AS n;
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.text = 'another'; RETURN NEW; END $$;
CREATE TRIGGER whole BEFORE INSERT OR UPDATE ON "Note" FOR EACH ROW EXECUTE FUNCTION other();
CREATE TRIGGER part BEFORE INSERT OR UPDATE ON high FOR EACH ROW EXECUTE FUNCTION other();
ALTER TABLE low DISABLE TRIGGER whole;
"""


def test_no_trigger_changes_what_is_carried_into_a_partition(database: str, tmp_path: Path) -> None:
    url, layout = DatabaseUrl.parse(database), flat_layout(parse_schema(PARTED))
    data, log = tmp_path / "data", tmp_path / "data" / "note.jsonl"
    enabled = b"SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger ORDER BY 1, 2"
    with closing(connect_to(url)) as connection:
        connection.execute(TABLES.encode())
        triggers = connection.execute(enabled).fetchall()
        export(url, data, layout, ExportOptions(tmp_path))
        carrying = Carry(url, data, layout, tmp_path, Resting(data, 30.0), SILENT)
        for number in range(2):
            with open(log, "a") as file:
                file.write(f'{{"_model":"Note","id":{12 + number},"text":"in the files"}}\n')
                file.write(f'{{"_model":"Note","id":{2 + number},"text":"in the files"}}\n')
            if number:
                carrying.since(listing.listed(layout, data))
            else:
                carrying.everything(frozen=True)
        rows = connection.execute(b"""SELECT id FROM "Note" WHERE text = 'in the files' ORDER BY 1""")
        assert [n for (n,) in rows] == [2, 3, 12, 13]
        others = connection.execute(b"""SELECT count(*) FROM "Note" WHERE text = 'as it was'""").fetchone()
        assert others == (16,)
        assert connection.execute(enabled).fetchall() == triggers


def test_a_log_that_is_replaced_before_it_is_read_waits_for_the_next_round(
    database: str, tmp_path: Path
) -> None:
    url, layout = DatabaseUrl.parse(database), flat_layout(parse_schema(PARTED))
    data, log = tmp_path / "data", tmp_path / "data" / "note.jsonl"
    with closing(connect_to(url)) as connection:
        connection.execute(TABLES.encode())
        export(url, data, layout, ExportOptions(tmp_path))
        carrying = Carry(url, data, layout, tmp_path, Resting(data, 30.0), SILENT)
        carrying.everything(frozen=True)
        with open(log, "a") as file:
            file.write('{"_model":"Note","id":3,"text":"changed"}\n')
        listed = listing.listed(layout, data)
        compacted = [
            line.replace("as it was", "as long as never before")
            for line in log.read_text().splitlines(keepends=True)
        ]
        (tmp_path / "new").write_text("".join(compacted))
        os.replace(tmp_path / "new", log)
        carrying.since(listed)
        text = b"""SELECT count(*), count(*) FILTER (WHERE text LIKE 'as long%') FROM "Note" """
        assert connection.execute(text).fetchone() == (20, 0)
        carrying.since(listing.listed(layout, data))
        assert connection.execute(text).fetchone() == (20, 19)


COUNTED = PARTED.replace("@id", "@id @default(autoincrement())")


def test_a_sequence_only_goes_up_and_not_in_a_dry_run(database: str, tmp_path: Path) -> None:
    schema = parse_schema(COUNTED)
    url, layout = DatabaseUrl.parse(database), flat_layout(schema)
    data = tmp_path / "data"
    with closing(connect_to(url)) as connection:
        connection.execute(ddl(schema).script().encode())
        connection.execute(b"""INSERT INTO "Note" (text) SELECT 'x' FROM generate_series(1, 9)""")
        export(url, data, layout, ExportOptions(tmp_path))
        with open(data / "note.jsonl", "a") as file:
            file.write('{"_model":"Note","id":30,"text":"in the files"}\n')

        def last_after(*, keep: bool) -> object:
            carrying = Carry(url, data, layout, tmp_path, Resting(data, 30.0), SILENT)
            carrying.everything(frozen=True, keep=keep)
            return connection.execute(b"""SELECT last_value FROM "Note_id_seq" """).fetchone()

        assert last_after(keep=False) == (9,)
        assert last_after(keep=True) == (30,)
        connection.execute(b"""SELECT setval('"Note_id_seq"', 100)""")
        assert last_after(keep=True) == (100,)


def allow(move: Move, kind: str) -> None:
    """As the export of the files would have, with ``--allow-drift``."""
    leave_origin(move.data, msgspec.structs.replace(known_origin(move.data), allowed=(kind,)))


def test_records_are_removed_quickly_where_nothing_else_changes(over: Move) -> None:
    def remove(db: Any) -> None:
        db.character.delete(where={"id": db.character.find_first(where={"chats": {"none": {}}}).id})

    report = over.rollback(at("carry back", lambda: application(remove)(over)))
    assert was_quick(report), outcome(report, "verify")
    assert over.verify()


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_rows_of_tables_that_the_files_do_not_have_stay_as_they_are(over: Move, action: str) -> None:
    """The database refuses what they stand against, as it would for a record that was removed before."""
    allow(over, "extra-table")
    over.sql(f"CREATE TABLE audits (id int, tag text REFERENCES tags ON DELETE {action})")
    over.sql("INSERT INTO audits SELECT 1, id FROM tags")
    rows = over.sql("SELECT id, tag FROM audits ORDER BY tag")

    def remove(db: Any) -> None:
        db.tag.delete(where={"id": rows[0][1]})

    with pytest.raises(DifferenceError, match="audits"):
        over.rollback(at("carry back", lambda: application(remove)(over)))
    assert over.state.backend is DataBackend.JSON
    assert over.sql("SELECT id, tag FROM audits ORDER BY tag") == rows


def test_values_of_columns_that_the_files_do_not_have_stay_as_they_are(over: Move) -> None:
    allow(over, "extra-column")
    over.sql("ALTER TABLE tags ADD note text, ADD rank int NOT NULL DEFAULT 7")
    over.sql("SET session_replication_role = replica; UPDATE tags SET note = id, rank = 1")
    application(exchange_two_names)(over)
    report = over.rollback(at("carry back", lambda: application(converse)(over)))
    assert report.changes["Tag"] == {"inserted": 1, "changed": 2, "deleted": 1}
    assert over.verify()
    assert over.sql("SELECT DISTINCT note = id, rank FROM tags ORDER BY 2") == [(True, 1), (None, 7)]
