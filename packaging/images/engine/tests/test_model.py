"""The sentence model, and what the offline provider finds with it."""

import os
import unittest
from pathlib import Path

if not os.environ.get("HYBRIDRAG_MODEL"):
    raise unittest.SkipTest("HYBRIDRAG_MODEL does not name a sentence model")

import numpy as np

from ragengine.chunking import make_chunker
from ragengine.offline.answer import Passage, rank, select
from ragengine.offline.model import SentenceModel
from tests.paraphrases import DISTRACTORS, OFF_TOPIC, PAIRS

MODEL = SentenceModel(Path(os.environ["HYBRIDRAG_MODEL"]))


class Vectors(unittest.TestCase):
    def test_unit_length_and_order(self) -> None:
        texts = ["a cat", "a much longer sentence about something else entirely " * 9, "a cat", "x"]
        vectors = MODEL.embed(texts)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)

    def test_company_changes_nothing(self) -> None:
        texts = [f"Sentence number {n} " + "word " * (n % 7) for n in range(40)]
        together = MODEL.embed(texts)
        alone = np.concatenate([MODEL.embed([text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=1e-4)

    def test_known_values(self) -> None:
        """What the model's own library gives for these two, to three places."""
        vectors = MODEL.embed(
            ["The feline slept on the warm windowsill all afternoon", "Where did the cat nap?"]
        )
        self.assertAlmostEqual(float(vectors[0] @ vectors[1]), 0.629, places=2)

    def test_odd_texts(self) -> None:
        vectors = MODEL.embed(["", " ", "…", "\U0001f600", "word " * 5000])
        self.assertTrue(np.isfinite(vectors).all())
        self.assertTrue(np.isfinite(MODEL.embed(["the of and", "!!!", ""], condense=True)).all())

    def test_condensed_stays_close(self) -> None:
        text = (
            "Remove the container from the host. The container must be stopped, or the option --force given."
        )
        full, short = MODEL.embed([text])[0], MODEL.embed([text], condense=True)[0]
        self.assertGreater(float(full @ short), 0.8)


class Paraphrases(unittest.TestCase):
    """Questions that share no content word with the passage that answers."""

    def test_each_is_found_and_quoted(self) -> None:
        texts = [passage for passage, _ in PAIRS] + list(DISTRACTORS)
        chunker = make_chunker(lambda texts: [len(text) // 4 for text in texts])
        contents = [chunker(None, text, None, False, 0, 250)[0]["content"] for text in texts]
        vectors = MODEL.embed(contents, condense=True)
        missed = []
        for number, (_, question) in enumerate(PAIRS):
            asked = MODEL.embed([question])[0]
            passages = [
                Passage(str(n), f"/d/{n}.md", content, float(vectors[n] @ asked))
                for n, content in enumerate(contents)
            ]
            quotes = select(rank(question, asked, passages, MODEL.embed))
            if not quotes or quotes[0].path != f"/d/{number}.md":
                missed.append((question, [quote.text for quote in quotes[:2]]))
        self.assertEqual(missed, [])

    def test_nothing_is_quoted_when_nothing_fits(self) -> None:
        vectors = MODEL.embed(list(DISTRACTORS), condense=True)
        for question in OFF_TOPIC:
            asked = MODEL.embed([question])[0]
            passages = [
                Passage(str(n), f"/d/{n}.md", text, float(vectors[n] @ asked))
                for n, text in enumerate(DISTRACTORS)
            ]
            self.assertEqual(select(rank(question, asked, passages, MODEL.embed)), [], question)

    def test_a_list_of_manual_pages_is_no_answer(self) -> None:
        texts = ["podman(1), podman-pod(1), podman-ps(1)", "A pod is a group of containers that share a network."]
        question = "what is a pod?"
        asked = MODEL.embed([question])[0]
        passages = [Passage(str(n), f"/d/{n}.md", text, 0.9) for n, text in enumerate(texts)]
        quotes = rank(question, asked, passages, MODEL.embed)
        self.assertEqual([quote.path for quote in quotes], ["/d/1.md"])


if __name__ == "__main__":
    unittest.main()
