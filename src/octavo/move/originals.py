"""The files below the files root that records name, by what tells whether one has changed since.

As in :mod:`octavo.move.listing`, a signature tells it; of a file that was changed shortly before, whose
signature may be that of two states, the digest does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from octavo.inspect.payloads import digest_of
from octavo.move import listing
from octavo.store.intake import read_payload
from octavo.store.safe_path import Outside, parts_of
from octavo.store.system import Signature, signature

State: TypeAlias = "Signature | str | None"
"""of a file: its signature, or (changed shortly before) its digest; None: there is none that is read"""


def originals(files_root: Path, paths: Iterable[str]) -> dict[str, State]:
    """The states of these files now; none where there is no such folder.  Raises OSError."""
    if not files_root.is_dir():
        return {}
    moment = time.time_ns()
    found: dict[str, State] = {}
    for path in paths:
        state = _signature(files_root, path)
        is_fresh = state is not None and state.changed > moment - listing.COARSEST
        found[path] = _digest(files_root, path) if is_fresh else state
    return found


def is_same(files_root: Path, path: str, state: State) -> bool:
    """Whether a file has the content that it had in this state."""
    now = _digest(files_root, path) if isinstance(state, str) else _signature(files_root, path)
    return now == state


def _signature(files_root: Path, path: str) -> Signature | None:
    try:
        parts_of(path)
        return signature(os.path.join(files_root, path))
    except (Outside, OSError):
        return None


def _digest(files_root: Path, path: str) -> str | None:
    try:
        return digest_of(read_payload(files_root, path))[0]
    except (Outside, OSError):
        return None
