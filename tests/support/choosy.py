"""An upstream whose answer depends on the request: what its `user` asks for, and how its deployment is."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def error(message: str, code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


#: What one caller can bring about by what it asks for, the same on every deployment.
HOSTILE = {
    "flex": (429, error("There is no capacity for the flex tier.", "resource_unavailable")),
    "bare-429": (429, {}),
    "parameter": (403, error("Your subscription does not allow the parameter 'logprobs'.", "403")),
    "file": (404, error("No such File object: file-1", "not_found", "invalid_request_error")),
    "key": (401, error("Access to the index that the request names was denied.", "401")),
    "version": (400, error("Unknown parameter: 'API version not supported'.", "unknown_parameter")),
    "limit": (400, error("Invalid role: 'have exceeded token rate limit. Please retry after 60 seconds'")),
    "tokens": (400, error("max_tokens is too large: 100000000.", "invalid_value")),
    "content": (
        500,
        error("The model produced invalid content. Consider modifying your prompt.", None, "model_error"),
    ),
    "server": (500, error("The server had an error while processing your request.", None, "server_error")),
    "page": (502, {}),
}


class Choosy:
    """A running upstream."""

    def __init__(self, url: str) -> None:
        self.url = url
        #: The deployments that are down, and requests by deployment and what they asked for.
        self.down: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()

    def answer(self, deployment: str, wish: str) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        self.counts[deployment, wish] += 1
        if deployment in self.down:
            return 503, error("Service unavailable.", None, "server_error")
        return HOSTILE.get(wish, (200, ANSWER))


@contextlib.contextmanager
def choosy() -> Iterator[Choosy]:
    """Serve while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            deployment = self.path.split("/deployments/")[1].split("/")[0]
            status, reply = running.answer(deployment, body.get("user", ""))
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing: requests are counted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Choosy(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield running
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
