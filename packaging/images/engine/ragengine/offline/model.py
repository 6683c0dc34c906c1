"""all-MiniLM-L6-v2 with numpy alone: six BERT layers, mean pooling, unit length.

The weights are mapped from the safetensors file, so they cost page cache and
no copy. Any BERT sentence model with the same three files (config.json,
model.safetensors, tokenizer.json) works; nothing here names MiniLM.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer

from .text import STOPWORDS

# The model was trained on short passages and its makers cut at 256.
MAX_TOKENS = 256
# Tokens that go through the layers at once: enough to keep the matrix
# products busy, little enough to stay in the second-level cache.
BATCH_TOKENS = 1024
_DTYPES = {"F32": np.float32, "F16": np.float16}
# What numpy's and BERT's attention agree on as "the square root of the head".
_GELU = np.float32(np.sqrt(2.0 / np.pi))


class ModelError(Exception):
    """The model's directory does not hold what the engine needs."""


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Map a safetensors file: an 8-byte length, a JSON table, the raw arrays."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack_from("<Q", data)
    if length > len(data) - 8:
        raise ModelError(f"{path} is cut off or no safetensors file")
    table = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in table.items():
        if name == "__metadata__" or entry["dtype"] not in _DTYPES:
            continue
        start, end = entry["data_offsets"]
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        array = np.frombuffer(data, dtype, count=(end - start) // dtype.itemsize, offset=8 + length + start)
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def _normalise_rows(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float) -> np.ndarray:
    """LayerNorm in place."""
    x -= x.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x) / np.float32(x.shape[1])
    x *= (1.0 / np.sqrt(variance + np.float32(eps)))[:, None]
    x *= scale
    x += shift
    return x


def _gelu(x: np.ndarray) -> np.ndarray:
    """The tanh form of GELU, in place: numpy has no erf, and the two differ by
    less than 0.001."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1.0)
    inner *= x
    inner *= _GELU
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    x *= inner
    x *= np.float32(0.5)
    return x


class SentenceModel:
    """Turns texts into unit vectors. Safe to use from several threads."""

    def __init__(self, directory: Path, threads: int = 2) -> None:
        try:
            config = json.loads((directory / "config.json").read_text())
            arrays = read_safetensors(directory / "model.safetensors")
            self.tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        except FileNotFoundError as error:
            raise ModelError(f"the sentence model lacks a file: {error.filename}") from error
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.dimension = int(config["hidden_size"])
        self._heads = int(config["num_attention_heads"])
        self._eps = float(config.get("layer_norm_eps", 1e-12))
        prefix = "bert." if "bert.embeddings.word_embeddings.weight" in arrays else ""

        def take(name: str) -> np.ndarray:
            try:
                return arrays[prefix + name].astype(np.float32, copy=False)
            except KeyError:
                raise ModelError(f"the sentence model has no {prefix + name}") from None

        self._words = take("embeddings.word_embeddings.weight")
        # Every token here is of the first of BERT's two kinds.
        self._places = (
            take("embeddings.position_embeddings.weight") + take("embeddings.token_type_embeddings.weight")[0]
        )
        self._start = (take("embeddings.LayerNorm.weight"), take("embeddings.LayerNorm.bias"))
        self._layers = [self._layer(take, n) for n in range(int(config["num_hidden_layers"]))]
        self._says_nothing = frozenset(
            number
            for token, number in self.tokenizer.get_vocab().items()
            if token in STOPWORDS or not any(char.isalnum() for char in token)
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="model")
        self._threads = threads

    def _layer(self, take, number: int) -> tuple[np.ndarray, ...]:
        at = f"encoder.layer.{number}."
        query, key, value = (
            (take(f"{at}attention.self.{part}.weight"), take(f"{at}attention.self.{part}.bias"))
            for part in ("query", "key", "value")
        )
        scale = np.float32((self.dimension // self._heads) ** -0.5)
        joined = np.concatenate([query[0] * scale, key[0], value[0]])
        bias = np.concatenate([query[1] * scale, key[1], value[1]])
        return (
            joined.T,
            bias,
            take(f"{at}attention.output.dense.weight").T,
            take(f"{at}attention.output.dense.bias"),
            take(f"{at}attention.output.LayerNorm.weight"),
            take(f"{at}attention.output.LayerNorm.bias"),
            take(f"{at}intermediate.dense.weight").T,
            take(f"{at}intermediate.dense.bias"),
            take(f"{at}output.dense.weight").T,
            take(f"{at}output.dense.bias"),
            take(f"{at}output.LayerNorm.weight"),
            take(f"{at}output.LayerNorm.bias"),
        )

    def embed(self, texts: Sequence[str], *, condense: bool = False) -> np.ndarray:
        """One unit vector per text, in the order given. `condense` leaves out
        what adds little to a long text's meaning and costs as much as the
        rest: punctuation, function words, words that were there before."""
        result = np.zeros((len(texts), self.dimension), np.float32)
        if not texts:
            return result
        encodings = self.tokenizer.encode_batch([text[: MAX_TOKENS * 16] for text in texts])
        ids = [_cut(self._condensed(e) if condense else e.ids) for e in encodings]
        batches = _batches(ids, self._threads)
        if len(batches) == 1:
            parts = [self._forward([ids[n] for n in batches[0]])]
        else:
            parts = list(self._pool.map(lambda batch: self._forward([ids[n] for n in batch]), batches))
        for batch, part in zip(batches, parts, strict=True):
            result[batch] = part
        return result

    def _condensed(self, encoding: Encoding) -> list[int]:
        ids = encoding.ids
        kept = [ids[0]]
        seen: set[tuple[int, ...]] = set()
        word: list[int] = []
        last: int | None = None
        for token, number in zip(ids[1:], encoding.word_ids[1:], strict=True):
            if number != last:
                if word and (key := tuple(word)) not in seen and not self._empty_word(key):
                    seen.add(key)
                    kept += word
                word = []
                last = number
            if number is not None:
                word.append(token)
        if len(kept) < 4:
            return ids
        return [*kept, ids[-1]]

    def _empty_word(self, word: tuple[int, ...]) -> bool:
        return len(word) == 1 and word[0] in self._says_nothing

    def _forward(self, sequences: list[list[int]]) -> np.ndarray:
        """Several texts end to end: the products see one long matrix, so no
        padding is computed; only attention looks at each text by itself."""
        lengths = [len(sequence) for sequence in sequences]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.concatenate([np.asarray(sequence, np.intp) for sequence in sequences])
        x = self._words[tokens]
        x += np.concatenate([self._places[:length] for length in lengths])
        x = _normalise_rows(x, *self._start, self._eps)
        mixed = np.empty_like(x)
        runs = _runs(lengths)
        for wqkv, bqkv, wo, bo, s1, b1, wi, bi, wd, bd, s2, b2 in self._layers:
            qkv = x @ wqkv
            qkv += bqkv
            for start, end, length in runs:
                self._attend(qkv[start:end], mixed[start:end], length)
            y = mixed @ wo
            y += bo
            x += y
            x = _normalise_rows(x, s1, b1, self._eps)
            inner = x @ wi
            inner += bi
            y = _gelu(inner) @ wd
            y += bd
            x += y
            x = _normalise_rows(x, s2, b2, self._eps)
        pooled = np.add.reduceat(x, starts[:-1], axis=0)
        pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return pooled

    def _attend(self, qkv: np.ndarray, out: np.ndarray, length: int) -> None:
        """Attention within each of several texts of one length."""
        split = qkv.reshape(-1, length, 3, self._heads, self.dimension // self._heads)
        query, key, value = split.transpose(2, 0, 3, 1, 4)
        scores = query @ key.transpose(0, 1, 3, 2)
        scores -= scores.max(axis=3, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=3, keepdims=True)
        out[:] = (scores @ value).transpose(0, 2, 1, 3).reshape(out.shape)


def _runs(lengths: list[int]) -> list[tuple[int, int, int]]:
    """Neighbours of one length as (first row, last row, length)."""
    runs: list[tuple[int, int, int]] = []
    position = 0
    for length in lengths:
        if runs and runs[-1][2] == length:
            runs[-1] = (runs[-1][0], position + length, length)
        else:
            runs.append((position, position + length, length))
        position += length
    return runs


def _cut(ids: list[int]) -> list[int]:
    """Keep the closing marker when a text is too long."""
    return ids if len(ids) <= MAX_TOKENS else ids[: MAX_TOKENS - 1] + ids[-1:]


def _batches(ids: list[list[int]], threads: int) -> list[list[int]]:
    """Texts of like length together, in batches that fill every thread."""
    total = sum(len(sequence) for sequence in ids)
    limit = min(BATCH_TOKENS, max(128, -(-total // threads)))
    batches: list[list[int]] = [[]]
    size = 0
    for number in sorted(range(len(ids)), key=lambda n: -len(ids[n])):
        if batches[-1] and size + len(ids[number]) > limit:
            batches.append([])
            size = 0
        batches[-1].append(number)
        size += len(ids[number])
    return batches
