"""Answers LightRAG's prompts without a language model.

The prompts are recognised by the templates that LightRAG itself ships, so a
release that changes them is noticed at the start and not guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..chunking import split_breadcrumb
from .extract import extract
from .text import content_words

MAX_ENTITIES = 4
MAX_RELATIONS = 2


@dataclass(frozen=True)
class _Template:
    """A prompt's fixed text around the one field that is wanted."""

    head: str
    before: str
    after: str

    def value(self, prompt: str) -> str | None:
        """The field's text, or None when this is another prompt."""
        if not prompt.startswith(self.head):
            return None
        start = prompt.find(self.before)
        end = prompt.rfind(self.after)
        if start < 0 or end < start + len(self.before):
            return None
        return prompt[start + len(self.before) : end]


def _template(text: str, name: str) -> _Template:
    pieces = re.split(r"(?<!\{)\{(\w+)\}(?!\})", text)
    fixed, fields = pieces[0::2], pieces[1::2]
    if name not in fields:
        raise LookupError(f"LightRAG's prompt has no {{{name}}}: this release is not supported")
    place = fields.index(name)
    plain = [part.replace("{{", "{").replace("}}", "}") for part in fixed]
    # LightRAG strips a prompt before it sends it.
    return _Template(plain[0].lstrip(), plain[place], plain[place + 1].rstrip())


def make_llm(prompts: dict[str, str], tuple_delimiter: str, end: str) -> Callable[[str], Awaitable[str]]:
    """The function LightRAG calls as its model."""
    extraction = _template(prompts["entity_extraction_user_prompt"], "input_text")
    keywords = _template(prompts["keywords_extraction"], "query")
    again = prompts["entity_continue_extraction_user_prompt"].split("{")[0]

    def rows(passage: str) -> str:
        heading, body = split_breadcrumb(passage)
        graph = extract(body, heading, MAX_ENTITIES, MAX_RELATIONS)
        lines = [tuple_delimiter.join(("entity", *entity)) for entity in graph.entities]
        lines += [tuple_delimiter.join(("relation", *relation)) for relation in graph.relations]
        return "\n".join([*lines, end])

    async def answer(prompt: str) -> str:
        passage = extraction.value(prompt)
        if passage is not None:
            return rows(passage)
        query = keywords.value(prompt)
        if query is not None:
            words = list(dict.fromkeys(content_words(query))) or [query]
            return json.dumps({"high_level_keywords": [query], "low_level_keywords": words})
        if prompt.startswith(again):
            return end
        raise RuntimeError("LightRAG asked something that the offline provider does not know")

    return answer
