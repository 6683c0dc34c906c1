"""Documents into passages that keep their heading.

LightRAG's own chunker cuts at a number of tokens wherever that falls. This one
cuts between paragraphs, and tells each passage where it stands: the first line
of a passage is its breadcrumb, which puts the page's and the section's name
into its vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .offline.text import Line, annotate

BREADCRUMB = "§ "
_MAX_BREADCRUMB = 160
# Characters; a longer line is no line of text, and is counted in parts.
_LONG_LINE = 2000


def split_breadcrumb(content: str) -> tuple[str, str]:
    """A passage's breadcrumb (may be empty) and its text."""
    if content.startswith(BREADCRUMB):
        head, _, body = content.partition("\n")
        return head[len(BREADCRUMB) :], body
    return "", content


def make_chunker(count_tokens: Callable[[list[str]], list[int]]) -> Callable[..., list[dict[str, Any]]]:
    """A function with the signature LightRAG calls; `count_tokens` gives the
    length of each of several texts."""

    def chunk(
        _tokenizer: object,
        content: str,
        _split_by: str | None = None,
        _split_only: bool = False,
        _overlap: int = 0,
        limit: int = 1200,
    ) -> list[dict[str, Any]]:
        pieces = _passages(content, limit, count_tokens)
        return [
            {"tokens": tokens, "content": text, "chunk_order_index": number}
            for number, (text, tokens) in enumerate(pieces)
        ]

    return chunk


@dataclass(frozen=True)
class _Piece:
    """A line, or a part of a very long one."""

    line: Line
    text: str
    cost: int


def _passages(
    content: str, limit: int, count_tokens: Callable[[list[str]], list[int]]
) -> list[tuple[str, int]]:
    body_limit = max(32, limit - 40)
    passages: list[tuple[str, int]] = []
    current: list[str] = []
    size = 0
    crumb: tuple[str, ...] = ()

    def close() -> None:
        nonlocal size
        body = "\n".join(current).strip("\n")
        if body.strip():
            passages.append((_with_breadcrumb(crumb, body), size + 8))
        current.clear()
        size = 0

    for block in _blocks(_pieces(content, body_limit, count_tokens)):
        headings = block[0].line.headings
        cost = sum(piece.cost for piece in block)
        new_section = headings != crumb and size > body_limit // 4
        if current and (size + cost > body_limit or new_section):
            close()
        if not current:
            crumb = headings
        for piece in block:
            if current and size + piece.cost > body_limit:
                close()
                crumb = headings
            current.append(piece.text)
            size += piece.cost
        current.append("")
    close()
    return passages


def _pieces(content: str, limit: int, count_tokens: Callable[[list[str]], list[int]]) -> list[_Piece]:
    """The lines with their lengths; none is longer than a passage."""
    parts = [(line, text) for line in annotate(content) for text in _cut(line.text, _LONG_LINE)]
    counts = count_tokens([text for _, text in parts])
    pieces: list[_Piece] = []
    for (line, text), cost in zip(parts, counts, strict=True):
        shares = -(-cost // limit) if cost > limit else 1
        cuts = _cut(text, -(-len(text) // shares)) if shares > 1 else [text]
        pieces += [_Piece(line, cut, -(-cost // len(cuts))) for cut in cuts]
    return pieces


def _cut(text: str, width: int) -> list[str]:
    """A text in parts of at most `width` characters, cut at spaces where there
    are some."""
    parts: list[str] = []
    start = 0
    while len(text) - start > width:
        end = text.rfind(" ", start + width // 2, start + width)
        end = start + width if end < 0 else end + 1
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


def _blocks(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Runs of lines between blank ones; a heading starts a new run and stays
    with what follows it."""
    blocks: list[list[_Piece]] = []
    current: list[_Piece] = []

    def close() -> None:
        if current:
            blocks.append(list(current))
            current.clear()

    for piece in pieces:
        if piece.line.is_heading:
            close()
            current.append(piece)
        elif piece.text.strip():
            current.append(piece)
        elif current and not current[-1].line.is_heading:
            close()
    close()
    return blocks


def _with_breadcrumb(headings: tuple[str, ...], body: str) -> str:
    if not headings:
        return body
    crumb = " › ".join(headings)
    if len(crumb) > _MAX_BREADCRUMB:
        crumb = crumb[: _MAX_BREADCRUMB - 1] + "…"
    return f"{BREADCRUMB}{crumb}\n{body}"
