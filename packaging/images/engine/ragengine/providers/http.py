"""JSON over HTTP to a provider: retries, and errors that say what is wrong."""

from __future__ import annotations

import asyncio
import json
import math
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from ..errors import EngineError, one_line
from .tunnel import transport

_ATTEMPTS = 5
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_PAUSE = 30.0
T = TypeVar("T")


class ProviderError(EngineError):
    """The provider cannot be reached or refuses."""


class JsonClient:
    """Posts JSON to one provider, through the proxy of HTTPS_PROXY where there is one."""

    def __init__(
        self,
        headers: dict[str, str],
        *,
        secret: str,
        instance: str,
        timeout: float,
        pause: float = 1.0,
        attempts: int = _ATTEMPTS,
    ) -> None:
        """`secret` is kept out of every error, whoever repeats it; `instance`
        is named in what to do about one."""
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10.0),
            transport=transport(max_connections=16),
            trust_env=False,
        )
        self._secret = secret
        self._instance = instance
        self._pause = pause
        self._attempts = attempts

    async def post(self, url: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        """The answer's JSON. `what` names the model in errors."""

        async def send() -> httpx.Response:
            return await self._client.post(url, json=body)

        response = await self._patiently(send, url, what)
        value = self._parsed(response)
        if not isinstance(value, dict):
            raise ProviderError(
                f"{_host(url)} did not answer with JSON", "does API_BASE name an API, not a web page?"
            )
        return value

    async def stream(self, url: str, body: dict[str, Any], what: str) -> AsyncIterator[dict[str, Any]]:
        """The JSON objects of an answer that comes bit by bit: server-sent
        events (OpenAI) or one a line (Ollama). Once something has come, what
        goes wrong is not tried again."""

        async def send() -> httpx.Response:
            request = self._client.build_request("POST", url, json=body)
            response = await self._client.send(request, stream=True)
            if not response.is_success:
                await response.aread()
            return response

        response = await self._patiently(send, url, what)
        try:
            async for line in response.aiter_lines():
                text = line.removeprefix("data:").strip()
                if text == "[DONE]":
                    return
                if text.startswith("{"):
                    yield self._object(text, url)
        except httpx.RequestError as error:
            raise ProviderError(
                f"{_host(url)} broke off its answer: {self._said(error, 120)}", "ask again"
            ) from error
        finally:
            await response.aclose()

    async def _patiently(
        self, send: Callable[[], Awaitable[httpx.Response]], url: str, what: str
    ) -> httpx.Response:
        """A successful response; what may pass is tried again."""
        for attempt in range(1, self._attempts + 1):
            pause = min(_LONGEST_PAUSE, self._pause * 2 ** (attempt - 1))
            try:
                response = await send()
            except httpx.InvalidURL as error:
                raise ProviderError(
                    f"{url} is no address: {one_line(error, 120)}", "correct base_url in the manifest"
                ) from error
            except httpx.RequestError as error:
                problem = self._unreachable(error, url)
                if attempt == self._attempts or not _may_pass(error):
                    raise problem from error
            else:
                if response.is_success:
                    return response
                problem = self._refused(response, url, what)
                await response.aclose()
                if attempt == self._attempts or response.status_code not in _RETRIED:
                    raise problem
                pause = _retry_after(response) or pause
            await asyncio.sleep(min(pause, _LONGEST_PAUSE) * random.uniform(0.8, 1.2))
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        await self._client.aclose()

    # -- what went wrong -----------------------------------------------------

    def _said(self, text: BaseException | str, limit: int) -> str:
        """What somebody else said, on one line. Some repeat the key that they
        refuse; it is taken out before anything is cut, or half of it would stay."""
        said = str(text) or type(text).__name__
        if self._secret:
            # Some show it as Python would write it.
            for secret in (self._secret, repr(self._secret.encode())[2:-1]):
                said = said.replace(secret, "***")
        return one_line(said, limit)

    @staticmethod
    def _parsed(response: httpx.Response) -> Any:
        """What is in an answer that should be JSON; None where it is not."""
        try:
            return response.json()
        except ValueError:
            return None

    def _object(self, text: str, url: str) -> dict[str, Any]:
        """One piece of a stream."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ProviderError(f"{_host(url)} broke off its answer in the middle", "ask again") from error
        if isinstance(value, dict) and value.get("error"):
            said = value["error"]
            said = said.get("message", said) if isinstance(said, dict) else said
            raise ProviderError(f"{_host(url)} gave up its answer: {self._said(str(said), 160)}")
        return value if isinstance(value, dict) else {}

    def _unreachable(self, error: httpx.RequestError, url: str) -> ProviderError:
        host = _host(url)
        if isinstance(error, httpx.ProxyError):
            if str(error).startswith("403"):
                return ProviderError(
                    f"the gateway does not let the engine reach {host}",
                    "add it to [egress] allow in the manifest",
                )
            if str(error).startswith("no connection to"):
                return ProviderError(
                    f"the gateway does not answer: {self._said(error, 120)}",
                    f"start it: `ragpod up {self._instance}`;"
                    f" `ragpod logs {self._instance} egress` may say why it is down",
                )
            return ProviderError(
                f"the gateway cannot reach {host}: {self._said(error, 120)}",
                "is the name right, and the provider up?",
            )
        if isinstance(error, httpx.DecodingError):
            return ProviderError(
                f"{host} gave an answer that cannot be read: {self._said(error, 120)}",
                "does base_url in the manifest name an API of this kind?",
            )
        if isinstance(error, httpx.TimeoutException):
            return ProviderError(
                f"{host} did not answer in time", "the provider is slow or its address wrong"
            )
        if _untrusted(error):
            return ProviderError(
                f"the certificate of {host} is not trusted: {self._said(error, 120)}",
                "if an authority of your own signed it, name that one's file in provider.ca_file",
            )
        if _unknown_host(error):
            return ProviderError(
                f"there is no host {host}",
                'correct base_url in the manifest; with [egress] mode = "none" no host can be found',
            )
        return ProviderError(
            f"cannot connect to {host}: {self._said(error, 120)}",
            "is the address right, and egress allowed?",
        )

    def _refused(self, response: httpx.Response, url: str, what: str) -> ProviderError:
        host, code = _host(url), response.status_code
        said = self._message(response)
        if code == 401:
            return ProviderError(
                f"{host} refuses the key (401){said}",
                f"store the right key: `ragpod secret rotate {self._instance} api-key`",
            )
        if code == 403:
            return ProviderError(
                f"the key may not use {what} at {host} (403){said}", "check the key's permissions"
            )
        if code == 404:
            return ProviderError(
                f"{host} has no {what} (404){said}",
                "correct the model or deployment, or base_url, in the manifest",
            )
        if code == 429:
            return ProviderError(f"{host} says too many requests (429){said}", "wait, or lower MAX_ASYNC_LLM")
        if code == 400:
            return ProviderError(
                f"{host} does not take the request for {what} (400){said}",
                "do llm_model, embedding_dim and api_version in the manifest fit the provider?",
            )
        return ProviderError(
            f"{host} answered {code} for {what}{said}", "see the provider's status page or log"
        )

    def _message(self, response: httpx.Response) -> str:
        """What the provider says about it, if it is short JSON."""
        value = self._parsed(response)
        error = value.get("error") if isinstance(value, dict) else None
        text = error.get("message") if isinstance(error, dict) else error
        return f": {self._said(str(text), 160)}" if text else ""


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc or url


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain


def _unknown_host(error: BaseException) -> bool:
    return any(isinstance(cause, socket.gaierror) for cause in _causes(error))


def _untrusted(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _may_pass(error: httpx.RequestError) -> bool:
    """Whether trying again can help: not with a name that does not exist or a
    gateway that forbids it."""
    if isinstance(error, httpx.ProxyError):
        return not str(error).startswith(("403", "405", "407"))
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.DecodingError)):
        return False
    return not _unknown_host(error) and not _untrusted(error)


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the provider asks for; 0 where it asks for none that is a time."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0
