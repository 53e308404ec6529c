"""``doctor`` and ``backup`` against tar, alternated in one run.

    python benchmarks/care.py [SIZE ...] [--runs 5] [--jobs 2] [--only NAME ...] [--folder DIR]

A SIZE is messages or messages/chats, as in benchmarks/fold.py; without one it is 500000/2500.

The peers read every byte of the same folder, too:

- doctor: ``tar c`` to nowhere.  It goes through a pipe, as GNU tar reads nothing of what it writes to
  ``/dev/null``;
- backup: ``tar c`` to a file that is synced;
- compressed: ``tar c | gzip`` to a file that is synced.

Each is a whole process, from start to exit, with the files in the kernel's memory.  Processor time is that
of all processes of a command, the kernel's share in it; each figure is the smallest of the runs, and memory
the highest sum of the proportional set sizes (Pss) of all processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from runpy import run_path
from typing import Any

from octavo.postgres.connection import connect
from octavo.postgres.embedded import embedded_server
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema

_fold: Any = run_path(str(Path(__file__).with_name("fold.py")))
Figures, Size, run = _fold["Figures"], _fold["Size"], _fold["run"]


def make_store(size: Any, folder: Path) -> Path:
    """Export sample data of a size."""
    data = folder / f"data-{size.messages}-{size.chats}"
    if data.exists():
        return data
    with embedded_server() as server:
        url, files = server.create_database("source"), folder / "files"
        with connect(url) as connection:
            connection.execute(ddl(frozen_schema()).script().encode())
            size.fill(connection, files)
        where = ["--database-url", url, "--data-dir", str(data), "--files-root", str(files)]
        subprocess.run([sys.executable, "-m", "octavo", "export", *where, "--quiet"], check=True)
    return data


class Timed:
    """Figures with the processor time of each run."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.processor: list[float] = []

    def run(self, command: list[str]) -> None:
        """Run a command once."""
        os.sync()
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        before = _processor_time()
        run(command, environment, self.figures)
        self.processor.append(_processor_time() - before)


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Bench:
    """One store, measured."""

    def __init__(self, data: Path, folder: Path, jobs: int) -> None:
        self.data, self.folder, self.jobs = data, folder, jobs
        self.figures: dict[str, Timed] = {}

    def _shell(self, name: str, script: str) -> None:
        self._run(name, ["sh", "-ec", script])

    def _octavo(self, name: str, *arguments: str) -> None:
        where = ["--data-dir", str(self.data), "--quiet"]
        self._run(name, [sys.executable, "-m", "octavo", *arguments, *where])

    def _run(self, name: str, command: list[str]) -> None:
        self.figures.setdefault(name, Timed()).run(command)

    def round(self, only: Collection[str]) -> None:
        """Everything once, peers in between."""
        tar = f"tar cf - -C '{self.data}' ."
        plain, packed = self.folder / "a.tar", self.folder / "a.tar.gz"
        if "doctor" in only:
            self._shell("tar", f"{tar} | cat >/dev/null")
            self._octavo("doctor, 1 job", "doctor", "--jobs", "1")
            self._octavo("doctor", "doctor", "--jobs", str(self.jobs))
        if "backup" in only:
            self._shell("tar, synced", f"{tar} >'{plain}'; sync '{plain}'")
            plain.unlink()
            self._octavo("backup", "backup", str(plain))
            plain.unlink()
        if "compressed" in only:
            self._shell("tar | gzip", f"{tar} | gzip >'{packed}'; sync '{packed}'")
            packed.unlink()
            self._octavo("compressed", "backup", str(packed))
            packed.unlink()


COMMANDS = ("doctor", "backup", "compressed")
PEERS = (
    ("doctor, 1 job", "tar"),
    ("doctor", "tar"),
    ("backup", "tar, synced"),
    ("compressed", "tar | gzip"),
)


def show(size: Any, figures: dict[str, Timed]) -> None:
    """Print a line per command: wall and processor time with those of the peer, and memory."""
    for name, peer in PEERS:
        if name not in figures:
            continue
        ours, theirs = figures[name], figures[peer]
        print(f"{size!s:>20}  {name:<14}", end="")
        for a, b in ((ours.figures.seconds, theirs.figures.seconds), (ours.processor, theirs.processor)):
            print(f"{min(a):7.2f} s /{min(b):6.2f} s ={min(a) / min(b):6.2f}", end="   ")
        print(f"{ours.figures.memory:4.0f} MB", flush=True)


def main() -> None:
    """Measure each size and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", type=Size.parse, nargs="*", default=[Size(500_000, 2_500)], metavar="SIZE")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=COMMANDS, choices=COMMANDS)
    parser.add_argument("--folder", type=Path, help="keeps the stores, and uses those that it has")
    wanted = parser.parse_args()
    print(f"{'messages, chats':>20}  {'':<14}{'wall: ours, peer, ratio':>27}   {'processor':>27}   memory")
    for size in wanted.sizes:
        with tempfile.TemporaryDirectory() as made:
            folder = wanted.folder or Path(made)
            folder.mkdir(exist_ok=True)
            bench = Bench(make_store(size, folder), Path(made), wanted.jobs)
            for _ in range(wanted.runs):
                bench.round(wanted.only)
            show(size, bench.figures)


if __name__ == "__main__":
    main()
