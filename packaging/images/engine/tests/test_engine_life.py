"""Interruptions, restarts and what stays behind: stopping, killing, cutting off."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import unittest
from pathlib import Path

from tests.harness import ROOT, EngineCase, sql


class Life(EngineCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for number in range(60):
            body = "\n\n".join(
                f"Section {part} of manual {number} tells how Widget{number} talks to Gadget{part}. " * 6
                for part in range(6)
            )
            cls.write(f"{number:02}.md", f"# Manual {number}\n\n{body}\n")

    def setUp(self) -> None:
        if self.process is None:
            self.start()
        self.command("backend", "reset", "--yes")

    def begin(self) -> subprocess.Popen:
        """An ingest that has done some documents and has others to do."""
        client = self.popen("ingest", "--json", "--path", str(self.sources))
        self.addCleanup(client.stdout.close)
        for line in client.stdout:
            if json.loads(line).get("status") == "done":
                return client
        self.fail("the ingest ended at once")

    def test_one_ingest_and_questions_meanwhile(self) -> None:
        client = self.begin()
        done = self.command("ingest", "--path", str(self.sources), check=1)
        self.assertIn("another ingest is running", done.stderr)
        self.assertIn("Widget", self.query("What talks to Gadget1?")["answer"])
        self.assertTrue(self.status()["ingesting"])
        client.stdout.read()
        self.assertEqual(client.wait(300), 0)
        self.assertFalse(self.status()["ingesting"])

    def test_interrupt(self) -> None:
        client = self.begin()
        client.send_signal(signal.SIGINT)
        summary = json.loads(client.stdout.read().splitlines()[-1])
        self.assertEqual(client.wait(60), 130)
        kept = summary["documents"]["processed"]
        self.assertGreater(kept, 0)
        self.assertLess(kept, 60)
        rest = self.ingest()
        self.assertEqual(rest["documents"], {"processed": 60, "failed": 0, "pending": 0})
        self.assertGreaterEqual(rest["unchanged"], kept - 1)

    def test_what_is_under_way_is_finished_and_nothing_else_begun(self) -> None:
        client = self.popen("ingest", "--json", "--stop-with-input", "--path", str(self.sources), stdin=True)
        self.addCleanup(client.stdout.close)
        events = [json.loads(client.stdout.readline())]
        while events[-1].get("status") != "done":
            events.append(json.loads(client.stdout.readline()))
        client.stdin.close()
        events += [json.loads(line) for line in client.stdout.read().splitlines()]
        self.assertEqual(client.wait(60), 130)
        summary = events[-1]
        done = {e["path"] for e in events if e.get("status") == "done"}
        self.assertEqual((summary["failed"], summary["interrupted"]), ([], True))
        self.assertEqual(summary["documents"], {"processed": len(done), "failed": 0, "pending": 0})
        self.assertLess(len(done), 60)
        rest = self.ingest()
        self.assertEqual((rest["new"], rest["unchanged"]), (60 - len(done), len(done)))

    def test_the_client_is_killed(self) -> None:
        client = self.begin()
        client.kill()
        client.wait()
        deadline = time.monotonic() + 60
        while self.status()["ingesting"] and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertFalse(self.status()["ingesting"])
        self.assertEqual(self.ingest()["documents"], {"processed": 60, "failed": 0, "pending": 0})

    def test_stop_in_the_middle(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.command("backend", "reset", "--yes")
            client = self.begin()
            code, seconds = self.stop(number)
            client.wait(10)
            if number == signal.SIGTERM:
                self.assertEqual(code, 0)
                self.assertLess(seconds, 2.0)
            self.start()
            self.assertEqual(self.ingest()["documents"], {"processed": 60, "failed": 0, "pending": 0})
            self.assertIn("Widget7", self.query("How does Widget7 work?")["answer"])
            for orphans in (
                'SELECT count(*) FROM chunk_entity_relation."DIRECTED" e WHERE NOT EXISTS'
                " (SELECT FROM chunk_entity_relation.base b WHERE b.id OPERATOR(ag_catalog.=) e.start_id)",
                "SELECT count(*) FROM lightrag_doc_chunks c WHERE NOT EXISTS"
                " (SELECT FROM lightrag_doc_status s WHERE s.id = c.full_doc_id)",
                "SELECT count(*) FROM lightrag_doc_full f WHERE NOT EXISTS"
                " (SELECT FROM lightrag_doc_status s WHERE s.id = f.id)",
            ):
                self.assertEqual(sql(orphans)[0][0], 0, orphans)

    def test_stop_when_idle(self) -> None:
        code, seconds = self.stop()
        self.assertEqual(code, 0)
        self.assertLess(seconds, 2.0)

    def test_without_the_resident_engine(self) -> None:
        self.ingest("--pattern", "00.md")
        before = (self.state / "status.json").read_text()
        answer = self.command("--in-process", "query", "--text", "How does Widget0 work?").stdout
        self.assertIn("Widget0", answer)
        done = self.command("--in-process", "ingest", "--path", str(self.sources), check=2)
        self.assertIn("the resident engine is running", done.stderr)
        self.assertEqual((self.state / "status.json").read_text(), before)
        self.stop()
        words = ("--in-process", "ingest", "--json", "--path", str(self.sources), "--pattern", "01.md")
        summary = json.loads(self.command(*words).stdout.splitlines()[-1])
        self.assertEqual(summary["documents"]["processed"], 2)
        bad = subprocess.run(
            [sys.executable, str(ROOT / "hybridrag.py"), "--in-process", "query", "--text", "what?"],
            env=self.environment() | {"POSTGRES_PASSWORD_FILE": "/no/file"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(bad.returncode, 78)
        self.assertIn("/no/file", bad.stderr)

    @staticmethod
    def engines() -> list[str]:
        """The engines that run here."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if entry.read_bytes().endswith(b"hybridrag.py\0serve\0"):
                    found.append(entry.parent.name)
        return found

    def until_engines(self, wanted: bool) -> None:
        deadline = time.monotonic() + 15
        while bool(self.engines()) != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(bool(self.engines()), wanted)

    def test_an_engine_of_its_own_ends_with_its_client(self) -> None:
        self.stop()
        for number in (signal.SIGTERM, signal.SIGKILL):
            client = self.popen("--in-process", "query", "--text", "How does Widget0 work?")
            self.addCleanup(client.stdout.close)
            self.until_engines(True)
            client.send_signal(number)
            client.wait(10)
            self.until_engines(False)

    def test_connections_that_are_cut(self) -> None:
        self.ingest("--pattern", "0*.md")
        for _ in range(2):
            sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
            self.assertIn("Widget3", self.query("How does Widget3 work?")["answer"])

    def test_status_file(self) -> None:
        self.ingest("--pattern", "0*.md")
        path = self.state / "status.json"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)
        content = json.loads(path.read_text())
        self.assertEqual(content["version"], 1)
        self.assertTrue(content["ready"])
        self.assertEqual(content["documents"], {"processed": 10, "failed": 0, "pending": 0})
        self.assertEqual(content["last_ingest"]["new"], 10)

    def test_questions_are_counted(self) -> None:
        # Others may have asked the one that runs.
        self.stop()
        self.start()
        path = self.state / "queries.json"
        self.assertEqual(json.loads(path.read_text())["queries"], 0)
        self.ingest("--pattern", "0*.md")
        for asked in (1, 2):
            self.query("How does Widget3 work?")
            self.assertEqual(json.loads(path.read_text())["queries"], asked)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)

    def test_the_log_is_short_and_keeps_secrets(self) -> None:
        self.ingest("--pattern", "0*.md")
        self.query("What does the walrus in the question say?")
        log = self.log.read_text()
        self.assertIn("hybridrag: ingest: 10 new", log)
        self.assertIn("hybridrag: query:", log)
        self.assertNotIn("tells how", log)
        self.assertNotIn("walrus", log)
        self.assertNotIn(Path(os.environ["POSTGRES_PASSWORD_FILE"]).read_text().strip(), log)
        self.assertLess(max(map(len, log.splitlines())), 300)


if __name__ == "__main__":
    unittest.main()
