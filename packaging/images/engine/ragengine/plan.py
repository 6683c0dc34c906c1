"""What an ingest would do: what lies on disk against what the database has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import scan
from .errors import WRONG_USE, EngineError

if TYPE_CHECKING:
    from .store import Store


@dataclass(frozen=True)
class Request:
    """What a user asked for."""

    paths: Sequence[str]
    patterns: Sequence[str]
    recursive: bool = True
    prune: bool = False
    #: Also where no file at all is left.
    prune_all: bool = False
    dry_run: bool = False

    def check(self, sources: Sequence[str]) -> None:
        """Refuse a path that is outside of the sources or not there, and a
        pattern that cannot be read."""
        for path in self.paths:
            # First of all: what lies elsewhere in the container is not even said to exist.
            if scan.source_of(path, sources) is None:
                raise EngineError(
                    f"{scan.printable(path)} does not lie in a source",
                    "sources are mounted at /data/projects and below /data/sources",
                    WRONG_USE,
                )
            if scan.gone(path):
                raise EngineError(
                    f"no such file or folder: {path}",
                    "sources are mounted at /data/projects and below /data/sources",
                    WRONG_USE,
                )
        try:
            for pattern in self.patterns:
                scan.compile_pattern(pattern)
        except ValueError as error:
            raise EngineError(str(error), "see --help for what a pattern can hold", WRONG_USE) from None


@dataclass
class Plan:
    """Files by what is to be done with them."""

    new: list[scan.Found] = field(default_factory=list)
    changed: list[scan.Found] = field(default_factory=list)
    unchanged: int = 0
    missing: list[str] = field(default_factory=list)
    skipped: list[scan.Skipped] = field(default_factory=list)
    #: Same text, other time of change: only the note of it is renewed.
    touched: list[scan.Found] = field(default_factory=list)
    #: Whether all that ever came from there is gone, and nothing else is there:
    #: more likely than that somebody deleted every file is that a disk is not
    #: mounted, or that the folder was moved.
    emptied: bool = False
    #: Files that no pattern takes, by the ending of their names.
    unfit: dict[str, int] = field(default_factory=dict)
    #: Every file that was found, whatever is to be done with it.
    seen: set[str] = field(default_factory=set)

    def work(self) -> list[tuple[scan.Found, bool]]:
        """What is to be taken in, by path, and whether it replaces something."""
        work = [(file, False) for file in self.new] + [(file, True) for file in self.changed]
        return sorted(work, key=lambda entry: entry[0].path)

    def event(self) -> dict[str, Any]:
        """What a client is told before anything is done."""
        work = self.work()
        return {
            "event": "plan",
            "files": len(work) + self.unchanged + len(self.skipped),
            "new": len(self.new),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
            "skipped": len(self.skipped),
            "missing": len(self.missing),
            "unfit": self.unfit,
            "bytes": sum(file.size for file, _ in work),
        }


async def make(store: Store, request: Request) -> Plan:
    """Look at the disk and at the database; nothing is changed."""
    found = await asyncio.to_thread(
        scan.scan,
        request.paths,
        request.patterns,
        recursive=request.recursive,
        max_bytes=store.settings.max_file_bytes,
        sources=store.settings.sources,
    )
    known = await store.records.known_files()
    return await asyncio.to_thread(_compare, request, found, known)


def _compare(request: Request, found: scan.Scan, known: dict[str, dict[str, Any]]) -> Plan:
    plan = Plan(skipped=found.skipped, unfit=dict(found.unfit))
    plan.seen = {entry.path for entry in (*found.files, *found.skipped)}
    for file in found.files:
        row = known.get(file.path)
        if row is None:
            plan.new.append(file)
        elif row["status"] != "processed":
            plan.changed.append(file)
        elif (row["size"], row["mtime_ns"]) == (file.size, file.mtime_ns):
            plan.unchanged += 1
        else:
            try:
                digest = scan.sha256(file.path)
            except scan.Unreadable as error:
                plan.skipped.append(scan.Skipped(file.path, str(error)))
                continue
            if digest == row["sha256"]:
                plan.unchanged += 1
                plan.touched.append(file)
            else:
                plan.changed.append(file)
    below = [path for path in known if scan.below(path, request.paths)]
    plan.missing = sorted(path for path in below if scan.gone(path))
    plan.emptied = bool(below) and len(plan.missing) == len(below) and not plan.seen
    return plan
