"""Counts what `ragpod list` and `status` ask for, at 1, 20 and 100 installed instances, and the
processor's time that they take. Prints JSON. Everything lies in a folder of its own."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading

RAGPOD = sys.argv[1]
REAL = f"{os.environ['XDG_RUNTIME_DIR']}/bus"
calls = []


def messages(read, each):
    """Takes a client's side of a connection apart (D-Bus specification, "Message Format")."""
    data = b""
    while b"BEGIN\r\n" not in data:
        data += read()
    data = data.split(b"BEGIN\r\n", 1)[1]
    while True:
        while len(data) < 16:
            data += read()
        order = "<" if data[:1] == b"l" else ">"
        body, _, fields = struct.unpack(order + "III", data[4:16])
        size = 16 + (fields + 7) // 8 * 8 + body
        while len(data) < size:
            data += read()
        each(data[1], data[16 : 16 + fields])
        data = data[size:]


def serve(client):
    server = socket.socket(socket.AF_UNIX)
    server.connect(REAL)

    def back():
        while data := server.recv(65536):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    threading.Thread(target=back, daemon=True).start()

    def read():
        data = client.recv(65536)
        if not data:
            raise EOFError
        server.sendall(data)
        return data

    try:
        # A method call to systemd; what the connection itself says to the bus is another matter.
        messages(read, lambda kind, head: kind == 1 and b"systemd1" in head and calls.append(head))
    except (EOFError, OSError):
        server.close()


folder = f"/tmp/ragpod-e2e-many-{os.getpid()}"
os.mkdir(folder)
try:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/bus")
    listener.listen()

    clients = []

    def accept():
        while True:
            clients.append(threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True))
            clients[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    os.mkdir(f"{folder}/bin")
    with open(f"{folder}/bin/podman", "w") as podman:
        podman.write(f"#!/bin/sh\necho called >> {folder}/podman.log\nexit 1\n")
    os.chmod(f"{folder}/bin/podman", 0o755)
    env = os.environ | {
        "XDG_CONFIG_HOME": f"{folder}/config",
        "XDG_STATE_HOME": f"{folder}/state",
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }

    def ragpod(*args):
        return subprocess.run([RAGPOD, *args], env=env, capture_output=True, text=True, check=True)

    manifest = '[instance]\nname = "{0}"\n[[source]]\npath = "/tmp"\n[schedule]\nidle_stop = "1h"\n'
    units = f"{folder}/config/containers/systemd/ragpod"
    os.makedirs(f"{folder}/config/ragpod/instances")
    os.makedirs(f"{folder}/first")
    with open(f"{folder}/config/ragpod/instances/n0.toml", "w") as file:
        file.write(manifest.format("n0"))
    ragpod("render", "n0", "--output", f"{folder}/first")
    os.makedirs(units)
    found, made = {}, 0
    for count in 1, 20, 100:
        for n in range(made, count):
            with open(f"{folder}/config/ragpod/instances/n{n}.toml", "w") as file:
                file.write(manifest.format(f"n{n}"))
            os.makedirs(f"{folder}/state/ragpod/n{n}")
            with open(f"{folder}/state/ragpod/n{n}/rest.json", "w") as file:
                json.dump({"version": 1, "idle_seconds": 3600}, file)
            for unit in os.listdir(f"{folder}/first"):
                with open(f"{folder}/first/{unit}") as file:
                    text = file.read().replace("hybridrag-n0", f"hybridrag-n{n}")
                with open(f"{units}/{unit.replace('-n0', f'-n{n}')}", "w") as file:
                    file.write(text)
        made = count
        for verb in "list", "status":
            shown = json.loads(ragpod(verb, "--json").stdout)["instances"]
            assert [i["state"] for i in shown] == ["stopped"] * count, shown
            assert all(i["at_rest"] for i in shown), shown
            calls.clear()
            spent = []
            for _ in range(5):
                before = os.times()
                ragpod(verb)
                after = os.times()
                spent.append(after.children_user + after.children_system
                             - before.children_user - before.children_system)
            # What was forwarded is counted a moment later.
            while clients:
                clients.pop().join()
            found[f"{verb} {count}"] = {"calls": len(calls) / 5, "seconds": min(spent)}
    found["podman"] = os.path.exists(f"{folder}/podman.log")
    print(json.dumps(found))
finally:
    subprocess.run(["rm", "-rf", folder])
