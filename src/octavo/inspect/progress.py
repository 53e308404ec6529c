"""How far a long task is: what does the work tells it here, and the command line shows it."""

from __future__ import annotations


class Progress:
    """Told of phases and rows.  This one says nothing; the command line's draws a bar.

    ``advance`` is called from several threads.
    """

    def begin(self, phase: str, total: int, unit: str = "rows") -> None:
        """A phase begins that will take ``total`` steps, each one ``unit``; 0: nobody knows how many."""

    def advance(self, steps: int) -> None:
        """So many more steps are done."""


SILENT = Progress()
