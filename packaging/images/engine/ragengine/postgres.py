"""The instance's PostgreSQL, before LightRAG has a pool of connections to it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import asyncpg

from .config import Settings
from .errors import FAILED, EngineError, one_line
from .log import log


class _Refused(EngineError):
    """The server is there and will not let the engine in."""


class Server:
    """The database server and the instance's database on it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def wait_for(self, patience: float = 60.0) -> None:
        """Until it takes a connection. A server that is down may yet come; a
        password or a database that it refuses is given `patience` seconds."""
        refused_since: float | None = None
        said = ""
        while True:
            try:
                connection = await self.connect()
                await connection.close()
                return
            except EngineError as error:
                now = time.monotonic()
                if error.code != FAILED:
                    raise
                if isinstance(error, _Refused):
                    refused_since = refused_since or now
                    if now - refused_since > patience:
                        raise
                else:
                    refused_since = None
                if error.message != said:
                    log.warning("waiting for the database: %s", error.message)
                    said = error.message
            await asyncio.sleep(0.5)

    async def connect(self) -> asyncpg.Connection:
        """A connection outside LightRAG's pool."""
        s = self.settings
        try:
            return await asyncpg.connect(
                host=s.host,
                port=s.port,
                user=s.user,
                password=s.password(),
                database=s.database,
                timeout=5,
            )
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            raise _Refused(
                f"PostgreSQL at {s.host}:{s.port} refuses: {one_line(error)}",
                "check POSTGRES_USER, POSTGRES_DB and the password secret",
            ) from error
        except (TimeoutError, OSError, asyncpg.PostgresError) as error:
            raise EngineError(
                f"PostgreSQL at {s.host}:{s.port} does not answer: {one_line(error, 120)}",
                "is its container running?",
            ) from error

    async def check_extensions(self) -> None:
        """Fail when one that LightRAG needs is not there."""
        connection = await self.connect()
        try:
            rows = await connection.fetch("SELECT extname FROM pg_extension")
        finally:
            await connection.close()
        missing = {"vector", "age"} - {row["extname"] for row in rows}
        if missing:
            raise EngineError(
                f"database {self.settings.database} lacks the extension(s) {', '.join(sorted(missing))}",
                "the instance's PostgreSQL image makes them; use it, or run CREATE EXTENSION as a superuser",
            )

    async def state(self, key: str) -> Any:
        """A value of the engine's own (see records.py), or None."""
        connection = await self.connect()
        try:
            # To ask a table that is not there would be an error in the database's log.
            if not await connection.fetchval("SELECT to_regclass('ragpod_state')"):
                return None
            found = await connection.fetchval("SELECT value::text FROM ragpod_state WHERE key = $1", key)
        finally:
            await connection.close()
        return json.loads(found) if found else None
