"""What the engine asks of a provider."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

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

    def brief(self, text: str) -> str:
        """What of an entity's or a relation's text is embedded."""
        return text

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends, near enough to size
        passages by."""
        return [(n, n + 4) for n in range(0, len(text), 4)]

    def encode(self, text: str) -> list[int]:
        """Token numbers, of which LightRAG only looks at how many there are and
        hands slices back to `decode`."""
        return [ord(char) for char in text[::4]]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens that `encode` gave."""
        return "".join(chr(token) for token in tokens)

    async def check(self) -> None:
        """Raise when the provider cannot be used."""

    async def close(self) -> None:
        """Give back connections and threads."""

    def describe(self) -> dict[str, Any]:
        """For the status."""
        return {}
