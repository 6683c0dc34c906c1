"""The command line against an engine that is played."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUMMARY = {
    "event": "summary", "new": 1, "changed": 0, "unchanged": 2, "deleted": 0, "missing": 1, "skipped": 0, "unpruned": [],
    "failed": [], "documents": {"processed": 3, "failed": 0, "pending": 0}, "seconds": 0.1,
}  # fmt: skip


class Played(unittest.TestCase):
    """An engine that gives prepared answers and keeps what it was asked."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/s"
        self.asked: list[dict] = []

    def play(self, *answers: dict, wait_for_cancel: int = 0) -> None:
        listener = socket.socket(socket.AF_UNIX)
        Path(self.path).unlink(missing_ok=True)
        listener.bind(self.path)
        listener.listen()
        self.addCleanup(listener.close)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                # Not one file for both: its write throws away what came and was not read yet.
                with connection, connection.makefile("r") as lines, connection.makefile("w") as out:
                    self.asked.append(json.loads(lines.readline()))
                    for answer in answers:
                        for _ in range(wait_for_cancel if "exit" in answer else 0):
                            self.asked.append(json.loads(lines.readline()))
                        out.write(json.dumps(answer) + "\n")
                        out.flush()

        threading.Thread(target=serve, daemon=True).start()

    def command(self, *args: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-S", "-E", str(ROOT / "hybridrag.py"), *args],
            env=os.environ | {"HYBRIDRAG_SOCKET": self.path},
            capture_output=True,
            text=True,
            timeout=20,
            **options,
        )

    def test_no_engine(self) -> None:
        for words in (["status"], ["health"], ["query", "--text", "what?"], ["ingest"]):
            done = self.command(*words)
            self.assertEqual(done.returncode, 4, words)
            self.assertTrue(done.stderr.startswith("hybridrag: "))
            self.assertNotIn("Traceback", done.stderr)

    def test_wrong_use(self) -> None:
        for words in (
            [],
            ["nonsense"],
            ["query"],
            ["query", "--text", "x", "--mode", "y"],
            ["backend", "init", "--backend", "json"],
            ["backend", "reset"],
        ):
            done = self.command(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertTrue(done.stderr.startswith("hybridrag: "), done.stderr)

    def test_health(self) -> None:
        self.play({"exit": 0})
        self.assertEqual(self.command("health").returncode, 0)

    def test_unhealthy(self) -> None:
        self.play({"exit": 4})
        self.assertEqual(self.command("health").returncode, 4)

    def test_a_question_stops_with_its_input(self) -> None:
        self.play({"exit": 130}, wait_for_cancel=1)
        done = self.command("query", "--text", "is it?", "--stop-with-input", stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 130, done.stderr)
        self.assertEqual(self.asked[1], {"cancel": True})

    def test_query_in_any_order(self) -> None:
        answer = {"instance": "i", "mode": "mix", "answer": "Yes. [1]", "seconds": 0.1,
                  "sources": [{"path": "/d/a.md", "score": 0.5, "passage": "Yes.\nIt is."}]}  # fmt: skip
        self.play({"result": answer}, {"exit": 0})
        done = self.command("query", "--sources", "--mode", "mix", "--top-k", "3", "--text", "is it?")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Yes. [1]", done.stdout)
        self.assertIn("/d/a.md", done.stdout)
        self.assertEqual(self.asked[0]["top_k"], 3)
        done = self.command("query", "--json", "--text", "is it?")
        self.assertEqual(set(json.loads(done.stdout)), {"instance", "mode", "answer", "sources"})

    def test_errors_of_the_engine(self) -> None:
        self.play({"error": {"message": "too short", "hint": "ask more"}, "exit": 2})
        done = self.command("query", "--text", "a")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "hybridrag: too short\nhybridrag: ask more\n")

    def test_the_engine_dies(self) -> None:
        self.play(
            {
                "event": "plan",
                "files": 1,
                "new": 1,
                "changed": 0,
                "unchanged": 0,
                "skipped": 0,
                "missing": 0,
                "bytes": 1,
            }
        )
        self.assertEqual(self.command("ingest").returncode, 4)

    def test_ingest_passes_events_on(self) -> None:
        self.play(SUMMARY, {"exit": 0})
        done = self.command(
            "ingest",
            "--json",
            "--path",
            "/a",
            "--pattern",
            "*.x",
            "--pattern",
            "*.y",
            "--no-recursive",
            "--path",
            "/b",
        )
        self.assertEqual(json.loads(done.stdout), SUMMARY)
        self.assertEqual(
            self.asked[0],
            {"command": "ingest", "paths": ["/a", "/b"], "patterns": ["*.x", "*.y"], "recursive": False,
             "prune": False, "prune_all": False, "dry_run": False, "reindex": False},
        )  # fmt: skip
        done = self.command("ingest")
        self.assertIn("3 processed", done.stdout)
        self.assertIn("--prune", done.stdout)

    def test_interrupt_asks_the_engine_to_stop(self) -> None:
        self.play(SUMMARY | {"interrupted": True}, {"exit": 130}, wait_for_cancel=1)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "hybridrag.py"), "ingest"],
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
            | {"HYBRIDRAG_SOCKET": self.path},
            stdout=subprocess.PIPE,
            text=True,
        )
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(10), 130)
        self.assertIn("Interrupted", line + rest)
        self.assertEqual(self.asked[1], {"cancel": True})

    def test_the_end_of_the_input_asks_the_engine_to_stop(self) -> None:
        self.play(SUMMARY, {"exit": 130}, wait_for_cancel=1)
        done = self.command("ingest", "--stop-with-input", input="")
        self.assertEqual((done.returncode, self.asked[1]), (130, {"cancel": True}))

    def test_a_second_line_asks_it_to_stop_at_once(self) -> None:
        cancel, now = {"cancel": True}, {"cancel": True, "now": True}
        # One after the other, both at once, and one that is followed by the end.
        for lines, end, told in (
            ([b"stop\n", b"stop\n"], False, [cancel, now]),
            ([b"stop\nstop\n"], False, [now]),
            ([b"stop\n"], True, [cancel]),
        ):
            with self.subTest(lines=lines):
                self.asked.clear()
                self.play({"exit": 130}, wait_for_cancel=len(told))
                done = subprocess.Popen(
                    [sys.executable, str(ROOT / "hybridrag.py"), "ingest", "--stop-with-input"],
                    env=os.environ | {"HYBRIDRAG_SOCKET": self.path},
                    stdin=subprocess.PIPE,
                )
                for number, line in enumerate(lines, 2):
                    done.stdin.write(line)
                    done.stdin.flush()
                    self.wait_until_asked(min(number, 1 + len(told)))
                if end:
                    done.stdin.close()
                self.assertEqual(done.wait(10), 130)
                done.stdin.close()
                self.assertEqual(self.asked[1:], told)

    def wait_until_asked(self, times: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.asked) < times and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertGreaterEqual(len(self.asked), times)

    def test_the_engine_goes_away_before_it_is_asked(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()

        def leave() -> None:
            connection, _ = listener.accept()
            connection.close()

        threading.Thread(target=leave, daemon=True).start()
        # More than the socket takes at once, so that sending notices.
        words = ["ingest", *(word for n in range(400) for word in ("--pattern", f"{n}" * 300))]
        done = self.command(*words)
        listener.close()
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertTrue(done.stderr.startswith("hybridrag: the engine "), done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_an_answer_that_comes_bit_by_bit(self) -> None:
        source = {"path": "/d/a.md", "score": 0.5, "passage": "Yes."}
        result = {"instance": "i", "mode": "mix", "answer": "Yes, it is.", "sources": [source]}
        self.play({"text": "Yes, "}, {"text": "it is."}, {"result": result}, {"exit": 0})
        done = self.command("query", "--stream", "--sources", "--text", "is it?")
        self.assertEqual(done.stdout.splitlines()[0], "Yes, it is.")
        self.assertEqual(done.stdout.count("it is"), 1)
        self.assertIn("/d/a.md", done.stdout)
        self.assertIs(self.asked[0]["stream"], True)

    def test_a_provider_that_does_not_work(self) -> None:
        check = {"id": "embedding", "model": "m", "status": "fail", "detail": "no", "fix": "do that"}
        result = {"instance": "i", "provider": "p", "base_url": None, "checks": [check]}
        self.play({"result": result}, {"exit": 1})
        done = self.command("provider", "test")
        self.assertEqual(done.returncode, 1)
        self.assertIn("do that", done.stdout)
        self.assertEqual(json.loads(self.command("provider", "test", "--json").stdout), result)

    def test_interactive_from_a_pipe(self) -> None:
        self.play(
            {"result": {"instance": "i", "mode": "m", "answer": "An answer.", "sources": []}},
            {"exit": 0},
        )
        done = self.command("interactive", input="first?\n\n:mode naive\n:mode x\nsecond?\n:quit\nnever?\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("An answer."), 2)
        self.assertEqual([a["mode"] for a in self.asked], ["hybrid", "naive"])
        self.assertIn("one of local", done.stdout)

    def test_interactive_ends_with_the_code_of_what_failed(self) -> None:
        self.play({"error": {"message": "no", "hint": ""}, "exit": 1})
        for end in ("", ":quit\n"):
            self.assertEqual(self.command("interactive", input=f"first?\n{end}").returncode, 1)

    def test_a_question_loads_little(self) -> None:
        self.play({"result": {"instance": "i", "mode": "m", "answer": "Yes.", "sources": []}}, {"exit": 0})
        done = subprocess.run(
            [
                sys.executable,
                "-S",
                "-E",
                "-X",
                "importtime",
                str(ROOT / "hybridrag.py"),
                "query",
                "--text",
                "is it?",
                "--stop-with-input",
            ],
            env=os.environ | {"HYBRIDRAG_SOCKET": self.path},
            capture_output=True,
            text=True,
            timeout=20,
        )
        self.assertEqual(done.stdout, "Yes.\n")
        loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
        self.assertIn("ragengine.client", loaded)
        for heavy in ("typing", "shutil", "asyncio", "threading", "logging", "numpy", "lightrag"):
            self.assertNotIn(heavy, loaded)

    def test_health_is_cheap(self) -> None:
        self.play({"exit": 0})
        best = min(self._timed() for _ in range(5))
        self.assertLess(best, 0.15)

    def _timed(self) -> float:
        started = time.monotonic()
        self.command("health")
        return time.monotonic() - started


if __name__ == "__main__":
    unittest.main()
