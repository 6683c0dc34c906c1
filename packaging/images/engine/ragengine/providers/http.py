"""JSON over HTTP to a provider: retries, and errors that say what is wrong."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from ..errors import EngineError, one_line
from .tunnel import transport

_ATTEMPTS = 5
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_PAUSE = 30.0


class ProviderError(EngineError):
    """The provider cannot be reached or refuses."""


class JsonClient:
    """Posts JSON to one provider, through the proxy of HTTPS_PROXY where there is one."""

    def __init__(self, headers: dict[str, str], *, timeout: float, pause: float = 1.0) -> None:
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=10.0),
            transport=transport(max_connections=16),
            trust_env=False,
        )
        self._pause = pause

    async def post(self, url: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        """The answer's JSON. `what` names the model in errors."""
        for attempt in range(1, _ATTEMPTS + 1):
            pause = min(_LONGEST_PAUSE, self._pause * 2 ** (attempt - 1))
            try:
                response = await self._client.post(url, json=body)
            except httpx.TransportError as error:
                problem = _unreachable(error, url)
                if attempt == _ATTEMPTS or not _may_pass(error):
                    raise problem from error
            else:
                if response.is_success:
                    return _json(response, url)
                problem = _refused(response, url, what)
                if attempt == _ATTEMPTS or response.status_code not in _RETRIED:
                    raise problem
                pause = _retry_after(response) or pause
            await asyncio.sleep(min(pause, _LONGEST_PAUSE) * random.uniform(0.8, 1.2))
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        await self._client.aclose()


def _json(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ProviderError(
            f"{_host(url)} did not answer with JSON", "does API_BASE name an API, not a web page?"
        )
    return value


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


def _may_pass(error: httpx.TransportError) -> bool:
    """Whether trying again can help: not with a name that does not exist or a
    gateway that forbids it."""
    if isinstance(error, httpx.ProxyError):
        return not str(error).startswith(("403", "405", "407"))
    if isinstance(error, httpx.UnsupportedProtocol):
        return False
    return not _unknown_host(error) and not _untrusted(error)


def _unreachable(error: httpx.TransportError, url: str) -> ProviderError:
    host = _host(url)
    if isinstance(error, httpx.ProxyError):
        if str(error).startswith("403"):
            return ProviderError(
                f"the gateway does not let the engine reach {host}",
                "add it to [egress] allow in the manifest",
            )
        return ProviderError(
            f"the gateway cannot reach {host}: {one_line(error, 120)}",
            "is the name right, and the provider up?",
        )
    if isinstance(error, httpx.TimeoutException):
        return ProviderError(f"{host} did not answer in time", "the provider is slow or its address wrong")
    if _untrusted(error):
        return ProviderError(
            f"the certificate of {host} is not trusted: {one_line(error, 120)}",
            "if an authority of your own signed it, name that one's file in provider.ca_file",
        )
    if _unknown_host(error):
        return ProviderError(f"there is no host {host}", "correct base_url in the manifest")
    return ProviderError(
        f"cannot connect to {host}: {one_line(error, 120)}",
        "is the address right, and egress allowed?",
    )


def _refused(response: httpx.Response, url: str, what: str) -> ProviderError:
    host, code = _host(url), response.status_code
    said = _message(response)
    if code == 401:
        return ProviderError(
            f"{host} refuses the key (401){said}", "store the right key: `secret set api-key`"
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
    return ProviderError(f"{host} answered {code} for {what}{said}", "")


def _message(response: httpx.Response) -> str:
    """What the provider says about it, if it is short JSON."""
    try:
        error = response.json().get("error")
    except (ValueError, AttributeError):
        return ""
    text = error.get("message") if isinstance(error, dict) else error
    return f": {one_line(str(text), 160)}" if text else ""


def _retry_after(response: httpx.Response) -> float:
    try:
        return float(response.headers.get("retry-after", ""))
    except ValueError:
        return 0.0
