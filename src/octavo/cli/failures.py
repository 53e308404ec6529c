"""How a command ends when something goes wrong: one sentence, the contract's exit code, no traceback."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from octavo.cli import console
from octavo.errors import DifferenceError, DiskError, OctavoError, UsageError

TRACEBACK_VARIABLE = "OCTAVO_TRACEBACK"
"""The environment variable that asks for tracebacks."""

_INTERRUPTED = 128 + signal.SIGINT
_PIPE_CLOSED = 128 + signal.SIGPIPE
_ABOUT_CODE = (NameError, AttributeError, ImportError, AssertionError, TypeError, OctavoError)
"""errors whose messages speak of the code, or are known to hold no secrets"""
_FACTS = ("file", "line", "column", "model", "key", "field", "findings", "sqlstate", "path", "errno")


class _Ended(SystemExit):
    """A signal ends the process."""

    code: int


def exit_code(command: Callable[[], Any], *, as_json: bool) -> int:
    """Run a command; say what went wrong, if anything did; give the process's exit code."""
    try:
        code = command()
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt as error:
        return _interrupted(_INTERRUPTED, _left(error), as_json=as_json)
    except _Ended as error:
        return _interrupted(error.code, _left(error), as_json=as_json)
    except SystemExit as error:
        # Click ends the process itself when it has completed a command line, or where the pipe is closed.
        if not error.code:
            return 0
        _forget_output()
        return _PIPE_CLOSED
    except BrokenPipeError:
        _forget_output()
        return _PIPE_CLOSED
    except Exception as error:
        return _exit_code_of(error, as_json=as_json)


def end_in_order() -> None:
    """Let the signals that end a process unwind it, so that what is half made is taken away again."""

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise _Ended(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        # A signal that is ignored (nohup) stays ignored.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, unwind)


@contextmanager
def telling_what_is_left(otherwise: str = "") -> Iterator[None]:
    """The block of a command whose interruption has notes that say what it leaves: Click would lose them.

    ``otherwise`` is said where there are none.
    """
    try:
        yield
    except (KeyboardInterrupt, _Ended) as error:
        ended = _Ended(error.code if isinstance(error, _Ended) else _INTERRUPTED)
        ended.__notes__ = _left(error) or [otherwise] * bool(otherwise)
        raise ended from error


def _left(error: BaseException) -> list[str]:
    """What an error leaves, as the code that raised it has noted."""
    return list(getattr(error, "__notes__", ()))


def _interrupted(code: int, left: Sequence[str], *, as_json: bool) -> int:
    said = "; ".join(left) or "existing data is unchanged"
    tell("Interrupted", f"interrupted; {said}", as_json=as_json)
    return code


def _exit_code_of(error: Exception, *, as_json: bool) -> int:
    name = type(error).__name__
    if os.environ.get(TRACEBACK_VARIABLE):
        _show_where(error)
    if isinstance(error, click.Abort):
        return _interrupted(_INTERRUPTED, _left(error.__cause__ or error), as_json=as_json)
    known = _known(error)
    if known is None:
        hint = f"please report it with what {TRACEBACK_VARIABLE}=1 shows, which holds none of your data"
        tell(name, f"this is a defect of Octavo ({name})", hint, as_json=as_json)
        return 3
    facts = {fact: getattr(known, fact) for fact in _FACTS if getattr(known, fact, None)}
    tell(type(known).__name__, *_said(known), as_json=as_json, facts=facts, left=_left(error))
    return known.exit_code


def _known(error: Exception) -> OctavoError | None:
    """The error as one of ours; None if it is unexpected."""
    if isinstance(error, OctavoError):
        return error
    if isinstance(error, OSError):
        return DiskError.of(error, "the system refused")
    if isinstance(error, MemoryError):
        return DiskError("there is not enough memory")
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help shows what there is" if context is not None else ""
        # What was typed may be a database's address, with its password.
        message = re.sub(r"://[^\s@]*@", "://…@", error.format_message())
        return UsageError(message.rstrip("."), hint=hint)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        from octavo.postgres.failures import database_error

        return database_error(error)
    return None


def _said(error: OctavoError) -> tuple[str, str]:
    # The findings are told one by one.
    message = error.summary if isinstance(error, DifferenceError) else error.message
    return message.rstrip(":"), error.hint


def tell(
    kind: str,
    message: str,
    hint: str = "",
    *,
    as_json: bool = False,
    facts: dict[str, Any] | None = None,
    left: Sequence[str] = (),
) -> None:
    """Say an error: on stderr, and for a machine on stdout too.  ``left``: what it leaves."""
    findings = list((facts or {}).get("findings", ()))
    try:
        if as_json:
            told = {"kind": kind, "message": message, "hint": hint, **(facts or {})}
            if left:
                told["left"] = list(left)
            console.answer({"error": told})
            sys.stdout.flush()
        console.problem("error", message)
        for finding in findings[: console.SHOWN]:
            console.detail(finding)
        if len(findings) > console.SHOWN:
            all_of_them = ": octavo schema check names them all" if kind == "DriftError" else ""
            console.detail(f"… and {len(findings) - console.SHOWN} more{all_of_them}")
        for text in (hint, *left):
            if text:
                console.detail(text)
    except OSError:
        _forget_output()


def _forget_output() -> None:
    """The output is closed or cannot be written: let Python's flush at exit not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _show_where(error: BaseException) -> None:
    """The places in the code, without the messages of others' errors: those may repeat values of rows."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    for cause in reversed(chain):
        print("".join(traceback.format_tb(cause.__traceback__)), end="", file=sys.stderr)
        said = f": {cause}" if isinstance(cause, _ABOUT_CODE) else ""
        print(f"{type(cause).__module__}.{type(cause).__qualname__}{said}", file=sys.stderr)
