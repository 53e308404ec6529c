"""Two moves at once, and one that is interrupted: one place takes writes, and each says what is so."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from command import octavo
from crash.both_sides import begin
from moves import DATAMODEL, LAYOUT, Move
from octavo import connect
from octavo.backend import DataBackend, Settings
from octavo.cli import failures
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import BusyError, DatabaseError, DiskError, OctavoError, UsageError
from octavo.fold import target
from octavo.fold.export import ExportOptions, export
from octavo.inspect.progress import SILENT, Step, untold
from octavo.move.status import Looking, Status, status
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres import fence
from octavo.postgres.connection import connect as connect_to
from octavo.postgres.fence import Stage
from octavo.report.page import write_page_of_move
from octavo.schema.ddl import ddl
from octavo.store import disk, phase
from restartable import Restartable, open_folder

WAIVED = ("secrets", "backup")


def refused_by_sql(move: Move) -> tuple[str, str]:
    """With which message and hint PostgreSQL refuses a change."""
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as error:
        move.sql("UPDATE users SET name = name")
    return str(error.value.diag.message_primary), str(error.value.diag.message_hint)


def refused_by_client(move: Move, kind: str) -> OctavoError:
    with move.client(kind) as db, pytest.raises(OctavoError) as error:
        db.user.update_many(data={"name": "written"})
    return error.value


# Whose the fence is


def test_a_cutover_that_gives_up_leaves_the_fence_of_another_one(ready: Move) -> None:
    with ready.paused("cutover", "freeze") as first:
        for command in (ready.cutover, ready.rollback):
            with pytest.raises(BusyError, match=r"octavo cutover \(process"):
                command(patience=0.2)
        assert ready.is_fenced
        assert first.go_on() == ""
    assert ready.is_fenced
    assert ready.state.backend is DataBackend.JSON
    assert "live in files" in refused_by_sql(ready)[0]


def test_an_export_waits_for_a_cutover_and_then_refuses(ready: Move) -> None:
    with ready.paused("cutover", "verify") as first:
        with pytest.raises(BusyError, match="octavo cutover"):
            ready.export(lock_timeout=0.2)
        assert first.go_on() == ""
    with pytest.raises(UsageError, match="backend of record"):
        ready.export()


def test_a_cutover_waits_for_an_export(ready: Move) -> None:
    with ready.paused("export", "sync") as other:
        with pytest.raises(BusyError, match="octavo export"):
            ready.cutover(patience=0.2)
        assert other.go_on() == ""
    assert not ready.cutover(waive=["backup"]).done, "the files are others than were verified"


@pytest.mark.parametrize("at", ["freeze", pytest.param("switch", marks=pytest.mark.slow)])
def test_other_files_of_the_same_database_do_not_touch_its_fence(
    ready: Move, tmp_path: Path, at: str
) -> None:
    shutil.copytree(ready.data, tmp_path / "other")
    other = Move(ready.url, tmp_path / "other", ready.files_root)
    with ready.paused("cutover", at) as first:
        for command in (other.cutover, other.rollback):
            with pytest.raises(UsageError, match=str(ready.data)):
                command()
        assert other.state.backend is DataBackend.PRISMA
        assert first.go_on() == ""
    assert ready.is_fenced


# What is said while nothing is decided


def test_from_the_freeze_on_all_say_that_postgresql_is_of_record_and_closed(ready: Move) -> None:
    with ready.paused("cutover", "freeze") as run:
        run.kill()
    message, hint = refused_by_sql(ready)
    assert "PostgreSQL is the backend of record" in message
    assert "octavo cutover goes on" in hint
    assert "octavo rollback opens" in hint
    for kind in DataBackend:
        error = refused_by_client(ready, kind.value)
        assert "PostgreSQL is the backend of record, and closed to writers" in error.message
        assert "octavo rollback opens" in error.hint
    assert ready.rollback().notes
    ready.sql("UPDATE users SET name = 'written'")


@pytest.mark.parametrize("at", ["fence turned", "state written 5"])
@pytest.mark.parametrize("again", ["cutover", pytest.param("rollback", marks=pytest.mark.slow)])
def test_a_cutover_killed_within_its_switch_is_ended_either_way(ready: Move, at: str, again: str) -> None:
    with ready.paused("cutover", at) as run:
        run.kill()
    assert getattr(ready, again)().done
    expected = DataBackend.JSON if again == "cutover" else DataBackend.PRISMA
    assert ready.state.backend is expected
    assert ready.is_fenced is (again == "cutover")
    assert ready.mark is None or ready.mark.stage is Stage.MOVED


def test_a_rollback_killed_behind_its_switch_is_said_to_be_closed(over: Move) -> None:
    with over.paused("rollback", "switch") as run:
        run.kill()
    for kind in ("prisma", "dual", "json"):
        assert "closed to writers" in refused_by_client(over, kind).message
    assert over.rollback().done
    over.sql("UPDATE users SET name = 'written'")


# What is printed


def interrupted(move: Move, what: str, at: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed when a command is interrupted at a step."""

    def tell(step: Step) -> None:
        if step.name == at:
            raise KeyboardInterrupt

    assert failures.exit_code(lambda: getattr(move, what)(tell=tell), as_json=False) == 128 + signal.SIGINT
    return capsys.readouterr().err


def test_what_is_printed_when_a_cutover_is_interrupted(
    ready: Move, capsys: pytest.CaptureFixture[str]
) -> None:
    for at in ("gates", "freeze", "verify"):
        said = interrupted(ready, "cutover", at, capsys)
        assert said == "error: interrupted; PostgreSQL is the backend of record\n"
        ready.sql("UPDATE users SET name = name")
    said = interrupted(ready, "cutover", "switch", capsys)
    assert said == "error: interrupted; the files are the backend of record\n"
    for at in ("carry back", "verify"):
        said = interrupted(ready, "rollback", at, capsys)
        assert said == "error: interrupted; the files are the backend of record\n"
    said = interrupted(ready, "rollback", "switch", capsys)
    assert (
        "PostgreSQL is the backend of record, and still closed to writers: octavo rollback opens it" in said
    )


def test_the_command_says_so_too(ready: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    where = ("--data-dir", ready.data, "--files-root", ready.files_root, "--quiet")
    settings = {"DATABASE_URL": ready.url, "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER}
    with monkeypatch.context() as patch:
        patch.setattr(fence, "turn", interrupt)
        done = octavo("cutover", *where, **settings)
    assert (done.code, done.err) == (130, "error: interrupted; PostgreSQL is the backend of record\n")
    assert octavo("cutover", *where, **settings).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(fence, "take_down", interrupt)
        done = octavo("rollback", *where, **settings)
    assert done.code == 130
    assert "and still closed to writers: octavo rollback opens it" in done.err
    done = octavo("status", "--data-dir", ready.data, "--quick", DATABASE_URL=ready.url)
    assert "closed to writers" in done.out
    assert "octavo rollback opens" in done.out
    assert octavo("rollback", *where, **settings).code == 0


def test_a_reader_does_not_keep_postgresql_closed(ready: Move) -> None:
    ready.sql("UPDATE users SET name = 'not in the files'")
    with closing(connect_to(ready.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users")
        with pytest.raises(OctavoError, match="nothing was switched"):
            ready.cutover(patience=0.1)
        ready.sql("UPDATE users SET name = 'written'")
    assert not ready.is_fenced


def test_a_report_that_cannot_be_written_does_not_undo_the_move(ready: Move) -> None:
    (ready.data / "cache" / f"report-{phase.now()[:10]}.html").mkdir()
    for command in (ready.cutover, ready.rollback):
        report = command()
        write_page_of_move(report, ready.sides, DEMO_PEPPER, SILENT, untold)
        assert report.done
        assert report.report is not None
        assert report.page is None
        assert any("the page could not be written" in note for note in report.notes)


# A server that crashes


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """A server whose commits are not on disk when they return, unless they ask for it."""
    lazy = (("synchronous_commit", "off"), ("wal_writer_delay", "10s"))
    made = Restartable(open_folder(tmp_path_factory) / "data", lazy)
    yield made
    made.server.stop()


@pytest.fixture
def on_hasty(hasty: Restartable, tmp_path: Path) -> Move:
    move = Move(hasty.url, tmp_path / "data", tmp_path / "public")
    move.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + ddl(DATAMODEL).script())
    with connect(backend="prisma", database_url=hasty.url, data_dir=move.data) as db:
        begin(db)
    export(move.database, move.data, LAYOUT, ExportOptions(move.files_root))
    verify(move.database, move.data, LAYOUT, VerifyOptions(move.files_root, None, 1))
    move.sql("CHECKPOINT")
    return move


def test_a_fence_survives_a_crash_of_the_server(hasty: Restartable, on_hasty: Move) -> None:
    assert on_hasty.cutover(waive=WAIVED).done
    hasty.crash()
    hasty.restart()
    assert "live in files" in refused_by_sql(on_hasty)[0]
    with on_hasty.client("json") as db:
        db.user.update_many(data={"name": "in the files"})
    assert on_hasty.rollback().done
    hasty.crash()
    hasty.restart()
    assert on_hasty.sql("SELECT DISTINCT name FROM users") == [("in the files",)]
    assert not on_hasty.is_fenced


def test_a_crash_of_the_server_behind_the_freeze_is_told(hasty: Restartable, on_hasty: Move) -> None:
    def tell(step: Step) -> None:
        if step.name == "freeze":
            hasty.crash()

    with pytest.raises(DatabaseError) as raised:
        on_hasty.cutover(waive=WAIVED, tell=tell)
    notes = "; ".join(raised.value.__notes__)
    assert "PostgreSQL could not be opened again" in notes
    assert "still closed to writers: octavo rollback opens it" in notes
    hasty.restart()
    assert "closed to writers" in refused_by_sql(on_hasty)[0]
    assert on_hasty.rollback().done
    on_hasty.sql("UPDATE users SET name = 'written'")


# What status says


def look(move: Move, kind: DataBackend = DataBackend.DUAL, *, url: bool = True) -> Status:
    settings = Settings(database_url=move.url if url else "", data_dir=move.data, layout=None)
    return status(kind, move.sides.vocabulary, settings, Looking(quick=True))


def test_without_cache_status_says_who_is_of_record(over: Move) -> None:
    shutil.rmtree(over.data / "cache")
    for kind, url in ((DataBackend.DUAL, True), (DataBackend.JSON, True), (DataBackend.JSON, False)):
        assert look(over, kind, url=url).migration.backend is DataBackend.JSON
    assert over.cutover().done
    assert over.state.backend is DataBackend.JSON


def test_a_store_that_a_killed_export_set_aside_is_named(
    ready: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise DiskError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(target, "_settle", killed)
        with pytest.raises(DiskError, match="killed here"):
            ready.export()
    [aside] = look(ready).set_aside
    assert Path(aside).is_dir()
    options = ExportOptions(ready.files_root, jobs=1, replace=True)
    [named] = export(ready.database, ready.data, LAYOUT, options).settled
    assert named.name.startswith("data.replaced-")
    assert look(ready).set_aside == []


def test_what_a_killed_verification_left_goes_with_the_next(ready: Move) -> None:
    left = ready.data / "cache" / "verify-killed"
    left.mkdir()
    (left / "rows.sqlite").write_bytes(b"x")
    used = left.with_name("verify-used")
    used.mkdir()
    with disk.unlocked_folder(used):
        assert ready.verify()
        assert not left.exists()
        assert used.exists()
    ready.sql("UPDATE users SET name = 'another'")
    assert not ready.verify()
    assert list(used.parent.glob("verify-*")) == []
