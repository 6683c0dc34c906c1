"""Answers made of the documents' own sentences.

There is no language model here, so nothing is put into words that no document
says: the sentences closest in meaning to the question are quoted, each with
the place it stands at.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..chunking import split_breadcrumb
from ..errors import NOTHING
from .text import Line, annotate, content_words, sentences, strip_bullet, unwrap

# Cosines of this model: unrelated sentences stay below 0.2, an answer to a
# question lies between 0.35 and 0.8.
RELEVANT = 0.30
# A quoted sentence is at most this much less alike than the best one.
_SPREAD = 0.18
_MOST_QUOTES = 5
_MOST_PASSAGES = 10
_MOST_OTHERS = 2
# Words that are embedded to answer one question; sentences that share nothing
# with it go first.
_TOKEN_BUDGET = 320
_MAX_QUOTE = 400
Embed = Callable[[list[str]], np.ndarray]
_PAGE = re.compile(r"[\w.-]+\(\d\w*\)")
_RUN = re.compile(r"[^\s\u2010\u00ad]+")


@dataclass(frozen=True)
class Passage:
    """A retrieved passage and how alike it is to the question."""

    chunk_id: str
    path: str
    content: str
    score: float


@dataclass(frozen=True)
class Quote:
    """A sentence of a passage."""

    text: str
    path: str
    heading: str
    score: float
    #: Other files that say the same, word for word.
    others: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path, *self.others)


def rank(question: str, vector: np.ndarray, passages: Sequence[Passage], embed: Embed) -> list[Quote]:
    """The best sentences of the best passages, best first."""
    best = sorted(passages, key=lambda passage: -passage.score)[:_MOST_PASSAGES]
    candidates: list[tuple[float, Quote]] = []
    asked = set(content_words(question))
    for passage in best:
        heading, body = split_breadcrumb(passage.content)
        lines = [line.text for line in annotate(body) if not line.is_heading]
        for block in unwrap(lines):
            for sentence in sentences(strip_bullet(block)):
                words = content_words(sentence)
                if len(words) < 2 or len(sentence) < 12 or _is_table(sentence) or _is_index(sentence):
                    continue
                shared = len(asked & set(words)) / (len(asked) or 1)
                quote = Quote(sentence, passage.path, heading, passage.score)
                candidates.append((passage.score + 0.3 * shared, quote))
    candidates.sort(key=lambda entry: -entry[0])
    chosen: list[Quote] = []
    cost = 0
    for _, quote in candidates:
        cost += min(len(quote.text), _MAX_QUOTE) // 4 + 2
        if chosen and cost > _TOKEN_BUDGET:
            break
        chosen.append(quote)
    if not chosen:
        return []
    vectors = embed([quote.text[:_MAX_QUOTE] for quote in chosen])
    scored = []
    for quote, similarity in zip(chosen, vectors @ vector, strict=True):
        shared = len(asked & set(content_words(quote.text))) / (len(asked) or 1)
        # The sentence itself decides; its passage and the words it shares
        # with the question break near ties.
        score = 0.8 * float(similarity) + 0.2 * quote.score + 0.06 * shared
        scored.append(replace(quote, score=score))
    scored.sort(key=lambda quote: -quote.score)
    return _distinct(scored)


def _is_table(text: str) -> bool:
    """Rows and rules of a drawn table are no sentences."""
    return any("\u2500" <= char <= "\u257f" for char in text) or text.count("|") > 2


def _is_index(text: str) -> bool:
    """A list of manual pages, `podman(1), podman-pod(1)`, says nothing."""
    return 4 * len(_PAGE.findall(text)) >= 3 * len(text.split())


def _distinct(quotes: list[Quote]) -> list[Quote]:
    """Every sentence once, with all files that have it."""
    kept: dict[str, Quote] = {}
    for quote in quotes:
        key = re.sub(r"\W+", "", quote.text.lower())
        first = kept.setdefault(key, quote)
        if quote.path not in first.paths and len(first.others) < _MOST_OTHERS:
            kept[key] = replace(first, others=(*first.others, quote.path))
    return list(kept.values())


def select(quotes: Sequence[Quote]) -> list[Quote]:
    """Those worth quoting; none when even the best has little to do with the
    question."""
    if not quotes or quotes[0].score < RELEVANT:
        return []
    floor = max(RELEVANT, quotes[0].score - _SPREAD)
    return [quote for quote in quotes if quote.score >= floor][:_MOST_QUOTES]


@dataclass(frozen=True)
class Place:
    """Where a quoted sentence stands."""

    path: str
    first: int
    last: int
    heading: str

    def __str__(self) -> str:
        if not self.first:
            where = self.path
        elif self.first == self.last:
            where = f"{self.path}:{self.first}"
        else:
            where = f"{self.path}:{self.first}-{self.last}"
        return f"{where} ({self.heading})" if self.heading else where


class Document:
    """A document's text, made ready for finding quotes in it: line breaks,
    indentation and hyphenation are not part of a quote."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._text = text
        self._runs = [match.start() for match in _RUN.finditer(text)]
        pieces = _RUN.findall(text)
        self._offsets = list(itertools.accumulate((len(piece) for piece in pieces), initial=0))
        self._letters = "".join(pieces)
        self._lines: list[Line] = []

    def locate(self, quote: str) -> tuple[int, int, str] | None:
        """First and last line of a quote, and the headings above it."""
        letters = "".join(_RUN.findall(quote))
        found = self._letters.find(letters)
        if found < 0 or not letters:
            return None
        first = self._line_at(found)
        if not self._lines:
            self._lines = annotate(self._text)
        headings = self._lines[first - 1].headings
        return first, self._line_at(found + len(letters) - 1), " › ".join(headings)

    def _line_at(self, letter: int) -> int:
        run = bisect.bisect_right(self._offsets, letter) - 1
        return self._text.count("\n", 0, self._runs[run]) + 1


def compose(quotes: Sequence[Quote], documents: dict[str, str]) -> str:
    """The answer: quoted sentences with numbers, and below what the numbers
    stand for."""
    if not quotes:
        return NOTHING
    known = {path: Document(path, text) for path, text in documents.items()}
    marks: dict[Place, int] = {}
    lines = []
    for quote in quotes:
        numbers = []
        for path in quote.paths:
            document = known.get(path)
            found = document.locate(quote.text) if document else None
            unknown = (0, 0, quote.heading if path == quote.path else "")
            place = Place(path, *(found or unknown))
            numbers.append(marks.setdefault(place, len(marks) + 1))
        text = quote.text if len(quote.text) <= _MAX_QUOTE else quote.text[: _MAX_QUOTE - 1] + "…"
        cited = "".join(f"[{number}]" for number in dict.fromkeys(numbers))
        lines.append(f"- {text} {cited}")
    references = [f"[{number}] {place}" for place, number in marks.items()]
    return "\n".join([*lines, "", *references])
