"""What a user without privileges meets: permissions mean nothing to root, which tests may run as."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

_NOBODY = 65534


def without_privileges(folder: Path, work: Callable[[Path], object]) -> None:
    """Run some work on a folder, of which nothing is open to others, as its owner and not as root.

    Raises AssertionError if the work raises anything.  What it does to the folder is seen afterwards.
    """
    if os.geteuid() != 0:
        work(folder)
        return
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o711)
        (Path(above) / "own").mkdir()
        there = Path(shutil.move(folder, Path(above) / "own"))
        for path in (there.parent, there, *there.rglob("*")):
            os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
        child = os.fork()
        if not child:
            try:
                os.setegid(_NOBODY)
                os.seteuid(_NOBODY)
                work(there)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(1)
        ended = os.waitpid(child, 0)[1]
        shutil.move(there, folder)
        assert ended == 0, "see what was printed"
