"""The index that is asked, and the one that `reindex` builds beside it.

An index is a workspace of LightRAG's tables with a graph of its own. The old
one stays, and goes on answering where the model is the same, until the new one
is complete; then one row is changed, and the old one is removed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from .config import Settings
from .errors import WRONG_USE, EngineError
from .log import log
from .postgres import Server
from .store import Store

_GRAPH = "chunk_entity_relation"


async def current(settings: Settings) -> Settings:
    """The settings with the workspace of the index in use."""
    known = await Server(settings).state("index")
    return replace(settings, workspace=known["workspace"]) if known else settings


async def begin(store: Store) -> Store:
    """An index beside `store`: the one that an earlier run began for the same
    model, or an empty one."""
    known = await store.records.get_state("building")
    wanted = store.records.backend()
    if known and any(known.get(key) != value for key, value in wanted.items()):
        await _remove(store, known["workspace"])
        known = None
    if known is None:
        known = {"workspace": _next(store.workspace), **wanted}
        await store.records.set_state("building", known)
        log.info("reindex: a new index is begun, %s", known["workspace"])
    beside = Store(replace(store.settings, workspace=known["workspace"]), store.provider)
    await beside.open()
    return beside


async def finish(store: Store, beside: Store, drop_missing: bool = False) -> dict[str, Any]:
    """Use the new index from now on. The old one is there until `tidy`.

    What the old one has and the new one has not (files that are away, sources
    that are no longer named) is lost with it, so that must be wanted."""
    counts = await beside.document_counts()
    if not counts["processed"] or counts["failed"] or counts["pending"]:
        raise EngineError(
            f"the new index is not complete: {counts['processed']} documents processed,"
            f" {counts['failed']} failed, {counts['pending']} pending",
            "the old one stays; see what failed, then run reindex again",
            WRONG_USE,
        )
    lost = await _lost(store, beside)
    if lost and not drop_missing:
        some = ", ".join(lost[:10]) + (", …" if len(lost) > 10 else "")
        raise EngineError(
            f"{len(lost)} documents of the old index are not in the new one: {some}",
            "bring their files back and run it again, or leave them out:"
            f" ragpod reindex {store.settings.instance} --drop-missing",
        )
    backend = await store.records.get_state("backend")
    wanted = {**store.records.backend(), "initialised": (backend or {}).get("initialised")}
    old = store.workspace
    index = {"workspace": beside.workspace, "old": old}
    await store.records.switch({"index": index, "backend": wanted}, drop="building")
    log.info("reindex: %s is in use, %s is to be removed", beside.workspace, old)
    return counts


async def _lost(store: Store, beside: Store) -> list[str]:
    """The files of documents that the old index has and the new one has not."""
    rows = await store.fetch(
        "SELECT f.path FROM ragpod_files f WHERE f.workspace = $1 AND NOT EXISTS"
        " (SELECT 1 FROM ragpod_files n WHERE n.workspace = $2 AND n.path = f.path) ORDER BY f.path",
        store.workspace,
        beside.workspace,
    )
    return [row["path"] for row in rows]


async def tidy(store: Store) -> None:
    """Remove the index that was in use before, if nobody got to that yet."""
    known = await store.records.get_state("index")
    if known and known.get("old"):
        await _remove(store, known["old"])
        await store.records.set_state("index", {"workspace": store.workspace})


async def abandon(store: Store) -> bool:
    """Remove what a reindex has built so far; whether there was something."""
    known = await store.records.get_state("building")
    if not known:
        return False
    await _remove(store, known["workspace"])
    await store.execute("DELETE FROM ragpod_state WHERE key = 'building'")
    return True


def _next(workspace: str) -> str:
    """`default`, `index2`, `index3`, …"""
    match = re.fullmatch(r"index(\d+)", workspace)
    return f"index{int(match[1]) + 1 if match else 2}"


async def _remove(store: Store, workspace: str) -> None:
    """Every row and the graph of a workspace that is not `store`'s, and tables
    of vectors that no index has rows in any more."""
    assert workspace != store.workspace
    graph = _GRAPH if workspace == "default" else f"{workspace}_{_GRAPH}"
    tables = await store.fetch(
        "SELECT table_name AS name FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND column_name = 'workspace' AND (table_name LIKE 'lightrag%' OR table_name = 'ragpod_files')"
    )
    for row in tables:
        await store.execute(f'DELETE FROM "{row["name"]}" WHERE workspace = $1', workspace)
    await store.execute(
        "SELECT ag_catalog.drop_graph(name, true) FROM ag_catalog.ag_graph WHERE name = $1", graph
    )
    rag = store.rag
    ours = {v.table_name.lower() for v in (rag.chunks_vdb, rag.entities_vdb, rag.relationships_vdb)}
    for row in tables:
        name = row["name"]
        if name.startswith("lightrag_vdb_") and name not in ours:
            left = await store.fetch(f'SELECT 1 FROM "{name}" LIMIT 1')
            if not left:
                await store.execute(f'DROP TABLE "{name}"')
