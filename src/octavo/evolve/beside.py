"""What lies beside the records in ``cache/`` and speaks of PostgreSQL: it goes on under the new names.

The database that the files came from, what it had when it was exported, and what is known to differ.  Where
both sides are written to, a migration adds what only PostgreSQL can know: when its own ``now()`` was, how it
numbered its rows, what a person's SQL made of them.  ``octavo status --heal`` copies that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from octavo.backend import DataBackend
from octavo.backends import gap
from octavo.backends.divergence import COUNTERS, NAME, Divergence, Divergences
from octavo.errors import disk_errors
from octavo.evolve.matching import Matching
from octavo.fold.source import ORIGIN
from octavo.store import phase
from octavo.store.phase import Phase
from octavo.store.system import FOLDER_MODE


def carry(old: Path, new: Path, matching: Matching, only_there: Iterable[str]) -> list[str]:
    """Take it over from one data folder to the next.

    ``only_there``: the models of which PostgreSQL may have made something else.  Gives those that were noted
    as such.  Raises DiskError.
    """
    with disk_errors("keeping what is known of PostgreSQL"):
        (new / ORIGIN).parent.mkdir(FOLDER_MODE, exist_ok=True)
        if (old / ORIGIN).exists():
            shutil.copy2(old / ORIGIN, new / ORIGIN)
        _carry_divergences(old / NAME, new / NAME, matching)
    if (seed := gap.left(str(old))) is not None:
        counts = {after: seed.counts.get(before, 0) for after, before in matching.models.items()}
        counts |= {m.name: 0 for m in matching.new.tables if m.name not in counts}
        gap.leave(new, replace(seed, counts=counts))
    if not is_dual(old):
        return []
    found = sorted(only_there)
    for model in found:
        reason = "the migration of the files made values that PostgreSQL's own need not equal"
        Divergences(str(new)).add("answer", model, reason=reason)
    return found


def is_dual(root: Path) -> bool:
    """Whether PostgreSQL is of record and the files are kept in step with it."""
    state = phase.read(root)
    is_begun = state.has_reached(Phase.DUAL_WRITE) or (root / COUNTERS).exists()
    return is_begun and state.backend is DataBackend.PRISMA


def _carry_divergences(old: Path, new: Path, matching: Matching) -> None:
    if not old.exists():
        return
    lines = [
        msgspec.json.encode(renamed) + b"\n"
        for line in Divergences(str(old.parent.parent)).open()
        if (renamed := _renamed(line, matching)) is not None
    ]
    new.write_bytes(b"".join(lines))
    new.chmod(0o600)


def _renamed(line: Divergence, matching: Matching) -> Divergence | None:
    """The same under the new names; None if the model is gone."""
    if not line.model:
        return line
    model = matching.after.get(line.model)
    if model is None:
        return None
    names: Mapping[str, str] = {old: new for new, old in matching.fields[model].items()}
    key = None if line.key is None else {names.get(n, n): value for n, value in line.key.items()}
    return replace(line, model=model, key=key, fields=tuple(names.get(f, f) for f in line.fields))
