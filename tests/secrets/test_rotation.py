"""A new pepper for everything that is encrypted: all of it or nothing, and nothing else is changed."""

from __future__ import annotations

import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import octavo
from backends import on_files
from octavo.backend import DataBackend, Settings
from octavo.crypto import SecretError, encrypt
from octavo.errors import DivergedError, UsageError
from octavo.layout.load import frozen_layout
from octavo.move.verify import VerifyOptions, verify
from octavo.postgres.connection import connect
from octavo.secrets.rotate import NewPepper, Rotation, State, rotate
from octavo.store import phase
from octavo.store.phase import Following, Phase
from octavo.url import DatabaseUrl
from vaults import NEW, OLD, VOCABULARY, Vault, new_vault

PARTS = {"totpSecret", "totpSecretIv", "totpSecretAuthTag", "backupCodes", "backupCodesIv"}
PARTS |= {"backupCodesAuthTag", "keyEncrypted", "keyIv", "keyAuthTag"}


@pytest.fixture
def new(
    request: pytest.FixtureRequest, tmp_path: Path, exported: Path, sample: tuple[str, Path]
) -> Callable[..., Vault]:
    """A function that makes a copy of the sample on a backend."""
    numbers = count()

    def make(kind: DataBackend, *, both: bool = False) -> Vault:
        folder = tmp_path / f"{next(numbers)}"
        return new_vault(
            kind, folder, exported, lambda: request.getfixturevalue("new_database")(sample[0]), both=both
        )

    return make


@pytest.fixture(params=DataBackend, ids=str)
def vault(request: pytest.FixtureRequest, new: Callable[..., Vault]) -> Vault:
    return new(request.param)


@pytest.fixture
def dual(new: Callable[..., Vault]) -> Vault:
    return new(DataBackend.DUAL)


def rotated(vault: Vault, old: str = OLD, new: str = NEW, *, dry_run: bool = False) -> Rotation:
    return rotate(vault.kind, VOCABULARY, vault.settings, old, NewPepper(new), dry_run=dry_run)


def equal(vault: Vault, pepper: str) -> bool:
    """Whether both sides are, and everything opens."""
    options = VerifyOptions(vault.settings.folder / "none", pepper, jobs=1)
    url = DatabaseUrl.parse(vault.settings.database_url)
    report = verify(url, vault.settings.folder, frozen_layout(), options)
    assert report.secrets
    return report.equal


def reseal(vault: Vault, number: int, pepper: str = NEW) -> str:
    """Encrypt one API key with a pepper, as an application would; its id."""
    plain = vault.told(OLD)
    with octavo.connect(vault.kind, **vault.place) as db:
        key = db.api_key.find_many(order_by={"id": "asc"})[number]
        text = next(t for (_, _, id, _), t in plain.items() if id == key.id)
        sealed = encrypt(str(text), key.userId, pepper)
        data = {"keyEncrypted": sealed.ciphertext, "keyIv": sealed.iv, "keyAuthTag": sealed.tag}
        db["ApiKey"].update(where={"id": key.id}, data=data)
        return str(key.id)


def test_everything_opens_with_the_new_pepper_and_nothing_else_is_changed(vault: Vault) -> None:
    before, plain = vault.rows(), vault.told(OLD)
    done = rotated(vault)
    assert (done.good, done.before.state, done.changed) == (True, State.OLD, len(plain))
    assert done.after is not None
    assert done.after.state is State.NEW
    assert vault.told(NEW) == plain
    assert set(vault.told(OLD).values()) == {None}
    after = vault.rows()
    assert before.keys() == after.keys()
    for at, row in before.items():
        changed = {name for name in row if row[name] != after[at][name]}
        assert changed == {name for name in PARTS & row.keys() if row[name] is not None}
        assert row["updatedAt"] == after[at]["updatedAt"]
    if vault.kind is DataBackend.DUAL:
        assert equal(vault, NEW)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(vault: Vault) -> None:
    before = vault.rows()
    done = rotated(vault, dry_run=True)
    assert (done.good, done.before.state, done.after) == (True, State.OLD, None)
    assert vault.rows() == before


def test_run_again_it_does_nothing(vault: Vault) -> None:
    rotated(vault)
    before = vault.rows()
    done = rotated(vault)
    assert (done.good, done.before.state, done.after, done.changed) == (True, State.NEW, None, 0)
    assert vault.rows() == before


def test_what_is_new_already_is_left_alone(vault: Vault) -> None:
    plain = vault.told(OLD)
    ids = {reseal(vault, 1), reseal(vault, 4)}
    before = vault.rows()
    done = rotated(vault)
    sides = len(done.before.sides)
    assert (done.good, done.before.state, done.changed) == (True, State.MIXED, len(plain) - 2 * sides)
    assert vault.told(NEW) == plain
    after = vault.rows()
    assert {at[2] for at, row in before.items() if at[2] in ids and after[at] == row} == ids


def test_one_that_opens_with_neither_stops_everything(vault: Vault) -> None:
    broken = reseal(vault, 3, "a third")
    before = vault.rows()
    done = rotated(vault)
    assert (done.good, done.before.state, done.after) == (False, State.BROKEN, None)
    assert {(u.model, u.key["id"], u.field) for u in done.unopened.first} == {
        ("ApiKey", broken, "keyEncrypted")
    }
    assert vault.rows() == before


def test_an_old_pepper_that_is_not_the_old_one_changes_nothing(vault: Vault) -> None:
    before, plain = vault.rows(), vault.told(OLD)
    done = rotated(vault, "not the old one")
    assert (done.before.state, done.unopened.total) == (State.BROKEN, len(plain))
    assert vault.rows() == before


def test_what_an_application_still_writes_with_the_old_pepper_is_picked_up(vault: Vault) -> None:
    plain = vault.told(OLD)
    rotated(vault)
    with octavo.connect(vault.kind, **vault.place) as db:
        key = db.api_key.find_first(order_by={"id": "asc"})
        assert key is not None
        sealed = encrypt("sk-late", key.userId, OLD)
        data = {"keyEncrypted": sealed.ciphertext, "keyIv": sealed.iv, "keyAuthTag": sealed.tag}
        db["ApiKey"].update(where={"id": key.id}, data=data)
    done = rotated(vault)
    assert (done.good, done.before.state, done.changed) == (True, State.MIXED, len(done.before.sides))
    late = {at: "sk-late" if at[2] == key.id else text for at, text in plain.items()}
    assert vault.told(NEW) == late


def test_a_store_without_secrets(new: Callable[..., Vault]) -> None:
    vault = new(DataBackend.JSON)
    with octavo.connect(vault.kind, **vault.place) as db:
        db.user.delete_many()
    done = rotated(vault)
    assert (done.good, done.before.state, done.after) == (True, State.EMPTY, None)


def test_the_same_pepper_twice_is_refused(new: Callable[..., Vault]) -> None:
    with pytest.raises(UsageError, match="is the old one"):
        rotated(new(DataBackend.JSON), NEW, NEW)


# Somebody else


def test_a_value_that_is_changed_meanwhile_is_not_lost(new: Callable[..., Vault]) -> None:
    vault = new(DataBackend.PRISMA)
    plain = vault.told(OLD)
    (_, _, key, _), _ = next(item for item in plain.items() if item[0][1] == "ApiKey")
    with connect(vault.settings.database_url) as writer:
        owner = writer.execute('SELECT "userId" FROM api_keys WHERE id = %s', [key]).fetchone()[0]  # type: ignore[index]
        sealed = encrypt("sk-meanwhile", str(owner), OLD)
        writer.execute("BEGIN")
        values = [sealed.ciphertext, sealed.iv, sealed.tag, key]
        setting = '"keyEncrypted" = %s, "keyIv" = %s, "keyAuthTag" = %s'
        writer.execute(f"UPDATE api_keys SET {setting} WHERE id = %s".encode(), values)
        done: list[Rotation] = []
        rotating = threading.Thread(target=lambda: done.append(rotated(vault)))
        rotating.start()
        with closing(connect(vault.settings.database_url)) as other:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            while rotating.is_alive() and other.execute(waiting).fetchone() == (0,):
                pass
        assert rotating.is_alive()
        writer.execute("COMMIT")
        rotating.join()
    assert done[0].good
    assert vault.told(NEW) == {at: "sk-meanwhile" if at[2] == key else t for at, t in plain.items()}


@pytest.mark.parametrize("kind", [DataBackend.PRISMA, DataBackend.DUAL])
def test_a_database_that_stores_something_else_keeps_what_it_had(
    new: Callable[..., Vault], kind: DataBackend
) -> None:
    vault = new(kind)
    with connect(vault.settings.database_url) as connection:
        connection.execute(
            b"""CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN NEW."keyIv" := OLD."keyIv"; RETURN NEW; END$$;
            CREATE TRIGGER keep BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION keep()"""
        )
    before = vault.rows()
    with pytest.raises(SecretError, match=r"ApiKey id=\S+ keyEncrypted: .*nothing was rotated"):
        rotated(vault)
    assert vault.rows() == before


# Both sides


@pytest.mark.parametrize("alone", [DataBackend.PRISMA, DataBackend.JSON])
def test_sides_of_which_one_was_rotated_by_itself(dual: Vault, alone: DataBackend) -> None:
    plain = dual.told(OLD)
    assert rotated(Vault(alone, dual.settings)).good
    done = rotated(dual)
    assert (done.good, done.before.state) == (True, State.MIXED)
    assert dual.told(NEW) == plain
    assert equal(dual, NEW)


def test_a_record_that_one_side_lacks_stops_everything(dual: Vault) -> None:
    with connect(dual.settings.database_url) as connection:
        connection.execute("DELETE FROM api_keys WHERE id = (SELECT min(id) FROM api_keys)")
    before = dual.rows()
    with pytest.raises(DivergedError, match="ApiKey id="):
        rotated(dual)
    assert dual.rows() == before


@pytest.mark.parametrize(
    ("reached", "follows", "needed"),
    [
        (None, False, DataBackend),
        (Phase.SCAFFOLD, False, DataBackend),
        (Phase.DUAL_WRITE, False, [DataBackend.DUAL]),
        (Phase.VERIFICATION, False, [DataBackend.DUAL]),
        (Phase.DUAL_WRITE, True, [DataBackend.PRISMA]),
        (Phase.CUTOVER, False, [DataBackend.JSON]),
    ],
)
def test_in_a_move_only_all_of_it_is_rotated(
    new: Callable[..., Vault], reached: Phase | None, follows: bool, needed: list[DataBackend]
) -> None:
    vault = new(DataBackend.DUAL)
    with phase.changing(vault.settings.folder) as state:
        if reached is not None:
            record = DataBackend.JSON if reached is Phase.CUTOVER else DataBackend.PRISMA
            state.go(reached, "a test", backend=record)
        if follows:
            state.following = Following(slot="s", publication="p", since=phase.now())
    for kind in needed:
        assert rotated(Vault(kind, vault.settings), dry_run=True).follows == follows
    for kind in set(DataBackend) - set(needed):
        with pytest.raises(UsageError, match=r"in step|of record|follow PostgreSQL"):
            rotated(Vault(kind, vault.settings), dry_run=True)


def test_after_a_rollback_the_files_may_be_an_old_copy(dual: Vault) -> None:
    with phase.changing(dual.settings.folder) as state:
        state.seeded("a test")
        state.go(Phase.CUTOVER, "a test", backend=DataBackend.JSON)
        state.go(Phase.DUAL_WRITE, "a test", backend=DataBackend.PRISMA)
        state.rolled_back = True
    with pytest.raises(UsageError, match="of record again"):
        rotated(Vault(DataBackend.JSON, dual.settings))
    assert rotated(Vault(DataBackend.PRISMA, dual.settings)).good
    assert rotated(dual).good
    assert equal(dual, NEW)


# A pepper that is generated


def test_a_generated_pepper_is_in_its_file_before_it_is_used(vault: Vault, tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    new = NewPepper.generated(file, vault.settings.folder)
    assert not file.exists()
    plain = vault.told(OLD)
    done = rotate(vault.kind, VOCABULARY, vault.settings, OLD, new)
    assert done.pepper_file == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if "pepper" in p.name] == ["pepper"]
    assert vault.told(file.read_text().strip()) == plain
    again = rotate(vault.kind, VOCABULARY, vault.settings, OLD, NewPepper.generated(file, tmp_path / "data"))
    assert again.before.state is State.NEW


def test_a_rotation_that_is_refused_writes_no_pepper(new: Callable[..., Vault], tmp_path: Path) -> None:
    vault = new(DataBackend.JSON)
    file = tmp_path / "pepper"
    for old, dry_run in (("wrong", False), (OLD, True)):
        generated = NewPepper.generated(file, vault.settings.folder)
        rotate(vault.kind, VOCABULARY, vault.settings, old, generated, dry_run=dry_run)
        assert not file.exists()


def test_a_file_that_is_no_generated_pepper_is_never_used_nor_written(tmp_path: Path) -> None:
    file, data = tmp_path / "pepper", tmp_path / "data"
    file.write_text("mine\n")
    with pytest.raises(UsageError, match="no pepper that was generated"):
        NewPepper.generated(file, data)
    assert file.read_text() == "mine\n"
    file.write_text("0" * 64 + "\n")
    file.chmod(0o640)
    with pytest.raises(UsageError, match="others than its owner"):
        NewPepper.generated(file, data)
    with pytest.raises(UsageError, match="does not belong"):
        NewPepper.generated(data / "cache" / "pepper", data)
    for in_the_way in ("dangling", "folder"):
        path = tmp_path / in_the_way
        if in_the_way == "folder":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "nothing")
        with pytest.raises((UsageError, octavo.errors.DiskError)):
            NewPepper.generated(path, data)


def test_two_generated_peppers_differ(tmp_path: Path) -> None:
    made = {NewPepper.generated(tmp_path / "pepper", tmp_path / "data").text for _ in range(20)}
    assert len(made) == 20
    assert all(len(text) == 64 for text in made)


# Any users and keys

USERS = st.sampled_from(["u", "ü", "6513270e-269e-4d37-b2a7-4de452e6b438", "a b", "😀"])
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SEALED = st.tuples(TEXTS, st.sampled_from([OLD, NEW]))
PEOPLE = st.dictionaries(
    USERS, st.tuples(st.none() | SEALED, st.none() | SEALED, st.lists(SEALED, max_size=3))
)


def sealed_as(name: str, iv: str, tag: str, user: str, value: tuple[str, str]) -> dict[str, str]:
    sealed = encrypt(value[0], user, value[1])
    return {name: sealed.ciphertext, iv: sealed.iv, tag: sealed.tag}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(people=PEOPLE)
def test_any_users_and_keys(people: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as made:
        vault = Vault(DataBackend.JSON, Settings(database_url="", data_dir=Path(made, "data"), layout=None))
        with on_files(VOCABULARY, vault.settings.folder, "batched") as db:
            for number, (user, (totp, codes, keys)) in enumerate(people.items()):
                data = {"id": user, "email": f"{number}@x"}
                for name, value in (("totpSecret", totp), ("backupCodes", codes)):
                    if value is not None:
                        data |= sealed_as(name, f"{name}Iv", f"{name}AuthTag", user, value)
                db["User"].create(data=data)
                for value in keys:
                    sealed = sealed_as("keyEncrypted", "keyIv", "keyAuthTag", user, value)
                    db["ApiKey"].create(data={"userId": user, "provider": "OPENAI", "label": "l", **sealed})
        old, new, before = vault.told(OLD), vault.told(NEW), vault.rows()
        wanted = {at: new[at] if old[at] is None else old[at] for at in old}
        done = rotated(vault)
        assert done.good
        assert done.changed == sum(text is not None for text in old.values())
        assert vault.told(NEW) == wanted
        for at, row in vault.rows().items():
            touched = {n for n in row if row[n] != before[at][n]}
            assert touched <= PARTS
