"""Requests through a proxy that knows CONNECT alone, and certificates of an authority of one's own."""

import asyncio
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path

try:
    import httpx

    from ragengine.errors import EngineError
    from ragengine.providers.tunnel import ssl_context, transport
except ImportError as missing:
    raise unittest.SkipTest(f"the engine's packages are not here: {missing}") from None


class Gateway:
    """Passes connections on to `port`, whatever host is asked for, and refuses `denied.test`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.target = 0
        self.answer = b"HTTP/1.1 200 Connection established\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        method, name, _ = self.asked[-1].split(" ")
        if method != "CONNECT" or name.startswith("denied.test"):
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        # In pieces, as a network may bring it.
        for part in (self.answer[:9], self.answer[9:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        await asyncio.gather(pump(reader, back), pump(there, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            text = head.split("\r\n")[0].encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


class Tunnels(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        # A client that trusts nobody ends the handshake, which is what is tested.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        self.gateway = Gateway()
        self.proxy = await self.listen(self.gateway.serve)
        self.gateway.target = await self.listen(web)
        self.env = {"HTTPS_PROXY": f"http://127.0.0.1:{self.proxy}", "NO_PROXY": "localhost,near.test"}

    async def listen(self, serve, tls: ssl.SSLContext | None = None) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        self.addCleanup(server.close)
        return server.sockets[0].getsockname()[1]

    def client(self, **env: str) -> httpx.AsyncClient:
        made = httpx.AsyncClient(transport=transport(4, {**self.env, **env}), trust_env=False, timeout=5)
        self.addAsyncCleanup(made.aclose)
        return made

    async def test_plain_http_goes_through_connect(self) -> None:
        client = self.client()
        for _ in range(2):
            answer = await client.get("http://llm.test:11434/api/tags")
            # Not in absolute form: the provider sees what it would see without a proxy.
            self.assertEqual(answer.text, "GET /api/tags HTTP/1.1")
        self.assertEqual(self.gateway.asked, ["CONNECT llm.test:11434 HTTP/1.1"])

    async def test_a_refusal_is_told_as_one(self) -> None:
        for url in ("http://denied.test/", "https://denied.test/"):
            with self.assertRaisesRegex(httpx.ProxyError, "^403 Forbidden"):
                await self.client().get(url)
        self.assertEqual(self.gateway.asked, [f"CONNECT denied.test:{port} HTTP/1.1" for port in (80, 443)])

    async def test_no_proxy(self) -> None:
        answer = await self.client().get(f"http://localhost:{self.gateway.target}/x")
        self.assertEqual(answer.text, "GET /x HTTP/1.1")
        answer = await self.client(HTTPS_PROXY="").get(f"http://127.0.0.1:{self.gateway.target}/y")
        self.assertEqual(answer.text, "GET /y HTTP/1.1")
        self.assertEqual(self.gateway.asked, [])

    async def test_no_gateway_and_no_http(self) -> None:
        client = self.client(HTTPS_PROXY="http://127.0.0.1:1")
        with self.assertRaisesRegex(httpx.ProxyError, "no connection"):
            await client.get("http://llm.test/")
        for answer in (b"nonsense\r\n\r\n", b"x" * 9000):
            self.gateway.answer = answer
            with self.assertRaises(httpx.ProxyError):
                await self.client().get("http://llm.test/")

    async def test_an_authority_of_ones_own(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-subj", "/CN=llm.test", "-addext", "subjectAltName=DNS:llm.test",
                 "-keyout", "key.pem", "-out", "cert.pem"],
                cwd=folder, capture_output=True,
            )  # fmt: skip
            if made.returncode:
                self.skipTest("no openssl")
            cert = Path(folder, "cert.pem")
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(cert, Path(folder, "key.pem"))
            self.gateway.target = await self.listen(web, server)
            answer = await self.client(API_CA_FILE=str(cert)).get("https://llm.test/v1")
            self.assertEqual(answer.text, "GET /v1 HTTP/1.1")
            with self.assertRaises(httpx.ConnectError) as caught:
                await self.client().get("https://llm.test/v1")
            self.assertIn("CERTIFICATE_VERIFY_FAILED", str(caught.exception))
            known = len(ssl_context({}).get_ca_certs())
            with_own = len(ssl_context({"API_CA_FILE": str(cert)}).get_ca_certs())
            self.assertEqual(with_own, known + 1)
            Path(folder, "bad.pem").write_text("no certificate")
            for bad in ("bad.pem", "gone.pem"):
                with self.assertRaisesRegex(EngineError, "cannot read certificates"):
                    ssl_context({"API_CA_FILE": str(Path(folder, bad))})


if __name__ == "__main__":
    unittest.main()
