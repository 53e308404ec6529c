"""The gates that a cutover has to pass: each looked at when it is asked for, with a reason for its answer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.errors import UsageError
from octavo.fold.target import State
from octavo.move.checklist import SECRETS_TITLE, Verdict
from octavo.text import some

if TYPE_CHECKING:
    from octavo.move.status import Status

WAIVABLE: Final = ("secrets", "backup")
"""the gates that a user may pass closed: what they guard is his to judge"""


class Gate(Struct, frozen=True, kw_only=True, rename={"name": "gate"}):
    """One gate: whether it is open, and why; what to do if it is not."""

    name: str
    open: bool
    reason: str
    hint: str = ""
    waived: bool = False
    """it is closed, and the user wants to pass nevertheless"""

    @property
    def passed(self) -> bool:
        """Whether it does not stand in the way."""
        return self.open or self.waived


def gates(found: Status, unowned: Collection[str], waive: Collection[str] = ()) -> list[Gate]:
    """Every gate, as things stand.  ``unowned``: tables that could not be closed to writers; ``waive``: the
    gates to pass closed.  Raises UsageError for one that cannot be."""
    if unknown := sorted(set(waive) - set(WAIVABLE)):
        raise UsageError(f"the gate {unknown[0]} cannot be waived; these can: {', '.join(WAIVABLE)}")
    return [
        gate if gate.open or gate.name not in waive else replace(gate, waived=True)
        for gate in _gates(found, unowned)
    ]


def _gates(found: Status, unowned: Collection[str]) -> Iterator[Gate]:
    yield _sides(found)
    yield _verification(found)
    yield Gate(
        name="divergence",
        open=not found.divergences,
        reason=f"{len(found.divergences):,} known" if found.divergences else "none known",
        hint="octavo status --heal",
    )
    waiting = (found.in_doubt or found.lagging) and not found.writing
    yield Gate(
        name="doubt",
        open=not waiting,
        reason=f"{found.in_doubt:,} of {found.entries:,} journal entries wait to be told their fate"
        if waiting
        else "no change waits to be told whether it happened",
        hint="octavo status --heal",
    )
    yield from _following(found)
    yield from _checked(found)
    yield _backup(found)
    yield Gate(
        name="freeze",
        open=not unowned,
        reason=f"this user owns not {', '.join(sorted(unowned)[:3])}, and so cannot close them to writers"
        if unowned
        else "PostgreSQL can be closed to writers",
        hint="use the role in DATABASE_URL that owns the tables",
    )


def _sides(found: Status) -> Gate:
    reason = found.database or found.store or ""
    if not reason and found.standing is not State.STORE:
        reason = "the files have not been made yet"
    hint = "octavo export" if found.standing is not State.STORE and not found.database else ""
    return Gate(
        name="sides", open=not reason, reason=reason or "PostgreSQL and the files are there", hint=hint
    )


def _verification(found: Status) -> Gate:
    """A full verification has passed since the files were made.  The one that speaks of the last write is
    repeated at the freeze."""
    verified, hint = found.migration.verified, "octavo verify"
    if found.migration.following is not None:
        reason = "while the files follow, both sides are never at one moment: it is made at the freeze"
        return Gate(name="verification", open=True, reason=reason)
    if verified is None:
        return Gate(name="verification", open=False, reason="none since the files were made", hint=hint)
    if not verified.equal:
        reason = f"that of {verified.time} found {some(verified.differences, 'difference')}"
        return Gate(name="verification", open=False, reason=reason, hint=hint)
    reason = f"that of {verified.time}: {verified.records:,} records, equal; repeated at the freeze"
    return Gate(name="verification", open=True, reason=reason)


def _following(found: Status) -> Iterator[Gate]:
    """Following can go on, and no other process follows: the cutover catches up by itself."""
    if found.migration.following is None:
        return
    from octavo.follow.life import is_running

    behind = "" if found.lag is None else f", {found.lag:,} bytes of log behind"
    reason, hint = found.following, "octavo follow --replace"
    if not reason and is_running(found.data_dir):
        reason, hint = "octavo follow runs: the cutover catches up by itself", "end octavo follow"
    yield Gate(
        name="following", open=not reason, reason=reason or f"the files can catch up{behind}", hint=hint
    )


def _checked(found: Status) -> Iterator[Gate]:
    for item in found.checklist:
        if item.title == SECRETS_TITLE:
            hint = "set ENCRYPTION_MASTER_PEPPER; or --waive secrets, if there is no pepper any more"
            yield Gate(name="secrets", open=item.verdict is Verdict.GOOD, reason=item.reason, hint=hint)
    bad = [i for i in found.checklist if i.verdict is Verdict.BAD and i.of_data and i.title != SECRETS_TITLE]
    yield Gate(
        name="checklist",
        open=not bad,
        reason="; ".join(f"{item.title}: {item.reason}" for item in bad) or "nothing speaks against it",
        hint="octavo status, octavo doctor",
    )


def _backup(found: Status) -> Gate:
    backup, hint = found.migration.backup, "octavo backup; or --waive backup"
    if backup is None:
        return Gate(name="backup", open=False, reason="none since the files were made", hint=hint)
    if not os.path.isfile(backup.archive):
        return Gate(name="backup", open=False, reason=f"{backup.archive} is not there any more", hint=hint)
    return Gate(name="backup", open=True, reason=f"{backup.archive}, of {backup.time}")
