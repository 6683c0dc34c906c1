"""Sentences, headings, passages, entities."""

import unittest

from ragengine.chunking import make_chunker, split_breadcrumb
from ragengine.offline.extract import extract
from ragengine.offline.text import annotate, content_words, sentences, unwrap


def _words(texts: list[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def _letters(texts: list[str]) -> list[int]:
    return [-(-len(text) // 4) for text in texts]


def _chunks(text: str, limit: int, count=_words) -> list[str]:
    return [c["content"] for c in make_chunker(count)(None, text, None, False, 0, limit)]


class Text(unittest.TestCase):
    def test_sentences(self) -> None:
        text = "It works, e.g. here. Then it stops! Does it? Version 5.4.2 does."
        self.assertEqual(
            sentences(text),
            ["It works, e.g. here.", "Then it stops!", "Does it?", "Version 5.4.2 does."],
        )

    def test_unwrap_joins_lines_and_words_and_keeps_items_apart(self) -> None:
        lines = [
            "One sentence that",
            "goes on and is re\u2010",
            "moved.",
            "",
            "- first",
            "  more",
            "- second",
        ]
        self.assertEqual(
            unwrap(lines), ["One sentence that goes on and is removed.", "- first more", "- second"]
        )

    def test_headings_of_all_kinds(self) -> None:
        text = "# Top\ntext\n## Sub\nmore\n```\n# no heading\n```\nTitle\n=====\nx\nNAME\n  y"
        lines = annotate(text)
        headings = {line.text: line.headings for line in lines}
        self.assertEqual(headings["text"], ("Top",))
        self.assertEqual(headings["more"], ("Top", "Sub"))
        self.assertEqual(headings["# no heading"], ("Top", "Sub"))
        self.assertEqual(headings["x"], ("Title",))
        self.assertEqual(headings["  y"], ("Title", "NAME"))

    def test_content_words(self) -> None:
        self.assertEqual(content_words("How do I remove the container?"), ["remove", "container"])


class Chunking(unittest.TestCase):
    def test_every_word_is_in_a_passage_and_none_is_too_long(self) -> None:
        text = "# Book\n\n" + "\n\n".join(
            f"## Part {n}\n\n" + " ".join(f"word{n}x{k}" for k in range(70)) for n in range(9)
        )
        chunks = _chunks(text, 120)
        joined = " ".join(chunks)
        for n in range(9):
            self.assertIn(f"word{n}x69", joined)
        self.assertTrue(all(len(chunk.split()) <= 130 for chunk in chunks))
        self.assertEqual(split_breadcrumb(chunks[0])[0].split(" › ")[0], "Book")

    def test_very_long_lines(self) -> None:
        text = "x" * 50_000
        chunks = _chunks(text, 100, _letters)
        self.assertEqual("".join(chunk.replace("\n", "") for chunk in chunks), text)
        self.assertLess(max(map(len, chunks)), 500)
        text = "word " * 300_000
        self.assertEqual(sum(len(chunk.split()) for chunk in _chunks(text, 100)), 300_000)

    def test_no_heading_no_breadcrumb(self) -> None:
        self.assertEqual(_chunks("just a line", 100), ["just a line"])

    def test_nothing_but_space(self) -> None:
        self.assertEqual(_chunks("\n \n", 100), [])


class Extraction(unittest.TestCase):
    TEXT = (
        "Ada Lovelace wrote notes about the Analytical Engine. The Analytical Engine was designed by"
        " Charles Babbage. Use `podman run --rm` or the option --volume to try it."
    )

    def test_names_code_and_relations(self) -> None:
        graph = extract(self.TEXT)
        names = {name for name, _, _ in graph.entities}
        self.assertLessEqual({"Ada Lovelace", "Analytical Engine", "Charles Babbage", "--volume"}, names)
        pairs = {frozenset(relation[:2]) for relation in graph.relations}
        self.assertIn(frozenset({"Ada Lovelace", "Analytical Engine"}), pairs)
        for source, target, *_ in graph.relations:
            self.assertLessEqual({source, target}, names)

    def test_bounds_and_repeatability(self) -> None:
        text = " ".join(f"Thing{n} Name{n} meets Thing{n + 1} Name{n + 1}." for n in range(60))
        graph = extract(text, "Doc › Part", 5, 3)
        self.assertLessEqual(len(graph.entities), 5)
        self.assertLessEqual(len(graph.relations), 3)
        self.assertEqual(graph, extract(text, "Doc › Part", 5, 3))

    def test_plain_prose_still_gives_something(self) -> None:
        names = {
            name for name, _, _ in extract("the feline slept on the warm windowsill all afternoon").entities
        }
        self.assertIn("Feline", names)

    def test_no_field_can_break_the_format(self) -> None:
        graph = extract("The `evil<|#|>name` meets Big <|COMPLETE|> Trouble\ttoday. A <SEP> B.")
        for row in (*graph.entities, *graph.relations):
            for value in row:
                self.assertNotRegex(value, r"<\||\|>|<SEP>|[\n\t]")

    def test_nothing(self) -> None:
        self.assertEqual(extract("\n").entities, [])


if __name__ == "__main__":
    unittest.main()
