"""``search``: what is looked for, which records have it, and what of them is shown.

A record is found if its fields, taken together, have every word.  How hits are ranked is the place's affair:
by BM25 on the files, by ``ts_rank`` in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from octavo.layout.record import Record
from octavo.layout.searched import why_not_searched
from octavo.query.arguments import At
from octavo.query.plan import Projection, Search
from octavo.query.reads import Reads
from octavo.query.result import Result
from octavo.query.vocabulary import Terms
from octavo.schema.datamodel import Datamodel
from octavo.values.text import string
from octavo.values.words import Ranking, folded, snippet, words_of

_TAKE = 20
_MOST_WORDS = 100
_LONGEST = 500
"""characters of a word: PostgreSQL takes no longer ones"""
_NO_END = 2**63 - 1
_KNOWN = ("fields", "where", "take", "skip", "include", "select", "omit")


class Hit(NamedTuple):
    """A record that a search has found."""

    record: Any
    """as ``find_many`` gives it"""
    rank: float
    """the greater, the better; it says something only beside the other hits of the same search"""
    snippet: str
    """the part of its text with most of the words, each between ``**``; plain text, not HTML"""


def parse(
    reads: Reads,
    terms: Terms,
    searched: Callable[[str], tuple[str, ...]],
    query: Any,
    arguments: Mapping[str, Any],
    at: At,
) -> tuple[Search | None, Projection | None]:
    """A search, and what it shows; None: there is no word to look for.  Raises ValidationError."""
    found = at.named(arguments, _KNOWN, "arguments")
    words = _words(query, at / "query")
    fields = _fields(terms, found.get("fields"), searched, reads.vocabulary.datamodel, at / "fields")
    take, skip = found.get("take", _TAKE), found.get("skip", 0)
    search = Search(
        model=terms.name,
        words=words,
        fields=fields,
        where=reads.filters.where(terms, found.get("where", {}), at / "where"),
        skip=min((at / "skip").whole(skip, lowest=0), _NO_END),
        take=min((at / "take").whole(take, lowest=0), _NO_END),
    )
    return search if words else None, reads.shown(terms, found, at)


def _words(query: Any, at: At) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(words_of(folded(at.value(string, query)))))
    if len(words) > _MOST_WORDS:
        at.fail(f"has {len(words)} different words; there may be {_MOST_WORDS}")
    if any(len(word) > _LONGEST for word in words):
        at.fail(f"has a word of more than {_LONGEST} characters")
    return words


def _fields(
    terms: Terms, given: Any, searched: Callable[[str], tuple[str, ...]], datamodel: Datamodel, at: At
) -> tuple[str, ...]:
    if given is None:
        if not (found := searched(terms.name)):
            at.fail(f"are needed: the layout names none of {terms.name} that are searched")
        return found
    names: dict[str, None] = {}
    for name, inner in at.each(given):
        if not isinstance(name, str) or name not in terms.usable:
            inner.unknown(name, terms.usable, f"{terms.name} has no such field")
        if reason := why_not_searched(terms.usable[name].field, datamodel):
            inner.fail(f"{name} {reason}")
        names[name] = None
    if not names:
        at.fail("names no field")
    return tuple(names)


def hits(
    terms: Terms, search: Search, found: Sequence[tuple[Record, float]], shown: Sequence[Record | Result]
) -> list[Hit]:
    """What a search has found, as its projection shows it."""
    words = frozenset(search.words)
    return [
        Hit(record, rank, snippet(texts_of(terms, search.fields, whole), words))
        for (whole, rank), record in zip(found, shown, strict=True)
    ]


def texts_of(terms: Terms, fields: Iterable[str], record: Record) -> Iterator[str]:
    """The texts of a record in these fields."""
    for name in fields:
        value = terms.columns[name].stored(record)
        if isinstance(value, str):
            yield value


class Searching:
    """Decides one search for records in memory."""

    def __init__(self, terms: Terms, search: Search, test: Callable[[Record], Any] | None) -> None:
        """``test`` decides its condition; None: it is always true."""
        self._terms, self._search, self._test = terms, search, test
        self._wanted = frozenset(search.words)

    def words(self, record: Record) -> list[str]:
        """The words of a record in the fields that are searched."""
        texts = texts_of(self._terms, self._search.fields, record)
        return [word for text in texts for word in words_of(folded(text))]

    def among(self, ranked: Iterable[tuple[Record, float]]) -> list[tuple[Record, float]]:
        """What the search finds among candidates that have their rank, best first."""
        search, seen = self._search, set()

        def fulfilling() -> Iterator[tuple[Record, float]]:
            for record, rank in ranked:
                key = self._terms.key_of(record)
                if key in seen or not self._wanted.issubset(self.words(record)):
                    continue
                seen.add(key)
                if self._test is None or self._test(record) is True:
                    yield record, rank

        return list(islice(fulfilling(), search.skip, search.skip + search.take))

    def ranked(self, records: Iterable[Record]) -> list[tuple[Record, float]]:
        """The records of a model that have all the words, with their rank, best first."""
        words, key_of = self._search.words, self._terms.key_of
        texts = length = 0
        having = dict.fromkeys(words, 0)
        found: list[tuple[Record, list[str]]] = []
        for record in records:
            there = self.words(record)
            texts += bool(there)
            length += len(there)
            had = self._wanted.intersection(there)
            for word in had:
                having[word] += 1
            if len(had) == len(words):
                found.append((record, there))
        ranking = Ranking(words, texts, length, list(having.values()))
        ranked = [(record, ranking.of(there)) for record, there in found]
        return sorted(ranked, key=lambda pair: (-pair[1], key_of(pair[0])))
