"""The container's main process: keeps everything loaded, answers on a socket.

One JSON line asks, JSON lines answer, the last one carries the exit code. A
client that goes away or sends `{"cancel": true}` stops what it asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any

from . import config
from . import log as logging_setup
from .errors import BAD_CONFIG, FAILED, INTERRUPTED, NOT_READY, WRONG_USE, EngineError, one_line
from .log import log

# From the signal to the exit; the service manager is told to wait longer.
_STOP_WITHIN = 1.6
_MAX_REQUEST = 1 << 20


class Server:
    """One engine."""

    def __init__(self, settings: config.Settings) -> None:
        self.settings = settings
        self.store: Any = None
        self.problem: EngineError | None = None
        self.ready = False
        self.ingest: Any = None
        self._clients: set[asyncio.Task] = set()
        self._stop = asyncio.Event()

    # -- life --------------------------------------------------------------

    async def run(self) -> int:
        """Until a signal; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGCHLD, _reap)
        listener = await self._listen()
        start = asyncio.create_task(self._start())
        stop = asyncio.create_task(self._stop.wait())
        code = 0
        await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
        error = start.exception() if start.done() else None
        if error:
            code = self._report(error)
        else:
            await stop
        start.cancel()
        listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_WITHIN):
                await self._shut_down()
        with contextlib.suppress(OSError):
            self.settings.socket.unlink()
        log.info("stopped")
        return code

    async def _listen(self) -> asyncio.Server:
        path = self.settings.socket
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            server = await asyncio.start_unix_server(self._client, str(path), limit=_MAX_REQUEST)
            path.chmod(0o600)
        except OSError as error:
            raise EngineError(
                f"cannot listen on {path}: {error.strerror}",
                f"{path.parent} must be writable for user {os.getuid()}",
                BAD_CONFIG,
            ) from error
        return server

    async def _start(self) -> None:
        from . import providers, store

        provider = providers.make(self.settings)
        opened = store.Store(self.settings, provider)
        await opened.wait_for_postgres()
        await opened.open()
        self.store = opened
        try:
            await opened.record_backend()
        except EngineError as error:
            # The engine stays, so that a user can ask what is wrong.
            self.problem = error
            log.error("%s; %s", error.message, error.hint)
        self.ready = self.problem is None
        await self._publish()
        s = self.settings
        log.info(
            "ready: instance %s, provider %s, %s (%d dimensions)",
            s.instance,
            s.provider,
            s.embedding_model,
            s.embedding_dim,
        )

    def _report(self, error: BaseException) -> int:
        if isinstance(error, EngineError):
            log.error("%s; %s", error.message, error.hint)
            return error.code
        log.error("cannot start: %s", one_line(error))
        return FAILED

    async def _shut_down(self) -> None:
        if self.ingest:
            self.ingest.stop()
            await self.ingest.abort()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=0.5)
        if self.store:
            await self._publish(ready=False)
            await self.store.provider.close()
            await self.store.close()

    async def _publish(self, ready: bool | None = None) -> None:
        from .status import publish

        await publish(self.store, ready=self.ready if ready is None else ready)

    # -- clients -----------------------------------------------------------

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(message: dict[str, Any]) -> None:
            writer.write(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            await writer.drain()

        try:
            line = await reader.readline()
        except ValueError:
            await send({"error": {"message": "the request is too long", "hint": ""}, "exit": WRONG_USE})
            return
        if not line:
            return
        code = FAILED
        try:
            request = json.loads(line)
            code = await self._handle(request, reader, send)
            await send({"exit": code})
        except EngineError as error:
            await send(_failure(error))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("%s: %s", type(error).__name__, one_line(error))
            await send(_failure(EngineError(one_line(error), "the engine's log may say more")))

    async def _handle(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Any) -> int:
        command = request.get("command")
        if command == "health":
            return await self._health()
        if self.store is None:
            raise EngineError("the engine is still starting", "wait for it, or look into its log", NOT_READY)
        await self.store.until_alive()
        if command == "status":
            await send({"result": await self._status()})
            return 0
        if command == "backend-reset":
            return await self._reset(send)
        if self.problem:
            # The configuration may have been put right in the database.
            await self._retry_backend()
        if command == "backend-init":
            await send({"result": await self._init()})
            return 0
        if command == "ingest":
            return await self._ingest(request, reader, send)
        if command == "query":
            return await self._query(request, reader, send)
        raise EngineError(f"no command {command!r}", "", WRONG_USE)

    async def _health(self) -> int:
        return 0 if self.store is not None and await self.store.alive() else NOT_READY

    async def _retry_backend(self) -> None:
        await self.store.record_backend()
        self.problem = None
        self.ready = True
        await self._publish()

    async def _init(self) -> dict[str, Any]:
        await self.store.open_again()
        recorded = await self.store.record_backend()
        await self._publish()
        return {"instance": self.settings.instance, "backend": "postgres", **recorded}

    async def _reset(self, send: Any) -> int:
        if self.ingest:
            raise EngineError("an ingest is running", "wait for it or stop it")
        await self.store.reset()
        self.problem = None
        await self._retry_backend()
        await send({"result": {"instance": self.settings.instance, "reset": True}})
        log.info("reset: everything that was indexed is gone")
        return 0

    async def _status(self) -> dict[str, Any]:
        from .status import collect

        return await collect(
            self.store,
            ready=self.ready,
            problem=self.problem.message if self.problem else "",
            ingesting=self.ingest is not None,
        )

    async def _ingest(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Any) -> int:
        from . import scan
        from .ingest import Ingest, Request

        if self.ingest:
            raise EngineError("another ingest is running on this instance", "wait until it is done")
        wanted = Request(
            paths=request.get("paths") or ["/data/projects"],
            patterns=request.get("patterns") or scan.DEFAULT_PATTERNS,
            recursive=request.get("recursive", True),
            prune=request.get("prune", False),
            dry_run=request.get("dry_run", False),
        )

        async def emit(event: dict[str, Any]) -> None:
            # Who asked may be gone; what was begun is finished in order.
            with contextlib.suppress(ConnectionError):
                await send(event)

        job = Ingest(self.store, wanted, emit, self._publish)
        self.ingest = job
        watcher = asyncio.create_task(_on_leave(reader, job.stop))
        try:
            return await asyncio.shield(job.start())
        finally:
            watcher.cancel()
            if job.finished:
                self.ingest = None
                await self._publish()
            else:
                job.when_finished(self._ingest_ended)

    def _ingest_ended(self) -> None:
        self.ingest = None

    async def _query(self, request: dict[str, Any], reader: asyncio.StreamReader, send: Any) -> int:
        from .query import Question, answer

        question = Question(
            # A terminal that is not UTF-8 sends halves of characters.
            text=str(request.get("text") or "").encode("utf-8", "replace").decode().replace("\0", " "),
            mode=str(request.get("mode") or "hybrid"),
            top_k=int(request.get("top_k") or 0),
            context_only=bool(request.get("context_only")),
        )
        work = asyncio.create_task(answer(self.store, question))
        watcher = asyncio.create_task(_on_leave(reader, work.cancel))
        try:
            await send({"result": await work})
        except asyncio.CancelledError:
            if not work.cancelled():
                raise
            return INTERRUPTED
        finally:
            watcher.cancel()
        return 0


def _failure(error: EngineError) -> dict[str, Any]:
    return {"error": {"message": error.message, "hint": error.hint}, "exit": error.code}


async def _on_leave(reader: asyncio.StreamReader, act: Any) -> None:
    """Call `act` when the client cancels or its connection ends."""
    with contextlib.suppress(ConnectionError, ValueError):
        await reader.readline()
    act()


def _reap() -> None:
    """As PID 1 the engine inherits what others leave behind."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve() -> int:
    """`hybridrag.py serve`."""
    # The model spreads its work over threads itself; those of the matrix
    # library would only fight with them. It reads this when it is loaded.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    logging_setup.set_up()
    try:
        settings = config.load()
        settings.password()
        if not settings.offline:
            settings.api_key()
    except EngineError as error:
        print(f"hybridrag: {error.message}; {error.hint}", file=sys.stderr)
        return error.code

    try:
        asyncio.run(_run(settings))
    except EngineError as error:
        print(f"hybridrag: {error.message}; {error.hint}", file=sys.stderr)
        return error.code
    return FAILED


async def _run(settings: config.Settings) -> None:
    code = await Server(settings).run()
    sys.stderr.flush()
    # Everything that matters is in the database. LightRAG's workers and the
    # model's threads would only be waited for.
    os._exit(code)
