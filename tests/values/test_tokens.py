"""Slicing agrees with Python's own parser on what is JSON and on what stands where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octavo.values.tokens import NotJson, elements, members, value_end

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.builds(
    lambda value, indent, ascii_: json.dumps(value, indent=indent, ensure_ascii=ascii_).encode(
        "utf-8", "surrogatepass"
    ),
    JSON,
    st.sampled_from([None, 0, 2, "\t"]),
    st.booleans(),
)
DAMAGE = st.tuples(
    st.integers(0, 60), st.integers(0, 3), st.sampled_from([*'{}[]",:\\/ \n\t\r\0\x01\x0b0-+.eEtu1'])
)


def damaged(text: bytes, damages: list[tuple[int, int, str]]) -> bytes:
    """The text with bytes replaced by others, at places counted around its end."""
    for place, removed, put in damages:
        at = place % (len(text) + 1)
        text = text[:at] + put.encode() + text[at + removed :]
    return text


def parsed(text: bytes) -> Any:
    """What Python's parser makes of the text: pairs for objects, numbers as they are spelled."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    return json.loads(
        text.decode("utf-8", "surrogateescape"),
        object_pairs_hook=lambda pairs: ("object", pairs),
        parse_int=lambda spelled: ("number", spelled),
        parse_float=lambda spelled: ("number", spelled),
        parse_constant=refuse,
    )


def whole(text: bytes) -> bytes:
    """The one element of an array around the text: raises NotJson if that is no single value."""
    ((start, end),) = elements(b"[" + text + b"]")
    return (b"[" + text + b"]")[start:end]


@given(TEXTS, st.lists(DAMAGE, max_size=3))
@example(b"1", [])
@example(b'"\\u12"', [])
@example(b'"\\q"', [])
@example(b"[01]", [])
@example(b'{"a":1,}', [])
@example(b"[1,]", [])
@example(b"[-]", [])
@example(b'{"a":{}}', [])
@example(b'[[],{},[{"a":[]}],1]', [])
@example(b'{"a":1,"b":[],"c":2,"d":{"e":1,"f":2},"g":3}', [])
@example(b"1,2", [])
@example(b"[1}", [])
@example(b"\x0b1", [])
def test_the_same_texts_are_json(text: bytes, damages: list[tuple[int, int, str]]) -> None:
    text = damaged(text, damages)
    try:
        expected = parsed(text)
    except ValueError:
        with pytest.raises((NotJson, ValueError)):
            whole(text)
    else:
        assert parsed(whole(text)) == expected


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 2]), st.lists(DAMAGE, max_size=2))
def test_members_are_what_stands_there(value: Any, indent: int | None, damages: Any) -> None:
    text = damaged(json.dumps(value, indent=indent).encode(), damages)
    try:
        kind, pairs = parsed(text)
        assert kind == "object"
    except (ValueError, TypeError, AssertionError):
        with pytest.raises(NotJson):
            list(members(text))
    else:
        sliced = [(parsed(key), parsed(text[start:end])) for key, start, end in members(text)]
        assert sliced == pairs


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 2]))
def test_elements_are_what_stands_there(value: Any, indent: int | None) -> None:
    text = b" \n" + json.dumps(value, indent=indent).encode() + b"\r\n"
    assert [parsed(text[start:end]) for start, end in elements(text)] == parsed(text)


def test_a_part_of_a_text_is_sliced_by_itself() -> None:
    text = b'x[1, {"a": [2]}]y'
    assert [text[a:b] for a, b in elements(text, 1, len(text) - 1)] == [b"1", b'{"a": [2]}']
    inner = text.index(b"{")
    assert [(k, text[a:b]) for k, a, b in members(text, inner, value_end(text, inner))] == [(b'"a"', b"[2]")]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[1,{"b":2,"a":'])
def test_depth_and_length_have_no_limit(opening: bytes) -> None:
    depth = 100_000
    closing = {b"[": b"]", b'{"a":': b"}", b'[1,{"b":2,"a":': b"}]"}[opening]
    text = opening * depth + b"1e400" + closing * depth
    assert value_end(text + b"  ", 0) == len(text)
    with pytest.raises(NotJson, match="the text is cut"):
        value_end(text[:-1], 0)


def test_a_long_string_and_a_long_list_are_one_step_each() -> None:
    assert value_end(b'"' + b"\\u00e9x" * 1_000_000 + b'"', 0) == 7_000_002
    text = b"[" + b"1," * 1_000_000 + b"2]"
    assert value_end(text, 0) == len(text)


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        (b"", "is not an object", 0),
        (b"[1]", "is not an object", 0),
        (b"{", "the text is cut", 1),
        (b'{"a"', "the text is cut", 4),
        (b'{"a" 1}', "a colon is missing", 5),
        (b'{"a":', "the text is cut", 5),
        (b'{"a":"b', "a string is broken", 5),
        (b'{"a":1', "the text is cut", 6),
        (b'{"a":1 "b":2}', "a comma is missing", 7),
        (b'{"a":1,', "the text is cut", 7),
        (b"{a:1}", "a key is missing or broken", 1),
        (b'{"a":nul}', "a value is missing or broken", 5),
        (b'{"a":[1,2}', "a comma is missing", 9),
        (b'{"a":1}{"a":1}', "unexpected text after the end", 7),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, reason: str, position: int) -> None:
    with pytest.raises(NotJson) as caught:
        list(members(text))
    assert (caught.value.reason, caught.value.position) == (reason, position)
    assert str(caught.value) == f"{reason} (byte {position + 1})"
