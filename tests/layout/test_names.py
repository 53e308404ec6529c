"""Any id gives a file name that is safe, unique and readable on every file system."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awkward import IDS
from octavo.layout.layout import LONGEST, TAKEN, file_stem, stem_pattern

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
KEYS = st.lists(TEXT, min_size=1, max_size=3)


def hashed(plain: str) -> str:
    return "~" + hashlib.sha256(plain.encode()).hexdigest()


@pytest.mark.parametrize(
    ("identity", "stem"),
    [
        ("clx0abc-9_z", "clx0abc-9_z"),
        ("Abc", "%41bc"),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("a b\n", "a%20b%0A"),
        ("50%", "50%25"),
        ("%41", "%2541"),
        ("~x", "%7Ex"),
        ("é", "%C3%A9"),
        ("e\u0301", "e%CC%81"),
        ("👩", "%F0%9F%91%A9"),
        ("con.txt", "con%2Etxt"),
        ("console", "console"),
        ("INDEX", "%49%4E%44%45%58"),
        ("indexes", "indexes"),
        ("com0", "com0"),
        ("com10", "com10"),
        ("x" * LONGEST, "x" * LONGEST),
        ("X" * 66, "%58" * 66),
        ("", hashed("")),
        ("x" * (LONGEST + 1), hashed("x" * (LONGEST + 1))),
        ("X" * 67, hashed("X" * 67)),
        ("é" * 500, hashed("é" * 500)),
        ("index", hashed("index")),
        ("con", hashed("con")),
        ("nul", hashed("nul")),
        ("com9", hashed("com9")),
        ("lpt1", hashed("lpt1")),
    ],
)
def test_the_rule(identity: str, stem: str) -> None:
    assert file_stem([identity]) == stem


def test_compound_keys() -> None:
    assert file_stem(["a", "B/c"]) == "a.%42%2Fc"
    assert file_stem(["a", ""]) == "a."
    assert file_stem(["a.b", "c"]) == "a%2Eb.c"
    assert file_stem(["con", "a"]) == hashed("con\0a"), "a device on Windows, whatever follows the dot"
    assert file_stem(["index", "a"]) == "index.a"
    assert file_stem(["x" * 100, "y" * 100]) == hashed("x" * 100 + "\0" + "y" * 100)


@given(KEYS)
@example([""])
@example(["", ""])
@example(["~" + "0" * 64])
@example(["con"])
@example(["con", "x"])
def test_every_name_is_safe(key: list[str]) -> None:
    stem = file_stem(key)
    assert re.fullmatch(r"(?:[a-z0-9_.-]|%[0-9A-F]{2})+|~[0-9a-f]{64}", stem)
    assert len(stem) <= LONGEST
    assert stem not in TAKEN
    assert stem.partition(".")[0] not in TAKEN - {"index"}
    assert len(key) > 1 or "." not in stem
    assert re.fullmatch(stem_pattern(len(key)), stem)


@given(KEYS)
@example(["index"])
@example(["con", "x"])
@example(["index", "x"])
def test_the_pattern_matches_every_name(key: list[str]) -> None:
    assert re.fullmatch(stem_pattern(len(key)) + r"\.json", file_stem(key) + ".json")


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_the_pattern_matches_no_name_that_stands_for_something_else(name: str) -> None:
    assert not re.fullmatch(stem_pattern(1) + r"\.jsonl", name + ".jsonl")
    assert re.fullmatch(stem_pattern(1) + r"\.jsonl", name + "s.jsonl")


@given(st.lists(KEYS.map(tuple), unique=True, min_size=2))
@example([("A",), ("a",)])
@example([("é",), ("e\u0301",)])
@example([("a.b",), ("a", "b")])
@example([("a", ""), ("", "a")])
def test_different_keys_of_one_length_have_different_names(keys: list[tuple[str, ...]]) -> None:
    same = [key for key in keys if len(key) == len(keys[0])]
    names = {unicodedata.normalize("NFC", file_stem(key).casefold()) for key in same}
    assert len(names) == len(same)


def test_awkward_ids_have_different_names() -> None:
    assert len({file_stem([identity]).casefold() for identity in IDS}) == len(IDS)
    assert len({file_stem([twin]).casefold() for a in IDS for twin in {a, file_stem([a])}}) >= len(IDS)


@given(TEXT)
def test_a_name_is_no_id_of_the_same_name(identity: str) -> None:
    """Somebody may choose the name of one record's file as the id of another."""
    stem = file_stem([identity])
    if stem != identity:
        assert file_stem([stem]) != stem


@pytest.mark.parametrize("parts", [1, 2])
def test_the_pattern_takes_the_names_of_records_and_not_the_index_among_them(parts: int) -> None:
    pattern = re.compile(stem_pattern(parts) + r"\.json")
    for text in ("a", "index", "index-2", "indexed", "Index", "con", "", "ü" * 200):
        assert pattern.fullmatch(file_stem([text] * parts) + ".json")
    assert not pattern.fullmatch("index.json")
