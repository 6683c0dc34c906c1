"""Where LightRAG 1.5.7 must behave otherwise than it does.

Every change is here, and `apply` fails loudly when a name it replaces is gone,
so that a new release cannot silently take the old behaviour back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import one_line
from .log import log


def _replace(module: Any, name: str, value: Any) -> Any:
    """Set an attribute that must already exist; returns the old one."""
    old = getattr(module, name)
    setattr(module, name, value)
    return old


def apply(connection_settings: Callable[[], dict[str, Any]], *, offline: bool) -> None:
    """Make the changes; doing it again does no harm."""
    import lightrag.operate
    import lightrag.pipeline
    import lightrag.utils_pipeline
    from lightrag.kg import STORAGES, postgres_impl

    # A document's name is its whole path: LightRAG keeps the last part alone,
    # and drops the second file of that name.
    _replace(lightrag.utils_pipeline, "canonicalize_parser_hinted_basename", str)
    # A new version of a file is taken in beside the old one, which goes when
    # the new one is in. Their ids tell them apart.
    _replace(lightrag.pipeline, "resolve_existing_doc_source", _no_other_version)
    # Two files with the same text are two documents, each with its own path to
    # cite: no hash, no refusal.
    _replace(lightrag.pipeline, "compute_text_content_hash", lambda _text: "")

    # LightRAG finds a storage's class by its name in a module.
    for name, module in (("PGKVStorage", "kv"), ("PGGraphStorage", "graph")):
        STORAGES[name] = f"{__package__}.storage.{module}"

    _replace(postgres_impl.PostgreSQLDB, "_ensure_pool", _ensure_pool)
    _replace(postgres_impl.PostgreSQLDB, "_before_sleep", _before_sleep)

    manager = postgres_impl.ClientManager
    if not hasattr(manager, "_unadapted_get_config"):
        manager._unadapted_get_config = manager.get_config
    original = manager._unadapted_get_config

    def get_config(vector_storage: str | None = None) -> dict[str, Any]:
        # The password comes from its file, never from the environment, which
        # every process in the container could read.
        return {**original(vector_storage), **connection_settings()}

    manager.get_config = staticmethod(get_config)

    if offline:
        _replace(lightrag.operate, "_handle_entity_relation_summary", _first_descriptions)


async def _no_other_version(_doc_status: Any, _file_path: Any) -> Any:
    from lightrag.base import SourceAbsent

    return SourceAbsent()


async def _ensure_pool(self: Any) -> None:
    """Open the pool once, however many ask. LightRAG's own waits for ever when
    the first attempt fails: it resets the pool between attempts under the lock
    that it already holds."""
    if self.pool is None:
        async with self._pool_reconnect_lock:
            if self.pool is None:
                self._opening = True
                try:
                    await self.initdb()
                finally:
                    self._opening = False


async def _before_sleep(self: Any, retry_state: Any) -> None:
    """Between two attempts: drop the pool, unless it is being opened."""
    error = retry_state.outcome.exception() if retry_state.outcome else None
    if retry_state.attempt_number == 1:
        log.warning("the database went away, trying again: %s", one_line(error or "", 120))
    if not getattr(self, "_opening", False):
        await self._reset_pool()


async def _first_descriptions(
    kind: str,
    _name: str,
    descriptions: list[str],
    separator: str,
    *_args: Any,
    **_options: Any,
) -> tuple[str, bool]:
    """Instead of a summary by a language model. A description that soon stays
    the same needs no new vector with every further mention."""
    most = 2 if kind == "Entity" else 1
    return separator.join(dict.fromkeys(descriptions[:most])), False
