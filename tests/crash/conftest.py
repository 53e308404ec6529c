"""What the demonstrations of the store's promises share: a small store to copy, in memory if possible."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from small_store import STORIES, State, Story, build, state_of

_SHARED_MEMORY = "/dev/shm"


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where syncing costs nothing: what is shown here does not depend on a disk's doing it."""
    if not os.access(_SHARED_MEMORY, os.W_OK):
        yield tmp_path_factory.mktemp("crash")
        return
    with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY, prefix="octavo-crash-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def small(quick_folder: Path) -> Path:
    """The small store.  Not to be changed: copy it."""
    root = quick_folder / "small"
    build(root)
    return root


@pytest.fixture
def copied(quick_folder: Path) -> Iterator[Callable[[Path], Path]]:
    """A function that copies a data folder; the copies of a test go with it, each earlier one at once."""
    root = Path(tempfile.mkdtemp(dir=quick_folder))
    numbers = itertools.count()

    def copy(source: Path) -> Path:
        return Path(shutil.copytree(source, root / f"{next(numbers)}"))

    yield copy
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def told(quick_folder: Path, small: Path) -> Callable[[Story], list[State]]:
    """A function from a story to what the store holds before it and after each of its steps."""
    known: dict[str, list[State]] = {}

    def states(story: Story) -> list[State]:
        if story.name not in known:
            root = Path(shutil.copytree(small, quick_folder / "told"))
            store = Story(story.name, story.steps).open(root)
            found = [state_of(store)]
            for step in story.steps:
                step(store)
                found.append(state_of(store) if step is not type(store).close else found[-1])
            store.close()
            shutil.rmtree(root)
            known[story.name] = found
        return known[story.name]

    return states


@pytest.fixture(params=STORIES, ids=str)
def story(request: pytest.FixtureRequest) -> Story:
    found: Story = request.param
    return found
