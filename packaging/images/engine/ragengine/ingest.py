"""Bringing the database to what lies on disk: incremental, one at a time."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import plan as planning
from . import scan
from .errors import FAILED, INTERRUPTED, EngineError, one_line
from .feed import Document, Feed, Row, State
from .log import log
from .plan import Plan, Request
from .store import Store

Emit = Callable[[dict[str, Any]], Awaitable[None]]


# A batch is no larger than this, whatever `batch_size` says: its texts are in
# memory all at once, several times.
_BATCH_BYTES = 16 << 20
# What LightRAG puts before a reason: the passage's number and id, which mean
# nothing to a user.
_CHUNK = re.compile(r"^C\[\d+/\d+\]: doc-[0-9a-f]+-chunk-\d+: ")


@dataclass(frozen=True)
class _Open:
    """A document of the batch that is not done."""

    file: scan.Found
    document: Document
    changed: bool


class Ingest:
    """One run. `stop` may be called at any time from the loop."""

    def __init__(
        self, store: Store, request: Request, emit: Emit, progress: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._request = request
        self._emit = emit
        self._progress = progress
        self._feed = Feed(store, self._stage, self._taken_in)
        self._stopping = False
        self._aborted = False
        #: Whether what is gone is removed.
        self._prunes = False
        #: Whether a stop came before something was done: one that comes at the
        #: very end interrupts nothing.
        self._left = False
        self._task: asyncio.Task[int] | None = None
        self._done = 0
        self._total = 0
        self._failed: list[dict[str, str]] = []
        self._counts = {"new": 0, "changed": 0, "deleted": 0, "skipped": 0}
        #: The batch's documents that are not done, by id.
        self._open: dict[str, _Open] = {}
        #: Those that are, by id, with their paths.
        self._in: dict[str, str] = {}
        self._tokens = 0

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
        """Finish the documents that are being worked on, begin nothing more."""
        self._stopping = True
        self._feed.stop()

    async def abort(self) -> None:
        """Stop within a second: documents under way end as failed and are
        taken up by the next ingest."""
        self._stopping = self._aborted = True
        await self._feed.abort()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=1.0)

    def _stops(self) -> bool:
        """Before something that is to be done: whether it is left undone."""
        self._left = self._left or self._stopping
        return self._stopping

    async def run(self) -> int:
        """Do it; the exit code."""
        started = time.monotonic()
        request = self._request
        request.check(self._store.settings.sources)
        plan = await planning.make(self._store, request)
        self._prunes = request.prune and (request.prune_all or not plan.emptied)
        work = plan.work()
        self._total = len(work) + (len(plan.missing) if self._prunes else 0)
        await self._emit(plan.event())
        for entry in plan.skipped:
            await self._skip(entry.path, entry.reason)
        if request.dry_run:
            await self._foretell(work)
        else:
            await self._work(plan, work)
        summary = await self._summary(plan, time.monotonic() - started)
        await self._emit(summary)
        if self._left:
            return INTERRUPTED
        return FAILED if self._failed or summary["unpruned"] else 0

    async def _foretell(self, work: list[tuple[scan.Found, bool]]) -> None:
        """Say what would be taken in, and about how many tokens of text that is."""
        count = self._store.provider.count_tokens
        for file, changed in work:
            if self._stops():
                return
            try:
                text, _ = await asyncio.to_thread(
                    scan.read_text, file.path, self._store.settings.max_file_bytes
                )
            except scan.Unreadable as error:
                self._done += 1
                await self._skip(file.path, str(error))
                continue
            tokens = sum(await asyncio.to_thread(count, [text]))
            self._tokens += tokens
            self._counts["changed" if changed else "new"] += 1
            await self._file(
                file.path, "changed" if changed else "new", **{"bytes": file.size, "tokens": tokens}
            )

    # -- doing ---------------------------------------------------------------

    async def _work(self, plan: Plan, work: list[tuple[scan.Found, bool]]) -> None:
        await self._clear(plan, {file.path for file, _ in work})
        for file in plan.touched:
            await self._store.records.touch_file(file)
        if self._prunes:
            for path in plan.missing:
                if self._stops():
                    return
                await self._prune(path)
        for batch in batches(work, self._store.settings.batch_size):
            if self._stops():
                return
            await self._batch(batch)
            await self._progress()

    async def _clear(self, plan: Plan, work: set[str]) -> None:
        """Remove what earlier runs left behind. What failed elsewhere than
        where this run looks stays, and counts as failed."""
        for left in await self._feed.leftovers():
            if left.status == "processed":
                # An old version; of a file that is to be taken in it is asked until then.
                wanted = left.path in work
            elif left.status == "failed":
                # With --prune, what no pattern takes any more is as good as gone.
                pruned = self._prunes and scan.below(left.path, self._request.paths)
                wanted = not pruned and left.path not in plan.seen and not scan.gone(left.path)
            else:
                # Nothing of it is done, and LightRAG would take it up again
                # with the text that it had then.
                wanted = False
            if not wanted and not await self._remove(left) and left.path not in work:
                await self._fail(left.path, "what is left of it in the index cannot be removed")

    async def _remove(self, row: Row) -> bool:
        """Whether it could be. One that cannot keeps nothing else from being done."""
        try:
            await self._feed.delete(row.id, forget_answers=row.status == "processed")
        except EngineError as error:
            log.warning("%s: %s", row.path, error.message)
            return False
        return True

    async def _prune(self, path: str) -> None:
        for row in await self._feed.versions([path]):
            if not await self._remove(row):
                await self._fail(path, "it cannot be removed from the index")
                return
        await self._store.records.forget_file(path)
        self._counts["deleted"] += 1
        await self._file(path, "deleted")

    async def _batch(self, files: list[tuple[scan.Found, bool]]) -> None:
        self._open, self._in = {}, {}
        for file, changed in files:
            try:
                text, digest = await asyncio.to_thread(
                    scan.read_text, file.path, self._store.settings.max_file_bytes
                )
            except scan.Unreadable as error:
                self._done += 1
                await self._skip(file.path, str(error))
                continue
            document = Document(file.path, digest, text)
            self._open[document.id] = _Open(file, document, changed)
        await self._already_there()
        if self._open:
            problem = await self._feed.insert([entry.document for entry in self._open.values()])
            await self._ended(problem)
        if not self._aborted:
            await self._replace()

    async def _already_there(self) -> None:
        """An engine that was killed may have ended a document and not got to
        noting it. What is there and not done has to make room."""
        for doc_id, state in (await self._feed.states(list(self._open))).items():
            path = self._open[doc_id].file.path
            if state.status == "processed":
                await self._taken_in(doc_id)
            elif not await self._remove(Row(doc_id, path, state.status or "")):
                del self._open[doc_id]
                await self._fail(path, "what is left of it in the index cannot be removed")

    async def _ended(self, problem: str) -> None:
        """What has become of the documents that LightRAG was given."""
        states = await self._feed.states(list(self._open))
        for doc_id, entry in list(self._open.items()):
            state = states.get(doc_id, State())
            path = entry.file.path
            if state.status == "processed":
                await self._taken_in(doc_id)
            elif self._stopping and state.not_begun:
                # As if it had not been looked at yet.
                self._left = True
                await self._remove(Row(doc_id, path, ""))
            elif self._aborted:
                self._left = True
            else:
                # It is not noted, so the next ingest finds it to be new or changed.
                reason = state.reason or problem or "the database has no such document"
                await self._fail(path, one_line(_CHUNK.sub("", reason)))

    async def _replace(self) -> None:
        """Remove the old versions of what is in. LightRAG removes nothing while
        it takes something in, so they go when the batch is through."""
        for row in await self._feed.versions(list(self._in.values())):
            if row.id not in self._in and not await self._remove(row):
                await self._fail(row.path, "the new version is in, the old one cannot be removed")

    async def _taken_in(self, doc_id: str) -> None:
        """A document of the batch is in the database."""
        entry = self._open.get(doc_id)
        if entry is None:
            return
        # Until it is noted, it is not done.
        await self._store.records.remember_file(entry.file, doc_id, entry.document.digest)
        del self._open[doc_id]
        self._in[doc_id] = entry.file.path
        self._counts["changed" if entry.changed else "new"] += 1
        await self._file(entry.file.path, "done")

    # -- telling -------------------------------------------------------------

    async def _stage(self, path: str, stage: str, passages: int, of: int) -> None:
        await self._emit(
            {
                "event": "stage",
                "path": path,
                "stage": stage,
                "passages": passages,
                "of": of,
                "done": self._done,
                "total": self._total,
            }
        )

    async def _file(self, path: str, status: str, reason: str | None = None, **more: int) -> None:
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
                **more,
            }
        )

    async def _skip(self, path: str, reason: str) -> None:
        self._counts["skipped"] += 1
        await self._file(path, "skipped", reason)

    async def _fail(self, path: str, reason: str) -> None:
        self._failed.append({"path": path, "reason": reason})
        await self._file(path, "failed", reason)

    async def _summary(self, plan: Plan, seconds: float) -> dict[str, Any]:
        summary = {
            "event": "summary",
            **self._counts,
            "unchanged": plan.unchanged,
            "missing": len(plan.missing) - self._counts["deleted"],
            "unpruned": list(self._request.paths) if self._request.prune and not self._prunes else [],
            "failed": self._failed,
            "documents": await self._store.document_counts(),
            "seconds": round(seconds, 2),
            "interrupted": self._left,
        }
        if self._request.dry_run:
            return summary | {"tokens": self._tokens}
        await self._store.records.set_state(
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


def batches(
    work: list[tuple[scan.Found, bool]], most: int, most_bytes: int = _BATCH_BYTES
) -> Iterator[list[tuple[scan.Found, bool]]]:
    """The files in groups of at most so many, and of at most so many bytes
    unless one alone has more."""
    batch: list[tuple[scan.Found, bool]] = []
    size = 0
    for file, changed in work:
        if batch and (len(batch) == most or size + file.size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append((file, changed))
        size += file.size
    if batch:
        yield batch
