#!/usr/bin/env python3
"""An agent behind a webhook, with nothing but Python's standard library.

It says back what the customer said: as JSON on any path, word by word as server-sent
events on a path that ends in /stream. Copy it and change `reply_to`.

    PORT               where it listens (8080)
    HOST               the address it listens on (all)
    WEBHOOK_SECRET     the app's signing secret; with it, unsigned requests get 401
    WEBHOOK_OLD_SECRET the one before, while it is being replaced
    WEBHOOK_DELAY_MS   the pause between two streamed words (50)
"""

import json
import os
import re
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from signature import is_signed

SECRETS = [os.environ.get(name, "") for name in ("WEBHOOK_SECRET", "WEBHOOK_OLD_SECRET")]
DELAY_SECONDS = int(os.environ.get("WEBHOOK_DELAY_MS") or 50) / 1000
MAX_BODY_BYTES = 4 * 1024 * 1024  # ten long messages


class BadRequest(Exception):
    """A request that can't be answered; the text says why."""


def reply_to(payload):
    """What the agent says. This is the function to make your own."""
    message = payload.get("message")
    if message is None:
        message = {}
    if not isinstance(message, dict):
        raise BadRequest("message must be an object")
    content = message.get("content")
    if content is None:
        content = ""
    if not isinstance(content, str):
        raise BadRequest("message.content must be a string")
    return f"Echo: {content}"


def parse(body):
    try:
        payload = json.loads(body.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise BadRequest("Invalid JSON") from None
    if not isinstance(payload, dict):
        raise BadRequest("the payload must be an object")
    return payload


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON, though Python would read it")


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # for a client that stops in the middle of a request

    def handle(self):
        with suppress(ConnectionError):  # the client went away; there is nobody to tell
            super().handle()

    def do_POST(self):
        body = self.read_body()
        if body is None:
            return
        if any(SECRETS) and not is_signed(self.headers, body, SECRETS, time.time()):
            self.answer(401)
            return
        try:
            reply = reply_to(parse(body))
        except BadRequest as reason:
            self.answer(400, {"error": str(reason)})
            return
        if self.path.partition("?")[0].endswith("/stream"):
            self.stream(reply)
        else:
            self.answer(200, {"reply": reply})

    def read_body(self):
        """The body's bytes, or None when there is no reading it and that was said."""
        closes = self.close_connection
        self.close_connection = True  # until it is known where the next request starts
        length = self.headers.get("Content-Length")
        if length is None or "Transfer-Encoding" in self.headers:
            self.answer(411, {"error": "Content-Length is required"})
            return None
        if not re.fullmatch(r"[0-9]{1,15}", length):
            self.answer(400, {"error": "Content-Length is not a number"})
            return None
        if int(length) > MAX_BODY_BYTES:
            self.answer(413, {"error": f"the body is over {MAX_BODY_BYTES} bytes"})
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None  # the client went away
        self.close_connection = closes
        return body

    def answer(self, status, content=None):
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def stream(self, reply):
        # Without a length, the end of the connection is the end of the answer.
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, word in enumerate(re.findall(r"\S+\s*|\s+", reply)):
            if number > 0:
                time.sleep(DELAY_SECONDS)
            self.send_event("delta", {"text": word})
        self.send_event("done", {})

    def send_event(self, name, data):
        # Unbuffered: every event leaves at once and in one piece.
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 turns a burst of requests away


def main():
    host, port = os.environ.get("HOST", ""), int(os.environ.get("PORT") or 8080)
    with Server((host, port), Agent) as server, suppress(KeyboardInterrupt):
        print(f"webhook-python listens on port {server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
