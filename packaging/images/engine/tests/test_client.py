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
    "event": "summary", "new": 1, "changed": 0, "unchanged": 2, "deleted": 0, "missing": 1, "skipped": 0,
    "failed": [], "documents": {"processed": 3, "failed": 0, "pending": 0}, "seconds": 0.1,
}  # fmt: skip


class Played(unittest.TestCase):
    """An engine that gives prepared answers and keeps what it was asked."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/s"
        self.asked: list[dict] = []

    def play(self, *answers: dict, wait_for_cancel: bool = False) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        self.addCleanup(listener.close)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, connection.makefile("rw") as lines:
                    self.asked.append(json.loads(lines.readline()))
                    for answer in answers:
                        if "exit" in answer and wait_for_cancel:
                            self.asked.append(json.loads(lines.readline()))
                        lines.write(json.dumps(answer) + "\n")
                        lines.flush()

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
             "prune": False, "dry_run": False},
        )  # fmt: skip
        done = self.command("ingest")
        self.assertIn("3 processed", done.stdout)
        self.assertIn("--prune", done.stdout)

    def test_interrupt_asks_the_engine_to_stop(self) -> None:
        self.play(SUMMARY | {"interrupted": True}, {"exit": 130}, wait_for_cancel=True)
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "hybridrag.py"), "ingest"],
            env=os.environ | {"HYBRIDRAG_SOCKET": self.path},
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
