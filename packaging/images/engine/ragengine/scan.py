"""Which files an ingest takes: walking, patterns, reading. No database."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

DEFAULT_PATTERNS = ("**/*.md", "**/*.txt", "**/*.rst", "**/*.adoc")


@dataclass(frozen=True)
class Found:
    """A file that matches, as it lies on disk."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Skipped:
    """A file that matches but is not taken, and why."""

    path: str
    reason: str


@dataclass
class Scan:
    """What a walk found."""

    files: list[Found] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    #: How many other files lie there, by the ending of their names: a user
    #: should see that a folder's `.org` files were not meant. Hidden files and
    #: folders are left out, or every `.git` would be told.
    unfit: Counter[str] = field(default_factory=Counter)


class Unreadable(Exception):
    """A file's text cannot be had; the message is the reason for the user."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern over the path below the root: `**` is any number of folders,
    `*` and `?` stay within one name, `[…]` is a set, `{a,b}` one of several.
    Dot files are names like others. Without a slash it matches at any depth."""
    pattern = pattern.removeprefix("./")
    pattern = pattern.lstrip("/") if "/" in pattern else "**/" + pattern
    out = []
    position = 0
    depth = 0
    while position < len(pattern):
        rest = pattern[position:]
        char = pattern[position]
        at_start = position == 0 or pattern[position - 1] == "/"
        if at_start and rest.startswith("**/"):
            out.append("(?:[^/]+/)*")
            position += 3
            continue
        if at_start and rest == "**":
            out.append(".+")
            break
        if char == "*":
            out.append("[^/]*")
            while position + 1 < len(pattern) and pattern[position + 1] == "*":
                position += 1
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = pattern.find("]", position + 2)
            if end < 0:
                out.append(r"\[")
            else:
                inner = pattern[position + 1 : end].replace("\\", r"\\")
                inner = "^/" + inner[1:] if inner[0] in "!^" else inner
                out.append(f"[{inner}]")
                position = end
        elif char == "{" and "}" in rest:
            out.append("(?:")
            depth += 1
        elif char == "}" and depth:
            out.append(")")
            depth -= 1
        elif char == "," and depth:
            out.append("|")
        else:
            out.append(re.escape(char))
        position += 1
    try:
        return re.compile("".join(out) + r"\Z", re.DOTALL)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is not valid: {error}") from None


def matches(relative: str, patterns: Sequence[str]) -> bool:
    """Whether a path below the root fits one of the patterns."""
    return any(compile_pattern(pattern).match(relative) for pattern in patterns)


def source_of(path: str, sources: Sequence[str]) -> str | None:
    """The folder of the source that a path lies in, by its real place: neither
    `..` nor a link leads out of it. `/*` at the end of a source stands for each
    folder there."""
    real = os.path.realpath(path)
    for source in sources:
        parent = os.path.realpath(source.removesuffix("/*"))
        if not below(real, [parent]):
            continue
        if not source.endswith("/*"):
            return parent
        inner = Path(real).relative_to(parent).parts
        if inner:
            return os.path.join(parent, inner[0])
    return None


def scan(
    roots: Sequence[str],
    patterns: Sequence[str],
    *,
    recursive: bool,
    max_bytes: int,
    sources: Sequence[str],
) -> Scan:
    """Every matching file below the roots, once each, sorted by path. Patterns
    are relative to the source that the root lies in. A root outside of all
    sources is not looked at."""
    result = Scan()
    seen: set[str] = set()
    inside = _Inside(roots)
    for root in map(os.path.abspath, roots):
        source = source_of(root, sources)
        if source is None:
            result.skipped.append(Skipped(printable(root), "it does not lie in a source"))
            continue
        if os.path.isfile(root):
            if matches(os.path.relpath(os.path.realpath(root), source), patterns):
                _take(root, result, seen, max_bytes)
            elif root not in seen:
                result.skipped.append(Skipped(printable(root), "it does not fit the pattern"))
            continue
        above = os.path.relpath(os.path.realpath(root), source)
        for path in _walk(root, recursive, inside, result):
            relative = os.path.normpath(os.path.join(above, os.path.relpath(path, root)))
            if not matches(relative, patterns):
                if not any(part.startswith(".") for part in relative.split("/")):
                    result.unfit[printable(os.path.splitext(path)[1]).lower()] += 1
                continue
            if os.path.islink(path) and not inside(path) and os.path.exists(path):
                seen.add(path)
                result.skipped.append(Skipped(printable(path), "a link that leads out of the sources"))
                continue
            _take(path, result, seen, max_bytes)
    result.files.sort(key=lambda file: file.path)
    result.skipped.sort(key=lambda file: file.path)
    return result


class _Inside:
    """Whether a path's real place lies below one of the roots. A link in the
    sources must not bring a secret of the container into the index."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = [os.path.realpath(root) for root in roots]

    def __call__(self, path: str) -> bool:
        return below(os.path.realpath(path), self._roots)


def _walk(root: str, recursive: bool, inside: _Inside, result: Scan) -> Iterator[str]:
    """Files below a folder. Links to folders are followed, but no folder is
    entered twice, so a loop ends."""
    entered: set[tuple[int, int]] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            info = os.stat(folder)
            if (info.st_dev, info.st_ino) in entered:
                continue
            entered.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            result.skipped.append(Skipped(printable(folder), f"folder cannot be read: {error.strerror}"))
            continue
        for entry in listed:
            try:
                is_folder = entry.is_dir()
            except OSError:
                is_folder = False
            if not is_folder:
                yield entry.path
            elif entry.is_symlink() and not inside(entry.path):
                result.skipped.append(Skipped(printable(entry.path), "a link that leads out of the sources"))
            elif recursive:
                pending.append(entry.path)


def _take(path: str, result: Scan, seen: set[str], max_bytes: int) -> None:
    if path in seen:
        return
    seen.add(path)
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        result.skipped.append(Skipped(printable(path), "its name is not UTF-8"))
        return
    if any(ord(char) < 32 for char in path):
        result.skipped.append(Skipped(printable(path), "its name has control characters"))
        return
    if path != path.rstrip():
        # To LightRAG it would be the file without it.
        result.skipped.append(Skipped(path, "its name ends in white space"))
        return
    try:
        info = os.stat(path)
    except FileNotFoundError:
        reason = "dangling link" if os.path.islink(path) else "vanished while looking"
        result.skipped.append(Skipped(path, reason))
        return
    except OSError as error:
        # ELOOP is the link that points to itself.
        result.skipped.append(Skipped(path, f"cannot be read: {error.strerror}"))
        return
    if not stat.S_ISREG(info.st_mode):
        result.skipped.append(Skipped(path, "not a regular file"))
    elif info.st_size == 0:
        result.skipped.append(Skipped(path, "empty"))
    elif info.st_size > max_bytes:
        result.skipped.append(Skipped(path, f"larger than {max_bytes} bytes (MAX_FILE_BYTES)"))
    else:
        result.files.append(Found(path, info.st_size, info.st_mtime_ns))


def printable(path: str) -> str:
    """A path that any terminal and any JSON can hold."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if ord(char) >= 32 else "?" for char in text)


def sha256(path: str) -> str:
    """The file's hash."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise Unreadable("vanished while looking") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None


def read_text(path: str, max_bytes: int) -> tuple[str, str]:
    """The file's text and hash, or the reason why there is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise Unreadable("vanished while looking") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if len(data) > max_bytes:
        raise Unreadable(f"larger than {max_bytes} bytes (MAX_FILE_BYTES)")
    if b"\0" in data:
        raise Unreadable("binary")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 (byte {error.start})") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Unreadable("empty")
    return text, hashlib.sha256(data).hexdigest()


def gone(path: str) -> bool:
    """Whether the file is certainly not there any more. A folder that cannot
    be looked into is no proof."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def below(path: str, roots: Sequence[str]) -> bool:
    """Whether a path lies under one of the roots."""
    return any(Path(path).is_relative_to(os.path.abspath(root)) for root in roots)
