"""A part is named by its number and how many there are."""

from __future__ import annotations

import pytest

from octavo.errors import UsageError
from octavo.fold.parts import MOST, Part


def test_a_part_is_read_as_it_is_written() -> None:
    assert Part.parse("2/5") == Part(2, 5)
    assert str(Part.parse("02/5")) == "2/5"
    assert Part.parse("1/1").all == [Part(1, 1)]
    assert [str(part) for part in Part(3, 3).all] == ["1/3", "2/3", "3/3"]
    assert Part.parse(f"{MOST}/{MOST}") == Part(MOST, MOST)


@pytest.mark.parametrize(
    "text",
    ["0/5", "6/5", "2/0", "0/0", "x", "", "5", "1/", "/5", "1/x", "-1/5", "1/-5", "1.0/5", "1/5/5", " 1/5",
     "1/5\n", "٢/5", f"1/{MOST + 1}", "1/1000000", "1/" + "9" * 5000],
)  # fmt: skip
def test_what_names_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Part.parse(text)
    assert "is not a part" in str(caught.value)
    assert len(str(caught.value)) < 200
