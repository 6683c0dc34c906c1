"""Cutting text: sentences, headings, words. Pure functions over strings."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Words that say nothing about what a text is about.
STOPWORDS = frozenset(
    """
    a about above after again against all also although always am an and another any are as at away
    be became because been before being below between both but by came can cannot could default
    describe did do does doing done down during each either else etc even ever every example
    examples explain few first following for from further get gets getting give given go goes got
    had has have having he her here hers herself him himself his how however i if in into is it its
    itself just last least less let like made make makes many may me might more most much must my
    myself need neither never new no none nor not now of off often on once one only onto or other
    others ought our ours ourselves out over own per perhaps please put rather really same see shall
    she should show since so some someone something still such take taken tell than that the their
    theirs them themselves then there therefore these they thing things this those though through
    thus to too two under until up upon us use used user uses using very via want was way we well
    were what whatever when where whether which while who whole whom whose why will with within
    without would yes yet you your yours yourself
    """.split()
)
# A sentence ends at a mark followed by a space and something that can start
# one; "e.g." and the like do not end any.
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|mr|mrs|ms|dr|st|no|fig|approx)|\b[A-Z])\.$", re.I)
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9`*_-])")
_MARKDOWN_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^(=+|-+|~+|\^+|\*+|\++)\s*$")
_ADOC_HEADING = re.compile(r"^(={1,6})\s+(\S.*?)\s*=*$")
_MANUAL_HEADING = re.compile(r"^[A-Z][A-Z0-9 ,/()&'-]{2,60}$")
_BULLET = re.compile(r"^\s*(?:[-*+•·o]|\d{1,3}[.)])\s+")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'_-]*")


@dataclass(frozen=True)
class Line:
    """A line of a document with the headings it stands under."""

    number: int
    text: str
    headings: tuple[str, ...]
    is_heading: bool


def annotate(text: str) -> list[Line]:
    """Every line with its headings: Markdown, AsciiDoc, underlined ones and
    the capitals of manual pages."""
    raw = text.split("\n")
    lines: list[Line] = []
    stack: list[tuple[int, str]] = []
    fenced = False
    skip_underline = False
    for index, line in enumerate(raw):
        stripped = line.rstrip()
        if stripped.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        heading: tuple[int, str] | None = None
        if skip_underline:
            skip_underline = False
        elif not fenced and stripped and not stripped[0].isspace():
            following = raw[index + 1].rstrip() if index + 1 < len(raw) else ""
            heading = _heading(stripped, following, index)
            skip_underline = heading is not None and bool(_UNDERLINE.match(following))
        if heading:
            stack = [entry for entry in stack if entry[0] < heading[0]] + [heading]
        lines.append(Line(index + 1, line, tuple(name for _, name in stack), heading is not None))
    return lines


def _heading(line: str, following: str, index: int) -> tuple[int, str] | None:
    if match := _MARKDOWN_HEADING.match(line):
        return len(match[1]), match[2]
    if match := _ADOC_HEADING.match(line):
        return len(match[1]), match[2]
    mark = _UNDERLINE.match(following)
    if mark and len(line) <= 120 and len(mark[1]) >= max(3, len(line) * 2 // 3) and WORD.search(line):
        return ("=-~^*+".index(mark[1][0]) + 1), line
    if _MANUAL_HEADING.match(line):
        return 2, line
    if index == 0 and re.match(r"^\S+\(\d\w*\)\s", line):
        # The top line of a rendered manual page names the page.
        return 1, line.split()[0]
    return None


def unwrap(lines: list[str]) -> list[str]:
    """Paragraphs, list items and table rows as single lines: what was broken
    to fit a width is joined, what was separate stays so."""
    blocks: list[str] = []
    current: list[str] = []
    indent = 0

    def close() -> None:
        if current:
            # A hyphen at a line's end only broke the word.
            blocks.append(re.sub(r"(?<=\w)[\u2010\u00ad] (?=\w)", "", " ".join(current)))
            current.clear()

    for line in lines:
        stripped = line.strip()
        if not stripped or set(stripped) <= set("-=~*_`#|+ "):
            close()
            continue
        depth = len(line) - len(line.lstrip())
        bullet = _BULLET.match(line)
        starts_item = bool(bullet) or stripped.startswith(("|", "--", "•"))
        if current and (starts_item or abs(depth - indent) > 1):
            close()
        if not current:
            # What follows an item's mark is where its next lines begin.
            indent = len(bullet[0]) if bullet else depth
        current.append(re.sub(r"\s+", " ", stripped))
    close()
    return blocks


def strip_bullet(block: str) -> str:
    """A list item without its mark."""
    return _BULLET.sub("", block, count=1)


def sentences(block: str) -> list[str]:
    """The sentences of a paragraph."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(block):
        piece = block[start : match.start()]
        if _ABBREVIATION.search(piece):
            continue
        found.append(block[start : match.end()].strip())
        start = match.end()
    rest = block[start:].strip()
    if rest:
        found.append(rest)
    return found


def content_words(text: str) -> list[str]:
    """The words that carry meaning, lower case, in their order."""
    return [
        word
        for word in (match.lower() for match in WORD.findall(text))
        if len(word) > 1 and word not in STOPWORDS
    ]
