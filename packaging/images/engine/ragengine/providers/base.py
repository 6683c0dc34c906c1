"""What the engine asks of a provider."""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Sequence

import numpy as np


class Provider(abc.ABC):
    """Embeds texts and completes prompts."""

    #: Names a model's vectors in the database.
    embedding_model: str
    dimension: int

    def __deepcopy__(self, _memo: dict) -> Provider:
        """LightRAG deep-copies its configuration for every document; there is
        one provider."""
        return self

    @abc.abstractmethod
    async def embed(self, texts: Sequence[str], *, query: bool = False) -> np.ndarray:
        """One vector per text."""

    @abc.abstractmethod
    async def complete(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
        json_object: bool = False,
    ) -> str:
        """The model's answer to a prompt."""

    async def tell(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
    ) -> AsyncIterator[str]:
        """The same answer, as it is made."""
        yield await self.complete(prompt, system_prompt, history)

    def brief(self, text: str) -> str:
        """What of an entity's or a relation's text is embedded."""
        return text

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How long each text is in tokens, near enough to size passages by."""
        return [-(-len(text) // 4) for text in texts]

    @abc.abstractmethod
    async def close(self) -> None:
        """Give back connections and threads."""
