"""The way to a provider: straight, or through the gateway's CONNECT, whatever the scheme.

httpx sends `http://` requests to a proxy in absolute form, for the proxy to make them. The gateway
makes no requests, it only passes connections on, so both schemes go through a tunnel here.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment

import httpcore
import httpx

from ..errors import BAD_CONFIG, EngineError, one_line

# The gateway gives up on a host after 20 seconds.
_ANSWER_WITHIN = 25.0
_LONGEST_ANSWER = 8192


class Tunnel(httpcore.AsyncNetworkBackend):
    """Connections to hosts through a proxy's CONNECT; `bypass` names those that need none."""

    def __init__(self, proxy: str, bypass: str) -> None:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        self._host, self._port = parts.hostname or "", parts.port or 3128
        self._bypass = {"no": bypass}
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if proxy_bypass_environment(host, self._bypass):
            return await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            stream = await self._inner.connect_tcp(
                self._host, self._port, timeout, local_address, socket_options
            )
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise httpcore.ProxyError(f"no connection to {self._host}: {error}") from error
        try:
            await self._ask(stream, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", timeout)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _ask(self, stream: httpcore.AsyncNetworkStream, target: str, timeout: float | None) -> None:
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        answer = b""
        try:
            await stream.write(request.encode("ascii"), timeout)
            # Neither TLS nor HTTP lets a server speak first: nothing follows the header.
            while b"\r\n\r\n" not in answer:
                part = await stream.read(4096, _ANSWER_WITHIN)
                answer += part
                if not part or len(answer) > _LONGEST_ANSWER:
                    break
        except httpcore.ReadTimeout as error:
            raise httpcore.ConnectTimeout(f"{self._host} did not answer") from error
        except (httpcore.ReadError, httpcore.WriteError) as error:
            raise httpcore.ProxyError(f"{self._host} ended the connection") from error
        words = answer.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/"):
            raise httpcore.ProxyError(f"{self._host} gave no answer that is HTTP")
        if not words[1].startswith("2"):
            raise httpcore.ProxyError(" ".join(words[1:]))

    async def connect_unix_socket(self, *_args: Any, **_kwargs: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("a provider is no local socket")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def ssl_context(env: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """The public authorities, and those of `API_CA_FILE`."""
    env = os.environ if env is None else env
    context = httpx.create_ssl_context()
    path = env.get("API_CA_FILE", "").strip()
    if path:
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise EngineError(
                f"cannot read certificates from {path}: {one_line(error, 120)}",
                "provider.ca_file in the manifest must be certificates in PEM form",
                BAD_CONFIG,
            ) from error
    return context


def transport(max_connections: int, env: Mapping[str, str] | None = None) -> httpx.AsyncHTTPTransport:
    """What httpx sends requests through. The proxy is that of `HTTPS_PROXY`."""
    env = os.environ if env is None else env
    proxy = env.get("HTTPS_PROXY", "").strip() or env.get("https_proxy", "").strip()
    bypass = env.get("NO_PROXY", "") or env.get("no_proxy", "")
    context = ssl_context(env)
    made = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    # httpx has no option for the pool's backend, and translates the errors of the pool it has.
    if not hasattr(made, "_pool"):
        raise TypeError("this httpx keeps its connection pool elsewhere")
    made._pool = httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=5.0,
        network_backend=Tunnel(proxy, bypass) if proxy else None,
    )
    return made
