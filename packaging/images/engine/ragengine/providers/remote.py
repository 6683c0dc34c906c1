"""OpenAI, whatever speaks its protocol, Azure and Ollama."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..config import Settings
from .base import Provider
from .http import JsonClient, ProviderError


def make_remote(settings: Settings) -> Provider:
    """The class for the settings' provider."""
    kinds: dict[str, type[_Remote]] = {"azure": Azure, "ollama": Ollama}
    return kinds.get(settings.provider, OpenAI)(settings)


def _timeout() -> float:
    return float(os.environ.get("LLM_TIMEOUT", "").strip() or 180)


class _Remote(Provider):
    """What the protocols have in common."""

    def __init__(self, settings: Settings, *, pause: float = 1.0) -> None:
        self.embedding_model = settings.embedding_model
        self.dimension = settings.embedding_dim
        self._llm_model = settings.llm_model
        self._base = settings.api_base
        self._api_version = settings.api_version
        self._http = JsonClient(self._headers(settings.api_key()), timeout=_timeout(), pause=pause)

    def _headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    async def close(self) -> None:
        await self._http.close()

    def _vectors(self, rows: Sequence[Sequence[float]], expected: int) -> np.ndarray:
        if len(rows) != expected:
            raise ProviderError(f"{self.embedding_model} gave {len(rows)} vectors for {expected} texts")
        vectors = np.asarray(rows, np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            got = vectors.shape[1] if vectors.ndim == 2 else "different"
            raise ProviderError(
                f"{self.embedding_model} gives {got} dimensions, configured are {self.dimension}",
                "correct embedding_dim in the manifest",
            )
        return vectors


def _messages(
    prompt: str, system_prompt: str | None, history: Sequence[dict[str, str]]
) -> list[dict[str, str]]:
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, *history, {"role": "user", "content": prompt}]


class OpenAI(_Remote):
    """Chat completions and embeddings."""

    def _url(self, model: str, call: str) -> str:
        return f"{self._base}/{call}"

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> np.ndarray:
        body: dict[str, Any] = {"model": self.embedding_model, "input": list(texts)}
        if self._shortened():
            body["dimensions"] = self.dimension
        answer = await self._http.post(
            self._url(self.embedding_model, "embeddings"),
            body,
            f"embedding model {self.embedding_model}",
        )
        rows = sorted(answer.get("data") or (), key=lambda row: row.get("index", 0))
        return self._vectors([row["embedding"] for row in rows], len(texts))

    def _shortened(self) -> bool:
        """These models give fewer dimensions than their own when asked to."""
        native = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
        return self.dimension != native.get(self.embedding_model, self.dimension)

    async def complete(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
        json_object: bool = False,
    ) -> str:
        body: dict[str, Any] = {
            "model": self._llm_model,
            "messages": _messages(prompt, system_prompt, history),
        }
        if json_object:
            body["response_format"] = {"type": "json_object"}
        answer = await self._http.post(
            self._url(self._llm_model, "chat/completions"), body, f"model {self._llm_model}"
        )
        try:
            return answer["choices"][0]["message"]["content"] or ""
        except (KeyError, IndexError, TypeError):
            raise ProviderError(f"{self._llm_model} answered without a text") from None


class Azure(OpenAI):
    """The same bodies; a deployment in the path, the key in its own header."""

    def _headers(self, key: str) -> dict[str, str]:
        return {"api-key": key}

    def _url(self, model: str, call: str) -> str:
        parts = urlsplit(self._base)
        root = f"{parts.scheme}://{parts.netloc}"
        if "/openai/v1" in parts.path:
            return f"{root}/openai/v1/{call}"
        # A project of AI Foundry (…services.ai.azure.com/api/projects/NAME)
        # serves its deployments at the host's root, like a resource of Azure
        # OpenAI.
        path = parts.path.split("/api/projects/")[0].removesuffix("/models").removesuffix("/openai")
        return f"{root}{path}/openai/deployments/{model}/{call}?api-version={self._api_version}"


class Ollama(_Remote):
    """Ollama's own protocol."""

    async def embed(self, texts: Sequence[str], *, query: bool = False) -> np.ndarray:
        answer = await self._http.post(
            f"{self._base}/api/embed",
            {"model": self.embedding_model, "input": list(texts), "truncate": True},
            f"embedding model {self.embedding_model}",
        )
        return self._vectors(answer.get("embeddings") or (), len(texts))

    async def complete(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
        json_object: bool = False,
    ) -> str:
        body: dict[str, Any] = {
            "model": self._llm_model,
            "messages": _messages(prompt, system_prompt, history),
            "stream": False,
        }
        if json_object:
            body["format"] = "json"
        answer = await self._http.post(f"{self._base}/api/chat", body, f"model {self._llm_model}")
        try:
            return answer["message"]["content"] or ""
        except (KeyError, TypeError):
            raise ProviderError(f"{self._llm_model} answered without a text") from None
