"""What clients ask of the engine, beyond the connection that they ask it on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from . import config
from .errors import INTERRUPTED, NOT_READY, WRONG_USE, EngineError, one_line
from .log import log

# How long an index that is changed over waits for the questions it is asked.
_LAST_QUESTIONS = 20.0


class Send(Protocol):
    """The way back to a client."""

    async def __call__(self, message: dict[str, Any]) -> None:
        """Say something, and wait until it is on its way."""

    def tell(self, message: dict[str, Any]) -> None:
        """Say something without waiting for whether anybody listens."""


class Commands:
    """The engine's work: one index that is asked, and at most one ingest."""

    def __init__(self, settings: config.Settings) -> None:
        self.settings = settings
        self.store: Any = None
        self.problem: EngineError | None = None
        self.ready = False
        self._ingest: Any = None
        #: What changes the index now, in words; nothing else may meanwhile.
        self._writing = ""
        #: Questions that are being answered, with the index they are asked of.
        self._asking: dict[asyncio.Task, Any] = {}
        #: Questions since the engine was started.
        self._queries = 0
        #: The index that a reindex builds.
        self._beside: Any = None
        self._reader: asyncio.StreamReader
        self._by_name = {
            "status": self._status,
            "backend-init": self._init,
            "backend-reset": self._reset,
            "ingest": self._run_ingest,
            "query": self._query,
            "reindex-begin": self._reindex_begin,
            "reindex-finish": self._reindex_finish,
            "reindex-abandon": self._reindex_abandon,
        }

    # -- life --------------------------------------------------------------

    async def open(self) -> None:
        """Wait for the database and open the index in use."""
        from . import indexes, providers, store
        from .status import write_queries

        provider = providers.make(self.settings)
        await store.Server(self.settings).wait_for()
        opened = store.Store(await indexes.current(self.settings), provider)
        await opened.open()
        await indexes.tidy(opened)
        write_queries(self.settings.state_dir, 0)
        try:
            await opened.records.record_backend()
        except EngineError as error:
            # The engine stays, so that a user can ask what is wrong.
            self.problem = error
            log.error("%s; %s", error.message, error.hint)
        self.ready = self.problem is None
        # Before it is healthy: whoever waited for that finds it in status.json.
        await self._publish(opened)
        self.store = opened

    async def stop_work(self) -> None:
        """End an ingest within a second."""
        if self._ingest:
            await self._ingest.abort()

    async def close(self) -> None:
        """Give everything back."""
        if self.store:
            self.ready = False
            await self._publish()
            await self.store.provider.close()
            for opened in (self._beside, self.store):
                if opened is not None:
                    await opened.close()

    async def healthy(self) -> bool:
        """Whether the engine can work now."""
        return self.store is not None and await self.store.alive()

    async def _publish(self, opened: Any = None) -> None:
        from .status import publish

        problem = f"{self.problem.message}; {self.problem.hint}" if self.problem else ""
        await publish(opened or self.store, ready=self.ready, problem=problem)

    # -- requests ----------------------------------------------------------

    async def handle(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Send) -> int:
        """Do what is asked; the exit code."""
        command = request.get("command")
        if command == "health":
            return 0 if await self.healthy() else NOT_READY
        if command == "provider-test":
            # Neither the database nor the index matters.
            return await self._provider_test(send)
        work = self._by_name.get(command)
        if work is None:
            raise EngineError(f"no command {command!r}", "", WRONG_USE)
        if self.store is None:
            raise EngineError("the engine is still starting", "wait for it, or look into its log", NOT_READY)
        await self.store.until_alive()
        anew = str(command).startswith("reindex-") or request.get("reindex")
        if self.problem and command not in ("status", "backend-reset") and not anew:
            # The configuration may have been put right in the database.
            await self._retry_backend()
        return await work(request, reader, send)

    async def _retry_backend(self) -> None:
        await self.store.records.record_backend()
        self.problem = None
        self.ready = True
        await self._publish()

    async def _status(self, _request: dict[str, Any], _reader: Any, send: Send) -> int:
        from .status import collect

        result = await collect(
            self.store,
            ready=self.ready,
            problem=self.problem.message if self.problem else "",
            ingesting=self._ingest is not None,
        )
        await send({"result": result})
        return 0

    async def _init(self, _request: dict[str, Any], _reader: Any, send: Send) -> int:
        await self.store.open_again()
        recorded = await self.store.records.record_backend()
        await self._publish()
        await send({"result": {"instance": self.settings.instance, "backend": "postgres", **recorded}})
        return 0

    async def _reset(self, _request: dict[str, Any], _reader: Any, send: Send) -> int:
        with self._alone("the index is being emptied"):
            await self.store.reset()
            self.problem = None
            await self._retry_backend()
        await send({"result": {"instance": self.settings.instance, "reset": True}})
        log.info("reset: everything that was indexed is gone")
        return 0

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Keeps out what else changes the index. Nothing is awaited between
        looking and taking, so two that come at once cannot both be in."""
        self._take(what)
        try:
            yield
        finally:
            self._writing = ""

    def _take(self, what: str) -> None:
        if self._writing:
            raise EngineError(f"{self._writing} on this instance", "wait until it is done")
        self._writing = what

    async def _provider_test(self, send: Send) -> int:
        from .providers.check import check

        # The offline model is large, and loaded already.
        loaded = self.store.provider if self.settings.offline and self.store else None
        result = await check(self.settings, loaded)
        await send({"result": result})
        return 1 if any(entry["status"] == "fail" for entry in result["checks"]) else 0

    # -- filling -----------------------------------------------------------

    async def _run_ingest(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Send) -> int:
        from . import scan
        from .ingest import Ingest, Request

        if request.get("reindex") and self._beside is None:
            raise EngineError("no reindex has begun", "", WRONG_USE)
        wanted = Request(
            paths=request.get("paths") or ["/data/projects"],
            patterns=request.get("patterns") or scan.DEFAULT_PATTERNS,
            recursive=request.get("recursive", True),
            prune=request.get("prune", False),
            prune_all=request.get("prune_all", False),
            dry_run=request.get("dry_run", False),
        )

        async def emit(event: dict[str, Any]) -> None:
            # Who asked may be gone or not listen; what was begun is finished in order.
            send.tell(event)

        self._take("another ingest is running")
        store = self._beside if request.get("reindex") else self.store
        job = Ingest(store, wanted, emit, self._publish)
        self._ingest = job
        watcher = asyncio.create_task(_obey(reader, job))
        try:
            return await asyncio.shield(job.start())
        finally:
            watcher.cancel()
            if job.finished:
                self._ingest_ended()
                await self._publish()
            else:
                job.when_finished(self._ingest_ended)

    def _ingest_ended(self) -> None:
        self._ingest = None
        self._writing = ""

    async def _reindex_begin(self, _request: dict[str, Any], _reader: Any, send: Send) -> int:
        from . import indexes

        with self._alone("a reindex is beginning"):
            if self._beside is None:
                self._beside = await indexes.begin(self.store)
            counts = await self._beside.document_counts()
        await send({"result": {"documents": counts}})
        return 0

    async def _reindex_finish(self, request: dict[str, Any], _reader: Any, send: Send) -> int:
        from . import indexes

        with self._alone("a reindex is changing over"):
            if self._beside is None:
                raise EngineError("no reindex has begun", "", WRONG_USE)
            counts = await indexes.finish(self.store, self._beside, bool(request.get("drop_missing")))
            # Only now: whoever asks from here on asks the new one.
            old, self.store, self._beside = self.store, self._beside, None
            self.problem = None
            self.ready = True
            await self._asked_to_the_end(old)
            await old.close()
            # What cannot be removed now is removed when the engine starts again.
            try:
                await indexes.tidy(self.store)
            except Exception as error:
                log.warning("reindex: the old index is not removed yet: %s", one_line(error))
            await self._publish()
        await send({"result": {"documents": counts}})
        return 0

    async def _asked_to_the_end(self, old: Any) -> None:
        """Wait for the questions that were begun on an index; those that take
        very long lose it, and say so."""
        tasks = {task for task, store in self._asking.items() if store is old}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_QUESTIONS)
            for task in late:
                self._asking.pop(task, None)
                task.cancel()

    async def _reindex_abandon(self, _request: dict[str, Any], _reader: Any, send: Send) -> int:
        from . import indexes

        with self._alone("a reindex is being abandoned"):
            if self._beside is not None:
                await self._beside.close()
                self._beside = None
            abandoned = await indexes.abandon(self.store)
        await send({"result": {"abandoned": abandoned}})
        return 0

    # -- asking ------------------------------------------------------------

    async def _query(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Send) -> int:
        from .query import Question, answer
        from .status import write_queries

        self._queries += 1
        write_queries(self.settings.state_dir, self._queries)
        question = Question(
            # A terminal that is not UTF-8 sends halves of characters.
            text=str(request.get("text") or "").encode("utf-8", "replace").decode().replace("\0", " "),
            mode=str(request.get("mode") or "hybrid"),
            top_k=int(request.get("top_k") or 0),
            context_only=bool(request.get("context_only")),
        )

        async def said(part: str) -> None:
            await send({"text": part})

        work = asyncio.create_task(answer(self.store, question, said if request.get("stream") else None))
        self._asking[work] = self.store
        watcher = asyncio.create_task(_on_leave(reader, work.cancel))
        try:
            await send({"result": await work})
        except asyncio.CancelledError:
            if not work.cancelled():
                work.cancel()
                raise
            if work not in self._asking:
                raise EngineError("the index was changed over while it was asked", "ask again") from None
            return INTERRUPTED
        finally:
            self._asking.pop(work, None)
            watcher.cancel()
        return 0


async def _on_leave(reader: asyncio.StreamReader, act: Callable[[], Any]) -> None:
    """Call `act` when the client cancels or its connection ends."""
    with contextlib.suppress(ConnectionError, ValueError):
        await reader.readline()
    act()


async def _obey(reader: asyncio.StreamReader, job: Any) -> None:
    """Stop an ingest when its client says so or is gone; at once, if it says that."""
    with contextlib.suppress(ConnectionError, ValueError):
        while line := await reader.readline():
            job.stop()
            with contextlib.suppress(ValueError, AttributeError):
                if json.loads(line).get("now"):
                    await job.abort()
    job.stop()
