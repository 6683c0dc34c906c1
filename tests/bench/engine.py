"""See tests/bench/engine. Needs the minimal Python only."""

import json
import os
import subprocess
import sys
import threading
import time

NAME, AS_JSON = sys.argv[1], sys.argv[2:] == ["--json"]
APP = f"hybridrag-{NAME}-app"
ROUNDS = 30
# Asks the engine over its socket, from within, as its client does.
INSIDE = """
import json, socket, sys, time
for line in sys.stdin:
    connection = socket.socket(socket.AF_UNIX)
    began = time.monotonic()
    connection.connect("/run/hybridrag/engine.sock")
    connection.sendall(json.dumps({"command": "query", "text": line.strip()}).encode() + b"\\n")
    last = b""
    while b'"exit"' not in last.splitlines()[-1:][0] if last else True:
        last += connection.recv(65536)
    assert b"stand-in" in last, last
    print(time.monotonic() - began, flush=True)
"""
asked = 0
lock = threading.Lock()


def question():
    """One that was not asked before: answers are remembered."""
    global asked
    with lock:
        asked += 1
        return f"What is the launch code of the Zebra{asked % 20 + 1} team, for the {asked}th time?"


def timed(command):
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return time.monotonic() - began, done.stdout


def query():
    seconds, answer = timed(["ragpod", "query", NAME, question()])
    if "stand-in" not in answer:
        sys.exit(f"no answer of the stub: {answer}")
    return seconds


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def ms(values, share=0.5):
    return round(quantile(values, share) * 1000)


def at_once(count):
    """So many questions together; each one's latency."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(query())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != count:
        sys.exit(f"{count - len(found)} of {count} questions failed")
    return found


def status():
    return json.loads(timed(["podman", "exec", APP, "python", "hybridrag.py", "status", "--json"])[1])


engine = subprocess.Popen(
    ["podman", "exec", "--interactive", APP, "python", "-c", INSIDE],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
)  # fmt: skip


def own():
    engine.stdin.write(question() + "\n")
    engine.stdin.flush()
    return float(engine.stdout.readline())


for warm in (own, query):
    warm()
execs, owns, queries = [], [], []
for _ in range(ROUNDS):
    execs.append(timed(["podman", "exec", APP, "true"])[0])
    owns.append(own())
    queries.append(query())
engine.stdin.close()
engine.wait()
result = {
    "podman_exec_true_ms": ms(execs),
    "engine_query_ms": ms(owns),
    "ragpod_query_ms": ms(queries),
    "ratio": round(quantile(queries, 0.5) / (quantile(execs, 0.5) + quantile(owns, 0.5)), 3),
    "at_once": {},
}
for count in (1, 8, 32):
    found = at_once(count)
    result["at_once"][count] = {"median_ms": ms(found), "worst_ms": ms(found, 1)}

ingest = subprocess.Popen(
    ["ragpod", "ingest", NAME, "--path", os.path.expanduser(f"~/{NAME}/more"), "--json"],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
)  # fmt: skip
meanwhile = []
while ingest.poll() is None:
    meanwhile.append(query())
summary = json.loads(ingest.stdout.read())
result["while_ingesting"] = {
    "documents": summary["new"],
    "seconds": summary["seconds"],
    "questions": len(meanwhile),
    "median_ms": ms(meanwhile),
    "worst_ms": ms(meanwhile, 1),
}
result["memory_mib"] = status()["memory_bytes"] >> 20

missed = []
if result["ratio"] > 1.3:
    missed.append(f"ragpod query takes {result['ratio']} of podman exec and the engine's own time, more than 1.3")
if result["memory_mib"] > 350:
    missed.append(f"the engine has {result['memory_mib']} MiB, more than 350")
if AS_JSON:
    print(json.dumps(result | {"missed": missed}))
else:
    for key, value in result.items():
        print(f"{key:<22}{value}")
    for line in missed:
        print(f"missed: {line}")
sys.exit(1 if missed else 0)
