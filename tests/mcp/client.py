"""The official client of the Model Context Protocol against `ragpod mcp`.

    tests/mcp/python tests/mcp/client.py SCENARIO NAME…

plays one scenario and prints what it saw as one JSON document; tests/e2e/mcp.rs judges it. The
server gets as little of its surroundings as clients give: no bus address, no runtime directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

HOST = [str(Path(__file__).parent.parent / "host/run"), "--"]
BARE = ["env", "-u", "XDG_RUNTIME_DIR", "-u", "DBUS_SESSION_BUS_ADDRESS"]


def in_host(*words: str) -> None:
    subprocess.run([*HOST, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def at_work(name: str) -> str:
    """The commands that run in an instance's engine, and programs that ended unreaped."""
    script = r"""ps -eo stat=,args= | grep -E "^Z.*podman|podman exec .*hybridrag-$1-app python hybridrag.py (ingest|query)" | grep -v grep || true"""
    done = subprocess.run([*HOST, "bash", "-c", script, "at_work", name], check=True, capture_output=True, text=True)
    return done.stdout


async def idle_after(name: str, seconds: float) -> float | None:
    """How long it takes until nothing of it is at work; `None` when it takes longer than this."""
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        if not await anyio.to_thread.run_sync(at_work, name):
            return time.monotonic() - since
        await anyio.sleep(0.3)
    return None


class Client:
    """A session, and what it got that is no message."""

    def __init__(self, session: ClientSession, stray: list[str], began: float) -> None:
        self.session = session
        self.stray = stray
        self.began = began
        self.start = 0.0

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, heard: list | None = None) -> dict:
        """A tool's result, or the protocol's error."""
        since = time.monotonic()

        async def progress(done: float, total: float | None, message: str | None) -> None:
            if heard is not None:
                heard.append([done, total, message])

        try:
            # The client checks structured content against the tool's schema, and raises.
            result = await self.session.call_tool(tool, arguments or {}, progress_callback=progress)
        except MCPError as error:
            return {"protocol_error": {"code": error.error.code, "message": error.error.message}}
        return {
            "failed": result.is_error,
            "text": "".join(part.text for part in result.content),
            "data": result.structured_content,
            "seconds": time.monotonic() - since,
        }


@asynccontextmanager
async def client(*arguments: str):
    stray: list[str] = []

    async def heard(message: Any) -> None:
        if isinstance(message, Exception):
            stray.append(repr(message))

    server = StdioServerParameters(
        command=HOST[0], args=[*HOST[1:], *BARE, "ragpod", "mcp", *arguments], env=dict(os.environ)
    )
    began = time.monotonic()
    async with (
        stdio_client(server, errlog=sys.stderr) as (read, write),
        ClientSession(read, write, message_handler=heard) as session,
    ):
        one = Client(session, stray, began)
        info = await session.initialize()
        one.start = time.monotonic() - began
        one.info = info
        yield one


async def tour(*names: str) -> dict:
    """Every tool, right and wrong."""
    async with client(*names) as one:
        tools = (await one.session.list_tools()).tools
        first = names[0]
        seen = {
            "start": one.start,
            "server": one.info.server_info.name,
            "instructions": one.info.instructions,
            "tools": {tool.name: tool.input_schema for tool in tools},
            "read_only": {tool.name: tool.annotations.read_only_hint for tool in tools},
            "list": await one.call("list_instances"),
            "query": [
                await one.call("query", {"instance": name, "question": "What is the launch code?"}) for name in names
            ],
            "search": await one.call("search", {"instance": first, "query": "launch code", "limit": 5}),
            "status": await one.call("status", {"instance": first}),
            "unnamed": await one.call("query", {"question": "What is the launch code?"}),
            "unknown": await one.call("query", {"instance": "e2e-mcp-other", "question": "What is it?"}),
            "short": await one.call("query", {"instance": first, "question": "?"}),
            "missing": await one.call("query", {"instance": first}),
            "mode": await one.call("query", {"instance": first, "question": "What is it?", "mode": "magic"}),
            "no_tool": await one.call("drop_database", {}),
        }
    return seen | {"stray": one.stray}


async def read_only(name: str) -> dict:
    async with client(name, "--read-only") as one:
        tools = [tool.name for tool in (await one.session.list_tools()).tools]
        return {
            "tools": tools,
            "ingest": await one.call("ingest"),
            "query": await one.call("query", {"question": "What is the launch code?"}),
        }


async def ingest(name: str) -> dict:
    async with client(name) as one:
        heard: list = []
        result = await one.call("ingest", {}, heard)
        again = await one.call("ingest", {"dry_run": True})
        outside = await one.call("ingest", {"path": "/etc"})
        return {"progress": heard, "result": result, "again": again, "outside": outside, "stray": one.stray}


async def cancel(name: str) -> dict:
    """Stops listening to an ingest in its middle; the session goes on."""
    async with client(name) as one:
        at: list[float] = []
        with anyio.CancelScope() as scope:

            async def progress(done: float, _total: float | None, _message: str | None) -> None:
                if done > 0 and not at:
                    at.append(done)
                    scope.cancel()

            await one.session.call_tool("ingest", {}, progress_callback=progress)
        cancelled = scope.cancelled_caught
        idle = await idle_after(name, 20)
        query = await one.call("query", {"question": "What is the launch code?"})
        return {"cancelled": cancelled, "at": at, "idle": idle, "query": query}


async def stopped(name: str) -> dict:
    """The instance stops while it works for us, and comes back."""
    async with client(name) as one:
        seen: dict = {}

        async def work() -> None:
            seen["middle"] = await one.call("ingest")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            await anyio.sleep(2)
            await anyio.to_thread.run_sync(in_host, "ragpod", "stop", name)
        seen["after"] = await one.call("query", {"question": "What is the launch code?"})
        seen["status"] = await one.call("status")
        await anyio.to_thread.run_sync(in_host, "ragpod", "start", name)
        seen["back"] = await one.call("query", {"question": "What is the launch code?"})
        return seen


async def two(name: str) -> dict:
    """Two clients, each with a server of its own, and several questions at once in each."""
    answers: list[list[dict]] = [[], []]
    clients: list[Client] = []

    async def ask(one: Client, into: list[dict]) -> None:
        into.append(await one.call("query", {"question": "What is the launch code?"}))

    async with client(name) as left, client(name) as right, anyio.create_task_group() as tasks:
        clients = [left, right]
        for one, into in zip(clients, answers, strict=True):
            for _ in range(4):
                tasks.start_soon(ask, one, into)
    return {"answers": answers, "stray": [one.stray for one in clients]}


async def speed(name: str) -> dict:
    """How long questions take, one after the other."""
    async with client(name) as one:
        question = {"question": "What is the launch code?"}
        return {
            "start": one.start,
            "query": [(await one.call("query", question))["seconds"] for _ in range(12)],
            "search": [(await one.call("search", {"query": "launch code"}))["seconds"] for _ in range(12)],
            "status": [(await one.call("status"))["seconds"] for _ in range(12)],
        }


SCENARIOS = {run.__name__: run for run in (tour, read_only, ingest, cancel, stopped, two, speed)}

if __name__ == "__main__":
    print(json.dumps(anyio.run(SCENARIOS[sys.argv[1]], *sys.argv[2:])))
