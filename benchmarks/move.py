"""How long a cutover and a rollback keep writers waiting, with a writer beside them, and their memory.

    python benchmarks/move.py [SIZE ...] [--pause 0.01] [--folder DIR]

A SIZE is messages or messages/chats, as 1000000/2500; without one it is 200000/2500.  The writer is a process
of its own: it creates messages, and touches their chats, one after the other with a pause between them; in
``dual`` beside the cutover, and in ``json`` beside the rollback.  ``waited`` is what the command's report
says, ``longest`` the longest pair of calls of the writer before it was refused.  Memory is the highest sum of
the proportional set sizes (Pss) of all processes of the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fold import Size, resident  # type: ignore[attr-defined]
from octavo import connect as client
from octavo.demo.sample import DEMO_PEPPER
from octavo.errors import OctavoError
from octavo.postgres.connection import connect
from octavo.postgres.embedded import embedded_server
from octavo.schema.ddl import ddl
from octavo.schema.texts import frozen_schema


def write(kind: str, url: str, data: Path, pause: float) -> None:
    """Write until that is refused; prints how many messages and the longest call, in seconds."""
    done, longest = 0, 0.0
    with client(backend=kind, database_url=url, data_dir=data) as db:
        chats = [chat.id for chat in db.chat.find_many(take=50)]
        print("ready", flush=True)
        try:
            while True:
                started = time.monotonic()
                chat = chats[done % len(chats)]
                db.message.create(data={"chatId": chat, "role": "USER", "content": f"{kind} {done}"})
                db.chat.update(where={"id": chat}, data={"title": f"{kind} {done}"})
                longest = max(longest, time.monotonic() - started)
                done += 1
                time.sleep(pause)
        except OctavoError as error:
            print(json.dumps({"written": done, "longest": longest, "refused": str(error)}), flush=True)


def measured(command: list[str], env: dict[str, str]) -> tuple[float, float, str]:
    """Seconds, MB and what is printed of a command."""
    started, memory = time.monotonic(), 0.0
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            memory = max(memory, resident(process.pid) / 2**20)
            time.sleep(0.02)
        said = process.stdout.read() if process.stdout else ""
    return time.monotonic() - started, memory, said


def beside_a_writer(kind: str, url: str, data: Path, pause: float, command: list[str]) -> None:
    env = {**os.environ, "DATABASE_URL": url, "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER}
    itself = [sys.executable, __file__, "--write", kind, "--url", url, "--folder", str(data)]
    with subprocess.Popen([*itself, "--pause", str(pause)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        seconds, memory, said = measured([sys.executable, "-m", "octavo", *command, "--quiet", "--json"], env)
        report = json.loads(said)
        written = json.loads(writer.stdout.readline())
    waited = report["writersWaited"]
    print(f"{command[0]}: {seconds:.1f} s, {memory:.0f} MB, waited {waited:.2f} s; the writer:", end="")
    print(f" {written['written']:,} messages, longest {written['longest']:.2f} s")
    for step in report["steps"]:
        print(f"    {step['seconds']:6.2f} s  {step['step']}: {step['outcome']}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", nargs="*", type=Size.parse)
    parser.add_argument("--pause", type=float, default=0.01)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.url, given.folder, given.pause)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, embedded_server() as server:
        for size in given.sizes or [Size(200_000, 2_500)]:
            print(f"\n{size}")
            name = f"move_{size.messages}_{size.chats}"
            data, files = Path(folder, name, "data"), Path(folder, name, "files")
            url = server.create_database(name)
            with connect(url) as connection:
                connection.execute(ddl(frozen_schema()).script().encode())
                size.fill(connection, files)
            where = ["--data-dir", str(data), "--files-root", str(files)]
            env = {**os.environ, "DATABASE_URL": url, "ENCRYPTION_MASTER_PEPPER": DEMO_PEPPER}
            for command in ("export", "verify"):
                subprocess.run(
                    [sys.executable, "-m", "octavo", command, *where, "--quiet"], env=env, check=True
                )
            os.sync()
            beside_a_writer("dual", url, data, given.pause, ["cutover", *where, "--waive", "backup"])
            beside_a_writer("json", url, data, given.pause, ["rollback", *where])
            server.drop_database(name)


if __name__ == "__main__":
    main()
