"""System calls that fail, fall short or are the last, and processes that die of it.

A process that dies here dies as by ``kill -9``: nothing of it runs any more, and the kernel lets go of its
locks and files.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol

from octavo.store.system import FileSystem

CALLS = tuple(name for name in vars(FileSystem) if not name.startswith("_"))
"""every system call by which a store changes the disk"""
KILLED = 9


class Fault(Protocol):
    """What becomes of a call.  ``go_on`` makes it as it should be."""

    def __call__(self, name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any: ...


class Faulty(FileSystem):
    """The real calls, counted; from the ``at``-th on, or that one only, subject to a fault."""

    def __init__(self, at: int = 0, fault: Fault | None = None, *, sticky: bool = False) -> None:
        """``at`` counts from 1; 0: every call is as it should be."""
        self.at, self.fault, self.sticky = at, fault, sticky
        self.calls: list[str] = []
        self.struck = False

    def make(self, name: str, args: tuple[Any, ...]) -> Any:
        """Make a call as it should be."""
        return getattr(super(), name)(*args)

    def pass_through(self, name: str, args: tuple[Any, ...]) -> Any:
        self.calls.append(name)

        def go_on(*args: Any) -> Any:
            return self.make(name, args)

        count = len(self.calls)
        if self.fault is not None and self.at and (count == self.at or (self.sticky and count > self.at)):
            self.struck = True
            return self.fault(name, args, go_on)
        return go_on(*args)


def _through(name: str) -> Callable[..., Any]:
    def call(self: Faulty, *args: Any) -> Any:
        return self.pass_through(name, args)

    return call


for _name in CALLS:
    setattr(Faulty, _name, _through(_name))


def die(name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any:
    """The process is killed before the call does anything."""
    os._exit(KILLED)


def die_half_way(name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any:
    """The process is killed when half of what it writes is written, or the call is done."""
    try:
        if name == "write":
            descriptor, data, at = args
            go_on(descriptor, data[: (len(data) + 1) // 2], at)
        else:
            go_on(*args)
    finally:
        os._exit(KILLED)


def fail(number: int) -> Fault:
    """The call is refused with this errno, having done nothing."""

    def fault(name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any:
        raise OSError(number, os.strerror(number))

    return fault


def fail_half_way(number: int) -> Fault:
    """The call is refused when half of what is to be written is written, or a sync has synced some."""

    def fault(name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any:
        if name == "write":
            descriptor, data, at = args
            go_on(descriptor, data[: (len(data) + 1) // 2], at)
        raise OSError(number, os.strerror(number))

    return fault


def fall_short(name: str, args: tuple[Any, ...], go_on: Callable[..., Any]) -> Any:
    """A write writes one byte only, which is no error."""
    if name == "write":
        descriptor, data, at = args
        return go_on(descriptor, data[:1], at)
    return go_on(*args)


class Failed(Exception):
    """What a child process raised; its traceback."""


@contextmanager
def child(work: Callable[[Connection], object]) -> Iterator[Connection]:
    """A forked process that does some work and talks about it through the connection.

    ``recv`` raises EOFError when it is dead.  An exception in it is raised here, when the block ends.
    """
    here, there = Pipe()
    process = os.fork()
    if not process:
        status = 1
        try:
            here.close()
            work(there)
            status = 0
        except BaseException:
            there.send(Failed(traceback.format_exc()))
        finally:
            os._exit(status)
    there.close()
    try:
        yield here
    finally:
        here.close()
        _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) in (0, KILLED), "the child failed"


def received(connection: Connection) -> Iterator[Any]:
    """All that a child says until it is dead.  Raises Failed if that is what it says."""
    while True:
        try:
            said = connection.recv()
        except EOFError:
            return
        if isinstance(said, Failed):
            raise said
        yield said
