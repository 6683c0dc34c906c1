"""OpenAI, whatever speaks its protocol, Azure and Ollama."""

from __future__ import annotations

import abc
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..config import Settings
from .base import Provider
from .http import JsonClient, ProviderError


def make_remote(settings: Settings, *, attempts: int | None = None) -> Provider:
    """The class for the settings' provider."""
    kinds: dict[str, type[_Remote]] = {"azure": Azure, "ollama": Ollama}
    return kinds.get(settings.provider, OpenAI)(settings, attempts=attempts)


def _timeout() -> float:
    return float(os.environ.get("LLM_TIMEOUT", "").strip() or 180)


class _Remote(Provider):
    """What the protocols have in common: bodies go to a URL, an answer's text
    is somewhere in what comes back."""

    def __init__(self, settings: Settings, *, pause: float = 1.0, attempts: int | None = None) -> None:
        self.embedding_model = settings.embedding_model
        self.dimension = settings.embedding_dim
        self._llm_model = settings.llm_model
        self._base = settings.api_base
        self._api_version = settings.api_version
        patience = {"attempts": attempts} if attempts else {}
        key = settings.api_key()
        self._http = JsonClient(
            self._headers(key),
            secret=key,
            instance=settings.instance,
            timeout=_timeout(),
            pause=pause,
            **patience,
        )

    @abc.abstractmethod
    def _chat(self, messages: list[dict[str, str]], *, json_object: bool, stream: bool) -> tuple[str, dict]:
        """Where a conversation goes, and as what."""

    @staticmethod
    @abc.abstractmethod
    def _text(answer: dict[str, Any]) -> str | None:
        """The text of an answer, or of a bit of one; None where there is none."""

    @staticmethod
    @abc.abstractmethod
    def _ended(part: dict[str, Any]) -> bool:
        """Whether this is the last bit that has to do with the text."""

    async def complete(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
        json_object: bool = False,
    ) -> str:
        messages = _messages(prompt, system_prompt, history)
        url, body = self._chat(messages, json_object=json_object, stream=False)
        text = self._text(await self._http.post(url, body, f"model {self._llm_model}"))
        if not isinstance(text, str):
            raise ProviderError(f"{self._llm_model} answered without a text")
        return text

    async def tell(
        self,
        prompt: str,
        system_prompt: str | None = None,
        history: Sequence[dict[str, str]] = (),
    ) -> AsyncIterator[str]:
        messages = _messages(prompt, system_prompt, history)
        url, body = self._chat(messages, json_object=False, stream=True)
        ended = False
        async for part in self._http.stream(url, body, f"model {self._llm_model}"):
            ended = ended or self._ended(part)
            text = self._text(part)
            if text and isinstance(text, str):
                yield text
        if not ended:
            raise ProviderError(f"{self._llm_model} broke off its answer in the middle", "ask again")

    def _headers(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    async def close(self) -> None:
        await self._http.close()

    def _vectors(self, rows: Any, expected: int) -> np.ndarray:
        """Of an answer's rows, which may be anything."""
        try:
            number = len(rows)
            with np.errstate(over="ignore"):
                vectors = np.asarray(rows, np.float32)
            if not np.isfinite(vectors).all():
                raise ValueError("no number, or none that has an end")
        except (TypeError, ValueError) as error:
            raise ProviderError(
                f"{self.embedding_model} gave something that is no vector of numbers",
                "does base_url in the manifest name an API of this kind?",
            ) from error
        if number != expected:
            raise ProviderError(f"{self.embedding_model} gave {number} vectors for {expected} texts")
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
        try:
            rows = sorted(answer.get("data") or (), key=lambda row: row.get("index", 0))
            rows = [row["embedding"] for row in rows]
        except (AttributeError, KeyError, TypeError):
            rows = None
        return self._vectors(rows, len(texts))

    def _shortened(self) -> bool:
        """These models give fewer dimensions than their own when asked to."""
        native = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
        return self.dimension != native.get(self.embedding_model, self.dimension)

    def _chat(self, messages: list[dict[str, str]], *, json_object: bool, stream: bool) -> tuple[str, dict]:
        body: dict[str, Any] = {"model": self._llm_model, "messages": messages}
        if json_object:
            body["response_format"] = {"type": "json_object"}
        if stream:
            body["stream"] = True
        return self._url(self._llm_model, "chat/completions"), body

    @staticmethod
    def _text(answer: dict[str, Any]) -> str | None:
        try:
            choice = answer["choices"][0]
            return (choice["delta"] if "delta" in choice else choice["message"]).get("content") or ""
        except (KeyError, IndexError, TypeError, AttributeError):
            return None

    @staticmethod
    def _ended(part: dict[str, Any]) -> bool:
        try:
            return any(choice.get("finish_reason") for choice in part.get("choices") or ())
        except (TypeError, AttributeError):
            return False


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

    def _chat(self, messages: list[dict[str, str]], *, json_object: bool, stream: bool) -> tuple[str, dict]:
        body: dict[str, Any] = {"model": self._llm_model, "messages": messages, "stream": stream}
        if json_object:
            body["format"] = "json"
        return f"{self._base}/api/chat", body

    @staticmethod
    def _text(answer: dict[str, Any]) -> str | None:
        try:
            return answer["message"]["content"] or ""
        except (KeyError, TypeError):
            return None

    @staticmethod
    def _ended(part: dict[str, Any]) -> bool:
        return bool(part.get("done"))
