"""Answering one question."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .chunking import split_breadcrumb
from .errors import EMPTY, FAILED_ALL, NOTHING, WRONG_USE, EngineError, one_line
from .log import log
from .store import Store

MODES = ("local", "global", "hybrid", "naive", "mix")
_PASSAGE = 600
# Hears an answer's text as it is made.
Said = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Question:
    """What was asked, and how to look for it."""

    text: str
    mode: str = "hybrid"
    top_k: int = 0
    context_only: bool = False


def check(question: Question) -> None:
    """Refuse what LightRAG would stumble over."""
    if len(question.text.strip()) < 3:
        raise EngineError("the question is shorter than three characters", "ask with --text", WRONG_USE)
    if question.mode not in MODES:
        raise EngineError(f"no mode {question.mode!r}", f"one of {', '.join(MODES)}", WRONG_USE)


async def answer(store: Store, question: Question, said: Said | None = None) -> dict[str, Any]:
    """The answer with the passages it rests on. `said` gets it as it is made."""
    check(question)
    started = time.monotonic()
    sources: list[dict[str, Any]] = []
    documents = await store.document_counts()
    if documents["processed"] == 0:
        failed = documents["failed"]
        text = FAILED_ALL.format(f"{failed} document{'s' * (failed != 1)}") if failed else EMPTY
    elif store.settings.offline:
        text, sources = await _offline(store, question)
    else:
        text, sources = await _remote(store, question, said)
    log.info(
        "query: %s, %d sources, %.0f ms",
        question.mode,
        len(sources),
        (time.monotonic() - started) * 1000,
    )
    return {
        "instance": store.settings.instance,
        "mode": question.mode,
        "answer": text,
        "sources": sources,
        "seconds": round(time.monotonic() - started, 3),
    }


async def _offline(store: Store, question: Question) -> tuple[str, list[dict[str, Any]]]:
    from .offline import answer as extractive
    from .offline.provider import OfflineProvider
    from .offline.text import content_words

    provider = store.provider
    assert isinstance(provider, OfflineProvider)
    vector = (await store.embed_questions([question.text]))[0]
    words = list(dict.fromkeys(content_words(question.text)))
    data = await _retrieve(store, question, words)
    passages = await _score(store, data.get("chunks", []), vector)
    if question.context_only:
        return _context(passages), _sources(passages, set())
    quotes = await asyncio.to_thread(
        extractive.rank, question.text, vector, passages, provider.embed_sentences
    )
    chosen = extractive.select(quotes)
    paths = list(dict.fromkeys(path for quote in chosen for path in quote.paths))
    documents = await _documents(store, paths)
    text = extractive.compose(chosen, documents)
    return text, _sources(passages, set(paths)) if chosen else []


async def _retrieve(store: Store, question: Question, words: list[str]) -> dict[str, Any]:
    """LightRAG's retrieval. Its `hybrid` knows the graph alone; passages that
    are alike but name no entity would be missed, so the passages' own vectors
    are asked as well, as `mix` does."""
    from lightrag import QueryParam

    mode = "mix" if question.mode == "hybrid" else question.mode
    parameters = QueryParam(
        mode=mode,
        hl_keywords=[question.text],
        ll_keywords=words or [question.text],
        enable_rerank=False,
        top_k=question.top_k or 15,
        chunk_top_k=question.top_k or 12,
    )
    result = await store.rag.aquery_data(question.text, parameters)
    return result.get("data") or {}


async def _score(store: Store, chunks: list[dict[str, Any]], vector: np.ndarray) -> list[Any]:
    from .offline.answer import Passage

    vectors = await store.rag.chunks_vdb.get_vectors_by_ids([chunk["chunk_id"] for chunk in chunks])
    passages = []
    for chunk in chunks:
        own = vectors.get(chunk["chunk_id"])
        if own is None:
            continue
        own = np.asarray(own, np.float32)
        norms = float(np.linalg.norm(own) * np.linalg.norm(vector)) or 1.0
        score = float(own @ vector) / norms
        passages.append(Passage(chunk["chunk_id"], chunk["file_path"], chunk["content"], score))
    passages.sort(key=lambda passage: -passage.score)
    return passages


def _sources(passages: list[Any], cited: set[str]) -> list[dict[str, Any]]:
    """The best passage of every file: cited ones first, then by score."""
    best: dict[str, Any] = {}
    for passage in passages:
        best.setdefault(passage.path, passage)
    ranked = sorted(best.values(), key=lambda p: (p.path not in cited, -p.score))
    keep = [p for p in ranked if not cited or p.path in cited][:10]
    return [
        {
            "path": p.path,
            "score": round(p.score, 4),
            "passage": _shorten(split_breadcrumb(p.content)[1]),
        }
        for p in keep
    ]


def _context(passages: list[Any]) -> str:
    if not passages:
        return NOTHING
    return "\n\n".join(f"[{p.path}]\n{split_breadcrumb(p.content)[1]}" for p in passages)


def _shorten(text: str) -> str:
    text = re.sub(r"[ \t]+", " ", text).strip()
    return text if len(text) <= _PASSAGE else text[: _PASSAGE - 1] + "…"


async def _documents(store: Store, paths: list[str]) -> dict[str, str]:
    if not paths:
        return {}
    rows = await store.fetch(
        "SELECT f.path, d.content FROM ragpod_files f"
        " JOIN lightrag_doc_full d ON d.workspace = f.workspace AND d.id = f.doc_id"
        " WHERE f.workspace = $1 AND f.path = ANY($2)",
        store.workspace,
        paths,
    )
    return {row["path"]: row["content"] for row in rows}


async def _remote(
    store: Store, question: Question, said: Said | None = None
) -> tuple[str, list[dict[str, Any]]]:
    from lightrag import QueryParam

    from .offline.text import content_words

    parameters = QueryParam(mode=question.mode, enable_rerank=False, stream=said is not None)
    if question.top_k:
        parameters.top_k = parameters.chunk_top_k = question.top_k
    if question.context_only:
        # LightRAG would ask the model for the keywords.
        parameters.hl_keywords = [question.text]
        parameters.ll_keywords = list(dict.fromkeys(content_words(question.text))) or [question.text]
        result = await store.rag.aquery_data(question.text, parameters)
    else:
        result = await store.rag.aquery_llm(question.text, parameters)
    if result.get("status") == "failure" and not result.get("data"):
        if (result.get("metadata") or {}).get("failure_reason") == "no_results":
            return NOTHING, []
        reason = str(result.get("message", ""))
        refused = store.refused
        if refused and refused.message in reason:
            raise refused
        raise EngineError(f"the query failed: {one_line(reason)}")
    data = result.get("data") or {}
    # LightRAG has asked for it already, in most modes.
    vector = (await store.embed_questions([question.text]))[0]
    passages = await _score(store, data.get("chunks", []), vector)
    if question.context_only:
        return _context(passages), _sources(passages, set())
    response = result.get("llm_response") or {}
    text = response.get("content") or ""
    if said and response.get("is_streaming"):
        parts = []
        async for part in response["response_iterator"]:
            parts.append(part)
            await said(part)
        text = "".join(parts)
    return text.strip(), _sources(passages, set())
