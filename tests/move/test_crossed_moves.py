"""Each command of a move paused, and killed, at each of its steps, while another one runs beside it.

At every moment one place takes writes, at most; what refuses a write says what is so; every write that was
acknowledged is in the place of record in the end, once; and no command ends in a defect.  A sample of the
crossings runs by default, all of them with ``-m slow``.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crash.both_sides import begin
from moves import LAYOUT, Move, crossed
from octavo import connect
from octavo.fold.export import ExportOptions, export
from octavo.postgres.embedded import EmbeddedServer

PLENTY: dict[str, Any] = {"patience": 20.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "cutover": {"waive": ("secrets", "backup"), **PLENTY},
    "rollback": PLENTY,
}
MOMENTS = {"cutover": 16, "rollback": 11, "cleanup": 4, "export": 3, "backup": 4, "compact": 3, "verify": 2}
"""how many steps of each command there are, and moments between two of them"""
FROM_FILES = ("rollback", "cleanup")
"""commands that begin where the files are of record"""
SAMPLE = [
    ("cutover", "freeze", "rollback", "killed"),
    ("rollback", "switch", "cutover", "paused"),
    ("cleanup", "state", "rollback", "paused"),
    ("export", "sync", "cutover", "paused"),
]
ALL = [
    (first, at, other, end)
    for first, moments in MOMENTS.items()
    for at in range(1, moments + 1)
    for other in MOMENTS
    for end in ("paused", "killed")
]
NewMove = Callable[[str], Move]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def bases(
    server: EmbeddedServer, schema_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, Path]]]:
    """A small database and its files: ready to be cut over, and cut over."""
    folder = tmp_path_factory.mktemp("crossed")
    server.create_database("crossed_ready", template=schema_template)
    move = Move(server.url("crossed_ready", schema="public"), folder / "ready" / "data", folder / "public")
    with connect(backend="prisma", database_url=move.url, data_dir=move.data) as db:
        begin(db)
    export(move.database, move.data, LAYOUT, ExportOptions(move.files_root))
    assert move.verify()
    server.create_database("crossed_over", template="crossed_ready")
    shutil.copytree(move.data, folder / "over" / "data")
    over = Move(server.url("crossed_over", schema="public"), folder / "over" / "data", folder / "public")
    assert over.cutover(waive=("secrets", "backup")).done
    yield {"ready": ("crossed_ready", move.data), "over": ("crossed_over", over.data)}
    for name in ("crossed_ready", "crossed_over"):
        server.drop_database(name)


@pytest.fixture
def new_move(server: EmbeddedServer, bases: dict[str, tuple[str, Path]], tmp_path: Path) -> Iterator[NewMove]:
    """A function that gives a move at one of these points."""
    made: list[str] = []

    def create(base: str) -> Move:
        name = f"crossed_{next(_numbers)}"
        database, data = bases[base]
        server.create_database(name, template=database)
        made.append(name)
        shutil.copytree(data, tmp_path / name / "data")
        return Move(server.url(name, schema="public"), tmp_path / name / "data", tmp_path / "public")

    yield create
    for name in made:
        server.drop_database(name)


@pytest.mark.parametrize(
    ("first", "at", "other", "end"),
    [*SAMPLE, *(pytest.param(*crossing, marks=pytest.mark.slow) for crossing in ALL)],
)
def test_crossed(first: str, at: str | int, other: str, end: str, new_move: NewMove) -> None:
    move = new_move("over" if first in FROM_FILES else "ready")
    crossed(move, (first, at), other, OPTIONS, is_killed=end == "killed")


@pytest.mark.slow
@pytest.mark.parametrize("command", MOMENTS)
def test_every_moment_is_crossed(command: str, new_move: NewMove) -> None:
    move = new_move("over" if command in FROM_FILES else "ready")
    with move.beside(command, **OPTIONS.get(command, {})) as run:
        assert run.go_on() == ""
    # One log of a compaction is as good as another.
    assert len([step for step in run.steps if not step.startswith("next log")]) <= MOMENTS[command]
