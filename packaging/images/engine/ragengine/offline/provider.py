"""The offline provider: a sentence model, an extractor and no network."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..config import Settings
from ..providers.base import Provider
from .model import SentenceModel
from .text import content_words

# Entities are embedded again each time a document mentions them, mostly with
# the same text: as many vectors as these are kept (1.5 KiB each).
_REMEMBERED = 8192
_LONGEST_REMEMBERED = 600
# Of an entity's description: its name carries most of the meaning, and an
# ingest embeds more entities than passages.
_DESCRIPTION_WORDS = 8


class OfflineProvider(Provider):
    """See `Provider`."""

    def __init__(self, settings: Settings) -> None:
        self.embedding_model = settings.embedding_model
        self.dimension = settings.embedding_dim
        self.model = SentenceModel(settings.model_dir)
        self._bulk = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="query")
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._llm = None

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> np.ndarray:
        loop = asyncio.get_running_loop()
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        fresh: dict[str, np.ndarray] = {}
        if missing:
            # A question does not wait for a document's passages.
            pool = self._urgent if query else self._bulk
            embed = partial(self.model.embed, missing, condense=not query)
            vectors = await loop.run_in_executor(pool, embed)
            fresh = dict(zip(missing, vectors, strict=True))
        result = np.stack([fresh[t] if t in fresh else self._known[t] for t in texts])
        for text in texts:
            if len(text) <= _LONGEST_REMEMBERED:
                self._known[text] = fresh[text] if text in fresh else self._known[text]
                self._known.move_to_end(text)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return result

    async def complete(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
        json_object: bool = False,
    ) -> str:
        if self._llm is None:
            from lightrag.prompt import PROMPTS

            from .llm import make_llm

            self._llm = make_llm(
                PROMPTS, PROMPTS["DEFAULT_TUPLE_DELIMITER"], PROMPTS["DEFAULT_COMPLETION_DELIMITER"]
            )
        return await self._llm(prompt, system_prompt)

    def brief(self, text: str) -> str:
        """LightRAG's texts are `name⏎description` and
        `keywords⇥source⏎target⏎description`."""
        first, _, rest = text.partition("\n")
        keywords, tab, source = first.partition("\t")
        if tab:
            return f"{source} {rest.partition(chr(10))[0]} {keywords}"
        return " ".join([first, *content_words(rest)[:_DESCRIPTION_WORDS]])

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        return self.model.tokenizer.encode(text, add_special_tokens=False).offsets

    def encode(self, text: str) -> list[int]:
        return self.model.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        return self.model.tokenizer.decode(list(tokens))

    async def close(self) -> None:
        for pool in (self._bulk, self._urgent):
            pool.shutdown(wait=False, cancel_futures=True)
