"""See tests/bench/compare. Needs the minimal Python only."""

import json
import os
import subprocess
import sys
import time

NAME, FOLDER = sys.argv[1], os.path.expanduser(f"~/{sys.argv[2]}")
# The stub's authority; empty where upstream's image is not there.
UPSTREAM = sys.argv[3]
APP, POD = f"hybridrag-{NAME}-app", f"hybridrag-{NAME}-pod.service"
PODLET = os.path.expanduser("~/podlet")
ANSWER = "marmalade"
rows, left_out = [], []
asked = 0


def question():
    """One that was not asked before: answers may be remembered."""
    global asked
    asked += 1
    return f"What is the launch code of the Zebra team? (question {asked})"


def run(command, **options):
    ran = subprocess.run(command, capture_output=True, text=True, **options)
    if ran.returncode:
        sys.exit(f"{command}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def timed(command, **options):
    began = time.monotonic()
    out = run(command, **options)
    return time.monotonic() - began, out


def side_by_side(rounds, *commands, before=None):
    """The median of each command in seconds, taken in turn so that what disturbs one disturbs all."""
    times = [[] for _ in commands]
    for _ in range(rounds):
        for index, command in enumerate(commands):
            if before:
                before()
            times[index].append(command() if callable(command) else timed(command)[0])
    return [sorted(of)[len(of) // 2] for of in times]


def row(what, ours, other, theirs, note=""):
    rows.append({"what": what, "ragpod": ours, "other": other, "theirs": theirs, "note": note})


def peak(command):
    """The most memory that a command has had, in bytes."""
    ran = subprocess.run(["/usr/bin/time", "--quiet", "--format", "%M", *command], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    return int(ran.stderr.split()[-1]) * 1024


def ask(*command, answer=ANSWER):
    """How long a question takes; it must have been answered."""
    took, out = timed([*command, question()])
    if answer not in out:
        sys.exit(f"{command}: no answer in {out}")
    return took


os.makedirs(f"{FOLDER}/docs", exist_ok=True)
with open(f"{FOLDER}/docs/a.md", "w") as file:
    file.write(f"The launch code of the Zebra team is {ANSWER}.\n")
with open(f"{FOLDER}/password", "w") as file:
    file.write(os.urandom(16).hex())
run(["ragpod", "create", NAME, "--force", "--quiet", "--source", f"{FOLDER}/docs"])
cold = timed(["ragpod", "up", NAME, "--quiet"])[0]
run(["ragpod", "ingest", NAME, "--quiet"])

# The program itself.
program = run(["sh", "-c", "readlink -f $(command -v ragpod)"]).strip()
others = {"podman": ["podman", "--version"]}
if os.path.exists(PODLET):
    others["podlet"] = [PODLET, "--version"]
for other, command in others.items():
    ours, theirs = side_by_side(15, ["ragpod", "--version"], command)
    row("starting the program (`--version`)", ours, other, theirs)
sizes = {"podlet": os.path.getsize(PODLET)} if os.path.exists(PODLET) else {}
sizes["podman"] = os.path.getsize("/usr/bin/podman")
memory = {"ragpod list": peak(["ragpod", "list"]), "podman ps": peak(["podman", "ps"])}

# Rendering: podlet is given the very command that made the engine's container.
if not os.path.exists(PODLET):
    left_out.append("podlet could not be built here")
else:
    made = json.loads(run(["podman", "inspect", APP, "--format", "{{json .Config.CreateCommand}}"]))
    # What systemd put between, and what podlet does not know, is none of the instance's own.
    skip = ("--cidfile", "--cgroups", "--rm", "--replace", "-d", "--sdnotify")
    words = [w for w in made[1:] if not w.startswith(skip)]
    convert = [PODLET, "podman", *words]
    refused = subprocess.run(convert, capture_output=True, text=True)
    if refused.returncode:
        left_out.append(f"podlet does not take the command of the engine's container: {refused.stderr.splitlines()[-1]}")
    else:
        ours, theirs = side_by_side(15, ["ragpod", "render", NAME], convert)
        row("rendering", ours, "podlet", theirs,
            "ragpod: all units of the instance from its manifest; podlet: one container from its command")
        memory["ragpod render"], memory["podlet"] = peak(["ragpod", "render", NAME]), peak(convert)

# Starting, stopping.
services = [POD, f"hybridrag-{NAME}-postgres.service", f"{APP}.service"]


def stopped():
    run(["systemctl", "--user", "stop", POD])


up, start, theirs = side_by_side(
    5, ["ragpod", "up", NAME, "--quiet"], ["ragpod", "start", NAME, "--quiet"],
    ["systemctl", "--user", "start", *services], before=stopped)
row("`up` of what was stopped, until it is healthy", up, "systemctl --user start", theirs,
    "`up` reads, renders and compares everything first")
row("`start` of the same", start, "systemctl --user start", theirs)

# Looking.
UNITS = ["systemctl", "--user", "list-units", "hybridrag-*"]
for verb, other in ("list", ["podman", "ps"]), ("status", ["podman", "ps"]), \
        ("list", UNITS), ("status", UNITS):
    ours, theirs = side_by_side(15, ["ragpod", verb], other)
    row(f"`{verb}`", ours, " ".join(other[:3]).replace(" hybridrag-*", ""), theirs)

# Passing through, asking.
ours, theirs = side_by_side(15, ["ragpod", "exec", NAME, "--", "true"], ["podman", "exec", APP, "true"])
row("`exec … true`", ours, "podman exec", theirs)
query = ["ragpod", "query", NAME]
alone = ["podman", "exec", APP, "python", "hybridrag.py", "--in-process", "query", "--text"]
ask(*query), ask(*alone)
ours, theirs = side_by_side(5, lambda: ask(*query), lambda: ask(*alone))
row("a question", ours, "a process for each question", theirs, "the same engine, not resident")

# Upstream's engine, as it is, and ragpod's: the same stub for their model.
if UPSTREAM:
    authority = f"{FOLDER}/ca.pem"
    with open(authority, "w") as copy, open(UPSTREAM) as file:
        copy.write(file.read())
    provider = {"base_url": "https://api.test/v1", "llm_model": "chat", "embedding_dim": "64",
                "embedding_model": "text-embedding-3-small", "ca_file": authority}
    both = {f"{NAME}-stub": "lightrag", f"{NAME}-upstream": "hybridrag"}
    for name, profile in both.items():
        options = [f"--set=provider.{key}={value}" for key, value in provider.items()]
        run(["ragpod", "create", name, "--force", "--quiet", "--source", f"{FOLDER}/docs",
             "--provider", "openai-compatible", f"--set=engine.profile={profile}", *options])
        run(["ragpod", "up", name, "--quiet"])
        # Upstream's exit code is ragpod's when not all of it is in the database.
        subprocess.run(["ragpod", "ingest", name, "--quiet"], capture_output=True)

    # Upstream's finds no documents in PostgreSQL and says nothing of its own; it is measured to its end.
    said = dict(zip(both, ("stand-in", "Execution time:")))
    ours, theirs = side_by_side(
        5, *[lambda name=name: ask("ragpod", "query", name, answer=said[name]) for name in both])
    row("a question", ours, "upstream's engine", theirs,
        "both through `ragpod query`, a stub for the model; upstream's does not find its documents, and so does less")
    run(["ragpod", "rm", *both, "--data", "--yes", "--quiet"])
else:
    left_out.append("upstream's engine: its image is built from a checkout of its source (`tests/host/upstream CHECKOUT`)")

# The same images as a compose folder.
if subprocess.run(["sh", "-c", "command -v podman-compose"], capture_output=True).returncode:
    left_out.append("podman-compose is not in the host")
else:
    compose = ["podman-compose", "--in-pod", "false"]
    cold_theirs = timed([*compose, "up", "-d"], cwd=FOLDER)[0]
    row("the first start, with the database made", cold, "podman-compose up -d", cold_theirs,
        "once each; ragpod waits until the engine is healthy, podman-compose until it runs")

    def compose_stopped():
        stopped()
        run([*compose, "stop"], cwd=FOLDER)

    inside = ["podman", "exec", "bench-compose-app", "python", "-S", "-E", "hybridrag.py", "health"]

    def compose_up():
        began = time.monotonic()
        run([*compose, "up", "-d"], cwd=FOLDER)
        while subprocess.run(inside, capture_output=True).returncode:
            if time.monotonic() - began > 120:
                sys.exit("the engine of the compose folder did not become healthy")
            time.sleep(0.25)
        return time.monotonic() - began

    ours, theirs = side_by_side(5, ["ragpod", "start", NAME, "--quiet"], compose_up, before=compose_stopped)
    row("`start` of the same", ours, "podman-compose up -d", theirs,
        "podman-compose does not wait for the engine: it is asked each 0.25 s whether it is healthy")
    run(["ragpod", "start", NAME, "--quiet"])
    ours, theirs = side_by_side(
        5, ["ragpod", "up", NAME, "--quiet"], lambda: timed([*compose, "up", "-d"], cwd=FOLDER)[0])
    row("`up` when nothing has changed", ours, "podman-compose up -d", theirs)
    ours, theirs = side_by_side(
        5, ["ragpod", "exec", NAME, "--", "true"], lambda: timed([*compose, "exec", "-T", "app", "true"], cwd=FOLDER)[0])
    row("`exec … true`", ours, "podman-compose exec", theirs)
    run([*compose, "down", "-v"], cwd=FOLDER)

print(json.dumps({
    "rows": rows,
    "size": {"ragpod": os.path.getsize(program)} | sizes,
    "memory": memory,
    "left_out": left_out,
    "podman": run(["podman", "--version"]).split()[-1],
    "system": run(["sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"]).strip(),
    "processors": os.cpu_count(),
}))
