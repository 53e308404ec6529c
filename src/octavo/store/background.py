"""What has to be done now and then while a store is open: batches written, the journal emptied."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from octavo.errors import BusyError, OctavoError
from octavo.store.system import in_background

if TYPE_CHECKING:
    from octavo.store.store import Store

BATCH_INTERVAL = 0.1
"""seconds after which a batch is written"""
IDLE_INTERVAL = 0.5
"""seconds without a commit after which the journal is emptied"""


class Keeper:
    """A thread that writes batches and empties the journal, as long as there is something to do."""

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self._interval = BATCH_INTERVAL if store.is_batched else IDLE_INTERVAL
        in_background(self._run)

    def _run(self) -> None:
        while True:
            time.sleep(self._interval)
            store = self._store()
            if store is None:
                return
            try:
                if not store.keep():
                    store.rest()
                    return
            except BusyError:
                continue
            except OctavoError:
                # Whoever writes next is told: what failed is remembered by the committer.
                store.rest()
                return
            del store
