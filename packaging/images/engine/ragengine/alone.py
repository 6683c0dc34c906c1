"""`--in-process`: a command without the resident engine, by one that is started for it alone."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .client import run as run_client
from .words import NOT_READY, WRONG_USE

# It loads LightRAG, and opens the database.
_PATIENCE = 90.0
# Of prctl(2): which signal a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


def run(argv: list[str], resident: str) -> int:
    """The exit code of the command line. An ingest beside the resident engine's
    would take its documents for leftovers, so it is refused while that one runs."""
    if argv[:1] != ["query"] and _answers(resident):
        print("hybridrag: the resident engine is running", file=sys.stderr)
        print("hybridrag: leave --in-process away, or stop it first", file=sys.stderr)
        return WRONG_USE
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        path = str(Path(folder) / "engine.sock")
        # Its state is its own: the resident one's status.json stays as it is.
        env = os.environ | {"HYBRIDRAG_SOCKET": path, "HYBRIDRAG_STATE": folder}
        program = [sys.executable, str(Path(__file__).parent.parent / "hybridrag.py"), "serve"]
        # In a session of its own: Ctrl-C is for the client, which passes it on.
        log = Path(folder) / "log"
        with log.open("wb") as file:
            engine = subprocess.Popen(
                program, env=env, start_new_session=True, stderr=file, preexec_fn=_ends_with(os.getpid())
            )
        try:
            if _becomes_healthy(engine, program, env):
                return run_client(argv, path)
        finally:
            engine.terminate()
            engine.wait()
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))
        print("hybridrag: no engine could be started for this command", file=sys.stderr)
        return engine.returncode or NOT_READY


def _ends_with(parent: int) -> Callable[[], None]:
    """What the engine does before it begins, so that it does not outlive a
    client that is killed."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ends() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(NOT_READY)

    return ends


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def _becomes_healthy(engine: subprocess.Popen, program: list[str], env: dict[str, str]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while engine.poll() is None and time.monotonic() < deadline:
        if subprocess.run([*program[:-1], "health"], env=env, capture_output=True).returncode == 0:
            return True
        time.sleep(0.2)
    return False
