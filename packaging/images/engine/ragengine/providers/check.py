"""`provider test`: one embedding and one completion, each with what came of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from ..config import Settings
from ..errors import EngineError, one_line
from ..log import log
from . import make

_NO_SENSE = "does base_url in the manifest name an API of this kind?"
_TEXT = "Does this provider work?"


async def check(settings: Settings, loaded: Any = None) -> dict[str, Any]:
    """Ask the provider for both, once, without trying again: `loaded`, or one
    with connections of its own."""
    provider = loaded or make(settings, attempts=1)
    try:
        checks = [
            await _one("embedding", settings.embedding_model, _embedding(provider)),
            await _one("completion", settings.llm_model, _completion(provider))
            if not settings.offline
            else _entry("completion", settings.llm_model, "skip", "answers are quotations, no model writes"),
        ]
    finally:
        if provider is not loaded:
            await provider.close()
    return {
        "instance": settings.instance,
        "provider": settings.provider,
        "base_url": settings.api_base or None,
        "checks": checks,
    }


async def _embedding(provider: Any) -> str:
    vectors = await provider.embed([_TEXT])
    return f"{vectors.shape[1]} dimensions"


async def _completion(provider: Any) -> str:
    text = await provider.complete("Answer with the one word: ready")
    return f"it says {one_line(text, 40)!r}" if text.strip() else "it says nothing"


async def _one(name: str, model: str, work: Awaitable[str]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        detail = await work
    except EngineError as error:
        return _entry(name, model, "fail", error.message, error.hint)
    except Exception as error:
        log.error("provider test: %s: %s", type(error).__name__, one_line(error))
        return _entry(name, model, "fail", f"the answer makes no sense ({type(error).__name__})", _NO_SENSE)
    return _entry(name, model, "pass", f"{detail}, {(time.monotonic() - started) * 1000:.0f} ms")


def _entry(name: str, model: str, status: str, detail: str, fix: str = "") -> dict[str, Any]:
    return {"id": name, "model": model, "status": status, "detail": detail, "fix": fix or None}
