"""Every command and ``connect()`` work with the schema of the store; with another one nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import octavo
from command import octavo as command
from octavo.client import Client
from octavo.errors import DamagedError, ReplacedError, SchemaError, SchemaMismatch, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.load import flat_layout, layout_for
from octavo.schema.named import found_schema
from octavo.schema.texts import frozen_text
from octavo.store import disk
from octavo.store.decoded import load_datamodel
from octavo.store.definition import define
from octavo.store.identity import identity_files, read_identity, write_identity
from octavo.store.store import Store
from octavo.store.takeover import take_over
from task_schema import NEXT, PLACES, SCHEMA


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working directory without a schema, and an environment that names none."""
    for name in ("OCTAVO_SCHEMA", "OCTAVO_LAYOUT", "DATA_DIR", "DATA_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {"schema": SCHEMA, "next": NEXT, "again": f"{SCHEMA}// More.\n"}
    for name, text in made.items():
        (tmp_path / f"{name}.prisma").write_text(text, "utf-8")
    (tmp_path / "places.toml").write_text(PLACES, "utf-8")
    return {name: tmp_path / f"{name}.prisma" for name in made} | {"places": tmp_path / "places.toml"}


def filled(data: Path, *, schema: Path, layout: Path | None = None) -> Path:
    datamodel = load_datamodel(None, schema)
    scaffold(data, layout_for(datamodel, layout))
    with octavo.connect("json", data_dir=data) as db:
        tasks: Any = db
        tasks.task.create(data={"id": 1, "label": "a", "steps": {"create": [{"id": 1}, {"id": 2}]}})
        tasks.task.create(data={"id": 2, "label": "b"})
    return data


@pytest.fixture
def store(tmp_path: Path, files: dict[str, Path]) -> Path:
    return filled(tmp_path / "data", schema=files["schema"])


@pytest.fixture
def older(store: Path) -> Path:
    """A store as it was before stores said what they are."""
    shutil.rmtree(store / "schema")
    shutil.rmtree(store / "cache")
    return store


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


def labels(data: Path, **named: Path) -> list[str]:
    with octavo.connect("json", data_dir=data, **named) as db:  # type: ignore[call-overload]
        return [task.label for task in db.task.find_many()]


@pytest.mark.parametrize("named", [{}, {"schema": "schema"}, {"schema": "again"}])
def test_a_store_opens_by_itself_and_with_what_says_the_same(
    store: Path, files: dict[str, Path], named: dict[str, str]
) -> None:
    before = tree(store)["schema/schema.prisma"]
    assert labels(store, **{kind: files[name] for kind, name in named.items()}) == ["a", "b"]
    assert tree(store)["schema/schema.prisma"] == before == SCHEMA.encode()


def test_the_layout_is_the_stores_own_and_another_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    data = filled(tmp_path / "data", schema=files["schema"], layout=files["places"])
    assert (data / "schema/layout.toml").read_text("utf-8") == PLACES
    assert labels(data) == labels(data, layout=files["places"]) == ["a", "b"]
    (tmp_path / "other.toml").write_text(PLACES.replace("all.jsonl", "one.jsonl"), "utf-8")
    with pytest.raises(SchemaMismatch, match=r"Task lives in all\.jsonl, not in one\.jsonl"):
        labels(data, layout=tmp_path / "other.toml")


COMMANDS = (
    ("doctor",),
    ("doctor", "--repair", "--set-aside"),
    ("scaffold",),
    ("backup",),
    ("compact", "--payloads"),
    ("verify",),
    ("restore",),
    ("inventory",),
    ("status",),
    ("status", "--heal"),
    ("report",),
    ("export",),
    ("follow",),
    ("cutover",),
    ("rollback",),
    ("secrets", "rotate"),
)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_command_with_another_schema_ends_with_2_and_changes_nothing(
    store: Path, files: dict[str, Path], arguments: tuple[str, ...]
) -> None:
    before = tree(store.parent)
    settings = {
        "DATA_DIR": str(store),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DATA_BACKEND": "dual",
        "ENCRYPTION_MASTER_PEPPER": "old",
        "ENCRYPTION_NEW_PEPPER": "new",
    }
    done = command(*arguments, "--schema", files["next"], **settings)
    assert done.code == 2, done.err
    assert "octavo schema migrate" in done.err
    assert "Task.estimate" in done.err
    assert tree(store.parent) == before


def test_connect_with_another_schema_changes_nothing(store: Path, files: dict[str, Path]) -> None:
    before = tree(store)
    with pytest.raises(SchemaMismatch, match=r"Task\.estimate is not in the store's"):
        labels(store, schema=files["next"])
    with pytest.raises(SchemaMismatch):
        Store.open(store, flat_layout(load_datamodel(None, files["next"])))
    assert tree(store) == before


def test_a_client_of_postgresql_takes_the_schema_that_it_is_given(
    store: Path, files: dict[str, Path]
) -> None:
    """The files are a copy then, which may well be older."""
    settings: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1:1/none", "data_dir": store}
    with octavo.connect("prisma", schema=files["next"], **settings) as db:
        assert isinstance(db, Client)
    assert [m.name for m in define(store, files["next"], named_wins=True).datamodel.models]


def test_a_text_that_was_changed_by_hand_is_told(store: Path) -> None:
    text = store / "schema/schema.prisma"
    text.write_text(f"{SCHEMA}// A word more.\n", "utf-8")
    assert labels(store) == ["a", "b"]
    text.write_text(NEXT, "utf-8")
    with pytest.raises(SchemaMismatch, match=r"schema/schema\.prisma as changed by hand"):
        labels(store)
    text.write_text("model {", "utf-8")
    with pytest.raises(SchemaError, match=r"schema/schema\.prisma:1"):
        labels(store)
    text.unlink()
    with pytest.raises(DamagedError, match=r"schema/schema\.prisma: the text of the schema is missing"):
        labels(store)


def test_a_store_from_before_is_taken_over_where_its_records_fit(older: Path, files: dict[str, Path]) -> None:
    before = tree(older)
    assert labels(older, schema=files["schema"]) == ["a", "b"]
    after = tree(older)
    assert after["schema/schema.prisma"] == SCHEMA.encode()
    assert {name: after[name] for name in before} == before
    assert labels(older) == ["a", "b"]


@pytest.mark.parametrize("name", ["", "next"])
def test_one_that_does_not_fit_is_left_as_it_is(older: Path, files: dict[str, Path], name: str) -> None:
    before = tree(older)
    named = ("--schema", files[name]) if name else ()
    for arguments in (("doctor", "--repair", "--set-aside"), ("scaffold",), ("compact",), ("backup",)):
        done = command(*arguments, *named, "--data-dir", older)
        assert (done.code, "octavo schema migrate" in done.err) == (2, True), done.err
    assert tree(older) == before


def test_one_with_a_broken_record_is_damaged_and_not_taken_over(older: Path, files: dict[str, Path]) -> None:
    log = next(older.glob("**/task*.json*"))
    log.write_text(log.read_text("utf-8").replace('"label":"b"', '"label":2'), "utf-8")
    done = command("doctor", "--schema", files["schema"], "--data-dir", older)
    assert done.code == 1, done.err
    assert read_identity(older) is None


def test_one_that_older_versions_laid_out_flat_is_found(tmp_path: Path, files: dict[str, Path]) -> None:
    datamodel = load_datamodel(None, files["schema"])
    scaffold(tmp_path / "data", flat_layout(datamodel))
    shutil.rmtree(tmp_path / "data/schema")
    defined = define(tmp_path / "data", files["schema"])
    assert defined.layout.places == flat_layout(datamodel).places
    assert read_identity(tmp_path / "data") is not None


CALLS = ("mkdir", "open", "rename", "replace", "link", "fdatasync", "unlink", "rmdir")


def die_at(number: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that dies at its n-th call of the system; whether it got there."""
    child = os.fork()
    if not child:
        left = [number]

        def dying(call: Callable[..., Any]) -> Callable[..., Any]:
            def made(*arguments: Any, **more: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)
                return call(*arguments, **more)

            return made

        for name in CALLS:
            setattr(os, name, dying(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_takeover_that_dies_is_done_by_the_next(older: Path, files: dict[str, Path]) -> None:
    datamodel = load_datamodel(None, files["schema"])
    layout, number = layout_for(datamodel, None), 0
    before = {name: content for name, content in tree(older).items() if not name.startswith("cache")}
    while die_at(number := number + 1, lambda: take_over(older, layout)):
        if (older / "schema").exists():
            assert tree(older / "schema").keys() == {"schema.prisma", "layout.toml", "store.json"}
        define(older, files["schema"])
        after = {n: content for n, content in tree(older).items() if not n.startswith(("cache", "schema"))}
        assert after == before
        assert read_identity(older) is not None
        assert not (older / "cache/schema.new").exists()
        shutil.rmtree(older / "schema")
        (older / "cache/write.lock").unlink(missing_ok=True)
    assert number > 10


def test_an_open_client_hears_of_a_migration(store: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """Another folder is put in the place of the store, as ``octavo schema migrate`` does."""
    db: Any = octavo.connect("json", data_dir=store)
    assert len(db.task.find_many()) == 2
    other = Path(shutil.copytree(store, tmp_path / "other"))
    disk.exchange(other, store)
    with pytest.raises(ReplacedError):
        db.task.find_many()
    with octavo.connect("json", data_dir=store) as again:
        client: Any = again
        assert len(client.task.find_many()) == 2
        shutil.rmtree(other / "schema")
        write_identity(other, identity_files(layout_for(load_datamodel(None, files["next"]), None)))
        disk.exchange(other, store)
        for _ in range(2):
            with pytest.raises(SchemaMismatch, match="octavo schema migrate"):
                client.task.find_many()
            with pytest.raises(SchemaMismatch):
                client.task.create(data={"id": 3, "label": "c"})
    db.close()


def test_an_open_client_hears_of_another_identity_in_its_folder(store: Path, files: dict[str, Path]) -> None:
    with octavo.connect("json", data_dir=store) as db:
        client: Any = db
        for count in (40, 2):
            for _ in range(count):
                assert len(client.task.find_many()) == 2
            kept = tree(store / "schema")
            write_identity(store, identity_files(layout_for(load_datamodel(None, files["next"]), None)))
            for _ in range(2):
                with pytest.raises(SchemaMismatch):
                    client.task.find_many()
            for name, content in kept.items():
                disk.write_file(store / "schema" / name, content or b"")
        assert len(client.task.find_many()) == 2
        shutil.rmtree(store / "schema")
        with pytest.raises(DamagedError, match=r"schema/store\.json: is missing"):
            client.task.find_many()


def test_the_schema_is_looked_for_as_prisma_does(tmp_path: Path) -> None:
    assert found_schema() is None
    assert define(tmp_path / "none").datamodel.model("Chat")
    Path("schema.prisma").write_text(SCHEMA, "utf-8")
    assert found_schema() == "schema.prisma"
    Path("prisma/models").mkdir(parents=True)
    assert found_schema() == "schema.prisma"
    Path("prisma/models/task.prisma").write_text(SCHEMA, "utf-8")
    assert found_schema() == "prisma"
    Path("prisma/schema.prisma").write_text(SCHEMA, "utf-8")
    assert found_schema() == "prisma/schema.prisma"
    Path("package.json").write_text('{"prisma": {"schema": "db/own.prisma"}}', "utf-8")
    with pytest.raises(SchemaError, match=r"db/own\.prisma.*package\.json"):
        found_schema()
    Path("db").mkdir()
    Path("db/own.prisma").write_text(NEXT, "utf-8")
    assert define(tmp_path / "none").datamodel.model("Task").scalar("estimate")
    Path("package.json").write_text("{", "utf-8")
    assert found_schema() == "prisma/schema.prisma"


def test_what_was_found_is_said_in_one_line(tmp_path: Path) -> None:
    Path("schema.prisma").write_text(SCHEMA, "utf-8")
    assert command("scaffold", "--data-dir", tmp_path / "a").err == "the schema is schema.prisma\n"
    assert command("scaffold", "--data-dir", tmp_path / "b", "--quiet").err == ""
    assert command("scaffold", "--data-dir", tmp_path / "c", "--json").err == ""
    # A store that knows its schema looks for none.
    assert command("doctor", "--data-dir", tmp_path / "a").err == ""


def test_what_is_given_counts_before_the_environment_and_that_before_a_file(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_estimate(schema: Path | None = None) -> bool:
        task = define(tmp_path / "none", schema).datamodel.model("Task")
        return "estimate" in [field.name for field in task.fields]

    Path("octavo.toml").write_text(json_toml(schema=files["next"], layout=files["places"]), "utf-8")
    assert has_estimate()
    assert define(tmp_path / "none").layout_path == str(files["places"])
    monkeypatch.setenv("OCTAVO_SCHEMA", str(files["schema"]))
    assert not has_estimate()
    # The layout of a file goes with its schema.
    assert define(tmp_path / "none").layout_path is None
    assert has_estimate(files["next"])
    assert define(tmp_path / "none", layout=files["places"]).layout_path == files["places"]
    for text, reason in (
        ("shema = 'x'", "unknown key shema"),
        ("schema = 3", "must be the path"),
        ("=", "cannot"),
    ):
        Path("octavo.toml").write_text(text, "utf-8")
        monkeypatch.delenv("OCTAVO_SCHEMA", raising=False)
        with pytest.raises(UsageError, match=rf"octavo\.toml.*{reason}"):
            define(tmp_path / "none")


def json_toml(**named: Path) -> str:
    return "".join(f"{key} = {json.dumps(str(path))}\n" for key, path in named.items())


def test_what_the_environment_names_is_compared_too(
    store: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTAVO_SCHEMA", str(files["next"]))
    with pytest.raises(SchemaMismatch):
        labels(store)


def test_a_copy_of_the_frozen_schema_is_the_frozen_schema(tmp_path: Path) -> None:
    (tmp_path / "copy.prisma").write_text(frozen_text(), "utf-8")
    assert command("scaffold", "--data-dir", tmp_path / "a").code == 0
    done = command("doctor", "--data-dir", tmp_path / "a", "--schema", tmp_path / "copy.prisma")
    assert done.code == 0, done.err


def test_an_empty_store_of_another_schema_is_not_one_to_replace(store: Path, files: dict[str, Path]) -> None:
    from octavo.fold.target import State, state_of

    other = layout_for(load_datamodel(None, files["next"]), files["places"])
    assert state_of(store, other) is State.STORE
    empty = store.with_name("empty")
    scaffold(empty, layout_for(load_datamodel(None, files["schema"]), None))
    assert state_of(empty, other) is State.EMPTY
