"""A provider that speaks the real protocols on a loopback port."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY = "right-key"
DIMENSION = 8
EXTRACTED = (
    "entity<|#|>Feline<|#|>Creature<|#|>An animal that sleeps.\n"
    "entity<|#|>Windowsill<|#|>Location<|#|>A warm place.\n"
    "relation<|#|>Feline<|#|>Windowsill<|#|>sleeps<|#|>The feline sleeps on the windowsill.\n<|COMPLETE|>"
)


def vector(text: str) -> list[float]:
    """The same text always gives the same vector, and all lie close together:
    what is asked finds what was stored."""
    digest = hashlib.sha256(text.encode()).digest()
    return [1.0 + byte / 2550 for byte in digest[:DIMENSION]]


def pieces(answer: dict) -> Iterator[str]:
    """An answer as its protocol streams it."""
    if "choices" in answer:
        words = answer["choices"][0]["message"]["content"].split(" ")
        for number, word in enumerate(words):
            delta = {"content": word if number == 0 else f" {word}"}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            yield f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield f"data: {json.dumps({'choices': [last]})}\n\n"
        yield "data: [DONE]\n\n"
        return
    for number, word in enumerate(answer["message"]["content"].split(" ")):
        content = word if number == 0 else f" {word}"
        yield (
            json.dumps(answer | {"done": False, "message": {"role": "assistant", "content": content}}) + "\n"
        )
    yield json.dumps(answer | {"message": {"role": "assistant", "content": ""}}) + "\n"


class Stub:
    """`failures` are status codes to answer first, in the words `says`; `seen` is what was asked;
    an answer takes `slow` seconds, and with `truncate` it breaks off in the middle."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict, dict]] = []
        self.failures: list[int] = []
        self.retry_after = "0"
        self.slow = 0.0
        self.truncate = False
        self.says: object = None
        self.encoding = ""
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.seen.append((self.path, dict(self.headers.items()), body))
                code, answer = stub.answer(self.path, self.headers, body)
                time.sleep(stub.slow)
                if code == 200 and body.get("stream"):
                    self.stream(answer)
                    return
                data = json.dumps(answer).encode()
                self.send_response(code)
                if code == 429:
                    self.send_header("retry-after", stub.retry_after)
                if stub.encoding:
                    self.send_header("content-encoding", stub.encoding)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                if stub.truncate:
                    data = data[: len(data) // 2]
                    self.close_connection = True
                self.wfile.write(data)

            def stream(self, answer: dict) -> None:
                """The answer a word at a time, chunked."""
                self.send_response(200)
                self.send_header(
                    "content-type", "text/event-stream" if "choices" in answer else "application/x-ndjson"
                )
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                parts = list(pieces(answer))
                for part in parts[: len(parts) // 2] if stub.truncate else parts:
                    data = part.encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def do_CONNECT(self) -> None:
                stub.seen.append((self.path, {}, {}))
                self.send_error(403)

            def log_message(self, *_args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_args: object) -> None:
                """A client that gave up waiting is no fault of ours."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, target: str, headers, body: dict) -> tuple[int, dict]:
        if self.failures:
            return self.failures.pop(0), (
                self.says if self.says is not None else {"error": {"message": "not now"}}
            )
        parts = urlsplit(target)
        path, query = parts.path, parse_qs(parts.query)
        model = body.get("model", "")
        if "/deployments/" in path:
            if headers.get("api-key") != KEY:
                return 401, {"error": {"code": "401", "message": "Access denied"}}
            if "api-version" not in query:
                return 404, {"error": {"message": "Resource not found"}}
            model = path.split("/deployments/")[1].split("/")[0]
        elif path.startswith("/v1/") and headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"error": {"message": "Incorrect API key provided"}}
        if model not in ("chat", "vectors"):
            return 404, {"error": {"message": f"The model {model} does not exist"}}
        if path.endswith("/embeddings"):
            rows = [{"index": n, "embedding": vector(text)} for n, text in enumerate(body["input"])]
            return 200, {"object": "list", "data": rows[::-1], "model": model}
        if path == "/api/embed":
            return 200, {"model": model, "embeddings": [vector(text) for text in body["input"]]}
        text = self.complete(body["messages"])
        if path == "/api/chat":
            return 200, {
                "model": model,
                "message": {"role": "assistant", "content": text},
                "done": True,
            }
        if path.endswith("/chat/completions"):
            message = {"role": "assistant", "content": text}
            return 200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
        return 404, {"error": {"message": "Resource not found"}}

    @staticmethod
    def complete(messages: list[dict]) -> str:
        last = messages[-1]["content"]
        if "keyword extractor" in last:
            return json.dumps({"high_level_keywords": ["sleep"], "low_level_keywords": ["cat"]})
        if "---Input Text---" in last:
            return EXTRACTED
        if last.startswith("---Task---"):
            return "<|COMPLETE|>"
        return f"Answer to: {last[:40]}"
