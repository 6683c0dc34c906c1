"""What a user is told when something does not work."""

from __future__ import annotations

FAILED = 1
WRONG_USE = 2
NOT_READY = 4
BAD_CONFIG = 78
INTERRUPTED = 130

# Answers that are no errors.
NOTHING = "Nothing in the ingested documents answers this question."
EMPTY = "Nothing has been ingested yet, so there is nothing to answer from."
FAILED_ALL = "Nothing could be ingested ({} failed), so there is nothing to answer from."


class EngineError(Exception):
    """One line of what is wrong, one of what to do about it, an exit code."""

    def __init__(self, message: str, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


def one_line(error: BaseException | str, limit: int = 300) -> str:
    """An error as one line of bounded length: LightRAG's carry whole prompts
    and SQL with the document's text in them."""
    text = str(error) or type(error).__name__
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
