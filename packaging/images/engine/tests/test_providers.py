"""The remote providers against a server that speaks their protocols."""

import os
import socket
import tempfile
import time
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

try:
    import httpx  # noqa: F401
    import numpy  # noqa: F401

    from ragengine.config import load
    from ragengine.errors import EngineError
    from ragengine.providers.check import check
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

    def provider(self, kind: type, base: str = "/v1", attempts: int | None = None, **changes):
        made = kind(self.settings(kind, base, **changes), pause=0.01, attempts=attempts)
        self.addAsyncCleanup(made.close)
        return made

    def settings(self, kind: type, base: str, **changes):
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
        return replace(settings, **changes)

    async def check(self, provider) -> None:
        vectors = await provider.embed(["one", "two", "three"])
        self.assertEqual(vectors.shape, (3, DIMENSION))
        self.assertAlmostEqual(float(vectors[1][0]), vector("two")[0], places=5)
        history = [{"role": "user", "content": "before"}]
        parts = [part async for part in provider.tell("hello", "be brief", history)]
        self.assertEqual(parts, ["Answer", " to:", " hello"])
        text = await provider.complete("hello", "be brief", history)
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
        self.assertEqual(len(self.stub.seen), 6)

    async def test_gives_up(self) -> None:
        self.stub.failures = [429] * 9
        await self.refused(self.provider(OpenAI), "too many requests")
        self.assertEqual(len(self.stub.seen), 5)

    async def test_pauses_that_are_no_times(self) -> None:
        for asked in ("nan", "-5", "inf", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"):
            self.stub.failures, self.stub.retry_after = [429], asked
            began = time.monotonic()
            await self.check(self.provider(OpenAI))
            self.assertLess(time.monotonic() - began, 2, asked)

    async def test_answers_that_make_no_sense(self) -> None:
        for says in (
            {},
            {"data": 7},
            {"data": [7]},
            {"data": [{"index": 0}]},
            {"data": [{"index": 0, "embedding": None}]},
            {"data": [{"index": 0, "embedding": ["x"] * DIMENSION}]},
            {"data": [{"index": 0, "embedding": [[1.0], [2.0, 3.0]]}]},
            {"data": [{"index": 0, "embedding": [None] * DIMENSION}]},
            {"data": [{"index": 0, "embedding": [1e300] * DIMENSION}]},
            {"embeddings": "no"},
            {"embeddings": {"a": 1}},
            {"choices": 7},
            {"choices": [7]},
            {"choices": [{"message": {"content": ["x"]}}]},
            {"message": {"content": 7}},
            ["a list"],
            7,
        ):
            for kind in (OpenAI, Azure, Ollama):
                with self.subTest(says=says, kind=kind):
                    self.stub.failures, self.stub.says = [200] * 2, says
                    report = await check(self.settings(kind, "/v1" if kind is OpenAI else ""))
                    self.assertEqual([c["status"] for c in report["checks"]], ["fail", "fail"])
        self.stub.failures, self.stub.says, self.stub.encoding = [], None, "gzip"
        report = await check(self.settings(OpenAI, "/v1"))
        for entry in report["checks"]:
            self.assertIn("cannot be read", entry["detail"])

    async def test_a_key_that_is_repeated(self) -> None:
        for code in (400, 401, 403, 404, 500):
            self.stub.failures = [code]
            self.stub.says = {"error": {"message": "x" * (140 - len(KEY) // 2) + KEY}}
            error = await self.refused(self.provider(OpenAI, attempts=1), str(code))
            self.assertNotIn(KEY[:4], error.message)

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

    async def test_a_gateway_that_is_down(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            proxy = f"http://127.0.0.1:{free.getsockname()[1]}"
        with mock.patch.dict(os.environ, {"HTTPS_PROXY": proxy}):
            provider = self.provider(OpenAI, api_base="https://api.example.com/v1")
        error = await self.refused(provider, "the gateway does not answer")
        self.assertIn("ragpod logs default egress", error.hint)

    async def test_a_stream_that_is_refused_or_fails_first(self) -> None:
        self.stub.failures = [429, 503]
        parts = [part async for part in self.provider(OpenAI).tell("hello")]
        self.assertEqual("".join(parts), "Answer to: hello")
        self.stub.failures = [401]
        with self.assertRaisesRegex(EngineError, r"refuses the key \(401\): not now"):
            [part async for part in self.provider(OpenAI).tell("hello")]

    async def test_answers_that_break_off(self) -> None:
        self.stub.truncate = True
        for kind, base in ((OpenAI, "/v1"), (Azure, ""), (Ollama, "")):
            told = []
            with self.assertRaisesRegex(EngineError, "broke off its answer"):
                async for part in self.provider(kind, base).tell("hello"):
                    told.append(part)
            self.assertTrue(told)
            await self.refused(self.provider(kind, base), "cannot connect|broke off")

    async def test_a_provider_that_is_slow(self) -> None:
        self.stub.slow = 3
        with mock.patch.dict(os.environ, {"LLM_TIMEOUT": "1"}):
            provider = self.provider(OpenAI, attempts=1)
        await self.refused(provider, "did not answer in time")

    async def test_the_check_tells_faults_apart(self) -> None:
        async def found(**changes) -> list[tuple[str, str]]:
            return [
                (c["status"], c["detail"])
                for c in (await check(self.settings(Azure, "", **changes)))["checks"]
            ]

        for status, detail in await found():
            self.assertEqual(status, "pass", detail)
        deployment = await found(llm_model="nope")
        self.assertEqual([status for status, _ in deployment], ["pass", "fail"])
        self.assertIn("has no model nope (404)", deployment[1][1])
        self.assertIn("gives 8 dimensions, configured are 9", (await found(embedding_dim=9))[0][1])
        self.assertIn("there is no host", (await found(api_base="http://no.such.host.invalid"))[0][1])
        self.stub.failures = [503, 500]
        asked = len(self.stub.seen)
        self.assertIn("503", (await found())[0][1])
        self.assertEqual(len(self.stub.seen), asked + 2)
        self.key.write_text("wrong")
        for status, detail in await found():
            self.assertEqual(status, "fail")
            self.assertIn("refuses the key (401)", detail)

    async def test_no_json(self) -> None:
        provider = self.provider(OpenAI)
        with mock.patch.object(self.stub, "answer", lambda *_: (200, [])):
            await self.refused(provider, "did not answer with JSON")


if __name__ == "__main__":
    unittest.main()
