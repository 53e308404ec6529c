"""Hand edits and broken files: an error that names the place, or an edit honoured; never a silent loss.

What an edited file means is told by :mod:`octavo.layout.scan`, which shares nothing with the store but the
format.  What it can read the store must answer, now and after its next write; what it cannot read must be an
error that names the file, and must stay as it is.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from octavo.errors import ConstraintError, DamagedError, OctavoError
from octavo.layout.layout import Kind
from octavo.store.store import Store
from small_store import State, build, layout, message, revise, row, state_of, state_on_disk
from stores import Unsynced

T = TypeVar("T")
Edit = Callable[[Path], object]
"""What somebody does to a file."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store, with keys that the schema does not know in every kind of file.  Not to be changed."""
    root = tmp_path_factory.mktemp("damage") / "data"
    build(root)
    for file, known in {
        "tags/tags.json": b'"id": "tag-1"',
        "characters/hero-1.json": b'"id": "hero-1"',
        "chats/index.jsonl": b'"id":"chat-3"',
        "chats/chat-1.jsonl": b'"id":"m1"',
        "binaries/index.jsonl": b'"id":"image-1"',
    }.items():
        data = (root / file).read_bytes()
        assert data.count(known) == 1
        (root / file).write_bytes(data.replace(known, b'"note": {"mine": [1, "\\u00e9"]}, ' + known))
    return root


@pytest.fixture
def data(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "data"))


def files(root: Path) -> list[str]:
    """The documents, record files and logs of a store."""
    found = [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]
    return [f for f in found if layout().family(f) is not None]


def touch(store: Store, file: str) -> None:
    """Change something that lives in a file, but for the records that it holds already where that can be."""
    new = str(next(_numbers))
    with store.transaction() as tx:
        match layout().family(file):
            case family if family is not None and family.kind is Kind.LOG_PER_PARENT:
                tx.insert([message(1, Path(file).stem, id=f"new-{new}")], known_new=["id"])
            case family if family is not None and family.kind is Kind.FILE:
                name, key = family.places[0].model.name, Path(file).stem
                if tx.get(name, key) is None:
                    raise DamagedError("is gone", file=file)
                revise(tx, name, key, title=f"new {new}")
            case family if family is not None:
                values = {"identifier": new, "token": new, "id": f"new-{new}"}
                names = [f.name for f in family.places[0].model.scalars]
                given = {name: text for name, text in values.items() if name in names}
                given |= {n: new for n in names if n in ("email", "nameLower", "sessionToken", "provider")}
                given |= {n: "user-1" for n in names if n == "userId"}
                given |= (
                    {"characterId": "hero-2", "connectionProfileId": "profile-1"} if "chats/" in file else {}
                )
                if family.places[0].model.name != "Account":
                    given.pop("provider", None)
                tx.insert([row(family.places[0].model.name, **given)])


_numbers = itertools.count(1)


def meaning(root: Path) -> State | DamagedError:
    """What the files say, or why they cannot be read."""
    try:
        return state_on_disk(root)
    except DamagedError as error:
        return error
    except AssertionError as error:
        # A file that has to be there is not.
        return DamagedError(str(error))


def attempt(work: Callable[[], T]) -> T | OctavoError:
    """What some work gives, or the error that it raises."""
    try:
        return work()
    except OctavoError as error:
        return error


def must_agree(store: Store, root: Path, file: str) -> None:
    """What the store answers is what the files say, or an error that names the file."""
    said, found = meaning(root), attempt(lambda: state_of(store))
    if isinstance(found, OctavoError):
        place = found.file if isinstance(found, DamagedError) else str(found)
        # A record with another key is one whose log is missing.
        assert file in place or "is missing" in str(found), f"{found!r} for {said!r}"
        if isinstance(found, DamagedError) and isinstance(said, DamagedError):
            assert found.line or not said.line
    elif isinstance(said, DamagedError):
        # Of a line that another one has superseded the reader still asks what its values mean.
        assert is_superseded(root / said.file, said.line), said
    else:
        assert found == said
    for key in ("m0", "m1", "m10"):
        one = attempt(lambda key=key: store.get("Message", key))  # type: ignore[misc]
        if isinstance(found, OctavoError):
            assert one is not None, f"{key} is taken for absent, where {found!r}"
        else:
            assert not isinstance(one, OctavoError), f"{one!r}, but the rest can be read"
            assert (one is None) == ((key.encode(),) not in found["Message"])


def is_superseded(path: Path, number: int) -> bool:
    """Whether a line of a log has the key of a later one."""
    keys = [json.loads(line)["id"] for line in path.read_bytes().splitlines()]
    return keys[number - 1] in keys[number:]


def must_be_kept(store: Store, root: Path, file: str) -> None:
    """A write to the file keeps the rest of it; to one that cannot be read it is refused."""
    path = root / file
    said = meaning(root)
    before = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    unknown = b"" if before is None else _notes(before)
    refused = attempt(lambda: touch(store, file))
    if refused is not None:
        if isinstance(said, dict) and not isinstance(refused, ConstraintError):
            place = refused.file if isinstance(refused, DamagedError) else str(refused)
            assert file in place, repr(refused)
        after = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        assert after == before, f"was changed, and {refused!r}"
        return
    store.checkpoint()
    if isinstance(said, DamagedError):
        # A line can be appended without looking at the others.
        assert layout().family(file).kind.is_log  # type: ignore[union-attr]
        assert before is not None
        assert path.read_bytes().startswith(before)
        return
    now = state_on_disk(root)
    assert now == state_of(store)
    for model, rows in said.items():
        changed = {key for key in rows if now[model].get(key) != rows[key]}
        assert len(changed) <= (layout().place(model).kind is Kind.FILE)
    assert _notes(path.read_bytes()) == unknown


def _notes(data: bytes) -> bytes:
    """Whether a key that the schema does not know is in a line that a crash cannot have torn."""
    whole = data[: data.rfind(b"\n")]
    return b"note" if b'"note":' in whole else b""


def flip(at: int, to: int) -> Edit:
    def edit(path: Path) -> None:
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([to]))

    edit.__name__ = f"byte {at} is {to}"
    return edit


def rewrite(change: Callable[[bytes], bytes], name: str) -> Edit:
    """As most editors save: beside it, and renamed."""

    def edit(path: Path) -> None:
        beside = path.with_suffix(".swp")
        beside.write_bytes(change(path.read_bytes()))
        beside.replace(path)

    edit.__name__ = name
    return edit


def in_place(change: Callable[[bytes], bytes], name: str) -> Edit:
    def edit(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    edit.__name__ = name
    return edit


def edits(data: bytes, chance: random.Random) -> Iterator[Edit]:
    """Ways to break or to edit a file with this content."""
    lines = data.splitlines(keepends=True)
    for number in {0, len(lines) // 2, len(lines) - 1} if lines else ():
        one = lines[number]
        without = b"".join(lines[:number] + lines[number + 1 :])
        yield rewrite(lambda _, w=without: w, f"line {number} is cut")  # type: ignore[misc]
        twice = b"".join([*lines[: number + 1], one, *lines[number + 1 :]])
        yield in_place(lambda _, t=twice: t, f"line {number} stands twice")  # type: ignore[misc]
        half = b"".join([*lines[:number], one[: len(one) // 2], b"\n", *lines[number + 1 :]])
        yield rewrite(lambda _, h=half: h, f"line {number} is cut in half")  # type: ignore[misc]
    for part in (b'"id"', b'"name"', b'"createdAt"', b'"tags"', b'"_model"', b'"_version"', b'"note"'):
        if part in data:
            yield rewrite(lambda d, p=part: d.replace(p, b'"other"', 1), f"{part!r} has another name")  # type: ignore[misc]
            yield in_place(lambda d, p=part: d.replace(p, p + b":1," + p, 1), f"{part!r} stands twice")  # type: ignore[misc]
    for at in sorted(chance.sample(range(len(data)), min(len(data), 4))):
        yield in_place(lambda d, a=at: d[:a], f"cut at {at}")  # type: ignore[misc]
        yield in_place(lambda d, a=at: d[:a] + bytes(len(d) - a), f"zeros from {at}")  # type: ignore[misc]
    yield in_place(lambda d: b"", "nothing is left")
    yield in_place(lambda d: d.replace(b"\n", b"\r\n"), "ends of lines as on Windows")
    yield in_place(lambda d: b"\xef\xbb\xbf" + d, "a byte order mark")
    yield in_place(lambda d: d + b"\n\n", "blank lines")
    yield in_place(lambda d: d.rstrip(b"\n"), "no end of the last line")
    yield in_place(lambda d: d + b"{", "the beginning of a line")
    yield in_place(lambda d: d + b"x\n", "a line that is none")
    yield in_place(lambda d: d.replace(b"123", b"124"), "another number")
    for name in ("a folder", "a link", "gone"):
        yield replaced_by(name)


def replaced_by(what: str) -> Edit:
    def edit(path: Path) -> None:
        if what == "a link":
            path.rename(path.with_name("elsewhere.new"))
            path.symlink_to("elsewhere.new")
        else:
            path.unlink()
        if what == "a folder":
            path.mkdir()

    edit.__name__ = what
    return edit


def restore(path: Path, content: bytes) -> None:
    """Put a file back as it was, whatever has become of it."""
    elsewhere = path.with_name("elsewhere.new")
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        path.rmdir()
    elsewhere.unlink(missing_ok=True)
    path.write_bytes(content)


def test_edits_while_the_store_is_open(data: Path) -> None:
    """What was edited is answered by the next read; once it is put right, everything is as before."""
    chance = random.Random(1)
    with Store.open(data, layout(), system=Unsynced()) as store:
        first = state_of(store)
        for file in files(data):
            content = (data / file).read_bytes()
            for edit in edits(content, chance):
                edit(data / file)
                must_agree(store, data, file)
                restore(data / file, content)
                assert state_of(store) == first, f"{file}: {edit.__name__}"


def test_bytes_flipped_while_the_store_is_open(data: Path) -> None:
    chance = random.Random(2)
    flip_bytes(data, lambda size: sorted(chance.sample(range(size), min(size, 25))), chance)


@pytest.mark.slow
def test_every_byte_flipped_while_the_store_is_open(data: Path) -> None:
    flip_bytes(data, range, random.Random(3))


def flip_bytes(data: Path, positions: Callable[[int], object], chance: random.Random) -> None:
    with Store.open(data, layout(), system=Unsynced()) as store:
        first = state_of(store)
        for file in files(data):
            content = (data / file).read_bytes()
            for at in positions(len(content)):  # type: ignore[attr-defined]
                others = [0, content[at] ^ 1, content[at] ^ 32, chance.randrange(256), ord('"'), 10]
                if at == len(content) - 1:
                    # A last line whose end alone did not reach the disk is whole: the reader does not say so.
                    others.remove(0)
                for to in {chance.choice(others)} - {content[at]}:
                    flip(at, to)(data / file)
                    said = meaning(data)
                    assert not isinstance(said, dict) or count(said) >= count(first) - 1 or to in (0, 10)
                    must_agree(store, data, file)
                    if to == 0:
                        assert isinstance(attempt(lambda: state_of(store)), OctavoError), (
                            f"{file}: NUL at {at}"
                        )
                flip(at, content[at])(data / file)
            assert state_of(store) == first, file


def count(state: State) -> int:
    return sum(map(len, state.values()))


@pytest.mark.parametrize("seed", range(2))
def test_edits_and_then_a_write(sample: Path, tmp_path: Path, seed: int) -> None:
    """Before the store is opened, and while it is open: what can be read is kept, the rest is not touched."""
    chance = random.Random(seed)
    for number, file in enumerate(files(sample)):
        for edit in chance.sample(list(edits((sample / file).read_bytes(), chance)), 6):
            root = Path(shutil.copytree(sample, tmp_path / f"{number} {edit.__name__}"))
            if chance.random() < 0.5:
                edit(root / file)
                with Store.open(root, layout(), system=Unsynced()) as store:
                    must_be_kept(store, root, file)
            else:
                with Store.open(root, layout(), system=Unsynced()) as store:
                    state_of(store)
                    edit(root / file)
                    must_be_kept(store, root, file)
            shutil.rmtree(root)
