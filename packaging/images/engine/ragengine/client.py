"""Command line, connection and output of the client. Standard library only."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

FAILED, WRONG_USE, NOT_READY, INTERRUPTED = 1, 2, 4, 130
MODES = ("local", "global", "hybrid", "naive", "mix")
Message = dict[str, Any]


class ClientError(Exception):
    """What to say, and the exit code."""

    def __init__(self, message: str, code: int, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class _Parser(argparse.ArgumentParser):
    """Errors in one line, like every other of ours."""

    def error(self, message: str) -> NoReturn:
        raise ClientError(message, WRONG_USE, f"see {self.prog} --help")


def _parser() -> _Parser:
    parser = _Parser(prog="hybridrag.py", description="Ask and fill this instance.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    backend = commands.add_parser("backend", help="set up the database, or look at it")
    backend.add_argument("action", choices=("init", "status", "reset"))
    backend.add_argument("--backend", default="postgres", choices=("postgres",))
    backend.add_argument("--yes", action="store_true", help="really drop the index (reset)")
    backend.add_argument("--json", action="store_true")

    ingest = commands.add_parser("ingest", help="bring the index to what lies on disk")
    ingest.add_argument("--path", action="append", metavar="DIR", help="default: /data/projects")
    ingest.add_argument(
        "--pattern",
        action="append",
        metavar="GLOB",
        help="below the path; ** is any number of folders, dot folders too; can be repeated",
    )
    ingest.add_argument("--recursive", action=argparse.BooleanOptionalAction, default=True)
    ingest.add_argument("--backend", default="postgres", choices=("postgres",))
    ingest.add_argument("--prune", action="store_true", help="remove documents whose file is gone")
    ingest.add_argument("--dry-run", action="store_true", help="only say what would be done")
    ingest.add_argument("--json", action="store_true", help="one JSON object per line")
    ingest.add_argument("--quiet", action="store_true", help="only the summary and failures")

    query = commands.add_parser("query", help="ask one question")
    query.add_argument("--text", required=True)
    query.add_argument("--mode", default="hybrid", choices=MODES)
    query.add_argument("--backend", default="postgres", choices=("postgres",))
    query.add_argument("--sources", action="store_true", help="list the files below the answer")
    query.add_argument("--top-k", type=int, default=0, metavar="N")
    query.add_argument("--context-only", action="store_true", help="the passages, no answer")
    query.add_argument("--json", action="store_true")

    interactive = commands.add_parser("interactive", help="ask many")
    interactive.add_argument("--mode", default="hybrid", choices=MODES)
    interactive.add_argument("--sources", action="store_true")

    status = commands.add_parser("status", help="what is in the index")
    status.add_argument("--json", action="store_true")
    commands.add_parser("health", help="exit 0 when the engine and its database work")
    commands.add_parser("serve", help="be the engine (the container's main process)")
    return parser


class Connection:
    """One request and its answers."""

    def __init__(self, path: str, request: Message) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            raise ClientError(
                f"the engine is not running ({path}: {error.strerror})",
                NOT_READY,
                "start the instance, or look into its log",
            ) from None
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def cancel(self) -> None:
        """Ask the engine to stop what it does for us."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b'{"cancel": true}\n')

    def messages(self) -> Iterator[Message]:
        """Everything the engine says, until it has said the exit code."""
        with self._socket.makefile("r", encoding="utf-8") as lines:
            while True:
                try:
                    line = lines.readline()
                except (ConnectionError, ValueError):
                    line = ""
                if not line:
                    raise ClientError(
                        "the engine went away in the middle of the work",
                        NOT_READY,
                        "it is restarted by itself; ask again, done documents stay",
                    )
                message = json.loads(line)
                yield message
                if "exit" in message:
                    return

    def close(self) -> None:
        self._socket.close()


def _result(path: str, request: Message) -> Any:
    """The one result of a request."""
    connection = Connection(path, request)
    result = None
    try:
        for message in connection.messages():
            if "error" in message:
                raise _engine_error(message)
            result = message.get("result", result)
            if message.get("exit"):
                raise ClientError("interrupted", message["exit"])
    finally:
        connection.close()
    return result


def _engine_error(message: Message) -> ClientError:
    error = message["error"]
    return ClientError(error["message"], message["exit"], error.get("hint", ""))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


# -- commands ------------------------------------------------------------------


def _backend(options: argparse.Namespace, path: str) -> int:
    if options.action == "status":
        return _status(options, path)
    if options.action == "reset":
        if not options.yes:
            raise ClientError(
                "this drops everything that was indexed",
                WRONG_USE,
                "say so with --yes; the sources stay",
            )
        result = _result(path, {"command": "backend-reset"})
        if options.json:
            _print_json(result)
        else:
            print("The index is empty. Run ingest to fill it.")
        return 0
    result = _result(path, {"command": "backend-init"})
    if options.json:
        _print_json(result)
    else:
        print(
            f"PostgreSQL is set up for instance {result['instance']}: {result['embedding_model']},"
            f" {result['embedding_dim']} dimensions."
        )
    return 0


def _ingest(options: argparse.Namespace, path: str) -> int:
    connection = Connection(
        path,
        {
            "command": "ingest",
            "paths": [os.path.abspath(entry) for entry in options.path or ["/data/projects"]],
            "patterns": options.pattern,
            "recursive": options.recursive,
            "prune": options.prune,
            "dry_run": options.dry_run,
        },
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: connection.cancel())
    show = _print_json if options.json else _human(options.quiet, options.dry_run)
    for message in connection.messages():
        if "error" in message:
            raise _engine_error(message)
        if "event" in message:
            show(message)
        if "exit" in message:
            return int(message["exit"])
    return FAILED


def _human(quiet: bool, dry_run: bool) -> Callable[[Message], None]:
    def show(event: Message) -> None:
        kind = event["event"]
        if kind == "plan" and not quiet:
            print(
                f"{event['files']} files: {event['new']} new, {event['changed']} changed,"
                f" {event['unchanged']} unchanged, {event['missing']} gone from disk",
                flush=True,
            )
        elif kind == "file":
            if quiet and event["status"] != "failed":
                return
            reason = f": {event['reason']}" if event["reason"] else ""
            counter = "" if event["status"] == "skipped" else f"[{event['done']}/{event['total']}] "
            print(f"{counter}{event['status']} {event['path']}{reason}", flush=True)
        elif kind == "summary":
            _summary(event, dry_run)

    return show


def _summary(event: Message, dry_run: bool) -> None:
    if dry_run:
        print("Nothing was done (--dry-run).")
        return
    print(
        f"{event['new']} new, {event['changed']} changed, {event['unchanged']} unchanged,"
        f" {event['deleted']} deleted, {event['skipped']} skipped, {len(event['failed'])} failed"
        f" in {event['seconds']} s"
    )
    if event["missing"]:
        print(f"{event['missing']} documents have no file any more; --prune removes them.")
    documents = event["documents"]
    print(
        f"In the database: {documents['processed']} processed, {documents['failed']} failed,"
        f" {documents['pending']} pending."
    )
    if event.get("interrupted"):
        print("Interrupted; done documents stay, the next ingest goes on from here.")


def _query(options: argparse.Namespace, path: str) -> int:
    request = {
        "command": "query",
        "text": options.text,
        "mode": options.mode,
        "top_k": options.top_k,
        "context_only": options.context_only,
    }
    result = _result(path, request)
    if options.json:
        _print_json({key: result[key] for key in ("instance", "mode", "answer", "sources")})
    else:
        _print_answer(result, options.sources)
    return 0


def _print_answer(result: Message, sources: bool) -> None:
    print(result["answer"])
    if sources:
        print("\nSources:" if result["sources"] else "\nSources: none")
        for source in result["sources"]:
            first = " ".join(source["passage"].split())
            print(f"  {source['score']:.2f}  {source['path']}")
            print(f"        {first if len(first) <= 160 else first[:159] + '…'}")
    sys.stdout.flush()


def _status(options: argparse.Namespace, path: str) -> int:
    result = _result(path, {"command": "status"})
    if options.json:
        _print_json(result)
        return 0
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
    return 0


def _interactive(options: argparse.Namespace, path: str) -> int:
    from ragengine.interactive import Prompt

    def ask(text: str, mode: str, sources: bool) -> None:
        _print_answer(_result(path, {"command": "query", "text": text, "mode": mode}), sources)

    return Prompt(ask, options.mode, options.sources).run()


_COMMANDS = {
    "backend": _backend,
    "ingest": _ingest,
    "query": _query,
    "interactive": _interactive,
    "status": _status,
}


def run(argv: list[str], path: str) -> int:
    """The exit code of a command line."""
    try:
        code = _dispatch(argv, path)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED


def _dispatch(argv: list[str], path: str) -> int:
    try:
        options = _parser().parse_args(argv)
        if not options.command:
            raise ClientError("no command", WRONG_USE, f"one of {', '.join(_COMMANDS)}, health, serve")
        return _COMMANDS[options.command](options, path)
    except ClientError as error:
        print(f"hybridrag: {error}", file=sys.stderr)
        if error.hint:
            print(f"hybridrag: {error.hint}", file=sys.stderr)
        return error.code
