"""Export a database, or verify files against it, on the workers of a Dask cluster: a part each.

    python run.py export --parts 8 --scheduler tcp://10.0.0.1:8786 -- --data-dir /shared/data
    python run.py verify --parts 8 --scheduler tcp://10.0.0.1:8786 -- --data-dir /shared/data

What follows ``--`` are options of ``octavo``.  Without ``--scheduler`` the parts run on this machine.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

from distributed import Client, Event, KilledWorker, LocalCluster, as_completed, get_worker

GOOD = {"export": {0}, "verify": {0, 1}}
"""exit codes with which a part has done its work; 1 of a verification: it found differences"""
OUTSIDE = 3
"""the exit code where a database, a disk or another process was in the way: trying again may help"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    error: str
    where: str
    seconds: float


def octavo(arguments: Sequence[str], stop: str) -> Ended:
    """Run a command; on a worker.  It is ended when the event ``stop`` is set."""
    started, stopping = time.monotonic(), Event(stop)
    command = [sys.executable, "-m", "octavo", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True) as process:
        while True:
            try:
                out, error = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                if stopping.is_set():
                    process.terminate()
    return Ended(process.returncode, out, error, get_worker().address, time.monotonic() - started)


def run(
    client: Client, commands: Mapping[str, Sequence[str]], good: set[int], *, together: bool
) -> dict[str, Ended]:
    """Run commands, each by the name of its part, and tell how they go.  Gives how each that counts ended.

    ``together``: none is of use without the others, so that all are ended as soon as one has failed.
    """
    name = f"octavo-{uuid4()}"
    stop = Event(name, client=client)
    parts = {
        client.submit(octavo, list(a), name, key=f"{name}-{p}", pure=False): p for p, a in commands.items()
    }
    found: dict[str, Ended] = {}
    try:
        for future in as_completed(parts):
            try:
                ended = future.result()
            except KilledWorker as error:
                ended = Ended(OUTSIDE, "", f"{error}\n", "a worker that was lost", 0.0)
            if stop.is_set():
                continue
            part = parts[future]
            found[part] = ended
            done = ended.code in good
            print(
                f"{part}: {'done' if done else 'failed'} on {ended.where}, {ended.seconds:.1f} s", flush=True
            )
            print(ended.error, end="", file=sys.stderr, flush=True)
            if together and not done:
                stop.set()
    finally:
        stop.set()
    return found


def work(client: Client, what: str, parts: int, options: Sequence[str], tries: int) -> int:
    """Run all parts, again those that failed for a reason that may pass.  Gives octavo's exit code."""
    commands = {f"part {n}/{parts}": [what, "--part", f"{n}/{parts}", *options] for n in range(1, parts + 1)}
    left = commands
    for attempt in range(1, tries + 1):
        ended = run(client, left, GOOD[what], together=what == "export")
        failed = {part: found for part, found in ended.items() if found.code not in GOOD[what]}
        if not failed:
            break
        # A negative code is a signal: the process was killed.
        if final := [found.code for found in failed.values() if found.code != OUTSIDE and found.code >= 0]:
            return final[0]
        if attempt == tries:
            print(f"given up after {tries} tries: {', '.join(failed)}", file=sys.stderr)
            return OUTSIDE
        # All parts of an export read one snapshot, which is gone with the part that held it.
        left = commands if what == "export" else {part: commands[part] for part in failed}
        print(f"trying again: {', '.join(left)}", file=sys.stderr, flush=True)
    if what == "export":
        # The part that puts the store in place ends after all others.
        print(list(ended.values())[-1].out, end="")
        return 0
    merged = run(client, {"merge": ["verify", "--merge", *options]}, {0, 1}, together=False)["merge"]
    print(merged.out, end="")
    return merged.code


def main() -> int:
    """Read the arguments, and run the parts on the cluster or on this machine."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s export|verify [--parts N] [--scheduler ADDRESS] [--tries N] [-- options of octavo]",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("what", choices=["export", "verify"])
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--scheduler", help="the address of Dask's scheduler")
    parser.add_argument("--tries", type=int, default=3)
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    given, options = parser.parse_args(arguments[:cut]), arguments[cut + 1 :]
    if given.scheduler:
        with Client(given.scheduler) as client:
            if given.what == "export" and given.parts > 1 and sum(client.nthreads().values()) < 2:
                parser.error("an export needs two threads of workers: the first part waits for the others")
            return work(client, given.what, given.parts, options, given.tries)
    # Each part is a process of its own, which one thread waits for.
    threads = max(given.parts, 2)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        return work(client, given.what, given.parts, options, given.tries)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
