"""A stand-in for an LLM provider: OpenAI's protocol (chat completions, embeddings), Azure's and Ollama's,
over HTTPS and plain HTTP, whole answers and streams. Deterministic: vectors are made of a text's words,
answers are sentences of what it was given. Needs the minimal Python only.

    python3 standin.py DIR ADDRESS

DIR holds `cert.pem` and `key.pem`; `requests` there gets a line for each request, and `delay-MODEL`,
where there is one, says how many seconds an answer of that model takes.

How a model behaves is the first part of its name, so that tests do not disturb each other: `chat` as
it should, `slow` takes a second for each answer and for each word of a stream a third of one, `busy`
says 429 to each request once, `down` says 500 to all, `torn` breaks off in the middle. `slow-x` is the
same as `slow`. A stream that its reader cuts gets a line `cut MODEL`. The key `wrong` is refused, and
so is one that begins with `echo`, in words that repeat it.
"""

import hashlib
import json
import math
import os
import re
import socket
import ssl
import sys
import threading
import time

DIMENSION = 64
# The last is a name that litellm lets choose its dimension.
MODELS = ("chat", "slow", "busy", "down", "torn", "vectors", "text-embedding-3-small")
TLS_PORTS, PLAIN_PORTS = (443, 8443), (80, 11434)
DIR = sys.argv[1]


def words(text):
    return re.findall(r"[a-z0-9]{3,}", text.lower())


def vector(text):
    """Texts that share words are near to each other."""
    row = [0.001] * DIMENSION
    for word in words(text):
        digest = hashlib.sha256(word[:5].encode()).digest()
        row[digest[0] % DIMENSION] += 1.0 if digest[1] % 2 else -1.0
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def complete(messages):
    """What each of LightRAG's prompts asks for, as far as a test needs it."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    last = messages[-1]["content"]
    if "high_level_keywords" in system + last:
        found = words(last.split("Query:")[-1])[:6] or ["nothing"]
        return json.dumps({"high_level_keywords": found[:2], "low_level_keywords": found})
    if "<|COMPLETE|>" in system + last:
        text = last.split("<Input Text>")[-1]
        name = next(iter(re.findall(r"\b[A-Z][a-z]{3,}\b", text)), "Something")
        return f"entity<|#|>{name}<|#|>concept<|#|>{name} is in the text.\n<|COMPLETE|>"
    asked = set(words(last))
    sentences = re.split(r"(?<=[.!?])\s|\\n|\n|\"", system)
    best = max(sentences, key=lambda s: len(asked & set(words(s))) - len(s) / 10000)
    return f"The stand-in says: {best.strip()}"


def answer(path, body):
    inputs = body.get("input") or []
    inputs = [inputs] if isinstance(inputs, str) else inputs
    path, _, query = path.partition("?")
    model = body.get("model")
    if path.startswith("/openai/deployments/"):
        if "api-version=" not in query:
            return 404, {"error": {"code": "404", "message": "Resource not found"}}
        model, _, call = path.removeprefix("/openai/deployments/").partition("/")
        path = f"/v1/{call}"
    if model not in MODELS and kind(model) not in MODELS:
        return 404, {"error": {"message": f"The model `{model}` does not exist"}}
    if path == "/v1/embeddings":
        rows = [{"index": i, "embedding": vector(t)} for i, t in enumerate(inputs)]
        return 200, {"object": "list", "data": rows}
    if path == "/v1/chat/completions":
        message = {"role": "assistant", "content": complete(body["messages"])}
        return 200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    if path == "/api/embed":
        return 200, {"embeddings": [vector(t) for t in inputs]}
    if path == "/api/chat":
        return 200, {"message": {"role": "assistant", "content": complete(body["messages"])}}
    return 404, {"error": {"message": f"no {path}"}}


def kind(model):
    """How it behaves."""
    return str(model).partition("-")[0]


REFUSED = set()


def refuses(kind, body):
    """What a model that does not want to says instead of its answer."""
    if kind == "down":
        return 500, {"error": {"message": "an inner gear is broken"}}
    this = hashlib.sha256(json.dumps(body).encode()).digest()
    if kind == "busy" and this not in REFUSED:
        REFUSED.add(this)
        return 429, {"error": {"message": "not so fast"}}
    return None


def pieces(result):
    """An answer as its protocol streams it, a word at a time."""
    if "choices" not in result:
        for word in result["message"]["content"].split(" "):
            yield json.dumps({"message": {"role": "assistant", "content": word + " "}, "done": False}) + "\n"
        yield json.dumps({"message": {"role": "assistant", "content": ""}, "done": True}) + "\n"
        return
    for word in result["choices"][0]["message"]["content"].split(" "):
        choice = {"index": 0, "delta": {"content": word + " "}, "finish_reason": None}
        yield f"data: {json.dumps({'choices': [choice]})}\n\n"
    yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
    yield "data: [DONE]\n\n"


def note(line):
    with open(os.path.join(DIR, "requests"), "a") as log:
        log.write(line + "\n")


def pause(path, model, slow):
    if path.partition("?")[0].endswith(("/completions", "/chat")):
        if slow:
            time.sleep(1)
        try:
            with open(os.path.join(DIR, f"delay-{model}")) as file:
                time.sleep(float(file.read()))
        except (OSError, ValueError):
            pass


def serve(connection, port):
    stream = connection.makefile("rb")
    while line := stream.readline():
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := stream.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length") or 0))
        key = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        proof = hashlib.sha256(key.encode()).hexdigest()[:16] if key else "-"
        note(f"{port} {headers.get('host')} {method} {path} {proof}")
        body = json.loads(body or b"{}")
        model = path.split("/")[3] if path.startswith("/openai/deployments/") else body.get("model")
        mood = kind(model)
        slow = mood == "slow"
        if key == "wrong":
            code, result = 401, {"error": {"message": "nobody knows that key"}}
        elif key.startswith("echo"):
            code, result = 401, {"error": {"message": f"Incorrect API key provided: {key}. See {'x' * 200}"}}
        else:
            pause(path, model, slow)
            code, result = refuses(mood, body) or answer(path, body)
        if code == 200 and body.get("stream"):
            head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            try:
                for number, piece in enumerate(pieces(result)):
                    time.sleep(0.33 if slow else 0)
                    if mood == "torn" and number == 2:
                        return
                    data = piece.encode()
                    connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            except OSError:
                note(f"cut {model}")
                raise
            connection.sendall(b"0\r\n\r\n")
            continue
        data = json.dumps(result).encode()
        head = f"HTTP/1.1 {code} X\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode())
        if mood == "torn":
            connection.sendall(data[: len(data) // 2])
            return
        connection.sendall(data)


def accept(listener, port, context):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handle, args=(connection, port, context), daemon=True).start()


def handle(connection, port, context):
    try:
        with context.wrap_socket(connection, server_side=True) if context else connection as stream:
            serve(stream, port)
    except (OSError, ValueError):
        pass


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(DIR, "cert.pem"), os.path.join(DIR, "key.pem"))
    for port in TLS_PORTS + PLAIN_PORTS:
        listener = socket.create_server((sys.argv[2], port), backlog=64)
        tls = context if port in TLS_PORTS else None
        threading.Thread(target=accept, args=(listener, port, tls), daemon=True).start()
    note("ready")
    threading.Event().wait()


main()
