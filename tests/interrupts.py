"""Raises out of any moment at which Python may run a signal handler in the main thread.

A handler runs between any two instructions; what it raises comes out of the line, function start or call
that was under way.  An :class:`Interrupter` counts these moments by tracing, and raises at one of them.
Three kinds are left out, since Python runs no handler there: the first line of a ``finally``, a ``with``
statement that is being left, and an instruction that does nothing, which the line of a ``try`` is.  (No block
covers that one: an exception out of it would leave a ``with`` around it without its exit, and a lock taken
for ever.)  What is raised while Python deletes an object, it drops.

What was just being opened or closed then is held by the exception's traceback alone, so that no code can
close it.  Python warns of that (ResourceWarning) when it deletes the object, perhaps during a later test.  So
this warning is ignored from an interruption to the end of its test, and :func:`collect` deletes what is left.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import gc
import os
import sys
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, ClassVar

import octavo

_SOURCES = (str(Path(octavo.__file__).parent), contextlib.__file__, threading.__file__)


class Interrupt(BaseException):
    """What a signal handler raises."""


class Interrupter:
    """Counts the moments of some work, and raises at one of them."""

    used: ClassVar[bool] = False
    """whether the test that runs has interrupted anything"""

    def __init__(self, at: int = 0, kind: type[BaseException] = Interrupt) -> None:
        """``at``: at which of them, from 1; 0: at none."""
        self.at, self.kind = at, kind
        self.moments: list[str] = []
        """where each of them was"""
        self.where = ""
        self.notes: list[str] = []
        """what was noted on the exception"""
        self._entered: set[tuple[int, int]] = set()

    @property
    def fired(self) -> bool:
        return self.where != ""

    def run(self, work: Callable[[], Any]) -> bool:
        """Do the work; whether it was interrupted."""
        if self.at:
            Interrupter.used = True
            # pytest undoes this at the end of the test.
            warnings.simplefilter("ignore", ResourceWarning)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        try:
            sys.settrace(self._trace)
            sys.setprofile(self._profile)
            work()
        except self.kind as error:
            assert self.fired
            self.notes = list(getattr(error, "__notes__", ()))
            return True
        finally:
            sys.settrace(None)
            sys.setprofile(None)
            sys.unraisablehook = self._hook
        return False

    def _dropped(self, what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is not self.kind:
            self._hook(what)

    def distinct(self) -> list[int]:
        """Of all moments, counted from 1, the first and the last at each place in the code."""
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for at, where in enumerate(self.moments, 1):
            first.setdefault(where, at)
            last[where] = at
        return sorted({*first.values(), *last.values()})

    def _moment(self, frame: FrameType, what: str) -> None:
        code = frame.f_code
        self.moments.append(f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_name} ({what})")
        if len(self.moments) == self.at:
            self.where = self.moments[-1]
            sys.settrace(None)
            sys.setprofile(None)
            raise self.kind

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "call":
            if not frame.f_code.co_filename.startswith(_SOURCES):
                return None
            # A block's exit is its ``with`` statement's.
            if frame.f_code.co_name not in ("__exit__", "__del__"):
                self._moment(frame, "start")
        elif event == "line" and not self._is_exempt(frame):
            self._moment(frame, "line")
        return self._trace

    def _profile(self, frame: FrameType, event: str, arg: object) -> None:
        if event == "c_return" and frame.f_code.co_filename.startswith(_SOURCES):
            self._moment(frame, "return from C")

    def _is_exempt(self, frame: FrameType) -> bool:
        if frame.f_lasti in _idle(frame.f_code):
            return True
        finals, withs = _special_lines(frame.f_code.co_filename)
        if frame.f_lineno in finals:
            return True
        if frame.f_lineno in withs:
            here = (id(frame), frame.f_lineno)
            if here in self._entered:
                return True
            self._entered.add(here)
        return False


def collect() -> None:
    """Delete what the test that ends has interrupted."""
    if Interrupter.used:
        Interrupter.used = False
        gc.collect()


@cache
def _idle(code: CodeType) -> frozenset[int]:
    """Where the instructions are that do nothing."""
    return frozenset(one.offset for one in dis.get_instructions(code) if one.opname == "NOP")


@cache
def _special_lines(file: str) -> tuple[frozenset[int], frozenset[int]]:
    """The first lines of each ``finally``, and the lines of ``with`` statements."""
    finals, withs = set(), set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Try) and node.finalbody:
            finals.add(node.finalbody[0].lineno)
        elif isinstance(node, ast.With):
            withs |= {node.lineno, *(item.context_expr.lineno for item in node.items)}
    return frozenset(finals), frozenset(withs)
