"""The same with nothing of ours in between: real processes, really killed by strace at a system call.

What counts the calls is the kernel here, so those are struck too that do not go through the store's
:class:`FileSystem`: the lock, the shared page, the index.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octavo.store.store import Store
from small_store import STORIES, State, Story, broken_constraints, layout, state_of, state_on_disk

CALLS = (
    "openat",
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "syncfs",
    "rename",
    "unlink",
    "ftruncate",
    "flock",
    "fcntl",
    "mkdir",
    "link",
)
SCRIPT = """
import sys
from octavo.errors import OctavoError
from small_store import STORIES
story = next(s for s in STORIES if s.name == sys.argv[1])
store = story.open(sys.argv[2])
print("open", flush=True)
for step in story.steps:
    step(store)
    print("done", flush=True)
"""
NAMES = ("append a message", "write the journal, then close")

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


def command(story: Story, root: Path) -> list[str]:
    return [sys.executable, "-c", SCRIPT, story.name, str(root)]


def traced(story: Story, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a story in a process of its own, of which only the calls on the data folder count."""
    trace = ["strace", "-f", "-qq", *options]
    paths = [str(Path(__file__).parents[1]), *(p for p in sys.path if p)]
    return subprocess.run(
        [*trace, *command(story, root)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def first_calls(story: Story, root: Path, log: Path) -> dict[str, tuple[int, int]]:
    """Of each call the numbers of the first and the last that have to do with the data folder."""
    done = traced(story, root, "-o", str(log), "-y", "-e", f"trace={','.join(CALLS)}")
    assert done.returncode == 0, done.stderr
    seen = dict.fromkeys(CALLS, 0)
    found: dict[str, tuple[int, int]] = {}
    for name, rest in re.findall(r"^\d+ +(\w+)\((.*)$", log.read_text(), re.MULTILINE):
        seen[name] += 1
        if str(root) in rest:
            found[name] = found.get(name, (seen[name], 0))[0], seen[name]
    return found


def moments(calls: dict[str, tuple[int, int]], each: int) -> Iterator[tuple[str, int]]:
    """Some moments of each call, all where ``each`` is 0."""
    for call, (first, last) in calls.items():
        count = last - first + 1
        chosen = (
            {last, *(first + n * count // each for n in range(each))} if each else {*range(first, last + 1)}
        )
        yield from ((call, number) for number in sorted(chosen))


def killed_everywhere(
    story: Story, small: Path, copied: Callable[[Path], Path], states: list[State], tmp_path: Path, each: int
) -> None:
    calls = first_calls(story, copied(small), tmp_path / "log")
    assert {"pwrite64", "flock"} <= calls.keys()
    for call, number in moments(calls, each):
        root = copied(small)
        inject = f"inject={call}:signal=KILL:when={number}"
        done = traced(story, root, "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        acknowledged = done.stdout.count("done")
        with Store.open(root, layout()) as store:
            found = state_of(store)
            assert found in states[acknowledged : acknowledged + 2], (call, number)
            with store.transaction() as tx:
                tx.update([(user, user) for user in tx.rows("User")])
        assert state_on_disk(root) == found
        assert broken_constraints(found) == []


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_some_calls(
    name: str,
    small: Path,
    copied: Callable[[Path], Path],
    told: Callable[[Story], list[State]],
    tmp_path: Path,
) -> None:
    (story,) = [s for s in STORIES if s.name == name]
    killed_everywhere(story, small, copied, told(story), tmp_path, 1)


@pytest.mark.slow
def test_killed_at_each_call(
    story: Story,
    small: Path,
    copied: Callable[[Path], Path],
    told: Callable[[Story], list[State]],
    tmp_path: Path,
) -> None:
    if story.batched:
        pytest.skip("acknowledges by flush, which the script does not tell apart")
    killed_everywhere(story, small, copied, told(story), tmp_path, 0)
