"""The cutover and the way back: behind gates, losing nothing, and simply done again after a kill."""

from __future__ import annotations

import re
import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from command import octavo
from moves import Move
from octavo.backend import DataBackend, Settings
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import DatabaseError, DifferenceError, OctavoError, UsageError
from octavo.fold.export import ExportOptions, export
from octavo.inspect.progress import Step
from octavo.layout.load import frozen_layout
from octavo.move.cutover import cleanup, cutover
from octavo.move.rollback import rollback
from octavo.move.sides import MoveOptions, MoveReport, Sides
from octavo.postgres import fence
from octavo.postgres.connection import connect as connect_to
from octavo.query.vocabulary import Vocabulary
from octavo.store import phase
from octavo.store.phase import Phase

LAYOUT = frozen_layout()
DATAMODEL = LAYOUT.datamodel


def _talk(db: Any, text: str) -> str:
    """A change of each kind: new rows, changed ones, ones that go with others."""
    user = db.user.find_first()
    about = dict.fromkeys(
        ("description", "personality", "scenario", "firstMessage", "exampleDialogues"), "1.10"
    )
    made = db.character.create(data={"userId": user.id, "name": text, **about})
    owner, profile = {"userId": user.id, "characterId": made.id}, db.connection_profile.find_first()
    chat = db.chat.create(data={**owner, "connectionProfileId": profile.id, "title": text})
    db.message.create(data={"chatId": chat.id, "role": "USER", "content": text})
    db.user.update(where={"id": user.id}, data={"name": text})
    gone = db.chat.find_first(where={"id": {"not": chat.id}, "messages": {"some": {}}})
    db.chat.delete(where={"id": gone.id})
    return str(chat.id)


# Gates


def _closed(report: MoveReport) -> set[str]:
    return {gate.name for gate in report.closed}


def test_without_a_verification_and_a_backup_the_gates_are_closed(move: Move) -> None:
    report = move.cutover()
    assert not report.done
    assert _closed(report) == {"verification", "backup"}
    assert all(gate.reason for gate in report.gates)
    assert all(gate.hint for gate in report.closed)
    assert move.state.backend is DataBackend.PRISMA
    assert not move.is_fenced


def test_a_dry_run_shows_the_gates_and_changes_nothing(ready: Move) -> None:
    before = ready.state
    report = ready.cutover(dry_run=True)
    assert not report.done
    assert not report.closed
    assert ready.state == before
    assert not ready.is_fenced


def test_without_a_pepper_secrets_are_a_closed_gate_that_can_be_waived(ready: Move) -> None:
    assert _closed(ready.cutover(pepper=None)) == {"secrets"}
    report = ready.cutover(pepper=None, waive=["secrets"])
    assert report.done
    assert report.to_dict()["waived"] == ["secrets"]
    assert "waived: secrets" in ready.state.transitions[-1].why


def test_other_gates_cannot_be_waived(ready: Move) -> None:
    with pytest.raises(UsageError, match="verification cannot be waived"):
        ready.cutover(waive=["verification"])


def test_an_archive_that_is_gone_is_no_backup(ready: Move) -> None:
    assert ready.state.backup is not None
    Path(ready.state.backup.archive).unlink()
    assert _closed(ready.cutover()) == {"backup"}


def test_a_verification_that_found_something_closes_the_gate(ready: Move) -> None:
    with ready.client("prisma") as db:
        db.user.update_many(data={"name": "behind our back"})
    assert not ready.verify()
    assert _closed(ready.cutover()) == {"verification"}
    assert ready.state.phase is Phase.DUAL_WRITE


def test_damage_in_the_files_closes_the_gates(ready: Move) -> None:
    file = ready.data / "tags" / "tags.json"
    file.write_text(file.read_text()[:-20])
    assert "checklist" in _closed(ready.cutover())


def test_without_its_database_there_is_nothing_to_look_at(ready: Move) -> None:
    ready.sides = Sides(
        ready.sides.vocabulary,
        Settings(database_url="postgresql://u@127.0.0.1:1/x", data_dir=ready.data, layout=None),
    )
    for dry_run in (True, False):
        with pytest.raises(DatabaseError, match="cannot be reached"):
            ready.cutover(dry_run=dry_run)


# Cutover


def test_afterwards_the_files_are_of_record_and_postgresql_takes_no_writes(over: Move) -> None:
    assert (over.state.phase, over.state.backend) == (Phase.CUTOVER, DataBackend.JSON)
    assert over.is_fenced
    with over.client("json") as db:
        _talk(db, "on the files")
    for kind in ("prisma", "dual"):
        with over.client(kind) as db, pytest.raises(UsageError, match="of record"):
            db.user.delete_many()
    assert len(list((over.data / "cache" / "migration").glob("cutover-*.json"))) == 1


def test_the_commands_leave_a_page_and_say_where(ready: Move) -> None:
    where = ("--data-dir", ready.data, "--files-root", ready.files_root, "--json")
    settings = {"DATABASE_URL": ready.url, "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER}
    for command, side in (("cutover", "The files"), ("rollback", "PostgreSQL")):
        done = octavo(command, *where, **settings)
        assert done.code == 0, done.err
        assert Path(done.answer["report"]).parent == ready.data / "cache" / "migration"
        page = Path(done.answer["page"])
        assert page.parent == ready.data / "cache"
        assert re.search(rf"Backend of record<.{{0,40}}>{side}<", page.read_text())


def test_what_was_written_behind_the_back_of_the_last_verification_stops_it(ready: Move) -> None:
    with ready.client("prisma") as db:
        db.user.update_many(data={"name": "behind our back"})
    with pytest.raises(DifferenceError, match="nothing was switched"):
        ready.cutover()
    assert ready.state.backend is DataBackend.PRISMA
    assert not ready.is_fenced


def test_cutting_over_again_changes_nothing(over: Move) -> None:
    before = over.state
    assert over.cutover().done
    assert over.state == before


def test_an_export_does_not_throw_away_what_is_of_record(over: Move) -> None:
    with pytest.raises(UsageError, match="backend of record"):
        export(over.database, over.data, LAYOUT, ExportOptions(over.files_root, replace=True))


def test_nor_if_cache_was_deleted(over: Move) -> None:
    shutil.rmtree(over.data / "cache")
    with pytest.raises(UsageError, match="backend of record"):
        export(over.database, over.data, LAYOUT, ExportOptions(over.files_root, replace=True))


def test_writers_in_dual_wait_and_are_then_told_where_the_data_are(ready: Move) -> None:
    stop = threading.Event()
    errors: list[OctavoError] = []
    written: list[str] = []

    def write() -> None:
        with ready.client("dual") as db:
            user = db.user.find_first()
            while not stop.is_set():
                try:
                    tag = db.tag.create(
                        data={"userId": user.id, "name": str(len(written)), "nameLower": str(len(written))}
                    )
                    written.append(tag.id)
                except OctavoError as error:
                    errors.append(error)
                    return

    writer = threading.Thread(target=write)
    writer.start()
    while len(written) < 3:
        assert not errors
    report = ready.cutover()
    stop.set()
    writer.join()
    assert report.done
    assert report.waited > 0
    # They waited for what has changed since a verification ahead, and not for one of everything.
    assert "that may have changed since" in {step.name: step.outcome for step in report.steps}["verify"]
    assert all(isinstance(e, UsageError) and "of record" in str(e) for e in errors)
    with ready.client("json") as db:
        assert db.tag.count(where={"id": {"in": written}}) == len(written)


def test_writers_on_postgresql_are_refused_and_nothing_of_theirs_is_lost(ready: Move) -> None:
    with closing(connect_to(ready.database)) as connection:
        assert ready.cutover().done
        with pytest.raises(Exception, match="live in files now"):
            connection.execute("UPDATE users SET name = 'lost'")


# Rollback


def test_what_was_written_to_the_files_is_carried_back(over: Move) -> None:
    with over.client("json") as db:
        chat = _talk(db, "on the files")
    report = over.rollback()
    assert report.done
    assert report.changes["Message"]["inserted"] == 1
    assert report.changes["Message"]["deleted"] > 0
    assert report.changes["User"] == {"inserted": 0, "changed": 1, "deleted": 0}
    assert (over.state.phase, over.state.backend) == (Phase.DUAL_WRITE, DataBackend.PRISMA)
    assert not over.is_fenced
    with over.client("prisma") as db:
        assert db.chat.find_unique(where={"id": chat}).title == "on the files"
    with over.client("dual") as db:
        _talk(db, "on both")
    assert over.verify()


def test_and_if_cache_was_deleted(over: Move) -> None:
    shutil.rmtree(over.data / "cache")
    with over.client("json") as db:
        chat = _talk(db, "on the files")
    assert over.rollback().changes["Message"]["inserted"] == 1
    assert not over.is_fenced
    with over.client("prisma") as db:
        assert db.chat.find_unique(where={"id": chat}).title == "on the files"


def test_without_the_files_postgresql_stays_closed(over: Move, tmp_path: Path) -> None:
    over.sides = Sides(
        over.sides.vocabulary, Settings(database_url=over.url, data_dir=tmp_path / "none", layout=None)
    )
    with pytest.raises(UsageError, match="is no store"):
        over.rollback()
    assert over.is_fenced


def test_the_files_take_no_writes_alone_after_it(over: Move) -> None:
    with over.client("json") as before:
        over.rollback()
        with pytest.raises(UsageError, match="of record again"):
            before.user.update_many(data={"name": "lost"})
    with over.client("json") as db, pytest.raises(UsageError, match="of record again"):
        db.user.update_many(data={"name": "lost"})


def test_and_over_again(over: Move) -> None:
    for turn in range(2):
        with over.client("json") as db:
            _talk(db, f"turn {turn}")
        assert over.rollback().done
        with over.client("dual") as db:
            _talk(db, f"dual {turn}")
        over.prepare()
        assert over.cutover().done
    assert over.rollback().done
    assert over.verify()


def test_a_dry_run_tells_what_would_change_and_changes_nothing(over: Move) -> None:
    with over.client("json") as db:
        _talk(db, "on the files")
    with over.client("prisma") as db:
        before = db.message.count()
    report = over.rollback(dry_run=True)
    assert report.changes["Message"]["inserted"] == 1
    assert not report.done
    with over.client("prisma") as db:
        assert db.message.count() == before
    assert over.is_fenced
    assert over.state.backend is DataBackend.JSON


def test_it_refuses_if_postgresql_could_be_written_to_meanwhile(over: Move) -> None:
    with closing(connect_to(over.database)) as connection:
        connection.execute(f"DROP TRIGGER {fence.NAME} ON users")
        connection.execute("UPDATE users SET name = 'written behind our back'")
    with pytest.raises(DifferenceError, match="not closed to writers"):
        over.rollback()
    assert over.state.backend is DataBackend.JSON
    assert over.rollback(overwrite=True).done
    assert over.verify()


def test_damaged_files_are_not_carried_back(over: Move) -> None:
    file = over.data / "tags" / "tags.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DifferenceError, match=r"tags\.json"):
        over.rollback()
    assert over.state.backend is DataBackend.JSON
    assert over.is_fenced


def test_a_payload_that_was_added_is_put_back(over: Move) -> None:
    shutil.rmtree(over.files_root)
    assert over.rollback().done
    assert over.verify()
    assert list(over.files_root.rglob("*"))


def test_without_a_cutover_there_is_nothing_to_carry_back_and_a_fence_is_taken_down(move: Move) -> None:
    mark = fence.Mark(token="", command="cutover", who="ada", data_dir=move.sides.place, since=phase.now())
    fence.put_up(move.database, DATAMODEL, mark)
    report = move.rollback()
    assert report.done
    assert not report.changes
    assert not move.is_fenced


# Killed anywhere


def _kill(move: Move, what: str, at: str) -> None:
    """Do it in another process, which is killed when a step has been done."""
    with move.paused(what, at) as run:
        run.kill()


@pytest.mark.parametrize("at", ["gates", "verify ahead", "lock", "freeze", "verify", "switch"])
def test_a_cutover_that_was_killed_is_simply_done_again(ready: Move, at: str) -> None:
    _kill(ready, "cutover", at)
    assert (ready.state.backend is DataBackend.JSON) is (at == "switch")
    assert ready.is_fenced is (at in ("freeze", "verify", "switch"))
    assert ready.cutover().done
    assert ready.state.backend is DataBackend.JSON


def test_or_given_up_by_a_rollback(ready: Move) -> None:
    _kill(ready, "cutover", "verify")
    assert ready.rollback().done
    assert not ready.is_fenced
    with ready.client("dual") as db:
        _talk(db, "as if nothing had been")
    assert ready.verify()


@pytest.mark.parametrize("at", ["carry back", "verify", "switch", "open"])
def test_a_rollback_that_was_killed_is_simply_done_again(over: Move, at: str) -> None:
    with over.client("json") as db:
        _talk(db, "on the files")
    _kill(over, "rollback", at)
    assert over.is_fenced is (at != "open")
    assert over.rollback().done
    assert not over.is_fenced
    assert over.verify()


@pytest.mark.parametrize("at", ["verify ahead", "verify"])
def test_what_interrupts_a_cutover_leaves_postgresql_open(ready: Move, at: str) -> None:
    def tell(step: Step) -> None:
        if step.name == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cutover(ready.sides, MoveOptions(files_root=ready.files_root, pepper=DEMO_PEPPER, jobs=1), tell=tell)
    assert not ready.is_fenced


# The end


def test_cleanup_gives_up_the_way_back_and_leaves_the_database_as_it_is(over: Move) -> None:
    cleanup(over.sides)
    assert over.state.phase is Phase.CLEANUP
    assert not over.is_fenced
    with pytest.raises(UsageError, match="given up"):
        over.rollback()
    with over.client("json") as db:
        _talk(db, "for good")
    with over.client("prisma") as db, pytest.raises(UsageError, match="of record"):
        db.user.delete_many()


def test_cleanup_needs_no_database(over: Move) -> None:
    nowhere = Settings(database_url="postgresql://u@127.0.0.1:1/x", data_dir=over.data, layout=None)
    cleanup(Sides(Vocabulary(DATAMODEL), nowhere))
    assert over.state.phase is Phase.CLEANUP


def test_cleanup_before_a_cutover_is_refused(ready: Move) -> None:
    with pytest.raises(UsageError, match="not the backend of record"):
        cleanup(ready.sides)


def test_a_database_that_is_gone_does_not_hinder_the_files(over: Move) -> None:
    nowhere = Settings(database_url="postgresql://u@127.0.0.1:1/x", data_dir=over.data, layout=None)
    with pytest.raises(DatabaseError):
        rollback(Sides(Vocabulary(DATAMODEL), nowhere), MoveOptions(files_root=over.files_root))
    with over.client("json") as db:
        assert db.user.count()


def test_the_gates_are_shown_before_anything_is_frozen(ready: Move) -> None:
    fenced: list[bool] = []
    options = MoveOptions(files_root=ready.files_root, pepper=DEMO_PEPPER, jobs=1)
    done = cutover(ready.sides, options, show=lambda gates: fenced.append(ready.is_fenced))
    assert done.done
    assert fenced == [False]
