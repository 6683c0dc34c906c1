"""LightRAG over the instance's PostgreSQL, and the engine's own two tables."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from . import no_installs

no_installs.activate()
# LightRAG reads these while it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import asyncpg  # noqa: E402

from .chunking import make_chunker  # noqa: E402
from .config import Settings  # noqa: E402
from .errors import FAILED, NOT_READY, WRONG_USE, EngineError, one_line  # noqa: E402
from .log import log, quiet_lightrag  # noqa: E402
from .providers.base import Provider  # noqa: E402

_TABLES = """
CREATE TABLE IF NOT EXISTS ragpod_state (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS ragpod_files (
    path text PRIMARY KEY,
    doc_id text NOT NULL,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    sha256 text NOT NULL,
    ingested timestamptz NOT NULL DEFAULT now()
);
"""
# A passage of the offline model: it reads 256 tokens and no more.
OFFLINE_CHUNK = 250
# Postgres comes back from a kill within seconds; LightRAG's own pauses between
# attempts start at three.
_RETRIES = {
    "connection_retry_attempts": 12,
    "connection_retry_backoff": 0.3,
    "connection_retry_backoff_max": 2.0,
    "pool_close_timeout": 1.0,
}


class Tokens:
    """LightRAG's tokenizer: four letters are one token.

    It measures what goes into a prompt and cuts it, for which near enough is
    enough, and does so for every question; passages are sized by
    `Provider.count_tokens`. LightRAG only counts tokens and joins runs of them
    again, so they need not be numbers.
    """

    def __deepcopy__(self, _memo: dict) -> Tokens:
        return self

    def encode(self, content: str) -> list[str]:
        return [content[start : start + 4] for start in range(0, len(content), 4)]

    def decode(self, tokens: list[str]) -> str:
        return "".join(tokens)


class _Refused(EngineError):
    """The server is there and will not let the engine in."""


class Store:
    """The database of one instance."""

    def __init__(self, settings: Settings, provider: Provider) -> None:
        self.settings = settings
        self.provider = provider
        self.rag: Any = None
        #: The last refusal of the provider: LightRAG passes on its text alone.
        self.refused: EngineError | None = None

    # -- start and stop ----------------------------------------------------

    async def wait_for_postgres(self, patience: float = 60.0) -> None:
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

    async def open(self) -> None:
        """Check the extensions, make every table and graph, start LightRAG."""
        await self._check_extensions()
        rag = self._make_rag()
        # It makes tables by failing to read them first, and says so.
        quiet_lightrag(logging.CRITICAL)
        await rag.initialize_storages()
        quiet_lightrag()
        self.rag = rag
        await self.db.execute(_TABLES)

    async def open_again(self) -> None:
        """What `open` makes, made once more: all of it can be repeated, and a
        table that someone dropped comes back."""
        await self._check_extensions()
        await self.db.check_tables()
        await self.db.execute(_TABLES)

    async def close(self) -> None:
        """Give the connections back."""
        if self.rag is not None:
            await self.rag.finalize_storages()
            self.rag = None

    async def _check_extensions(self) -> None:
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

    def _make_rag(self) -> Any:
        s = self.settings
        # Names that LightRAG insists on finding; the password is handed over
        # below and never put into the environment.
        os.environ.update(POSTGRES_USER=s.user, POSTGRES_DATABASE=s.database)
        os.environ.setdefault("POSTGRES_PASSWORD", "")
        from lightrag import LightRAG
        from lightrag.utils import EmbeddingFunc, Tokenizer

        from . import adapt

        adapt.apply(self.connection_settings, offline=s.offline)
        quiet_lightrag()
        provider = self.provider

        async def embed(texts: list[str], context: str = "document", **_ignored: object):
            return await provider.embed(texts, query=context == "query")

        async def complete(prompt: str, system_prompt: str | None = None, **options: Any) -> str:
            wanted = options.get("response_format") or {}
            try:
                return await provider.complete(
                    prompt,
                    system_prompt,
                    options.get("history_messages") or (),
                    isinstance(wanted, dict) and wanted.get("type") == "json_object",
                )
            except EngineError as error:
                self.refused = error
                raise

        working = s.state_dir / "lightrag"
        working.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {}
        if s.offline:
            options = {
                "chunk_token_size": OFFLINE_CHUNK,
                "entity_extract_max_gleaning": 0,
                # Extraction costs next to nothing here: what this bounds is
                # how many entities of a document are merged together.
                "llm_model_max_async": 16,
                "max_parallel_insert": int(os.environ.get("MAX_PARALLEL_INSERT", "4")),
                "embedding_batch_num": 64,
            }
        rag = LightRAG(
            working_dir=str(working),
            workspace=s.workspace,
            kv_storage="PGKVStorage",
            vector_storage="PGVectorStorage",
            graph_storage="PGGraphStorage",
            doc_status_storage="PGDocStatusStorage",
            tokenizer=Tokenizer(s.embedding_model, Tokens()),
            chunking_func=make_chunker(provider.count_tokens),
            embedding_func=EmbeddingFunc(
                embedding_dim=provider.dimension,
                func=embed,
                model_name=s.embedding_model,
                supports_asymmetric=True,
            ),
            llm_model_func=complete,
            llm_model_name=s.llm_model,
            **options,
        )
        queued = rag.embedding_func

        async def embed_brief(texts: list[str], **options: Any):
            return await queued.func([provider.brief(text) for text in texts], **options)

        for storage in (rag.entities_vdb, rag.relationships_vdb):
            storage.embedding_func = replace(queued, func=embed_brief)
        return rag

    def connection_settings(self) -> dict[str, Any]:
        """What LightRAG's pool uses instead of its environment variables."""
        s = self.settings
        return {
            "host": s.host,
            "port": s.port,
            "user": s.user,
            "password": s.password(),
            "database": s.database,
            "max_connections": 8,
            **_RETRIES,
        }

    # -- the engine's own tables -------------------------------------------

    @property
    def db(self) -> Any:
        """LightRAG's pool with its reconnecting."""
        return self.rag.doc_status.db

    @property
    def workspace(self) -> str:
        return self.rag.doc_status.workspace

    async def fetch(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        """Rows of a query."""
        return await self.db.query(sql, list(args), multirows=True)

    async def execute(self, sql: str, *args: Any) -> None:
        """A statement with positional arguments."""
        await self.db.execute(sql, {str(n): arg for n, arg in enumerate(args)})

    async def alive(self) -> bool:
        """One round trip, without LightRAG's patience."""
        try:
            async with asyncio.timeout(2):
                await self.db._ensure_pool()
                return await self.db.pool.fetchval("SELECT 1") == 1
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, EngineError):
            return False

    async def until_alive(self, patience: float = 20.0) -> None:
        """Wait for a database that is being restarted."""
        deadline = time.monotonic() + patience
        while not await self.alive():
            if time.monotonic() > deadline:
                raise EngineError("the database does not answer", "is its container running?", NOT_READY)
            await asyncio.sleep(0.3)

    async def get_state(self, key: str) -> Any:
        """A value of the engine's own, or None."""
        rows = await self.fetch("SELECT value::text FROM ragpod_state WHERE key = $1", key)
        return json.loads(rows[0]["value"]) if rows else None

    async def set_state(self, key: str, value: Any) -> None:
        """Store a value of the engine's own."""
        await self.execute(
            "INSERT INTO ragpod_state VALUES ($1, $2::text::jsonb)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            key,
            json.dumps(value),
        )

    async def record_backend(self) -> dict[str, Any]:
        """Note which model the vectors are of. Another one than before is
        refused while there are documents: LightRAG would look into other,
        empty tables and find nothing."""
        s = self.settings
        wanted = {
            "provider": s.provider,
            "llm_model": s.llm_model,
            "embedding_model": s.embedding_model,
            "embedding_dim": s.embedding_dim,
        }
        known = await self.get_state("backend")
        if known:
            same = all(known.get(k) == wanted[k] for k in ("embedding_model", "embedding_dim"))
            if not same and await self.has_documents():
                raise EngineError(
                    f"this instance was indexed with {known.get('embedding_model')}"
                    f" ({known.get('embedding_dim')} dimensions), and is now configured for"
                    f" {s.embedding_model} ({s.embedding_dim} dimensions)",
                    "go back to the old model, or reindex: `hybridrag.py backend reset --yes`,"
                    " then `backend init` and `ingest`",
                    WRONG_USE,
                )
            wanted["initialised"] = known.get("initialised")
        if not wanted.get("initialised"):
            wanted["initialised"] = datetime.now(UTC).isoformat(timespec="seconds")
        if wanted != known:
            await self.set_state("backend", wanted)
        return wanted

    async def has_documents(self) -> bool:
        rows = await self.fetch(
            "SELECT 1 FROM lightrag_doc_status WHERE workspace = $1 LIMIT 1", self.workspace
        )
        return bool(rows)

    async def document_counts(self) -> dict[str, int]:
        """Documents by state, from LightRAG's own table."""
        rows = await self.fetch(
            "SELECT status, count(*) AS n FROM lightrag_doc_status WHERE workspace = $1 GROUP BY 1",
            self.workspace,
        )
        counts = {"processed": 0, "failed": 0, "pending": 0}
        for row in rows:
            name = row["status"] if row["status"] in ("processed", "failed") else "pending"
            counts[name] += row["n"]
        return counts

    async def index_counts(self) -> dict[str, int]:
        """Passages, entities and relations."""
        graph = self.rag.chunk_entity_relation_graph.graph_name
        rows = await self.fetch(
            "SELECT (SELECT count(*) FROM lightrag_doc_chunks WHERE workspace = $1) AS chunks,"
            f' (SELECT count(*) FROM "{graph}".base) AS entities,'
            f' (SELECT count(*) FROM "{graph}"."DIRECTED") AS relations',
            self.workspace,
        )
        return dict(rows[0])

    async def reset(self) -> None:
        """Drop everything that was indexed; the sources are not touched."""
        rag = self.rag
        for storage in (
            rag.chunks_vdb,
            rag.entities_vdb,
            rag.relationships_vdb,
            rag.chunk_entity_relation_graph,
            rag.text_chunks,
            rag.full_docs,
            rag.full_entities,
            rag.full_relations,
            rag.entity_chunks,
            rag.relation_chunks,
            rag.llm_response_cache,
            rag.doc_status,
        ):
            result = await storage.drop()
            if isinstance(result, dict) and result.get("status") == "error":
                raise EngineError(
                    f"dropping {storage.namespace} failed: {one_line(result.get('message', ''))}"
                )
        await self.execute("DELETE FROM ragpod_files")
        await self.execute("DELETE FROM ragpod_state")
