"""Documents into passages that keep their heading.

LightRAG's own chunker cuts at a number of tokens wherever that falls. This one
cuts between paragraphs, and tells each passage where it stands: the first line
of a passage is its breadcrumb, which puts the page's and the section's name
into its vector.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any

from .offline.text import Line, annotate

BREADCRUMB = "§ "
_MAX_BREADCRUMB = 160


def split_breadcrumb(content: str) -> tuple[str, str]:
    """A passage's breadcrumb (may be empty) and its text."""
    if content.startswith(BREADCRUMB):
        head, _, body = content.partition("\n")
        return head[len(BREADCRUMB) :], body
    return "", content


def make_chunker(count_offsets: Callable[[str], list[tuple[int, int]]]) -> Callable[..., list[dict[str, Any]]]:
    """A function with the signature LightRAG calls; `count_offsets` gives the
    place of every token in a text."""

    def chunk(
        _tokenizer: object,
        content: str,
        _split_by: str | None = None,
        _split_only: bool = False,
        _overlap: int = 0,
        limit: int = 1200,
    ) -> list[dict[str, Any]]:
        pieces = _passages(content, limit, count_offsets)
        return [
            {"tokens": tokens, "content": text, "chunk_order_index": number}
            for number, (text, tokens) in enumerate(pieces)
        ]

    return chunk


def _passages(content: str, limit: int, count_offsets: Callable[[str], list[tuple[int, int]]]) -> list[tuple[str, int]]:
    lines = annotate(content)
    costs = _line_costs(lines, count_offsets(content))
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

    for block, cost in _blocks(lines, costs):
        headings = block[0].headings
        new_section = headings != crumb and size > body_limit // 4
        if current and (size + cost > body_limit or new_section):
            close()
        if not current:
            crumb = headings
        for line, line_cost in zip(block, (costs[entry.number - 1] for entry in block), strict=True):
            for part, part_cost in _fit(line.text, line_cost, body_limit):
                if current and size + part_cost > body_limit:
                    close()
                    crumb = headings
                current.append(part)
                size += part_cost
        current.append("")
    close()
    return passages


def _line_costs(lines: list[Line], offsets: list[tuple[int, int]]) -> list[int]:
    """Tokens per line, from one tokenisation of the whole document."""
    starts: list[int] = []
    position = 0
    for line in lines:
        starts.append(position)
        position += len(line.text) + 1
    costs = [0] * len(lines)
    for start, end in offsets:
        if end > start:
            costs[bisect.bisect_right(starts, start) - 1] += 1
    return costs


def _blocks(lines: list[Line], costs: list[int]) -> list[tuple[list[Line], int]]:
    """Runs of lines between blank ones; a heading starts a new run and stays
    with what follows it."""
    blocks: list[tuple[list[Line], int]] = []
    current: list[Line] = []

    def close() -> None:
        if current:
            blocks.append((list(current), sum(costs[line.number - 1] for line in current)))
            current.clear()

    for line in lines:
        if line.is_heading:
            close()
            current.append(line)
        elif line.text.strip():
            current.append(line)
        elif current and not current[-1].is_heading:
            close()
    close()
    return blocks


def _fit(text: str, cost: int, limit: int) -> list[tuple[str, int]]:
    """A line that is longer than a passage, cut at spaces."""
    if cost <= limit:
        return [(text, cost)]
    parts = -(-cost // (limit * 3 // 4))
    width = max(1, -(-len(text) // parts))
    pieces: list[tuple[str, int]] = []
    while text:
        cut = len(text) if len(text) <= width else text.rfind(" ", width // 2, width)
        cut = width if cut <= 0 else cut
        pieces.append((text[:cut], -(-cost // parts)))
        text = text[cut:].lstrip(" ")
    return pieces


def _with_breadcrumb(headings: tuple[str, ...], body: str) -> str:
    if not headings:
        return body
    crumb = " › ".join(headings)
    if len(crumb) > _MAX_BREADCRUMB:
        crumb = crumb[: _MAX_BREADCRUMB - 1] + "…"
    return f"{BREADCRUMB}{crumb}\n{body}"
