"""Tries what must not work from inside the app container; prints one JSON document.

The argument is a JSON object:
    tcp        [[host, port], …] to connect to; an answer that begins with `token` is ragpod's own
    lookups    names that exist outside, asked of each resolver
    gateway    [host, port] of the gateway, or null
    requests   first lines for the gateway, such as `CONNECT example.com:443`
Everything runs at once, and nothing takes longer than LIMIT seconds.
"""
import json
import os
import socket
import struct
import sys
import threading
import time

TIMEOUT = 2.5
LIMIT = 4.0


def connect(host, port, token):
    try:
        with socket.create_connection((host, port), TIMEOUT) as s:
            s.settimeout(1)
            try:
                ours = token and s.recv(64).startswith(token.encode())
            except OSError:
                ours = False
            return {"outcome": "connected", "said": s.getpeername()[0], "token": bool(ours)}
    except socket.gaierror as e:
        return {"outcome": "unresolved", "said": e.strerror}
    except ConnectionRefusedError as e:
        return {"outcome": "refused", "said": e.strerror}
    except TimeoutError:
        return {"outcome": "timeout", "said": "no answer"}
    except OSError as e:
        return {"outcome": "unreachable", "said": e.strerror or str(e)}


def resolvers():
    with open("/etc/resolv.conf") as f:
        words = [line.split() for line in f]
    return [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"]


def lookup(name, server):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    query = struct.pack(">HHHHHH", 4711, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(TIMEOUT)
        try:
            s.sendto(query, (server, 53))
            _, flags, _, answers, _, _ = struct.unpack(">HHHHHH", s.recv(2048)[:12])
            return {"rcode": flags & 15, "answers": answers}
        except OSError as e:
            return {"error": "no answer" if isinstance(e, TimeoutError) else e.strerror}


def request(gateway, line):
    try:
        with socket.create_connection(tuple(gateway), TIMEOUT) as s:
            s.settimeout(TIMEOUT)
            s.sendall(f"{line} HTTP/1.1\r\nHost: {line.split()[1]}\r\n\r\n".encode())
            words = s.recv(512).decode("latin-1").split(" ", 2)
            return {"code": int(words[1])} if len(words) > 1 else {"error": "closed"}
    except (OSError, ValueError) as e:
        return {"error": "no answer" if isinstance(e, TimeoutError) else str(e)}


def default_routes():
    found = []
    with open("/proc/net/route") as f:
        for words in map(str.split, f):
            if words[1:2] == ["00000000"] and words[7:8] == ["00000000"]:
                found.append(f"{words[0]} (IPv4)")
    try:
        with open("/proc/net/ipv6_route") as f:
            for words in map(str.split, f):
                if words[0] == "0" * 32 and words[1] == "00" and words[-1] != "lo":
                    found.append(f"{words[-1]} (IPv6)")
    except OSError:
        pass
    return found


def main():
    ask = json.loads(sys.argv[1])
    tries = []
    for host, port in ask["tcp"]:
        late = {"outcome": "timeout", "said": "no answer"}
        tries.append(("tcp", {"host": host, "port": port}, late, connect, host, port, ask["token"]))
    for server in resolvers():
        for name in ask["lookups"]:
            late = {"error": "no answer"}
            tries.append(("lookups", {"name": name, "server": server}, late, lookup, name, server))
    for line in ask["requests"] if ask["gateway"] else []:
        late = {"error": "no answer"}
        tries.append(("requests", {"line": line}, late, request, ask["gateway"], line))

    results = [None] * len(tries)

    def run(i):
        results[i] = tries[i][3](*tries[i][4:])

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(tries))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LIMIT
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found = {"tcp": [], "lookups": [], "requests": [], "routes": default_routes()}
    for (kind, what, late, *_), result in zip(tries, results):
        found[kind].append({**what, **(result or late)})
    print(json.dumps(found), flush=True)
    # A thread that still waits for a resolver does not keep us.
    os._exit(0)


main()
