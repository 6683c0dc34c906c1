"""The offline provider: a sentence model, an extractor and no network."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..config import Settings
from ..providers.base import Provider
from .model import SentenceModel
from .text import content_words

# Entities are embedded again each time a document mentions them, mostly with
# the same text: as many vectors as these are kept (1.5 KiB each).
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 600
# Of an entity's description: its name carries most of the meaning, and an
# ingest embeds more entities than passages.
_DESCRIPTION_WORDS = 8


class _Memory:
    """Vectors of the texts that were embedded last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str], embed: Callable[[list[str]], np.ndarray]) -> np.ndarray:
        """One vector per text; only what is not known is computed."""
        with self._lock:
            vectors = {text: self._known[text] for text in texts if text in self._known}
        missing = [text for text in dict.fromkeys(texts) if text not in vectors]
        if missing:
            vectors.update(zip(missing, embed(missing), strict=True))
        with self._lock:
            for text, vector in vectors.items():
                if len(text) <= _LONGEST_REMEMBERED:
                    self._known[text] = vector.copy()
                    self._known.move_to_end(text)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return np.stack([vectors[text] for text in texts])


class OfflineProvider(Provider):
    """See `Provider`."""

    def __init__(self, settings: Settings) -> None:
        self.embedding_model = settings.embedding_model
        self.dimension = settings.embedding_dim
        self.model = SentenceModel(settings.model_dir)
        self._bulk = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._urgent = ThreadPoolExecutor(1, thread_name_prefix="query")
        self._known = _Memory()
        self._sentences = _Memory()
        self._llm: Callable[[str], Awaitable[str]] | None = None

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> np.ndarray:
        # A question does not wait for a document's passages.
        pool = self._urgent if query else self._bulk
        embed = partial(self.model.embed, condense=not query)
        memory = self._sentences if query else self._known
        work = partial(memory.embed, texts, embed)
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def embed_sentences(self, texts: Sequence[str]) -> np.ndarray:
        """Sentences to be ranked; those of an earlier question are known."""
        return self._sentences.embed(texts, self.model.embed)

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
        return await self._llm(prompt)

    def brief(self, text: str) -> str:
        """LightRAG's texts are `name⏎description` and
        `keywords⇥source⏎target⏎description`."""
        first, _, rest = text.partition("\n")
        keywords, tab, source = first.partition("\t")
        if tab:
            return f"{source} {rest.partition(chr(10))[0]} {keywords}"
        return " ".join([first, *content_words(rest)[:_DESCRIPTION_WORDS]])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        counts: list[int] = []
        # In slices: what the tokenizer returns takes a hundred times the
        # memory of its text.
        for start in range(0, len(texts), 1000):
            encodings = self.model.tokenizer.encode_batch(
                texts[start : start + 1000], add_special_tokens=False
            )
            counts += [len(encoding) for encoding in encodings]
        return counts

    async def close(self) -> None:
        for pool in (self._bulk, self._urgent):
            pool.shutdown(wait=False, cancel_futures=True)
