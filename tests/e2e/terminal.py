"""Runs a command on a terminal of its own and types. Needs the minimal Python only.

    python3 terminal.py '[["expect", "> "], ["type", "what?\\r"], …]' CMD…

Prints JSON: the exit code, everything that was on the screen, and after how many seconds each
expected text was there. What is not there within 30 seconds is in `missing`, and ends it.
"""

import json
import os
import select
import sys
import time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
terminal, other_end = os.openpty()
pid = os.fork()
if pid == 0:
    os.close(terminal)
    os.login_tty(other_end)
    os.environ["TERM"] = "xterm"
    os.execvp(command[0], command)
os.close(other_end)
began = time.monotonic()
screen, seen, times, missing = "", 0, [], None


def look(seconds):
    """Whether there is something new; False at the end."""
    global screen
    if not select.select([terminal], [], [], seconds)[0]:
        return True
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    screen += data.decode("utf-8", "replace")
    return bool(data)


for kind, text in steps:
    if kind == "type":
        os.write(terminal, text.encode())
        continue
    if kind == "signal":
        os.kill(pid, int(text))
        continue
    if kind == "sleep":
        time.sleep(float(text))
        continue
    deadline = time.monotonic() + 30
    while (at := screen.find(text, seen)) < 0:
        if time.monotonic() > deadline or not look(0.1):
            missing = text
            break
    if missing is not None:
        break
    seen = at + len(text)
    times.append(round(time.monotonic() - began, 2))
deadline = time.monotonic() + (0 if missing is not None else 30)
while look(0.1) and time.monotonic() < deadline:
    pass
if missing is not None:
    os.kill(pid, 9)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"code": code, "screen": screen, "times": times, "missing": missing}))
