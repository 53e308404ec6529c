"""Rows that another database has are set and deleted together: constraints are checked when all are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octavo.errors import ForeignKeyViolation, UniqueViolation, UsageError
from octavo.fold.scaffold import scaffold
from octavo.layout.record import Record
from octavo.store.changeset import ChangeSet, Conflict, changed_rows
from octavo.store.store import Store, Transaction
from small_store import layout, row

NOTE = '"note": "by hand"'


def user(key: str, email: str = "") -> Record:
    return row("User", id=key, email=email or f"{key}@x")


def character(key: str, owner: str = "a") -> Record:
    return row("Character", id=key, userId=owner)


def tag(key: str, owner: str = "a") -> Record:
    return row("Tag", id=key, userId=owner, nameLower=key)


def tagged(key: str, of: str, with_tag: str) -> Record:
    return row("CharacterTag", id=key, characterId=of, tagId=with_tag)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    scaffold(tmp_path / "data", layout())
    with Store.open(tmp_path / "data", layout()) as opened:
        with opened.transaction() as tx:
            tx.insert([user("a"), user("b")])
            tx.insert([character("one"), character("two")])
            tx.insert([tag("red"), tag("blue")])
            tx.insert([tagged("1", "one", "red")])
        yield opened


def applied(store: Store, changes: Callable[[ChangeSet], None]) -> None:
    """Make changes that no constraint is against."""
    made = ChangeSet()
    changes(made)
    with store.transaction() as tx:
        assert made.apply(tx) == []


def refused(store: Store, changes: Callable[[ChangeSet], None]) -> Conflict:
    """The only conflict of changes, which are not kept."""
    made = ChangeSet()
    changes(made)
    found: list[Conflict] = []

    def work(tx: Transaction) -> None:
        found.extend(made.apply(tx))
        raise KeyError

    with pytest.raises(KeyError), store.transaction() as tx:
        work(tx)
    [conflict] = found
    return conflict


def test_rows_exchange_their_unique_values(store: Store) -> None:
    def swap(changes: ChangeSet) -> None:
        changes.set("User", "a", user("a", "b@x"))
        changes.set("User", "b", user("b", "a@x"))

    applied(store, swap)
    assert {u.email: u.id for u in store.read(lambda v: list(v.rows("User")))} == {"a@x": "b", "b@x": "a"}


def test_rows_exchange_their_keys_and_take_along_what_the_schema_does_not_know(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "data/characters/one.json"
    file.write_text(file.read_text().replace('{\n  "_version"', "{\n  " + NOTE + ',\n  "_version"'))

    def swap(changes: ChangeSet) -> None:
        changes.move("Character", "one", "two", character("two"))
        changes.move("Character", "two", "one", character("one"))
        changes.set("CharacterTag", "1", tagged("1", "two", "red"))

    applied(store, swap)
    assert NOTE in (tmp_path / "data/characters/two.json").read_text()
    assert NOTE not in file.read_text()
    assert store.read(lambda v: v.get("CharacterTag", "1")) == tagged("1", "two", "red")


def test_a_new_row_takes_over_nothing_of_a_deleted_one(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "data/characters/two.json"
    file.write_text(file.read_text().replace('{\n  "_version"', "{\n  " + NOTE + ',\n  "_version"'))
    applied(store, lambda changes: changes.move("Character", None, "two", character("two", "b")))
    assert NOTE not in file.read_text()


def test_a_row_and_the_one_that_it_is_embedded_in_may_come_in_any_order(store: Store) -> None:
    def both(changes: ChangeSet) -> None:
        changes.set("CharacterTag", "2", tagged("2", "three", "blue"))
        changes.set("Character", "three", character("three"))
        changes.delete("CharacterTag", "1")
        changes.delete("Character", "one")

    applied(store, both)
    assert store.read(lambda v: [r.id for r in v.rows("CharacterTag")]) == ["2"]


def test_a_unique_value_of_another_row_is_a_conflict_with_it(store: Store) -> None:
    conflict = refused(store, lambda changes: changes.set("User", "a", user("a", "b@x")))
    assert isinstance(conflict.error, UniqueViolation)
    assert (conflict.row, conflict.others) == (user("a", "b@x"), (("User", "b"),))


def test_a_missing_parent_is_a_conflict(store: Store) -> None:
    conflict = refused(store, lambda changes: changes.set("Tag", "red", tag("red", "nobody")))
    assert isinstance(conflict.error, ForeignKeyViolation)
    assert conflict.row == tag("red", "nobody")
    assert conflict.relation is not None
    assert conflict.relation.parent == "User"


@pytest.mark.parametrize(("model", "key"), [("Tag", "red"), ("Character", "one")])
def test_rows_that_point_at_a_deleted_one_are_a_conflict(store: Store, model: str, key: str) -> None:
    conflict = refused(store, lambda changes: changes.delete(model, key))
    assert isinstance(conflict.error, ForeignKeyViolation)
    assert conflict.others == (("CharacterTag", "1"),)


def test_a_foreign_key_that_did_not_change_is_looked_at_thoroughly_alone(store: Store) -> None:
    made = ChangeSet()
    made.set("Tag", "red", tag("red"))
    with store.transaction() as tx:
        # As a store that others have damaged.
        gone = ChangeSet()
        gone.delete("User", "a")
        gone.apply(tx)
        assert made.apply(tx) == []
        assert [type(conflict.error) for conflict in made.apply(tx, thoroughly=True)] == [ForeignKeyViolation]
        made = ChangeSet()
        made.set("User", "a", user("a"))
        assert made.apply(tx) == []


def test_a_value_that_is_not_of_its_type_is_refused(store: Store) -> None:
    changes = ChangeSet()
    changes.set("User", "a", row("User", id="a", email=7))
    with pytest.raises(UsageError), store.transaction() as tx:
        changes.apply(tx)


def test_a_transaction_tells_the_rows_that_it_has_changed(store: Store) -> None:
    with store.transaction() as tx:
        tx.insert([tagged("2", "two", "blue")])
        tx.delete([tagged("1", "one", "red")])
        tx.update([(user("b"), user("b", "new@x"))])
        tx.update([(user("a"), user("a"))])
        found = {name: tuple(change) for name, change in changed_rows(tx).items()}
    assert found == {
        ("CharacterTag", "2"): (None, tagged("2", "two", "blue")),
        ("CharacterTag", "1"): (tagged("1", "one", "red"), None),
        ("User", "b"): (user("b"), user("b", "new@x")),
    }
