"""Names of files and arrays that a person would give to a model's records: ``EmailTemplate`` is kept in
``email-templates``, under ``emailTemplates``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable


def words_of(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_IRREGULAR = {
    "person": "people",
    "child": "children",
    "criterion": "criteria",
    "man": "men",
    "woman": "women",
}
_UNCOUNTED = words_of(
    """
    analytics content data equipment feedback information media meta metadata news revenue series software
    spend staff
    """
)
_LONGEST = 100
_SURE = 0.8
"""the part of all models that has to begin alike before that beginning says nothing"""


def words(name: str) -> list[str]:
    """The words of a model's name, in lower case: ``OAuthClient`` is ``oauth client``.

    A name without a letter, as a relation may have, is ``record``.
    """
    found = [word.lower() for word in _WORD.findall(name)]
    return _joined(found) or ["record"]


def _joined(found: list[str]) -> list[str]:
    """Single letters belong to the word that follows, digits to the one before."""
    joined: list[str] = []
    for word in found:
        if joined and (word.isdigit() or (len(joined[-1]) == 1 and joined[-1].isalpha())):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def plural(word: str) -> str:
    """The plural of an English noun in lower case; of what is a plural already, itself."""
    if word in _UNCOUNTED or (word.endswith("s") and not word.endswith(("ss", "us", "is"))):
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    if word.endswith("is"):
        return word[:-2] + "es"
    return word + ("es" if re.search(r"(s|x|z|ch|sh)$", word) else "s")


def singular(word: str) -> str:
    """The singular of a word in lower case; of one that is no plural, itself."""
    if word in _UNCOUNTED or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if re.search(r"(s|x|z|ch|sh)es$", word) else word[:-1]


class Names:
    """The words by which each model of a schema is told from the others."""

    def __init__(self, models: Iterable[str]) -> None:
        self._all = {name: words(name) for name in models}
        self._shared = _beginning(self._all)

    def __getitem__(self, model: str) -> list[str]:
        """Without what nearly all models begin with, and without a last ``Table``."""
        found = self._all.get(model) or words(model)
        if self._shared and found[: len(self._shared)] == self._shared and len(found) > len(self._shared):
            found = found[len(self._shared) :]
        return found[:-1] if len(found) > 1 and found[-1] == "table" else found


def _beginning(names: dict[str, list[str]]) -> list[str]:
    """The words before a ``_`` with which nearly all models begin."""
    begun = Counter(name.partition("_")[0] for name in names if name.partition("_")[2])
    if begun and len(names) > 2:
        prefix, number = max(sorted(begun.items()), key=lambda item: item[1])
        if prefix and number >= _SURE * len(names):
            return words(prefix)
    return []


def many(found: list[str]) -> list[str]:
    """The words with the last one in the plural."""
    return [*found[:-1], plural(found[-1])]


def kebab(found: list[str]) -> str:
    """``email-templates``; of a very long name the beginning."""
    return "-".join(found)[:_LONGEST].rstrip("-")


def camel(found: list[str]) -> str:
    """``emailTemplates``"""
    return found[0] + "".join(word.capitalize() for word in found[1:])
