"""A move, and its commands as processes that can be paused and killed at each of their named steps."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import psycopg

from octavo import connect
from octavo.backend import DataBackend, Settings
from octavo.care.backup import back_up, schema_of
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import OctavoError
from octavo.fold.export import ExportOptions, export
from octavo.follow import life
from octavo.follow.life import FollowOptions
from octavo.follow.state import Watcher
from octavo.inspect.progress import SILENT, Progress, Step, Tell, untold
from octavo.layout.load import frozen_layout
from octavo.move.cutover import cleanup, cutover
from octavo.move.rollback import rollback
from octavo.move.sides import MoveOptions, MoveReport, Sides
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres import fence
from octavo.postgres.connection import connect as connect_to
from octavo.query.vocabulary import Vocabulary
from octavo.store import phase
from octavo.store.phase import Phase
from octavo.store.store import Store
from octavo.url import DatabaseUrl

LAYOUT = frozen_layout()
DATAMODEL = LAYOUT.datamodel
PATIENCE = 60.0
"""seconds after which a process that has to say something is given up"""


class Move:
    """A database, its files, and what can be done to both."""

    def __init__(self, url: str, data: Path, files_root: Path) -> None:
        self.url, self.data, self.files_root = url, data, files_root
        self.sides = Sides(Vocabulary(DATAMODEL), Settings(database_url=url, data_dir=data, layout=None))

    @property
    def database(self) -> DatabaseUrl:
        return DatabaseUrl.parse(self.url)

    def client(self, kind: str) -> Any:
        return connect(backend=kind, database_url=self.url, data_dir=self.data)

    def sql(self, statement: str) -> list[Any]:
        """Run a statement in a session of its own; the rows."""
        with closing(connect_to(self.database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def state(self) -> phase.Migration:
        return phase.read(self.data)

    @property
    def mark(self) -> fence.Mark | None:
        with closing(connect_to(self.database)) as connection:
            return fence.read_mark(connection)

    @property
    def is_fenced(self) -> bool:
        with closing(connect_to(self.database)) as connection:
            return bool(fence.fenced(connection, DATAMODEL))

    def prepare(self) -> None:
        """All that has to be done before a cutover."""
        self.backup()
        assert self.verify()

    # Its commands

    def verify(self, progress: Progress = SILENT) -> bool:
        options = VerifyOptions(self.files_root, DEMO_PEPPER, 1)
        return verify(self.database, self.data, LAYOUT, options, progress).equal

    def backup(self, progress: Progress = SILENT) -> None:
        back_up(self.data, LAYOUT, None, schema_of(None), progress=progress)

    def compact(self, progress: Progress = SILENT) -> None:
        with Store.open(self.data, LAYOUT) as store:
            progress.begin("compact", 0)
            store.compact(lambda _: progress.begin("next log", 0))

    def export(self, progress: Progress = SILENT, **options: Any) -> None:
        given = {"jobs": 1, "replace": True, **options}
        export(self.database, self.data, LAYOUT, ExportOptions(self.files_root, **given), progress)

    def cutover(self, tell: Tell = untold, **options: Any) -> MoveReport:
        given = {"pepper": DEMO_PEPPER, "jobs": 1, **options}
        return cutover(self.sides, MoveOptions(files_root=self.files_root, **given), tell=tell)

    def rollback(self, tell: Tell = untold, **options: Any) -> MoveReport:
        given = {"pepper": DEMO_PEPPER, "jobs": 1, **options}
        return rollback(self.sides, MoveOptions(files_root=self.files_root, **given), tell=tell)

    def cleanup(self, tell: Tell = untold) -> MoveReport:
        return cleanup(self.sides, tell=tell)

    def follow(self, progress: Progress = SILENT, **options: Any) -> None:
        watcher = Watcher()
        watcher.progress = progress
        given = FollowOptions(self.files_root, jobs=1, until_caught_up=True, **options)
        life.follow(self.database, self.data, LAYOUT, given, watcher)

    def stop_following(self, progress: Progress = SILENT) -> None:
        progress.begin("stop", 0)
        life.stop(self.database, self.data)

    def run(self, what: str, reached: Callable[[str], object], **options: Any) -> None:
        """Run a command, which says when it has reached each of its steps."""

        class Steps(Progress):
            def begin(self, phase: str, total: int, unit: str = "rows") -> None:
                reached(phase)

        def tell(step: Step) -> None:
            reached(step.name)

        if what in ("cutover", "rollback", "cleanup"):
            getattr(self, what)(tell=tell, **options)
        else:
            getattr(self, what)(progress=Steps(), **options)

    @contextmanager
    def paused(self, what: str, at: str | int, **options: Any) -> Iterator[Paused]:
        """A command as a process of its own, which waits at a step, or the one of this number, until it is
        told to go on."""
        run = Paused(self, what, at, options)
        try:
            run.wait()
            yield run
        finally:
            run.kill()

    @contextmanager
    def beside(self, what: str, **options: Any) -> Iterator[Paused]:
        """A command as a process of its own, which goes on to its end."""
        run = Paused(self, what, "", options)
        try:
            yield run
        finally:
            run.kill()


class Paused:
    """A command in a forked process, paused at one of its steps."""

    def __init__(self, move: Move, what: str, at: str | int, options: dict[str, Any]) -> None:
        self._here, there = Pipe()
        self.steps: list[str] = []
        """those that it has reached"""
        self.error: str | None = None
        """what it ended with; empty: it was done"""
        self._is_paused = False
        self._pid = os.fork()
        if not self._pid:
            self._here.close()
            try:
                _work(move, what, at, options, there)
            finally:
                os._exit(1)
        there.close()

    def wait(self, patience: float | None = None) -> None:
        """Wait until it has reached its step, or has ended before; with ``patience``, for so many seconds."""
        while self.error is None:
            if not self._here.poll(PATIENCE if patience is None else patience):
                assert patience is not None, self.steps
                return
            kind, text = self._here.recv()
            if kind == "ended":
                self.error = text
            else:
                self.steps.append(text)
            if kind == "paused":
                self._is_paused = True
                return

    @property
    def has_ended(self) -> bool:
        return self.error is not None

    def go_on(self) -> str:
        """Let it go on, to its end; what it ended with."""
        if self._is_paused:
            self._is_paused = False
            self._here.send("go on")
        while self.error is None:
            self.wait()
        return self.error

    def kill(self) -> None:
        """Let it die as by ``kill -9``, wherever it is."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._here.close()
            self._pid = 0


class Writing:
    """A process that writes through clients until it is told to end."""

    def __init__(self, move: Move, kinds: tuple[str, ...]) -> None:
        self._here, there = Pipe()
        self._pid = os.fork()
        if not self._pid:
            self._here.close()
            try:
                _write(move, kinds, there)
            except BaseException as error:
                there.send(f"defect: {error!r}")
            finally:
                os._exit(0)
        there.close()
        assert self._here.poll(PATIENCE)
        ready = self._here.recv()
        assert ready == "ready", ready

    def end(self) -> list[str]:
        """The ids of the tags that were acknowledged."""
        self._here.send("end")
        assert self._here.poll(PATIENCE)
        found = self._here.recv()
        os.waitpid(self._pid, 0)
        self._here.close()
        assert not isinstance(found, str), found
        return list(found)


def _write(move: Move, kinds: tuple[str, ...], talk: Connection) -> None:
    acknowledged: list[str] = []
    number = 0
    # While one process has the store open, others that open it need not wait for its lock to recover it.
    with move.client("json"):
        talk.send("ready")
        while not talk.poll(0.01):
            for kind in kinds:
                if kind == "json" and move.state.backend is not DataBackend.JSON:
                    # An application is told to use the files when they are of record.
                    continue
                number += 1
                if attempt(move, kind, f"{kind}-{number}") is None:
                    acknowledged.append(f"{kind}-{number}")
        talk.send(acknowledged)


def attempt(move: Move, kind: str, name: str, *, keep: bool = True) -> str | None:
    """Write a tag, by SQL or with a client; why it was refused, with the hint, or None.

    ``keep``: by SQL, commit it, rather than only try it.
    """
    try:
        if kind == "sql":
            with closing(connect_to(move.database)) as connection:
                connection.execute("BEGIN; SET LOCAL lock_timeout = '200ms'")
                connection.execute(
                    """INSERT INTO tags (id, "userId", name, "nameLower", "updatedAt")"""
                    f" SELECT '{name}', min(id), '{name}', '{name}', now() FROM users".encode()
                )
                connection.execute("COMMIT" if keep else "ROLLBACK")
            return None
        with move.client(kind) as db:
            user = db.user.find_first()
            with db.tx(max_wait=0.2, timeout=2) as tx:
                tx.tag.create(data={"id": name, "userId": user.id, "name": name, "nameLower": name})
        return None
    except psycopg.Error as error:
        return f"{error.diag.message_primary or error} {error.diag.message_hint or ''}"
    except OctavoError as error:
        return f"{error.message} {error.hint}"


class Watched:
    """A move, what it has acknowledged, and what holds of it at every moment."""

    def __init__(self, move: Move, *, keeps_sql: bool = False) -> None:
        self.move, self.keeps_sql = move, keeps_sql
        self.acknowledged: list[str] = []
        self._numbers = itertools.count(1)

    def look(self) -> set[str]:
        """Try to write in every way.  While nothing else runs, what is accepted goes to one place, that of
        record; what is refused is refused with the truth.  Gives who could write."""
        state = self.move.state
        of_record = state.backend
        copied = of_record is DataBackend.PRISMA and not state.is_frozen and not state.rolled_back
        accepted = set()
        for kind in ("sql", "prisma", "dual", "json"):
            if kind == "json" and copied:
                # The files are a copy that their owner may write to; a cutover then finds the difference.
                continue
            if kind == "prisma" and not self.keeps_sql:
                # It would let both sides differ, as SQL would.
                continue
            name = f"probe-{kind}-{next(self._numbers)}"
            refusal = attempt(self.move, kind, name, keep=self.keeps_sql)
            if refusal is None:
                accepted.add(kind)
                self.acknowledged += [name] if kind != "sql" or self.keeps_sql else []
            elif "PostgreSQL is the backend of record" in refusal:
                assert of_record is DataBackend.PRISMA, refusal
            elif "files are the backend of record" in refusal or "live in files" in refusal:
                assert of_record is DataBackend.JSON, refusal
        if self.move.state.phase is Phase.CLEANUP:
            accepted.discard("sql")
        assert accepted <= ({"json"} if of_record is DataBackend.JSON else {"sql", "prisma", "dual"})
        return accepted

    def end(self) -> None:
        """Whatever has happened, one command at most lets writes in again; nothing that was acknowledged is
        missing then, nor after the way back."""
        move = self.move
        if not self.look():
            assert move.state.is_frozen
            assert move.rollback().done
        assert self.look()
        self.find_all()
        if move.state.backend is DataBackend.JSON and move.state.phase is not Phase.CLEANUP:
            assert move.rollback().done
            self.find_all()
        if move.state.following is not None:
            move.follow()
        in_step = not self.keeps_sql or move.state.following is not None
        if in_step and move.state.phase is not Phase.CLEANUP:
            assert move.verify()

    def find_all(self) -> None:
        kind = self.move.state.backend.value
        with self.move.client(kind) as db:
            found = [tag.id for tag in db.tag.find_many()]
        assert len(found) == len(set(found))
        assert set(self.acknowledged) <= set(found)


def crossed(
    move: Move,
    first: tuple[str, str | int],
    other: str,
    options: Mapping[str, Any],
    *,
    is_killed: bool,
    keeps_sql: bool = False,
) -> None:
    """Pause a command at a step, kill it there or let it go on, and run another one beside it, with writers;
    and hold against the rules what comes of it."""
    watched = Watched(move, keeps_sql=keeps_sql)
    writing = Writing(move, ("sql", "json") if keeps_sql else ("dual", "json"))
    try:
        with move.paused(*first, **options.get(first[0], {})) as one:
            if one.has_ended and isinstance(first[1], int):
                # It has fewer steps here than there are numbers; the rules hold all the same.
                assert not one.error, one.error
                return
            assert not one.has_ended, one.error
            watched.look()
            if is_killed:
                one.kill()
            with move.beside(other, **options.get(other, {})) as two:
                two.wait(1.0)
                if two.has_ended:
                    watched.look()
                said = [] if is_killed else [one.go_on()]
                said.append(two.go_on())
            assert not any(text.startswith("defect") for text in said), said
    finally:
        watched.acknowledged += writing.end()
        watched.end()


def _work(move: Move, what: str, at: str | int, options: dict[str, Any], talk: Connection) -> None:
    seen: Counter[str] = Counter()

    def reached(step: str) -> None:
        seen[step] += 1
        step = step if seen[step] == 1 else f"{step} {seen[step]}"
        if at in (step, seen.total()):
            talk.send(("paused", step))
            talk.recv()
        else:
            talk.send(("reached", step))

    _announce_windows(reached)
    try:
        move.run(what, reached, **options)
        talk.send(("ended", ""))
    except OctavoError as error:
        notes = "; ".join(getattr(error, "__notes__", ()))
        talk.send(("ended", f"{type(error).__name__}: {error} [{notes}]"))
    except BaseException as error:
        talk.send(("ended", f"defect: {error!r}"))


def _announce_windows(reached: Callable[[str], object]) -> None:
    """Say also what lies between two steps: the fence and the state change one after the other."""

    def after(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def announced(*args: Any, **kwargs: Any) -> Any:
            found = call(*args, **kwargs)
            reached(name)
            return found

        return announced

    @contextmanager
    def changing(data_dir: Any) -> Iterator[Any]:
        with change(data_dir) as state:
            yield state
        reached("state written")

    change = phase.changing
    for module, name, words in (
        (fence, "put_up", "fence up"),
        (fence, "turn", "fence turned"),
        (fence, "take_down", "fence down"),
    ):
        setattr(module, name, after(words, getattr(module, name)))
    phase.changing = changing


def converse(db: Any) -> None:
    """A change of each kind, wherever the client writes."""
    message = db.message.find_first()
    user = db.user.find_first()
    db.message.create(data={"chatId": message.chatId, "role": "USER", "content": "more"})
    db.message.update(where={"id": message.id}, data={"content": "changed"})
    db.message.delete(where={"id": db.message.find_first(where={"id": {"not": message.id}}).id})
    about = dict.fromkeys(
        ("description", "personality", "scenario", "firstMessage", "exampleDialogues"), "1.10"
    )
    made = db.character.create(data={"userId": user.id, "name": "Mira", **about})
    profile = db.connection_profile.find_first()
    owner = {"userId": user.id, "characterId": made.id, "connectionProfileId": profile.id}
    chat = db.chat.create(data={**owner, "title": "new"})
    db.message.create(data={"chatId": chat.id, "role": "USER", "content": "first"})
    tag = db.tag.create(data={"userId": user.id, "name": "new", "nameLower": "new"})
    db.character_tag.create(data={"characterId": made.id, "tagId": tag.id})
    db.tag.delete(where={"id": db.tag.find_first(where={"id": {"not": tag.id}}).id})
    db.user.update(where={"id": user.id}, data={"name": "another"})
    gone = db.chat.find_first(where={"id": {"not": chat.id}, "messages": {"some": {}}})
    db.chat.delete(where={"id": gone.id})
