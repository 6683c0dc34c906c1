"""Command line, connection and output of the client. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

from . import printing
from .words import FAILED, INTERRUPTED, NOT_READY, WRONG_USE, ClientError, make_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    Message = dict[str, Any]


class Connection:
    """One request and its answers."""

    def __init__(self, path: str, request: Message) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise ClientError(
                f"the engine is not running ({path}: {error.strerror})",
                NOT_READY,
                "start the instance, or look into its log",
            ) from None

    def cancel(self, *, now: bool = False) -> None:
        """Ask the engine to stop what it does for us."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b'{"cancel": true, "now": true}\n' if now else b'{"cancel": true}\n')

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


def _result(
    path: str, request: Message, say: Callable[[str], None] | None = None, *, stop_with_input: bool = False
) -> Any:
    """The one result of a request; `say` gets a text that comes before it."""
    connection = Connection(path, request)
    if stop_with_input:
        _watch_input(connection)
    result = None
    try:
        for message in connection.messages():
            if "error" in message:
                raise _engine_error(message)
            if say and "text" in message:
                say(message["text"])
            result = message.get("result", result)
            if message.get("exit") and result is None:
                raise ClientError("interrupted", message["exit"])
    finally:
        connection.close()
    return result


def _engine_error(message: Message) -> ClientError:
    error = message["error"]
    return ClientError(error["message"], message["exit"], error.get("hint", ""))


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
            printing.document(result)
        else:
            print("The index is empty. Run ingest to fill it.")
        return 0
    result = _result(path, {"command": "backend-init"})
    if options.json:
        printing.document(result)
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
            "prune": options.prune or options.prune_all,
            # A new index has nothing yet that could be lost.
            "prune_all": options.prune_all or options.reindex,
            "dry_run": options.dry_run,
            "reindex": options.reindex,
        },
    )
    asked = 0

    def stop(*_: object) -> None:
        nonlocal asked
        asked += 1
        connection.cancel(now=asked > 1)
        if asked > 1:
            # Whatever the engine waits for, we do not.
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if options.stop_with_input:
        _watch_input(connection)
    show = printing.document if options.json else printing.events(options.quiet, options.dry_run)
    for message in connection.messages():
        if "error" in message:
            raise _engine_error(message)
        if "event" in message:
            show(message)
            sys.stdout.flush()
        if "exit" in message:
            return int(message["exit"])
    return FAILED


def _watch_input(connection: Connection) -> None:
    """Whoever started us and goes away takes our standard input along."""
    # `threading` costs a question more than everything else that is done for it.
    import _thread

    def watch() -> None:
        lines, told = 0, False
        while lines < 2:
            try:
                data = os.read(0, 64)
            except OSError:
                data = b""
            # Two lines may come at once.
            lines += data.count(b"\n")
            if not told or lines > 1:
                connection.cancel(now=lines > 1)
            told = True
            if not data:
                return

    _thread.start_new_thread(watch, ())


def _query(options: argparse.Namespace, path: str) -> int:
    request = {
        "command": "query",
        "text": options.text,
        "mode": options.mode,
        "top_k": options.top_k,
        "context_only": options.context_only,
    }
    if options.stream and not options.json:
        _stream(path, request, options.sources, stop_with_input=options.stop_with_input)
        return 0
    result = _result(path, request, stop_with_input=options.stop_with_input)
    if options.json:
        printing.document({key: result[key] for key in ("instance", "mode", "answer", "sources")})
    else:
        printing.answer(result, options.sources)
    return 0


def _stream(path: str, request: Message, sources: bool, *, stop_with_input: bool = False) -> None:
    """An answer as it is made."""
    said = False

    def say(text: str) -> None:
        nonlocal said
        said = True
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        result = _result(path, request | {"stream": True}, say, stop_with_input=stop_with_input)
    except BaseException:
        if said:
            print(flush=True)
        raise
    if said:
        # What is written cannot be tidied any more.
        result = result | {"answer": ""}
    printing.answer(result, sources)


def _status(options: argparse.Namespace, path: str) -> int:
    result = _result(path, {"command": "status"})
    if options.json:
        printing.document(result)
        return 0
    printing.status(result)
    return 0


def _reindex(options: argparse.Namespace, path: str) -> int:
    request = {"command": f"reindex-{options.action}", "drop_missing": options.drop_missing}
    result = _result(path, request)
    if options.json:
        printing.document(result)
    elif options.action == "begin":
        print("A new index is begun; fill it with `ingest --reindex`, then `reindex finish`.")
    elif options.action == "finish":
        print(f"The new index is in use: {result['documents']['processed']} documents.")
    else:
        print("The new index is removed." if result["abandoned"] else "There was none.")
    return 0


def _provider(options: argparse.Namespace, path: str) -> int:
    result = _result(path, {"command": "provider-test"})
    if options.json:
        printing.document(result)
    else:
        printing.checks(result)
    return FAILED if any(check["status"] == "fail" for check in result["checks"]) else 0


def _interactive(options: argparse.Namespace, path: str) -> int:
    from ragengine.interactive import Prompt

    def ask(text: str, mode: str, sources: bool) -> None:
        _stream(path, {"command": "query", "text": text, "mode": mode}, sources)

    return Prompt(ask, options.mode, options.sources).run()


_COMMANDS = {
    "backend": _backend,
    "ingest": _ingest,
    "query": _query,
    "interactive": _interactive,
    "status": _status,
    "reindex": _reindex,
    "provider": _provider,
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
        options = make_parser().parse_args(argv)
        if not options.command:
            raise ClientError("no command", WRONG_USE, f"one of {', '.join(_COMMANDS)}, health, serve")
        return _COMMANDS[options.command](options, path)
    except ClientError as error:
        print(f"hybridrag: {error}", file=sys.stderr)
        if error.hint:
            print(f"hybridrag: {error.hint}", file=sys.stderr)
        return error.code
