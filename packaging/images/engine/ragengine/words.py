"""The client's words: its command line and what it says is wrong. Standard library only."""

from __future__ import annotations

import argparse

# `typing` costs each question as much as everything else that is imported here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

FAILED, WRONG_USE, NOT_READY, INTERRUPTED = 1, 2, 4, 130
MODES = ("local", "global", "hybrid", "naive", "mix")


class ClientError(Exception):
    """What to say, and the exit code."""

    def __init__(self, message: str, code: int, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With a width: argparse would load half a library to find the terminal's."""
    return argparse.HelpFormatter(prog, width=100)


class _Parser(argparse.ArgumentParser):
    """Errors in one line, like every other of ours."""

    def __init__(self, **options: object) -> None:
        super().__init__(formatter_class=_formatter, **options)

    def error(self, message: str) -> NoReturn:
        raise ClientError(message, WRONG_USE, f"see {self.prog} --help")


def make_parser() -> _Parser:
    """The whole command line."""
    parser = _Parser(prog="hybridrag.py", description="Ask and fill this instance.", allow_abbrev=False)
    parser.add_argument(
        "--in-process", action="store_true", help="without the resident engine; comes first, takes seconds"
    )
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
    ingest.add_argument("--prune-all", action="store_true", help="even where no file at all is left")
    ingest.add_argument("--dry-run", action="store_true", help="only say what would be done")
    ingest.add_argument("--json", action="store_true", help="one JSON object per line")
    ingest.add_argument("--quiet", action="store_true", help="only the summary and failures")

    ingest.add_argument(
        "--stop-with-input",
        action="store_true",
        help="stop after the documents under way when standard input ends or has a line, at once with"
        " a second line",
    )
    ingest.add_argument("--reindex", action="store_true", help="into the index that `reindex begin` began")

    query = commands.add_parser("query", help="ask one question")
    query.add_argument("--text", required=True)
    query.add_argument("--mode", default="hybrid", choices=MODES)
    query.add_argument("--backend", default="postgres", choices=("postgres",))
    query.add_argument("--sources", action="store_true", help="list the files below the answer")
    query.add_argument("--top-k", type=int, default=0, metavar="N")
    query.add_argument("--context-only", action="store_true", help="the passages, no answer")
    query.add_argument("--stream", action="store_true", help="print the answer as it is made")
    query.add_argument("--json", action="store_true")
    query.add_argument("--stop-with-input", action="store_true", help="stop when standard input ends")

    interactive = commands.add_parser("interactive", help="ask many")
    interactive.add_argument("--mode", default="hybrid", choices=MODES)
    interactive.add_argument("--sources", action="store_true")

    status = commands.add_parser("status", help="what is in the index")
    status.add_argument("--json", action="store_true")
    reindex = commands.add_parser("reindex", help="build a new index beside the old one")
    reindex.add_argument("action", choices=("begin", "finish", "abandon"))
    reindex.add_argument(
        "--drop-missing", action="store_true", help="finish: lose what is only in the old one"
    )
    reindex.add_argument("--json", action="store_true")

    provider = commands.add_parser("provider", help="ask the provider for an embedding and a completion")
    provider.add_argument("action", choices=("test",))
    provider.add_argument("--json", action="store_true")
    commands.add_parser("health", help="exit 0 when the engine and its database work")
    commands.add_parser("serve", help="be the engine (the container's main process)")
    return parser
