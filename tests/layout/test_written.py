"""A layout that is written loads again to the same layout."""

from __future__ import annotations

import pytest

from octavo.layout.layout import Layout
from octavo.layout.load import flat_layout, frozen_layout, parse_layout
from octavo.layout.written import layout_text
from parity.actions import layout as every_action
from parity.keyed import keyed


def again(found: Layout) -> Layout:
    return parse_layout(layout_text(found), found.datamodel, source=found.source)


def test_a_layout_is_written_as_it_was_loaded() -> None:
    for found in (frozen_layout(), every_action()):
        assert again(found) == found


@pytest.mark.parametrize("seed", range(12))
def test_a_layout_of_random_keys_is_written_as_it_was_made(seed: int) -> None:
    found = keyed(seed)
    assert again(found) == found
    flat = flat_layout(found.datamodel)
    assert again(flat) == flat
