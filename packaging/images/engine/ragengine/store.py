"""LightRAG over one index in the instance's PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import no_installs

no_installs.activate()
# LightRAG reads these while it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import asyncpg  # noqa: E402
import numpy as np  # noqa: E402

from .chunking import make_chunker  # noqa: E402
from .config import Settings  # noqa: E402
from .errors import NOT_READY, EngineError, one_line  # noqa: E402
from .log import quiet_lightrag  # noqa: E402
from .postgres import Server  # noqa: E402
from .providers.base import Provider  # noqa: E402
from .records import Records  # noqa: E402

# A passage of the offline model: it reads 256 tokens and no more.
OFFLINE_CHUNK = 250
# How many questions' vectors are kept: the keywords of some that are asked at once.
_QUESTIONS = 64
#: Part of the reason of a document that a stop came before.
NOT_BEGUN = "stopped before it was begun"
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


class Store:
    """One index: LightRAG's tables, restricted to a workspace, and a graph."""

    def __init__(self, settings: Settings, provider: Provider) -> None:
        self.settings = settings
        self.provider = provider
        self.server = Server(settings)
        self.records = Records(self)
        self.rag: Any = None
        #: Whether documents that are not begun may be.
        self.admits = True
        #: The vectors of the last questions, the latest last.
        self._questions: dict[str, np.ndarray] = {}
        #: The last refusal of the provider: LightRAG passes on its text alone.
        self.refused: EngineError | None = None

    # -- start and stop ----------------------------------------------------

    async def open(self) -> None:
        """Check the extensions, make every table and graph, start LightRAG."""
        await self.server.check_extensions()
        rag = self._make_rag()
        # It makes tables by failing to read them first, and says so.
        quiet_lightrag(logging.CRITICAL)
        await rag.initialize_storages()
        quiet_lightrag()
        self.rag = rag
        await self.records.make_tables()

    async def open_again(self) -> None:
        """What `open` makes, made once more: all of it can be repeated, and a
        table that someone dropped comes back."""
        await self.server.check_extensions()
        await self.db.check_tables()
        await self.records.make_tables()

    async def close(self) -> None:
        """Give the connections back."""
        if self.rag is not None:
            await self.rag.finalize_storages()
            self.rag = None

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
            if context == "query":
                return await self.embed_questions(texts)
            return await provider.embed(texts)

        async def complete(prompt: str, system_prompt: str | None = None, **options: Any) -> Any:
            wanted = options.get("response_format") or {}
            if options.get("stream"):
                return provider.tell(prompt, system_prompt, options.get("history_messages") or ())
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

        cut = make_chunker(provider.count_tokens)

        def chunk(*args: Any) -> list[dict[str, Any]]:
            # The first that LightRAG does with a document.
            if not self.admits:
                raise EngineError(NOT_BEGUN)
            return cut(*args)

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
            chunking_func=chunk,
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

    async def embed_questions(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of what is asked. LightRAG and whoever scores what it found
        need the same ones, and a remote provider is asked for them once."""
        known = self._questions
        # Others may push them out while the provider is waited for.
        have = {text: known[text] for text in texts if text in known}
        missing = [text for text in dict.fromkeys(texts) if text not in have]
        if missing:
            made = await self.provider.embed(missing, query=True)
            have.update(zip(missing, made, strict=True))
        vectors = np.stack([have[text] for text in texts])
        for text, vector in have.items():
            known.pop(text, None)
            known[text] = vector
        while len(known) > _QUESTIONS:
            del known[next(iter(known))]
        return vectors

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
        await self.records.forget()
