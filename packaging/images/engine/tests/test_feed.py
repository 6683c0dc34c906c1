"""What is handed to LightRAG, in which portions, and how it is followed."""

import asyncio
import unittest
from unittest import mock

try:
    from ragengine.feed import Document, Feed, document_id
    from ragengine.ingest import batches
    from ragengine.scan import Found
except ImportError as missing:
    raise unittest.SkipTest(f"the engine's packages are not here: {missing}") from None


class Batches(unittest.TestCase):
    @staticmethod
    def sizes(files: list[int], most: int, most_bytes: int) -> list[list[int]]:
        work = [(Found(str(n), size, 0), False) for n, size in enumerate(files)]
        return [[file.size for file, _ in batch] for batch in batches(work, most, most_bytes)]

    def test_neither_too_many_nor_too_large(self) -> None:
        self.assertEqual(self.sizes([], 2, 10), [])
        self.assertEqual(self.sizes([1, 1, 1, 1, 1], 2, 10), [[1, 1], [1, 1], [1]])
        self.assertEqual(self.sizes([6, 4, 1, 99, 3], 1000, 10), [[6, 4], [1], [99], [3]])


class Following(unittest.IsolatedAsyncioTestCase):
    """LightRAG and the database are played: what matters is who waits for whom."""

    def feed(self, seconds: float) -> tuple[Feed, list[str]]:
        ended: list[str] = []
        store = mock.Mock(workspace="w")
        store.fetch = mock.AsyncMock(side_effect=OSError("the database is away"))
        store.rag.apipeline_enqueue_documents = mock.AsyncMock()

        async def process() -> None:
            try:
                await asyncio.sleep(seconds)
                ended.append("done")
            except asyncio.CancelledError:
                ended.append("stopped")
                raise

        store.rag.apipeline_process_enqueue_documents = process
        feed = Feed(store, mock.AsyncMock(), mock.AsyncMock())
        feed._passages = mock.AsyncMock(return_value={})
        return feed, ended

    async def test_a_look_that_fails_leaves_nothing_at_work(self) -> None:
        feed, ended = self.feed(1.2)
        self.assertEqual(await feed.insert([Document("/a", "1", "text")]), "")
        self.assertEqual(ended, ["done"])

    async def test_who_gives_up_takes_it_along(self) -> None:
        feed, ended = self.feed(60)
        task = asyncio.create_task(feed.insert([Document("/a", "1", "text")]))
        await asyncio.sleep(0.1)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        self.assertEqual(ended, ["stopped"])

    async def test_what_cannot_be_noted_is_not_done(self) -> None:
        feed, _ = self.feed(1.2)
        row = {"id": document_id("/a", "1"), "status": "processed", "error_msg": None}
        feed._store.fetch = mock.AsyncMock(return_value=[row])
        feed._done = mock.AsyncMock(side_effect=[OSError("the database is away"), None])
        await feed.insert([Document("/a", "1", "text")])
        self.assertEqual(feed._done.await_count, 2)

    def test_versions_are_documents_of_their_own(self) -> None:
        ids = {document_id(path, digest) for path in ("/a", "/b") for digest in ("1", "2")}
        self.assertEqual(len(ids), 4)
        self.assertEqual(document_id("/a", "1"), document_id("/a", "1"))


if __name__ == "__main__":
    unittest.main()
