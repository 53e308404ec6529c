"""What a user without privileges meets: permissions mean nothing to root, which tests may run as."""

from __future__ import annotations

import ctypes
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_VERSION = 0x20080522
_OVERRIDES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: to read and write in spite of permissions"""


def without_privileges(folder: Path, work: Callable[[Path], object]) -> None:
    """Run some work on a folder in a process that has to keep to permissions.

    Raises AssertionError if the work raises anything.
    """
    child = os.fork()
    if not child:
        try:
            _give_up_overriding()
            work(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "see what was printed"


def _give_up_overriding() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for at in range(3):
        # Effective, permitted and inheritable, of the first 32 capabilities.
        sets[at] &= ~_OVERRIDES & 0xFFFFFFFF
    assert libc.capset(header, sets) == 0
