"""What the client prints. Standard library only."""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]


def document(value: Any) -> None:
    """One JSON document on a line."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def events(quiet: bool, dry_run: bool) -> Callable[[Message], None]:
    """A function that prints an ingest's events for people."""

    def show(event: Message) -> None:
        kind = event["event"]
        if kind == "plan" and not quiet:
            print(
                f"{event['files']} files: {event['new']} new, {event['changed']} changed,"
                f" {event['unchanged']} unchanged, {event['skipped']} skipped, {event['missing']} gone from disk"
            )
        elif kind == "file":
            if quiet and event["status"] != "failed":
                return
            reason = f": {event['reason']}" if event["reason"] else ""
            if event["status"] in ("new", "changed"):
                size = f"{event['bytes']:>10} bytes {event['tokens']:>9} tokens"
                print(f"{event['status']:<8}{size}  {event['path']}")
                return
            counter = "" if event["status"] == "skipped" else f"[{event['done']}/{event['total']}] "
            print(f"{counter}{event['status']} {event['path']}{reason}")
        elif kind == "summary":
            _summary(event, dry_run)

    return show


def _summary(event: Message, dry_run: bool) -> None:
    if dry_run:
        print(f"About {event['tokens']} tokens. Nothing was done (--dry-run).")
        return
    print(
        f"{event['new']} new, {event['changed']} changed, {event['unchanged']} unchanged,"
        f" {event['deleted']} deleted, {event['skipped']} skipped, {len(event['failed'])} failed"
        f" in {event['seconds']} s"
    )
    if event["unpruned"]:
        print(f"No file is left in {', '.join(event['unpruned'])}: its documents stay; --prune-all removes them.")
    elif event["missing"]:
        print(f"{event['missing']} documents have no file any more; --prune removes them.")
    documents = event["documents"]
    print(
        f"In the database: {documents['processed']} processed, {documents['failed']} failed,"
        f" {documents['pending']} pending."
    )
    if event.get("interrupted"):
        print("Interrupted; done documents stay, the next ingest goes on from here.")


def answer(result: Message, sources: bool) -> None:
    """An answer, with the passages that it rests on."""
    print(result["answer"])
    if sources:
        print("\nSources:" if result["sources"] else "\nSources: none")
        for source in result["sources"]:
            first = " ".join(source["passage"].split())
            print(f"  {source['score']:.2f}  {source['path']}")
            print(f"        {first if len(first) <= 160 else first[:159] + '…'}")
    sys.stdout.flush()


def status(result: Message) -> None:
    """What is in the index."""
    documents = result["documents"]
    print(f"Instance   {result['instance']} ({'ready' if result['ready'] else 'not ready'})")
    if result.get("problem"):
        print(f"Problem    {result['problem']}")
    print(f"Provider   {result['provider']}, {result['llm_model']}")
    print(f"Embedding  {result['embedding_model']}, {result['embedding_dim']} dimensions")
    print(
        f"Documents  {documents['processed']} processed, {documents['failed']} failed,"
        f" {documents['pending']} pending"
    )
    print(
        f"Index      {result['chunks']} passages, {result['entities']} entities,"
        f" {result['relations']} relations"
    )
    last = result["last_ingest"]
    if last:
        print(
            f"Last run   {last['at']}, {last['seconds']} s: {last['new']} new,"
            f" {last['changed']} changed, {last['failed']} failed"
        )
    else:
        print("Last run   never")
    print(f"Memory     {result['memory_bytes'] // (1 << 20)} MiB")


def checks(result: Message) -> None:
    """What came of each check."""
    for check in result["checks"]:
        print(f"{check['status']:<5} {check['id']:<11} {check['model']}: {check['detail']}")
        if check["fix"]:
            print(f"{'':<17} {check['fix']}")
