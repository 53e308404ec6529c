"""Commands as processes of their own that start quickly: each is forked from one that has imported Octavo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SCRIPT = """
import json, os, signal, sys
import octavo.fold.export, octavo.move.merging
from octavo.cli.app import run
from octavo.fold import export
export._WORTH_SLICING = 1
signal.signal(signal.SIGINT, signal.default_int_handler)
for line in sys.stdin:
    what = json.loads(line)
    if isinstance(what, int):
        print(os.waitstatus_to_exitcode(os.waitpid(what, 0)[1]), flush=True)
    elif child := os.fork():
        print(child, flush=True)
    else:
        os.close(0)
        signal.alarm(100)
        for stream in (1, 2):
            os.dup2(os.open(what[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
        try:
            code = run(what[1:])
        except KeyboardInterrupt:
            code = 130
        os._exit(code)
"""


@dataclass
class Command:
    """A command that runs, or has ended."""

    zygote: Zygote
    pid: int
    output: Path
    code: int | None = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended keeps its number until it is waited for."""
        if self.code is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code; of one that was killed the negative signal."""
        if self.code is None:
            self.code = self.zygote.ask(self.pid)
        return self.code

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.output.read_text("utf-8")


@dataclass
class Zygote:
    """The process from which commands are forked."""

    process: subprocess.Popen[str]
    outputs: Path
    started: list[Command] = field(default_factory=list)

    def ask(self, what: int | list[str]) -> int:
        stdin, stdout = self._pipes()
        stdin.write(f"{json.dumps(what)}\n")
        stdin.flush()
        return int(stdout.readline())

    def start(self, *arguments: object) -> Command:
        """Start ``octavo`` with these arguments."""
        output = self.outputs / str(len(self.started))
        self.started.append(Command(self, self.ask([str(output), *map(str, arguments)]), output))
        return self.started[-1]

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout


@contextmanager
def zygote(outputs: Path) -> Iterator[Zygote]:
    """A zygote, whose commands print to files in this folder.  Those that still run at the end are killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=pipe, stdout=pipe, text=True) as process:
        made = Zygote(process, outputs)
        try:
            yield made
        finally:
            for command in made.started:
                command.send(signal.SIGKILL)
                command.wait()
            made._pipes()[0].close()
