"""What `status` says and what lies in status.json for the host to read."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import EngineError
from .log import log
from .store import Store


def memory_bytes() -> int:
    """The process's resident memory."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def collect(store: Store, *, ready: bool, problem: str = "", ingesting: bool = False) -> dict[str, Any]:
    """The instance's state, counted in the database."""
    settings = store.settings
    counts = await store.index_counts()
    return {
        "instance": settings.instance,
        "ready": ready,
        "problem": problem or None,
        "ingesting": ingesting,
        "provider": settings.provider,
        "llm_model": settings.llm_model,
        "embedding_model": settings.embedding_model,
        "embedding_dim": settings.embedding_dim,
        "documents": await store.document_counts(),
        **counts,
        "last_ingest": await store.records.get_state("last_ingest"),
        "memory_bytes": memory_bytes(),
    }


def write_file(state_dir: Path, status: dict[str, Any]) -> None:
    """status.json, replaced as a whole: the host reads it at any moment."""
    content = {
        "version": 1,
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        "ready": status["ready"],
        "problem": status["problem"],
        "documents": status["documents"],
        "chunks": status["chunks"],
        "last_ingest": status["last_ingest"],
    }
    _replace(state_dir, "status.json", content)


def write_queries(state_dir: Path, queries: int) -> None:
    """queries.json: how many questions were asked since the engine was started.

    A file of its own: status.json is written with what the database counts,
    which no question should have to wait for.
    """
    _replace(state_dir, "queries.json", {"version": 1, "queries": queries})


def _replace(state_dir: Path, name: str, content: dict[str, Any]) -> None:
    path = state_dir / name
    temporary = state_dir / f".{name}.new"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.write("\n")
            os.fchmod(file.fileno(), 0o644)
        os.replace(temporary, path)
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror)


async def publish(store: Store, *, ready: bool, problem: str = "") -> None:
    """Write status.json; a database that is away for a moment is no error."""
    try:
        write_file(store.settings.state_dir, await collect(store, ready=ready, problem=problem))
    except (EngineError, OSError) as error:
        log.warning("status.json not renewed: %s", error)
