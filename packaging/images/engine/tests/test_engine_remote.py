"""The whole engine over a provider that speaks HTTP."""

import hashlib
import json
import os
import signal
import time
import unittest
from pathlib import Path

from tests.harness import EngineCase, sql
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
        counts = summary["documents"]
        self.assertEqual(
            (summary["new"] + summary["changed"], counts["failed"], counts["pending"]), (1, 0, 0)
        )
        # A provider that is only busy is waited for.
        self.write("bird.md", "The bird sang at noon.\n")
        self.stub.failures = [429, 500, 503]
        self.assertEqual(self.ingest()["failed"], [])

    def test_2_what_failed_elsewhere_stays_failed(self) -> None:
        for folder in ("one", "two"):
            self.write(f"{folder}/a.md", f"The text of folder {folder}.\n")

        def ingest(folder: str, *more: str) -> dict:
            words = ("ingest", "--json", "--path", str(self.sources / folder), *more)
            return json.loads(self.command(*words, check=None).stdout.splitlines()[-1])

        self.stub.failures = [400] * 9
        self.assertEqual(len(ingest("one")["failed"]), 1)
        self.stub.failures = []
        for other in (ingest("two"), ingest("one", "--pattern", "*.txt")):
            self.assertEqual((other["failed"], other["documents"]["failed"]), ([], 1))
        again = ingest("one")
        self.assertEqual((again["failed"], again["documents"]["failed"]), ([], 0))
        # A file that is gone has not failed.
        self.stub.failures = [400] * 9
        gone = self.write("one/gone.md", "A text that goes.\n")
        self.assertEqual(ingest("one")["documents"]["failed"], 1)
        self.stub.failures = []
        Path(gone).unlink()
        self.assertEqual(ingest("two")["documents"]["failed"], 0)
        # What no pattern takes any more is forgotten when that is asked for.
        self.stub.failures = [400] * 9
        self.write("one/once.log", "A text that is looked at once.\n")
        self.assertEqual(ingest("one", "--pattern", "*.log")["documents"]["failed"], 1)
        self.stub.failures = []
        self.assertEqual(ingest("one", "--pattern", "*.md")["documents"]["failed"], 1)
        self.assertEqual(ingest("two", "--prune")["documents"]["failed"], 1)
        self.assertEqual(ingest("one", "--pattern", "*.md", "--prune")["documents"]["failed"], 0)

    def passages(self, text: str) -> str:
        return self.query(text, "--context-only", "--mode", "naive", "--top-k", "40")["answer"]

    def test_2_the_old_version_is_asked_until_the_new_one_is_in(self) -> None:
        path = self.write("versions/a.md", "The first version speaks of marmalade.\n")
        words = ("--path", str(self.sources / "versions"), "--pattern", "*.md")

        def ingest(check: int = 0) -> dict:
            done = self.command("ingest", "--json", *words, check=check)
            return json.loads(done.stdout.splitlines()[-1])

        self.assertEqual(ingest()["new"], 1)
        whole = self.status()
        # The provider fails.
        Path(path).write_text("The second version speaks of pineapple.\n")
        self.stub.failures = [400] * 9
        self.assertEqual(len(ingest(check=1)["failed"]), 1)
        self.stub.failures = []
        self.assertIn("marmalade", self.passages("What does it speak of?"))
        # Ctrl-C comes.
        self.stub.slow = 3.0
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen("ingest", "--json", *words)
        self.addCleanup(client.stdout.close)
        for line in client.stdout:
            if json.loads(line)["event"] == "stage":
                break
        for _ in range(2):
            client.send_signal(signal.SIGINT)
            time.sleep(0.3)
        client.wait(10)
        self.stub.slow = 0.0
        while self.status()["ingesting"]:
            time.sleep(0.2)
        self.assertIn("marmalade", self.passages("What does it speak of?"))
        # It is back as it was: nothing is left of the attempts.
        Path(path).write_text("The first version speaks of marmalade.\n")
        self.assertEqual(ingest()["unchanged"], 1)
        now = self.status()
        for key in ("documents", "chunks", "entities", "relations"):
            self.assertEqual(now[key], whole[key], key)
        # At last it gets in.
        Path(path).write_text("The second version speaks of pineapple.\n")
        summary = ingest()
        self.assertEqual((summary["changed"], summary["documents"]), (1, whole["documents"]))
        self.assertIn("pineapple", self.passages("What does it speak of?"))
        self.assertNotIn("marmalade", self.passages("What does it speak of?"))
        self.assertEqual(self.status()["chunks"], whole["chunks"])

    def test_2_a_version_that_is_half_removed_is_taken_in_anew(self) -> None:
        first, second = "The old one speaks of liquorice.\n", "The new one speaks of nougat.\n"
        path = Path(self.write("halves/a.md", first))
        words = ("--path", str(self.sources / "halves"))
        self.ingest(*words)
        old = sql("SELECT id FROM lightrag_doc_status WHERE file_path LIKE '%/halves/a.md'")[0]["id"]
        path.write_text(second)
        self.ingest(*words)
        # As LightRAG leaves it when it dies at the end of a removal: all is gone but this row.
        removal = "purge-" + hashlib.md5(f"{len(old)}:{old}:".encode(), usedforsecurity=False).hexdigest()
        journal = {"kg_purge": {"schema_version": 1, "operation_id": removal, "phase": "completed"}}
        sql(
            "INSERT INTO lightrag_doc_status (workspace, id, content_summary, content_length, status, file_path,"
            f" metadata, created_at, updated_at) SELECT workspace, '{old}', 'The old', 9, 'processed',"
            f" file_path, '{json.dumps(journal)}'::jsonb, now(), now() FROM lightrag_doc_status"
            " WHERE file_path LIKE '%/halves/a.md'"
        )
        path.write_text(first)
        self.assertEqual(self.ingest(*words)["failed"], [])
        self.assertIn("liquorice", self.passages("liquorice"))
        self.assertNotIn("nougat", self.passages("nougat"))

    def test_2_an_engine_that_is_killed_loses_no_version(self) -> None:
        path = self.write("killed/a.md", "The old version speaks of herring.\n")
        words = ("ingest", "--json", "--path", str(self.sources / "killed"))
        self.command(*words)
        whole = self.status()["documents"]
        Path(path).write_text("The new version speaks of barrels.\n")
        self.stub.slow = 3.0
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen(*words)
        self.addCleanup(client.stdout.close)
        for line in client.stdout:
            if json.loads(line)["event"] == "stage":
                break
        self.stop(signal.SIGKILL)
        client.wait(10)
        self.stub.slow = 0.0
        self.start()
        self.assertIn("herring", self.passages("What does it speak of?"))
        self.command(*words)
        self.assertEqual(self.status()["documents"], whole)
        self.assertIn("barrels", self.passages("What does it speak of?"))
        # As if it had been killed before the new version was noted: it is not taken in again.
        sql(f"UPDATE ragpod_files SET size = 1, sha256 = '' WHERE path = '{path}'")
        asked = len(self.stub.seen)
        self.command(*words)
        self.assertEqual(len(self.stub.seen), asked)
        self.assertEqual(self.status()["documents"], whole)

    def test_2_what_is_under_way_is_finished(self) -> None:
        for number in range(8):
            self.write(f"slow/{number}.md", f"Text {number} is read by a slow model.\n")
        self.stub.slow = 1.0
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen("ingest", "--json", "--path", str(self.sources))
        self.addCleanup(client.stdout.close)
        events = []
        for line in client.stdout:
            events.append(json.loads(line))
            if events[-1].get("stage") == "extracting":
                client.send_signal(signal.SIGINT)
                break
        events += [json.loads(line) for line in client.stdout.read().splitlines()]
        self.assertEqual(client.wait(60), 130)
        done = [e for e in events if e.get("status") == "done"]
        self.assertTrue(0 < len(done) < 8, events)
        self.assertEqual((events[-1]["failed"], events[-1]["documents"]["failed"]), ([], 0))
        self.stub.slow = 0.0
        self.assertEqual(self.ingest()["new"], 8 - len(done))

    def test_2_a_stop_at_the_last_document_interrupts_nothing(self) -> None:
        self.write("last.md", "This is the last of all.\n")
        self.stub.slow = 2.0
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen("ingest", "--json", "--path", str(self.sources), "--pattern", "last.md")
        self.addCleanup(client.stdout.close)
        for line in client.stdout:
            if json.loads(line).get("stage") == "extracting":
                break
        client.send_signal(signal.SIGINT)
        summary = json.loads(client.stdout.read().splitlines()[-1])
        self.assertEqual((client.wait(30), summary["interrupted"], summary["new"]), (0, False, 1))

    def test_2_at_once(self) -> None:
        self.write("sleepy.md", "This one takes very long.\n")
        self.stub.slow = 6.0
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen("ingest", "--json", "--path", str(self.sources), "--pattern", "sleepy.md")
        self.addCleanup(client.stdout.close)
        for line in client.stdout:
            if json.loads(line)["event"] == "stage":
                break
        client.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(client.poll())
        client.send_signal(signal.SIGINT)
        self.assertEqual(client.wait(2), 130)
        self.stub.slow = 0.0
        while self.status()["ingesting"]:
            time.sleep(0.2)
        again = self.ingest("--pattern", "sleepy.md")
        self.assertEqual((again["new"], again["documents"]["failed"]), (1, 0))

    def test_2_bit_by_bit(self) -> None:
        # A question that was not asked before: LightRAG keeps whole answers.
        done = self.command("query", "--stream", "--text", "Who slept in the sun?")
        self.assertEqual(done.stdout, "Answer to: Who slept in the sun?\n")
        self.assertTrue(self.stub.seen[-1][2].get("stream"))

    def test_2_a_question_is_embedded_once(self) -> None:
        for mode in ("naive", "local", "global", "hybrid", "mix"):
            text = f"Who sat there, asked in the mode {mode}?"
            before = len(self.stub.seen)
            self.query(text, "--mode", mode)
            inputs = [
                entry
                for path, _, body in self.stub.seen[before:]
                if "/embeddings" in path
                for entry in body["input"]
            ]
            self.assertEqual(inputs.count(text), 1, (mode, inputs))

    def test_2_a_key_that_the_provider_repeats_is_kept_back(self) -> None:
        self.write("key.md", "A text that a key is asked for.\n")
        said = f"Incorrect API key provided: {KEY}. {'x' * 100} {KEY}"
        self.stub.says = {"error": {"message": said}}
        self.addCleanup(setattr, self.stub, "says", None)
        self.stub.failures = [401] * 30
        done = self.command("ingest", "--path", str(self.sources), "--pattern", "key.md", check=1)
        self.stub.failures = [401] * 30
        asked = self.command("query", "--text", "What is a key asked for?", check=1)
        tested = self.command("provider", "test", check=1)
        self.stub.failures = []
        rows = sql("SELECT error_msg FROM lightrag_doc_status WHERE status = 'failed'")
        self.assertIn("Incorrect API key provided: ***", rows[0][0])
        for text in (done.stdout, done.stderr, asked.stderr, tested.stdout, rows[0][0], self.log.read_text()):
            self.assertNotIn(KEY[:6], text)
        self.assertEqual(self.ingest("--pattern", "key.md")["failed"], [])

    def test_2_questions_outlive_the_index_that_they_are_asked_of(self) -> None:
        self.command("reindex", "begin")
        self.ingest("--reindex")
        self.stub.slow = 1.5
        self.addCleanup(setattr, self.stub, "slow", 0.0)
        client = self.popen("query", "--text", "Who outlives the old index?", "--mode", "mix")
        self.addCleanup(client.stdout.close)
        time.sleep(2.0)
        self.assertIsNone(client.poll())
        self.command("reindex", "finish")
        self.assertEqual(client.wait(30), 0)
        self.assertIn("Answer to: Who outlives", client.stdout.read())

    def test_2_only_the_context(self) -> None:
        asked = len([path for path, _, body in self.stub.seen if "messages" in body])
        for mode in ("naive", "local", "global", "hybrid", "mix"):
            answer = self.query("Where did it sleep?", "--context-only", "--mode", mode)
            if mode in ("naive", "mix"):
                self.assertIn("windowsill", answer["answer"])
                self.assertIn("score", answer["sources"][0])
                self.assertIn("passage", answer["sources"][0])
        self.assertEqual(len([path for path, _, body in self.stub.seen if "messages" in body]), asked)

    def test_2_the_check(self) -> None:
        done = json.loads(self.command("provider", "test", "--json").stdout)
        self.assertEqual([c["status"] for c in done["checks"]], ["pass", "pass"])
        self.stub.failures = [401, 404]
        done = self.command("provider", "test", check=1)
        self.assertIn("refuses the key (401)", done.stdout)
        self.assertIn("has no model chat (404)", done.stdout)

    def test_3_another_model_is_refused(self) -> None:
        old = sql("SELECT DISTINCT workspace FROM lightrag_doc_status")[0][0]
        graph = "chunk_entity_relation" if old == "default" else f"{old}_chunk_entity_relation"
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
            # The old index stays until the new one is complete.
            self.command("reindex", "begin")
            self.command("reindex", "finish", check=2)
            files = len(list(self.sources.rglob("*.md")))
            self.assertEqual(self.ingest("--reindex", "--pattern", "c*.md")["new"], 1)
            self.assertEqual(self.status()["documents"]["processed"], files)
            # What the new one has not is not lost unless that is wanted.
            done = self.command("reindex", "finish", check=1)
            self.assertIn(f"{files - 1} documents of the old index are not in the new one", done.stderr)
            self.assertIn("--drop-missing", done.stderr)
            self.stop()
            self.start()
            self.command("reindex", "begin")
            again = self.ingest("--reindex")
            self.assertEqual((again["new"], again["unchanged"]), (files - 1, 1))
            self.command("query", "--text", "anything", check=2)
            self.command("reindex", "finish")
            self.assertIn("windowsill", self.query("Where did the cat nap?")["answer"])
            self.assertTrue(self.status()["ready"])
            self.assertEqual(self.ingest()["unchanged"], files)
            for left in (
                f"SELECT count(*) FROM lightrag_doc_status WHERE workspace = '{old}'",
                f"SELECT count(*) FROM ragpod_files WHERE workspace = '{old}'",
                f"SELECT count(*) FROM ag_catalog.ag_graph WHERE name = '{graph}'",
                "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'lightrag_vdb%_vectors_8d'",
            ):
                self.assertEqual(sql(left)[0][0], 0, left)
            # The next engine knows which one it is, and ends what was cut off.
            sql("INSERT INTO ragpod_files VALUES ('default', '/x', 'doc-x', 1, 1, '')")
            sql("""UPDATE ragpod_state SET value = value || '{"old": "default"}' WHERE key = 'index'""")
            self.stop()
            self.start()
            self.assertEqual(sql("SELECT count(*) FROM ragpod_files WHERE path = '/x'")[0][0], 0)
            self.assertIn("windowsill", self.query("Where did the cat nap?")["answer"])
            self.assertEqual(self.status()["documents"]["processed"], files)
            self.assertIn("There was none", self.command("reindex", "abandon").stdout)
        finally:
            self.stop()


if __name__ == "__main__":
    unittest.main()
