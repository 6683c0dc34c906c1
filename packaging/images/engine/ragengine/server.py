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
from .commands import Commands
from .errors import BAD_CONFIG, FAILED, WRONG_USE, EngineError, one_line
from .log import log

# From the signal to the exit; the service manager is told to wait longer.
_STOP_WITHIN = 1.6
_MAX_REQUEST = 1 << 20
# Bytes that wait for a client, above which it does without stages.
_MOST_WAITING = 1 << 18


class Outlet:
    """The way back to one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def __call__(self, message: dict[str, Any]) -> None:
        self._write(message)
        await self._writer.drain()

    def tell(self, message: dict[str, Any]) -> None:
        """For one that does not read, what would be renewed soon is left out;
        the rest waits for it, some hundred bytes for each file."""
        waiting = self._writer.transport.get_write_buffer_size()
        if not (message.get("event") == "stage" and waiting > _MOST_WAITING):
            self._write(message)

    def _write(self, message: dict[str, Any]) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


class Server:
    """One engine."""

    def __init__(self, settings: config.Settings) -> None:
        self.settings = settings
        self.commands = Commands(settings)
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
        await self.commands.open()
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
        await self.commands.stop_work()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=0.5)
        await self.commands.close()

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
        send = Outlet(writer)
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
            code = await self.commands.handle(request, reader, send)
            await send({"exit": code})
        except EngineError as error:
            await send(_failure(error))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("%s: %s", type(error).__name__, one_line(error))
            await send(_failure(EngineError(one_line(error), "the engine's log may say more")))


def _failure(error: EngineError) -> dict[str, Any]:
    return {"error": {"message": error.message, "hint": error.hint}, "exit": error.code}


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
