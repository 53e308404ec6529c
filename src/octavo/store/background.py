"""Background upkeep: batches are written, and the journal is emptied, while a store is open."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable

from octavo.store.system import in_background

BATCH_INTERVAL = 0.1
"""seconds after which a batch is written"""
IDLE_INTERVAL = 0.5
"""seconds without a commit after which the journal is emptied"""


def keep_up(work: weakref.WeakMethod[Callable[[], bool]], interval: float) -> None:
    """Call a method of something every ``interval`` seconds, as long as it lives and answers True."""

    def run() -> None:
        while True:
            time.sleep(interval)
            if (call := work()) is None or not call():
                return
            del call

    in_background(run)
