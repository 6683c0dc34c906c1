"""The whole engine over a provider that speaks HTTP."""

import os
import unittest
from pathlib import Path

from tests.harness import EngineCase
from tests.stub import DIMENSION, KEY, Stub


class Remote(EngineCase):
    """A provider over HTTP, from init to answer, and what a change means."""

    @classmethod
    def setUpClass(cls) -> None:
        if not os.environ.get("ENGINE_TEST_DATABASE"):
            raise unittest.SkipTest("ENGINE_TEST_DATABASE is not set: no database was asked for")
        cls.stub = Stub()
        cls.addClassCleanup(cls.stub.close)
        cls.env = {
            "RAGPOD_PROVIDER": "azure",
            "API_BASE": cls.stub.url,
            "LLM_MODEL": "chat",
            "EMBEDDING_MODEL": "vectors",
            "EMBEDDING_DIM": str(DIMENSION),
        }
        super().setUpClass()

    @classmethod
    def environment(cls) -> dict[str, str]:
        key = cls.root / "key"
        if not key.exists():
            key.write_text(KEY)
        return super().environment() | {"API_KEY_FILE": str(key)}

    def test_1_from_ingest_to_answer(self) -> None:
        self.write("cat.md", "The feline slept on the warm windowsill.\n")
        self.assertEqual(self.ingest()["failed"], [])
        status = self.status()
        self.assertEqual((status["provider"], status["embedding_dim"]), ("azure", DIMENSION))
        self.assertEqual((status["entities"], status["relations"]), (2, 1))
        for mode in ("local", "global", "hybrid", "naive", "mix"):
            answer = self.query("Where did it sleep?", "--mode", mode)
            self.assertIn("Answer to: Where did it sleep?", answer["answer"], mode)
            self.assertEqual(answer["sources"][0]["path"], str(self.sources / "cat.md"))

    def test_2_failures_say_why_and_are_tried_again(self) -> None:
        self.write("dog.md", "The dog ate the sandwich.\n")
        self.stub.failures = [401] * 50
        summary = self.ingest(check=1)
        self.assertEqual([Path(entry["path"]).name for entry in summary["failed"]], ["dog.md"])
        self.assertIn("401", summary["failed"][0]["reason"])
        done = self.command("query", "--text", "Where is the dog?", check=1)
        self.assertIn("refuses the key", done.stderr)
        self.stub.failures = []
        summary = self.ingest()
        self.assertEqual(summary["documents"], {"processed": 2, "failed": 0, "pending": 0})

    def test_3_another_model_is_refused(self) -> None:
        self.stop()
        try:
            type(self).env = {}
            self.start()
            done = self.command("backend", "init", check=2)
            for word in (
                "vectors",
                "8 dimensions",
                "all-MiniLM-L6-v2",
                "384 dimensions",
                "reindex",
            ):
                self.assertIn(word, done.stderr)
            self.assertEqual(self.command("query", "--text", "anything", check=2).stdout, "")
            self.assertFalse(self.status()["ready"])
            self.command("backend", "reset", "--yes")
            self.command("backend", "init")
            self.assertEqual(self.ingest()["new"], 2)
            self.assertIn("windowsill", self.query("Where did the cat nap?")["answer"])
        finally:
            self.stop()


if __name__ == "__main__":
    unittest.main()
