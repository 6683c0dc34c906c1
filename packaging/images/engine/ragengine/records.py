"""The engine's own two tables: what the index was made with, and of which files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import WRONG_USE, EngineError
from .scan import Found

if TYPE_CHECKING:
    from .store import Store

_TABLES = """
CREATE TABLE IF NOT EXISTS ragpod_state (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);
CREATE TABLE IF NOT EXISTS ragpod_files (
    workspace text NOT NULL DEFAULT 'default',
    path text NOT NULL,
    doc_id text NOT NULL,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    sha256 text NOT NULL,
    ingested timestamptz NOT NULL DEFAULT now()
);
-- Of an instance that was made before there was `reindex`.
ALTER TABLE ragpod_files ADD COLUMN IF NOT EXISTS workspace text NOT NULL DEFAULT 'default';
ALTER TABLE ragpod_files DROP CONSTRAINT IF EXISTS ragpod_files_pkey;
CREATE UNIQUE INDEX IF NOT EXISTS ragpod_files_by_path ON ragpod_files (workspace, path);
"""
# A document's status as LightRAG has it, but for one whose removal was cut off:
# LightRAG calls that `processed` until the last of it is gone.
STATUS = (
    "CASE WHEN jsonb_exists({0}.metadata, 'kg_purge') THEN 'half-removed' ELSE {0}.status END AS status"
)
_SET = (
    "INSERT INTO ragpod_state VALUES ($1, $2::text::jsonb)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


class Records:
    """What the engine notes of one index."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def make_tables(self) -> None:
        """Can be repeated."""
        await self._store.db.execute(_TABLES)

    async def get_state(self, key: str) -> Any:
        """A value of the engine's own, or None."""
        rows = await self._store.fetch("SELECT value::text FROM ragpod_state WHERE key = $1", key)
        return json.loads(rows[0]["value"]) if rows else None

    async def set_state(self, key: str, value: Any) -> None:
        """Store a value of the engine's own."""
        await self._store.execute(_SET, key, json.dumps(value))

    async def switch(self, values: dict[str, Any], drop: str) -> None:
        """Store several values and remove one, all or nothing."""
        async with self._store.db.pool.acquire() as connection, connection.transaction():
            for key, value in values.items():
                await connection.execute(_SET, key, json.dumps(value))
            await connection.execute("DELETE FROM ragpod_state WHERE key = $1", drop)

    def backend(self) -> dict[str, Any]:
        """What an index that is made now is made with."""
        s = self._store.settings
        return {
            "provider": s.provider,
            "llm_model": s.llm_model,
            "embedding_model": s.embedding_model,
            "embedding_dim": s.embedding_dim,
        }

    async def record_backend(self) -> dict[str, Any]:
        """Note which model the vectors are of. Another one than before is
        refused while there are documents: LightRAG would look into other,
        empty tables and find nothing."""
        s = self._store.settings
        wanted = self.backend()
        known = await self.get_state("backend")
        if known:
            same = all(known.get(k) == wanted[k] for k in ("embedding_model", "embedding_dim"))
            if not same and await self._store.has_documents():
                raise EngineError(
                    f"this instance was indexed with {known.get('embedding_model')}"
                    f" ({known.get('embedding_dim')} dimensions), and is now configured for"
                    f" {s.embedding_model} ({s.embedding_dim} dimensions)",
                    f"go back to the old model, or index anew: ragpod reindex {s.instance}",
                    WRONG_USE,
                )
            wanted["initialised"] = known.get("initialised")
        if not wanted.get("initialised"):
            wanted["initialised"] = datetime.now(UTC).isoformat(timespec="seconds")
        if wanted != known:
            await self.set_state("backend", wanted)
        return wanted

    async def forget(self) -> None:
        """Of an index that was emptied: everything but which index is used."""
        await self._store.execute("DELETE FROM ragpod_files WHERE workspace = $1", self._store.workspace)
        await self._store.execute("DELETE FROM ragpod_state WHERE key NOT IN ('index', 'building')")

    # -- files -------------------------------------------------------------

    async def known_files(self) -> dict[str, dict[str, Any]]:
        """What was noted of each file, by path, with its document's status."""
        rows = await self._store.fetch(
            f"SELECT f.path, f.size, f.mtime_ns, f.sha256, {STATUS.format('s')} FROM ragpod_files f"
            " LEFT JOIN lightrag_doc_status s ON s.id = f.doc_id AND s.workspace = f.workspace"
            " WHERE f.workspace = $1",
            self._store.workspace,
        )
        return {row["path"]: row for row in rows}

    async def remember_file(self, file: Found, doc_id: str, digest: str) -> None:
        """Note that a file, as it was read, was given to LightRAG."""
        await self._store.execute(
            "INSERT INTO ragpod_files (workspace, path, doc_id, size, mtime_ns, sha256)"
            " VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (workspace, path) DO UPDATE SET doc_id = excluded.doc_id, size = excluded.size,"
            " mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, ingested = now()",
            self._store.workspace,
            file.path,
            doc_id,
            file.size,
            file.mtime_ns,
            digest,
        )

    async def touch_file(self, file: Found) -> None:
        """Note another time of change of a file whose text is as it was."""
        await self._store.execute(
            "UPDATE ragpod_files SET size = $3, mtime_ns = $4 WHERE workspace = $1 AND path = $2",
            self._store.workspace,
            file.path,
            file.size,
            file.mtime_ns,
        )

    async def forget_file(self, path: str) -> None:
        """Its document is gone."""
        await self._store.execute(
            "DELETE FROM ragpod_files WHERE workspace = $1 AND path = $2", self._store.workspace, path
        )
