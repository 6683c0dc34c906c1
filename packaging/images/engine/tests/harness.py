"""A real engine as a process of its own, over the database that is given."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).parent.parent


def sql(statement: str) -> list:
    """Rows of a statement, past the engine."""
    import asyncpg

    async def run() -> list:
        connection = await asyncpg.connect(
            host=os.environ["POSTGRES_HOST"],
            port=int(os.environ["POSTGRES_PORT"]),
            user=os.environ["POSTGRES_USER"],
            database=os.environ["POSTGRES_DB"],
            password=Path(os.environ["POSTGRES_PASSWORD_FILE"]).read_text().strip(),
        )
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


class EngineCase(unittest.TestCase):
    """Starts one engine per class on an empty index."""

    env: ClassVar[dict[str, str]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        if not os.environ.get("ENGINE_TEST_DATABASE"):
            raise unittest.SkipTest("ENGINE_TEST_DATABASE is not set: no database was asked for")
        folder = tempfile.TemporaryDirectory(prefix="engine-")
        cls.addClassCleanup(folder.cleanup)
        cls.root = Path(folder.name)
        cls.sources = cls.root / "projects"
        cls.sources.mkdir()
        cls.state = cls.root / "state"
        cls.state.mkdir()
        cls.log = cls.root / "log"
        cls.process: subprocess.Popen | None = None
        cls.addClassCleanup(cls.stop)
        cls.start()
        cls.command("reindex", "abandon")
        cls.command("backend", "reset", "--yes")

    @classmethod
    def environment(cls) -> dict[str, str]:
        base = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return base | {
            "HYBRIDRAG_SOCKET": str(cls.root / "run" / "engine.sock"),
            "HYBRIDRAG_STATE": str(cls.state),
            "HYBRIDRAG_SOURCES": str(cls.sources),
            "RAGPOD_INSTANCE": "testing",
            "PYTHONDONTWRITEBYTECODE": "1",
            **cls.env,
        }

    @classmethod
    def start(cls) -> None:
        """Start the engine and wait until it is healthy."""
        with cls.log.open("ab") as log:
            cls.process = subprocess.Popen(
                [sys.executable, str(ROOT / "hybridrag.py"), "serve"],
                env=cls.environment(),
                stderr=log,
            )
        deadline = time.monotonic() + 90
        while cls.command("health", check=None).returncode != 0:
            if cls.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the engine did not start:\n{cls.log.read_text()}")
            time.sleep(0.1)

    @classmethod
    def stop(cls, number: int = signal.SIGTERM) -> tuple[int, float]:
        """End it; the exit code and how long it took."""
        process = cls.process
        if process is None:
            return 0, 0.0
        started = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        cls.process = None
        return code, time.monotonic() - started

    @classmethod
    def command(cls, *words: str, check: int | None = 0) -> subprocess.CompletedProcess:
        """Run the client; anything but the exit code `check` is a failure."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "hybridrag.py"), *words],
            env=cls.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check is not None and done.returncode != check:
            raise AssertionError(
                f"{words} gave {done.returncode}:\n{done.stdout}{done.stderr}\n{cls.log.read_text()}"
            )
        if "Traceback" in done.stderr:
            raise AssertionError(done.stderr)
        return done

    # -- shorthands ----------------------------------------------------------

    @classmethod
    def ingest(cls, *words: str, check: int | None = 0) -> dict[str, Any]:
        """The summary of an ingest, with its files' events in `events`."""
        done = cls.command("ingest", "--json", "--path", str(cls.sources), *words, check=check)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events[0]["event"] == "plan" and events[-1]["event"] == "summary", events
        return events[-1] | {
            "events": [e for e in events if e["event"] == "file"],
            "plan": events[0],
        }

    @classmethod
    def connect(cls) -> socket.socket:
        """To the engine, past its client."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(cls.root / "run" / "engine.sock"))
        return connection

    @classmethod
    def at_once(cls, requests: list[dict]) -> list[dict]:
        """What is said first to requests that come at the same time."""
        connections = [cls.connect() for _ in requests]
        for connection, request in zip(connections, requests, strict=True):
            connection.sendall(json.dumps(request).encode() + b"\n")
        said = []
        for connection in connections:
            with connection, connection.makefile() as lines:
                said.append(json.loads(lines.readline()))
        return said

    @classmethod
    def query(cls, text: str, *words: str) -> dict[str, Any]:
        return json.loads(cls.command("query", "--json", "--text", text, *words).stdout)

    @classmethod
    def status(cls) -> dict[str, Any]:
        return json.loads(cls.command("status", "--json").stdout)

    @classmethod
    def write(cls, name: str, content: str | bytes) -> str:
        path = cls.sources / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    @classmethod
    def popen(cls, *words: str, stdin: bool = False) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "hybridrag.py"), *words],
            env=cls.environment(),
            stdin=subprocess.PIPE if stdin else None,
            stdout=subprocess.PIPE,
            text=True,
        )
