"""Which files an ingest takes."""

import os
import tempfile
import unittest
from pathlib import Path

from ragengine import scan
from ragengine.errors import EngineError
from ragengine.plan import Request


class Patterns(unittest.TestCase):
    def check(self, pattern: str, fits: list[str], fits_not: list[str]) -> None:
        for path in fits:
            self.assertTrue(scan.matches(path, [pattern]), f"{pattern} should match {path}")
        for path in fits_not:
            self.assertFalse(scan.matches(path, [pattern]), f"{pattern} should not match {path}")

    def test_any_depth(self) -> None:
        self.check("**/*.md", ["a.md", "x/a.md", "x/.y/z/a.md", ".md"], ["a.mdx", "a.md/b", "A.MD"])

    def test_dot_folders(self) -> None:
        self.check(
            "**/.specstory/.history/*.md",
            [".specstory/.history/a.md", "p/q/.specstory/.history/a b.md"],
            [
                "p/.specstory/history/a.md",
                "p/.specstory/.history/x/a.md",
                "x.specstory/.history/a.md",
            ],
        )

    def test_without_a_slash_it_matches_names_anywhere(self) -> None:
        self.check("*.txt", ["a.txt", "x/y/a.txt"], ["a.txt.md"])

    def test_anchored(self) -> None:
        self.check("docs/*.md", ["docs/a.md"], ["x/docs/a.md", "docs/x/a.md"])
        self.check("/docs/**", ["docs/a.md", "docs/x/y"], ["docs", "x/docs/a"])

    def test_sets_and_choices(self) -> None:
        self.check("**/[!.]*.{md,rst}", ["a.md", "x/b.rst"], [".a.md", "a.txt"])
        self.check("ch?.t[xy]t", ["x/ch1.txt", "ch2.tyt"], ["ch10.txt", "ch/.txt"])

    def test_regular_expression_characters_are_plain(self) -> None:
        self.check("a+b(1).md", ["a+b(1).md"], ["aab1.md"])
        self.check("a{.md", ["a{.md"], ["a.md"])

    def test_a_bad_one_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, r"\[z-a\]"):
            scan.compile_pattern("[z-a]")


class Walking(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, name: str, content: bytes | str = "text\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def scan(self, **options) -> tuple[list[str], dict[str, str]]:
        settings = {"recursive": True, "max_bytes": 1000, "sources": [str(self.root)]} | options
        patterns = settings.pop("patterns", scan.DEFAULT_PATTERNS)
        roots = settings.pop("roots", [str(self.root)])
        found = scan.scan(roots, patterns, **settings)
        short = {entry.path.removeprefix(f"{self.root}/"): entry.reason for entry in found.skipped}
        return [file.path.removeprefix(f"{self.root}/") for file in found.files], short

    def test_finds_and_sorts(self) -> None:
        for name in ("b.md", "a/c.txt", "a/.d/e.rst", "x.py"):
            self.write(name)
        self.assertEqual(self.scan(), (["a/.d/e.rst", "a/c.txt", "b.md"], {}))
        self.assertEqual(self.scan(recursive=False)[0], ["b.md"])

    def test_what_no_pattern_takes_is_counted(self) -> None:
        for name in ("b.md", "x.py", "a/y.PY", "a/z.org", "LICENSE", ".git/config", ".hidden"):
            self.write(name)
        found = scan.scan(
            [str(self.root)], scan.DEFAULT_PATTERNS, recursive=True, max_bytes=9, sources=[str(self.root)]
        )
        self.assertEqual(found.unfit, {".py": 2, ".org": 1, "": 1})

    def test_reasons(self) -> None:
        self.write("empty.md", "")
        self.write("big.md", "x" * 1001)
        (self.root / "gone.md").symlink_to("nowhere")
        (self.root / "self.md").symlink_to("self.md")
        os.mkfifo(self.root / "pipe.md")
        files, skipped = self.scan()
        self.assertEqual(files, [])
        self.assertEqual(skipped["empty.md"], "empty")
        self.assertIn("larger than 1000", skipped["big.md"])
        self.assertEqual(skipped["gone.md"], "dangling link")
        self.assertIn("cannot be read", skipped["self.md"])
        self.assertEqual(skipped["pipe.md"], "not a regular file")

    def test_a_loop_of_folders_ends(self) -> None:
        self.write("a/one.md")
        (self.root / "a/loop").symlink_to("..")
        self.assertEqual(self.scan()[0], ["a/one.md"])

    def test_links_out_of_the_sources_are_not_followed(self) -> None:
        secret = self.write("secret/key.md", "a secret\n")
        self.write("src/inner/a.md")
        (self.root / "src/file.md").symlink_to(secret)
        (self.root / "src/folder").symlink_to(secret.parent)
        (self.root / "src/fine.md").symlink_to("inner/a.md")
        files, skipped = self.scan(roots=[str(self.root / "src")])
        self.assertEqual(files, ["src/fine.md", "src/inner/a.md"])
        self.assertEqual(set(skipped), {"src/file.md", "src/folder"})
        both = [str(self.root / "src"), str(self.root / "secret")]
        self.assertIn("src/file.md", self.scan(roots=both)[0])

    def test_a_root_outside_of_the_sources_is_refused(self) -> None:
        secret = self.write("secrets/api-key.md", "a secret\n")
        self.write("projects/a.md")
        (self.root / "projects/link.md").symlink_to(secret)
        (self.root / "projects/folder").symlink_to(secret.parent)
        sources = [str(self.root / "projects")]
        for name in (
            "projects/../secrets/api-key.md",
            "projects/link.md",
            "projects/folder",
            "projects/folder/api-key.md",
            "secrets",
            "projects-not/a.md",
        ):
            root = str(self.root / name)
            self.assertEqual(self.scan(roots=[root], sources=sources)[0], [], name)
            with self.assertRaisesRegex(EngineError, "does not lie in a source"):
                Request([root], ["**"]).check(sources)
        Request([str(self.root / "projects/a.md")], ["**"]).check(sources)

    def test_each_folder_of_the_other_sources_is_one(self) -> None:
        sources = [str(self.root / "projects"), str(self.root / "sources/*")]
        self.write("sources/two/docs/a.md")
        path = str(self.root / "sources/two/docs/a.md")
        self.assertEqual(scan.source_of(path, sources), str((self.root / "sources/two").resolve()))
        self.assertIsNone(scan.source_of(str(self.root / "sources"), sources))
        self.assertIsNone(scan.source_of(str(self.root / "sources/two/../.."), sources))

    def test_patterns_hold_for_a_file_that_is_named(self) -> None:
        self.write("docs/a.md")
        self.write("docs/.env")
        roots = [str(self.root / "docs/a.md"), str(self.root / "docs/.env")]
        files, skipped = self.scan(roots=roots, patterns=["docs/*.md"])
        self.assertEqual((files, list(skipped)), (["docs/a.md"], ["docs/.env"]))
        self.assertEqual(self.scan(roots=roots, patterns=["other/*.md"])[0], [])

    def test_overlapping_roots_give_each_file_once(self) -> None:
        self.write("a/one.md")
        roots = [str(self.root), str(self.root / "a"), str(self.root / "a/one.md")]
        self.assertEqual(self.scan(roots=roots)[0], ["a/one.md"])

    def test_names_that_are_no_text(self) -> None:
        with open(os.fsencode(self.root) + b"/bad\xff.md", "wb") as file:
            file.write(b"x")
        self.write("line\nbreak.md")
        self.write("blank.md ")
        files, skipped = self.scan(patterns=["**/*"])
        self.assertEqual(files, [])
        self.assertEqual(len(skipped), 3)
        for name in skipped:
            name.encode("utf-8")

    def test_reading(self) -> None:
        read = lambda path: scan.read_text(str(path), 1000)[0]  # noqa: E731
        self.assertEqual(read(self.write("bom.md", b"\xef\xbb\xbfa\r\nb")), "a\nb")
        for content, reason in (
            (b"a\0b", "binary"),
            (b"caf\xe9", r"not UTF-8 \(byte 3\)"),
            (b" \n\t\n", "empty"),
            (b"x" * 1001, "larger"),
        ):
            with self.assertRaisesRegex(scan.Unreadable, reason):
                read(self.write("x.md", content))
        with self.assertRaisesRegex(scan.Unreadable, "vanished"):
            read(self.root / "never.md")

    def test_only_what_is_certainly_gone_is_gone(self) -> None:
        here = self.write("a/one.md")
        self.assertFalse(scan.gone(str(here)))
        self.assertTrue(scan.gone(str(self.root / "a/two.md")))
        self.assertTrue(scan.gone(str(here / "below-a-file")))
        (self.root / "dangling").symlink_to("nowhere")
        self.assertFalse(scan.gone(str(self.root / "dangling")))

    def test_below(self) -> None:
        self.assertTrue(scan.below("/data/a/x", ["/data/a/"]))
        self.assertFalse(scan.below("/data/ab/x", ["/data/a"]))


if __name__ == "__main__":
    unittest.main()
