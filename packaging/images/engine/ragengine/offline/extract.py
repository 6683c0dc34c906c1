"""Entities and relations from a passage without a language model.

Deterministic: the same passage always gives the same rows, so a graph that is
rebuilt after a deletion is the graph that was there before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from .text import STOPWORDS, WORD, sentences, unwrap

_CODE = re.compile(
    r"`([^`\n]{2,60})`"  # quoted code
    r"|(?<![\w/-])(--[a-z][a-z0-9-]{2,40})"  # a long option
    r"|\b([a-z][\w.+-]{1,40}\(\d[a-z]*\))"  # a manual page
    r"|(?<![\w/.])((?:~|\.{1,2})?(?:/[\w.@+-]+){2,8})"  # a path
    r"|\b([A-Za-z_]\w*(?:(?:::|\.|_)\w+)+(?:\(\))?)"  # a qualified name
    r"|\b([a-z]+[A-Z]\w+|[A-Z][a-z]+[A-Z]\w*)\b"  # camel case
)
_PROPER = re.compile(
    r"\b[A-Z][\w'&+-]*[a-z0-9](?:\s+(?:of|the|de|van|von|and|for)\s+(?=[A-Z])|\s+)?(?:[A-Z][\w'&+-]*\b(?:\s+(?=[A-Z]))?){0,3}"
)
_ACRONYM = re.compile(r"\b[A-Z][A-Z0-9]{1,9}s?\b")
_TYPES = (
    (re.compile(r"^--"), "Data"),
    (re.compile(r"\(\d"), "Content"),
    (re.compile(r"^[~./]*/"), "Data"),
    (re.compile(r"[a-z]_[a-z]|::|\(\)$|\.\w+$"), "Artifact"),
)
_DESCRIPTION = 90
_SEPARATOR = re.compile(r"<\|.*?\|>|<SEP>|[\r\n\t]+")


@dataclass
class Term:
    """Something a passage speaks of."""

    name: str
    kind: str
    weight: float
    sentences: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Graph:
    """What one passage gives."""

    entities: list[tuple[str, str, str]]
    relations: list[tuple[str, str, str, str]]


def extract(passage: str, heading: str = "", max_entities: int = 8, max_relations: int = 8) -> Graph:
    """The passage's most telling terms and which of them stand together."""
    units = [s for block in unwrap(passage.split("\n")) for s in sentences(block)]
    terms = _terms(units)
    chosen = _choose(terms, max_entities)
    if not chosen:
        return Graph([], [])
    subject = _clean(heading.split(" › ")[0]) if heading else ""
    entities = [(term.name, term.kind, _describe(term.name, units[term.sentences[0]])) for term in chosen]
    relations = _relations(chosen, units, max_relations)
    if subject and 2 < len(subject) <= 60 and all(subject.lower() != t.name.lower() for t in chosen):
        entities = [
            (subject, "Content", f"{subject} is a document."),
            *entities[: max_entities - 1],
        ]
        kept = {name for name, _, _ in entities}
        about = ((subject, term.name, "mentions", f"{subject} speaks of {term.name}.") for term in chosen[:2])
        relations = [r for r in (*relations, *about) if r[0] in kept and r[1] in kept]
    return Graph(entities, relations[:max_relations])


def _terms(units: list[str]) -> dict[str, Term]:
    found: dict[str, Term] = {}

    def add(name: str, kind: str, weight: float, unit: int) -> None:
        name = _clean(name)
        key = name.lower()
        if not 2 <= len(name) <= 60 or key in STOPWORDS or name.isdigit():
            return
        term = found.setdefault(key, Term(name, kind, 0.0))
        term.weight += weight
        if not term.sentences or term.sentences[-1] != unit:
            term.sentences.append(unit)

    for unit, text in enumerate(units):
        for match in _CODE.finditer(text):
            name = next(group for group in match.groups() if group)
            add(name, _kind(name), 3.0, unit)
        rest = _CODE.sub(" ", text)
        if rest.upper() == rest:
            continue
        for match in _PROPER.finditer(rest):
            name = match[0].strip()
            words = name.split()
            if _starts_sentence(rest, match.start()):
                # A capital there says nothing: what follows it may.
                while words and words[0].lower() in STOPWORDS:
                    words = words[1:]
                weight = 2.0 if len(words) > 1 else 0.6
            else:
                weight = 2.5 if len(words) > 1 else 2.0
            if words:
                add(" ".join(words), "Concept", weight, unit)
        for match in _ACRONYM.finditer(rest):
            add(match[0], "Concept", 2.0, unit)
        for word in WORD.findall(rest):
            if len(word) > 3 and word.islower() and word not in STOPWORDS:
                add(word.strip("'-_"), "Concept", 0.5 + min(len(word), 12) / 24, unit)
    return found


def _choose(terms: dict[str, Term], most: int) -> list[Term]:
    """The heaviest terms; a plain word only fills what names leave free."""
    names = {word for key in terms if " " in key for word in key.split()}
    ranked = sorted(
        (term for key, term in terms.items() if key not in names),
        key=lambda term: (-term.weight, term.sentences[0], term.name),
    )
    chosen = ranked[:most]
    for term in chosen:
        if term.name.islower() and term.kind == "Concept":
            term.name = term.name.title()
    return chosen


def _relations(chosen: list[Term], units: list[str], most: int) -> list[tuple[str, str, str, str]]:
    pairs: Counter[tuple[int, int]] = Counter()
    where: dict[tuple[int, int], int] = {}
    for first, term in enumerate(chosen):
        for second in range(first + 1, len(chosen)):
            shared = set(term.sentences) & set(chosen[second].sentences)
            if shared:
                pairs[first, second] = len(shared)
                where[first, second] = min(shared)
    rows = []
    for (first, second), _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:most]:
        unit = units[where[first, second]]
        source, target = chosen[first].name, chosen[second].name
        rows.append((source, target, _keywords(unit, (source, target)), _shorten(unit)))
    return rows


def _keywords(sentence: str, exclude: Iterable[str]) -> str:
    taken = {word for name in exclude for word in name.lower().split()}
    words = [
        word.lower()
        for word in WORD.findall(sentence)
        if len(word) > 3 and word.lower() not in STOPWORDS and word.lower() not in taken
    ]
    return ", ".join(dict.fromkeys(words[:2])) or "related"


def _describe(name: str, sentence: str) -> str:
    return _shorten(sentence) or name


def _shorten(text: str) -> str:
    text = _clean(text)
    if len(text) <= _DESCRIPTION:
        return text
    return text[: text.rfind(" ", 0, _DESCRIPTION) if " " in text[:_DESCRIPTION] else _DESCRIPTION] + "…"


def _clean(text: str) -> str:
    """Nothing that LightRAG reads as a separator, no quotes around the whole."""
    return " ".join(_SEPARATOR.sub(" ", text).split()).strip(" \"'`*,;:.<>|")


def _kind(name: str) -> str:
    return next((kind for pattern, kind in _TYPES if pattern.search(name)), "Artifact")


def _starts_sentence(text: str, position: int) -> bool:
    return not text[:position].strip(" -*•\"'([")
