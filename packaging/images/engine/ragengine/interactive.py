"""A prompt for many questions."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .words import MODES, ClientError

_HELP = f""":mode X        one of {", ".join(MODES)}
:sources on    list the files below each answer (off: do not)
:help          this
:quit          leave (or Ctrl-D)"""


class Prompt:
    """Reads questions until the end of the input; Ctrl-C gives up an answer."""

    def __init__(self, ask: Callable[[str, str, bool], None], mode: str, sources: bool) -> None:
        self._ask = ask
        self._mode = mode
        self._sources = sources
        self._tty = sys.stdin.isatty()

    def run(self) -> int:
        history = self._load_history() if self._tty else None
        code = 0
        try:
            while True:
                try:
                    line = self._read()
                except EOFError:
                    if self._tty:
                        print()
                    return code
                except KeyboardInterrupt:
                    print()
                    continue
                last = self._line(line.strip())
                if last < 0:
                    return code
                code = last or code
        finally:
            if history:
                history()

    def _read(self) -> str:
        if self._tty:
            return input(f"{self._mode}> ")
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def _line(self, line: str) -> int:
        """Deal with one line; its exit code, negative to leave."""
        if not line:
            return 0
        if line.startswith(":"):
            return self._command(line[1:].split())
        try:
            self._ask(line, self._mode, self._sources)
        except KeyboardInterrupt:
            print("\n(given up)")
        except ClientError as error:
            print(f"hybridrag: {error}", file=sys.stderr)
            if error.hint:
                print(f"hybridrag: {error.hint}", file=sys.stderr)
            return error.code
        print()
        return 0

    def _command(self, words: list[str]) -> int:
        match words:
            case ["q" | "quit" | "exit"]:
                return -1
            case ["mode", mode] if mode in MODES:
                self._mode = mode
            case ["sources", "on" | "off" as wanted]:
                self._sources = wanted == "on"
            case _:
                print(_HELP)
        return 0

    @staticmethod
    def _load_history() -> Callable[[], None] | None:
        """History from the state folder; the function that saves it."""
        try:
            import readline
        except ImportError:
            return None
        path = Path(os.environ.get("HYBRIDRAG_STATE") or "/var/lib/hybridrag") / "history"
        with contextlib.suppress(OSError):
            readline.read_history_file(path)
        readline.set_history_length(1000)

        def save() -> None:
            with contextlib.suppress(OSError):
                readline.write_history_file(path)
                path.chmod(0o600)

        return save
