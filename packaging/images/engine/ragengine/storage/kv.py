"""Key-value storage that reads together and writes together."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass
from typing import Any

from lightrag.kg import postgres_impl
from lightrag.namespace import NameSpace

from .coalesce import Coalescer

# What is read back while it still waits to be written. Other namespaces are
# written first and read from the database.
_READ_BACK = (
    NameSpace.KV_STORE_TEXT_CHUNKS,
    NameSpace.KV_STORE_ENTITY_CHUNKS,
    NameSpace.KV_STORE_RELATION_CHUNKS,
)
# Written at once all the same when so much waits.
_MOST_WAITING = 2000


@dataclass
class PGKVStorage(postgres_impl.PGKVStorage):
    """See the package."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._waiting: dict[str, dict[str, Any]] = {}
        self._writing = asyncio.Lock()
        self._reads: Coalescer[str] = Coalescer(self._read_together)
        self._read_back = self.namespace in _READ_BACK

    async def _read_together(self, ids: list[str]) -> dict[str, Any]:
        rows = await super().get_by_ids(ids)
        return dict(zip(ids, rows, strict=True))

    async def get_by_id(self, id: str) -> dict[str, Any] | None:
        waiting = self._waiting.get(id)
        if waiting is not None:
            if self._read_back:
                return {**copy.deepcopy(waiting), "id": id}
            await self.flush()
        return await self._reads.get(id)

    async def get_by_ids(self, ids: list[str]) -> list[dict[str, Any]]:
        await self._flush_before(ids)
        return await super().get_by_ids(ids)

    async def filter_keys(self, keys: set[str]) -> set[str]:
        await self._flush_before(keys)
        return await super().filter_keys(keys)

    async def upsert(self, data: dict[str, dict[str, Any]]) -> None:
        self._waiting.update(data)
        if len(self._waiting) > _MOST_WAITING:
            await self.flush()

    async def _flush_before(self, keys: Any) -> None:
        if self._waiting and not self._waiting.keys().isdisjoint(keys):
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        async with self._writing:
            batch = dict(self._waiting)
            if not batch:
                return
            await super().upsert(batch)
            for key, value in batch.items():
                # What was changed meanwhile still waits.
                if self._waiting.get(key) is value:
                    del self._waiting[key]

    async def index_done_callback(self) -> None:
        await self.flush()

    async def is_empty(self) -> bool:
        await self.flush()
        return await super().is_empty()

    async def delete(self, ids: list[str]) -> None:
        async with self._writing:
            for key in ids:
                self._waiting.pop(key, None)
            await super().delete(ids)

    async def drop(self) -> dict[str, str]:
        async with self._writing:
            self._waiting.clear()
            return await super().drop()
