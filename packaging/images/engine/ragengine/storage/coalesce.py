"""Many single reads into one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
# How long a read waits for company. A document's entities arrive within this,
# and a question does not notice it.
_PAUSE = 0.003


class Coalescer(Generic[K]):
    """Collects keys for a moment and fetches them together."""

    def __init__(self, fetch: Callable[[list[K]], Awaitable[dict[K, Any]]]) -> None:
        self._fetch = fetch
        self._waiting: dict[K, asyncio.Future[Any]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: K) -> Any:
        """The value, or None when there is none."""
        future = self._waiting.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._waiting[key] = loop.create_future()
            if len(self._waiting) == 1:
                loop.call_later(_PAUSE, self._start)
        # One reader giving up must not take the value from the others.
        return await asyncio.shield(future)

    def _start(self) -> None:
        batch, self._waiting = self._waiting, {}
        task = asyncio.ensure_future(self._run(batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: dict[K, asyncio.Future[Any]]) -> None:
        try:
            values = await self._fetch(list(batch))
        except BaseException as error:
            for future in batch.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            return
        for key, future in batch.items():
            if not future.done():
                future.set_result(values.get(key))
