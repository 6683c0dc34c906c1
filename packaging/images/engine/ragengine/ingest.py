"""Bringing the database to what lies on disk: incremental, one at a time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import scan
from .errors import FAILED, INTERRUPTED, WRONG_USE, EngineError, one_line
from .log import log
from .store import Store

Emit = Callable[[dict[str, Any]], Awaitable[None]]
# How long a stop waits for the documents that are being worked on.
_GRACE = 5.0


@dataclass(frozen=True)
class Request:
    """What a user asked for."""

    paths: Sequence[str]
    patterns: Sequence[str]
    recursive: bool = True
    prune: bool = False
    dry_run: bool = False


@dataclass
class _Plan:
    new: list[scan.Found] = field(default_factory=list)
    changed: list[scan.Found] = field(default_factory=list)
    unchanged: int = 0
    missing: list[str] = field(default_factory=list)
    skipped: list[scan.Skipped] = field(default_factory=list)
    #: Same text, other time of change: only the note of it is renewed.
    touched: list[tuple[scan.Found, str]] = field(default_factory=list)


def document_id(path: str) -> str:
    """A document is its path, whatever is in it."""
    return "doc-" + hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()


class Ingest:
    """One run. `stop` may be called at any time from the loop."""

    def __init__(
        self, store: Store, request: Request, emit: Emit, progress: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._request = request
        self._emit = emit
        self._progress = progress
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[int] | None = None
        self._done = 0
        self._total = 0
        self._failed: list[dict[str, str]] = []
        self._counts = {"new": 0, "changed": 0, "deleted": 0, "skipped": 0}

    def start(self) -> asyncio.Task[int]:
        """Begin; the task outlives the client that asked for it."""
        self._task = asyncio.create_task(self.run())
        return self._task

    @property
    def finished(self) -> bool:
        return self._task is None or self._task.done()

    def when_finished(self, act: Callable[[], None]) -> None:
        """Call `act` once the run has ended."""
        if self._task is not None:
            self._task.add_done_callback(lambda _task: act())

    def stop(self) -> None:
        """Finish what is being worked on, begin nothing more."""
        self._stopping.set()

    async def abort(self) -> None:
        """Stop within a second: documents under way end as failed and are
        taken up by the next ingest."""
        self._stopping.set()
        await self._cancel_pipeline()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=1.0)

    async def run(self) -> int:
        """Do it; the exit code."""
        started = time.monotonic()
        request = self._request
        for path in request.paths:
            if scan.gone(path):
                raise EngineError(
                    f"no such file or folder: {path}",
                    "sources are mounted below /data/projects",
                    WRONG_USE,
                )
        try:
            for pattern in request.patterns:
                scan.compile_pattern(pattern)
        except ValueError as error:
            raise EngineError(str(error), "see --help for what a pattern can hold", WRONG_USE) from None
        plan = await self._make_plan()
        work = [(file, False) for file in plan.new] + [(file, True) for file in plan.changed]
        work.sort(key=lambda entry: entry[0].path)
        self._total = len(work) + (len(plan.missing) if request.prune else 0)
        await self._emit(
            {
                "event": "plan",
                "files": len(work) + plan.unchanged,
                "new": len(plan.new),
                "changed": len(plan.changed),
                "unchanged": plan.unchanged,
                "missing": len(plan.missing),
                "bytes": sum(file.size for file, _ in work),
            }
        )
        for entry in plan.skipped:
            await self._skip(entry.path, entry.reason)
        if not request.dry_run:
            await self._work(plan, work)
        summary = await self._summary(plan, time.monotonic() - started)
        await self._emit(summary)
        if self._stopping.is_set():
            return INTERRUPTED
        return FAILED if self._failed else 0

    # -- planning ------------------------------------------------------------

    async def _make_plan(self) -> _Plan:
        request = self._request
        found = await asyncio.to_thread(
            scan.scan,
            request.paths,
            request.patterns,
            recursive=request.recursive,
            max_bytes=self._store.settings.max_file_bytes,
        )
        rows = await self._store.fetch(
            "SELECT f.path, f.size, f.mtime_ns, f.sha256, s.status FROM ragpod_files f"
            " LEFT JOIN lightrag_doc_status s ON s.id = f.doc_id AND s.workspace = $1",
            self._store.workspace,
        )
        known = {row["path"]: row for row in rows}
        return await asyncio.to_thread(self._compare, found, known)

    def _compare(self, found: scan.Scan, known: dict[str, dict[str, Any]]) -> _Plan:
        plan = _Plan(skipped=found.skipped)
        for file in found.files:
            row = known.get(file.path)
            if row is None:
                plan.new.append(file)
            elif row["status"] != "processed":
                plan.changed.append(file)
            elif (row["size"], row["mtime_ns"]) == (file.size, file.mtime_ns):
                plan.unchanged += 1
            else:
                try:
                    digest = scan.sha256(file.path)
                except scan.Unreadable as error:
                    plan.skipped.append(scan.Skipped(file.path, str(error)))
                    continue
                if digest == row["sha256"]:
                    plan.unchanged += 1
                    plan.touched.append((file, digest))
                else:
                    plan.changed.append(file)
        plan.missing = sorted(
            path for path in known if scan.below(path, self._request.paths) and scan.gone(path)
        )
        return plan

    # -- doing ---------------------------------------------------------------

    async def _work(self, plan: _Plan, work: list[tuple[scan.Found, bool]]) -> None:
        await self._drop_leftovers()
        for file, digest in plan.touched:
            await self._remember(file, digest)
        if self._request.prune:
            for path in plan.missing:
                if self._stopping.is_set():
                    return
                await self._prune(path)
        size = self._store.settings.batch_size
        for start in range(0, len(work), size):
            if self._stopping.is_set():
                return
            await self._batch(work[start : start + size])
            await self._progress()

    async def _drop_leftovers(self) -> None:
        """Documents that an earlier run left half-way or failed. Nothing of
        them counts as done, and LightRAG would take them up again with the
        text they had then."""
        rows = await self._store.fetch(
            "SELECT id FROM lightrag_doc_status WHERE workspace = $1 AND status <> 'processed'",
            self._store.workspace,
        )
        for row in rows:
            await self._delete_document(row["id"])

    async def _delete_document(self, doc_id: str, *, forget_answers: bool = False) -> None:
        result = await self._store.rag.adelete_by_doc_id(doc_id, delete_llm_cache=forget_answers)
        if result.status not in ("success", "not_found"):
            raise EngineError(f"removing {doc_id} failed: {one_line(result.message)}")

    async def _prune(self, path: str) -> None:
        try:
            await self._delete_document(document_id(path), forget_answers=True)
            await self._store.execute("DELETE FROM ragpod_files WHERE path = $1", path)
        except EngineError as error:
            await self._fail(path, error.message)
            return
        self._counts["deleted"] += 1
        await self._file(path, "deleted")

    async def _batch(self, files: list[tuple[scan.Found, bool]]) -> None:
        texts: list[str] = []
        taken: list[tuple[scan.Found, str, bool]] = []
        # Also of a file that is new to our notes: an engine that was killed
        # may have ended a document and not got to noting it.
        stored = await self._states([file.path for file, _ in files])
        for file, changed in files:
            try:
                text, digest = await asyncio.to_thread(
                    scan.read_text, file.path, self._store.settings.max_file_bytes
                )
                if file.path in stored:
                    await self._delete_document(document_id(file.path), forget_answers=True)
            except scan.Unreadable as error:
                self._done += 1
                await self._skip(file.path, str(error))
                continue
            except EngineError as error:
                await self._fail(file.path, error.message)
                continue
            texts.append(text)
            taken.append((file, digest, changed))
        if not taken:
            return
        problem = await self._insert(texts, [file.path for file, _, _ in taken])
        states = await self._states([file.path for file, _, _ in taken])
        for file, digest, changed in taken:
            status, reason = states.get(file.path, (None, None))
            if status == "processed":
                self._counts["changed" if changed else "new"] += 1
                await self._remember(file, digest)
                await self._file(file.path, "done")
            elif self._stopping.is_set() and status != "failed":
                continue
            else:
                await self._remember(file, digest)
                await self._fail(
                    file.path, one_line(reason or problem or "the database has no such document")
                )

    async def _insert(self, texts: list[str], paths: list[str]) -> str:
        """Hand documents to LightRAG; what went wrong as a whole, if anything."""
        rag = self._store.rag
        ids = [document_id(path) for path in paths]

        async def insert() -> None:
            await rag.apipeline_enqueue_documents(texts, ids, paths)
            await rag.apipeline_process_enqueue_documents()

        task = asyncio.create_task(insert())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=_GRACE)
            if not task.done():
                await self._cancel_pipeline()
            await task
        except Exception as error:
            log.warning("a batch failed: %s", one_line(error))
            return one_line(error)
        finally:
            stop.cancel()
        return ""

    async def _cancel_pipeline(self) -> None:
        """LightRAG's own way to stop: what is under way ends as failed and is
        taken up by the next ingest."""
        from lightrag.kg.shared_storage import get_namespace_data, get_namespace_lock

        workspace = self._store.workspace
        status = await get_namespace_data("pipeline_status", workspace=workspace)
        async with get_namespace_lock("pipeline_status", workspace=workspace):
            if status.get("busy"):
                status["cancellation_requested"] = True

    async def _states(self, paths: list[str]) -> dict[str, tuple[str, str | None]]:
        by_id = {document_id(path): path for path in paths}
        rows = await self._store.fetch(
            "SELECT id, status, error_msg FROM lightrag_doc_status WHERE workspace = $1 AND id = ANY($2)",
            self._store.workspace,
            list(by_id),
        )
        return {by_id[row["id"]]: (row["status"], row["error_msg"]) for row in rows}

    async def _remember(self, file: scan.Found, digest: str) -> None:
        await self._store.execute(
            "INSERT INTO ragpod_files (path, doc_id, size, mtime_ns, sha256) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (path) DO UPDATE SET doc_id = excluded.doc_id, size = excluded.size,"
            " mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, ingested = now()",
            file.path,
            document_id(file.path),
            file.size,
            file.mtime_ns,
            digest,
        )

    # -- telling -------------------------------------------------------------

    async def _file(self, path: str, status: str, reason: str | None = None) -> None:
        if status != "skipped":
            self._done += 1
        await self._emit(
            {
                "event": "file",
                "path": path,
                "status": status,
                "reason": reason,
                "done": self._done,
                "total": self._total,
            }
        )

    async def _skip(self, path: str, reason: str) -> None:
        self._counts["skipped"] += 1
        await self._file(path, "skipped", reason)

    async def _fail(self, path: str, reason: str) -> None:
        self._failed.append({"path": path, "reason": reason})
        await self._file(path, "failed", reason)

    async def _summary(self, plan: _Plan, seconds: float) -> dict[str, Any]:
        summary = {
            "event": "summary",
            **self._counts,
            "unchanged": plan.unchanged,
            "missing": len(plan.missing) - self._counts["deleted"],
            "failed": self._failed,
            "documents": await self._store.document_counts(),
            "seconds": round(seconds, 2),
            "interrupted": self._stopping.is_set(),
        }
        if not self._request.dry_run:
            await self._store.set_state(
                "last_ingest",
                {
                    "at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "seconds": summary["seconds"],
                    "new": summary["new"],
                    "changed": summary["changed"],
                    "deleted": summary["deleted"],
                    "failed": len(self._failed),
                },
            )
        log.info(
            "ingest: %d new, %d changed, %d unchanged, %d deleted, %d skipped, %d failed in %.1f s",
            summary["new"],
            summary["changed"],
            plan.unchanged,
            summary["deleted"],
            summary["skipped"],
            len(self._failed),
            seconds,
        )
        return summary
