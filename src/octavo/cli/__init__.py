"""The ``octavo`` command: one thin file per command."""

import gc
import sys


def main() -> None:
    """Run the command line, and end the process with the contract's exit code."""
    # Imports make many objects and no garbage: with Python's threshold of 700, a short command spends a
    # seventh of its time in looking for some.
    gc.set_threshold(10_000, 10, 10)
    from octavo.cli.app import run

    code = run()
    # Nor does a process that ends need a last search of everything.
    gc.freeze()
    sys.exit(code)
