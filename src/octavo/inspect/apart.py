"""Work that a process does beside this one, which was forked for it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

CAN_FORK = sys.platform.startswith("linux")


@contextmanager
def apart(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Let another process do some work; the function given waits for what it returns.

    That process begins with all that this one holds now, and must not touch what other threads may have been
    using.  It is gone at the end of the block.  What the work raises, the function raises; if the process
    died, this one does the work.
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, sending), daemon=True)
    process.start()
    sending.close()

    def result() -> T:
        try:
            is_done, found = receiving.recv()
        except EOFError:
            return work()
        if not is_done:
            raise found
        return found  # type: ignore[no-any-return]

    try:
        yield result
    finally:
        receiving.close()
        process.kill()
        process.join()
        process.close()


def _answer(work: Callable[[], Any], sending: Connection) -> None:
    """Send what the work returns, or raises; end without any of what this process has inherited."""
    # It would write to, and so copy, what is shared with the other process.
    gc.disable()
    try:
        try:
            answer = True, work()
        except Exception as error:
            answer = False, error
        sending.send(answer)
    finally:
        os._exit(0)
