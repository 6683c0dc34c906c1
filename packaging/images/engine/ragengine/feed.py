"""Handing documents to LightRAG: following each of them, and stopping between two."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .errors import EngineError, one_line
from .log import log
from .records import STATUS
from .store import NOT_BEGUN, Store

# How often the database is asked how far the documents are.
_LOOK = 0.5
# LightRAG's states that a user has use for.
_STAGES = {"parsing": "reading", "analyzing": "reading", "processing": "extracting"}
_PASSAGES = re.compile(r"Chunk (\d+) of (\d+) extracted .* (doc-[0-9a-f]{32})")


def document_id(path: str, digest: str) -> str:
    """A document is one version of a file, so that the old one can stay and be
    asked until the new one is in."""
    return "doc-" + hashlib.md5(f"{path}\0{digest}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Document:
    """A version of a file on its way into the index."""

    path: str
    digest: str
    text: str

    @property
    def id(self) -> str:
        """What LightRAG knows it by."""
        return document_id(self.path, self.digest)


@dataclass(frozen=True)
class Row:
    """A document that the database has."""

    id: str
    path: str
    status: str


@dataclass(frozen=True)
class State:
    """How far a document is, as the database has it."""

    status: str | None = None
    reason: str | None = None

    @property
    def not_begun(self) -> bool:
        """A stop came first: nothing was done with it."""
        return self.status in (None, "pending") or NOT_BEGUN in (self.reason or "")


# Called when a document is at another stage: its path, the stage, how many of
# how many passages.
Stage = Callable[[str, str, int, int], Awaitable[None]]
# Called once for each document that is done, with its id.
Done = Callable[[str], Awaitable[None]]


class Feed:
    """Documents on their way into the index."""

    def __init__(self, store: Store, stage: Stage, done: Done) -> None:
        self._store = store
        self._stage = stage
        self._done = done
        store.admits = True

    def stop(self) -> None:
        """What is being worked on is finished, nothing more is begun."""
        self._store.admits = False

    async def abort(self) -> None:
        """LightRAG's own way to stop: what is under way ends as failed and is
        taken up by the next ingest."""
        from lightrag.kg.shared_storage import get_namespace_data, get_namespace_lock

        self.stop()
        workspace = self._store.workspace
        status = await get_namespace_data("pipeline_status", workspace=workspace)
        async with get_namespace_lock("pipeline_status", workspace=workspace):
            if status.get("busy"):
                status["cancellation_requested"] = True

    async def insert(self, documents: list[Document]) -> str:
        """Take documents in; what went wrong as a whole, if anything."""
        rag = self._store.rag
        by_id = {document.id: document.path for document in documents}
        texts = [document.text for document in documents]

        async def insert() -> None:
            await rag.apipeline_enqueue_documents(texts, list(by_id), list(by_id.values()))
            await rag.apipeline_process_enqueue_documents()

        task = asyncio.create_task(insert())
        told: dict[str, tuple] = {}
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_LOOK)
                try:
                    await self._look(by_id, told)
                except Exception as error:
                    # A database that is away for a moment: whether the
                    # documents get in shows at the end.
                    log.warning("cannot see how far the documents are: %s", one_line(error))
            await task
        except asyncio.CancelledError:
            # Nobody would wait for it, and nothing would hold it back.
            task.cancel()
            raise
        except Exception as error:
            log.warning("a batch failed: %s", one_line(error))
            return one_line(error)
        return ""

    async def _look(self, by_id: dict[str, str], told: dict[str, tuple]) -> None:
        passages = await self._passages()
        for doc_id, state in (await self.states(list(by_id))).items():
            if told.get(doc_id) == ("done",):
                continue
            if state.status == "processed":
                await self._done(doc_id)
                told[doc_id] = ("done",)
            elif state.status in _STAGES:
                now = (_STAGES[state.status], *passages.get(doc_id, (0, 0)))
                if told.get(doc_id) != now:
                    told[doc_id] = now
                    await self._stage(by_id[doc_id], *now)

    async def _passages(self) -> dict[str, tuple[int, int]]:
        """From LightRAG's latest message: how many passages of a document it has read."""
        from lightrag.kg.shared_storage import get_namespace_data

        status = await get_namespace_data("pipeline_status", workspace=self._store.workspace)
        found = {}
        for message in list(status.get("history_messages") or ())[-50:]:
            match = _PASSAGES.match(str(message))
            if match:
                found[match[3]] = (int(match[1]), int(match[2]))
        return found

    async def states(self, ids: list[str]) -> dict[str, State]:
        """Of those that the database has."""
        rows = await self._store.fetch(
            f"SELECT s.id, {STATUS.format('s')}, s.error_msg FROM lightrag_doc_status s"
            " WHERE s.workspace = $1 AND s.id = ANY($2)",
            self._store.workspace,
            ids,
        )
        return {row["id"]: State(row["status"], row["error_msg"]) for row in rows}

    async def leftovers(self) -> list[Row]:
        """Documents that an earlier run left half-way or failed, and old
        versions of files whose new one is in."""
        rows = await self._store.fetch(
            "SELECT s.id, s.file_path AS path, s.status FROM lightrag_doc_status s"
            " LEFT JOIN ragpod_files f ON f.workspace = s.workspace AND f.path = s.file_path"
            " LEFT JOIN lightrag_doc_status n"
            " ON n.workspace = s.workspace AND n.id = f.doc_id AND n.status = 'processed'"
            " WHERE s.workspace = $1 AND (s.status <> 'processed' OR n.id <> s.id)",
            self._store.workspace,
        )
        return [Row(row["id"], row["path"], row["status"]) for row in rows]

    async def versions(self, paths: list[str]) -> list[Row]:
        """All documents of some files."""
        rows = await self._store.fetch(
            "SELECT id, file_path AS path, status FROM lightrag_doc_status"
            " WHERE workspace = $1 AND file_path = ANY($2)",
            self._store.workspace,
            paths,
        )
        return [Row(row["id"], row["path"], row["status"]) for row in rows]

    async def delete(self, doc_id: str, *, forget_answers: bool = False) -> None:
        """Remove a document and what is in the index because of it alone; with
        `forget_answers` also what the model said of passages that only it had."""
        answers = await self._answers(doc_id) if forget_answers else []
        result: Any = await self._store.rag.adelete_by_doc_id(doc_id)
        if result.status not in ("success", "not_found"):
            raise EngineError(f"removing {doc_id} failed: {one_line(result.message)}")
        if answers:
            await self._forget(answers)

    async def _answers(self, doc_id: str) -> list[str]:
        """The model's kept answers that a document's passages rest on."""
        rows = await self._store.fetch(
            "SELECT DISTINCT jsonb_array_elements_text(llm_cache_list) AS id FROM lightrag_doc_chunks"
            " WHERE workspace = $1 AND full_doc_id = $2 AND jsonb_typeof(llm_cache_list) = 'array'",
            self._store.workspace,
            doc_id,
        )
        return [row["id"] for row in rows]

    async def _forget(self, answers: list[str]) -> None:
        """LightRAG itself would also forget those that other documents (a new
        version, a copy) have passages of: their entities are made from them anew
        when a document that shares them goes."""
        rows = await self._store.fetch(
            "SELECT DISTINCT jsonb_array_elements_text(llm_cache_list) AS id FROM lightrag_doc_chunks"
            " WHERE workspace = $1 AND jsonb_exists_any(llm_cache_list, $2)",
            self._store.workspace,
            answers,
        )
        used = {row["id"] for row in rows}
        await self._store.rag.llm_response_cache.delete([key for key in answers if key not in used])
