"""What the container's environment asks for, checked once at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BAD_CONFIG, EngineError

PROVIDERS = ("offline", "openai", "azure", "openai-compatible", "ollama")
OFFLINE_MODEL = "all-MiniLM-L6-v2"
OFFLINE_DIMENSION = 384
_DEFAULT_BASES = {
    "openai": "https://api.openai.com/v1",
    "ollama": "http://127.0.0.1:11434",
}
# Dimensions of embedding models that are asked for by name alone.
_KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
    "nomic-embed-text": 768,
    "mxbai-embed-large": 1024,
    "bge-m3": 1024,
    "all-minilm": 384,
}
# Numbers that LightRAG reads from the environment itself. They are checked
# here because it fails on a bad one in the middle of something else.
_LIGHTRAG_NUMBERS = {
    "TOP_K": int,
    "CHUNK_TOP_K": int,
    "CHUNK_SIZE": int,
    "CHUNK_OVERLAP_SIZE": int,
    "MAX_ASYNC": int,
    "MAX_ASYNC_LLM": int,
    "MAX_PARALLEL_INSERT": int,
    "MAX_GLEANING": int,
    "LLM_TIMEOUT": int,
    "EMBEDDING_TIMEOUT": int,
    "EMBEDDING_BATCH_NUM": int,
    "COSINE_THRESHOLD": float,
    "MAX_TOTAL_TOKENS": int,
    "MAX_ENTITY_TOKENS": int,
    "MAX_RELATION_TOKENS": int,
}


@dataclass(frozen=True)
class Settings:
    """Everything the engine takes from outside."""

    instance: str
    host: str
    port: int
    user: str
    database: str
    password_file: Path
    provider: str
    llm_model: str
    embedding_model: str
    embedding_dim: int
    api_base: str
    api_version: str
    api_key_file: Path
    batch_size: int
    max_file_bytes: int
    #: The folders that may be ingested from; `/*` stands for each folder there.
    sources: tuple[str, ...]
    state_dir: Path
    socket: Path
    model_dir: Path
    workspace: str

    @property
    def offline(self) -> bool:
        """Whether nothing outside the pod is ever asked."""
        return self.provider == "offline"

    def password(self) -> str:
        """The database password, read anew so that a rotated one is seen."""
        return read_secret(self.password_file, "POSTGRES_PASSWORD_FILE", "the database password")

    def api_key(self) -> str:
        """The provider's key; empty when there is none (a local server)."""
        if not self.api_key_file.exists() and self.provider in ("ollama", "openai-compatible"):
            return ""
        return read_secret(self.api_key_file, "API_KEY_FILE", "the provider's key")


def read_secret(path: Path, variable: str, what: str) -> str:
    """A secret's text without the line end that an editor adds."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise EngineError(
            f"cannot read {what} from {path} ({variable}): {reason}",
            "check that the secret is mounted and readable for user 1000",
            BAD_CONFIG,
        ) from error
    if not text:
        raise EngineError(f"{path} ({variable}) is empty", f"store {what} in it", BAD_CONFIG)
    return text


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the environment; the first bad value is named."""
    env = os.environ if env is None else env
    provider = _text(env, "RAGPOD_PROVIDER", "offline").lower()
    if provider not in PROVIDERS:
        raise EngineError(
            f"RAGPOD_PROVIDER is {provider!r}, not one of {', '.join(PROVIDERS)}",
            "correct the provider's kind in the manifest",
            BAD_CONFIG,
        )
    for name, kind in _LIGHTRAG_NUMBERS.items():
        if env.get(name, "").strip():
            _number(env, name, 0, kind=kind)
    offline = provider == "offline"
    embedding_model = OFFLINE_MODEL if offline else _needed(env, "EMBEDDING_MODEL", provider)
    llm_model = "extractive" if offline else _needed(env, "LLM_MODEL", provider)
    base = _text(env, "API_BASE", _DEFAULT_BASES.get(provider, "")).rstrip("/")
    if not offline and not base:
        _needed(env, "API_BASE", provider)
    default_dim = OFFLINE_DIMENSION if offline else _known_dimension(embedding_model)
    dimension = _number(env, "EMBEDDING_DIM", default_dim, least=0, most=16000)
    if offline:
        dimension = OFFLINE_DIMENSION
    if dimension <= 0:
        raise EngineError(
            f"EMBEDDING_DIM is not set and {embedding_model} is not a model the engine knows",
            "give the number of dimensions that the embedding model returns",
            BAD_CONFIG,
        )
    user = _text(env, "POSTGRES_USER", "hybridrag")
    return Settings(
        instance=_text(env, "RAGPOD_INSTANCE", "default"),
        host=_text(env, "POSTGRES_HOST", "127.0.0.1"),
        port=_number(env, "POSTGRES_PORT", 5432, least=1, most=65535),
        user=user,
        database=_text(env, "POSTGRES_DATABASE", _text(env, "POSTGRES_DB", user)),
        password_file=Path(_text(env, "POSTGRES_PASSWORD_FILE", "/run/secrets/postgres-password")),
        provider=provider,
        llm_model=llm_model,
        embedding_model=embedding_model,
        embedding_dim=dimension,
        api_base=base,
        api_version=_text(env, "API_VERSION", "2024-02-15-preview"),
        api_key_file=Path(_text(env, "API_KEY_FILE", "/run/secrets/api-key")),
        batch_size=_number(env, "BATCH_SIZE", 10, least=1, most=1000),
        max_file_bytes=_number(env, "MAX_FILE_BYTES", 10 * 1024 * 1024, least=1),
        sources=tuple(_text(env, "HYBRIDRAG_SOURCES", "/data/projects:/data/sources/*").split(":")),
        state_dir=Path(_text(env, "HYBRIDRAG_STATE", "/var/lib/hybridrag")),
        socket=Path(_text(env, "HYBRIDRAG_SOCKET", "/run/hybridrag/engine.sock")),
        model_dir=Path(_text(env, "HYBRIDRAG_MODEL", f"/opt/models/{OFFLINE_MODEL}")),
        workspace=_text(env, "WORKSPACE", "default"),
    )


def _text(env: Mapping[str, str], name: str, default: str) -> str:
    return env.get(name, "").strip() or default


def _needed(env: Mapping[str, str], name: str, provider: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise EngineError(
            f"{name} is not set, and provider {provider} needs it",
            "set it in the manifest's [provider] section",
            BAD_CONFIG,
        )
    return value


def _known_dimension(model: str) -> int:
    return _KNOWN_DIMENSIONS.get(model.split(":")[0].rsplit("/", 1)[-1], 0)


def _number(
    env: Mapping[str, str],
    name: str,
    default: int,
    *,
    least: float | None = None,
    most: float | None = None,
    kind: type = int,
) -> int:
    raw = env.get(name, "").strip()
    if not raw:
        return default
    wanted = "a whole number" if kind is int else "a number"
    try:
        value = kind(raw)
    except ValueError:
        raise EngineError(
            f"{name} is {raw!r}, which is not {wanted}", f"set {name} to {wanted}", BAD_CONFIG
        ) from None
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise EngineError(f"{name} is {raw}, and must be {bounds}", f"correct {name}", BAD_CONFIG)
    return value
