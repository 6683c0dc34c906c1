"""See tests/bench/many. Needs the minimal Python only."""

import json
import os
import subprocess
import sys
import time

COUNTS = [int(n) for n in sys.argv[1].split()]
AS_JSON, RUNNING = "--json" in sys.argv[2:], "--running" in sys.argv[2:]
ROUNDS = 10
home = os.path.expanduser("~")


def timed(*command):
    began = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True)
    took = time.monotonic() - began
    if ran.returncode:
        sys.exit(f"{' '.join(command)}: {ran.stderr}")
    return took, ran.stdout


def middle(values):
    return sorted(values)[len(values) // 2]


def median(*command):
    return middle([timed(*command)[0] for _ in range(ROUNDS)])


def own(*command):
    """The processor's time of ragpod itself, and how many calls it makes on the bus."""
    before = os.times()
    for _ in range(ROUNDS):
        subprocess.run(command, capture_output=True, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent / ROUNDS


figures = []
made = 0
name = "bench-many-{}".format
for count in sorted(COUNTS):
    while made < count:
        folder = f"{home}/ragpod-bench-many/{made}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/a.md", "w") as file:
            file.write(f"The launch code of team {made} is marmalade{made}.\n")
        # The first one is woken again and again below.
        idle = "schedule.idle_stop=1h" if made else "schedule.idle_stop=10s"
        timed("ragpod", "create", name(made), "--force", "--quiet", "--source", folder,
              "--set", idle, "--set", "schedule.ingest=daily")
        made += 1
    figure = {"instances": count}
    figure["up --all --no-start, s"], _ = timed("ragpod", "up", "--all", "--no-start", "--quiet")
    figure["the same again, s"], _ = timed("ragpod", "up", "--all", "--no-start", "--quiet")
    figure["daemon-reload, s"] = median("systemctl", "--user", "daemon-reload")
    for verb in "list", "status":
        figure[f"{verb}, s"] = median("ragpod", verb)
        figure[f"{verb}, CPU s"] = own("ragpod", verb)
    figures.append(figure)

asked = 0


def ask():
    """How long a question to the first instance takes, a new one each time; it must have been answered."""
    global asked
    asked += 1
    question = f"What is the launch code of team 0? (question {asked})"
    took, answer = timed("ragpod", "query", name(0), question)
    if "marmalade0" not in answer:
        sys.exit(f"no answer in {answer}")
    return took


def rest():
    """Waits until the first instance was stopped because nobody used it."""
    began = time.monotonic()
    while not any(f"{name(0)} " in line and "idle" in line for line in timed("ragpod", "list")[1].splitlines()):
        if time.monotonic() - began > 120:
            sys.exit("it is not stopped although nobody uses it")
        time.sleep(0.5)


# The first use starts it for the first time, with the set-up of the database.
for index in range(min(2, made)):
    timed("ragpod", "ingest", name(index), "--quiet")
waking = []
for _ in range(3):
    rest()
    waking.append(ask())
awake = middle([ask() for _ in range(ROUNDS)])
waking = {"wake to first answer, s": middle(waking), "an answer when awake, s": awake}


def available():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) << 10


def spent():
    """The processors' seconds of everything that this user runs."""
    with open(f"/sys/fs/cgroup/user.slice/user-{os.getuid()}.slice/cpu.stat") as file:
        return int(file.readline().split()[1]) / 1e6


def fit():
    """How many may run at the same time: the kernel has a key for each container, and a user so many keys."""
    with open("/proc/sys/kernel/keys/maxkeys") as file:
        most = int(file.readline())
    with open("/proc/key-users") as file:
        own = next((line for line in file if int(line.split(":")[0]) == os.getuid()), "0: 0 0/0 0/0")
    return (most - int(own.split()[3].split("/")[0])) // CONTAINERS


# Of an instance without a gateway: the pod's own, the database, the engine.
CONTAINERS = 3

# All of them at the same time, or as many as the kernel lets one user run.
running = {}
if RUNNING:
    # None of them shall rest meanwhile.
    timed("ragpod", "create", name(0), "--force", "--quiet", "--source", f"{home}/ragpod-bench-many/0",
          "--set", "schedule.idle_stop=1h", "--set", "schedule.ingest=daily")
    timed("ragpod", "up", name(0), "--quiet")
    timed("ragpod", "stop", "--all", "--quiet")
    many = min(made, fit())
    before = available()
    running["instances"] = many
    running["start of them all, s"] = timed("ragpod", "start", *map(name, range(many)), "--quiet")[0]
    states = [one["state"] for one in json.loads(timed("ragpod", "list", "--json")[1])["instances"]]
    if states.count("running") < many:
        sys.exit(f"only {states.count('running')} of {many} run")
    for verb in "list", "status":
        running[f"{verb}, s"] = median("ragpod", verb)
    running["memory of all, MiB"] = round((before - available()) / 2**20)
    running["memory of each, MiB"] = round((before - available()) / 2**20 / many)
    began, busy = time.monotonic(), spent()
    time.sleep(60)
    busy = (spent() - busy) / (time.monotonic() - began)
    running["processors busy while nobody asks"] = round(busy, 2)
    running["an answer, s"] = ask()
    running["stop of them all, s"] = timed("ragpod", "stop", "--all", "--quiet")[0]
    # For a look at the memory of one.
    timed("ragpod", "start", *map(name, range(min(2, made))), "--quiet")
if AS_JSON:
    print(json.dumps({"counts": figures, "waking": waking, "running": running}, indent=2))
else:
    for figure in figures + [waking] + [running] * RUNNING:
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v} {k}:" for k, v in figure.items()))
