#!/usr/bin/env python3
"""A stand-in for the program `vllm`: `vllm serve MODEL --host … --port …` with /health and /v1/completions.

It answers with the number of the prompt's tokens. Its pid and each request's body are appended to the file in VLLM_LOG.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def note(line: object) -> None:
    with open(os.environ["VLLM_LOG"], "a", encoding="utf-8") as log:  # noqa: PTH123 - the program imports little
        log.write(json.dumps(line) + "\n")


class Handler(BaseHTTPRequestHandler):
    def send(self, code: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note(body)
        if self.path != "/v1/completions":
            self.send(404, {})
            return
        count = len(body["prompt"])
        choice = {
            "index": 0,
            "text": f" {count} tokens",
            "finish_reason": "length" if body["max_tokens"] < 4 else "stop",
        }
        usage = {"prompt_tokens": count, "completion_tokens": 3}
        self.send(200, {"id": "c", "object": "text_completion", "model": "model", "choices": [choice], "usage": usage})

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    words = sys.argv[1:]
    note({"pid": os.getpid(), "words": words})
    if os.environ.get("VLLM_FAILS"):
        sys.exit("ValueError: No available memory for the cache blocks")
    port = int(words[words.index("--port") + 1])
    ThreadingHTTPServer((words[words.index("--host") + 1], port), Handler).serve_forever()


if __name__ == "__main__":
    main()
