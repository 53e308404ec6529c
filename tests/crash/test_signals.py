"""Real signals at random moments: what was acknowledged stays, and nothing is left behind.

A process writes through the client until it is told to end.  Signals come at random, some while other threads
write too; its handler raises.  Another process writes as well, and is killed now and then.  Both fork
children, which live for some seconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import octavo

Copy = Callable[[Path], Path]

PROGRAM = """
import os, random, signal, sys, threading, time
import octavo
from octavo.errors import ConflictError

class Stop(Exception):
    pass

def stop(number, frame):
    raise Stop

def say(*words):
    # One system call: it is said or not.
    os.write(1, (" ".join(words) + "\\n").encode())

root, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = octavo.connect("json", data_dir=root)
numbers = iter(range(10**9))

def work(label, dice):
    number = f"{name}-{label}-{next(numbers)}"
    chat = dice.choice(["chat-1", "chat-2"])
    new = {"id": number, "chatId": chat, "role": "USER", "content": number * dice.choice((1, 40))}
    if dice.randrange(100) == 0 and os.fork() == 0:
        # It holds no lock, however long it lives.
        time.sleep(5)
        os._exit(0)
    kind = dice.randrange(5)
    if kind == 0:
        tag = {"id": number, "userId": "user-1", "name": number, "nameLower": number}
        with db.tx(max_wait=25, timeout=25) as tx:
            tx.message.create(data=new)
            tx.tag.create(data=tag)
        return f"both {number}"
    db.message.create(data=new)
    if kind == 1:
        db.message.delete(where={"id": number})
        return f"gone {number}"
    if kind == 2:
        db.message.update(where={"id": number}, data={"content": "new"})
        return f"new {number}"
    if kind == 3:
        db.chat.update(where={"id": chat}, data={"title": number})
    return f"message {number}"

def beside(label):
    dice = random.Random(label)
    while True:
        try:
            say("ok", work(label, dice))
        except ConflictError:
            pass

for number in range(threads):
    threading.Thread(target=beside, args=[f"t{number}"], daemon=True).start()
dice = random.Random(name)
say("ready")

def on():
    while True:
        try:
            say("ok", work("main", dice))
        except ConflictError:
            pass

def guarded(level):
    # A signal may come while another one's exception is being caught.
    while True:
        try:
            guarded(level - 1) if level else on()
        except Stop:
            pass

signal.signal(signal.SIGINT, stop)
guarded(8)
"""


def start(root: Path, name: str, threads: int, log: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(sys.path)
    with log.open("ab") as told, log.with_suffix(".err").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root), name, str(threads)],
            env=os.environ | {"PYTHONPATH": path},
            stdout=told,
            stderr=errors,
        )


def soak(root: Path, log: Path, signals: int, threads: int, seed: int) -> None:
    """Send signals to one process, and kill another one now and then; then look for what was said."""
    dice = random.Random(seed)
    log.touch()
    process = start(root, "signalled", threads, log)
    while b"ok" not in log.read_bytes():
        assert process.poll() is None, log.with_suffix(".err").read_text()
        time.sleep(0.01)
    beside, since = start(root, "killed-0", 0, log), time.monotonic()
    for number in range(signals):
        time.sleep(dice.random() * 0.006)
        assert process.poll() is None, log.with_suffix(".err").read_text()
        process.send_signal(signal.SIGINT)
        if time.monotonic() - since > 1.5:
            beside.kill()
            beside.wait()
            beside, since = start(root, f"killed-{number}", 0, log), time.monotonic()
    for one in (beside, process):
        one.kill()
        one.wait()
    shutil.rmtree(root / "cache")
    check(root, log)


def check(root: Path, log: Path) -> None:
    errors = log.with_suffix(".err").read_text()
    # A signal in a fork that waits for another thread: Python drops what its handler raises there.
    errors = errors.replace("RuntimeError: cannot release un-acquired lock", "")
    assert "Error" not in errors, errors[-2000:]
    said = [line.split()[1:] for line in log.read_text().splitlines() if line.startswith("ok ")]
    assert len(said) > 20
    with octavo.connect("json", data_dir=root) as db:
        messages = {m.id: m.content for m in db.message.find_many()}
        tags = {t.id for t in db.tag.find_many()}
    for kind, number in (line for line in said if len(line) == 2):
        assert (number in messages) == (kind != "gone"), f"{kind} {number}"
        if kind == "new":
            assert messages[number] == "new", number
        if kind == "both":
            assert number in tags, number
    # A tag is written with its message or not at all.
    assert {t for t in tags if "-" in t and not t.startswith("tag-")} <= set(messages)
    assert json.dumps(sorted(os.listdir(root / "journal"))) == "[]"


@pytest.mark.parametrize("threads", [0, 2])
def test_a_hundred_signals_lose_nothing(small: Path, copied: Copy, tmp_path: Path, threads: int) -> None:
    soak(copied(small), tmp_path / "log", 100, threads, threads)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threads", [0, 3])
def test_two_thousand_signals_lose_nothing(
    small: Path, copied: Copy, tmp_path: Path, threads: int, seed: int
) -> None:
    soak(copied(small), tmp_path / "log", 2_000, threads, 10 + seed)
