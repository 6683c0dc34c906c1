"""The remote providers against a server that speaks their protocols."""

import os
import socket
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

try:
    import httpx  # noqa: F401
    import numpy  # noqa: F401

    from ragengine.config import load
    from ragengine.errors import EngineError
    from ragengine.providers.remote import Azure, Ollama, OpenAI
except ImportError as missing:
    raise unittest.SkipTest(f"the engine's packages are not here: {missing}") from None

from tests.stub import DIMENSION, KEY, Stub, vector


class Remote(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.stub = Stub()
        self.addCleanup(self.stub.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.key = Path(folder.name) / "key"
        self.key.write_text(KEY + "\n")
        # Whatever proxy this machine has is none of these tests' business.
        clean = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
        patch = mock.patch.dict(os.environ, clean)
        patch.start()
        self.addCleanup(patch.stop)

    def provider(self, kind: type, base: str = "/v1", **changes):
        names = {Azure: "azure", Ollama: "ollama", OpenAI: "openai-compatible"}
        settings = load(
            {
                "RAGPOD_PROVIDER": names[kind],
                "API_BASE": self.stub.url + base,
                "LLM_MODEL": "chat",
                "EMBEDDING_MODEL": "vectors",
                "EMBEDDING_DIM": str(DIMENSION),
                "API_KEY_FILE": str(self.key),
            }
        )
        made = kind(replace(settings, **changes), pause=0.01)
        self.addAsyncCleanup(made.close)
        return made

    async def check(self, provider) -> None:
        vectors = await provider.embed(["one", "two", "three"])
        self.assertEqual(vectors.shape, (3, DIMENSION))
        self.assertAlmostEqual(float(vectors[1][0]), vector("two")[0], places=5)
        text = await provider.complete("hello", "be brief", [{"role": "user", "content": "before"}])
        self.assertEqual(text, "Answer to: hello")

    async def test_openai(self) -> None:
        await self.check(self.provider(OpenAI))
        path, _, body = self.stub.seen[-1]
        self.assertEqual(path, "/v1/chat/completions")
        self.assertEqual([m["role"] for m in body["messages"]], ["system", "user", "user"])
        self.assertNotIn("response_format", body)
        await self.provider(OpenAI).complete("x", json_object=True)
        self.assertEqual(self.stub.seen[-1][2]["response_format"], {"type": "json_object"})

    async def test_azure_openai(self) -> None:
        await self.check(self.provider(Azure, ""))
        path, headers, _ = self.stub.seen[-1]
        self.assertEqual(path, "/openai/deployments/chat/chat/completions?api-version=2024-02-15-preview")
        self.assertEqual({k.lower(): v for k, v in headers.items()}["api-key"], KEY)

    async def test_azure_foundry_project(self) -> None:
        await self.check(self.provider(Azure, "/api/projects/my-project"))
        self.assertTrue(self.stub.seen[-1][0].startswith("/openai/deployments/chat/"))

    async def test_ollama(self) -> None:
        await self.check(self.provider(Ollama, ""))
        self.assertEqual(self.stub.seen[-1][0], "/api/chat")
        self.assertIs(self.stub.seen[-1][2]["stream"], False)

    async def test_retries(self) -> None:
        self.stub.failures = [429, 503, 500]
        await self.check(self.provider(OpenAI))
        self.assertEqual(len(self.stub.seen), 5)

    async def test_gives_up(self) -> None:
        self.stub.failures = [429] * 9
        await self.refused(self.provider(OpenAI), "too many requests")
        self.assertEqual(len(self.stub.seen), 5)

    async def refused(self, provider, pattern: str) -> EngineError:
        with self.assertRaisesRegex(EngineError, pattern) as caught:
            await provider.complete("hello")
        self.assertNotIn(KEY, str(caught.exception))
        return caught.exception

    async def test_wrong_key(self) -> None:
        self.key.write_text("wrong")
        await self.refused(self.provider(OpenAI), r"refuses the key \(401\): Incorrect")
        self.assertEqual(len(self.stub.seen), 1)
        await self.refused(self.provider(Azure, ""), r"\(401\)")

    async def test_wrong_model(self) -> None:
        await self.refused(self.provider(OpenAI, llm_model="nope"), r"has no model nope \(404\)")
        await self.refused(self.provider(Azure, "", llm_model="nope"), r"\(404\)")

    async def test_wrong_dimension(self) -> None:
        with self.assertRaisesRegex(EngineError, "gives 8 dimensions, configured are 9"):
            await self.provider(OpenAI, embedding_dim=9).embed(["x"])

    async def test_wrong_host(self) -> None:
        await self.refused(
            self.provider(OpenAI, api_base="http://no.such.host.invalid/v1"), "there is no host"
        )

    async def test_nobody_listens(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        await self.refused(self.provider(OpenAI, api_base=f"http://127.0.0.1:{port}"), "cannot connect")

    async def test_closed_gateway(self) -> None:
        with mock.patch.dict(os.environ, {"HTTPS_PROXY": self.stub.url}):
            provider = self.provider(OpenAI, api_base="https://api.example.com/v1")
        error = await self.refused(provider, "gateway does not let the engine reach api.example.com")
        self.assertIn("egress", error.hint)
        self.assertEqual(len(self.stub.seen), 1)

    async def test_no_json(self) -> None:
        provider = self.provider(OpenAI)
        with mock.patch.object(self.stub, "answer", lambda *_: (200, [])):
            await self.refused(provider, "did not answer with JSON")


if __name__ == "__main__":
    unittest.main()
