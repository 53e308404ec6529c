"""Texts as searches see them: folded, in words, and as a snippet.

Folding maps each character by itself (:func:`octavo.values.text.lower`), so that a part of a text folds to a
part of the folded text, and a position in the one is the same in the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from math import log

from octavo.text import pattern
from octavo.values.text import lower

_WORD = pattern(r"[^\W_]+")
_SPACES = pattern(r"\s+")
_MARK = "**"
_CUT = "…"
_WINDOW = 160
"""characters of a snippet"""
_LEAD = 40
"""characters of it before the first match"""
_MOST_LOOKED = 50_000
"""words at the beginning of a text that a snippet is chosen from"""
_K1, _B = 1.2, 0.75
"""the constants of BM25, as SQLite's FTS5 has them"""
_LEAST = 1e-6
"""the weight of a word that most texts have"""


def folded(text: str) -> str:
    """The text by which searches compare."""
    # Of all characters str.lower maps only these otherwise than each by itself.
    return lower(text) if "İ" in text or "Σ" in text else text.lower()


def words_of(text: str) -> list[str]:
    """The words of a folded text: letters and digits that follow each other."""
    return _WORD.findall(text)


def snippet(texts: Iterable[str], words: Collection[str]) -> str:
    """Of the text with the most of these words, the part with the most of them, each between ``**``."""
    best, text, spans, first = -1, "", list[tuple[int, int]](), 0
    for each in texts:
        found = [m for m in islice(_WORD.finditer(folded(each)), _MOST_LOOKED) if m[0] in words]
        number, start = _window(found)
        if number > best:
            best, text, spans, first = number, each, [m.span() for m in found], start
    start = max(first - _LEAD, 0)
    if start:
        # From the beginning of a word.
        start = next((m.end() for m in _SPACES.finditer(text, start, first)), first)
    end = start + _WINDOW
    parts, at = [_CUT if start else ""], start
    for begin, stop in spans:
        if start <= begin < end:
            end = max(end, stop)
            parts += [text[at:begin], _MARK, text[begin:stop], _MARK]
            at = stop
    parts += [text[at:end], _CUT if end < len(text) else ""]
    return _SPACES.sub(" ", "".join(parts)).strip()


def _window(found: Sequence[re.Match[str]]) -> tuple[int, int]:
    """How many different words of these matches stand together at most, and where that begins."""
    best, at, last = 0, 0, 0
    together: Counter[str] = Counter()
    for first, match in enumerate(found):
        last = max(last, first)
        while last < len(found) and found[last].end() - match.start() <= _WINDOW - _LEAD:
            together[found[last][0]] += 1
            last += 1
        number = len(together) or 1
        if number > best:
            best, at = number, match.start()
        together[match[0]] -= 1
        together += Counter()
    return best, at


class Ranking:
    """BM25 of texts that have all of some words, by what is known of all texts."""

    def __init__(self, words: Sequence[str], texts: int, length: int, having: Sequence[int]) -> None:
        """``texts`` with ``length`` words together; ``having``: how many of them have each of the words."""
        self._words = words
        self._mean = length / texts if texts else 1.0
        self._weights = [max(log((texts - n + 0.5) / (n + 0.5)), _LEAST) for n in having]

    def of(self, words: Sequence[str]) -> float:
        """The rank of a text with these words: the greater, the better."""
        length = _K1 * (1 - _B + _B * len(words) / self._mean)
        rank = 0.0
        for word, weight in zip(self._words, self._weights, strict=True):
            number = words.count(word)
            rank += weight * number * (_K1 + 1) / (number + length)
        return rank
