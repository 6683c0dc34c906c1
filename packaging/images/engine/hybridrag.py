#!/usr/bin/env python3
"""The engine's command line: a thin client of the process that `serve` starts.

Only the standard library, and little of it: this runs for every question and,
as `health`, every few seconds.
"""

import os
import sys

SOCKET = os.environ.get("HYBRIDRAG_SOCKET") or "/run/hybridrag/engine.sock"
MODES = ("local", "global", "hybrid", "naive", "mix")
FAILED, WRONG_USE, NOT_READY, INTERRUPTED = 1, 2, 4, 130


def health() -> int:
    """Whether the engine answers and its database works, within 3 seconds."""
    import _socket

    try:
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.settimeout(3)
        connection.connect(SOCKET)
        connection.sendall(b'{"command":"health"}\n')
        answer = connection.recv(4096)
    except OSError as error:
        print(f"hybridrag: the engine does not answer: {error}", file=sys.stderr)
        return NOT_READY
    if answer.replace(b" ", b"") == b'{"exit":0}\n':
        return 0
    print("hybridrag: the engine is not ready", file=sys.stderr)
    return NOT_READY


def main(argv: list[str]) -> int:
    if argv[:1] == ["health"]:
        return health()
    if argv[:1] == ["serve"]:
        from ragengine.server import serve

        return serve()
    if argv[:1] == ["--in-process"]:
        from ragengine.alone import run
    else:
        from ragengine.client import run

    return run(argv[1:] if argv[:1] == ["--in-process"] else argv, SOCKET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
