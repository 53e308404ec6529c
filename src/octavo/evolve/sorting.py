"""Sorting what does not fit into memory: sorted runs in files, merged as they are read."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import closing
from heapq import merge
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeAlias

Item: TypeAlias = tuple[Any, Any]
"""What is sorted by, and what is sorted."""

_BUDGET = 32 << 20
"""bytes in memory, about"""
_first = itemgetter(0)


class Sorter:
    """Takes items in any order and gives them sorted."""

    def __init__(self, folder: Path, budget: int = _BUDGET) -> None:
        """``folder``: where the runs are written; they have no names there."""
        self._folder, self._budget = folder, budget
        self._items: list[Item] = []
        self._size = 0
        self._runs: list[IO[bytes]] = []

    def add(self, order: Any, item: Any, size: int) -> None:
        """``size``: about how many bytes the item takes."""
        self._items.append((order, item))
        self._size += size
        if self._size > self._budget:
            self._spill()

    def _spill(self) -> None:
        self._items.sort(key=_first)
        run = TemporaryFile(dir=self._folder)  # noqa: SIM115
        for item in self._items:
            pickle.dump(item, run, pickle.HIGHEST_PROTOCOL)
        run.flush()
        run.seek(0)
        self._runs.append(run)
        self._items.clear()
        self._size = 0

    def sorted(self) -> Iterator[Item]:
        """The items in order.  To be called once."""
        self._items.sort(key=_first)
        yield from merge(*map(_read, self._runs), self._items, key=_first)
        self._items = []

    def close(self) -> None:
        """Close the files of the runs."""
        for run in self._runs:
            run.close()


def _read(run: IO[bytes]) -> Iterator[Item]:
    with closing(run):
        while True:
            try:
                yield pickle.load(run)
            except EOFError:
                return
