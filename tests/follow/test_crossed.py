"""The commands of a move whose files follow, paused and killed at each step while another one runs.

As in ``tests/move/test_crossed_moves.py``; here applications write to PostgreSQL by SQL, and their writes
are kept.
"""

from __future__ import annotations

from typing import Any

import pytest

from following import Followed
from moves import Move, crossed

OPTIONS: dict[str, dict[str, Any]] = {
    "cutover": {"waive": ("secrets", "backup"), "patience": 20.0},
    "rollback": {"patience": 20.0},
}
MOMENTS = {"cutover": 19, "follow": 1, "stop_following": 1}
OTHERS = ("cutover", "rollback", "follow", "stop_following", "compact", "backup", "verify")
SAMPLE = [("cutover", "catch up", "cutover", "killed")]
ALL = [
    (first, at, other, end)
    for first, moments in MOMENTS.items()
    for at in range(1, moments + 1)
    for other in OTHERS
    for end in ("paused", "killed")
]


@pytest.mark.parametrize(
    ("first", "at", "other", "end"),
    [*SAMPLE, *(pytest.param(*crossing, marks=pytest.mark.slow) for crossing in ALL)],
)
def test_crossed_while_following(first: str, at: str | int, other: str, end: str, followed: Followed) -> None:
    followed.seed()
    move = Move(followed.address, followed.data_dir, followed.files_root)
    crossed(move, (first, at), other, OPTIONS, is_killed=end == "killed", keeps_sql=True)
