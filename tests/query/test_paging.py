"""Pages give every record once, in order, whatever else is asked of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import on_memory
from octavo.query.paging import pages
from octavo.query.plan import Change, ChangeKind, Compare, IsNull, Not, Operator, equals
from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema

VOCABULARY = Vocabulary(
    parse_schema("""
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

model Thing {
  one   String
  two   Int
  group String
  note  String?

  @@id([one, two])
}
""")
)
TERMS = VOCABULARY["Thing"]
THINGS = st.lists(
    st.fixed_dictionaries(
        {
            "one": st.sampled_from(["", "a", "ä", "b", "😀"]),
            "two": st.integers(-2, 2),
            "group": st.sampled_from("xyz"),
            "note": st.none() | st.just("n"),
        }
    ),
    unique_by=lambda row: (row["one"], row["two"]),
)


def filled(rows: list[dict[str, Any]]) -> Any:
    client = on_memory(VOCABULARY)
    client["Thing"].create_many(data=rows)
    return client._backend


def by_bytes(*names: str) -> Any:
    return lambda row: [v.encode() if isinstance(v := row[n], str) else v for n in names]


@given(rows=THINGS, size=st.integers(1, 7), first=st.sampled_from([(), ("group",), ("two",)]))
def test_every_record_once_and_in_order(
    rows: list[dict[str, Any]], size: int, first: tuple[str, ...]
) -> None:
    found = list(pages(filled(rows), TERMS, first=first, size=size))
    assert all(0 < len(page) <= size for page in found)
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    wanted = sorted(rows, key=by_bytes(*first, "one", "two"))
    assert [record.to_dict() for page in found for record in page] == wanted


@given(rows=THINGS, size=st.integers(1, 7))
def test_only_what_fulfils_the_condition(rows: list[dict[str, Any]], size: int) -> None:
    found = list(pages(filled(rows), TERMS, Not(IsNull("note")), size=size))
    wanted = [row for row in sorted(rows, key=by_bytes("one", "two")) if row["note"]]
    assert [record.to_dict() for page in found for record in page] == wanted


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_is_changed_or_deleted_between_two_pages(size: int) -> None:
    backend = filled([{"one": "a", "two": n, "group": "x"} for n in range(5)])
    seen = []
    for page in pages(backend, TERMS, size=size):
        for record in page:
            seen.append(record.two)
            with backend.transaction() as transaction:
                transaction.update(
                    "Thing", equals(("two",), (record.two,)), [Change("note", ChangeKind.SET, "seen")]
                )
                transaction.delete("Thing", Compare("two", Operator.LT, record.two))
    assert seen == [0, 1, 2, 3, 4]
